//! The codec: event bodies to bytes and back, in Avro's single-object encoding.
//!
//! Owns: the frame (`C3 01`, the writer schema's fingerprint, the datum) and the bounds on what is decoded. How a datum
//! stands in bytes is [`crate::binary`]'s, which schema a body has is [`mod@crate::catalog`]'s.
//! Promises: bytes from anywhere give an event or an error, never a panic; nothing larger than [`MAX_BODY_BYTES`] is
//! allocated for them.
//! Never: sees a sealed body; that is opened first (see the pipeline's `seal`).

use crate::{
    Event,
    binary::Record,
    catalog::{self, SchemaVersion},
};

/// The largest body that is written or read, in bytes.
pub const MAX_BODY_BYTES: usize = 7 * 1024 * 1024;

const MARKER: [u8; 2] = [0xC3, 0x01];
const HEADER_BYTES: usize = 10;

/// An event that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It is larger than the log takes.
    #[error("the event's body has {actual} bytes; the most is {MAX_BODY_BYTES}")]
    TooLarge {
        /// Its size in bytes.
        actual: usize,
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
    /// In Confluent's wire format. At the edge to Kafka it is exchanged for ours, if the schema of the id can be found.
    #[error(
        "the body is in Confluent's wire format with the schema id {0}, which was not found: configure the schema registry \
         that it was written with, and see that it answers and has the id"
    )]
    UnresolvedSchemaId(u32),
    /// Written with a schema that this program does not know.
    #[error("the body was written with the unknown schema {0}; a newer meshlog may read it")]
    UnknownSchema(String),
    /// Does not fit the schema that it names.
    #[error("the body does not fit its schema {schema}: {cause}")]
    Malformed {
        /// The schema's full name and version.
        schema: String,
        /// Which field, and what is wrong with it.
        cause: String,
    },
}

/// Encodes an event with the newest schema of its type.
///
/// # Errors
/// The body would be larger than [`MAX_BODY_BYTES`].
pub fn encode(event: &Event) -> Result<Vec<u8>, EncodeError> {
    match event {
        Event::MessageAccepted(body) => write("meshlog.messages.MessageAccepted", body),
        Event::MessageEdited(body) => write("meshlog.messages.MessageEdited", &**body),
        Event::MessageRouted(body) => write("meshlog.deliveries.MessageRouted", body),
        Event::TextEmbedded(body) => write("meshlog.embeddings.TextEmbedded", body),
        Event::KnowledgeExtracted(body) => write("meshlog.knowledge.KnowledgeExtracted", body),
        Event::EntitiesMerged(body) => write("meshlog.knowledge.EntitiesMerged", body),
        Event::EntitiesParted(body) => write("meshlog.knowledge.EntitiesParted", body),
        Event::ThreadSummarised(body) => write("meshlog.knowledge.ThreadSummarised", body),
        Event::InsightPinned(body) => write("meshlog.memory.InsightPinned", body),
        Event::FactCorrected(body) => write("meshlog.memory.FactCorrected", body),
        Event::MemoryForgotten(body) => write("meshlog.memory.MemoryForgotten", body),
        Event::ThreadFiled(body) => write("meshlog.memory.ThreadFiled", body),
        Event::RetentionSet(body) => write("meshlog.memory.RetentionSet", body),
        Event::CallRequested(body) => write("meshlog.calls.CallRequested", body),
        Event::AttemptStarted(body) => write("meshlog.calls.AttemptStarted", body),
        Event::AttemptFailed(body) => write("meshlog.calls.AttemptFailed", body),
        Event::CallSettled(body) => write("meshlog.calls.CallSettled", &**body),
        Event::SubscriptionAdded(body) => write("meshlog.registry.SubscriptionAdded", body),
        Event::SubscriptionRemoved(body) => write("meshlog.registry.SubscriptionRemoved", body),
        Event::SchemaRegistered(body) => write("meshlog.schemas.SchemaRegistered", body),
        Event::EventFailed(body) => write("meshlog.deadletters.EventFailed", body),
        Event::RedriveRequested(body) => write("meshlog.deadletters.RedriveRequested", body),
        Event::DeadLetterRedriven(body) => write("meshlog.deadletters.DeadLetterRedriven", body),
        Event::DeadLetterDiscarded(body) => write("meshlog.deadletters.DeadLetterDiscarded", body),
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
    (version.decode)(version, &bytes[HEADER_BYTES..])
}

/// The schema that a body says it was written with.
///
/// # Errors
/// The bytes are not in single-object encoding, or the schema is unknown.
pub fn schema_of(bytes: &[u8]) -> Result<&'static SchemaVersion, DecodeError> {
    let Some((fingerprint, _)) = split_single_object(bytes) else {
        let unresolved = split_confluent(bytes).map(|(id, _)| DecodeError::UnresolvedSchemaId(id));
        return Err(unresolved.unwrap_or(DecodeError::NotSingleObject));
    };
    catalog::by_fingerprint(fingerprint)
        .ok_or_else(|| DecodeError::UnknownSchema(format!("{:016x}", u64::from_le_bytes(fingerprint))))
}

