//! The codec: event bodies to bytes and back, in Avro's single-object encoding.
//!
//! Owns: the frame (`C3 01`, the writer schema's fingerprint, the datum) and the bounds on what is decoded.
//! Promises: bytes from anywhere give an event or an error, never a panic; nothing larger than [`MAX_BODY_BYTES`] is
//! allocated for them.
//! Never: sees a sealed body; that is opened first (see the pipeline's `seal`).

use apache_avro::{reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Event,
    catalog::{self, SchemaVersion},
};

/// The largest body that is written or read, in bytes.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

const MARKER: [u8; 2] = [0xC3, 0x01];
const HEADER_BYTES: usize = 10;

/// An event that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is larger than the log takes.
    #[error("the event's body has {actual} bytes; the most is {MAX_BODY_BYTES}")]
    TooLarge {
        /// Its size in bytes.
        actual: usize,
    },
    /// The value does not fit its own schema: a fault of this program.
    #[error("the event does not fit its schema {schema}: {cause}")]
    Schema {
        /// The schema's full name.
        schema: &'static str,
        /// What the Avro library answered.
        cause: String,
    },
}

/// Bytes that are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than any event is.
    #[error("the body has {actual} bytes; the most is {MAX_BODY_BYTES}")]
    TooLarge {
        /// Its size in bytes.
        actual: usize,
    },
    /// Not Avro's single-object encoding.
    #[error("the body does not begin with Avro's single-object marker C3 01 and a schema fingerprint")]
    NotSingleObject,
    /// Written with a schema that this program does not know.
    #[error("the body was written with the unknown schema {0}; a newer meshlog may read it")]
    UnknownSchema(String),
    /// Does not fit the schema that it names.
    #[error("the body does not fit its schema {schema}: {cause}")]
    Malformed {
        /// The schema's full name and version.
        schema: String,
        /// What the Avro library answered.
        cause: String,
    },
}

/// Encodes an event with the newest schema of its type.
///
/// # Errors
/// The body would be larger than [`MAX_BODY_BYTES`], or does not fit the schema.
pub fn encode(event: &Event) -> Result<Vec<u8>, EncodeError> {
    match event {
        Event::MessageAccepted(body) => write("meshlog.messages.MessageAccepted", body),
        Event::MessageRouted(body) => write("meshlog.deliveries.MessageRouted", body),
        Event::TextEmbedded(body) => write("meshlog.embeddings.TextEmbedded", body),
        Event::SubscriptionAdded(body) => write("meshlog.registry.SubscriptionAdded", body),
        Event::SubscriptionRemoved(body) => write("meshlog.registry.SubscriptionRemoved", body),
        Event::SchemaRegistered(body) => write("meshlog.schemas.SchemaRegistered", body),
        Event::EventFailed(body) => write("meshlog.deadletters.EventFailed", body),
    }
}

/// Decodes an event written with any schema version ever committed, as the newest type.
///
/// # Errors
/// The bytes are no event of this mesh; the error says why.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(DecodeError::TooLarge { actual: bytes.len() });
    }
    let version = schema_of(bytes)?;
    let mut body = &bytes[HEADER_BYTES..];
    let reader = reader(version)?;
    let event = (version.decode)(&reader, &mut body).map_err(|error| named(error, version))?;
    if !body.is_empty() {
        return Err(malformed(version, format!("{} bytes are left over", body.len())));
    }
    Ok(event)
}

/// The schema that a body says it was written with.
///
/// # Errors
/// The bytes are not in single-object encoding, or the schema is unknown.
pub fn schema_of(bytes: &[u8]) -> Result<&'static SchemaVersion, DecodeError> {
    if bytes.len() < HEADER_BYTES || bytes[..2] != MARKER {
        return Err(DecodeError::NotSingleObject);
    }
    let mut fingerprint = [0; 8];
    fingerprint.copy_from_slice(&bytes[2..HEADER_BYTES]);
    catalog::by_fingerprint(fingerprint)
        .ok_or_else(|| DecodeError::UnknownSchema(format!("{:016x}", u64::from_le_bytes(fingerprint))))
}

fn reader(version: &'static SchemaVersion) -> Result<GenericDatumReader<'static>, DecodeError> {
    // Set once for the process; later calls change nothing.
    apache_avro::util::max_allocation_bytes(MAX_BODY_BYTES);
    GenericDatumReader::builder(version.schema)
        .human_readable(true)
        .build()
        .map_err(|error| malformed(version, error.to_string()))
}

/// Reads one datum as `T`. Used by the catalogue's decoders.
pub(crate) fn read<T: DeserializeOwned>(
    reader: &GenericDatumReader<'static>,
    body: &mut &[u8],
) -> Result<T, DecodeError> {
    reader.read_deser(body).map_err(|error| DecodeError::Malformed { schema: String::new(), cause: error.to_string() })
}

fn write<T: Serialize>(name: &'static str, body: &T) -> Result<Vec<u8>, EncodeError> {
    let version = catalog::newest(name);
    let failed = |error: apache_avro::Error| EncodeError::Schema { schema: name, cause: error.to_string() };
    let writer = GenericDatumWriter::builder(version.schema).human_readable(true).build().map_err(failed)?;
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&MARKER);
    bytes.extend_from_slice(&version.fingerprint);
    writer.write_ser(&mut bytes, body).map_err(failed)?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(EncodeError::TooLarge { actual: bytes.len() });
    }
    Ok(bytes)
}

