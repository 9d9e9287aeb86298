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

use meshlog_schemas::{Checkpoints, Partition};

use super::{
    Progress, Settings, Stage, Stop,
    coordinator::{Coordinator, Interruption, Surroundings},
    lanes::{Closing, Desk, message},
    schedule::{Note, Schedule, Start, Watched},
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
        let settings = stage.settings();
        Self::start_with(events, stage, settings)
    }

    /// As [`StageRunner::start`], with other bounds.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(events: EventLog, stage: Box<dyn Stage>, settings: Settings) -> Result<Self, LogError> {
        let partitions = events.partitions(stage.input());
        let name = stage.name().to_owned();
        Self::start_as(name, partitions, events, stage, settings)
    }

    /// Starts to process one partition of the stage's input, while others, here or elsewhere, process the rest. Its progress
    /// is kept under a name of its own.
    ///
    /// # Errors
    /// As [`StageRunner::start`].
    pub fn start_on(partition: Partition, events: EventLog, stage: Box<dyn Stage>) -> Result<Self, LogError> {
        let (name, settings) = (share_name(stage.name(), partition), stage.settings());
        Self::start_as(name, vec![partition], events, stage, settings)
    }

    fn start_as(
        name: String,
        partitions: Vec<Partition>,
        events: EventLog,
        stage: Box<dyn Stage>,
        settings: Settings,
    ) -> Result<Self, LogError> {
        let progress = Arc::new(Progress::default());
        progress.begin(match stored(&events, &*stage, &name, &partitions) {
            Ok((checkpoints, _)) => checkpoints,
            Err(Interruption::Log(error)) => return Err(error),
            // Its worker comes upon the same, and says so.
            Err(_) => Checkpoints::default(),
        });
        let stop = Arc::new(Stop::default());
        let lanes = if settings.lanes > 0 { settings.lanes } else { stage.lanes().max(1) };
        let worker = Worker {
            short_name: stage.name().split('@').next().unwrap_or_default().to_owned(),
            name,
            partitions,
            tables: Feed::new(events.clone(), stage.tables(), Checkpoints::default()),
            events,
            stage,
            settings: Settings { lanes, ..settings },
            progress: progress.clone(),
            stop: stop.clone(),
            watched: None,
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

    /// Asks it to finish what is at work and to end, and does not wait for that.
    pub(super) fn ask_to_stop(&self) {
        self.stop.ask();
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

/// The name under which the progress of a stage on one partition is kept.
fn share_name(stage: &str, partition: Partition) -> String {
    format!("{stage}/{}", partition.id)
}

/// The stage whose progress is kept under a name.
pub fn stage_of(name: &str) -> &str {
    match name.rsplit_once('/') {
        Some((stage, id)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => stage,
        _ => name,
    }
}

/// Where a runner of `partitions`, whose progress is kept under `name`, begins. Progress is kept for all partitions together
/// where one runner has them all, and for each where they are shared out; a log that was moved from one engine to another
/// may have both, and what is further counts.
fn stored(
    events: &EventLog,
    stage: &dyn Stage,
    name: &str,
    partitions: &[Partition],
) -> Result<(Checkpoints, Note), Interruption> {
    let shares = partitions.iter().map(|partition| share_name(stage.name(), *partition));
    let others = std::iter::once(stage.name().to_owned()).chain(shares).filter(|other| other != name);
    let (mut checkpoints, mut note) = (Checkpoints::default(), Note::default());
    // Its own last: it also counts where it is not further.
    for name in others.chain([name.to_owned()]) {
        let stored = events.log().progress(&name)?;
        let mut found = Note::from_text(&stored.note, stage.input())?;
        for &partition in partitions {
            if stored.checkpoints.next(partition) < checkpoints.next(partition) {
                continue;
            }
            checkpoints.advance(partition, stored.checkpoints.next(partition));
            note.done.remove(&partition);
            note.done.extend(found.done.remove_entry(&partition));
            note.tries.retain(|position, _| position.partition != partition);
            note.tries.extend(found.tries.iter().filter(|(position, _)| position.partition == partition));
            note.running |= found.running;
        }
    }
    Ok((checkpoints, note))
}

struct Worker {
    /// The name under which its progress is kept.
    name: String,
    partitions: Vec<Partition>,
    events: EventLog,
    stage: Box<dyn Stage>,
    short_name: String,
    settings: Settings,
    tables: Feed,
    progress: Arc<Progress>,
    stop: Arc<Stop>,
    /// Which events the schedule watched when the process started; `None` before the first life.
    watched: Option<Watched>,
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
            let (name, partitions) = (self.name.as_str(), self.partitions.as_slice());
            let around = Surroundings { name, partitions, events, stage, settings, progress, stop, desk: &desk };
            Coordinator::new(around, schedule, &mut self.tables).run(|| *pause = FIRST_PAUSE)
        })
    }

    fn schedule(&mut self) -> Result<Schedule, Interruption> {
        let (checkpoints, note) = stored(&self.events, &*self.stage, &self.name, &self.partitions)?;
        // An append that was not acknowledged may be there.
        self.progress.advanced(&checkpoints, 0, 0);
        let partitions = &self.partitions;
        let start = match &self.watched {
            Some(watched) => Start::Worker { watched: watched.clone() },
            None => {
                let end = |&partition| Ok((partition, self.events.log().bounds(partition)?.end));
                Start::Process { ends: partitions.iter().map(end).collect::<Result<_, LogError>>()? }
            }
        };
        // The seed only spreads retries.
        let seed = now_micros().unsigned_abs();
        let schedule = Schedule::new(self.settings, seed, partitions, &checkpoints, note, start);
        self.watched.get_or_insert_with(|| schedule.watched());
        Ok(schedule)
    }
}
