//! The words that the schedule and its driver exchange.

use std::{collections::BTreeSet, sync::Arc};

use meshlog_schemas::{Checkpoints, Offset, Position};

use super::FailureClass;
use crate::processor::Priority;

/// How a schedule comes to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// The process started; the log ends here now.
    Process {
        /// The end of each partition.
        ends: Checkpoints,
    },
    /// The worker was restarted within the process, so no handler took it down.
    Worker {
        /// What [`super::Schedule::watched`] said when the process started.
        watched: Watched,
    },
}

/// What is watched after an end that was not in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Below these offsets starts are written down.
    pub(crate) careful: Checkpoints,
    /// What may not be started any more; it stays so until it is parked, also where the worker breaks off before.
    pub(crate) doomed: BTreeSet<Position>,
}

/// An entry as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) position: Position,
    pub(crate) key: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) bytes: usize,
    pub(crate) content: Content,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Readable,
    /// It cannot be read, because of this.
    Unreadable(String),
    /// It was erased on purpose, which is no failure.
    Erased,
}

/// What became of an entry that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is held until an outcome names it.
    Held,
    /// There is nothing to do for it.
    Passed,
    /// There is no room for it now, nor for any behind it.
    Full,
}

/// One event to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) position: Position,
    pub(crate) key: Arc<str>,
    /// Whether it is a dead letter, to be read from the log again.
    pub(crate) is_parked: bool,
    pub(super) bytes: usize,
}

/// Events to process at once, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) tasks: Vec<Task>,
    /// Whether its start was written down.
    pub(super) is_noted: bool,
    /// Whether nothing else may be at work.
    pub(super) is_exclusive: bool,
}

/// Why events were not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) verdict: Verdict,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may, so often and no oftener.
    Again,
    /// It will, though not now; it does not count.
    Later,
    /// It cannot.
    Never,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) position: Position,
    pub(crate) key: Arc<str>,
    pub(crate) end: End,
    pub(super) bytes: usize,
}

/// The ways an event ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It was processed: append what was derived.
    Done,
    /// There is nothing to process.
    Skipped,
    /// It becomes a dead letter.
    Parked(Letter),
    /// A dead letter was processed after all: append what was derived, and say so.
    Redriven {
        /// How often it was tried in all.
        attempts: u32,
    },
    /// A dead letter was tried again in vain.
    FailedAgain(Letter),
}

/// What a dead letter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) class: FailureClass,
    pub(crate) error: String,
    pub(crate) attempts: u32,
    /// The offset of the event it waits behind.
    pub(crate) head: Option<Offset>,
}

/// What is to be appended in one atomic batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) note: String,
}
