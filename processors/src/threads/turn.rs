//! Turns: what is kept of a message in the list of its thread, so that a thread can be counted without reading its messages.
//!
//! ```text
//! key     space | thread | sent_at | offset | message id                       (see `keys`)
//! value   accepted_at, 8 bytes | partition, 4 bytes | topic | author
//! ```

use std::collections::BTreeSet;

use meshlog_schemas::{Partition, Position};
use uuid::Uuid;

use super::{
    keys,
    store::{MessageRow, ThreadRow},
};
use crate::{Facets, Micros, database::keys::put_name};

/// The most authors that a thread row lists.
const LISTED_AUTHORS: usize = 64;

/// A message in the list of its thread.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) message_id: Uuid,
    /// What a forgetting looks at, and when it was said; without the role.
    pub(super) facets: Facets,
    pub(super) position: Position,
}

impl Turn {
    /// The key and value of a message.
    pub(super) fn entry_of(row: &MessageRow) -> (Vec<u8>, Vec<u8>) {
        let (facets, position) = (&row.facets, row.position);
        let key = keys::turn(&facets.space, &facets.thread, facets.sent_at, position.offset, row.message_id);
        let mut value = Vec::with_capacity(32 + facets.author.len());
        value.extend_from_slice(&facets.accepted_at.to_be_bytes());
        value.extend_from_slice(&position.partition.id.to_be_bytes());
        put_name(&mut value, position.partition.topic.name());
        value.extend_from_slice(facets.author.as_bytes());
        (key, value)
    }

    /// Reads what [`Turn::entry_of`] wrote; `None` if it did not.
    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let (space, thread, rest) = keys::parts_of_turn(key)?;
        let (sent_at, rest) = rest.split_first_chunk()?;
        let (offset, message_id) = rest.split_first_chunk()?;
        let (accepted_at, value) = value.split_first_chunk()?;
        let (partition, value) = value.split_first_chunk()?;
        let (length, value) = value.split_first_chunk()?;
        let (topic, author) = value.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let partition =
            Partition { topic: str::from_utf8(topic).ok()?.parse().ok()?, id: u32::from_be_bytes(*partition) };
        Some(Self {
            message_id: Uuid::from_slice(message_id).ok()?,
            facets: Facets {
                space: space.to_owned(),
                thread: thread.to_owned(),
                author: str::from_utf8(author).ok()?.to_owned(),
                role: String::new(),
                sent_at: keys::time(*sent_at),
                accepted_at: Micros::from_be_bytes(*accepted_at),
            },
            position: Position { partition, offset: u64::from_be_bytes(*offset) },
        })
    }
}

impl ThreadRow {
    /// The row of a thread that no message was counted into yet, but that has this one.
    pub(super) fn before(facets: &Facets, position: Position) -> Self {
        Self {
            thread: facets.thread.clone(),
            space: facets.space.clone(),
            messages: 0,
            authors: BTreeSet::new(),
            first_at: facets.sent_at,
            last_at: facets.sent_at,
            position,
        }
    }

    /// Counts a message in. In which order they are counted makes no difference.
    pub(super) fn count_in(&mut self, facets: &Facets, position: Position) {
        self.messages += 1;
        if !self.authors.contains(&facets.author) {
            self.authors.insert(facets.author.clone());
            if self.authors.len() > LISTED_AUTHORS {
                // The last by name goes, so which 64 are listed does not depend on the order of messages.
                self.authors.pop_last();
            }
        }
        self.first_at = self.first_at.min(facets.sent_at);
        self.last_at = self.last_at.max(facets.sent_at);
        self.position = self.position.max(position);
    }

    /// Whether this author may have written in it: all are listed, unless there are too many.
    pub(super) fn may_have(&self, author: &str) -> bool {
        self.authors.len() >= LISTED_AUTHORS || self.authors.contains(author)
    }

    /// Where it stands in the list of its space's threads.
    pub(super) fn recency(&self) -> Vec<u8> {
        keys::recency(&self.space, self.last_at, &self.thread)
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;

    use super::*;

    #[test]
    fn a_turn_reads_back_and_a_cut_one_does_not() {
        let facets = Facets {
            space: "s\0".into(),
            thread: "t".into(),
            author: "Zoë".into(),
            role: String::new(),
            sent_at: -5,
            accepted_at: -7,
        };
        let position = Position { partition: Partition { topic: Topic::Messages, id: 3 }, offset: 9 };
        let message_id = Uuid::from_u128(8);
        let row =
            MessageRow { message_id, source_id: None, facets: facets.clone(), only_asks: false, position, edit: None };
        let (key, value) = Turn::entry_of(&row);
        assert_eq!(Turn::read(&key, &value), Some(Turn { message_id, facets, position }));
        assert_eq!(Turn::read(&key[1..], &value), None);
        for length in 0..22 {
            assert_eq!(Turn::read(&key, &value[..length]), None, "{length}");
        }
    }
}
