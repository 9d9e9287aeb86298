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

/// The headers of the message for a record.
pub(super) fn headers(record: &NewRecord) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.iter().count() + 1);
    for (key, value) in record.headers.iter() {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    match record.identity {
        Some(EventId(id)) => headers.insert(Header { key: IDENTITY, value: Some(id.as_bytes()) }),
        None => headers,
    }
}

/// The record in a message, and its identity. The time is the broker's, in whole milliseconds, and not before `not_before`.
pub(super) fn record(
    message: &BorrowedMessage<'_>,
    partition: Partition,
    not_before: i64,
) -> (Record, Option<EventId>) {
    let given = message.headers().into_iter().flat_map(|headers| headers.iter());
    let mut identity = None;
    let headers: Headers = given
        .filter(|header| {
            let is_identity = header.key == IDENTITY;
            if is_identity {
                identity = header.value.and_then(|bytes| Uuid::from_slice(bytes).ok()).map(EventId);
            }
            !is_identity
        })
        .map(|header| (header.key, header.value.unwrap_or_default()))
        .collect();
    let record = Record {
        // Kafka's offsets begin at 0.
        position: Position { partition, offset: message.offset().max(0) as u64 },
        appended_at: message.timestamp().to_millis().unwrap_or(0).saturating_mul(1000).max(not_before),
        key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
        headers,
        body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
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
