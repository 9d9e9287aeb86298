//! Projections: which events feed which store.
//!
//! Owns: the mapping from events to what each store keeps, and the version of each view.
//! Never: anything a store could do alone; stores know no events, projections no storage.

mod calls;
mod graph;
mod summaries;
mod text;
mod threads;
mod vectors;
mod version;

pub use calls::CallProjection;
pub use graph::GraphProjection;
pub use summaries::SummaryProjection;
pub use text::TextProjection;
pub use threads::ThreadProjection;
pub use vectors::VectorProjection;

use meshlog_pipeline::{ProjectionError, StoredEvent};
use meshlog_schemas::{Event, MemoryForgotten, MessageAccepted, Topic};

use crate::{Facets, Forgetting, Forgotten, Scope, StoreError, Table};

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

/// Which messages are to be in no answer any more.
fn forgettings(events: &[StoredEvent]) -> Vec<Forgetting> {
    let forgotten = events.iter().filter_map(|event| match &event.event {
        Event::MemoryForgotten(body) => forgetting(body),
        _ => None,
    });
    forgotten.collect()
}

/// What of the messages is forgotten; `None` where it is something else.
fn forgetting(body: &MemoryForgotten) -> Option<Forgetting> {
    let scope = match body.scope.as_str() {
        "message" => Scope::Message(body.target.parse().ok()?),
        "thread" => Scope::Thread(body.target.clone()),
        "author" => Scope::Author(body.target.clone()),
        "space" => Scope::Space,
        _ => return None,
    };
    Some(Forgetting { space: body.space.clone(), scope, until: body.until })
}

impl Table for Forgotten {
    const TOPIC: Topic = Topic::Memory;

    fn observe(&mut self, event: &StoredEvent) {
        if let Event::MemoryForgotten(body) = &event.event
            && let Some(forgetting) = forgetting(body)
        {
            self.add(&forgetting);
        }
    }
}

#[cfg(test)]
mod tests;
