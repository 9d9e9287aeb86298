//! How fast is the embedded log?
//!
//! ```text
//! log append  [--seconds S] [--bytes N] [--rounds R]     closed-loop producers against a plain file with fdatasync
//!             [--partitions P] [--threads 1]             into so many partitions (4); a thread for each producer
//! log read    [--records N] [--bytes N]                  one thread reads everything, warm
//! log growth  [--records N] [--bytes N]                  latency of appends while the log grows to N records, and reopening
//! log poison  --directory DATA [--records N]             measures nothing: leaves N unreadable events, for scripts/soak.py
//! ```
//! Both sides of a comparison run in turn, on the same disk (`--directory`, the temporary one by default). The last line is
//! one JSON object with every figure.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use meshlog_pipeline::{Batch, EmbeddedLog, EmbeddedOptions, Log, NewRecord, ReadLimit, TopicLayout};
use meshlog_schemas::{Headers, Topic};

const PRODUCERS: [usize; 3] = [1, 8, 64];

#[path = "closed_loop.rs"]
mod closed_loop;

use closed_loop::{Run, median, produce, record, runtime};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str, default: u64| -> u64 {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let at = arguments.iter().position(|argument| argument == "--directory").and_then(|at| arguments.get(at + 1));
    let parent = at.map_or_else(std::env::temp_dir, PathBuf::from);
    if arguments.first().is_some_and(|mode| mode == "poison") {
        return poison(&parent, option("--records", 60));
    }
    let directory = parent.join(format!("meshlog-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let bytes = option("--bytes", 1024) as usize;
    let figures = match arguments.first().map(String::as_str) {
        Some("read") => read(&directory, option("--records", 1_000_000), bytes),
        Some("growth") => growth(&directory, option("--records", 1_000_000), bytes),
        _ => {
            let way = Way { partitions: option("--partitions", 4) as u32, has_threads: option("--threads", 0) == 1 };
            append(&directory, option("--seconds", 3), option("--rounds", 3), bytes, way)
        }
    };
    std::fs::remove_dir_all(&directory).expect("what was made can be removed");
    let figures: Vec<String> = figures.into_iter().map(|(name, value)| format!("\"{name}\": {value:.3}")).collect();
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

/// Events that no stage can read, each of a thread of its own.
fn poison(data: &Path, records: u64) {
    let log = EmbeddedLog::open(&data.join("log"), EmbeddedOptions::default()).expect("the log opens");
    let events = (0..records).map(|count| NewRecord {
        topic: Topic::Messages,
        key: format!("main/poison-{count}").into(),
        headers: Headers::default(),
        body: bytes::Bytes::from_static(b"no event"),
        identity: None,
    });
    let append = log.append(Batch { records: events.collect(), progress: None });
    runtime().block_on(append).expect("the log takes them");
}

type Figures = Vec<(String, f64)>;

/// What is written to, and how its producers wait.
#[derive(Debug, Clone, Copy)]
struct Way {
    partitions: u32,
    /// A thread for each producer, instead of a task on one thread a processor.
    has_threads: bool,
}

fn append(directory: &Path, seconds: u64, rounds: u64, bytes: usize, way: Way) -> Figures {
    println!(
        "append of {bytes} bytes, acknowledged after fdatasync, closed loop, {way:?}, {rounds} rounds of {seconds} s, medians"
    );
    let layout = vec![TopicLayout { topic: Topic::Messages, partitions: way.partitions }];
    let options = EmbeddedOptions { layout, ..EmbeddedOptions::default() };
    let mut plain = Vec::new();
    let mut logs: Vec<Vec<Run>> = PRODUCERS.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        plain.push(plain_file(&directory.join(format!("plain-{round}")), seconds, bytes));
        for (runs, producers) in logs.iter_mut().zip(PRODUCERS) {
            let path = directory.join(format!("log-{round}-{producers}"));
            let log = Arc::new(EmbeddedLog::open(&path, options.clone()).expect("the log opens"));
            let measure = if way.has_threads { closed_loop_of_threads } else { closed_loop };
            runs.push(measure(&log, producers, seconds, bytes));
            drop(log);
            std::fs::remove_dir_all(path).expect("what was made can be removed");
        }
    }
    let plain = median(plain);
    println!(
        "{:<32} {:>10} {:>8} {:>9} {:>9} {:>9} {:>7}",
        "", "records/s", "ratio", "p50 ms", "p99 ms", "max ms", "group"
    );
    println!(
        "{:<32} {:>10.0} {:>8.2} {:>9.2} {:>9.2} {:>9.2}",
        "plain file, write + fdatasync", plain.rate, 1.0, plain.p50, plain.p99, plain.max
    );
    let mut figures = vec![("plain_fdatasync_per_s".to_owned(), plain.rate)];
    for (runs, producers) in logs.into_iter().zip(PRODUCERS) {
        let run = median(runs);
        let ratio = run.rate / plain.rate;
        println!(
            "{:<32} {:>10.0} {ratio:>8.2} {:>9.2} {:>9.2} {:>9.2} {:>7.1}",
            format!("embedded log, {producers} producers"),
            run.rate,
            run.p50,
            run.p99,
            run.max,
            run.group
        );
        figures.push((format!("append_per_s_{producers}"), run.rate));
        figures.push((format!("append_over_fdatasync_{producers}"), ratio));
        figures.push((format!("append_p99_ms_{producers}"), run.p99));
    }
    figures
}

fn plain_file(path: &Path, seconds: u64, bytes: usize) -> Run {
    let mut file = File::create(path).expect("the file can be made");
    let record = vec![7; bytes];
    let (started, mut latencies) = (Instant::now(), Vec::new());
    while started.elapsed().as_secs() < seconds {
        let begun = Instant::now();
        file.write_all(&record).expect("the disk takes the record");
        file.sync_data().expect("the disk syncs");
        latencies.push(begun.elapsed().as_micros() as u32);
    }
    Run::new(latencies, started.elapsed())
}

/// Producers that each send their next record when the one before is acknowledged, as tasks.
fn closed_loop(log: &Arc<EmbeddedLog>, producers: usize, seconds: u64, bytes: usize) -> Run {
    let runtime = runtime();
    measured(log, seconds, |end| {
        let spawn = |producer| runtime.spawn(produce(log.clone(), producer, end, bytes));
        let tasks: Vec<_> = (0..producers).map(spawn).collect();
        tasks.into_iter().flat_map(|task| runtime.block_on(task).expect("a producer ends")).collect()
    })
}

/// The same, each in a thread of its own that waits.
fn closed_loop_of_threads(log: &Arc<EmbeddedLog>, producers: usize, seconds: u64, bytes: usize) -> Run {
    let runtime = runtime();
    let runtime = &runtime;
    measured(log, seconds, |end| {
        std::thread::scope(|scope| {
            let spawn = |producer| scope.spawn(move || runtime.block_on(produce(log.clone(), producer, end, bytes)));
            let threads: Vec<_> = (0..producers).map(spawn).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a producer ends")).collect()
        })
    })
}

/// What producers reach that `run` starts and that end in time.
fn measured(log: &EmbeddedLog, seconds: u64, run: impl FnOnce(Instant) -> Vec<u32>) -> Run {
    let (started, commits) = (Instant::now(), log.commits());
    let latencies = run(started + Duration::from_secs(seconds));
    let count = latencies.len() as f64;
    let run = Run::new(latencies, started.elapsed());
    Run { group: count / (log.commits() - commits).max(1) as f64, ..run }
}

/// Appends `records` in batches, as fast as the log takes them.
fn fill(log: &Arc<EmbeddedLog>, records: u64, bytes: usize) {
    const BATCH: u64 = 500;
    let runtime = runtime();
    let body = bytes::Bytes::from(vec![7; bytes]);
    let left = Arc::new(AtomicU64::new(records / BATCH));
    let tasks: Vec<_> = (0..4)
        .map(|producer| {
            let (log, body, left) = (log.clone(), body.clone(), left.clone());
            runtime.spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let records = (0..BATCH).map(|count| record(producer, count, &body)).collect();
                    log.append(Batch { records, progress: None }).await.expect("the log takes it");
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|task| runtime.block_on(task).expect("a producer ends"));
}

fn read(directory: &Path, records: u64, bytes: usize) -> Figures {
    let log = Arc::new(EmbeddedLog::open(&directory.join("log"), EmbeddedOptions::default()).expect("the log opens"));
    let started = Instant::now();
    fill(&log, records, bytes);
    let filled = records as f64 / started.elapsed().as_secs_f64();
    let mut rates = Vec::new();
    for _ in 0..3 {
        let (started, mut count, mut sum) = (Instant::now(), 0_u64, 0_u64);
        for id in 0..4 {
            let partition = meshlog_schemas::Partition { topic: Topic::Messages, id };
            let mut next = 0;
            loop {
                let limit = ReadLimit { records: 4_096, bytes: 1024 * 1024 };
                let read = log.read(partition, next, limit).expect("records can be read");
                let Some(last) = read.last() else { break };
                next = last.position.offset + 1;
                count += read.len() as u64;
                sum += read.iter().map(|record| record.body.len() as u64).sum::<u64>();
            }
        }
        let took = started.elapsed().as_secs_f64();
        rates.push((count as f64 / took, sum as f64 / took / 1e6));
    }
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (rate, megabytes) = rates[1];
    println!(
        "{records} records of {bytes} bytes, one thread, warm: {rate:.0} records/s, {megabytes:.0} MB/s; appended at {filled:.0}/s in batches of 500"
    );
    vec![
        (format!("read_per_s_{bytes}"), rate),
        (format!("read_mb_per_s_{bytes}"), megabytes),
        (format!("batch_append_per_s_{bytes}"), filled),
    ]
}

fn growth(directory: &Path, records: u64, bytes: usize) -> Figures {
    let path = directory.join("log");
    let mut figures = Figures::new();
    let mut there = 0;
    let mut step = 1_000_000.min(records);
    println!(
        "{:>12} {:>12} {:>9} {:>9} {:>11} {:>12}",
        "records", "appends/s", "p50 ms", "p99 ms", "reopened ms", "resident MB"
    );
    while there < records {
        let log = Arc::new(EmbeddedLog::open(&path, EmbeddedOptions::default()).expect("the log opens"));
        fill(&log, step - there, bytes);
        there = step;
        // The disk comes to rest first.
        std::thread::sleep(Duration::from_secs(2));
        let run = closed_loop(&log, 64, 5, bytes);
        drop(log);
        let begun = Instant::now();
        let log = EmbeddedLog::open(&path, EmbeddedOptions::default()).expect("the log opens");
        let opened = begun.elapsed().as_secs_f64() * 1e3;
        drop(log);
        println!(
            "{there:>12} {:>12.0} {:>9.2} {:>9.2} {opened:>11.0} {:>12.0}",
            run.rate,
            run.p50,
            run.p99,
            resident_mb()
        );
        figures.push((format!("append_p99_ms_at_{there}"), run.p99));
        figures.push((format!("open_ms_at_{there}"), opened));
        step = (step * 5 / 2).min(records);
    }
    figures
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
