//! How fast does the embedded log acknowledge, and how much of a lone fsync does group commit save?
//!
//! The peer is the disk itself: one thread that writes the same bytes to a plain file with fdatasync after each record.
//! Both sides run in turn, three rounds, on the same disk; the figures are medians of the rounds.

use std::{fs::File, io::Write, sync::Arc, time::Instant};

use meshlog_pipeline::{Batch, EmbeddedLog, EmbeddedOptions, Log, NewRecord};
use meshlog_schemas::Topic;
use pollster::block_on;

const RECORD_BYTES: usize = 1024;
const PRODUCERS: [usize; 3] = [1, 8, 64];
const ROUNDS: usize = 3;
const SECONDS: f64 = 3.0;

fn main() {
    let directory = std::env::temp_dir().join(format!("meshlog-bench-append-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the temporary directory can be written");
    let mut disk = Vec::new();
    let mut logs = vec![Vec::new(); PRODUCERS.len()];
    for round in 0..ROUNDS {
        disk.push(fsyncs_a_second(&directory.join(format!("plain-{round}"))));
        for (rates, producers) in logs.iter_mut().zip(PRODUCERS) {
            rates.push(appends_a_second(&directory.join(format!("log-{round}-{producers}")), producers));
        }
    }
    std::fs::remove_dir_all(&directory).expect("what was made can be removed");

    let disk = median(&mut disk);
    println!("append of {RECORD_BYTES} bytes, acknowledged after fsync, {ROUNDS} rounds of {SECONDS} s, closed loop");
    println!("{:<34} {:>10} {:>8}", "", "records/s", "ratio");
    println!("{:<34} {disk:>10.0} {:>8.2}", "plain file, write + fdatasync", 1.0);
    let mut figures = vec![format!("\"plain_fdatasync_per_s\": {disk:.0}")];
    for (rates, producers) in logs.iter_mut().zip(PRODUCERS) {
        let rate = median(rates);
        println!("{:<34} {rate:>10.0} {:>8.2}", format!("embedded log, {producers} producers"), rate / disk);
        figures.push(format!("\"append_over_fdatasync_{producers}\": {:.2}", rate / disk));
    }
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

fn fsyncs_a_second(path: &std::path::Path) -> f64 {
    let mut file = File::create(path).expect("the file can be made");
    let record = vec![7; RECORD_BYTES];
    let started = Instant::now();
    let mut count = 0_u64;
    while started.elapsed().as_secs_f64() < SECONDS {
        file.write_all(&record).expect("the disk takes the record");
        file.sync_data().expect("the disk syncs");
        count += 1;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

fn appends_a_second(path: &std::path::Path, producers: usize) -> f64 {
    let log = Arc::new(EmbeddedLog::open(path, EmbeddedOptions::default()).expect("the log opens"));
    let started = Instant::now();
    let threads: Vec<_> = (0..producers)
        .map(|producer| {
            let log = log.clone();
            std::thread::spawn(move || {
                let mut count = 0_u64;
                while started.elapsed().as_secs_f64() < SECONDS {
                    let record = NewRecord {
                        topic: Topic::Messages,
                        key: format!("key-{producer}-{}", count % 16).into_bytes(),
                        headers: Vec::new(),
                        body: vec![7; RECORD_BYTES],
                        identity: None,
                    };
                    block_on(log.append(Batch { records: vec![record], progress: None })).expect("the log takes it");
                    count += 1;
                }
                count
            })
        })
        .collect();
    let count: u64 = threads.into_iter().map(|thread| thread.join().expect("a producer ends")).sum();
    count as f64 / started.elapsed().as_secs_f64()
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
