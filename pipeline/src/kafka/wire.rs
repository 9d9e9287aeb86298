//! How a record and a processor's progress look on Kafka.
//!
//! A body in Avro's single-object encoding may stand there in Confluent's wire format instead: the same datum behind another
//! prefix. Both are read, and nothing above notices.
//!
//! ```text
//!   C3 01 | fingerprint, 8 bytes | datum     single-object encoding, and on every other engine
//!      00 | id in a registry, 4  | datum     Confluent's wire format
//! ```
//!
//! Owns: the two mappings. A record's headers are the message's, so that any Kafka client reads them (CloudEvents, binary
//! mode); what only the log itself needs is added under names that begin with `meshlog_` and taken off again.
//! Never: opens a body, or touches the prefix of a sealed one.

use std::borrow::Cow;

use bytes::Bytes;
use meshlog_schemas::{
    AVRO_CONTENT_TYPE, Checkpoints, EventId, Headers, Partition, Position, single_object, split_confluent,
    split_single_object,
};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{BodyFormat, KafkaOptions, registry::Registry, storage};
use crate::{
    log::LogError,
    record::{NewRecord, Record, StoredProgress},
    seal::SEAL_HEADER,
};

/// The header of a record that is stored once: its identity, as the sixteen bytes of a UUID.
const IDENTITY: &str = "meshlog_identity";
const CONTENT_TYPE: &str = "content-type";
/// The media type of a body in Confluent's wire format, for which there is no registered one.
const CONFLUENT_CONTENT_TYPE: &str = "application/avro";

/// How bodies stand on Kafka, with the registry that Confluent's wire format needs.
pub(super) struct Wire {
    registry: Option<Registry>,
    format: BodyFormat,
}

impl Wire {
    /// Registers our schemas, if there is a registry.
    ///
    /// # Errors
    /// The registry is not reached or does not take them, or there is none and the format needs one.
    pub(super) fn open(options: &KafkaOptions) -> Result<Self, LogError> {
        let registry = options.registry.as_deref().map(Registry::open).transpose();
        let registry = registry.map_err(|error| storage("register the schemas", &error))?;
        if registry.is_none() && options.body_format == BodyFormat::Confluent {
            return Err(storage("write Confluent's wire format", &"no schema registry is configured"));
        }
        Ok(Self { registry, format: options.body_format })
    }

    /// The headers and the body of the message for a record.
    pub(super) fn message<'a>(&self, record: &'a NewRecord) -> (OwnedHeaders, Cow<'a, [u8]>) {
        let confluent = self.confluent(record);
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.iter().count() + 1);
        for (key, value) in record.headers.iter() {
            let value =
                if confluent.is_some() && key == CONTENT_TYPE { CONFLUENT_CONTENT_TYPE.as_bytes() } else { value };
            headers = headers.insert(Header { key, value: Some(value) });
        }
        if let Some(EventId(id)) = record.identity {
            headers = headers.insert(Header { key: IDENTITY, value: Some(id.as_bytes()) });
        }
        (headers, confluent.map_or(Cow::Borrowed(&record.body), Cow::Owned))
    }

    /// The body in Confluent's wire format, if it is written so and can be.
    fn confluent(&self, record: &NewRecord) -> Option<Vec<u8>> {
        let registry = self.registry.as_ref().filter(|_| self.format == BodyFormat::Confluent)?;
        if record.headers.get(SEAL_HEADER).is_some() {
            return None;
        }
        let (fingerprint, datum) = split_single_object(&record.body)?;
        let id = registry.id(fingerprint)?;
        Some([&[0], &id.to_be_bytes()[..], datum].concat())
    }

    /// The record in a message, and its identity. The time is the broker's, in whole milliseconds, and not before `not_before`.
    /// A body in Confluent's wire format whose schema is not known yet stays as it is; see [`Wire::resolve`].
    pub(super) fn record(
        &self,
        message: &BorrowedMessage<'_>,
        partition: Partition,
        not_before: i64,
    ) -> (Record, Option<EventId>) {
        let (mut record, identity) = record(message, partition, not_before);
        if let Some(registry) = &self.registry {
            exchange(&mut record, |id| registry.known(id));
        }
        (record, identity)
    }

    /// Brings records that are read into our form, for which the registry may be asked. A body whose schema is not found stays
    /// as it is: no event, which says why.
    pub(super) fn resolve(&self, mut records: Vec<Record>) -> Vec<Record> {
        if let Some(registry) = &self.registry {
            records.iter_mut().for_each(|record| exchange(record, |id| registry.look_up(id)));
        }
        records
    }
}

/// Puts the body of a record into single-object encoding, if it is in Confluent's wire format and its schema is known.
fn exchange(record: &mut Record, fingerprint_of: impl Fn(u32) -> Option<[u8; 8]>) {
    let Some((id, datum)) = split_confluent(&record.body) else { return };
    if record.headers.get(SEAL_HEADER).is_some() {
        return;
    }
    let Some(fingerprint) = fingerprint_of(id) else { return };
    record.body = single_object(fingerprint, datum).into();
    if record.headers.get(CONTENT_TYPE).is_some_and(|value| value == CONFLUENT_CONTENT_TYPE.as_bytes()) {
        let ours = |(key, value)| if key == CONTENT_TYPE { (key, AVRO_CONTENT_TYPE.as_bytes()) } else { (key, value) };
        record.headers = record.headers.iter().map(ours).collect();
    }
}

/// The header of a record that was moved here from another engine: when it was appended there, in microseconds since the
/// epoch, as a decimal number.
const APPENDED_AT: &str = "meshlog_appended_at";

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
    use proptest::prelude::*;

    use super::*;

    fn stored(headers: &Headers, body: &[u8]) -> Record {
        Record {
            position: Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset: 0 },
            appended_at: 0,
            key: Bytes::new(),
            headers: headers.clone(),
            body: body.to_vec().into(),
            identity: None,
        }
    }

    proptest! {
        #[test]
        fn only_a_clear_body_with_a_known_id_is_exchanged(
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..20),
                proptest::collection::vec(any::<u8>(), 0..20).prop_map(|datum| [&[0, 0, 0, 0, 7], &datum[..]].concat()),
            ],
            is_sealed: bool,
            content_type in prop_oneof!["application/avro", "[a-z/+]{0,9}"],
        ) {
            let seal = is_sealed.then_some((SEAL_HEADER, "key"));
            let headers: Headers = seal.into_iter().chain([(CONTENT_TYPE, &*content_type)]).collect();
            let mut record = stored(&headers, &body);
            exchange(&mut record, |id| (id == 7).then_some([1; 8]));
            match body.strip_prefix(&[0, 0, 0, 0, 7]).filter(|_| !is_sealed) {
                None => prop_assert_eq!(record, stored(&headers, &body)),
                Some(datum) => {
                    prop_assert_eq!(&record.body[..], &[&[0xc3, 1, 1, 1, 1, 1, 1, 1, 1, 1], datum].concat()[..]);
                    let ours = if content_type == CONFLUENT_CONTENT_TYPE { AVRO_CONTENT_TYPE } else { &*content_type };
                    prop_assert_eq!(record.headers.get(CONTENT_TYPE), Some(ours.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn progress_is_read_as_it_was_written() {
        let checkpoints = Checkpoints::from_iter([(Partition { topic: Topic::Messages, id: 3 }, 17)]);
        let stored = StoredProgress { checkpoints, note: "a \"note\"\n".to_owned() };
        assert_eq!(parse_progress(&progress(&stored)), Some(stored));
        assert_eq!(parse_progress(b"{}"), None);
        assert_eq!(parse_progress(b"\xff"), None);
    }
}
