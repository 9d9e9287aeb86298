//! How fast is a log moved to Kafka and back?
//!
//! ```text
//! scripts/with-kafka.sh cargo bench -p meshlog-replay --bench migrate -- [--records N] [--bytes N] [--rounds R] [--directory D]
//! ```
//! Fills an embedded log, every record stored once, and moves it R times to Kafka and from there into a new directory; each move
//! is followed by the comparison of both. Also how long a partition on Kafka takes that begins at offset N. The last line is
//! one JSON object with every figure.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use meshlog_pipeline::{EmbeddedTransfer, KafkaOptions, KafkaTransfer, Record, TopicLayout, TransferTarget as _};
use meshlog_replay::migrate::{migrate, verify};
use meshlog_schemas::{EventId, Headers, Partition, Position, Topic};

const PARTITIONS: u32 = 4;
const LAYOUT: [TopicLayout; 1] = [TopicLayout { topic: Topic::Messages, partitions: PARTITIONS }];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let option = |name: &str, default: u64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (records, bytes, rounds) = (option("--records", 200_000), option("--bytes", 1024), option("--rounds", 3));
    let Ok(brokers) = std::env::var("MESHLOG_TEST_KAFKA") else {
        eprintln!("MESHLOG_TEST_KAFKA names no broker; run scripts/with-kafka.sh cargo bench ...");
        std::process::exit(1);
    };
    let parent = value("--directory").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("meshlog-bench-{}", std::process::id()));
    let options = |name: &str| {
        let prefix = format!("bench.{}.{name}.", EventId::fresh().0.simple());
        KafkaOptions { brokers: brokers.clone(), prefix, ..KafkaOptions::default() }
    };
    let mut source = fill(&directory.join("from"), records, bytes as usize);

    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let mut timed = |name, work: &mut dyn FnMut()| {
            let begun = Instant::now();
            work();
            rates.entry(name).or_default().push(records as f64 / begun.elapsed().as_secs_f64());
        };
        let nobody = &mut |_| ();
        let to = options("move");
        let mut kafka = KafkaTransfer::open_or_make(&to, &LAYOUT, &BTreeMap::new()).expect("the broker answers");
        timed("to Kafka", &mut || {
            migrate(&mut source, &mut kafka, nobody).expect("it is moved");
        });
        timed("compared", &mut || assert!(verify(&mut source, &mut kafka, nobody).expect("both are read").is_equal()));
        let back = directory.join("back");
        let mut embedded = EmbeddedTransfer::open_or_make(&back, &LAYOUT, BTreeMap::new()).expect("it can be made");
        timed("from Kafka", &mut || {
            migrate(&mut kafka, &mut embedded, nobody).expect("it is moved");
        });
        drop(embedded);
        std::fs::remove_dir_all(&back).expect("it can be removed");
        let starts = BTreeMap::from([(Partition { topic: Topic::Messages, id: 0 }, records)]);
        let begin = options("begin");
        timed("placeholders", &mut || {
            drop(KafkaTransfer::open_or_make(&begin, &LAYOUT, &starts).expect("the broker answers"));
        });
    }
    drop(source);
    std::fs::remove_dir_all(&directory).expect("it can be removed");

    println!("{records} records of {bytes} bytes, {PARTITIONS} partitions, medians of {rounds} rounds");
    let mut figures = Vec::new();
    for (name, mut rates) in rates {
        rates.sort_by(f64::total_cmp);
        let rate = rates[rates.len() / 2];
        println!("{name:<14} {rate:>10.0} records/s {:>8.0} MB/s", rate * bytes as f64 / 1e6);
        figures.push(format!("\"{}_per_s\": {rate:.0}", name.replace(' ', "_").to_lowercase()));
    }
    println!("{{\"figures\": {{{}}}}}", figures.join(", "));
}

/// An embedded log with so many records.
fn fill(path: &Path, records: u64, bytes: usize) -> EmbeddedTransfer {
    let mut log = EmbeddedTransfer::open_or_make(path, &LAYOUT, BTreeMap::new()).expect("it can be made");
    // Letters in no order, so that they compress little.
    let mut state: u64 = 20_260_101;
    let letters: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b' ' + (state >> 33) as u8 % 64
    })
    .take(1 << 20)
    .collect();
    for id in 0..PARTITIONS {
        let partition = Partition { topic: Topic::Messages, id };
        let each = records / u64::from(PARTITIONS);
        for first in (0..each).step_by(1000) {
            let record = |offset: u64| Record {
                position: Position { partition, offset },
                appended_at: 1_700_000_000_000_000 + offset as i64,
                key: format!("main/thread-{}", offset % 97).into(),
                headers: Headers::from_iter([("ce_id", offset.to_string().as_str()), ("ce_type", "message")]),
                body: letters[(offset as usize * 7_919) % (letters.len() - bytes)..][..bytes].to_vec().into(),
                identity: Some(EventId::fresh()),
            };
            log.write((first..each.min(first + 1000)).map(record).collect()).expect("it is taken");
        }
    }
    log.flush().expect("it is taken");
    log
}
