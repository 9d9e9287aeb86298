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
use meshlog_schemas::{Event, MemoryForgotten, Topic};

use crate::{Forgetting, Hidden, Scope, StoreError, Table};

impl From<StoreError> for ProjectionError {
    fn from(error: StoreError) -> Self {
        ProjectionError(error.to_string())
    }
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
        "messages" => Scope::Messages,
        _ => return None,
    };
    Some(Forgetting { space: body.space.clone(), scope, until: body.until })
}

impl Table for Hidden {
    const TOPIC: Topic = Topic::Memory;

    fn observe(&mut self, event: &StoredEvent) {
        let Event::MemoryForgotten(body) = &event.event else { return };
        match body.scope.as_str() {
            // What is no id names no message.
            "wording" => _ = body.target.parse().map(|message_id| self.redact(&body.space, message_id)),
            "calls" => self.hide_calls(&body.space, &body.target, body.until),
            _ => _ = forgetting(body).map(|forgetting| self.forgotten.add(&forgetting)),
        }
    }
}

#[cfg(test)]
mod tests;
