//! The stage runner: hands a stage its events and appends what it derives.
//!
//! Owns: the thread of one stage, its retries and its dead letters. Derived events and the checkpoint are one atomic
//! append, so a crash repeats work but never an event.
//! Never: loses an event in silence. One that cannot be processed becomes a dead letter, and the stage goes on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use meshlog_schemas::{Checkpoints, Envelope, Event, EventFailed, EventId, Trust};
use pollster::block_on;
use uuid::Uuid;

use super::{Derived, Progress, Stage, StageError, Stop};
use crate::{
    clock::now_micros,
    events::{Entry, EventLog, NewEvent, PublishError, StoredEvent, Unreadable, UnreadableCause},
    feed::Feed,
    log::{AppendError, LogError},
    record::{ProcessorProgress, ReadLimit},
};

/// What a stage is handed at once. Small, so that results do not come late and a process that is killed again and again
/// still gets on; large enough that a model works at full speed.
const STAGE_LIMIT: ReadLimit = ReadLimit { records: 32, bytes: 1024 * 1024 };
/// How often an event is tried before it is dead-lettered.
const MOST_ATTEMPTS: u32 = 5;
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
        let progress = Arc::new(Progress::default());
        progress.begin(events.log().progress(stage.name())?.checkpoints);
        let stop = Arc::new(Stop::default());
        let name = format!("stage-{}", stage.name().split('@').next().unwrap_or_default());
        let worker = Worker {
            tables: Feed::new(events.clone(), stage.tables(), Checkpoints::default()),
            events,
            stage,
            progress: progress.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker.run())
            .map_err(|error| LogError::Storage { action: "start a stage", cause: error.to_string() })?;
        Ok(Self { progress, stop, thread: Some(thread) })
    }

    /// How far the stage is and how it fares.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Finishes the batch under way and ends. Safe to call twice.
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

/// Why the worker must begin again from what is durable.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("the stage broke off; this is a bug")]
    Broken,
}

impl Interruption {
    /// Whether the log will never take what was derived, so that trying again cannot help.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Interruption::Publish(PublishError::Encode(_) | PublishError::Append(AppendError::TooLarge { .. }))
        )
    }
}

struct Worker {
    events: EventLog,
    stage: Box<dyn Stage>,
    tables: Feed,
    progress: Arc<Progress>,
    stop: Arc<Stop>,
}

