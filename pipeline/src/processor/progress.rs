//! Progress: how far a processor has come and how it fares, for all who wait or watch.
//!
//! Owns: the shared view of one processor. It outlives the worker, so those who wait do not notice a restart.
//! Never: is the truth about a checkpoint. That is in the store or the log, committed with the data.

use std::sync::{Mutex, MutexGuard, PoisonError};

use meshlog_schemas::{Checkpoints, Position};

use super::{Load, health::Pulse};
use crate::{clock::now_micros, feed::Gap, signal::Signal};

/// How a processor fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Reading and applying, or waiting for events.
    Running,
    /// The last step failed, or an event did, and is tried again; see the last error.
    Retrying,
    /// Not running: not started yet, or stopped.
    Stopped,
}

impl Condition {
    /// The word shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Condition::Running => "running",
            Condition::Retrying => "retrying",
            Condition::Stopped => "stopped",
        }
    }
}

/// What is known of a processor at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How it fares.
    pub condition: Condition,
    /// What it has read and made durable.
    pub checkpoints: Checkpoints,
    /// The last thing that went wrong since it was started, even if it has been overcome.
    pub last_error: Option<String>,
    /// When that was; microseconds since the epoch.
    pub last_error_at: Option<i64>,
    /// The event it went wrong with, where it was one.
    pub last_error_position: Option<Position>,
    /// Events applied since it was started.
    pub processed: u64,
    /// Events it has gone on without since it was started, because they could not be read or processed.
    pub skipped: u64,
    /// Events that retention took away before it had read them, since it was started.
    pub missed: u64,
    /// How often its worker broke off and began again from what is durable, since it was started.
    pub restarts: u64,
    /// Events that failed and wait to be tried again.
    pub retrying: u64,
    /// Dead letters that wait to be redriven or discarded.
    pub parked: u64,
    /// When the oldest of them was parked; microseconds since the epoch.
    pub oldest_parked_at: Option<i64>,
    /// What it holds in memory, and what it may.
    pub held: Bounded,
    /// What is at work or on its way to the log, and what may be.
    pub at_work: Bounded,
}

/// A load, and the most it may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounded {
    /// Now.
    pub now: Load,
    /// The most it has been since it was started.
    pub peak: Load,
    /// The bound. A single event that is larger is let in alone.
    pub most: Load,
}

impl Bounded {
    pub(crate) fn set(&mut self, now: Load, most: Load) {
        let peak = Load { events: self.peak.events.max(now.events), bytes: self.peak.bytes.max(now.bytes) };
        *self = Self { now, peak, most };
    }
}

/// The shared view of one processor.
#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    moved: Signal,
}

#[derive(Debug)]
struct State {
    status: Status,
    pulse: Pulse,
}

impl Default for Progress {
    fn default() -> Self {
        let status = Status {
            condition: Condition::Stopped,
            checkpoints: Checkpoints::default(),
            last_error: None,
            last_error_at: None,
            last_error_position: None,
            processed: 0,
            skipped: 0,
            missed: 0,
            restarts: 0,
            retrying: 0,
            parked: 0,
            oldest_parked_at: None,
            held: Bounded::default(),
            at_work: Bounded::default(),
        };
        Self { state: Mutex::new(State { status, pulse: Pulse::default() }), moved: Signal::default() }
    }
}

impl Progress {
    /// What is known now.
    pub fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// Waits until everything before `target` has been read and made durable.
    pub async fn reaches(&self, target: &Checkpoints) {
        loop {
            let moved = self.moved.listen();
            if self.lock().status.checkpoints.covers(target) {
                return;
            }
            moved.await;
        }
    }

    /// A processor that stands at `checkpoints`, of which nothing else is known.
    pub fn at(self, checkpoints: &Checkpoints) -> Self {
        self.lock().status.checkpoints.clone_from(checkpoints);
        self
    }

    /// Begins at `checkpoints`, which a rebuilt store may have moved either way.
    pub(crate) fn begin(&self, checkpoints: Checkpoints) {
        let mut state = self.lock();
        state.status.condition = Condition::Running;
        state.status.checkpoints = checkpoints;
        state.pulse.begin(now_micros());
        drop(state);
        self.moved.ring();
    }

    pub(crate) fn advanced(&self, checkpoints: &Checkpoints, processed: u64, skipped: u64) {
        let mut state = self.lock();
        let State { status, pulse } = &mut *state;
        pulse.advanced(&status.checkpoints, checkpoints, processed + skipped, now_micros());
        checkpoints.iter().for_each(|(partition, next)| status.checkpoints.advance(partition, next));
        status.condition = if status.retrying > 0 { Condition::Retrying } else { Condition::Running };
        status.processed += processed;
        status.skipped += skipped;
        drop(state);
        self.moved.ring();
    }

    /// Events were gone before `processor` had read them; it goes on behind them.
    pub(crate) fn missed(&self, processor: &str, gaps: &[Gap]) {
        for gap in gaps {
            let Gap { partition, first, last } = gap;
            tracing::warn!(
                processor,
                %partition,
                first,
                last,
                "retention took events away before they were read; going on behind them"
            );
            self.noted(format!("{gap} were taken away by retention before they were read"), None);
            self.lock().status.missed += gap.events();
        }
    }

    /// Something went wrong that holds nothing up.
    pub(crate) fn noted(&self, error: String, position: Option<Position>) {
        self.lock().status.failed_with(error, position);
    }

    /// The worker broke off; it begins again.
    pub(crate) fn failed(&self, error: String) {
        let mut state = self.lock();
        state.status.condition = Condition::Retrying;
        state.status.restarts += 1;
        state.status.failed_with(error, None);
    }

    /// What a stage's schedule says of itself.
    pub(crate) fn tell(&self, tell: impl FnOnce(&mut Status)) {
        let mut state = self.lock();
        let status = &mut state.status;
        tell(status);
        status.condition = if status.retrying > 0 { Condition::Retrying } else { Condition::Running };
    }

    pub(crate) fn stopped(&self) {
        self.lock().status.condition = Condition::Stopped;
    }

    pub(super) fn pulse(&self) -> (Checkpoints, Pulse) {
        let state = self.lock();
        (state.status.checkpoints.clone(), state.pulse.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every writer leaves the state whole between two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    fn failed_with(&mut self, error: String, position: Option<Position>) {
        self.last_error = Some(error);
        self.last_error_at = Some(now_micros());
        self.last_error_position = position;
    }
}
