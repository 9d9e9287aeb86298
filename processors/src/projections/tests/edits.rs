//! Edits, redactions and forgettings in every order in which topics can be read, compared with the order of the log and with
//! what was said last.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use meshlog_pipeline::{Derived, Stage};
use meshlog_schemas::{MessageAccepted, Position};
use uuid::Uuid;

use super::*;
use crate::{
    Facets, Filter, Forgotten, Order, PageLimit,
    embedding::{Embedder, Encoder as _, Role, testing::HashEncoder},
    knowledge::Extractor,
    message::{Message, is_blank},
    seeds::{Chance, for_each_seed},
    testing::edited,
    text::TextQuery,
};

const DIMENSIONS: usize = 16;
const PARTITIONS: u32 = 2;
const THREADS: [&str; 3] = ["t0", "t1", "t2"];
const AUTHORS: [&str; 2] = ["Ada", "Bob"];
/// What is said, with a number that tells each wording from all others.
const SAYINGS: [&str; 4] = ["I moved to Oslo", "Nadia Holm works at Bosch", "we fly at noon", "who has the kite"];

/// What stands on the log, by topic.
struct Course {
    messages: Vec<StoredEvent>,
    embeddings: Vec<StoredEvent>,
    knowledge: Vec<StoredEvent>,
    memory: Vec<StoredEvent>,
}

/// What a message says since its last edit.
struct Wording {
    facets: Facets,
    text: String,
}

fn partition_of(thread: &str) -> u32 {
    u32::from(thread.ends_with('1'))
}

/// The event at the end of its partition.
fn append(events: &mut Vec<StoredEvent>, event: StoredEvent, partition: u32) {
    let before = events.iter().filter(|event| event.position.partition.id == partition).count() as u64;
    let topic = event.position.partition.topic;
    let position = Position { partition: Partition { topic, id: partition }, offset: before };
    events.push(StoredEvent { position, ..event });
}

impl Course {
    fn random(chance: &mut Chance) -> Self {
        let mut messages: Vec<StoredEvent> = Vec::new();
        let mut said: Vec<StoredEvent> = Vec::new();
        for number in 0..2 + chance.below(60) {
            let text = format!("{} q{number}q", SAYINGS[chance.below(4) as usize]);
            if said.is_empty() || chance.below(2) == 0 {
                let thread = THREADS[chance.below(3) as usize];
                let event = message("s", thread, AUTHORS[chance.below(2) as usize], &text);
                let event = stored(number, event);
                append(&mut messages, event, partition_of(thread));
                said.extend(messages.last().cloned());
                continue;
            }
            let of = &said[chance.below(said.len() as u64) as usize];
            let event = match chance.below(4) {
                0 => edited(number, of, "redacted", ""),
                1 => edited(number, of, "redacted", &text),
                _ => edited(number, of, "edited", &text),
            };
            append(&mut messages, event, of.position.partition.id);
        }
        let memory = (0..chance.below(6)).map(|offset| {
            let any = said[chance.below(said.len() as u64) as usize].envelope.id.to_string();
            let (scope, target) = match chance.below(8) {
                0 => ("space", "s".to_owned()),
                1 => ("author", AUTHORS[chance.below(2) as usize].to_owned()),
                2 => ("thread", THREADS[chance.below(3) as usize].to_owned()),
                3 => ("wording", any),
                4 => ("calls", THREADS[chance.below(3) as usize].to_owned()),
                _ => ("message", any),
            };
            let mut event = forgotten(offset, scope, &target);
            if let Event::MemoryForgotten(body) = &mut event.event {
                body.until = 1_000 + chance.below(70) as i64;
            }
            event
        });
        let memory = memory.collect();
        let embeddings = derived(&messages, &Embedder::new(Arc::new(HashEncoder::new(DIMENSIONS))));
        let knowledge = derived(&messages, &Extractor);
        Self { messages, embeddings, knowledge, memory }
    }

