//! The stage runner: keeps a stage at work.
//!
//! Owns: the threads of one stage, and that they begin again from what is durable whenever they break off. Derived
//! events, dead letters, checkpoint and note are one atomic append, so a crash repeats work but never an event.
//! Never: loses an event in silence, and never gives up: it tries again, visibly, until it is stopped.
//!
//! Three layers: [`super::schedule`] decides, [`super::coordinator`] carries out, [`super::lanes`] call the stage.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use meshlog_schemas::Checkpoints;

use super::{
    Progress, Settings, Stage, Stop,
    coordinator::{Coordinator, Interruption, Surroundings},
    lanes::{Closing, Desk, message},
    schedule::{Note, Schedule, Start},
};
use crate::{background::work_in_background, clock::now_micros, events::EventLog, feed::Feed, log::LogError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A stage at work. Dropping it stops it.
pub struct StageRunner {
    progress: Arc<Progress>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl StageRunner {
    /// Starts to process the stage's input, from its progress on the log on.
    ///
    /// # Errors
    /// Its progress cannot be read, or no thread can be had.
    pub fn start(events: EventLog, stage: Box<dyn Stage>) -> Result<Self, LogError> {
        Self::start_with(events, stage, Settings::default())
    }

    /// As [`StageRunner::start`], with other bounds.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(events: EventLog, stage: Box<dyn Stage>, settings: Settings) -> Result<Self, LogError> {
        let progress = Arc::new(Progress::default());
        progress.begin(events.log().progress(stage.name())?.checkpoints);
        let stop = Arc::new(Stop::default());
        let lanes = if settings.lanes > 0 { settings.lanes } else { stage.lanes().max(1) };
        let worker = Worker {
            short_name: stage.name().split('@').next().unwrap_or_default().to_owned(),
            tables: Feed::new(events.clone(), stage.tables(), Checkpoints::default()),
            events,
            stage,
            settings: Settings { lanes, ..settings },
            progress: progress.clone(),
            stop: stop.clone(),
            careful: None,
        };
        let thread = std::thread::Builder::new()
            .name(format!("stage-{}", worker.short_name))
            .spawn(move || {
                work_in_background();
                worker.run();
            })
            .map_err(|error| LogError::Storage { action: "start a stage", cause: error.to_string() })?;
        Ok(Self { progress, stop, thread: Some(thread) })
    }

    /// How far the stage is and how it fares.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Finishes what is at work and ends. Safe to call twice.
    pub fn stop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has committed nothing half.
            let _ = thread.join();
        }
    }
}

impl Drop for StageRunner {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    events: EventLog,
    stage: Box<dyn Stage>,
    short_name: String,
    settings: Settings,
    tables: Feed,
    progress: Arc<Progress>,
    stop: Arc<Stop>,
    /// Which events the schedule watched when the process started; `None` before the first life.
    careful: Option<Checkpoints>,
}

impl Worker {
    fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_asked() {
            let life = AssertUnwindSafe(|| self.live(&mut pause));
            let broken = |panic: Box<dyn std::any::Any + Send>| Err(Interruption::Broken(message(&*panic).to_owned()));
            if let Err(error) = catch_unwind(life).unwrap_or_else(broken) {
                tracing::warn!(stage = self.stage.name(), %error, "the stage broke off and begins again");
                self.progress.failed(error.to_string());
                self.stop.sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        self.progress.stopped();
    }

    /// Works from what is durable until it is asked to stop or something fails.
    fn live(&mut self, pause: &mut Duration) -> Result<(), Interruption> {
        let schedule = self.schedule()?;
        let desk = Desk::default();
        let (stage, log, settings) = (&*self.stage, self.events.log(), self.settings);
        std::thread::scope(|scope| {
            let _closing = Closing(&desk);
            for lane in 0..settings.lanes {
                std::thread::Builder::new()
                    .name(format!("stage-{}-{lane}", self.short_name))
                    .spawn_scoped(scope, || desk.run(stage, log))
                    .map_err(|error| LogError::Storage { action: "start a lane", cause: error.to_string() })?;
            }
            let (events, progress, stop) = (&self.events, &*self.progress, &*self.stop);
            let around = Surroundings { events, stage, settings, progress, stop, desk: &desk };
            Coordinator::new(around, schedule, &mut self.tables).run(|| *pause = FIRST_PAUSE)
        })
    }

    fn schedule(&mut self) -> Result<Schedule, Interruption> {
        let input = self.stage.input();
        let stored = self.events.log().progress(self.stage.name())?;
        // An append that was not acknowledged may be there.
        self.progress.advanced(&stored.checkpoints, 0, 0);
        let note = Note::from_text(&stored.note, input)?;
        let partitions = self.events.partitions(input);
        let start = match &self.careful {
            Some(careful) => Start::Worker { careful: careful.clone() },
            None => {
                let end = |&partition| Ok((partition, self.events.log().bounds(partition)?.end));
                Start::Process { ends: partitions.iter().map(end).collect::<Result<_, LogError>>()? }
            }
        };
        // The seed only spreads retries.
        let seed = now_micros().unsigned_abs();
        let schedule = Schedule::new(self.settings, seed, &partitions, &stored.checkpoints, note, start);
        self.careful.get_or_insert_with(|| schedule.careful().clone());
        Ok(schedule)
    }
}
