//! The `threads` projection: messages, and what of them is forgotten, into the threads store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Topic};

use super::{forgettings, messages, version::version};
use crate::{
    StoreError,
    threads::{MessageRow, ThreadStore},
};

/// Counts up when what [`ThreadProjection`] keeps of an event changes.
const CODE: u32 = 1;
const INPUTS: [Topic; 2] = [Topic::Messages, Topic::Memory];

/// Keeps messages and threads.
pub struct ThreadProjection {
    /// The store, for queries.
    pub store: Arc<ThreadStore>,
}

impl ThreadProjection {
    /// The projection's name.
    pub const NAME: &str = "threads";

    /// The view's version.
    pub fn version() -> String {
        version(CODE, &INPUTS, None)
    }

    /// Opens the store in a directory.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(ThreadStore::open(directory)?) })
    }
}

impl Projection for ThreadProjection {
    fn inputs(&self) -> &[Topic] {
        &INPUTS
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.store.checkpoints()?)
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let rows: Vec<_> = messages(events)
            .map(|(event, body, facets)| {
                let row = MessageRow {
                    message_id: event.envelope.id.0,
                    source_id: body.source_id.clone(),
                    facets,
                    only_asks: crate::recall::only_asks(&body.text),
                    position: event.position,
                };
                (row, body.text.as_str())
            })
            .collect();
        Ok(self.store.apply_and_forget(&rows, &forgettings(events), checkpoints)?)
    }

    fn digest(&self) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest()?)
    }
}
