//! The subscription view: the subscriptions as they stand now, for those who ask.
//!
//! Owns: a table that is brought up to the log's end on every look, so a look sees every acknowledged change.
//! Never: waits; the registry is short.

use std::sync::{Mutex, PoisonError};

use meshlog_pipeline::{BATCH_LIMIT, EventLog, Feed, LogError};
use meshlog_schemas::{Checkpoints, Topic};

use super::SubscriptionTable;

/// The subscriptions as they stand now.
pub struct SubscriptionView {
    events: EventLog,
    state: Mutex<(Feed, SubscriptionTable)>,
}

impl SubscriptionView {
    /// A view of the registry of `events`.
    pub fn new(events: EventLog) -> Self {
        let feed = Feed::new(events.clone(), &[Topic::Registry], Checkpoints::default());
        Self { events, state: Mutex::new((feed, SubscriptionTable::default())) }
    }

    /// Looks at the subscriptions.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn look<T>(&self, look: impl FnOnce(&SubscriptionTable) -> T) -> Result<T, LogError> {
        // A fold that panicked half-way is taken up where its feed stands; events are whole.
        self.events.log().synchronize(Topic::Registry)?;
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
