//! A made history: what people and their models might have said, with what was derived of it.
//!
//! Owns: the distribution, which is stated here and in docs/benchmarks.md:
//!
//! - Words of a message: log-normal, median 18, sigma 0.9, at most 400. Vocabulary: 30,000 made words by Zipf's law.
//! - Threads: log-normal lengths, median 24 turns, sigma 1.0, at most 2,000; 64 are under way at a time, and the next turn
//!   is of one of these. Each is of one of 8 spaces (by Zipf's law) and one of 400 subjects; a person and an assistant take turns.
//! - Knowledge: of 60 % of all messages something is known: 1, 2, 3, ... mentions (each half as often as the one before) of 20,000
//!   names by Zipf's law, and in every fifth a fact of one of 8 relations.
//! - Vectors: 384 dimensions; of a mixture of subject, thread and a remainder, each drawn in 96 dimensions with falling weight and
//!   turned into all by one random matrix.
//! - A quarter of the assistant's messages were the answers of model calls of some 900 bytes each way.
//!
//! Never: text of anybody.

use std::{path::Path, sync::Arc, time::Instant};

use meshlog_pipeline::{
    ClearSealer, Durability, EmbeddedLog, EmbeddedOptions, Entry, EventLog, NewEvent, ReadAhead, StoredEvent,
};
use meshlog_processors::knowledge::Extractor;
use meshlog_schemas::{
    AttemptStarted, CallRequested, CallSettled, Checkpoints, EntityMentioned, Event, EventId, FactStated,
    KnowledgeExtracted, MessageAccepted, TextEmbedded, Topic, Trust,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// Dimensions of a vector.
pub(crate) const DIMENSIONS: usize = 384;
/// The model that the vectors are said to be of.
pub(crate) const MODEL: &str = "made-384";

const VOCABULARY: usize = 30_000;
const NAMES: usize = 20_000;
const SPACES: usize = 8;
/// What threads are about.
pub(crate) const SUBJECTS: usize = 400;
const UNDER_WAY: usize = 64;
const LATENT: usize = 96;
const BATCH: u64 = 1_000;
const START: i64 = 1_700_000_000_000_000;

const SYLLABLES: [&str; 24] = [
    "an", "be", "co", "da", "el", "fi", "go", "ha", "is", "jo", "ka", "lu", "mi", "no", "or", "pe", "ri", "sa", "to",
    "vi", "wen", "dor", "tal", "ske",
];

const KINDS: [&str; 5] = ["person", "place", "organisation", "topic", "product"];
const RELATIONS: [&str; 8] = ["likes", "works-at", "lives-in", "uses", "owns", "friend", "decided", "speaks"];

/// Numbers by Zipf's law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += 1.0 / rank as f64;
            sum
        };
        Self((1..=count).map(add).collect())
    }

    fn draw(&self, random: &mut SmallRng) -> usize {
        let at = random.random::<f64>() * self.0[self.0.len() - 1];
        self.0.partition_point(|sum| *sum < at)
    }
}

/// Normally distributed, by Box and Muller.
fn normal(random: &mut SmallRng) -> f32 {
    let (one, other): (f32, f32) = (random.random_range(f32::MIN_POSITIVE..1.0), random.random());
    (-2.0 * one.ln()).sqrt() * (std::f32::consts::TAU * other).cos()
}

fn log_normal(random: &mut SmallRng, median: f32, sigma: f32, most: usize) -> usize {
    ((median * (sigma * normal(random)).exp()) as usize).clamp(1, most)
}

fn word(rank: usize) -> String {
    let mut rest = rank;
    let mut text = String::new();
    loop {
        text.push_str(SYLLABLES[rest % SYLLABLES.len()]);
        rest /= SYLLABLES.len();
        if rest == 0 {
            return text;
        }
    }
}

fn name(rank: usize) -> String {
    let lower = word(rank + 700);
    lower[..1].to_uppercase() + &lower[1..]
}

/// Where vectors come from.
pub(crate) struct Meanings {
    subjects: Vec<[f32; LATENT]>,
    /// Row by row, one for each dimension.
    turn: Vec<[f32; LATENT]>,
}

impl Meanings {
    pub(crate) fn new(random: &mut SmallRng) -> Self {
        let subjects = (0..SUBJECTS).map(|_| latent(random)).collect();
        let turn = (0..DIMENSIONS).map(|_| std::array::from_fn(|_| normal(random))).collect();
        Self { subjects, turn }
    }

