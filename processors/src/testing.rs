//! Events for this room's tests.

use meshlog_pipeline::StoredEvent;
use meshlog_schemas::{Envelope, Event, EventId, MessageAccepted, Partition, Position, Trust};

/// An event as if read from partition 0 of its topic.
pub(crate) fn stored(offset: u64, event: Event) -> StoredEvent {
    let id = EventId::of_source("test", &format!("{}/{offset}", event.topic()));
    StoredEvent {
        position: Position { partition: Partition { topic: event.topic(), id: 0 }, offset },
        appended_at: 1_000 + offset as i64,
        key: event.ordering_key(),
        envelope: Envelope {
            id,
            source: "/test".into(),
            kind: event.kind().into(),
            time: 1_000 + offset as i64,
            space: event.space().map(Into::into),
            causation: None,
            correlation: None,
            traceparent: None,
            trust: Trust::Client,
        },
        event,
    }
}

/// A message said at second 0.
pub(crate) fn message(space: &str, thread: &str, author: &str, text: &str) -> Event {
    Event::MessageAccepted(MessageAccepted {
        source_id: None,
        space: space.into(),
        thread: thread.into(),
        author: author.into(),
        role: "user".into(),
        sent_at: 0,
        text: text.into(),
    })
}
