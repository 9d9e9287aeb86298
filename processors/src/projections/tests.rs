mod edits;

use std::path::Path;

use meshlog_pipeline::{Projection, StoredEvent};
use meshlog_schemas::{
    Checkpoints, Digest, EntityMentioned, Event, EventId, FactStated, InsightPinned, KnowledgeExtracted,
    MemoryForgotten, Partition, PartitionShare, TextEmbedded, Topic,
};
use tempfile::tempdir;

use super::*;
use crate::testing::{attempt_failed, attempt_started, call_requested, call_settled, message, stored};

const DIMS: usize = 4;

/// Opens a projection in a directory; with memory to be filled.
type Open<'a> = &'a dyn Fn(&Path, Option<usize>) -> Box<dyn Projection>;

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

/// What was read in the messages of [`said`].
fn extracted() -> Vec<StoredEvent> {
    let reading = |offset: u64| {
        let thread = if offset.is_multiple_of(2) { "t" } else { "u" };
        let name = |name: &str| EntityMentioned {
            kind: "person".into(),
            name: name.into(),
            start: 0,
            end: 3,
            confidence: 900,
        };
        let fact = FactStated {
            fact_id: EventId::of_source("fact", &offset.to_string()),
            start: 0,
            end: 9,
            subject_kind: "person".into(),
            subject: "Ada".into(),
            relation: "lives-in".into(),
            object_kind: "place".into(),
            object: format!("Town {offset}"),
            polarity: "affirmed".into(),
            modality: "asserted".into(),
            valid_from: None,
            valid_until: None,
            confidence: 800,
        };
        let body = KnowledgeExtracted {
            message_id: EventId::of_source("test", &format!("messages/{offset}")),
            space: "s".into(),
            thread: thread.into(),
            author: "Ada".into(),
            role: "user".into(),
            sent_at: offset as i64,
            accepted_at: 1_000 + offset as i64,
            extractor: "patterns-1".into(),
            mentions: vec![name("Ada"), name(&format!("Bob {offset}"))],
            facts: vec![fact],
        };
        stored(offset, Event::KnowledgeExtracted(body))
    };
    (0..5).map(reading).collect()
}

fn pinned() -> StoredEvent {
    let body = InsightPinned {
        insight_id: EventId::of_source("s", "insight"),
        space: "s".into(),
        thread: None,
        text: "be kind".into(),
        sources: Vec::new(),
        author: "Ada".into(),
        reason: String::new(),
        pinned_at: 1,
    };
    stored(0, Event::InsightPinned(body))
}

/// Something that was taken in before the time 1,003 is forgotten.
fn forgotten(offset: u64, scope: &str, target: &str) -> StoredEvent {
    let body = MemoryForgotten {
        space: "s".into(),
        scope: scope.into(),
        target: target.into(),
        until: 1_003,
        author: "Ada".into(),
        reason: String::new(),
        forgotten_at: 2_000,
    };
    stored(offset, Event::MemoryForgotten(body))
}

/// Whatever is forgotten, and whenever that is read, the view is one that never saw it.
fn check_forgetting(open: impl Fn(&Path, Option<usize>) -> Box<dyn Projection>, events: &[StoredEvent]) {
    let whole = digest(&open, events, 9);
    let message = EventId::of_source("test", "messages/1").to_string();
    for (scope, target) in
        [("message", message.as_str()), ("thread", "t"), ("author", "Ada"), ("space", "s"), ("messages", "s")]
    {
        let forgotten = forgotten(7, scope, target);
        let behind: Vec<_> = events.iter().cloned().chain([forgotten.clone()]).collect();
        let before: Vec<_> = [forgotten.clone()].into_iter().chain(events.iter().cloned()).collect();
        let found = digest(&open, &behind, 9);
        assert_eq!(digest(&open, &behind, 1), found, "{scope}: batches do not matter");
        assert_eq!(digest(&open, &before, 2), found, "{scope}: nor does the order");
        assert_ne!(found, whole, "{scope}: what is forgotten is kept");
    }
}

fn after(events: &[StoredEvent]) -> Checkpoints {
    events.iter().map(|event| (event.position.partition, event.position.offset + 1)).collect()
}