impl Worker {
    fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_asked() {
            let step = AssertUnwindSafe(|| self.run_until_interrupted(&mut pause));
            if let Err(error) = catch_unwind(step).unwrap_or(Err(Interruption::Broken)) {
                tracing::warn!(stage = self.stage.name(), %error, "a step failed and is tried again");
                self.progress.failed(error.to_string());
                self.stop.sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        self.progress.stopped();
    }

    fn run_until_interrupted(&mut self, pause: &mut Duration) -> Result<(), Interruption> {
        let input = self.stage.input();
        let events = self.events.clone();
        let at = events.log().progress(self.stage.name())?.checkpoints;
        let mut feed = Feed::new(events.clone(), &[input], at);
        while !self.stop.is_asked() {
            let before = feed.checkpoints().clone();
            let batch = feed.next(STAGE_LIMIT, None)?;
            if batch.entries.is_empty() {
                self.stop.sleep_while_idle(&[events.log().appended(input)], || {
                    events.partitions(input).iter().all(|&partition| {
                        events.log().bounds(partition).is_ok_and(|bounds| bounds.end <= before.next(partition))
                    })
                });
                continue;
            }
            // After the input was read, so that a table entry acknowledged before an input is seen before it.
            self.catch_up_tables()?;
            self.process(batch.entries, batch.checkpoints)?;
            *pause = FIRST_PAUSE;
        }
        Ok(())
    }

    fn catch_up_tables(&mut self) -> Result<(), LogError> {
        loop {
            let batch = self.tables.next(STAGE_LIMIT, None)?;
            if batch.entries.is_empty() {
                return Ok(());
            }
            batch.entries.iter().flatten().for_each(|event| self.stage.observe(event));
        }
    }

    /// All at once if that works; otherwise one at a time, to find the event at fault.
    fn process(&mut self, entries: Vec<Entry>, checkpoints: Checkpoints) -> Result<(), Interruption> {
        if entries.iter().all(Result::is_ok) {
            let batch: Vec<StoredEvent> = entries.iter().flatten().cloned().collect();
            if let Ok(derived) = self.stage.process(&batch) {
                let new = self.stamp(&batch, derived);
                let committed = self.commit(new, checkpoints, batch.len() as u64, 0);
                // Too much for the log at once may be taken one at a time.
                if !committed.as_ref().is_err_and(Interruption::is_final) {
                    return committed;
                }
            }
        }
        for entry in entries {
            if self.stop.is_asked() {
                return Ok(());
            }
            match entry {
                Ok(event) => self.process_alone(event)?,
                Err(unreadable) => self.leave_out(&unreadable)?,
            }
        }
        Ok(())
    }

    fn process_alone(&mut self, event: StoredEvent) -> Result<(), Interruption> {
        let after = Checkpoints::from_iter([(event.position.partition, event.position.offset + 1)]);
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MOST_ATTEMPTS {
            let error = match self.stage.process(std::slice::from_ref(&event)) {
                Ok(derived) => {
                    let new = self.stamp(std::slice::from_ref(&event), derived);
                    match self.commit(new, after.clone(), 1, 0) {
                        Err(interruption) if interruption.is_final() => StageError::Permanent(interruption.to_string()),
                        committed => return committed,
                    }
                }
                Err(error) => error,
            };
            tracing::warn!(stage = self.stage.name(), position = %event.position, attempt, %error, "an event failed");
            self.progress.failed(format!("{}: {error}", event.position));
            let class = match error {
                StageError::Permanent(_) => "permanent",
                StageError::Retriable(_) if attempt == MOST_ATTEMPTS => "exhausted",
                StageError::Retriable(_) => {
                    self.stop.sleep(pause);
                    if self.stop.is_asked() {
                        return Ok(());
                    }
                    pause *= 2;
                    continue;
                }
            };
            let failed = EventFailed {
                event_id: event.envelope.id.to_string(),
                event_type: event.envelope.kind.clone(),
                class: class.to_owned(),
                error: error.to_string(),
                attempts: i32::try_from(attempt).unwrap_or(i32::MAX),
                ..self.failed_at(event.position, &event.key)
            };
            let letter =
                NewEvent::derived(&event.envelope, self.stage.name(), "dead-letter", Event::EventFailed(failed));
            return self.commit(vec![letter], after, 0, 1);
        }
        Ok(())
    }

    /// Goes on without an event that cannot be read. One that was erased on purpose is no failure.
    fn leave_out(&mut self, unreadable: &Unreadable) -> Result<(), Interruption> {
        let after = Checkpoints::from_iter([(unreadable.position.partition, unreadable.position.offset + 1)]);
        if unreadable.cause == UnreadableCause::Erased {
            return self.commit(Vec::new(), after, 0, 1);
        }
        self.progress.noted(format!("{}: {}", unreadable.position, unreadable.cause));
        let kind = unreadable.envelope.as_ref().map(|envelope| envelope.kind.clone());
        let failed = EventFailed {
            event_id: unreadable.envelope.as_ref().map(|envelope| envelope.id.to_string()).unwrap_or_default(),
            event_type: kind.unwrap_or_default(),
            class: "unreadable".to_owned(),
            error: unreadable.cause.to_string(),
            attempts: 1,
            ..self.failed_at(unreadable.position, &unreadable.key)
        };
        let index = format!("dead-letter/{}", unreadable.position);
        let event = Event::EventFailed(failed);
        let letter = match &unreadable.envelope {
            Some(envelope) => NewEvent::derived(envelope, self.stage.name(), &index, event),
            None => {
                let id = EventId::derived(EventId(Uuid::nil()), self.stage.name(), &index);
                NewEvent::first(id, &format!("/stage/{}", self.stage.name()), Trust::External, event)
            }
        };
        self.commit(vec![letter], after, 0, 1)
    }

    fn failed_at(&self, position: meshlog_schemas::Position, key: &str) -> EventFailed {
        EventFailed {
            processor: self.stage.name().to_owned(),
            topic: position.partition.topic.name().to_owned(),
            partition: i32::try_from(position.partition.id).unwrap_or(i32::MAX),
            offset: i64::try_from(position.offset).unwrap_or(i64::MAX),
            key: key.to_owned(),
            event_id: String::new(),
            event_type: String::new(),
            class: String::new(),
            error: String::new(),
            attempts: 0,
            failed_at: 0,
            head_offset: -1,
        }
    }

    fn stamp(&self, batch: &[StoredEvent], derived: Vec<Derived>) -> Vec<NewEvent> {
        let cause = |derived: &Derived| -> &Envelope { &batch[derived.cause].envelope };
        derived
            .into_iter()
            .map(|derived| NewEvent::derived(cause(&derived), self.stage.name(), &derived.index, derived.event))
            .collect()
    }

    fn commit(
        &self,
        new: Vec<NewEvent>,
        checkpoints: Checkpoints,
        processed: u64,
        skipped: u64,
    ) -> Result<(), Interruption> {
        let progress =
            ProcessorProgress { processor: self.stage.name().to_owned(), checkpoints: checkpoints.clone(), note: None };
        block_on(self.events.append(new, Some(progress)))?;
        self.progress.advanced(&checkpoints, processed, skipped);
        Ok(())
    }
}
