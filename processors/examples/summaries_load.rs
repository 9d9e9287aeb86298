//! How fast the summaries store takes messages in, and answers, on made data.
//!
//! Takes the number of messages (200,000 where none is given). Half of them lie in one thread, some in threads of 2,000 and of
//! 200, the rest in threads of 50. Prints messages a second, bytes on disk, and the times of each question.

use std::{
    env,
    error::Error,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use meshlog_processors::{
    Facets, Forgetting, PageLimit, Scope,
    summaries::{Budget, News, Said, SummaryStore},
};
use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use uuid::Uuid;

const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };
const BATCH: usize = 1_000;
const DAY: i64 = 86_400_000_000;
const WORDS: [&str; 24] = [
    "garden", "invoice", "Oslo", "server", "Friday", "kitchen", "Kafka", "budget", "train", "Ada", "window", "release",
    "coffee", "meeting", "contract", "bicycle", "Berlin", "report", "battery", "holiday", "doctor", "project",
    "library", "mountain",
];

fn main() -> ExitCode {
    let count = env::args().nth(1).map_or(Ok(200_000), |text| text.parse());
    match count.map_err(Box::from).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}; usage: summaries_load [MESSAGES]");
            ExitCode::FAILURE
        }
    }
}

fn run(count: usize) -> Result<(), Box<dyn Error>> {
    let directory = env::temp_dir().join(format!("summaries-load-{}", std::process::id()));
    let store = SummaryStore::open(&directory)?;
    let mut longest = Duration::ZERO;
    let mut spent = Duration::ZERO;
    for from in (0..count).step_by(BATCH) {
        let texts: Vec<_> = (from..count.min(from + BATCH)).map(text).collect();
        let said: Vec<_> = texts.iter().enumerate().map(|(index, text)| message(from + index, text)).collect();
        let begun = Instant::now();
        let news = News { said: &said, ..News::default() };
        store.apply(&news, &Checkpoints::from_iter([(PARTITION, from as u64)]))?;
        spent += begun.elapsed();
        longest = longest.max(begun.elapsed());
    }
    let rate = count as f64 / spent.as_secs_f64();
    println!("{count} messages: {rate:.0} a second, the longest batch of {BATCH} {longest:.1?}");
    println!("{} bytes on disk a message", bytes_in(&directory)? / count.max(1) as u64);
    for thread in ["long", "2000-0", "200-0", "50-0"] {
        for budget in [Budget::Tokens(300), Budget::Tokens(1_000)] {
            let summary = store.summary("s", thread, budget)?;
            let name = format!("summary of {} turns, {budget:?}, {} sentences", summary.turns, summary.sentences.len());
            measure(&name, || store.summary("s", thread, budget).map(drop))?;
        }
        measure("  its statistics", || store.thread_statistics("s", thread).map(drop))?;
    }
    let limit = PageLimit { items: 50, bytes: usize::MAX };
    measure("statistics of the space", || store.space_statistics("s").map(drop))?;
    measure("50 days", || store.days("s", None, 0..=i64::MAX, limit, None).map(drop))?;
    measure("50 quiet threads", || store.quiet("s", i64::MAX, limit, None).map(drop))?;
    let checkpoints = store.checkpoints()?;
    for (name, scope) in [
        ("a message of the long thread", Scope::Message(Uuid::from_u128(2))),
        ("an author of the long thread", Scope::Author("a7".into())),
        ("the long thread", Scope::Thread("long".into())),
        ("the space", Scope::Space),
    ] {
        let begun = Instant::now();
        let forgettings = [Forgetting { space: "s".into(), scope, until: i64::MAX }];
        store.apply(&News { forgettings: &forgettings, ..News::default() }, &checkpoints)?;
        println!("forgetting {name}: {:.1?}", begun.elapsed());
    }
    drop(store);
    Ok(fs::remove_dir_all(&directory)?)
}

/// About 25 words in two to four sentences, always the same for a number.
fn text(number: usize) -> String {
    let mut seed = number as u64;
    let mut next = |bound: u64| {
        seed = seed.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (seed >> 33) % bound
    };
    let mut text = String::new();
    for _ in 0..2 + next(3) {
        text.push_str(["I ", "We have ", "The ", "Hello, "][next(4) as usize]);
        for _ in 0..4 + next(8) {
            text.push_str(WORDS[next(24) as usize]);
            text.push_str([" ", " and ", " of the ", " with 12 "][next(4) as usize]);
        }
        text.push_str(["soon. ", "again! ", "now? "][next(3) as usize]);
    }
    text
}

fn message(number: usize, text: &str) -> Said<'_> {
    let index = number / 2;
    let thread = match (number % 2, index % 4) {
        (0, _) => "long".to_owned(),
        (_, 0) => format!("2000-{}", index / 8_000),
        (_, 1) => format!("200-{}", index / 800),
        _ => format!("50-{}", index / 100),
    };
    Said {
        message_id: Uuid::from_u128(number as u128),
        facets: Facets {
            space: "s".into(),
            thread,
            author: format!("a{}", number % 1_000),
            role: if index.is_multiple_of(2) { "user" } else { "assistant" }.into(),
            sent_at: number as i64 * (DAY / 500),
            accepted_at: number as i64,
        },
        position: Position { partition: PARTITION, offset: number as u64 },
        text,
        is_edit: false,
    }
}

fn measure<E: Error + 'static>(name: &str, mut ask: impl FnMut() -> Result<(), E>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        ask()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("{name}: p50 {:.2?}, p99 {:.2?}", times[100], times[198]);
    Ok(())
}

fn bytes_in(folder: &Path) -> Result<u64, std::io::Error> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
