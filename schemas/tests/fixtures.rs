//! The fixtures: one stored body for every schema version that was ever written, and what it must be read as today.
//!
//! `fixtures/README.md` says how a fixture is made, and that one is never changed.

use std::{fs, path::PathBuf};

use meshlog_schemas::{
    DeadLetterDiscarded, DeadLetterRedriven, Event, EventFailed, EventId, MessageAccepted, MessageRouted,
    RedriveRequested, SchemaRegistered, SchemaVersion, SubscriptionAdded, SubscriptionRemoved, TextEmbedded, catalog,
    decode, encode, schema_of,
};

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
    let name = version.name.rsplit('.').next().unwrap();
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.v{}.bin", version.version))
}

fn is_newest(version: &SchemaVersion) -> bool {
    !catalog().iter().any(|other| other.name == version.name && other.version > version.version)
}

/// The stored body; made first where it is missing and that was asked for.
fn stored(version: &SchemaVersion) -> Vec<u8> {
    let file = file(version);
    if std::env::var_os("MESHLOG_NEW_FIXTURES").is_some() && is_newest(version) && !file.exists() {
        fs::write(&file, encode(&expected(version)).unwrap()).unwrap();
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
