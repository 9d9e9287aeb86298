//! Transfer: reading and writing logs by position, to move one from an engine to another.
//!
//! The contract of [`crate::Log`] gives every append an offset and a time of its own. A log that is moved keeps those that it
//! has, so that checkpoints, dead letters and views stay true of it.
//!
//! Owns: the two traits that an engine has for this, and their errors.
//! Never: decides what is moved, or compares; that is replay. Nobody else may append to either log meanwhile.

use std::{collections::BTreeMap, ops::Range};

use meshlog_schemas::{Offset, Partition, Position};

use crate::{
    log::{AppendError, LogError},
    record::{Bounds, Record, StoredProgress, TopicLayout},
};

/// A log that can be read whole.
pub trait TransferSource: Send {
    /// Its topics with their numbers of partitions.
    fn layout(&self) -> &[TopicLayout];

    /// What a partition holds now.
    ///
    /// # Errors
    /// There is no such partition, or the storage cannot be asked.
    fn bounds(&mut self, partition: Partition) -> Result<Bounds, LogError>;

    /// Reads the records of `range` from its start on, at least one, and no more once `bytes` are reached. Who reads on where he
    /// stopped reads fast. None only if the range is empty, which lies within the bounds.
    ///
    /// # Errors
    /// The record at the start of the range is damaged or gone, or the storage does not answer.
    fn read(&mut self, partition: Partition, range: Range<Offset>, bytes: usize) -> Result<Vec<Record>, LogError>;

    /// What the log keeps for every processor.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn progress(&mut self) -> Result<BTreeMap<String, StoredProgress>, LogError>;
}

/// A log that can be written by position.
pub trait TransferTarget: TransferSource {
    /// Writes records of one partition with the times, identities and offsets that they have. They follow what was written
    /// last. Answers before they are durable: see [`TransferTarget::flush`]. Whatever ends the process, a part of what was
    /// written is there, without a gap.
    ///
    /// # Errors
    /// These or earlier records were not taken; then nothing more may be written.
    fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError>;

    /// Waits until everything written is durable.
    ///
    /// # Errors
    /// Some of it was not taken.
    fn flush(&mut self) -> Result<(), TransferError>;

    /// Keeps a processor's progress, durably. Its checkpoints do not move back.
    ///
    /// # Errors
    /// It was not taken.
    fn set_progress(&mut self, processor: &str, progress: StoredProgress) -> Result<(), TransferError>;
}

/// Records could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A log could not be opened or read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Records were not taken.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A record is longer than the engine takes.
    #[error(
        "the record at {position} takes {actual} bytes; Kafka is given {limit} at the most, so that this log cannot be moved"
    )]
    TooLong {
        /// Where it stands.
        position: Position,
        /// Its size in bytes.
        actual: usize,
        /// The most, in bytes.
        limit: usize,
    },
    /// Somebody else appends to the target.
    #[error(
        "the record of {position} was given offset {given}: somebody else appends to the target; stop whoever does, remove \
         what was moved so far, and move it again"
    )]
    Displaced {
        /// Where it belongs.
        position: Position,
        /// The offset it was given.
        given: Offset,
    },
}
