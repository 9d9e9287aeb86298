//! How fast is a view rebuilt from the log?
//!
//! ```text
//! rebuild [--events N] [--bytes N] [--rounds R] [--directory D]
//! ```
//! Fills an embedded log with N small messages (a million, each with a text of about 80 bytes), then measures, R times in
//! turn: reading and decoding alone; the replay into a store of keys and values, one row an event, the checkpoint in the
//! same commit; and the replay into the threads view, which is what `meshlog replay rebuild threads` does. The processor's
//! seconds an event took on all threads stand beside each figure. The last line is one JSON object with every figure.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use meshlog_pipeline::{
    ClearSealer, Durability, EmbeddedLog, EmbeddedOptions, EventLog, NewEvent, Projection, ProjectionError, ReadAhead,
    StoredEvent, apply_batch,
};
use meshlog_processors::projections::ThreadProjection;
use meshlog_schemas::{Checkpoints, Digest, Event, EventId, MessageAccepted, Topic, Trust};

const THREADS: u64 = 1_000;
const TARGET: f64 = 500_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let option = |name: &str, default: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, bytes, rounds) = (option("--events", 1_000_000), option("--bytes", 80), option("--rounds", 3));
    let parent = value("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("meshlog-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the directory can be made");

    let events = fill(&directory.join("log"), count, bytes as usize);
    let mut runs: Vec<(&str, Vec<Run>)> = vec![("decode", vec![]), ("key_value", vec![]), ("threads", vec![])];
    for _ in 0..rounds {
        for (name, runs) in &mut runs {
            let path = directory.join("view");
            let projection: Box<dyn Projection> = match *name {
                "decode" => Box::new(Nothing),
                "key_value" => Box::new(KeyValue::open(&path)),
                _ => Box::new(ThreadProjection::open(&path).expect("the store can be made")),
            };
            runs.push(replay(&events, &*projection, count));
            drop(projection);
            let _ = std::fs::remove_dir_all(&path);
        }
    }
    println!("\nreplay of {count} messages, medians of {rounds} rounds");
    println!("{:<12} {:>10} {:>14}", "", "events/s", "CPU us/event");
    let mut figures = Vec::new();
    for (name, mut runs) in runs {
        runs.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        let run = &runs[runs.len() / 2];
        println!("{name:<12} {:>10.0} {:>14.2}", run.rate, run.cpu_micros);
        figures.push(format!("\"{name}_per_s\": {:.0}, \"{name}_cpu_us\": {:.3}", run.rate, run.cpu_micros));
        if name == "key_value" {
            figures.push(format!("\"meets_target\": {}", run.rate >= TARGET));
        }
    }
    std::fs::remove_dir_all(directory).expect("what was made can be removed");
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

/// A log of `count` messages in a thousand threads.
fn fill(path: &Path, count: u64, bytes: usize) -> EventLog {
    let began = Instant::now();
    let options = EmbeddedOptions { durability: Durability::None, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(path, options).expect("the log can be made");
    let events = EventLog::new(Arc::new(log), Arc::new(ClearSealer));
    let words = "the kite is red and who has the string it is in the shed then we fly at noon bring soup ";
    let text: String = words.chars().cycle().take(bytes).collect();
    for first in (0..count).step_by(1_000) {
        let batch = (first..count.min(first + 1_000)).map(|number| message(number, &text)).collect();
        pollster::block_on(events.append(batch, None)).expect("the log takes events");
    }
    println!("filled the log in {:.1} s", began.elapsed().as_secs_f64());
    events
}

fn message(number: u64, text: &str) -> NewEvent {
    let event = Event::MessageAccepted(MessageAccepted {
        source_id: None,
        space: "main".into(),
        thread: format!("thread-{}", number % THREADS),
        author: format!("author-{}", number % 7),
        role: "user".into(),
        sent_at: 1_700_000_000_000_000 + number as i64,
        text: format!("{number} {text}"),
    });
    NewEvent::first(EventId::fresh(), "/gateway/http", Trust::Client, event)
}

struct Run {
    /// Events a second.
    rate: f64,
    /// Time that all threads together spent on one event.
    cpu_micros: f64,
}

fn replay(events: &EventLog, projection: &dyn Projection, count: u64) -> Run {
    let (began, cpu) = (Instant::now(), cpu_time());
    let mut feed = ReadAhead::new(events.clone(), projection.inputs(), Checkpoints::default(), None);
    let mut applied = 0;
    loop {
        let batch = feed.read().expect("the log can be read");
        if batch.is_empty() {
            break;
        }
        applied += batch.entries.len() as u64;
        apply_batch(projection, batch).expect("the store can be written");
    }
    assert_eq!(applied, count, "every event is replayed");
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (cpu_time() - cpu).as_secs_f64();
    Run { rate: count as f64 / seconds, cpu_micros: cpu * 1e6 / count as f64 }
}

/// What this process has used of the processors so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which stands in brackets: fields 12 and 13 are user and system time, in hundredths of a second.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Takes nothing in: what is left is reading and decoding.
struct Nothing;

impl Projection for Nothing {
    fn inputs(&self) -> &[Topic] {
        &[Topic::Messages]
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(Checkpoints::default())
    }

    fn apply(&self, _events: &[StoredEvent], _checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        Ok(())
    }

    fn digest(&self) -> Result<Digest, ProjectionError> {
        Ok(Digest::default())
    }
}

/// The plainest view there is: message id to text.
struct KeyValue {
    database: Database,
    texts: Keyspace,
    meta: Keyspace,
}

impl KeyValue {
    fn open(path: &Path) -> Self {
        let database = Database::builder(path).worker_threads(1).open().expect("the store can be made");
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default).expect("the store can be made");
        Self { texts: keyspace("texts"), meta: keyspace("meta"), database }
    }
}

impl Projection for KeyValue {
    fn inputs(&self) -> &[Topic] {
        &[Topic::Messages]
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        let text = self.meta.get("checkpoints").map_err(failed)?;
        Ok(text.and_then(|text| Checkpoints::from_text(std::str::from_utf8(&text).ok()?)).unwrap_or_default())
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for event in events {
            if let Event::MessageAccepted(message) = &event.event {
                batch.insert(&self.texts, *event.envelope.id.0.as_bytes(), message.text.as_str());
            }
        }
        batch.insert(&self.meta, "checkpoints", checkpoints.to_text());
        batch.commit().map_err(failed)
    }

    fn digest(&self) -> Result<Digest, ProjectionError> {
        let mut digest = Digest::default();
        for entry in self.texts.iter() {
            let (key, value) = entry.into_inner().map_err(failed)?;
            digest.add(&[&key, &value]);
        }
        Ok(digest)
    }
}

fn failed(error: fjall::Error) -> ProjectionError {
    ProjectionError(error.to_string())
}
