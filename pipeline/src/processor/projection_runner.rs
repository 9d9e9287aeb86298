//! The projection runner: keeps one store up to date with the log.
//!
//! Owns: the thread of one projection. It applies what there is in batches (many events while catching up, few when
//! live), and sleeps on the log's signal in between. Where events come fast it goes by a beat of its own.
//! Never: skips an event because the store failed; it tries again, visibly, until the store recovers or it is stopped.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use meshlog_schemas::Checkpoints;

use super::{Progress, Projection, ProjectionError, Stop};
use crate::{
    background::{BEAT, step_back, work_in_background},
    events::{Entry, EventLog, StoredEvent},
    feed::FeedBatch,
    read_ahead::ReadAhead,
    signal::Signal,
};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A batch of this many events is not worth waiting to grow.
const FULL: u64 = 256;

/// A projection at work. Dropping it stops it.
pub struct ProjectionRunner {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl ProjectionRunner {
    /// Starts to apply events to the projection, from its own checkpoints on.
    ///
    /// # Errors
    /// The store cannot be read, or no thread can be had.
    pub fn start(
        name: &str,
        events: EventLog,
        projection: Arc<dyn Projection>,
        progress: Arc<Progress>,
    ) -> Result<Self, ProjectionError> {
        progress.begin(projection.checkpoints()?);
        let stop = Arc::new(Stop::default());
        let worker = Worker { name: name.to_owned(), events, projection, progress, stop: stop.clone() };
        let thread = std::thread::Builder::new()
            .name(format!("project-{name}"))
            .spawn(move || {
                work_in_background();
                worker.run();
            })
            .map_err(|error| ProjectionError(format!("the thread of projection {name} cannot start: {error}")))?;
        Ok(Self { stop, thread: Some(thread) })
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

impl Drop for ProjectionRunner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Applies one batch of a feed to a projection; answers how many entries could not be read. Shared with rebuilds.
///
/// # Errors
/// The store cannot be written; nothing of the batch is stored.
pub fn apply_batch(projection: &dyn Projection, batch: FeedBatch) -> Result<u64, ProjectionError> {
    let entries = batch.entries.len();
    let events: Vec<StoredEvent> = batch.entries.into_iter().filter_map(Entry::ok).collect();
    projection.apply(&events, &batch.checkpoints)?;
    Ok((entries - events.len()) as u64)
}

struct Worker {
    name: String,
    events: EventLog,
    projection: Arc<dyn Projection>,
    progress: Arc<Progress>,
    stop: Arc<Stop>,
}

impl Worker {
    fn run(self) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_asked() {
            // A new feed after every failure: it begins at what the store has made durable.
            let step = AssertUnwindSafe(|| self.run_until_failure(&mut pause));
            let broken = |_| Err(ProjectionError("the store broke off; this is a bug".to_owned()));
            if let Err(error) = catch_unwind(step).unwrap_or_else(broken) {
                tracing::warn!(projection = self.name, %error, "a step failed and is tried again");
                self.progress.failed(error.to_string());
                self.stop.sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        self.progress.stopped();
    }

    fn run_until_failure(&self, pause: &mut Duration) -> Result<(), ProjectionError> {
        let inputs = self.projection.inputs();
        let mut feed = ReadAhead::new(self.events.clone(), inputs, self.projection.checkpoints()?, None);
        let signals: Vec<&Signal> = inputs.iter().map(|topic| self.events.log().appended(*topic)).collect();
        while !self.stop.is_asked() {
            let begun = Instant::now();
            let before = feed.checkpoints().clone();
            let batch = feed.read().map_err(|error| ProjectionError(error.to_string()))?;
            if batch.is_empty() {
                self.stop.sleep_while_idle(&signals, None, || self.is_at_end(&before));
                continue;
            }
            let entries = batch.entries.len() as u64;
            let checkpoints = batch.checkpoints.clone();
            let gaps = batch.gaps.clone();
            let is_pressed = self.events.log().is_pressed();
            let skipped = step_back(is_pressed, || apply_batch(&*self.projection, batch))?;
            self.progress.missed(&self.name, &gaps);
            if skipped > 0 {
                self.progress.noted(format!("{skipped} events could not be read and were left out"), None);
            }
            self.progress.advanced(&checkpoints, entries - skipped, skipped);
            *pause = FIRST_PAUSE;
            if entries < FULL
                && let Some(rest) = BEAT.checked_sub(begun.elapsed())
            {
                self.stop.sleep(rest);
            }
        }
        Ok(())
    }

    fn is_at_end(&self, checkpoints: &Checkpoints) -> bool {
        self.projection.inputs().iter().flat_map(|topic| self.events.partitions(*topic)).all(|partition| {
            self.events.log().bounds(partition).is_ok_and(|bounds| bounds.end <= checkpoints.next(partition))
        })
    }
}