    fn of(&self, topic: Topic) -> &[StoredEvent] {
        match topic {
            Topic::Messages => &self.messages,
            Topic::Embeddings => &self.embeddings,
            Topic::Knowledge => &self.knowledge,
            _ => &self.memory,
        }
    }

    /// What is remembered.
    fn remembered(&self) -> BTreeMap<Uuid, Wording> {
        let mut is_forgotten = Forgotten::default();
        forgettings(&self.memory).iter().for_each(|forgetting| _ = is_forgotten.add(forgetting));
        let said = Message::all(&self.messages);
        let said = said.map(|said| (said.id.0, Wording { facets: said.facets, text: said.text.to_owned() }));
        let mut said: BTreeMap<_, _> = said.collect();
        said.retain(|id, wording| !is_forgotten.covers(*id, &wording.facets));
        said
    }
}

/// What a stage derives, in the partitions of what it is derived from.
fn derived(messages: &[StoredEvent], stage: &dyn Stage) -> Vec<StoredEvent> {
    let mut events = Vec::new();
    for Derived { cause, event, .. } in stage.process(messages).unwrap() {
        let offset = events.len() as u64;
        append(&mut events, stored(offset, event), messages[cause].position.partition.id);
    }
    events
}

/// The events of a projection's topics in an order in which they can come: each partition in its own.
fn mixed(course: &Course, inputs: &[Topic], chance: &mut Chance) -> Vec<StoredEvent> {
    let partitions = inputs.iter().flat_map(|topic| (0..PARTITIONS).map(|id| Partition { topic: *topic, id }));
    let of = |partition: Partition| {
        let events = course.of(partition.topic).iter().filter(|event| event.position.partition == partition);
        events.rev().cloned().collect::<Vec<_>>()
    };
    let mut queues: Vec<Vec<StoredEvent>> = partitions.map(of).collect();
    let mut events = Vec::new();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let any = chance.below(queues.len() as u64) as usize;
        let queue = &mut queues[any];
        let rest = queue.len().saturating_sub(1 + chance.below(9) as usize);
        events.extend(queue.drain(rest..).rev());
    }
    events
}

/// The projection after everything came in some order, in some batches, over restarts.
fn lived(open: Open<'_>, directory: &Path, course: &Course, chance: &mut Chance) -> Digest {
    let mut projection = open(directory, None);
    let inputs = projection.inputs().to_vec();
    let events = mixed(course, &inputs, chance);
    let mut left = events.as_slice();
    let mut reached = Checkpoints::default();
    while !left.is_empty() {
        let (batch, rest) = left.split_at(left.len().min(1 + chance.below(20) as usize));
        left = rest;
        after(batch).iter().for_each(|(partition, next)| reached.advance(partition, next));
        projection.apply(batch, &reached).unwrap();
        if chance.below(6) == 0 {
            drop(projection);
            projection = open(directory, None);
        }
    }
    projection.digest().unwrap()
}

/// Whatever the order, the view has one digest; and it is asked by `check` what it makes of what is remembered.
fn check_every_order(
    seeds: u64,
    open: impl Fn(&Path, Option<usize>) -> Box<dyn Projection> + std::panic::RefUnwindSafe,
    check: impl Fn(&Path, &BTreeMap<Uuid, Wording>, &Course) + std::panic::RefUnwindSafe,
) {
    for_each_seed(seeds, |seed| {
        let mut chance = Chance(seed);
        let course = Course::random(&mut chance);
        let directory = tempdir().unwrap();
        let first = lived(&open, directory.path(), &course, &mut chance);
        for _ in 0..2 {
            let other = tempdir().unwrap();
            assert_eq!(lived(&open, other.path(), &course, &mut chance), first);
        }
        check(directory.path(), &course.remembered(), &course);
    });
}

