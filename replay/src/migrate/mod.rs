//! Migration: a log carried from one engine to another, record by record, with the positions it has.
//!
//! ```text
//!   check    what the target holds already is compared with the source; anything else than a beginning of it is refused
//!   carry    the rest is written, partition by partition; then the processors' progress, which may not be ahead of its records
//!   verify   both are read from the start again, and compared record by record and by digest
//! ```
//! It may be broken off at any moment and begun again: what is there is checked and gone on from. Memory is bounded by a few
//! batches.
//!
//! Owns: the order of these steps, and what counts as equal: offset, time, key, headers, body and identity of every record, and
//! checkpoints and note of every processor.
//! Never: changes the source, or anything that the target holds already.

mod compare;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::mpsc,
    thread,
};

use meshlog_pipeline::{
    Bounds, LogError, Record, StoredProgress, TopicLayout, TransferError, TransferSource, TransferTarget,
};
use meshlog_schemas::{Offset, Partition, Position, Topic};

pub use self::compare::{Comparison, Verification};

/// What is read and written at once, in bytes.
const BATCH: usize = 2 * 1024 * 1024;
/// How many batches are read ahead.
const AHEAD: usize = 2;
/// How often what a growing source has gained meanwhile is carried too.
const ROUNDS: usize = 8;

/// A log could not be migrated. What was carried so far is safe and is gone on from.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The logs could not be read or written.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A topic has other partitions.
    #[error(
        "{topic} has {source_partitions} partitions in the source and {target_partitions} in the target; a record keeps its \
         partition: choose a target with as many, or one without this topic"
    )]
    Layout {
        /// The topic.
        topic: Topic,
        /// Its partitions in the source.
        source_partitions: u32,
        /// Its partitions in the target; 0 if it is not there.
        target_partitions: u32,
    },
    /// A partition of the target begins at an offset that the source's does not go on from.
    #[error(
        "{partition} holds offsets {} to {} (exclusive) in the target and {} to {} in the source; choose a target that is \
         empty, or one that holds the beginning of this source", target.start, target.end, source_bounds.start,
         source_bounds.end
    )]
    Bounds {
        /// The partition.
        partition: Partition,
        /// What the source holds.
        source_bounds: Bounds,
        /// What the target holds.
        target: Bounds,
    },
    /// The target holds something else than the source.
    #[error(
        "the target holds something else than the source, at {0} for the first time; nothing was written: choose a target \
         that is empty, or one that holds the beginning of this source"
    )]
    Differs(Position),
    /// A processor has gone on with the target already.
    #[error(
        "the processor {0} has read further in the target than in the source, so the target is in use already; nothing was \
         written: choose an empty target"
    )]
    InUse(String),
    /// The source does not come to rest.
    #[error(
        "the source grows while it is carried; stop whoever appends to it, and run this again: it goes on from here"
    )]
    Growing,
}

