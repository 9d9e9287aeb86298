//! Comparing two logs: record by record, and by a digest of each.
//!
//! Owns: what a record's digest covers.
//! Never: holds more than some batches of each.

use std::{collections::BTreeMap, ops::Range, thread};

use meshlog_pipeline::{Bounds, LogError, Record, TransferSource};
use meshlog_schemas::{Digest, Offset, Partition, Position};

use super::{Count, MigrateError, MigrateStep, Watch, differing, length, partitions, read_ahead};

/// What two logs were found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Each partition that one of them has.
    pub partitions: Vec<Comparison>,
    /// How many processors one of them keeps something for.
    pub processors: usize,
    /// Those of which they keep something else.
    pub differing_processors: Vec<String>,
}

impl Verification {
    /// Whether they are equal.
    pub fn is_equal(&self) -> bool {
        self.differing_processors.is_empty() && self.partitions.iter().all(|one| one.first_difference.is_none())
    }
}

/// What one partition of two logs was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The partition.
    pub partition: Partition,
    /// The offsets that both hold.
    pub offsets: Range<Offset>,
    /// The digest of these in the source.
    pub source: Digest,
    /// The digest of these in the target.
    pub target: Digest,
    /// Where they differ for the first time: in a record, or because one of them has none there.
    pub first_difference: Option<Position>,
}

pub(super) fn verify(
    source: &mut dyn TransferSource,
    target: &mut dyn TransferSource,
    watch: &mut Watch<'_>,
) -> Result<Verification, MigrateError> {
    let mut both = BTreeMap::new();
    for partition in partitions(source.layout()) {
        both.insert(partition, (Some(source.bounds(partition)?), None));
    }
    for partition in partitions(target.layout()) {
        both.entry(partition).or_insert((None, None)).1 = Some(target.bounds(partition)?);
    }
    let shared = |from: &Bounds, to: &Bounds| from.start.max(to.start)..from.end.min(to.end);
    let common = both.values().filter_map(|(from, to)| Some(length(&shared(from.as_ref()?, to.as_ref()?))));
    let mut count = Count::new(MigrateStep::Verify, common.sum());
    let mut compared = Vec::new();
    for (partition, bounds) in &both {
        let nothing = |bounds: &Bounds| Bounds { end: bounds.start, ..*bounds };
        let (from, to) = match bounds {
            (Some(from), Some(to)) => (*from, *to),
            (Some(from), None) => (*from, nothing(from)),
            (None, Some(to)) => (nothing(to), *to),
            (None, None) => continue,
        };
        let mut found = compare(source, target, *partition, shared(&from, &to), &mut count, watch)?;
        // Retention may have taken more from the source since it was carried; that the target still has it is no difference.
        let lacking = (to.start > from.start).then_some(from.start);
        let beyond = (to.end != from.end).then_some(from.end.min(to.end));
        let position = |offset| Position { partition: *partition, offset };
        found.first_difference = lacking.map(position).or(found.first_difference).or(beyond.map(position));
        compared.push(found);
    }
    let (known, found) = (source.progress()?, target.progress()?);
    let processors = known.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>().len();
    Ok(Verification { partitions: compared, processors, differing_processors: differing(&known, &found) })
}

/// Reads a range that both hold, and compares it.
pub(super) fn compare(
    source: &mut dyn TransferSource,
    target: &mut dyn TransferSource,
    partition: Partition,
    offsets: Range<Offset>,
    count: &mut Count,
    watch: &mut Watch<'_>,
) -> Result<Comparison, MigrateError> {
    thread::scope(|scope| {
        let mut here = Side::new(read_ahead(scope, source, partition, offsets.clone()));
        let mut there = Side::new(read_ahead(scope, target, partition, offsets.clone()));
        let mut first_difference = None;
        while let Some(batch) = here.next_batch()? {
            for record in &batch {
                let other = there.next()?;
                if other.as_ref() != Some(record) && first_difference.is_none() {
                    first_difference = Some(record.position);
                }
            }
            watch(count.done(partition, &batch));
        }
        let (source, target) = (here.digest, there.digest);
        Ok(Comparison { partition, offsets, source, target, first_difference })
    })
}

/// One of the two, as it comes.
struct Side {
    batches: std::sync::mpsc::Receiver<Result<Vec<Record>, LogError>>,
    batch: std::vec::IntoIter<Record>,
    digest: Digest,
}

impl Side {
    fn new(batches: std::sync::mpsc::Receiver<Result<Vec<Record>, LogError>>) -> Self {
        Self { batches, batch: Vec::new().into_iter(), digest: Digest::default() }
    }

    fn next_batch(&mut self) -> Result<Option<Vec<Record>>, LogError> {
        // The reader ends with the range.
        let Ok(batch) = self.batches.recv() else { return Ok(None) };
        let batch = batch?;
        batch.iter().for_each(|record| add(&mut self.digest, record));
        Ok(Some(batch))
    }

    fn next(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if let Some(record) = self.batch.next() {
                return Ok(Some(record));
            }
            match self.next_batch()? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

fn add(digest: &mut Digest, record: &Record) {
    let Record { position, appended_at, key, headers, body, identity } = record;
    let (offset, time) = (position.offset.to_le_bytes(), appended_at.to_le_bytes());
    let identity: &[u8] = identity.as_ref().map_or(&[], |id| id.0.as_bytes());
    digest.add(&[&offset, &time, key, headers.packed(), body, identity]);
}
