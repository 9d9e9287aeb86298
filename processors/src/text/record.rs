//! Records: what the index keeps of a message besides its postings.
//!
//! Owns: the stored form, from which the turns are loaded at start and the digest is computed.
//! Never: holds the text, which the threads store serves.

use meshlog_schemas::{Digest, Partition, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::analysis::DocumentTerms;
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

/// The record as JSON has it. Short names, for they are stored once a message.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: Uuid,
    facets: Facets,
    topic: String,
    partition: u32,
    offset: u64,
    ordinal: u32,
    length: u32,
    content: u32,
    terms: [u64; 2],
}

impl Record {
    /// The text to store: JSON, for the index reads stored text faster than stored bytes.
    pub(crate) fn to_text(&self) -> String {
        let stored = Stored {
            id: self.message_id,
            facets: self.facets.clone(),
            topic: self.position.partition.topic.name().to_owned(),
            partition: self.position.partition.id,
            offset: self.position.offset,
            ordinal: self.ordinal,
            length: self.length,
            content: self.content,
            terms: self.fingerprint,
        };
        serde_json::to_string(&stored).expect("strings and numbers always have a JSON form")
    }

    /// Reads what [`Record::to_text`] wrote.
    ///
    /// # Errors
    /// Why the text is no record, in words.
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let stored: Stored =
            serde_json::from_str(text).map_err(|error| format!("a stored record is damaged: {error}"))?;
        let topic = stored.topic.parse().map_err(|error| format!("a stored record is damaged: {error}"))?;
        Ok(Self {
            message_id: stored.id,
            facets: stored.facets,
            position: Position { partition: Partition { topic, id: stored.partition }, offset: stored.offset },
            ordinal: stored.ordinal,
            length: stored.length,
            content: stored.content,
            fingerprint: stored.terms,
        })
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
        assert_eq!(Record::from_text(&record().to_text()), Ok(record()));
        assert!(Record::from_text("{}").is_err());
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