impl From<LogError> for MigrateError {
    fn from(error: LogError) -> Self {
        Self::Transfer(error.into())
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrateStep {
    /// What the target holds already is compared with the source.
    Check,
    /// Records are written to the target.
    Carry,
    /// Both are read and compared.
    Verify,
}

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub struct MigrateProgress {
    /// What is being done.
    pub step: MigrateStep,
    /// Where.
    pub partition: Partition,
    /// Records that this step is done with.
    pub records: u64,
    /// Records that it has in all.
    pub total: u64,
    /// Bytes that this step is done with.
    pub bytes: u64,
}

/// What was carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Records that the target held already.
    pub found: u64,
    /// Records that were written.
    pub written: u64,
    /// Whether the source grew meanwhile; what it gained was carried too.
    pub has_grown: bool,
}

/// Told how far it has come, after every batch.
pub type Watch<'a> = dyn FnMut(MigrateProgress) + 'a;

/// Where partitions begin that do not begin at 0: what a new target is to be made with.
///
/// # Errors
/// The source cannot be read.
pub fn starts(source: &mut dyn TransferSource) -> Result<BTreeMap<Partition, Offset>, MigrateError> {
    let mut starts = BTreeMap::new();
    for partition in partitions(source.layout()) {
        let Bounds { start, .. } = source.bounds(partition)?;
        if start > 0 {
            starts.insert(partition, start);
        }
    }
    Ok(starts)
}

/// Carries everything that the target lacks.
///
/// # Errors
/// The target holds something else than a beginning of the source (then nothing was written), or one of them failed (then it
/// can be run again, and goes on).
pub fn migrate(
    source: &mut dyn TransferSource,
    target: &mut dyn TransferTarget,
    watch: &mut Watch<'_>,
) -> Result<Carried, MigrateError> {
    let found = check(source, target, watch)?;
    let mut carried = Carried { found, written: 0, has_grown: false };
    for _ in 0..ROUNDS {
        // First of all: it never is ahead of records that were appended before it was read.
        let progress = source.progress()?;
        let ends = ends(source)?;
        carried.written += carry(source, target, &ends, watch)?;
        target.flush()?;
        if self::ends(source)? == ends {
            for (processor, progress) in progress {
                target.set_progress(&processor, progress)?;
            }
            return Ok(carried);
        }
        carried.has_grown = true;
    }
    Err(MigrateError::Growing)
}

/// Reads both from the start and compares them.
///
/// # Errors
/// One of them cannot be read.
pub fn verify(
    source: &mut dyn TransferSource,
    target: &mut dyn TransferSource,
    watch: &mut Watch<'_>,
) -> Result<Verification, MigrateError> {
    compare::verify(source, target, watch)
}

/// Compares what the target holds with the source, and answers how many records that are.
fn check(
    source: &mut dyn TransferSource,
    target: &mut dyn TransferTarget,
    watch: &mut Watch<'_>,
) -> Result<u64, MigrateError> {
    check_layout(source.layout(), target.layout())?;
    let mut held = Vec::new();
    for partition in partitions(source.layout()) {
        let (from, to) = (source.bounds(partition)?, target.bounds(partition)?);
        // What retention took from the source meanwhile may still be in the target.
        let overlaps = to.start <= from.start && from.start < to.end && to.end <= from.end;
        let is_empty = to.start == to.end && to.start == from.start;
        if !overlaps && !is_empty {
            return Err(MigrateError::Bounds { partition, source_bounds: from, target: to });
        }
        held.push((partition, from.start..to.end));
    }
    check_surplus(source.layout(), target)?;
    let known = source.progress()?;
    for (processor, found) in target.progress()? {
        if !known.get(&processor).is_some_and(|known| known.checkpoints.covers(&found.checkpoints)) {
            return Err(MigrateError::InUse(processor));
        }
    }
    let mut count = Count::new(MigrateStep::Check, held.iter().map(|(_, range)| length(range)).sum());
    for (partition, range) in held {
        let compared = compare::compare(source, target, partition, range, &mut count, watch)?;
        if let Some(position) = compared.first_difference {
            return Err(MigrateError::Differs(position));
        }
    }
    Ok(count.records)
}

fn check_layout(source: &[TopicLayout], target: &[TopicLayout]) -> Result<(), MigrateError> {
    for TopicLayout { topic, partitions: source_partitions } in source.iter().copied() {
        let found = target.iter().find(|layout| layout.topic == topic);
        let target_partitions = found.map_or(0, |found| found.partitions);
        if source_partitions != target_partitions {
            return Err(MigrateError::Layout { topic, source_partitions, target_partitions });
        }
    }
    Ok(())
}

/// Topics that only the target has must be empty.
fn check_surplus(source: &[TopicLayout], target: &mut dyn TransferTarget) -> Result<(), MigrateError> {
    let known: BTreeSet<Topic> = source.iter().map(|layout| layout.topic).collect();
    for partition in partitions(target.layout()) {
        let Bounds { start: offset, end } = target.bounds(partition)?;
        if !known.contains(&partition.topic) && offset < end {
            return Err(MigrateError::Differs(Position { partition, offset }));
        }
    }
    Ok(())
}

fn ends(source: &mut dyn TransferSource) -> Result<BTreeMap<Partition, Offset>, MigrateError> {
    let partitions = partitions(source.layout());
    partitions.into_iter().map(|partition| Ok((partition, source.bounds(partition)?.end))).collect()
}

/// Writes what the target lacks before `ends`, and answers how many records that are.
fn carry(
    source: &mut dyn TransferSource,
    target: &mut dyn TransferTarget,
    ends: &BTreeMap<Partition, Offset>,
    watch: &mut Watch<'_>,
) -> Result<u64, MigrateError> {
    let mut missing = Vec::new();
    for (partition, end) in ends {
        missing.push((*partition, target.bounds(*partition)?.end..*end));
    }
    let mut count = Count::new(MigrateStep::Carry, missing.iter().map(|(_, range)| length(range)).sum());
    for (partition, range) in missing {
        thread::scope(|scope| {
            for batch in read_ahead(scope, source, partition, range) {
                let batch = batch?;
                watch(count.done(partition, &batch));
                target.write(batch)?;
            }
            Ok::<(), MigrateError>(())
        })?;
    }
    Ok(count.records)
}

/// Reads a range in a thread of its own, some batches ahead. An error is the last that comes.
fn read_ahead<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    source: &'scope mut dyn TransferSource,
    partition: Partition,
    range: Range<Offset>,
) -> mpsc::Receiver<Result<Vec<Record>, LogError>> {
    let (sender, batches) = mpsc::sync_channel(AHEAD);
    scope.spawn(move || {
        let mut next = range.start;
        while next < range.end {
            let batch = source.read(partition, next..range.end, BATCH);
            let behind = batch.as_ref().ok().and_then(|batch| Some(batch.last()?.position.offset + 1));
            // Who does not take it has given up.
            if sender.send(batch).is_err() {
                break;
            }
            let Some(behind) = behind else { break };
            next = behind;
        }
    });
    batches
}

fn partitions(layout: &[TopicLayout]) -> Vec<Partition> {
    let of = |layout: &TopicLayout| {
        let topic = layout.topic;
        (0..layout.partitions).map(move |id| Partition { topic, id })
    };
    layout.iter().flat_map(of).collect()
}

fn length(range: &Range<Offset>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// How far a step has come.
struct Count {
    step: MigrateStep,
    records: u64,
    total: u64,
    bytes: u64,
}

impl Count {
    fn new(step: MigrateStep, total: u64) -> Self {
        Self { step, records: 0, total, bytes: 0 }
    }

    fn done(&mut self, partition: Partition, batch: &[Record]) -> MigrateProgress {
        self.records += batch.len() as u64;
        self.bytes += batch.iter().map(|record| record.size() as u64).sum::<u64>();
        let Self { step, records, total, bytes } = *self;
        MigrateProgress { step, partition, records, total, bytes }
    }
}

/// The names of the processors of which the two say something else.
fn differing(source: &BTreeMap<String, StoredProgress>, target: &BTreeMap<String, StoredProgress>) -> Vec<String> {
    let nothing = StoredProgress::default();
    let names: BTreeSet<&String> = source.keys().chain(target.keys()).collect();
    let of = |all: &BTreeMap<String, StoredProgress>, name: &str| all.get(name).cloned().unwrap_or(nothing.clone());
    names.into_iter().filter(|name| of(source, name) != of(target, name)).cloned().collect()
}

#[cfg(test)]
mod tests;
