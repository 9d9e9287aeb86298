//! Losses of power, and sudden ends of the process, at any operation of the disk, life after life on the same log.
//!
//! What must hold whatever happens: acknowledged is recovered, byte for byte; a batch is there whole or not at all;
//! progress is there exactly with its records; nothing is there twice; and the log opens by itself.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use meshlog_schemas::{Checkpoints, EventId, Headers, Position};
use pollster::block_on;

use super::super::{
    disk::simulated::{Fault, SimulatedDisk},
    *,
};
use crate::{
    record::{NewRecord, ProcessorProgress},
    seeds::{Chance, for_each_seed},
};

const LIVES: u64 = 4;
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn options(durability: Durability) -> EmbeddedOptions {
    EmbeddedOptions {
        layout: vec![
            TopicLayout { topic: Topic::Messages, partitions: 2 },
            TopicLayout { topic: Topic::Embeddings, partitions: 1 },
        ],
        durability,
        segment_bytes: 3_000,
        journal_bytes: 6_000,
        identities_in_memory: true,
        ..EmbeddedOptions::default()
    }
}

fn open(disk: &SimulatedDisk, durability: Durability) -> Result<EmbeddedLog, LogError> {
    EmbeddedLog::open_on(Arc::new(disk.clone()), Path::new("/log"), options(durability), None)
}

/// What was sent, and what must be there.
#[derive(Default)]
struct Model {
    /// Per batch: its records' bodies.
    sent: Vec<BTreeSet<Vec<u8>>>,
    /// Acknowledged, or seen after a recovery.
    kept: BTreeMap<Position, Vec<u8>>,
    /// The last batch whose progress was acknowledged.
    progress: u64,
    identities: BTreeMap<u128, Position>,
}

impl Model {
    fn batch(&mut self, chance: &mut Chance) -> (u64, Batch, Option<u128>) {
        let number = self.sent.len() as u64;
        let identity = (chance.below(3) == 0).then(|| u128::from(chance.below(40)));
        let records: Vec<NewRecord> = (0..=chance.below(3))
            .map(|index| {
                let mut body = format!("{number}/{index}/").into_bytes();
                body.resize(body.len() + chance.below(400) as usize, b'x');
                NewRecord {
                    topic: if chance.below(4) == 0 { Topic::Embeddings } else { Topic::Messages },
                    key: format!("key-{}", chance.below(5)).into(),
                    headers: Headers::from_iter([("h", "v")]),
                    body: body.into(),
                    // Only batches of one record: others are there whole or not at all.
                    identity: None,
                }
            })
            .collect();
        let mut records = records;
        if let Some(id) = identity {
            records.truncate(1);
            records[0].topic = Topic::Messages;
            records[0].identity = Some(EventId(uuid::Uuid::from_u128(id)));
        }
        self.sent.push(records.iter().map(|record| record.body.to_vec()).collect());
        // The checkpoint and the note both name the batch.
        let partition = Partition { topic: Topic::Messages, id: 0 };
        let progress = (identity.is_none() && chance.below(2) == 0).then(|| ProcessorProgress {
            processor: "stage".to_owned(),
            checkpoints: Checkpoints::from_iter([(partition, number)]),
            note: Some(number.to_string()),
        });
        (number, Batch { records, progress }, identity)
    }

    fn acknowledged(
        &mut self,
        batch: u64,
        bodies: &[Vec<u8>],
        receipts: &[Receipt],
        has_progress: bool,
        id: Option<u128>,
    ) {
        for (body, receipt) in bodies.iter().zip(receipts) {
            if !receipt.duplicate {
                let before = self.kept.insert(receipt.position, body.clone());
                assert!(before.is_none(), "a position was given twice: {}", receipt.position);
            }
            if let Some(id) = id {
                let known = *self.identities.entry(id).or_insert(receipt.position);
                assert_eq!(known, receipt.position, "an identity stands twice");
            }
        }
        if has_progress {
            self.progress = self.progress.max(batch);
        }
    }

