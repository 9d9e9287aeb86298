//! How fast are views rebuilt from the log?
//!
//! ```text
//! rebuild [--messages N] [--rounds R] [--memory-mb M] [--only NAME,...] [--directory D]
//! ```
//! Writes a made history of N messages to an embedded log (see `history`), then replays it, R times in turn, into: nothing (reading and
//! decoding alone); a store of keys and values, one row a message; and each projection as `meshlog replay rebuild` does.
//! Beside each rate stand the processor's seconds that an event took on all threads, the memory that was resident at the most beyond
//! what was before, and the bytes on the disk. The last line is one JSON object with every figure.

mod history;
mod measured;
mod nearest;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use history::{DIMENSIONS, MODEL, Scope};
use measured::{Measured, Meter, size};
use meshlog_pipeline::{EventLog, Projection, ProjectionError, ReadAhead, StoredEvent, apply_batch};
use meshlog_processors::projections::{
    CallProjection, GraphProjection, SummaryProjection, TextProjection, ThreadProjection, VectorProjection,
};
use meshlog_schemas::{Checkpoints, Digest, Event, PartitionShare, Topic};

/// As the program does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is replayed into.
const VIEWS: [&str; 8] = ["decode", "key_value", "threads", "calls", "text", "vectors", "graph", "summaries"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let option = |name: &str, default: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (messages, rounds) = (option("--messages", 100_000), option("--rounds", 1));
    let memory = option("--memory-mb", 256) as usize * 1_000_000;
    let only = value("--only").unwrap_or_else(|| VIEWS.join(","));
    let parent = value("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("meshlog-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the directory can be made");

    let is_derived = ["vectors", "graph", "summaries"].iter().any(|name| only.contains(name));
    let events = history::write(&directory.join("log"), Scope { messages, is_derived });
    let mut runs: Vec<(&str, Vec<Measured>)> =
        VIEWS.iter().filter(|name| only.split(',').any(|one| one == **name)).map(|name| (*name, Vec::new())).collect();
    let mut found = None;
    for _ in 0..rounds {
        for (name, runs) in &mut runs {
            let path = directory.join("view");
            let projection = open(name, &path, memory);
            runs.push(replay(&events, &*projection, &path, memory));
            drop(projection);
            if *name == "vectors" {
                found = Some(nearest::measure(&path));
            }
            let _ = std::fs::remove_dir_all(&path);
        }
    }
    println!(
        "\nreplay of {messages} messages, medians of {rounds} rounds; a core's rate is events over processor seconds"
    );
    println!(
        "{:<10} {:>9} {:>10} {:>13} {:>13} {:>9} {:>9}",
        "", "events", "events/s", "events/s/core", "CPU us/event", "peak MB", "disk MB"
    );
    let mut figures = Vec::new();
    for (name, mut runs) in runs {
        runs.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
        let run = &runs[runs.len() / 2];
        let per_core = run.events as f64 / run.cpu_seconds.max(1e-9);
        println!(
            "{name:<10} {:>9} {:>10.0} {:>13.0} {:>13.2} {:>9.0} {:>9.0}",
            run.events,
            run.rate(),
            per_core,
            1e6 / per_core,
            run.peak_bytes as f64 / 1e6,
            run.disk_bytes as f64 / 1e6
        );
        figures.push(format!(
            "\"{name}_per_s\": {:.0}, \"{name}_per_s_core\": {per_core:.0}, \"{name}_peak_mb\": {:.0}",
            run.rate(),
            run.peak_bytes as f64 / 1e6
        ));
    }
    if let Some(found) = found {
        println!("{found}");
        figures.push(found.figures());
    }
    drop(events);
    std::fs::remove_dir_all(directory).expect("what was made can be removed");
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

fn open(name: &str, path: &Path, memory: usize) -> Arc<dyn Projection> {
    let fine = "the store can be made";
    match name {
        "decode" => Arc::new(Nothing),
        "key_value" => Arc::new(KeyValue::open(path)),
        "threads" => Arc::new(ThreadProjection::open(path, Some(memory)).expect(fine)),
        "calls" => Arc::new(CallProjection::open(path, Some(memory)).expect(fine)),
        "text" => Arc::new(TextProjection::open(path, Some(memory)).expect(fine)),
        "vectors" => Arc::new(VectorProjection::open(path, MODEL, DIMENSIONS).expect(fine)),
        "graph" => Arc::new(GraphProjection::open(path, Some(memory)).expect(fine)),
        _ => Arc::new(SummaryProjection::open(path, PartitionShare::ALL, Some(memory)).expect(fine)),
    }
}

fn replay(events: &EventLog, projection: &dyn Projection, path: &Path, memory: usize) -> Measured {
    let meter = Meter::start();
    let mut feed =
        ReadAhead::new(events.clone(), projection.inputs(), Checkpoints::default(), None).with_memory(memory / 4);
    let mut applied = 0;
    loop {
        let batch = feed.read().expect("the log can be read");
        if batch.is_empty() {
            break;
        }
        applied += batch.entries.len() as u64;
        apply_batch(projection, batch).expect("the store can be written");
    }
    projection.settle().expect("the store can be written");
    meter.stop(applied, size(path))
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

    fn digest_telling(&self, _fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
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

    fn digest_telling(&self, _fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
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
