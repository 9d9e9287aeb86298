//! Projections: which events feed which store.
//!
//! Owns: the mapping from events to what each store keeps, and the version of each view.
//! Never: anything a store could do alone; stores know no events, projections no storage.

mod calls;
mod text;
mod threads;
mod vectors;
mod version;

pub use calls::CallProjection;
pub use text::TextProjection;
pub use threads::ThreadProjection;
pub use vectors::VectorProjection;

use meshlog_pipeline::{ProjectionError, StoredEvent};
use meshlog_schemas::{Event, MessageAccepted};

use crate::{Facets, StoreError};

impl From<StoreError> for ProjectionError {
    fn from(error: StoreError) -> Self {
        ProjectionError(error.to_string())
    }
}

/// The messages among the events, with their facets.
fn messages(events: &[StoredEvent]) -> impl Iterator<Item = (&StoredEvent, &MessageAccepted, Facets)> {
    events.iter().filter_map(|event| {
        let Event::MessageAccepted(body) = &event.event else { return None };
        let facets = Facets {
            space: body.space.clone(),
            thread: body.thread.clone(),
            author: body.author.clone(),
            role: body.role.clone(),
            sent_at: body.sent_at,
            accepted_at: event.appended_at,
        };
        Some((event, body, facets))
    })
}

#[cfg(test)]
mod tests;
