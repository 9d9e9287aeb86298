//! Positions: where a record stands in the log, and how far a reader has come.
//!
//! Owns: the address types that every room uses.
//! Never: reads or writes the log.

use std::{collections::BTreeMap, fmt};

use crate::Topic;

/// The number of a partition within its topic, from 0.
pub type PartitionId = u32;

/// The number of a record within its partition, from 0, dense and increasing.
pub type Offset = u64;

/// One ordered sequence of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic the partition belongs to.
    pub topic: Topic,
    /// Its number within the topic.
    pub id: PartitionId,
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.id)
    }
}

/// The address of one record. Two records never share one, and an address never changes its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Where the record stands.
    pub partition: Partition,
    /// Its number there.
    pub offset: Offset,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.partition, self.offset)
    }
}

/// How far a processor has read: for each partition, the offset of the next record to read.
///
/// A partition that is absent has not been read at all (its next offset is 0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoints(BTreeMap<Partition, Offset>);

impl Checkpoints {
    /// The offset of the next record to read.
    pub fn next(&self, partition: Partition) -> Offset {
        self.0.get(&partition).copied().unwrap_or(0)
    }

    /// Records that everything before `next` has been read. Never moves back.
    pub fn advance(&mut self, partition: Partition, next: Offset) {
        let entry = self.0.entry(partition).or_insert(0);
        *entry = (*entry).max(next);
    }

    /// The partitions read so far with their next offsets, in the order of topic and number.
    pub fn iter(&self) -> impl Iterator<Item = (Partition, Offset)> + '_ {
        self.0.iter().map(|(partition, next)| (*partition, *next))
    }

    /// Whether everything that `other` has read has been read here too.
    pub fn covers(&self, other: &Checkpoints) -> bool {
        other.iter().all(|(partition, next)| self.next(partition) >= next)
    }

    /// A stable text form, one `topic/partition=next` a line, for stores that keep checkpoints as a string.
    pub fn to_text(&self) -> String {
        self.iter().map(|(partition, next)| format!("{partition}={next}\n")).collect()
    }

    /// Reads what [`Checkpoints::to_text`] wrote. `None` if the text is not of that form.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut checkpoints = Checkpoints::default();
        for line in text.lines() {
            let (partition, next) = line.split_once('=')?;
            let (topic, id) = partition.rsplit_once('/')?;
            let partition = Partition { topic: topic.parse().ok()?, id: id.parse().ok()? };
            checkpoints.0.insert(partition, next.parse().ok()?);
        }
        Some(checkpoints)
    }
}

impl FromIterator<(Partition, Offset)> for Checkpoints {
    fn from_iter<I: IntoIterator<Item = (Partition, Offset)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let checkpoints = Checkpoints::from_iter([
            (Partition { topic: Topic::Messages, id: 3 }, 41),
            (Partition { topic: Topic::DeadLetters, id: 0 }, 7),
        ]);
        assert_eq!(Checkpoints::from_text(&checkpoints.to_text()), Some(checkpoints));
        assert_eq!(Checkpoints::from_text("messages/x=1"), None);
    }

    #[test]
    fn a_checkpoint_never_moves_back() {
        let partition = Partition { topic: Topic::Messages, id: 0 };
        let mut checkpoints = Checkpoints::default();
        checkpoints.advance(partition, 9);
        checkpoints.advance(partition, 4);
        assert_eq!(checkpoints.next(partition), 9);
    }
}
