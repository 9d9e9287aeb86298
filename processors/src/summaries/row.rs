//! The rows of the store.
//!
//! Never: keep a word of what is forgotten. Of a forgotten message it is kept that it came, and where its turn was.

use meshlog_schemas::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{choose::Candidate, levels::Block, score::Kept, statistics::Tally, written::Standing};
use crate::{Micros, position::StoredPosition};

/// What is known of a thread besides its turns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ThreadRow {
    /// How many turns it has, forgotten ones included.
    pub(super) turns: u64,
    /// Where the first of them stands.
    pub(super) first: Option<Through>,
    /// Where the last of them stands.
    pub(super) through: Option<Through>,
    /// When the last was taken in, of all that came.
    pub(super) taken_in_at: Option<Micros>,
    /// Whether it was put into the archive or taken out of it, the last time that was said.
    pub(super) filed: Option<Filed>,
    /// When the first and the last of what is remembered were said; `None` where nothing is.
    pub(super) said: Option<(Micros, Micros)>,
}

/// A position in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Through(#[serde(with = "StoredPosition")] pub(super) Position);

/// Whether a thread is in the archive; of two, the larger holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Filed {
    pub(super) at: Micros,
    pub(super) is_archived: bool,
}

/// What is kept of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) message_id: Uuid,
    pub(super) author: String,
    pub(super) role: String,
    pub(super) sent_at: Micros,
    pub(super) accepted_at: Micros,
    pub(super) words: u64,
    pub(super) bytes: u64,
    /// Its best sentences, in its order.
    pub(super) sentences: Vec<Kept>,
    /// Where the edit stands since which it says this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) edited: Option<Through>,
}

/// What is kept of a finished block of which anything is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlockRow {
    /// What a summary may be chosen from.
    #[serde(rename = "c")]
    pub(super) candidates: Vec<Candidate>,
    /// What is remembered of its turns.
    #[serde(flatten)]
    pub(super) standing: Standing,
}

impl ThreadRow {
    /// The offset of its first message.
    pub(super) fn first_offset(&self) -> Option<u64> {
        self.first.map(|Through(position)| position.offset)
    }

    /// The block of its last turns, where that is not finished.
    pub(super) fn open_block(&self) -> Option<Block> {
        let block = Block::of(self.turns);
        (block.turns().start < self.turns).then_some(block)
    }

    /// Whether the thread is in the archive: a message that is taken in later brings it back, even if it is forgotten since.
    pub(super) fn is_archived(&self) -> bool {
        self.filed
            .is_some_and(|filed| filed.is_archived && self.taken_in_at.is_none_or(|taken_in| taken_in <= filed.at))
    }
}

impl Turn {
    /// What it counts for.
    pub(super) fn tally(&self) -> Tally {
        Tally { messages: 1, words: self.words, bytes: self.bytes }
    }
}
