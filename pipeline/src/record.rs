//! Records: what a log stores and gives back, without knowing what it means.
//!
//! Owns: the units of appending and reading.
//! Never: decodes a body. A body may be sealed; see `seal`.

use bytes::Bytes;
use meshlog_schemas::{Checkpoints, EventId, Headers, Offset, Partition, Position, Topic};

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic it goes to.
    pub topic: Topic,
    /// Its ordering key: records of one topic with equal keys are read in the order they were appended.
    pub key: Bytes,
    /// Clear metadata; see [`meshlog_schemas::Envelope`].
    pub headers: Headers,
    /// The body, possibly sealed.
    pub body: Bytes,
    /// If given, a record with this identity is stored at most once on the topic. See [`crate::Log::append`].
    pub identity: Option<EventId>,
}

impl NewRecord {
    /// The memory the record takes while it waits, in bytes.
    pub fn size(&self) -> usize {
        self.key.len() + self.headers.packed().len() + self.body.len() + 64
    }
}

/// A record as read. Its parts may share the memory of a whole chunk that was read at once: what is kept for long is
/// copied out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// When the log took it in; microseconds since the epoch. Never decreases within a partition.
    pub appended_at: i64,
    /// Its ordering key.
    pub key: Bytes,
    /// Clear metadata.
    pub headers: Headers,
    /// The body, possibly sealed.
    pub body: Bytes,
    /// The identity it was appended with, if it is stored once.
    pub identity: Option<EventId>,
}

/// Records, and how far a processor has read, to be stored together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records, appended in this order.
    pub records: Vec<NewRecord>,
    /// The state of a processor, moved on in the same commit.
    pub progress: Option<ProcessorProgress>,
}

impl Batch {
    /// The memory the batch takes while it waits, in bytes.
    pub fn size(&self) -> usize {
        let note = self.progress.as_ref().and_then(|progress| progress.note.as_ref()).map_or(0, String::len);
        self.records.iter().map(NewRecord::size).sum::<usize>() + note + 64
    }
}

/// How far a processor has read, kept by the log for processors that have no store of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessorProgress {
    /// The processor's name. Another name starts from the beginning.
    pub processor: String,
    /// What it has read. Merged into what is kept: a checkpoint never moves back.
    pub checkpoints: Checkpoints,
    /// What it must know of its work in progress after a crash, in its own words; takes the place of the last note.
    /// `None` leaves the last one.
    pub note: Option<String>,
}

/// What the log keeps for a processor. Default: it has read nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredProgress {
    /// What it has read.
    pub checkpoints: Checkpoints,
    /// Its last note; empty if it made none.
    pub note: String,
}

impl Record {
    /// What it counts against a bound by bytes.
    pub fn size(&self) -> usize {
        self.key.len() + self.headers.packed().len() + self.body.len() + 64
    }
}

impl StoredProgress {
    /// Moves on to what a batch brought.
    pub fn merge(&mut self, progress: ProcessorProgress) {
        progress.checkpoints.iter().for_each(|(partition, next)| self.checkpoints.advance(partition, next));
        if let Some(note) = progress.note {
            self.note = note;
        }
    }
}

/// The answer to one appended record, given when it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Where the record stands; for a duplicate, where the first one stands.
    pub position: Position,
    /// Whether a record with the same identity was there already, so that nothing was appended.
    pub duplicate: bool,
}

/// The range of offsets that can be read from a partition: `start` is the first, `end` the one after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that is kept.
    pub start: Offset,
    /// The high watermark: the offset that the next record gets.
    pub end: Offset,
}

/// How much one read may return. At least one record is returned if there is one, however large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// The most records.
    pub records: usize,
    /// Stop once this many bytes are reached.
    pub bytes: usize,
}

/// A topic and how many partitions it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLayout {
    /// The topic.
    pub topic: Topic,
    /// Its number of partitions; fixed once the topic holds records.
    pub partitions: u32,
}

/// The layout that a log starts with where nothing else is set: four partitions where many keys run in parallel, one
/// where order across keys is worth more than parallelism.
pub fn default_layout() -> Vec<TopicLayout> {
    Topic::ALL
        .into_iter()
        .map(|topic| {
            let partitions = match topic {
                Topic::Messages | Topic::Deliveries | Topic::Embeddings | Topic::Knowledge | Topic::Calls => 4,
                Topic::Schemas | Topic::Memory | Topic::Registry | Topic::DeadLetters => 1,
            };
            TopicLayout { topic, partitions }
        })
        .collect()
}

/// The partition that a key belongs to: the same on every engine, and never another for a stored key.
pub fn partition_of(topic: Topic, key: &[u8], partitions: u32) -> Partition {
    let hash = blake3::hash(key);
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    // The remainder fits: it is below a u32.
    Partition { topic, id: (u64::from_le_bytes(word) % u64::from(partitions.max(1))) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_of_a_stored_key_never_changes() {
        let ids: Vec<u32> = ["main/a", "main/b", "ada/conv-1", ""]
            .iter()
            .map(|key| partition_of(Topic::Messages, key.as_bytes(), 4).id)
            .collect();
        assert_eq!(ids, [3, 3, 2, 3]);
    }
}
