//! The `text` projection: messages with their edits, and what of them is forgotten, into the text store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Topic};

use super::{forgettings, version::version};
use crate::{
    StoreError,
    message::Message,
    text::{TextDocument, TextStore},
};

/// Counts up when what [`TextProjection`] keeps of an event changes, or how text becomes terms.
const CODE: u32 = 2;
const INPUTS: [Topic; 2] = [Topic::Messages, Topic::Memory];

/// Keeps messages searchable by their words.
pub struct TextProjection {
    /// The store, for queries.
    pub store: Arc<TextStore>,
}

impl TextProjection {
    /// The projection's name.
    pub const NAME: &str = "text";

    /// The view's version.
    pub fn version() -> String {
        version(CODE, &INPUTS, None)
    }

    /// Opens the store in a directory; with the memory that filling it may take, in bytes, where nobody asks it yet.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(TextStore::open_with(directory, memory)?) })
    }
}

impl Projection for TextProjection {
    fn inputs(&self) -> &[Topic] {
        &INPUTS
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.store.checkpoints())
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let documents: Vec<_> = Message::all(events)
            .map(|message| TextDocument {
                message_id: message.id.0,
                facets: message.facets,
                position: message.event.position,
                text: message.text.to_owned(),
            })
            .collect();
        Ok(self.store.apply_and_forget(&documents, &forgettings(events), checkpoints)?)
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest_telling(fixed)?)
    }
}
