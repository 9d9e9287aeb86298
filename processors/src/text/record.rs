//! Records: what the index keeps of a message besides its postings.
//!
//! Owns: the columns that a record lies in, and the digest of its content.
//! Never: holds the text, which the threads store serves.

use std::borrow::Cow;

use meshlog_schemas::{Digest, Partition, Position};
use uuid::Uuid;

use super::{analysis::DocumentTerms, cause::Cause};
use crate::Facets;

/// Everything that is kept of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) message_id: Uuid,
    pub(crate) facets: Facets,
    pub(crate) position: Position,
    /// The message's number in its thread, from 0 in log order.
    pub(crate) ordinal: u32,
    /// How many terms the message has, author and date included.
    pub(crate) length: u32,
    /// How many of them come from the text.
    pub(crate) content: u32,
    /// A hash of the terms with their frequencies.
    pub(crate) fingerprint: [u64; 2],
}

/// The column of a message's number in its thread.
pub(crate) const ORDINAL: &str = "ordinal";

/// The column of its space and thread.
pub(crate) const THREAD: &str = "thread";

/// The column of its author and their role.
pub(crate) const SPEAKER: &str = "speaker";

/// The columns of the numbers that ranking needs at hand.
pub(crate) const TURN_NUMBERS: [&str; 7] = *Record::NUMBERS.first_chunk().expect("ten are more than seven");

impl Record {
    /// The columns of its numbers, those of [`TURN_NUMBERS`] first.
    pub(crate) const NUMBERS: [&'static str; 10] = [
        ORDINAL,
        "id_high",
        "id_low",
        "sent_at",
        "accepted_at",
        "length",
        "content",
        "offset",
        "fingerprint_high",
        "fingerprint_low",
    ];

