//! How a record and a processor's progress look on Kafka.
//!
//! Owns: the two mappings. A record's headers are the message's, so that any Kafka client reads them (CloudEvents, binary
//! mode); what only the log itself needs is added under names that begin with `meshlog_` and taken off again.
//! Never: opens a body.

use bytes::Bytes;
use meshlog_schemas::{Checkpoints, EventId, Headers, Partition, Position};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::{NewRecord, Record, StoredProgress};

/// The header of a record that is stored once: its identity, as the sixteen bytes of a UUID.
const IDENTITY: &str = "meshlog_identity";

/// The header of a record that was moved here from another engine: when it was appended there, in microseconds since the
/// epoch, as a decimal number.
const APPENDED_AT: &str = "meshlog_appended_at";

/// The headers of the message for a record.
pub(super) fn headers(record: &NewRecord) -> OwnedHeaders {
    with_identity(&record.headers, record.identity)
}

/// The headers of the message for a record that is moved here.
pub(super) fn moved_headers(record: &Record) -> OwnedHeaders {
    let appended_at = record.appended_at.to_string();
    with_identity(&record.headers, record.identity).insert(Header { key: APPENDED_AT, value: Some(&appended_at) })
}

/// The header of a message that only keeps a place.
const PLACEHOLDER: &str = "meshlog_placeholder";

/// The headers of a message that is there to be counted, and to be deleted.
pub(super) fn placeholder() -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(1).insert(Header { key: PLACEHOLDER, value: Some("") })
}

/// Whether a record with these headers is a placeholder.
pub(super) fn is_placeholder(headers: &Headers) -> bool {
    headers.get(PLACEHOLDER).is_some()
}

fn with_identity(given: &Headers, identity: Option<EventId>) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(given.iter().count() + 2);
    for (key, value) in given.iter() {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    match identity {
        Some(EventId(id)) => headers.insert(Header { key: IDENTITY, value: Some(id.as_bytes()) }),
        None => headers,
    }
}

/// The record in a message, and its identity. The time is that of the engine it was moved here from, or the broker's, in whole
/// milliseconds; and not before `not_before`.
pub(super) fn record(
    message: &BorrowedMessage<'_>,
    partition: Partition,
    not_before: i64,
) -> (Record, Option<EventId>) {
    let given = message.headers().into_iter().flat_map(|headers| headers.iter());
    let (mut identity, mut appended_at) = (None, None);
    let headers: Headers = given
        .filter(|header| {
            match header.key {
                IDENTITY => identity = header.value.and_then(|bytes| Uuid::from_slice(bytes).ok()).map(EventId),
                APPENDED_AT => appended_at = header.value.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()),
                _ => return true,
            }
            false
        })
        .map(|header| (header.key, header.value.unwrap_or_default()))
        .collect();
    let record = Record {
        // Kafka's offsets begin at 0.
        position: Position { partition, offset: message.offset().max(0) as u64 },
        appended_at: appended_at
            .unwrap_or_else(|| message.timestamp().to_millis().unwrap_or(0).saturating_mul(1000))
            .max(not_before),
        key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
        headers,
        body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        identity,
    };
    (record, identity)
}

/// A processor's progress as JSON, under its name as the key on a compacted topic.
#[derive(Serialize, Deserialize)]
struct ProgressMessage {
    checkpoints: String,
    note: String,
}

pub(super) fn progress(progress: &StoredProgress) -> Vec<u8> {
    let message = ProgressMessage { checkpoints: progress.checkpoints.to_text(), note: progress.note.clone() };
    serde_json::to_vec(&message).expect("two strings are JSON")
}

/// `None` if it is none.
pub(super) fn parse_progress(body: &[u8]) -> Option<StoredProgress> {
    let message: ProgressMessage = serde_json::from_slice(body).ok()?;
    Some(StoredProgress { checkpoints: Checkpoints::from_text(&message.checkpoints)?, note: message.note })
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;

    use super::*;

    #[test]
    fn progress_is_read_as_it_was_written() {
        let checkpoints = Checkpoints::from_iter([(Partition { topic: Topic::Messages, id: 3 }, 17)]);
        let stored = StoredProgress { checkpoints, note: "a \"note\"\n".to_owned() };
        assert_eq!(parse_progress(&progress(&stored)), Some(stored));
        assert_eq!(parse_progress(b"{}"), None);
        assert_eq!(parse_progress(b"\xff"), None);
    }
}
