//! The log's contract. Every engine keeps it, and `conformance` checks every engine.
//!
//! Owns: the trait, its errors, and what each promise means.
//! Never: knows what a record means.

use std::{future::Future, pin::Pin};

use meshlog_schemas::{Offset, Partition, Position, Topic};

use crate::{
    record::{Batch, Bounds, ReadLimit, Receipt, Record, StoredProgress, TopicLayout},
    signal::Signal,
};

/// A durable, partitioned, append-only sequence of records.
///
/// ```text
///   partition   0   1   2   3   4   5 | 6
///               ^start              ^ last record
///                                     ^end (high watermark)
/// ```
///
/// What every implementation holds to:
///
/// - **Offsets are dense.** Within a partition they count 0, 1, 2, ... with no gap, in the order of appending. A
///   position never changes its record.
/// - **Acknowledged means durable.** The future of [`Log::append`] resolves once the batch would survive the crash
///   that the engine is made for: for the embedded log the loss of power (it is fsynced), for Kafka that of a broker
///   (acks=all), for the in-memory log none. A batch that was not acknowledged may be there or not after a crash, but
///   always whole; on Kafka, whose transactions are not used, also a part of it in order.
/// - **Read your append.** After acknowledgement every read sees the records. No read sees a record before it is
///   durable, and the end never goes back.
/// - **Order.** Records of one batch that go to one partition stand in the batch's order. A batch whose append was
///   called after another's acknowledgement stands behind it. Appends under way at the same time have no order.
/// - **Identity.** Of records with an equal `identity` on one topic the first is stored; later ones are answered with
///   its position and `duplicate`, and change nothing. This holds across restarts.
/// - **Progress is atomic with records.** `Batch::progress` is visible after a crash exactly if the batch's records
///   are; on Kafka only if they are: what is done again then derives events with the same ids. Checkpoints never move
///   back; the last note stands.
/// - **Bounded.** What waits to be written is bounded by count and bytes; an append beyond the bound waits for room
///   before it is sequenced.
/// - **Nothing is dropped in silence.** A record that cannot be read intact is [`LogError::Corrupt`] with its position.
///   After a failed write or fsync nothing more is acknowledged; reads go on. A full disk only refuses: appends are taken
///   again once there is space.
pub trait Log: Send + Sync + 'static {
    /// The topics with their numbers of partitions.
    fn layout(&self) -> &[TopicLayout];

    /// Appends a batch, whole or not at all, and answers one receipt a record, in the batch's order, once it is durable.
    ///
    /// Calling is sequencing: nothing happens until the future is first polled. Dropping the future afterwards does
    /// not take the batch back. An empty batch without progress is acknowledged without effect.
    ///
    /// # Errors
    /// The log has stopped, or the batch is larger than the log takes. Nothing of the batch is then readable, except
    /// after [`AppendError::Stopped`], where it may be there, whole.
    fn append(&self, batch: Batch) -> Appending<'_>;

    /// As [`Log::append`]; and `written` is told once the batch would survive the end of this process, where the engine has such a
    /// moment before the batch is durable: for the embedded log when the operating system has it. Whatever is appended after that
    /// stands behind it. An engine without such a moment drops `written`.
    fn append_telling(&self, batch: Batch, written: Written) -> Appending<'_> {
        drop(written);
        self.append(batch)
    }

    /// The readable range of a partition.
    ///
    /// # Errors
    /// There is no such partition.
    fn bounds(&self, partition: Partition) -> Result<Bounds, LogError>;

    /// Reads records in order from `from`, as many as there are within `limit`. At the end it answers none; it never
    /// waits.
    ///
    /// # Errors
    /// `from` lies before the start or after the end, there is no such partition, or a record is corrupt. Records
    /// before a corrupt one are returned by the same read; the next read, from the corrupt one, is the error.
    fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError>;

    /// Rung after every append to the topic, once the records can be read.
    fn appended(&self, topic: Topic) -> &Signal;

    /// Brings [`Log::bounds`] of the topic's partitions up to everything that was acknowledged before the call, to whomever: on
    /// a log that several processes append to, one learns of the others' records a moment later.
    ///
    /// # Errors
    /// The storage cannot be asked.
    fn synchronize(&self, _topic: Topic) -> Result<(), LogError> {
        Ok(())
    }

    /// How far a processor has read, and its note, as committed with [`Batch::progress`] by any process.
    ///
    /// # Errors
    /// The storage cannot be read.
    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError>;

    /// Why no more appends are taken, or `None` while they are.
    fn stopped(&self) -> Option<String>;

    /// What could not be written, while appends are refused because there is no space; `None` otherwise.
    fn full(&self) -> Option<String> {
        None
    }

    /// What keeps the log from getting on at the moment; it goes on by itself once that has passed. Appends wait meanwhile.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Whether many producers wait at once, so that work nobody waits for had better step back.
    fn is_pressed(&self) -> bool {
        false
    }

    /// Acknowledges what was sequenced, then takes no more appends. Reads go on. Calling twice is safe.
    fn close(&self);
}