    /// The vector of a turn: near to its thread, which is near to its subject.
    pub(crate) fn vector(&self, subject: usize, thread: u64, random: &mut SmallRng) -> Vec<f32> {
        let thread = latent(&mut SmallRng::seed_from_u64(thread));
        let own = latent(random);
        let subject = &self.subjects[subject];
        let mixed: [f32; LATENT] = std::array::from_fn(|at| 0.55 * subject[at] + 0.5 * thread[at] + 0.67 * own[at]);
        let mut vector: Vec<f32> =
            self.turn.iter().map(|row| row.iter().zip(&mixed).map(|(one, other)| one * other).sum()).collect();
        let length = vector.iter().map(|element| element * element).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|element| *element /= length);
        vector
    }
}

fn latent(random: &mut SmallRng) -> [f32; LATENT] {
    std::array::from_fn(|at| normal(random) / (1.0 + at as f32 / 16.0).sqrt())
}

/// A thread under way.
struct Thread {
    number: u64,
    left: usize,
    space: usize,
    subject: usize,
    turns: usize,
}

/// What of the history there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) messages: u64,
    /// Whether it has vectors and knowledge.
    pub(crate) is_derived: bool,
}

/// Writes a history to a new log in `path`.
pub(crate) fn write(path: &Path, scope: Scope) -> EventLog {
    let began = Instant::now();
    let options = EmbeddedOptions { durability: Durability::None, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(path, options).expect("the log can be made");
    let events = EventLog::new(Arc::new(log), Arc::new(ClearSealer));
    say(&events, scope.messages);
    if scope.is_derived {
        derive(&events);
    }
    println!("wrote {} messages in {:.0} s", scope.messages, began.elapsed().as_secs_f64());
    events
}

fn append(events: &EventLog, batch: Vec<NewEvent>) {
    pollster::block_on(events.append(batch, None)).expect("the log takes events");
}

fn say(events: &EventLog, messages: u64) {
    let mut random = SmallRng::seed_from_u64(1);
    let (words, spaces) = (Zipf::new(VOCABULARY), Zipf::new(SPACES));
    let mut threads: Vec<Thread> = Vec::new();
    let mut begun = 0;
    let mut batch = Vec::new();
    for number in 0..messages {
        while threads.len() < UNDER_WAY {
            threads.push(Thread {
                number: begun,
                left: log_normal(&mut random, 24.0, 1.0, 2_000),
                space: spaces.draw(&mut random),
                subject: random.random_range(0..SUBJECTS),
                turns: 0,
            });
            begun += 1;
        }
        let at = random.random_range(0..UNDER_WAY);
        let thread = &mut threads[at];
        let is_person = thread.turns.is_multiple_of(2);
        let count = log_normal(&mut random, 18.0, 0.9, 400);
        let text: Vec<String> = (0..count).map(|_| word(words.draw(&mut random))).collect();
        let said = MessageAccepted {
            source_id: None,
            space: format!("space-{}", thread.space),
            thread: format!("thread-{}-{}", thread.subject, thread.number),
            author: if is_person { format!("person-{}", thread.number % 40) } else { "assistant".to_owned() },
            role: if is_person { "user" } else { "assistant" }.to_owned(),
            sent_at: START + number as i64 * 7_000_000,
            text: text.join(" "),
        };
        if !is_person && random.random_bool(0.25) {
            call(&said, &mut batch);
        }
        batch.push(NewEvent::first(EventId::fresh(), "/gateway/http", Trust::Client, Event::MessageAccepted(said)));
        thread.turns += 1;
        thread.left -= 1;
        if thread.left == 0 {
            threads.swap_remove(at);
        }
        if batch.len() as u64 >= BATCH || number + 1 == messages {
            append(events, std::mem::take(&mut batch));
        }
    }
}

/// The events of the call that this is the answer of.
fn call(said: &MessageAccepted, batch: &mut Vec<NewEvent>) {
    let call_id = EventId::fresh();
    let body = format!("{{\"model\":\"made\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]}}", said.text);
    let (space, thread) = (said.space.clone(), Some(said.thread.clone()));
    let requested = CallRequested {
        call_id,
        space: space.clone(),
        thread: thread.clone(),
        key_label: "bench".into(),
        kind: "chat".into(),
        wire: "openai".into(),
        model: "made".into(),
        mode: "whole".into(),
        owner: "n".into(),
        idempotency_key: None,
        body: body.clone().into(),
    };
    let started = AttemptStarted {
        call_id,
        space: space.clone(),
        thread: thread.clone(),
        number: 1,
        provider: "made".into(),
        model: "made".into(),
        idempotency_key: None,
    };
    let settled = CallSettled {
        call_id,
        space,
        thread,
        key_label: "bench".into(),
        kind: "chat".into(),
        asked_model: "made".into(),
        outcome: "completed".into(),
        error_class: String::new(),
        error_message: String::new(),
        status: 200,
        attempts: 1,
        provider: "made".into(),
        model: "made".into(),
        answered_model: "made".into(),
        finish_reason: "stop".into(),
        requested_at: said.sent_at,
        first_output_micros: 400_000,
        total_micros: 2_000_000,
        usage_source: "reported".into(),
        usage: "{\"prompt_tokens\":80,\"completion_tokens\":40}".into(),
        input_tokens: 80,
        cache_write_tokens: 0,
        cache_read_tokens: 0,
        output_tokens: 40,
        reasoning_tokens: 0,
        cost_nanos: 100_000,
        price_table: "made/made 2026-11-01".into(),
        request_id: None,
        headers: "{}".into(),
        wire: "openai".into(),
        response_type: "application/json".into(),
        response_bytes: body.len() as i64,
        response: body.into(),
        timings: Vec::new().into(),
        response_encoding: String::new(),
    };
    let at = said.sent_at;
    for event in
        [Event::CallRequested(requested), Event::AttemptStarted(started), Event::CallSettled(Box::new(settled))]
    {
        let id = if matches!(event, Event::CallRequested(_)) { call_id } else { EventId::fresh() };
        let mut event = NewEvent::first(id, "/gateway/http", Trust::Client, event);
        event.envelope.time = at;
        batch.push(event);
    }
}

/// Appends what stages derive of every message.
fn derive(events: &EventLog) {
    let mut random = SmallRng::seed_from_u64(2);
    let meanings = Meanings::new(&mut random);
    let names = Zipf::new(NAMES);
    let mut feed = ReadAhead::new(events.clone(), &[Topic::Messages], Checkpoints::default(), None);
    loop {
        let batch = feed.read().expect("the log can be read");
        if batch.is_empty() {
            break;
        }
        let read: Vec<StoredEvent> = batch.entries.into_iter().filter_map(Entry::ok).collect();
        let mut derived = Vec::new();
        for event in &read {
            derived.extend(embedded(event, &meanings, &mut random));
            if random.random_bool(0.6) {
                derived.extend(known(event, &names, &mut random));
            }
        }
        for chunk in derived.chunks(BATCH as usize) {
            append(events, chunk.to_vec());
        }
    }
}

fn known(event: &StoredEvent, names: &Zipf, random: &mut SmallRng) -> Option<NewEvent> {
    let Event::MessageAccepted(body) = &event.event else { return None };
    let mut draw = || {
        let rank = names.draw(random);
        (KINDS[rank % KINDS.len()].to_owned(), name(rank))
    };
    let mut mentions = Vec::new();
    loop {
        let (kind, name) = draw();
        let start = mentions.len() as i32 * 20;
        mentions.push(EntityMentioned { kind, name, start, end: start + 9, confidence: 900 });
        if draw().1.len() % 2 == 0 || mentions.len() == 12 {
            break;
        }
    }
    let ((subject_kind, subject), (object_kind, object)) = (draw(), draw());
    let fact = FactStated {
        fact_id: EventId::derived(event.envelope.id, "extract:patterns-1", "0"),
        start: 0,
        end: 40,
        subject_kind,
        subject,
        relation: RELATIONS[random.random_range(0..RELATIONS.len())].to_owned(),
        object_kind,
        object,
        polarity: "affirmed".into(),
        modality: "asserted".into(),
        valid_from: None,
        valid_until: None,
        confidence: 900,
    };
    let extracted = Event::KnowledgeExtracted(KnowledgeExtracted {
        message_id: event.envelope.id,
        space: body.space.clone(),
        thread: body.thread.clone(),
        author: body.author.clone(),
        role: body.role.clone(),
        sent_at: body.sent_at,
        accepted_at: event.appended_at,
        extractor: Extractor::ID.into(),
        mentions,
        facts: random.random_bool(0.2).then_some(fact).into_iter().collect(),
    });
    Some(NewEvent::derived(&event.envelope, "extract:patterns-1", "0", extracted))
}

fn embedded(event: &StoredEvent, meanings: &Meanings, random: &mut SmallRng) -> Option<NewEvent> {
    let Event::MessageAccepted(body) = &event.event else { return None };
    let mut numbers = body.thread.split('-').skip(1).filter_map(|part| part.parse().ok());
    let (subject, thread): (u64, u64) = (numbers.next()?, numbers.next()?);
    let vector = meanings.vector(subject as usize, thread, random);
    let embedded = Event::TextEmbedded(TextEmbedded {
        message_id: event.envelope.id,
        space: body.space.clone(),
        thread: body.thread.clone(),
        author: body.author.clone(),
        role: body.role.clone(),
        sent_at: body.sent_at,
        accepted_at: event.appended_at,
        model: MODEL.into(),
        dims: DIMENSIONS as i32,
        content_hash: vec![0; 32],
        vector: vector.iter().flat_map(|element| element.to_le_bytes()).collect(),
    });
    Some(NewEvent::derived(&event.envelope, "embed:made", "0", embedded))
}
