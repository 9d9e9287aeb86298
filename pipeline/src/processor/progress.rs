//! Progress: how far a processor has come and how it fares, for all who wait or watch.
//!
//! Owns: the shared view of one processor. It outlives the worker, so those who wait do not notice a restart.
//! Never: is the truth about a checkpoint. That is in the store or the log, committed with the data.

use std::sync::{Mutex, MutexGuard, PoisonError};

use meshlog_schemas::Checkpoints;

use crate::signal::Signal;

/// How a processor fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Reading and applying, or waiting for events.
    Running,
    /// The last step failed and is tried again; see the last error.
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
    /// Events applied since it was started.
    pub processed: u64,
    /// Events it has gone on without since it was started, because they could not be read or processed.
    pub skipped: u64,
}

/// The shared view of one processor.
#[derive(Debug)]
pub struct Progress {
    status: Mutex<Status>,
    moved: Signal,
}

impl Default for Progress {
    fn default() -> Self {
        let status = Status {
            condition: Condition::Stopped,
            checkpoints: Checkpoints::default(),
            last_error: None,
            processed: 0,
            skipped: 0,
        };
        Self { status: Mutex::new(status), moved: Signal::default() }
    }
}

impl Progress {
    /// What is known now.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// Waits until everything before `target` has been read and made durable.
    pub async fn reaches(&self, target: &Checkpoints) {
        loop {
            let moved = self.moved.listen();
            if self.lock().checkpoints.covers(target) {
                return;
            }
            moved.await;
        }
    }

    /// Begins at `checkpoints`, which a rebuilt store may have moved either way.
    pub(crate) fn begin(&self, checkpoints: Checkpoints) {
        let mut status = self.lock();
        status.condition = Condition::Running;
        status.checkpoints = checkpoints;
        drop(status);
        self.moved.ring();
    }

    pub(crate) fn advanced(&self, checkpoints: &Checkpoints, processed: u64, skipped: u64) {
        let mut status = self.lock();
        status.condition = Condition::Running;
        checkpoints.iter().for_each(|(partition, next)| status.checkpoints.advance(partition, next));
        status.processed += processed;
        status.skipped += skipped;
        drop(status);
        self.moved.ring();
    }

    pub(crate) fn noted(&self, error: String) {
        self.lock().last_error = Some(error);
    }

    pub(crate) fn failed(&self, error: String) {
        let mut status = self.lock();
        status.condition = Condition::Retrying;
        status.last_error = Some(error);
    }

    pub(crate) fn stopped(&self) {
        self.lock().condition = Condition::Stopped;
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // Every writer leaves the status whole between two statements.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
