//! How fast does the text view take messages in, and how fast does it open?
//!
//! ```text
//! text [--messages N] [--threads T] [--batch B] [--rounds R] [--directory D]
//! ```
//! Makes a text store of N small messages (a million, about 90 bytes each) that T threads take turns in (16), in batches of B
//! (1,000), and opens it R times, each time in a process of its own, so that what it holds in memory can be told. The files
//! are in the page cache: what the disk needs is not in the figures. The last line is one JSON object with every figure.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use meshlog_processors::{
    Facets,
    text::{TextDocument, TextStore},
};
use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use uuid::Uuid;

#[path = "../../testing/seeds.rs"]
#[expect(dead_code, reason = "simulations use the rest")]
mod seeds;

use seeds::Chance;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(store) = value("--open") {
        return open(Path::new(&store));
    }
    let option = |name: &str, default: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, threads) = (option("--messages", 1_000_000), option("--threads", 16));
    let (batch, rounds) = (option("--batch", 1_000), option("--rounds", 5));
    let parent = value("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("meshlog-bench-text-{}", std::process::id()));

    let began = Instant::now();
    fill(&directory, count, threads, batch);
    let seconds = began.elapsed().as_secs_f64();
    let (applied, cpu) = (count as f64 / seconds, cpu_seconds() * 1e6 / count as f64);
    let bytes = bytes_in(&directory);
    println!("applied {count} messages in {threads} threads: {applied:.0}/s, {cpu:.2} us of CPU each");
    println!("{:.1} MB on disk, {:.1} bytes a message", bytes as f64 / 1e6, bytes as f64 / count as f64);

    let mut opened: Vec<[f64; 3]> = (0..rounds).map(|_| open_in_a_process(&directory)).collect();
    opened.sort_by(|one, other| one[0].total_cmp(&other[0]));
    let [open, on_cpu, memory] = opened[opened.len() / 2];
    println!("opened in {open:.0} ms, of which on the processor {on_cpu:.0} ms (median of {rounds})");
    println!("{memory:.1} bytes of memory a message");
    std::fs::remove_dir_all(&directory).expect("what was made can be removed");
    println!(
        "{{\"figures\": {{\"messages\": {count}, \"threads\": {threads}, \"applied_per_s\": {applied:.0}, \
         \"apply_cpu_us\": {cpu:.3}, \"disk_bytes\": {bytes}, \"open_ms\": {open:.1}, \"open_cpu_ms\": {on_cpu:.1}, \
         \"memory_bytes\": {memory:.1}}}}}"
    );
}

fn fill(directory: &Path, count: u64, threads: u64, batch: u64) {
    let store = TextStore::open(directory).expect("the store can be made");
    let partition = Partition { topic: Topic::Messages, id: 0 };
    for first in (0..count).step_by(batch as usize) {
        let next = count.min(first + batch);
        let documents: Vec<_> = (first..next).map(|number| document(number, partition, threads)).collect();
        store.apply(&documents, &Checkpoints::from_iter([(partition, next)])).expect("the store can be written");
    }
}

fn document(number: u64, partition: Partition, threads: u64) -> TextDocument {
    // Ids as random as those of messages that were hashed from their source, words as common as Zipf has them.
    let mut chance = Chance(number);
    let message_id = Uuid::from_u64_pair(chance.next(), chance.next());
    let words = (0..14).map(|_| {
        let rank = 20_000_f64.powf((chance.next() >> 32) as f64 / f64::from(u32::MAX)) as u64;
        format!("w{}", rank * 7_919 % 99_991)
    });
    let text = words.collect::<Vec<_>>().join(" ");
    let sent_at = 1_700_000_000_000_000 + number as i64 * 1_003_337;
    TextDocument {
        message_id,
        facets: Facets {
            space: "main".into(),
            thread: format!("conversation-{}", chance.next() % threads),
            author: format!("author-{}", number % 7),
            role: if number.is_multiple_of(2) { "user" } else { "assistant" }.into(),
            sent_at,
            accepted_at: sent_at + (chance.next() % 1_000_000) as i64,
        },
        position: Position { partition, offset: number },
        text,
    }
}

/// Milliseconds until the store is open, those of them that its thread was on a processor, and bytes of memory a message.
fn open_in_a_process(directory: &Path) -> [f64; 3] {
    let program = std::env::current_exe().expect("the program has a path");
    let output = Command::new(program).arg("--open").arg(directory).output().expect("the program can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    figures.try_into().unwrap_or_else(|_| panic!("the store opens: {}", String::from_utf8_lossy(&output.stderr)))
}

fn open(directory: &Path) {
    let memory = anonymous_memory();
    let (began, on_cpu) = (Instant::now(), on_cpu_millis());
    let store = TextStore::open(directory).expect("the store opens");
    let (open, on_cpu) = (began.elapsed().as_secs_f64() * 1e3, on_cpu_millis() - on_cpu);
    let memory = (anonymous_memory() - memory) as f64 / store.document_count() as f64;
    println!("{open} {on_cpu} {memory}");
}

fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).expect("the directory can be read");
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// What this process has used of the processors so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which stands in brackets: fields 12 and 13 are user and system time, in hundredths of a second.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// How long this thread has been on a processor, which is what its work takes on an idle machine.
fn on_cpu_millis() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// Bytes of memory that are no file's.
fn anonymous_memory() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<i64>().unwrap_or(0) * 1_024
}
