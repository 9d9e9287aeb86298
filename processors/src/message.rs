//! Messages as the log tells them: what a message says, as it was taken in or as it was edited.
//!
//! Owns: the one map from events to messages, so that every stage and projection reads an edit alike.
//! Promises: an edit has the id and the facets of the message that it is of. It stands behind it, for both have one key; so of
//! what is read of a message the last holds.

use meshlog_pipeline::StoredEvent;
use meshlog_schemas::{Event, EventId, MessageEdited};

use crate::Facets;

/// What a message says from one event on.
#[derive(Debug, Clone)]
pub(crate) struct Message<'e> {
    /// The event.
    pub(crate) event: &'e StoredEvent,
    /// The message.
    pub(crate) id: EventId,
    /// The id it had where it came from.
    pub(crate) source_id: Option<&'e String>,
    /// Space, thread, author, role and times.
    pub(crate) facets: Facets,
    /// What it says.
    pub(crate) text: &'e str,
    /// The edit, if it says this since one.
    pub(crate) edit: Option<&'e MessageEdited>,
}

impl<'e> Message<'e> {
    /// The message of an event, if it is of one.
    pub(crate) fn of(event: &'e StoredEvent) -> Option<Self> {
        match &event.event {
            Event::MessageAccepted(body) => Some(Self {
                event,
                id: event.envelope.id,
                source_id: body.source_id.as_ref(),
                facets: Facets {
                    space: body.space.clone(),
                    thread: body.thread.clone(),
                    author: body.author.clone(),
                    role: body.role.clone(),
                    sent_at: body.sent_at,
                    accepted_at: event.appended_at,
                },
                text: &body.text,
                edit: None,
            }),
            Event::MessageEdited(body) => Some(Self {
                event,
                id: body.message_id,
                source_id: body.source_id.as_ref(),
                facets: Facets {
                    space: body.space.clone(),
                    thread: body.thread.clone(),
                    author: body.author.clone(),
                    role: body.role.clone(),
                    sent_at: body.sent_at,
                    accepted_at: body.accepted_at,
                },
                text: &body.text,
                edit: Some(body),
            }),
            _ => None,
        }
    }

    /// The messages of events, in their order.
    pub(crate) fn all(events: &'e [StoredEvent]) -> impl Iterator<Item = Self> {
        events.iter().filter_map(Self::of)
    }
}

/// Whether a text says nothing: then there is nothing to find it by.
pub(crate) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