    /// Compares with what is there, and takes that as given from now on.
    fn check(&mut self, log: &EmbeddedLog, must_keep: bool) {
        let mut found = BTreeMap::new();
        for TopicLayout { topic, partitions } in log.layout().to_vec() {
            for id in 0..partitions {
                let partition = Partition { topic, id };
                let end = log.bounds(partition).unwrap().end;
                let mut next = 0;
                while next < end {
                    let records = log.read(partition, next, ALL).unwrap();
                    assert!(!records.is_empty());
                    for record in records {
                        assert_eq!(record.position.offset, next, "offsets are dense");
                        next += 1;
                        found.insert(record.position, record.body.to_vec());
                    }
                }
            }
        }
        if must_keep {
            for (position, body) in &self.kept {
                assert_eq!(found.get(position), Some(body), "an acknowledged record is gone: {position}");
            }
        }
        let bodies: BTreeSet<_> = found.values().cloned().collect();
        assert_eq!(bodies.len(), found.len(), "a record stands twice");
        for (number, batch) in self.sent.iter().enumerate() {
            let there = batch.iter().filter(|body| bodies.contains(*body)).count();
            assert!(there == 0 || there == batch.len(), "batch {number} is there in part");
        }
        let known: BTreeSet<_> = self.sent.iter().flatten().collect();
        assert!(bodies.iter().all(|body| known.contains(body)), "a record that nobody sent");
        let progress = log.progress("stage").unwrap();
        if let Ok(noted) = progress.note.parse::<u64>() {
            let batch = &self.sent[noted as usize];
            assert!(batch.iter().all(|body| bodies.contains(body)), "progress without its records");
        }
        let checkpoint = progress.checkpoints.next(Partition { topic: Topic::Messages, id: 0 });
        assert!(!must_keep || checkpoint >= self.progress, "acknowledged progress is gone");
        self.progress = checkpoint;
        self.kept = found;
        if !must_keep {
            self.identities.retain(|_, position| self.kept.contains_key(position));
        }
    }
}

/// Appends under load until the disk or the chance ends it.
fn live(log: &EmbeddedLog, disk: &SimulatedDisk, model: &mut Model, chance: &mut Chance) {
    for _ in 0..chance.below(30) {
        let batches: Vec<_> = (0..=chance.below(8)).map(|_| model.batch(chance)).collect();
        let appends = batches.iter().map(|(_, batch, _)| log.append(batch.clone()));
        let answers = block_on(join_all(appends));
        let mut is_over = false;
        for ((number, batch, id), answer) in batches.iter().zip(answers) {
            let bodies: Vec<_> = batch.records.iter().map(|record| record.body.to_vec()).collect();
            match answer {
                Ok(receipts) => model.acknowledged(*number, &bodies, &receipts, batch.progress.is_some(), *id),
                Err(AppendError::Stopped { .. }) => is_over = true,
                Err(error) => panic!("{error}"),
            }
        }
        if is_over {
            return;
        }
    }
    if chance.below(3) > 0 {
        disk.switch_off();
    }
}

fn run(seed: u64, durability: Durability) {
    let mut chance = Chance(seed);
    let mut disk = SimulatedDisk::new(seed);
    let mut model = Model::default();
    let mut lost_power = false;
    for _ in 0..LIVES {
        if chance.below(4) > 0 {
            disk.plan(1 + chance.below(200), Fault::PowerLoss);
        }
        match open(&disk, durability) {
            Ok(log) => live(&log, &disk, &mut model, &mut chance),
            Err(error) => assert!(error.to_string().contains("the power is off"), "{error}"),
        }
        disk = if chance.below(4) == 0 {
            disk.kill()
        } else {
            lost_power = true;
            disk.lose_power()
        };
        let log = open(&disk, durability).unwrap_or_else(|error| panic!("the log does not open: {error}"));
        model.check(&log, durability == Durability::Always || !lost_power);
    }
}

#[test]
fn acknowledged_is_recovered_after_any_loss_of_power() {
    for_each_seed(300, |seed| run(seed, Durability::Always));
}

#[test]
fn the_weaker_modes_recover_a_whole_log_though_not_the_last_of_it() {
    for_each_seed(60, |seed| run(seed, Durability::Interval(Duration::from_millis(1))));
    for_each_seed(60, |seed| run(seed, Durability::None));
}

/// Records of one size, so that an old frame stands exactly where the one behind a new frame would begin.
#[test]
fn frames_whose_groups_were_lost_in_a_weaker_mode_are_never_taken_for_acknowledged_ones() {
    let disk = SimulatedDisk::new(1);
    let say = |log: &EmbeddedLog| {
        block_on(log.append(Batch { records: vec![super::message(b"of one size")], progress: None })).unwrap();
    };
    let end = |log: &EmbeddedLog| {
        (0..2).map(|id| log.bounds(Partition { topic: Topic::Messages, id }).unwrap().end).sum::<Offset>()
    };
    say(&open(&disk, Durability::None).unwrap());
    let log = open(&disk, Durability::None).unwrap();
    (0..3).for_each(|_| say(&log));
    let disk = disk.kill();
    drop(log);
    // The power went: the segment's pages had been written by then, the journal's had not.
    let journals = Path::new("/log/journal");
    for name in disk.list(journals).unwrap() {
        disk.open(&journals.join(name)).unwrap().truncate(journal::FILE_HEADER).unwrap();
    }
    let log = open(&disk, Durability::Always).unwrap();
    assert_eq!(end(&log), 1);
    say(&log);
    drop(log);
    let log = open(&disk.kill(), Durability::Always).unwrap();
    assert_eq!(end(&log), 2);
}
