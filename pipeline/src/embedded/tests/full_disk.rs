//! A disk that is really full, below the log and below fjall, which keeps the index of identities.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use meshlog_schemas::{EventId, Headers, Position};
use pollster::block_on;

use super::super::*;
use crate::{
    record::NewRecord,
    seeds::Chance,
    small_disk::{Ballast, on_a_small_disk},
};

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };
/// How often the index has to have failed: whether it does in a round, depends on who finds the disk full first.
const FAILED_INDEXES: u64 = 6;

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        layout: vec![TopicLayout { topic: Topic::Messages, partitions: 1 }],
        journal_bytes: 64 * 1024,
        ..EmbeddedOptions::default()
    }
}

fn append(log: &EmbeddedLog, number: u64) -> Result<Receipt, AppendError> {
    let record = NewRecord {
        topic: Topic::Messages,
        key: "k".into(),
        headers: Headers::default(),
        body: number.to_string().into(),
        identity: Some(EventId(Uuid::from_u128(number.into()))),
    };
    block_on(log.append(Batch { records: vec![record], progress: None })).map(|receipts| receipts[0])
}

/// What was acknowledged, each where it stands.
struct Model {
    known: BTreeMap<u64, Position>,
    next: u64,
}

impl Model {
    /// Sends what was not sent yet.
    fn append(&mut self, log: &EmbeddedLog) -> Result<(), AppendError> {
        let receipt = append(log, self.next)?;
        assert!(!receipt.duplicate, "{} was refused before", self.next);
        self.known.insert(self.next, receipt.position);
        self.next += 1;
        Ok(())
    }

    /// Sends it until it is taken: the log tries again whether there is space in steps of some time.
    fn append_once_there_is_space(&mut self, log: &EmbeddedLog) {
        let begun = Instant::now();
        while let Err(error) = self.append(log) {
            assert!(matches!(error, AppendError::Full { .. }), "{error}");
            assert!(begun.elapsed() < Duration::from_secs(60), "there is space, but: {error}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends what is there already: it is never stored again. Answers whether it was refused.
    fn append_again(&self, log: &EmbeddedLog, number: u64) -> bool {
        match append(log, number) {
            Ok(receipt) => {
                assert!(receipt.duplicate, "{number} was stored twice");
                assert_eq!(receipt.position, self.known[&number]);
                false
            }
            Err(AppendError::Full { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    }

    fn compare(&self, log: &EmbeddedLog) {
        let mut at = 0;
        let end = log.bounds(PARTITION).unwrap().end;
        let mut found = BTreeMap::new();
        while at < end {
            for record in log.read(PARTITION, at, ALL).unwrap() {
                let number = String::from_utf8_lossy(&record.body).parse().unwrap();
                assert_eq!(found.insert(number, record.position), None, "{number} is there twice");
                at = record.position.offset + 1;
            }
        }
        assert!(found == self.known, "{} are there, {} were acknowledged", found.len(), self.known.len());
    }
}

#[test]
fn a_full_disk_is_left_behind_without_a_restart() {
    let test = "embedded::tests::full_disk::a_full_disk_is_left_behind_without_a_restart";
    let Some(disk) = on_a_small_disk(test, 96) else { return };
    let seed = std::env::var("MESHLOG_SIM_SEED").map_or(5, |text| text.parse().unwrap());
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let mut model = Model { known: BTreeMap::new(), next: 0 };
    let log = EmbeddedLog::open(&disk.join("log"), options()).unwrap();
    let (mut round, mut failed_indexes) = (0, 0);
    while failed_indexes < FAILED_INDEXES {
        round += 1;
        assert!(round < 100, "the disk was full below the index in {failed_indexes} of {round} rounds only");
        for _ in 0..chance.below(1_000) {
            model.append_once_there_is_space(&log);
        }
        let ballast = Ballast::load(&disk, chance.below(192) * 1024);
        let mut refused = 0;
        while refused < 20 {
            match model.append(&log) {
                Ok(()) => {}
                Err(AppendError::Full { reason }) => {
                    refused += 1;
                    if refused == 1 {
                        println!("round {round}: {reason}");
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(log.full().is_some() && log.stopped().is_none());
        failed_indexes += u64::from(log.shared.identities.has_failed());
        model.compare(&log);
        for _ in 0..100 {
            model.append_again(&log, chance.below(model.next));
        }
        drop(ballast);
        model.append_once_there_is_space(&log);
        assert_eq!(log.full(), None);
        for _ in 0..100 {
            model.append_again(&log, chance.below(model.next));
        }
    }
    println!("{} records, {failed_indexes} failed indexes in {round} rounds", model.next);
    model.compare(&log);
    let ballast = Ballast::load(&disk, 0);
    while model.append(&log).is_ok() {}
    log.close();
    drop(log);
    let path = disk.join("log");
    match EmbeddedLog::open(&path, options()) {
        Ok(log) => model.compare(&log),
        Err(error) => {
            println!("opened on a full disk: {error}");
            assert!(error.to_string().contains("make room"), "{error}");
        }
    }
    drop(ballast);
    let log = EmbeddedLog::open(&path, options()).unwrap();
    model.compare(&log);
    for number in 0..model.next {
        assert!(!model.append_again(&log, number));
    }
}
