use std::path::Path;

use meshlog_pipeline::{Projection, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Event, Partition, TextEmbedded, Topic};
use tempfile::tempdir;

use super::*;
use crate::testing::{attempt_failed, attempt_started, call_requested, call_settled, message, stored};

const DIMS: usize = 4;

fn said() -> Vec<StoredEvent> {
    let texts = ["the kite is red", "who has the string?", "it is in the shed", "then we fly at noon", "bring soup"];
    let events = texts.iter().zip(0..);
    events
        .map(|(text, offset)| stored(offset, message("s", if offset % 2 == 0 { "t" } else { "u" }, "Ada", text)))
        .collect()
}

fn embedding(offset: u64, model: &str, vector: &[f32]) -> StoredEvent {
    let body = TextEmbedded {
        message_id: stored(offset, message("s", "t", "Ada", "x")).envelope.id,
        space: "s".into(),
        thread: "t".into(),
        author: "Ada".into(),
        role: "user".into(),
        sent_at: 1,
        accepted_at: 2,
        model: model.into(),
        dims: vector.len() as i32,
        content_hash: vec![],
        vector: vector.iter().flat_map(|number| number.to_le_bytes()).collect(),
    };
    stored(offset, Event::TextEmbedded(body))
}

fn embedded() -> Vec<StoredEvent> {
    (0..5).map(|offset| embedding(offset, "m", &[1.0, 0.0, 0.0, 0.0].map(|x: f32| x - 0.1 * offset as f32))).collect()
}

fn called() -> Vec<StoredEvent> {
    let (one, other) = (call_requested(1), call_requested(2));
    let events = [
        Event::CallRequested(one.clone()),
        Event::AttemptStarted(attempt_started(&one, 1)),
        Event::AttemptFailed(attempt_failed(&one, 1)),
        Event::AttemptStarted(attempt_started(&one, 2)),
        Event::CallRequested(other),
        Event::CallSettled(Box::new(call_settled(&one, 7))),
    ];
    events.into_iter().zip(0..).map(|(event, offset)| stored(offset, event)).collect()
}

fn after(events: &[StoredEvent]) -> Checkpoints {
    events.iter().map(|event| (event.position.partition, event.position.offset + 1)).collect()
}

/// The digest after the events were applied in batches of `size`.
fn digest(open: impl Fn(&Path) -> Box<dyn Projection>, events: &[StoredEvent], size: usize) -> Digest {
    let directory = tempdir().unwrap();
    let projection = open(directory.path());
    for batch in events.chunks(size) {
        projection.apply(batch, &after(batch)).unwrap();
    }
    assert!(projection.checkpoints().unwrap().covers(&after(events)));
    projection.digest().unwrap()
}

/// What every projection owes: see the contract of [`Projection`].
fn check(open: impl Fn(&Path) -> Box<dyn Projection>, events: &[StoredEvent]) {
    let whole = digest(&open, events, events.len());
    assert_eq!(digest(&open, events, 1), whole, "batches do not matter");
    assert_ne!(digest(&open, &events[1..], 2), whole, "a missing event does");

    let directory = tempdir().unwrap();
    let projection = open(directory.path());
    projection.apply(events, &after(events)).unwrap();
    projection.apply(&events[2..4], &after(events)).unwrap();
    assert_eq!(projection.digest().unwrap(), whole, "an event that comes again changes nothing");
    drop(projection);
    let projection = open(directory.path());
    assert_eq!(projection.checkpoints().unwrap(), after(events), "data and checkpoints survive together");
    assert_eq!(projection.digest().unwrap(), whole);
}

#[test]
fn threads_keep_the_contract() {
    check(|path| Box::new(ThreadProjection::open(path).unwrap()), &said());
}

#[test]
fn text_keeps_the_contract() {
    check(|path| Box::new(TextProjection::open(path).unwrap()), &said());
}

#[test]
fn vectors_keep_the_contract() {
    check(|path| Box::new(VectorProjection::open(path, "m", DIMS).unwrap()), &embedded());
}

#[test]
fn calls_keep_the_contract() {
    check(|path| Box::new(CallProjection::open(path).unwrap()), &called());
}

#[test]
fn vectors_of_other_models_and_broken_ones_are_passed_over() {
    let open = |path: &Path| -> Box<dyn Projection> { Box::new(VectorProjection::open(path, "m", DIMS).unwrap()) };
    let mut events = embedded();
    let whole = digest(open, &events, 9);
    events.push(embedding(5, "another", &[1.0, 0.0, 0.0, 0.0]));
    events.push(embedding(6, "m", &[1.0, 0.0]));
    events.push(embedding(7, "m", &[f32::NAN, 0.0, 0.0, 0.0]));
    assert_eq!(digest(open, &events, 9), whole);
    let partition = Partition { topic: Topic::Embeddings, id: 0 };
    assert_eq!(after(&events).next(partition), 8);
}

#[test]
fn a_view_version_names_what_the_view_depends_on() {
    let vectors = VectorProjection::version("m");
    assert_ne!(vectors, VectorProjection::version("n"), "the model");
    assert_ne!(ThreadProjection::version(), vectors);
    assert!(vectors.chars().all(|character| character.is_ascii_alphanumeric() || character == '-'));
}
