//! Table views: what a short topic says as it stands now, in memory, for those who ask.
//!
//! Owns: a table that is brought up to the log's end on every look, so a look sees every acknowledged change.
//! Never: waits; the topic is short.

use std::sync::{Mutex, PoisonError};

use meshlog_pipeline::{BATCH_LIMIT, EventLog, Feed, LogError, StoredEvent};
use meshlog_schemas::{Checkpoints, Topic};

/// What is folded out of a topic.
pub trait Table: Default {
    /// The topic.
    const TOPIC: Topic;

    /// Folds in an event of the topic; what means nothing to it is passed over.
    fn observe(&mut self, event: &StoredEvent);
}

/// A table as it stands now.
pub struct TableView<T> {
    events: EventLog,
    state: Mutex<(Feed, T)>,
}

impl<T: Table> TableView<T> {
    /// A view of the table's topic in `events`, which must hold all of it.
    pub fn new(events: EventLog) -> Self {
        let feed = Feed::new(events.clone(), &[T::TOPIC], Checkpoints::default());
        Self { events, state: Mutex::new((feed, T::default())) }
    }

    /// Looks at the table.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn look<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R, LogError> {
        // A fold that panicked half-way is taken up where its feed stands; events are whole.
        self.events.log().synchronize(T::TOPIC)?;
        let mut view = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (feed, table) = &mut *view;
        loop {
            let batch = feed.next(BATCH_LIMIT, None)?;
            if batch.is_empty() {
                return Ok(look(table));
            }
            batch.entries.iter().flatten().for_each(|event| table.observe(event));
        }
    }
}
