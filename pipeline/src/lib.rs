//! The log and the processor runtime.
//!
//! From below: `log` is the contract that the engines (`embedded`, `kafka`, `memory`) keep; `events` puts typed events on it,
//! through `seal`; `transfer` moves them between engines; `feed` reads them in batches, `read_ahead` in a thread of its own; `processor` runs stages and
//! projections.
//! Never here: what a particular stage or store does (that is processors), or HTTP (that is connectors).

mod background;
mod clock;
#[cfg(test)]
mod conformance;
mod embedded;
mod events;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod identity_index;
mod kafka;
mod lock;
mod log;
mod memory;
mod processor;
mod read_ahead;
mod record;
mod reopen;
mod room;
mod seal;
#[cfg(test)]
#[path = "../../testing/seeds.rs"]
mod seeds;
mod signal;
#[cfg(test)]
#[path = "../../testing/small_disk.rs"]
mod small_disk;
mod transfer;
mod unsealed;

pub use background::{start_in_background, work_in_background};
pub use clock::now_micros;
pub use embedded::{
    Durability, EmbeddedLog, EmbeddedOptions, EmbeddedTransfer, Finding, Inspection, MAX_BATCH_BYTES,
    PartitionInspection, Readers, Retention, TopicKeeping,
};
pub use events::{Entry, EventLog, NewEvent, PublishError, StoredEvent, Unreadable, UnreadableCause};
pub use feed::{BATCH_LIMIT, Feed, FeedBatch, Gap};
pub use kafka::{BodyFormat, KafkaLog, KafkaOptions, KafkaTransfer, MAX_RECORD_BYTES, Membership, Share};
pub use log::{AppendError, Appending, Log, LogError, Written};
pub use memory::MemoryLog;
pub use processor::{
    Backoff, Bounded, Condition, DeadLetter, DeadLetterView, DeadLetters, Derived, FailureClass, Health, Load, Parked,
    ParkedCount, PartitionHealth, Priority, Progress, Projection, ProjectionError, ProjectionRunner, Rate, STALL_AFTER,
    Settings as StageSettings, Stage, StageError, StageGroup, StageRunner, Status, Stop, apply_batch,
    dead_letter_discarded, redrive_requested, stage_of,
};
pub use read_ahead::ReadAhead;
pub use record::{
    Batch, Bounds, NewRecord, ProcessorProgress, ReadLimit, Receipt, Record, StoredProgress, TopicLayout,
    default_layout, partition_of,
};
pub use reopen::{Closed, Reopenable, fjall_io_error};
pub use room::{Capacity, Permit, Room};
pub use seal::{ClearSealer, Opened, SEAL_HEADER, SealError, Sealed, Sealer};
pub use signal::Signal;
pub use transfer::{TransferError, TransferSource, TransferTarget};
pub use unsealed::wait_for_sealing;