#[test]
fn threads_say_what_was_said_last() {
    check_every_order(
        20,
        |path, memory| Box::new(ThreadProjection::open(path, memory).unwrap()),
        |path, remembered, course| {
            let store = ThreadProjection::open(path, None).unwrap().store;
            for event in &course.messages {
                let Event::MessageAccepted(MessageAccepted { thread, .. }) = &event.event else { continue };
                let id = event.envelope.id.0;
                let expected = remembered.get(&id).map(|wording| wording.text.clone());
                assert_eq!(store.text(id).unwrap(), expected);
                let row = store.message(id).unwrap();
                assert_eq!(row.as_ref().map(|row| row.position), expected.as_ref().map(|_| event.position));
                // It stays where it was said.
                let limit = PageLimit { items: 99, bytes: usize::MAX };
                let page = store.messages("s", thread, Order::OldestFirst, limit, None).unwrap();
                assert!(page.items.is_sorted_by_key(|(row, _)| row.position.offset));
                assert_eq!(page.items.iter().any(|(row, _)| row.message_id == id), row.is_some());
            }
        },
    );
}

#[test]
fn words_find_what_was_said_last() {
    check_every_order(
        8,
        |path, memory| Box::new(TextProjection::open(path, memory).unwrap()),
        |path, remembered, course| {
            let store = TextProjection::open(path, None).unwrap().store;
            for said in Message::all(&course.messages).filter(|said| !is_blank(said.text)) {
                let mark = said.text.rsplit(' ').next().unwrap();
                let query = TextQuery { text: mark, filter: &Filter::default(), limit: 99 };
                let mut hits = store.search(&query).unwrap().hits;
                hits.retain(|hit| !hit.own_terms.is_empty());
                let holds = remembered.get(&said.id.0).is_some_and(|wording| wording.text == said.text);
                let found: Vec<_> = hits.iter().map(|hit| hit.message_id).collect();
                assert_eq!(found, if holds { vec![said.id.0] } else { vec![] }, "{}", said.text);
            }
            let count = remembered.values().filter(|wording| !is_blank(&wording.text)).count();
            assert_eq!(store.document_count(), count as u64);
        },
    );
}

#[test]
fn vectors_are_those_of_what_was_said_last() {
    let encoder = HashEncoder::new(DIMENSIONS);
    let model = encoder.model_id().to_owned();
    let open = |path: &Path| VectorProjection::open(path, &model, DIMENSIONS).unwrap();
    check_every_order(
        12,
        |path, _| Box::new(open(path)),
        |path, remembered, _| {
            let store = open(path).store;
            let said: Vec<_> = remembered.iter().filter(|(_, wording)| !is_blank(&wording.text)).collect();
            assert_eq!(store.count().unwrap(), said.len() as u64);
            for (id, wording) in said {
                let text = format!("{}: {}", wording.facets.author, wording.text);
                let vector = encoder.encode(Role::Document, &[&text]).unwrap().remove(0).vector;
                let [Some(cosine)] = store.cosines(&vector, &[*id]).unwrap()[..] else { panic!("it has a vector") };
                assert!(cosine > 0.999, "{text}");
            }
        },
    );
}

#[test]
fn summaries_are_one_in_every_order() {
    check_every_order(
        12,
        |path, memory| Box::new(SummaryProjection::open(path, PartitionShare::ALL, memory).unwrap()),
        |path, remembered, _| {
            let store = SummaryProjection::open(path, PartitionShare::ALL, None).unwrap().store;
            let bytes: usize = remembered.values().map(|wording| wording.text.len()).sum();
            let total = store.space_statistics("s").unwrap().map(|statistics| statistics.total).unwrap_or_default();
            assert_eq!((total.messages, total.bytes), (remembered.len() as u64, bytes as u64));
        },
    );
}

#[test]
fn the_graph_knows_what_was_said_last() {
    check_every_order(
        12,
        |path, memory| Box::new(GraphProjection::open(path, memory).unwrap()),
        |path, remembered, _| {
            let store = GraphProjection::open(path, None).unwrap().store;
            let counts = store.counts("s").unwrap();
            let names = |wording: &&Wording| wording.text.contains("Oslo") || wording.text.contains("Nadia Holm");
            assert_eq!(counts.messages, remembered.values().filter(names).count() as i64);
        },
    );
}
