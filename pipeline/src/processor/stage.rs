//! The stage's contract: deriving events from events.

use meshlog_schemas::{Event, Headers, Topic};

use super::Settings;
use crate::events::StoredEvent;

/// Derives events from events.
///
/// Contract:
/// - **Stateless**, but for tables: topics that the stage is shown in full, from the start, before it processes
///   anything that was appended after them. What it keeps of them is memory that can be had again, behind a lock.
/// - **At least once in, once out.** The runtime stores the derived events and the checkpoint in one atomic batch. Ids
///   are derived from (cause, stage, index), so that even an engine that repeats an input repeats no id.
/// - **In order within a key.** Events of one ordering key are processed in their order on the log, one run of them at
///   a time. Events of different keys are processed in any order, by [`Stage::lanes`] threads beside each other.
/// - **Sequenced failures.** Behind an event that could not be processed, later events of its key wait until it is
///   redriven or discarded; other keys go on.
/// - **Contained.** A panic counts as a failure of the event. What the stage keeps must be whole after it.
pub trait Stage: Send + Sync + 'static {
    /// The stage's name: its progress is kept under it, and derived ids contain it. Another name starts from the
    /// beginning of the log, so a stage whose results depend on a model names the model.
    fn name(&self) -> &str;

    /// The topic whose events it processes.
    fn input(&self) -> Topic;

    /// Whether an event of the input is for this stage at all, by its headers ([`meshlog_schemas::Envelope`] names them). What is
    /// not is passed over: it is not opened, nothing waits for it, and a crash may have its headers looked at again.
    fn wants(&self, _headers: &Headers) -> bool {
        true
    }

    /// Topics it keeps in memory.
    fn tables(&self) -> &[Topic] {
        &[]
    }

    /// How many threads may process events of different keys beside each other.
    fn lanes(&self) -> usize {
        1
    }

    /// The bounds and counts that it is run with.
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// Whether its results may come later while many producers wait on the log: then it works on what requests leave over of
    /// the processors, on threads that it shares with the views. Not for a stage for whose results somebody waits, nor for
    /// one that itself waits for somebody, such as a provider: it would keep those threads from all others.
    fn steps_back(&self) -> bool {
        false
    }

    /// How urgent an event is among those that wait.
    fn priority(&self, _event: &StoredEvent) -> Priority {
        Priority::Normal
    }

    /// Shows an event of a table, in order; from the start of the topic at every start.
    fn observe(&self, _event: &StoredEvent) {}

    /// Processes events, several at once because models work best so. Those of one key follow each other on the log.
    ///
    /// # Errors
    /// The runtime then hands the events in one at a time, to find the one at fault; see [`StageError`].
    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError>;
}

/// How urgent an event is. Among keys that wait the highest goes first, by their first event; the lowest is never
/// starved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before all others.
    High,
    /// As it comes.
    #[default]
    Normal,
    /// When there is nothing else, and now and then.
    Low,
}

/// An event that a stage derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// Which of the processed events caused it, by its index among them.
    pub cause: usize,
    /// Tells the events derived from one cause apart; the same for the same work done again.
    pub index: String,
    /// What is now known.
    pub event: Event,
}

/// An event could not be processed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// It may work later; it is tried again with growing pauses, then dead-lettered.
    #[error("{0}")]
    Retriable(String),
    /// It cannot be done now, and that is no fault of the event: a budget is used up, or the server ends. It is tried again
    /// every minute ([`Settings::later`]) for as long as it takes, no try is counted, and no thread waits for it.
    #[error("{0}")]
    Later(String),
    /// It never will; it is dead-lettered at once.
    #[error("{0}")]
    Permanent(String),
}
