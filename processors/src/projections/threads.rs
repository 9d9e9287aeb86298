//! The `threads` projection: messages with their edits, and what of them is forgotten, into the threads store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Topic};

use super::{forgettings, version::version};
use crate::{
    StoreError,
    message::Message,
    threads::{Edit, MessageRow, ThreadStore},
};

/// Counts up when what [`ThreadProjection`] keeps of an event changes.
const CODE: u32 = 2;
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

    /// Opens the store in a directory; with the memory that filling it may take, in bytes, where nobody asks it yet.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(ThreadStore::open_with(directory, memory)?) })
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
        let rows: Vec<_> = Message::all(events)
            .map(|message| {
                let position = message.event.position;
                let row = MessageRow {
                    message_id: message.id.0,
                    source_id: message.source_id.cloned(),
                    facets: message.facets,
                    only_asks: crate::recall::only_asks(message.text),
                    position,
                    edit: message.edit.map(|edit| Edit {
                        kind: edit.kind.clone(),
                        editor: edit.editor.clone(),
                        reason: edit.reason.clone(),
                        at: edit.edited_at,
                        position,
                    }),
                };
                (row, message.text)
            })
            .collect();
        Ok(self.store.apply_and_forget(&rows, &forgettings(events), checkpoints)?)
    }

    fn settle(&self) -> Result<(), ProjectionError> {
        Ok(self.store.settle()?)
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest_telling(fixed)?)
    }
}
