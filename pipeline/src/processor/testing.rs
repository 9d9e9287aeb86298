//! Events for the tests of stages and projections.

use std::sync::Arc;

use meshlog_schemas::{Event, EventId, MessageAccepted, Trust};

use crate::{ClearSealer, EventLog, MemoryLog, NewEvent, default_layout};

/// A log of events that is gone with the test.
pub(super) fn in_memory() -> EventLog {
    EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer))
}

/// Something that Ada says in a thread of the space `main`.
pub(super) fn message(thread: &str, text: &str) -> NewEvent {
    let event = Event::MessageAccepted(MessageAccepted {
        source_id: None,
        space: "main".into(),
        thread: thread.into(),
        author: "Ada".into(),
        role: "user".into(),
        sent_at: 1,
        text: text.into(),
    });
    NewEvent::first(EventId::fresh(), "/test", Trust::Client, event)
}
