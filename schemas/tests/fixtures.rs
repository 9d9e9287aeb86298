//! The fixtures: one stored body for every schema version that was ever written, and what it must be read as today.
//!
//! `fixtures/README.md` says how a fixture is made, and that one is never changed.

use std::{fs, path::PathBuf};

use meshlog_schemas::{
    AttemptFailed, AttemptStarted, CallRequested, CallSettled, DeadLetterDiscarded, DeadLetterRedriven, EntitiesMerged,
    EntitiesParted, EntityMentioned, Event, EventFailed, EventId, FactCorrected, FactStated, InsightPinned,
    KnowledgeExtracted, MemoryForgotten, MessageAccepted, MessageEdited, MessageRouted, RedriveRequested, RetentionSet,
    SchemaRegistered, SchemaVersion, SentenceWritten, SubscriptionAdded, SubscriptionRemoved, TextEmbedded,
    ThreadFiled, ThreadSummarised, catalog, decode, encode, schema_of,
};

/// The call whose end the fixtures of `CallSettled` hold, in its first version.
fn settled() -> CallSettled {
    CallSettled {
        call_id: EventId(uuid::Uuid::from_u128(11)),
        space: "ada".into(),
        thread: Some("letters".into()),
        key_label: "notebook".into(),
        kind: "chat".into(),
        asked_model: "fast".into(),
        outcome: "completed".into(),
        error_class: String::new(),
        error_message: String::new(),
        status: 200,
        attempts: 2,
        provider: "north".into(),
        model: "small-1".into(),
        answered_model: "small-1-2026-10-01".into(),
        finish_reason: "stop".into(),
        requested_at: 1_795_000_000_123_456,
        first_output_micros: 210_000,
        total_micros: 1_400_000,
        usage_source: "reported".into(),
        usage: r#"{"prompt_tokens":9,"completion_tokens":12}"#.into(),
        input_tokens: 9,
        cache_write_tokens: 0,
        cache_read_tokens: 0,
        output_tokens: 12,
        reasoning_tokens: 0,
        cost_nanos: 4_200,
        price_table: "north/small-1 2026-11-01".into(),
        request_id: Some("req-7".into()),
        headers: r#"{"x-request-id":"req-7"}"#.into(),
        wire: "openai".into(),
        response_type: "text/event-stream".into(),
        response: b"data: [DONE]\n\n".as_slice().into(),
        response_bytes: 14,
        timings: vec![0x90, 0xE8, 0x0C, 0x0E].into(),
        response_encoding: String::new(),
    }
}

/// An LZ4 frame of four times `data: {}`, each with an empty line behind it.
const PACKED: [u8; 36] = [
    0x04, 0x22, 0x4D, 0x18, 0x60, 0x40, 0x82, 0x15, 0x00, 0x00, 0x00, 0xAF, 0x64, 0x61, 0x74, 0x61, 0x3A, 0x20, 0x7B,
    0x7D, 0x0A, 0x0A, 0x0A, 0x00, 0x05, 0x60, 0x3A, 0x20, 0x7B, 0x7D, 0x0A, 0x0A, 0x00, 0x00, 0x00, 0x00,
];

fn named(name: &str, start: i32) -> EntityMentioned {
    let end = start + i32::try_from(name.len()).expect("a short name");
    EntityMentioned { kind: "person".into(), name: name.into(), start, end, confidence: 900 }
}