/// The digest after the events were applied in batches of `size`, be it in a store that is filled or not.
fn digest(open: impl Fn(&Path, Option<usize>) -> Box<dyn Projection>, events: &[StoredEvent], size: usize) -> Digest {
    let written = digest_filled(&open, events, size, None);
    for memory in [0, 1 << 20] {
        assert_eq!(digest_filled(&open, events, size, Some(memory)), written, "filled with {memory} bytes");
    }
    written
}

/// As [`digest`]. Half of the events come while the store is filled, if it is.
fn digest_filled(
    open: impl Fn(&Path, Option<usize>) -> Box<dyn Projection>,
    events: &[StoredEvent],
    size: usize,
    memory: Option<usize>,
) -> Digest {
    let directory = tempdir().unwrap();
    let projection = open(directory.path(), memory);
    let mut reached = Checkpoints::default();
    for (number, batch) in events.chunks(size).enumerate() {
        after(batch).iter().for_each(|(partition, next)| reached.advance(partition, next));
        projection.apply(batch, &reached).unwrap();
        if number == events.len() / size / 2 {
            projection.settle().unwrap();
        }
    }
    assert!(projection.checkpoints().unwrap().covers(&after(events)));
    projection.digest().unwrap()
}

/// What every projection owes: see the contract of [`Projection`].
fn check(open: impl Fn(&Path, Option<usize>) -> Box<dyn Projection>, events: &[StoredEvent]) {
    let whole = digest(&open, events, events.len());
    assert_eq!(digest(&open, events, 1), whole, "batches do not matter");
    assert_ne!(digest(&open, &events[1..], 2), whole, "a missing event does");

    let directory = tempdir().unwrap();
    let projection = open(directory.path(), None);
    projection.apply(events, &after(events)).unwrap();
    projection.apply(&events[2..4], &after(events)).unwrap();
    assert_eq!(projection.digest().unwrap(), whole, "an event that comes again changes nothing");
    drop(projection);
    let projection = open(directory.path(), None);
    assert_eq!(projection.checkpoints().unwrap(), after(events), "data and checkpoints survive together");
    assert_eq!(projection.digest().unwrap(), whole);
}

#[test]
fn threads_keep_the_contract() {
    check(|path, memory| Box::new(ThreadProjection::open(path, memory).unwrap()), &said());
}

#[test]
fn text_keeps_the_contract() {
    check(|path, memory| Box::new(TextProjection::open(path, memory).unwrap()), &said());
}

#[test]
fn vectors_keep_the_contract() {
    check(|path, _| Box::new(VectorProjection::open(path, "m", DIMS).unwrap()), &embedded());
}

#[test]
fn summaries_keep_the_contract() {
    check(|path, memory| Box::new(SummaryProjection::open(path, PartitionShare::ALL, memory).unwrap()), &said());
}

#[test]
fn calls_keep_the_contract() {
    check(|path, memory| Box::new(CallProjection::open(path, memory).unwrap()), &called());
}

#[test]
fn vectors_of_other_models_and_broken_ones_are_passed_over() {
    let open = |path: &Path, _| -> Box<dyn Projection> { Box::new(VectorProjection::open(path, "m", DIMS).unwrap()) };
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

#[test]
fn the_graph_keeps_the_contract() {
    let open = |path: &Path, memory| -> Box<dyn Projection> { Box::new(GraphProjection::open(path, memory).unwrap()) };
    check(open, &extracted());
    let mut events = extracted();
    let whole = digest(open, &events, 9);
    events.insert(2, pinned());
    assert_ne!(digest(open, &events, 2), whole);
    // What older patterns found is passed over.
    let Event::KnowledgeExtracted(body) = &mut events[0].event else { panic!("a reading") };
    body.extractor = "patterns-0".into();
    assert_ne!(digest(open, &events[..1], 2), digest(open, &extracted()[..1], 2));
}

#[test]
fn what_is_forgotten_is_in_no_view_whenever_that_is_read() {
    check_forgetting(|path, memory| Box::new(ThreadProjection::open(path, memory).unwrap()), &said());
    check_forgetting(|path, memory| Box::new(TextProjection::open(path, memory).unwrap()), &said());
    check_forgetting(
        |path, memory| Box::new(SummaryProjection::open(path, PartitionShare::ALL, memory).unwrap()),
        &said(),
    );
    check_forgetting(|path, _| Box::new(VectorProjection::open(path, "m", DIMS).unwrap()), &embedded());
    check_forgetting(|path, memory| Box::new(GraphProjection::open(path, memory).unwrap()), &extracted());
}
