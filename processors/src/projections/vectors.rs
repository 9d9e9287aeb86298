//! The `vectors` projection: embeddings of one model, and what of them is forgotten, into the vector store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Event, TextEmbedded, Topic};

use super::{
    forgettings,
    version::{is_of_model, version},
};
use crate::{
    Facets, StoreError,
    vectors::{VectorItem, VectorStore},
};

/// Counts up when what [`VectorProjection`] keeps of an event changes.
const CODE: u32 = 1;
const INPUTS: [Topic; 2] = [Topic::Embeddings, Topic::Memory];

/// Keeps messages searchable by what they mean, as one model sees it.
pub struct VectorProjection {
    /// The store, for queries.
    pub store: Arc<VectorStore>,
    model_id: String,
    dims: usize,
}

impl VectorProjection {
    /// The projection's name.
    pub const NAME: &str = "vectors";

    /// The view's version for a model.
    pub fn version(model_id: &str) -> String {
        version(CODE, &INPUTS, Some(model_id))
    }

    /// Whether a view of this version holds the vectors of a model.
    pub fn is_of_model(version: &str, model_id: &str) -> bool {
        is_of_model(version, model_id)
    }

    /// Opens the store in a directory. Embeddings of other models are passed over.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path, model_id: &str, dims: usize) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(VectorStore::open(directory, dims)?), model_id: model_id.to_owned(), dims })
    }

    fn item(&self, body: &TextEmbedded) -> VectorItem {
        VectorItem {
            message_id: body.message_id.0,
            facets: Facets {
                space: body.space.clone(),
                thread: body.thread.clone(),
                author: body.author.clone(),
                role: body.role.clone(),
                sent_at: body.sent_at,
                accepted_at: body.accepted_at,
            },
            vector: body
                .vector
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect(),
        }
    }
}

impl Projection for VectorProjection {
    fn inputs(&self) -> &[Topic] {
        &INPUTS
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.store.checkpoints()?)
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let items: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.event {
                Event::TextEmbedded(body) if body.model == self.model_id => Some(self.item(body)),
                _ => None,
            })
            // The model itself never gives another vector; another producer's event must not stop the projection.
            .filter(|item| item.vector.is_empty() || item.vector.len() == self.dims)
            .filter(|item| item.vector.iter().all(|number| number.is_finite()))
            .collect();
        Ok(self.store.apply_and_forget(&items, &forgettings(events), checkpoints)?)
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest_telling(fixed)?)
    }
}