/// What the fixture of a schema version holds, as today's event.
fn expected(version: &SchemaVersion) -> Event {
    let id = |number: u128| EventId(uuid::Uuid::from_u128(number));
    match (version.name, version.version) {
        ("meshlog.schemas.SchemaRegistered", 1) => Event::SchemaRegistered(SchemaRegistered {
            name: "meshlog.messages.MessageAccepted".into(),
            version: 1,
            fingerprint: "1c6f12ecd90d0057".into(),
            schema: r#"{"type": "record"}"#.into(),
        }),
        ("meshlog.messages.MessageAccepted", 1) => Event::MessageAccepted(MessageAccepted {
            source_id: Some("D1:3".into()),
            space: "ada".into(),
            thread: "letters".into(),
            author: "Ada".into(),
            role: "user".into(),
            sent_at: 1_746_712_560_123_456,
            text: "Weiß jemand, wann der Kurs beginnt? ☕".into(),
        }),
        ("meshlog.deliveries.MessageRouted", 1) => Event::MessageRouted(MessageRouted {
            message_id: id(0x0196_b0a4_7c3b_7d2e_8f10_2233_4455_6677),
            recipient: "Charles".into(),
            subscription_id: id(7),
            space: "ada".into(),
            thread: "letters".into(),
        }),
        ("meshlog.messages.MessageEdited", 1) => Event::MessageEdited(Box::new(MessageEdited {
            message_id: id(0x0196_b0a4_7c3b_7d2e_8f10_2233_4455_6677),
            source_id: Some("D1:3".into()),
            space: "ada".into(),
            thread: "letters".into(),
            author: "Ada".into(),
            role: "user".into(),
            sent_at: 1_746_712_560_123_456,
            accepted_at: 1_746_712_561_000_000,
            text: "The key hangs behind the barometer.".into(),
            kind: "redacted".into(),
            editor: "Charles".into(),
            reason: "not for everybody".into(),
            edited_at: 1_795_000_000_123_456,
        })),
        ("meshlog.embeddings.TextEmbedded", 1) => Event::TextEmbedded(TextEmbedded {
            message_id: id(0x0196_b0a4_7c3b_7d2e_8f10_2233_4455_6677),
            space: "ada".into(),
            thread: "letters".into(),
            author: "Ada".into(),
            role: "user".into(),
            sent_at: -1,
            accepted_at: i64::MAX,
            model: "all-MiniLM-L6-v2@0123456789ab".into(),
            dims: 2,
            content_hash: (0..32).collect(),
            vector: [0.6_f32.to_le_bytes(), (-0.8_f32).to_le_bytes()].concat(),
        }),
        ("meshlog.knowledge.KnowledgeExtracted", 1) => Event::KnowledgeExtracted(KnowledgeExtracted {
            message_id: id(0x0196_b0a4_7c3b_7d2e_8f10_2233_4455_6677),
            space: "ada".into(),
            thread: "letters".into(),
            author: "Ada".into(),
            role: "user".into(),
            sent_at: 1_746_712_560_123_456,
            accepted_at: 1_746_712_561_000_000,
            extractor: "patterns-1".into(),
            mentions: vec![named("Charles", 0), named("Mary", 30)],
            facts: vec![FactStated {
                fact_id: id(13),
                start: 0,
                end: 34,
                subject_kind: "person".into(),
                subject: "Charles".into(),
                relation: "works-at".into(),
                object_kind: "organisation".into(),
                object: "Siemens".into(),
                polarity: "affirmed".into(),
                modality: "asserted".into(),
                valid_from: Some(1_700_000_000_000_000),
                valid_until: None,
                confidence: 850,
            }],
        }),
        ("meshlog.knowledge.EntitiesMerged", 1) => Event::EntitiesMerged(EntitiesMerged {
            space: "ada".into(),
            kind: "person".into(),
            from: "Charles".into(),
            into: "Charles Babbage".into(),
            reason: "first-name".into(),
            confidence: 900,
            author: String::new(),
        }),
        ("meshlog.knowledge.EntitiesParted", 1) => Event::EntitiesParted(EntitiesParted {
            space: "ada".into(),
            kind: "person".into(),
            from: "Charles".into(),
            into: "Charles Babbage".into(),
            reason: "another one".into(),
            author: "Ada".into(),
        }),
        ("meshlog.knowledge.ThreadSummarised", 1) => Event::ThreadSummarised(ThreadSummarised {
            space: "ada".into(),
            thread: "letters".into(),
            level: 0,
            from: 32,
            until: 64,
            first_offset: 7,
            turns: 31,
            edited_offset: Some(90),
            model: "openai/gpt-5-mini".into(),
            told_at: 1_795_000_000_123_456,
            sentences: vec![
                SentenceWritten { text: "Ada wants a table of Bernoulli numbers.".into(), sources: vec![id(3), id(4)] },
                SentenceWritten { text: "東京で会う。".into(), sources: vec![id(5)] },
            ],
        }),
        ("meshlog.memory.InsightPinned", 1) => Event::InsightPinned(InsightPinned {
            insight_id: id(14),
            space: "ada".into(),
            thread: Some("letters".into()),
            text: "Answer in German.".into(),
            sources: vec![id(0x0196_b0a4_7c3b_7d2e_8f10_2233_4455_6677), id(3)],
            author: "Ada".into(),
            reason: String::new(),
            pinned_at: 1_795_000_000_123_456,
        }),
        ("meshlog.memory.FactCorrected", 1) => Event::FactCorrected(FactCorrected {
            fact_id: id(15),
            corrects: id(13),
            space: "ada".into(),
            subject_kind: "person".into(),
            subject: "Charles".into(),
            relation: "works-at".into(),
            object_kind: String::new(),
            object: "himself".into(),
            polarity: "affirmed".into(),
            valid_from: None,
            valid_until: Some(1_795_000_000_000_000),
            author: "Ada".into(),
            reason: "he told me".into(),
            corrected_at: 1_795_000_000_123_456,
        }),
        ("meshlog.memory.MemoryForgotten", 1) => Event::MemoryForgotten(MemoryForgotten {
            space: "ada".into(),
            scope: "author".into(),
            target: "Charles".into(),
            until: 1_795_000_000_000_000,
            author: "Ada".into(),
            reason: "he asked for it".into(),
            forgotten_at: 1_795_000_000_123_456,
        }),
        ("meshlog.memory.ThreadFiled", 1) => Event::ThreadFiled(ThreadFiled {
            space: "ada".into(),
            thread: "letters".into(),
            state: "archived".into(),
            author: "Ada".into(),
            reason: "all is said".into(),
            filed_at: 1_795_000_000_123_456,
        }),
        ("meshlog.memory.RetentionSet", 1) => Event::RetentionSet(RetentionSet {
            space: "ada".into(),
            keep_days: Some(90),
            author: "Ada".into(),
            reason: "a season is enough".into(),
            set_at: 1_795_000_000_123_456,
        }),
        ("meshlog.calls.CallRequested", 1) => Event::CallRequested(CallRequested {
            call_id: id(11),
            space: "ada".into(),
            thread: Some("letters".into()),
            key_label: "notebook".into(),
            kind: "chat".into(),
            wire: "openai".into(),
            model: "fast".into(),
            mode: "stream".into(),
            owner: "0196b0a4-7c3b-7d2e-8f10-223344556677".into(),
            idempotency_key: None,
            body: br#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"stream":true}"#.as_slice().into(),
        }),
        ("meshlog.calls.AttemptStarted", 1) => Event::AttemptStarted(AttemptStarted {
            call_id: id(11),
            space: "ada".into(),
            thread: None,
            number: 2,
            provider: "north".into(),
            model: "small-1".into(),
            idempotency_key: Some("0196b0a4-7c3b-7d2e-8f10-223344556677-north".into()),
        }),
        ("meshlog.calls.AttemptFailed", 1) => Event::AttemptFailed(AttemptFailed {
            call_id: id(11),
            space: "ada".into(),
            thread: Some("letters".into()),
            number: 1,
            provider: "north".into(),
            class: "rate_limited".into(),
            status: 429,
            retry_after_ms: 1_500,
            message: "slow down".into(),
            headers: r#"{"retry-after":"1.5"}"#.into(),
            body: br#"{"error":{"message":"slow down"}}"#.into(),
        }),
        ("meshlog.calls.CallSettled", 1) => Event::CallSettled(Box::new(settled())),
        ("meshlog.calls.CallSettled", 2) => Event::CallSettled(Box::new(CallSettled {
            response: PACKED.as_slice().into(),
            response_bytes: 40,
            response_encoding: "lz4".into(),
            ..settled()
        })),
        ("meshlog.registry.SubscriptionAdded", 1) => Event::SubscriptionAdded(SubscriptionAdded {
            subscription_id: id(7),
            subscriber: "Charles".into(),
            space: "ada".into(),
            thread: None,
            author: Some("Ada".into()),
        }),
        ("meshlog.registry.SubscriptionRemoved", 1) => {
            Event::SubscriptionRemoved(SubscriptionRemoved { subscription_id: id(7) })
        }
        ("meshlog.deadletters.EventFailed", 1) => Event::EventFailed(EventFailed {
            processor: "embed".into(),
            topic: "messages".into(),
            partition: 3,
            offset: 40_000_000_000,
            key: "ada/letters".into(),
            event_id: id(9).to_string(),
            event_type: "meshlog.message.accepted".into(),
            class: "exhausted".into(),
            error: "the model did not answer".into(),
            attempts: 5,
            failed_at: 0,
            head_offset: -1,
        }),
        ("meshlog.deadletters.EventFailed", 2) => Event::EventFailed(EventFailed {
            processor: "embed".into(),
            topic: "messages".into(),
            partition: 3,
            offset: 40_000_000_002,
            key: "ada/letters".into(),
            event_id: id(10).to_string(),
            event_type: "meshlog.message.accepted".into(),
            class: "waiting".into(),
            error: "messages/3/40000000000 failed before it".into(),
            attempts: 0,
            failed_at: 1_790_000_000_654_321,
            head_offset: 40_000_000_000,
        }),
        ("meshlog.deadletters.RedriveRequested", 1) => Event::RedriveRequested(RedriveRequested {
            processor: "embed".into(),
            topic: "messages".into(),
            partition: 3,
            offset: 40_000_000_000,
            key: "ada/letters".into(),
        }),
        ("meshlog.deadletters.DeadLetterRedriven", 1) => Event::DeadLetterRedriven(DeadLetterRedriven {
            processor: "embed".into(),
            topic: "messages".into(),
            partition: 3,
            offset: 40_000_000_000,
            key: "ada/letters".into(),
            attempts: 6,
        }),
        ("meshlog.deadletters.DeadLetterDiscarded", 1) => Event::DeadLetterDiscarded(DeadLetterDiscarded {
            processor: "embed".into(),
            topic: "messages".into(),
            partition: 3,
            offset: 40_000_000_000,
            key: "ada/letters".into(),
            author: "Ada".into(),
            reason: "a test that nobody needs".into(),
        }),
        (name, version) => panic!("say here what the fixture of {name} v{version} holds"),
    }
}