/// The schema's fingerprint and the datum of a body in single-object encoding.
pub fn split_single_object(bytes: &[u8]) -> Option<([u8; 8], &[u8])> {
    let (fingerprint, datum) = bytes.strip_prefix(&MARKER)?.split_first_chunk()?;
    Some((*fingerprint, datum))
}

/// A datum that was written with the schema of this fingerprint, in single-object encoding.
pub fn single_object(fingerprint: [u8; 8], datum: &[u8]) -> Vec<u8> {
    [&MARKER[..], &fingerprint, datum].concat()
}

/// The schema's id and the datum of a body in Confluent's wire format: a zero byte, the id in the registry (big-endian), the
/// datum.
pub fn split_confluent(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (id, datum) = bytes.strip_prefix(&[0])?.split_first_chunk()?;
    Some((u32::from_be_bytes(*id), datum))
}

fn write(name: &'static str, body: &impl Record) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.most_bytes());
    bytes.extend_from_slice(&MARKER);
    bytes.extend_from_slice(&catalog::newest(name).fingerprint);
    body.write(&mut bytes);
    if bytes.len() > MAX_BODY_BYTES {
        return Err(EncodeError::TooLarge { actual: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a whole datum as `T`. Used by the catalogue's decoders.
pub(crate) fn read<T: Record>(version: &SchemaVersion, datum: &[u8]) -> Result<T, DecodeError> {
    let mut rest = datum;
    let record = T::read(&mut rest).map_err(|error| malformed(version, error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed(version, format!("{} bytes are left over", rest.len())));
    }
    Ok(record)
}

fn malformed(version: &SchemaVersion, cause: String) -> DecodeError {
    DecodeError::Malformed { schema: format!("{} v{}", version.name, version.version), cause }
}

#[cfg(test)]
mod tests {
    use apache_avro::{Schema, reader::datum::GenericDatumReader, types::Value, writer::datum::GenericDatumWriter};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        AttemptFailed, AttemptStarted, CallRequested, CallSettled, DeadLetterDiscarded, DeadLetterRedriven,
        EntitiesMerged, EntitiesParted, EntityMentioned, EventFailed, EventId, FactCorrected, FactStated,
        InsightPinned, KnowledgeExtracted, MemoryForgotten, MessageAccepted, MessageEdited, MessageRouted,
        RedriveRequested, RetentionSet, SchemaRegistered, SentenceWritten, SubscriptionAdded, SubscriptionRemoved,
        TextEmbedded, ThreadFiled, ThreadSummarised, catalog::catalog,
    };

    fn id() -> impl Strategy<Value = EventId> {
        any::<u128>().prop_map(|bits| EventId(uuid::Uuid::from_u128(bits)))
    }

    fn settled(space: String, thread: Option<String>) -> CallSettled {
        CallSettled {
            call_id: EventId(uuid::Uuid::nil()),
            space,
            thread,
            key_label: "ci".into(),
            kind: "chat".into(),
            asked_model: "fast".into(),
            outcome: "completed".into(),
            error_class: String::new(),
            error_message: String::new(),
            status: 200,
            attempts: 1,
            provider: "p".into(),
            model: "m".into(),
            answered_model: "m-1".into(),
            finish_reason: "stop".into(),
            requested_at: 0,
            first_output_micros: 0,
            total_micros: 0,
            usage_source: "reported".into(),
            usage: "{}".into(),
            input_tokens: 0,
            cache_write_tokens: 0,
            cache_read_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            cost_nanos: -1,
            price_table: String::new(),
            request_id: Some("req-1".into()),
            headers: "{}".into(),
            wire: "openai".into(),
            response_type: "text/event-stream".into(),
            response: Bytes::new(),
            response_bytes: 0,
            timings: Bytes::new(),
            response_encoding: String::new(),
        }
    }

    fn mention() -> impl Strategy<Value = EntityMentioned> {
        (("\\PC{0,9}", "\\PC{0,9}"), any::<[i32; 3]>())
            .prop_map(|((kind, name), [start, end, confidence])| EntityMentioned { kind, name, start, end, confidence })
    }

    fn fact() -> impl Strategy<Value = FactStated> {
        let texts = ("\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}");
        (id(), texts, any::<[i32; 3]>(), any::<[Option<i64>; 2]>()).prop_map(
            |(fact_id, (subject, relation, object), [start, end, confidence], [valid_from, valid_until])| FactStated {
                fact_id,
                start,
                end,
                subject_kind: "person".into(),
                subject,
                relation,
                object_kind: String::new(),
                object,
                polarity: "denied".into(),
                modality: "asserted".into(),
                valid_from,
                valid_until,
                confidence,
            },
        )
    }

    fn knowledge() -> impl Strategy<Value = Event> {
        let (mentions, facts) = (proptest::collection::vec(mention(), 0..4), proptest::collection::vec(fact(), 0..4));
        let names = || ("\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}");
        let sentence = ("\\PC{0,9}", proptest::collection::vec(id(), 0..4));
        let sentence = sentence.prop_map(|(text, sources)| SentenceWritten { text, sources });
        let sentences = proptest::collection::vec(sentence, 0..4);
        prop_oneof![
            (id(), names(), any::<[i64; 2]>(), mentions, facts).prop_map(
                |(message_id, (space, thread, author), [sent_at, accepted_at], mentions, facts)| {
                    Event::KnowledgeExtracted(KnowledgeExtracted {
                        message_id,
                        space,
                        thread,
                        author,
                        role: "user".into(),
                        sent_at,
                        accepted_at,
                        extractor: "patterns-1".into(),
                        mentions,
                        facts,
                    })
                }
            ),
            (names(), "\\PC{0,9}", any::<i32>()).prop_map(|((space, from, into), reason, confidence)| {
                let (kind, author) = ("person".into(), String::new());
                Event::EntitiesMerged(EntitiesMerged { space, kind, from, into, reason, confidence, author })
            }),
            (names(), names()).prop_map(|((space, from, into), (kind, reason, author))| {
                Event::EntitiesParted(EntitiesParted { space, kind, from, into, reason, author })
            }),
            (names(), any::<([i64; 4], Option<i64>, i32)>(), sentences).prop_map(
                |((space, thread, model), ([from, until, first_offset, told_at], edited_offset, level), sentences)| {
                    Event::ThreadSummarised(ThreadSummarised {
                        space,
                        thread,
                        level,
                        from,
                        until,
                        first_offset,
                        turns: until,
                        edited_offset,
                        model,
                        told_at,
                        sentences,
                    })
                }
            ),
        ]
    }

    fn memory() -> impl Strategy<Value = Event> {
        let texts = || ("\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}", "\\PC{0,9}");
        let sources = proptest::collection::vec(id(), 0..4);
        prop_oneof![
            (id(), texts(), proptest::option::of("\\PC{0,9}"), sources, any::<i64>()).prop_map(
                |(insight_id, (space, text, author, reason), thread, sources, pinned_at)| {
                    Event::InsightPinned(InsightPinned {
                        insight_id,
                        space,
                        thread,
                        text,
                        sources,
                        author,
                        reason,
                        pinned_at,
                    })
                }
            ),
            ([id(), id()], texts(), texts(), any::<[Option<i64>; 2]>(), any::<i64>()).prop_map(
                |([fact_id, corrects], one, other, [valid_from, valid_until], corrected_at)| {
                    Event::FactCorrected(FactCorrected {
                        fact_id,
                        corrects,
                        space: one.0,
                        subject_kind: one.1,
                        subject: one.2,
                        relation: one.3,
                        object_kind: other.0,
                        object: other.1,
                        polarity: "affirmed".into(),
                        valid_from,
                        valid_until,
                        author: other.2,
                        reason: other.3,
                        corrected_at,
                    })
                }
            ),
            (texts(), any::<i64>()).prop_map(|((space, thread, author, reason), filed_at)| {
                Event::ThreadFiled(ThreadFiled { space, thread, state: "archived".into(), author, reason, filed_at })
            }),
            (texts(), any::<Option<i32>>(), any::<i64>()).prop_map(
                |((space, _, author, reason), keep_days, set_at)| {
                    Event::RetentionSet(RetentionSet { space, keep_days, author, reason, set_at })
                }
            ),
            (texts(), any::<[i64; 2]>()).prop_map(|((space, target, author, reason), [until, forgotten_at])| {
                let scope = "thread".into();
                Event::MemoryForgotten(MemoryForgotten { space, scope, target, until, author, reason, forgotten_at })
            }),
        ]
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![14 => other_events(), 3 => knowledge(), 3 => memory()]
    }

    fn other_events() -> impl Strategy<Value = Event> {
        let text = || "\\PC{0,30}";
        let bytes = || proptest::collection::vec(any::<u8>(), 0..2000);
        let optional = || proptest::option::of("\\PC{0,30}");
        let message = (optional(), (text(), text(), text()), any::<i64>(), text());
        let address = || (text(), text(), any::<i32>(), any::<i64>(), text());
        let edited = (id(), (optional(), text(), text(), text()), any::<[i64; 3]>(), (text(), text(), text()));
        let embedded = ((id(), text(), text(), text()), any::<[i64; 2]>(), any::<i32>(), (bytes(), bytes()));
        prop_oneof![
            edited.prop_map(|(message_id, of, [sent_at, accepted_at, edited_at], (text, editor, reason))| {
                let (source_id, space, thread, author) = of;
                Event::MessageEdited(Box::new(MessageEdited {
                    message_id,
                    source_id,
                    space,
                    thread,
                    author,
                    role: "user".into(),
                    sent_at,
                    accepted_at,
                    text,
                    kind: "edited".into(),
                    editor,
                    reason,
                    edited_at,
                }))
            }),
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
            (id(), text(), optional(), optional(), bytes()).prop_map(|(call_id, space, thread, key, body)| {
                Event::CallRequested(CallRequested {
                    call_id,
                    space,
                    thread,
                    key_label: "ci".into(),
                    kind: "chat".into(),
                    model: "m".into(),
                    wire: "openai".into(),
                    mode: "stream".into(),
                    owner: String::new(),
                    idempotency_key: key,
                    body: body.into(),
                })
            }),
            (id(), text(), optional(), any::<i32>(), optional()).prop_map(
                |(call_id, space, thread, number, idempotency_key)| {
                    Event::AttemptStarted(AttemptStarted {
                        call_id,
                        space,
                        thread,
                        number,
                        provider: "p".into(),
                        model: "m".into(),
                        idempotency_key,
                    })
                }
            ),
            (id(), text(), optional(), any::<[i32; 2]>(), any::<i64>(), bytes()).prop_map(
                |(call_id, space, thread, [number, status], retry_after_ms, body)| {
                    Event::AttemptFailed(AttemptFailed {
                        call_id,
                        space,
                        thread,
                        number,
                        provider: "p".into(),
                        class: "rate_limited".into(),
                        status,
                        retry_after_ms,
                        message: "slow down".into(),
                        headers: "{}".into(),
                        body,
                    })
                }
            ),
            (id(), text(), optional(), any::<[i64; 9]>(), any::<[i32; 2]>(), (bytes(), bytes())).prop_map(
                |(call_id, space, thread, longs, [status, attempts], (response, timings))| {
                    let [requested_at, first, total, input, write, read, output, reasoning, cost_nanos] = longs;
                    Event::CallSettled(Box::new(CallSettled {
                        call_id,
                        requested_at,
                        first_output_micros: first,
                        total_micros: total,
                        input_tokens: input,
                        cache_write_tokens: write,
                        cache_read_tokens: read,
                        output_tokens: output,
                        reasoning_tokens: reasoning,
                        cost_nanos,
                        status,
                        attempts,
                        response: response.into(),
                        timings: timings.into(),
                        ..settled(space, thread)
                    }))
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
            (address(), optional(), text(), any::<[i64; 2]>(), any::<i32>()).prop_map(
                |((processor, topic, partition, offset, key), id, error, [failed_at, head_offset], attempts)| {
                    Event::EventFailed(EventFailed {
                        processor,
                        topic,
                        partition,
                        offset,
                        key,
                        event_id: id.unwrap_or_default(),
                        event_type: String::new(),
                        class: "permanent".into(),
                        error,
                        attempts,
                        failed_at,
                        head_offset,
                    })
                }
            ),
            address().prop_map(|(processor, topic, partition, offset, key)| {
                Event::RedriveRequested(RedriveRequested { processor, topic, partition, offset, key })
            }),
            (address(), any::<i32>()).prop_map(|((processor, topic, partition, offset, key), attempts)| {
                Event::DeadLetterRedriven(DeadLetterRedriven { processor, topic, partition, offset, key, attempts })
            }),
            (address(), text(), text()).prop_map(|((processor, topic, partition, offset, key), author, reason)| {
                Event::DeadLetterDiscarded(DeadLetterDiscarded {
                    processor,
                    topic,
                    partition,
                    offset,
                    key,
                    author,
                    reason,
                })
            }),
        ]
    }

    /// Lets apache-avro write ids as text. Whatever of it is used first sets this for the process, later calls change
    /// nothing: so before everything else.
    fn human_readable() {
        apache_avro::util::set_serde_human_readable(true);
    }

    /// The event through apache-avro: as its `Value`, by the names of its fields.
    fn value(event: &Event) -> Value {
        human_readable();
        let value = match event {
            Event::MessageAccepted(body) => apache_avro::to_value(body),
            Event::MessageEdited(body) => apache_avro::to_value(body),
            Event::MessageRouted(body) => apache_avro::to_value(body),
            Event::TextEmbedded(body) => apache_avro::to_value(body),
            Event::KnowledgeExtracted(body) => apache_avro::to_value(body),
            Event::EntitiesMerged(body) => apache_avro::to_value(body),
            Event::EntitiesParted(body) => apache_avro::to_value(body),
            Event::ThreadSummarised(body) => apache_avro::to_value(body),
            Event::InsightPinned(body) => apache_avro::to_value(body),
            Event::FactCorrected(body) => apache_avro::to_value(body),
            Event::MemoryForgotten(body) => apache_avro::to_value(body),
            Event::ThreadFiled(body) => apache_avro::to_value(body),
            Event::RetentionSet(body) => apache_avro::to_value(body),
            Event::CallRequested(body) => apache_avro::to_value(body),
            Event::AttemptStarted(body) => apache_avro::to_value(body),
            Event::AttemptFailed(body) => apache_avro::to_value(body),
            Event::CallSettled(body) => apache_avro::to_value(body),
            Event::SubscriptionAdded(body) => apache_avro::to_value(body),
            Event::SubscriptionRemoved(body) => apache_avro::to_value(body),
            Event::SchemaRegistered(body) => apache_avro::to_value(body),
            Event::EventFailed(body) => apache_avro::to_value(body),
            Event::RedriveRequested(body) => apache_avro::to_value(body),
            Event::DeadLetterRedriven(body) => apache_avro::to_value(body),
            Event::DeadLetterDiscarded(body) => apache_avro::to_value(body),
        };
        value.unwrap()
    }

    /// The value with every id as we write it: ids have several forms as text (damage may turn an `a` into an `A`),
    /// which mean the same and which a `Value` tells apart.
    fn ids_in_one_form(value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(text.parse::<EventId>().map_or(text, |id| id.to_string())),
            Value::Union(branch, value) => Value::Union(branch, Box::new(ids_in_one_form(*value))),
            Value::Array(values) => Value::Array(values.into_iter().map(ids_in_one_form).collect()),
            Value::Map(values) => {
                Value::Map(values.into_iter().map(|(key, value)| (key, ids_in_one_form(value))).collect())
            }
            Value::Record(fields) => {
                Value::Record(fields.into_iter().map(|(name, value)| (name, ids_in_one_form(value))).collect())
            }
            other => other,
        }
    }

    fn schema(version: &SchemaVersion) -> Schema {
        human_readable();
        Schema::parse_str(version.json).unwrap()
    }

    proptest! {
        #[test]
        fn events_round_trip(event in event()) {
            prop_assert_eq!(decode(&encode(&event).unwrap()), Ok(event));
        }

        /// A body of ours is what apache-avro writes, byte by byte, and apache-avro reads the same values from it.
        #[test]
        fn bodies_are_those_of_apache_avro(event in event()) {
            let ours = encode(&event).unwrap();
            let schema = schema(schema_of(&ours).unwrap());
            let value = value(&event).resolve(&schema).unwrap();
            let writer = GenericDatumWriter::builder(&schema).build().unwrap();
            prop_assert_eq!(&ours[HEADER_BYTES..], &writer.write_value_to_vec(value.clone()).unwrap()[..]);
            let reader = GenericDatumReader::builder(&schema).build().unwrap();
            prop_assert_eq!(reader.read_value(&mut &ours[HEADER_BYTES..]).unwrap(), value);
        }

        /// What is read from a damaged body, if anything, is what apache-avro reads from it.
        #[test]
        fn damage_is_not_read_as_something_else(event in event(), at: prop::sample::Index, byte: u8) {
            let mut bytes = encode(&event).unwrap();
            let datum = HEADER_BYTES + at.index(bytes.len() - HEADER_BYTES);
            bytes[datum] = byte;
            if let Ok(event) = decode(&bytes) {
                let schema = schema(schema_of(&bytes).unwrap());
                let reader = GenericDatumReader::builder(&schema).build().unwrap();
                let theirs = reader.read_value(&mut &bytes[HEADER_BYTES..]).unwrap();
                prop_assert_eq!(ids_in_one_form(value(&event).resolve(&schema).unwrap()), ids_in_one_form(theirs));
            }
        }

        /// What the upcasters make of an older event is what any reader of Avro makes of it with today's schema.
        #[test]
        fn upcasters_agree_with_schema_resolution(event in event()) {
            let today = schema(schema_of(&encode(&event).unwrap()).unwrap());
            let name = schema_of(&encode(&event).unwrap()).unwrap().name;
            for version in catalog().iter().filter(|version| version.name == name) {
                let written = schema(version);
                let old = value(&event).resolve(&written).unwrap();
                let writer = GenericDatumWriter::builder(&written).build().unwrap();
                let datum = writer.write_value_to_vec(old).unwrap();
                let reader = GenericDatumReader::builder(&written).reader_schema(&today).build().unwrap();
                let resolved = reader.read_value(&mut &datum[..]).unwrap();
                let upcast = decode(&[&MARKER[..], &version.fingerprint, &datum].concat()).unwrap();
                prop_assert_eq!(value(&upcast).resolve(&today).unwrap(), resolved);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            schema in 0..catalog().len(),
        ) {
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
    fn a_misfit_names_the_schema_and_the_field() {
        let version = catalog::newest("meshlog.messages.MessageAccepted");
        // No source id, then a space of four bytes of which one is there.
        let bytes = [&MARKER[..], &version.fingerprint, &[0, 8, b'a']].concat();
        let expected = "the body does not fit its schema meshlog.messages.MessageAccepted v1: \
                        field space: its length is said to be 4 bytes, but 1 are left";
        assert_eq!(decode(&bytes).unwrap_err().to_string(), expected);
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