    /// The columns of its names, a pair in each.
    pub(crate) const NAMES: [&'static str; 3] = [THREAD, SPEAKER, "partition"];

    /// What goes into the columns [`Record::NUMBERS`]. Times before 1970 are numbers above those of all others.
    pub(crate) fn numbers(&self) -> [u64; 10] {
        let (id_high, id_low) = self.message_id.as_u64_pair();
        let [fingerprint_high, fingerprint_low] = self.fingerprint;
        [
            u64::from(self.ordinal),
            id_high,
            id_low,
            self.facets.sent_at.cast_unsigned(),
            self.facets.accepted_at.cast_unsigned(),
            u64::from(self.length),
            u64::from(self.content),
            self.position.offset,
            fingerprint_high,
            fingerprint_low,
        ]
    }

    /// What goes into the columns [`Record::NAMES`].
    pub(crate) fn names(&self) -> [(&str, Cow<'_, str>); 3] {
        let (facets, partition) = (&self.facets, self.position.partition);
        [
            (&facets.space, Cow::Borrowed(&facets.thread)),
            (&facets.author, Cow::Borrowed(&facets.role)),
            (partition.topic.name(), Cow::Owned(partition.id.to_string())),
        ]
    }

    /// The record whose columns hold this.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn from_columns(numbers: [u64; 10], names: [(String, String); 3]) -> Result<Self, Cause> {
        let [ordinal, id_high, id_low, sent_at, accepted_at, length, content, offset, fingerprint @ ..] = numbers;
        let [(space, thread), (author, role), (topic, partition)] = names;
        let (sent_at, accepted_at) = (sent_at.cast_signed(), accepted_at.cast_signed());
        Ok(Self {
            message_id: Uuid::from_u64_pair(id_high, id_low),
            facets: Facets { space, thread, author, role, sent_at, accepted_at },
            position: Position { partition: Partition { topic: topic.parse()?, id: partition.parse()? }, offset },
            ordinal: u32::try_from(ordinal)?,
            length: u32::try_from(length)?,
            content: u32::try_from(content)?,
            fingerprint,
        })
    }

    /// Whether it was read from behind a position, and so tells what its message says since.
    pub(crate) fn is_behind(&self, position: Position) -> bool {
        self.position.partition == position.partition && self.position.offset > position.offset
    }

    /// Whether two messages stand, or stood, at the same place of the same thread.
    pub(crate) fn is_at_the_place_of(&self, other: &Self) -> bool {
        self.ordinal == other.ordinal
            && self.facets.thread == other.facets.thread
            && self.facets.space == other.facets.space
    }

    /// Adds the message to the digest of the store's content.
    pub(crate) fn add_to(&self, digest: &mut Digest) {
        let Facets { space, thread, author, role, sent_at, accepted_at: _ } = &self.facets;
        digest.add(&[
            self.message_id.as_bytes(),
            space.as_bytes(),
            thread.as_bytes(),
            author.as_bytes(),
            role.as_bytes(),
            &sent_at.to_le_bytes(),
            self.position.to_string().as_bytes(),
            &self.ordinal.to_le_bytes(),
            &self.length.to_le_bytes(),
            &self.content.to_le_bytes(),
            &self.fingerprint[0].to_le_bytes(),
            &self.fingerprint[1].to_le_bytes(),
        ]);
    }
}

/// A hash of terms and frequencies that does not depend on their order.
pub(crate) fn fingerprint(terms: &DocumentTerms) -> [u64; 2] {
    let mut sorted: Vec<&str> = terms.terms.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for term in sorted {
        hasher.update(term.as_bytes());
        hasher.update(b" ");
    }
    let mut lanes = [0; 2];
    for (lane, bytes) in lanes.iter_mut().zip(hasher.finalize().as_bytes().chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *lane = u64::from_le_bytes(word);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;

    use super::*;

    fn record() -> Record {
        Record {
            message_id: Uuid::from_u128(7),
            facets: Facets {
                space: "main\0".into(),
                thread: "t\"1".into(),
                author: "Ada".into(),
                role: "user".into(),
                sent_at: i64::MIN,
                accepted_at: i64::MAX,
            },
            position: Position { partition: Partition { topic: Topic::Messages, id: 3 }, offset: u64::MAX },
            ordinal: 5,
            length: 9,
            content: 4,
            fingerprint: [u64::MAX, 1],
        }
    }

    #[test]
    fn a_record_round_trips() {
        let names = || record().names().map(|(one, other)| (one.to_owned(), other.into_owned()));
        assert_eq!(Record::from_columns(record().numbers(), names()).unwrap(), record());
        let mut numbers = record().numbers();
        numbers[0] = 1 << 32;
        assert!(Record::from_columns(numbers, names()).is_err(), "no thread has that many messages");
        let mut names = names();
        names[2].0 = "gossip".into();
        assert!(Record::from_columns(record().numbers(), names).is_err(), "there is no such topic");
    }

    #[test]
    fn every_field_counts_in_the_digest() {
        let digest = |change: &dyn Fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            let mut digest = Digest::default();
            record.add_to(&mut digest);
            digest
        };
        let changes: [&dyn Fn(&mut Record); 8] = [
            &|record| record.message_id = Uuid::from_u128(8),
            &|record| record.facets.thread.push('x'),
            &|record| record.facets.role.push('x'),
            &|record| record.facets.sent_at += 1,
            &|record| record.position.offset -= 1,
            &|record| record.ordinal += 1,
            &|record| record.length += 1,
            &|record| record.fingerprint[1] += 1,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert_ne!(digest(change), digest(&|_| ()), "change {index}");
        }
    }

    #[test]
    fn a_fingerprint_sees_frequencies_but_no_order() {
        let of = |terms: &[&str]| {
            fingerprint(&DocumentTerms { terms: terms.iter().map(|term| (*term).to_owned()).collect(), content: 0 })
        };
        assert_eq!(of(&["b", "a", "a"]), of(&["a", "b", "a"]));
        assert_ne!(of(&["b", "a", "a"]), of(&["a", "b"]));
    }
}