fn file(version: &SchemaVersion) -> PathBuf {
    let name = version.name.rsplit('.').next().unwrap_or(version.name);
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.v{}.bin", version.version))
}

fn is_newest(version: &SchemaVersion) -> bool {
    !catalog().iter().any(|other| other.name == version.name && other.version > version.version)
}

/// The stored body; made first where it is missing and that was asked for.
fn stored(version: &SchemaVersion) -> Vec<u8> {
    let file = file(version);
    if std::env::var_os("MESHLOG_NEW_FIXTURES").is_some() && is_newest(version) && !file.exists() {
        let body = encode(&expected(version)).expect("the event can be written");
        fs::write(&file, body).expect("the fixture can be written");
    }
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; see fixtures/README.md", file.display()))
}

#[test]
fn every_event_ever_written_is_read_as_todays_event() {
    for version in catalog() {
        let body = stored(version);
        assert_eq!(schema_of(&body).unwrap().fingerprint, version.fingerprint, "{} v{}", version.name, version.version);
        assert_eq!(decode(&body).unwrap(), expected(version), "{} v{}", version.name, version.version);
    }
}

#[test]
fn todays_events_are_written_as_their_fixtures() {
    for version in catalog().iter().filter(|version| is_newest(version)) {
        assert_eq!(encode(&expected(version)).unwrap(), stored(version), "{}", version.name);
    }
}

#[test]
fn a_packed_answer_is_read_as_it_came() {
    let packed = CallSettled { response: PACKED.as_slice().into(), response_encoding: "lz4".into(), ..settled() };
    assert_eq!(packed.answer().unwrap(), b"data: {}\n\n".repeat(4));
    assert_eq!(settled().answer().unwrap(), settled().response);
}
