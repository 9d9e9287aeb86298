//! Letters: dead letters as events, and what such events say.
//!
//! Owns: the one way between the schedule's words and the records of the dead-letters topic, both ways.
//! Never: a clock; when something happened is handed in or stands in the event.

use meshlog_schemas::{
    DeadLetterDiscarded, DeadLetterRedriven, Envelope, Event, EventFailed, EventId, Partition, Position,
    RedriveRequested, Trust,
};
use uuid::Uuid;

use super::schedule::{Change, ChangeKind, End, FailureClass, Letter, Outcome};
use crate::events::{Entry, NewEvent, StoredEvent};

/// What of an error is written down.
const LONGEST_ERROR: usize = 2_000;

/// Asks `processor` to try a parked event again; for an event that waits, to begin with the one it waits behind. On
/// something that is not parked it has no effect.
pub fn redrive_requested(source: &str, processor: &str, position: Position, key: &str) -> NewEvent {
    let (topic, partition, offset) = parts(position);
    let body = RedriveRequested { processor: processor.to_owned(), topic, partition, offset, key: key.to_owned() };
    NewEvent::first(EventId::fresh(), source, Trust::Client, Event::RedriveRequested(body))
}

/// Lets a parked event go: `processor` goes on without it. On something that is not parked it has no effect.
pub fn dead_letter_discarded(
    source: &str,
    processor: &str,
    position: Position,
    key: &str,
    author: &str,
    reason: &str,
) -> NewEvent {
    let (topic, partition, offset) = parts(position);
    let body = DeadLetterDiscarded {
        processor: processor.to_owned(),
        topic,
        partition,
        offset,
        key: key.to_owned(),
        author: author.to_owned(),
        reason: reason.to_owned(),
    };
    NewEvent::first(EventId::fresh(), source, Trust::Client, Event::DeadLetterDiscarded(body))
}

/// What the event at `letter` says of a processor's event. `None` if it is about something else, or names a position
/// that cannot be.
pub(crate) fn change(letter: &StoredEvent) -> Option<(&str, Change)> {
    let at = |processor, topic: &str, partition, offset, key: &str, kind| {
        let change = Change { key: key.into(), position: position(topic, partition, offset)?, kind };
        Some((processor, change))
    };
    match &letter.event {
        Event::EventFailed(body) => {
            let kind = ChangeKind::Failed {
                // A class of a later version is at least one that cannot be processed.
                class: FailureClass::from_name(&body.class).unwrap_or(FailureClass::Permanent),
                attempts: u32::try_from(body.attempts).unwrap_or(0),
                at: if body.failed_at > 0 { body.failed_at } else { letter.appended_at },
                letter: letter.position,
            };
            at(body.processor.as_str(), &body.topic, body.partition, body.offset, &body.key, kind)
        }
        Event::RedriveRequested(body) => {
            let kind = ChangeKind::RedriveRequested;
            at(body.processor.as_str(), &body.topic, body.partition, body.offset, &body.key, kind)
        }
        Event::DeadLetterRedriven(body) => {
            let kind = ChangeKind::Redriven;
            at(body.processor.as_str(), &body.topic, body.partition, body.offset, &body.key, kind)
        }
        Event::DeadLetterDiscarded(body) => {
            let kind = ChangeKind::Discarded;
            at(body.processor.as_str(), &body.topic, body.partition, body.offset, &body.key, kind)
        }
        _ => None,
    }
}

/// The record of the dead-letters topic that an outcome is told by, if any. `entry` is the event, if it is at hand.
pub(super) fn letter(stage: &str, outcome: &Outcome, entry: Option<&Entry>, now: i64) -> Option<NewEvent> {
    let (event, index) = match &outcome.end {
        End::Done | End::Skipped => return None,
        End::Parked(letter) => (failed(stage, outcome, letter, entry, now), "dead-letter".to_owned()),
        End::FailedAgain(letter) => {
            (failed(stage, outcome, letter, entry, now), format!("dead-letter/{}", letter.attempts))
        }
        End::Redriven { attempts } => {
            let (topic, partition, offset) = parts(outcome.position);
            let attempts = i32::try_from(*attempts).unwrap_or(i32::MAX);
            let (processor, key) = (stage.to_owned(), outcome.key.to_string());
            let body = DeadLetterRedriven { processor, topic, partition, offset, key, attempts };
            (Event::DeadLetterRedriven(body), "redriven".to_owned())
        }
    };
    Some(match entry.and_then(envelope) {
        Some(envelope) => NewEvent::derived(envelope, stage, &index, event),
        None => {
            let index = format!("{index}/{}", outcome.position);
            let id = EventId::derived(EventId(Uuid::nil()), stage, &index);
            NewEvent::first(id, &format!("/stage/{stage}"), Trust::External, event)
        }
    })
}

fn failed(stage: &str, outcome: &Outcome, letter: &Letter, entry: Option<&Entry>, now: i64) -> Event {
    let (topic, partition, offset) = parts(outcome.position);
    let envelope = entry.and_then(envelope);
    Event::EventFailed(EventFailed {
        processor: stage.to_owned(),
        topic,
        partition,
        offset,
        key: outcome.key.to_string(),
        event_id: envelope.map(|envelope| envelope.id.to_string()).unwrap_or_default(),
        event_type: envelope.map(|envelope| envelope.kind.clone()).unwrap_or_default(),
        class: letter.class.name().to_owned(),
        error: letter.error.chars().take(LONGEST_ERROR).collect(),
        attempts: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
        failed_at: now,
        head_offset: letter.head.and_then(|head| i64::try_from(head).ok()).unwrap_or(-1),
    })
}

fn envelope(entry: &Entry) -> Option<&Envelope> {
    match entry {
        Ok(event) => Some(&event.envelope),
        Err(unreadable) => unreadable.envelope.as_ref(),
    }
}

fn parts(position: Position) -> (String, i32, i64) {
    let Position { partition, offset } = position;
    // Invariant: neither partitions nor offsets come near these bounds.
    let (id, offset) = (i32::try_from(partition.id).unwrap_or(i32::MAX), i64::try_from(offset).unwrap_or(i64::MAX));
    (partition.topic.name().to_owned(), id, offset)
}

fn position(topic: &str, partition: i32, offset: i64) -> Option<Position> {
    let partition = Partition { topic: topic.parse().ok()?, id: u32::try_from(partition).ok()? };
    Some(Position { partition, offset: u64::try_from(offset).ok()? })
}
