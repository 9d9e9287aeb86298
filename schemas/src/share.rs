//! Shares: which partitions one of several nodes holds.
//!
//! Owns: the rule by which partitions are dealt out. Every node must come to the same answer, in every version.

use std::{fmt, str::FromStr};

use crate::{Partition, PartitionId, Topic};

/// One of `of` shares of the partitions, counted from 1: partition `p` is in share `p % of + 1`. Topics of as many partitions
/// are dealt out alike, so what has one ordering key is in one share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionShare {
    // Invariant: 1 <= number <= of.
    number: u32,
    of: u32,
}

/// A text that names no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no share; write K/N with K from 1 to N, such as 1/2")]
pub struct InvalidShare(pub String);

impl PartitionShare {
    /// All partitions.
    pub const ALL: Self = Self { number: 1, of: 1 };

    /// The share of this number; `None` if there is none.
    pub fn new(number: u32, of: u32) -> Option<Self> {
        (1..=of).contains(&number).then_some(Self { number, of })
    }

    /// Which one it is, from 1.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether it holds a partition. Knowledge and memory are in every share: a graph goes across threads, and what is
    /// forgotten is to be known wherever it may stand.
    pub fn holds(self, partition: Partition) -> bool {
        matches!(partition.topic, Topic::Knowledge | Topic::Memory) || self.beside(partition.id) == self
    }

    /// The one of the same division that holds the partition of this number.
    pub fn beside(self, partition: PartitionId) -> Self {
        Self { number: partition % self.of + 1, ..self }
    }

    /// All shares of the same division.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.of).map(move |number| Self { number, ..self })
    }
}

impl fmt::Display for PartitionShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}

impl FromStr for PartitionShare {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        let parts = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        parts.and_then(|(number, of)| Self::new(number, of)).ok_or_else(|| InvalidShare(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_in_exactly_one_share() {
        for of in 1..6 {
            for id in 0..20 {
                let partition = Partition { topic: Topic::Messages, id };
                let division = PartitionShare::new(of, of).expect("it is one of them");
                let holders: Vec<_> = division.all().filter(|share| share.holds(partition)).collect();
                assert_eq!(holders, [division.beside(id)]);
                assert_eq!(holders[0].number(), id % of + 1, "the rule never changes");
            }
        }
    }

    #[test]
    fn a_share_is_written_as_k_of_n() {
        assert_eq!("2/3".parse(), Ok(PartitionShare::new(2, 3).expect("a share")));
        assert_eq!(PartitionShare::ALL.to_string(), "1/1");
        for wrong in ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"] {
            assert!(wrong.parse::<PartitionShare>().is_err(), "{wrong}");
        }
    }
}