/// What [`Log::append`] returns.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<Vec<Receipt>, AppendError>> + Send + 'a>>;

/// Who is told that a batch is written; see [`Log::append_telling`].
pub type Written = tokio::sync::oneshot::Sender<()>;

/// A batch was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log takes no more appends.
    #[error("the log has stopped ({reason}); what was acknowledged is safe; mend the cause and start meshlog again")]
    Stopped {
        /// Why it stopped.
        reason: String,
    },
    /// There is no space. Nothing was appended; once there is space again, appends are taken without a restart.
    #[error("there is no space left ({reason}); nothing was appended; make space and send it again")]
    Full {
        /// What could not be written.
        reason: String,
    },
    /// The batch can never be taken.
    #[error("the batch takes {actual} bytes; the most is {limit}; append it in parts")]
    TooLarge {
        /// Its size in bytes.
        actual: usize,
        /// The most a batch may take, in bytes.
        limit: usize,
    },
    /// A record goes to a topic that this log does not have.
    #[error("the log has no topic {0}")]
    NoTopic(Topic),
}

/// The log could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such partition.
    #[error("the log has no partition {0}")]
    NoPartition(Partition),
    /// The offset is outside of what can be read.
    #[error("{partition} holds offsets {start} to {end} (exclusive); {from} was asked for")]
    OutOfRange {
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        from: Offset,
        /// The first offset kept.
        start: Offset,
        /// The high watermark.
        end: Offset,
    },
    /// A record is not what was written.
    #[error("the record at {position} is damaged: {cause}; run \"meshlog doctor\" and restore the log from a backup")]
    Corrupt {
        /// Where it stands.
        position: Position,
        /// How the damage shows.
        cause: String,
    },
    /// Another process owns the directory.
    #[error("the log at {} is in use by {owner}; stop that process, or talk to it with --url", path.display())]
    InUse {
        /// The log's directory.
        path: std::path::PathBuf,
        /// The process, as far as it is known.
        owner: String,
    },
    /// The directory holds something that this program cannot open.
    #[error("the log at {} cannot be opened: {cause}", path.display())]
    Unusable {
        /// The log's directory.
        path: std::path::PathBuf,
        /// What is wrong and what to do.
        cause: String,
    },
    /// A Kafka topic is there, and is not what this log needs.
    #[error(
        "the Kafka topic {topic} is not as configured: {difference}; it was left as it is: alter it, configure meshlog \
             as it is, or choose another prefix"
    )]
    UnfitTopic {
        /// Its name on Kafka.
        topic: String,
        /// What it is, and what it should be.
        difference: String,
    },
    /// The storage below failed.
    #[error("the log's storage failed to {action}: {cause}")]
    Storage {
        /// What was being done.
        action: &'static str,
        /// What the storage library answered.
        cause: String,
    },
}