fn malformed(version: &SchemaVersion, cause: String) -> DecodeError {
    DecodeError::Malformed { schema: format!("{} v{}", version.name, version.version), cause }
}

fn named(error: DecodeError, version: &SchemaVersion) -> DecodeError {
    match error {
        DecodeError::Malformed { cause, .. } => malformed(version, cause),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        EventFailed, EventId, MessageAccepted, MessageRouted, SchemaRegistered, SubscriptionAdded, SubscriptionRemoved,
        TextEmbedded, catalog::catalog,
    };

    fn id() -> impl Strategy<Value = EventId> {
        any::<u128>().prop_map(|bits| EventId(uuid::Uuid::from_u128(bits)))
    }

    fn event() -> impl Strategy<Value = Event> {
        let text = || "\\PC{0,30}";
        let bytes = || proptest::collection::vec(any::<u8>(), 0..2000);
        let optional = || proptest::option::of("\\PC{0,30}");
        let message = (optional(), (text(), text(), text()), any::<i64>(), text());
        let embedded = ((id(), text(), text(), text()), any::<[i64; 2]>(), any::<i32>(), (bytes(), bytes()));
        prop_oneof![
            message.prop_map(|(source_id, (space, thread, author), sent_at, text)| {
                Event::MessageAccepted(MessageAccepted {
                    source_id,
                    space,
                    thread,
                    author,
                    role: "user".into(),
                    sent_at,
                    text,
                })
            }),
            (id(), text(), id(), text(), text()).prop_map(|(message_id, recipient, subscription_id, space, thread)| {
                Event::MessageRouted(MessageRouted { message_id, recipient, subscription_id, space, thread })
            }),
            embedded.prop_map(
                |((message_id, space, thread, author), [sent_at, accepted_at], dims, (content_hash, vector))| {
                    Event::TextEmbedded(TextEmbedded {
                        message_id,
                        space,
                        thread,
                        author,
                        role: "tool".into(),
                        sent_at,
                        accepted_at,
                        model: "m".into(),
                        dims,
                        content_hash,
                        vector,
                    })
                }
            ),
            (id(), text(), text(), optional(), optional()).prop_map(
                |(subscription_id, subscriber, space, thread, author)| {
                    Event::SubscriptionAdded(SubscriptionAdded { subscription_id, subscriber, space, thread, author })
                }
            ),
            id().prop_map(|subscription_id| Event::SubscriptionRemoved(SubscriptionRemoved { subscription_id })),
            (text(), any::<i32>(), text(), text()).prop_map(|(name, version, fingerprint, schema)| {
                Event::SchemaRegistered(SchemaRegistered { name, version, fingerprint, schema })
            }),
            (text(), any::<i32>(), any::<i64>(), text(), text()).prop_map(
                |(processor, partition, offset, key, error)| {
                    Event::EventFailed(EventFailed {
                        processor,
                        topic: "messages".into(),
                        partition,
                        offset,
                        key,
                        event_id: String::new(),
                        event_type: String::new(),
                        class: "permanent".into(),
                        error,
                        attempts: 1,
                    })
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn events_round_trip(event in event()) {
            prop_assert_eq!(decode(&encode(&event).unwrap()), Ok(event));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), schema in 0..catalog().len()) {
            let _ = decode(&bytes);
            let framed = [&MARKER[..], &catalog()[schema].fingerprint, &bytes].concat();
            let _ = decode(&framed);
        }

        #[test]
        fn a_cut_body_is_an_error(event in event(), share in 0.0..1.0) {
            let bytes = encode(&event).unwrap();
            let cut = (bytes.len() as f64 * share) as usize;
            prop_assert!(decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn a_length_that_lies_is_refused_without_the_allocation() {
        let version = catalog::newest("meshlog.registry.SubscriptionRemoved");
        // A string said to have 2^40 bytes.
        let lie = [&MARKER[..], &version.fingerprint, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x40]].concat();
        assert!(matches!(decode(&lie), Err(DecodeError::Malformed { .. })));
    }

    #[test]
    fn bytes_after_the_datum_are_an_error() {
        let event = Event::SubscriptionRemoved(SubscriptionRemoved { subscription_id: EventId::fresh() });
        let mut bytes = encode(&event).unwrap();
        bytes.push(0);
        assert!(matches!(decode(&bytes), Err(DecodeError::Malformed { .. })));
    }

    #[test]
    fn an_unknown_schema_is_named() {
        let bytes = [&MARKER[..], &[1, 0, 0, 0, 0, 0, 0, 0], &[0]].concat();
        assert_eq!(decode(&bytes), Err(DecodeError::UnknownSchema("0000000000000001".into())));
    }

    #[test]
    fn an_oversize_event_is_refused_with_its_size() {
        let event = Event::SchemaRegistered(SchemaRegistered {
            name: "n".into(),
            version: 1,
            fingerprint: String::new(),
            schema: "x".repeat(MAX_BODY_BYTES),
        });
        assert!(matches!(encode(&event), Err(EncodeError::TooLarge { actual }) if actual > MAX_BODY_BYTES));
    }
}
