//! What a model wrote: summaries of stretches of a thread, and when their words hold.
//!
//! Owns: what a summary was made of, and whether that still stands.
//! Promises: whether a summary holds depends on the stretch as it is and on what it was made of, on no order and no clock.
//!
//! A model sums up the turns of a block, or the summaries of the blocks that a block is folded from, so that each turn is
//! told once on each level. What it was told is named by how many of the turns were remembered, and by their last edit. That is
//! enough: once all turns of a stretch are there, they only become fewer and are only edited, in the order of the log. So a
//! summary that was made of more than is left, or before the last edit, tells what nobody may read any more, for good; and one
//! that was made of less, or after an edit that is not read here, is ahead of this view, and waits.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    levels::Block,
    row::{Through, Turn},
    words,
};

/// A stretch of a thread as a summary of it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// What is summed up: 0, turns; above that, the summaries of the level below.
    pub level: u8,
    /// The number of its first turn in the thread.
    pub from: u64,
    /// The number behind its last.
    pub until: u64,
    /// Where the thread's first message stands in its partition: by this threads are told apart whose turns have other numbers.
    pub first: u64,
    /// How many of the turns were remembered.
    pub turns: u64,
    /// Where the last edit of one of them stands.
    pub edited: Option<u64>,
}

/// A summary that a model wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The space.
    pub space: String,
    /// The thread.
    pub thread: String,
    /// What it was made of.
    pub stretch: Stretch,
    /// Who wrote it.
    pub model: String,
    /// The sentences, each with the messages that say so.
    pub sentences: Vec<(String, Vec<Uuid>)>,
}

/// What is kept of a summary; none once it is dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WrittenRow {
    pub(super) model: String,
    pub(super) sentences: Vec<WrittenSentence>,
}

/// A sentence of a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WrittenSentence {
    #[serde(rename = "x")]
    pub(super) text: String,
    #[serde(rename = "m")]
    pub(super) sources: Vec<Uuid>,
    #[serde(rename = "c")]
    pub(super) tokens: u32,
    #[serde(rename = "w")]
    pub(super) terms: Vec<u32>,
}

/// What is remembered of a stretch now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// How many turns.
    #[serde(rename = "n")]
    pub(super) turns: u64,
    /// Where the last edit of one of them stands.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) edited: Option<u64>,
}

/// What is to be made of a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It says what the stretch says.
    Holds,
    /// It knows what this view does not yet.
    Waits,
    /// It knows what is not to be known any more.
    Dead,
}

impl Stretch {
    /// The block that it is all of, or the beginning of; `None` where there is no such block.
    pub(super) fn block(&self) -> Option<Block> {
        let block = Block::at(self.level, self.from)?;
        let turns = block.turns();
        let is_whole = self.until == turns.end;
        let is_begun = self.level == 0 && self.from < self.until && self.until < turns.end;
        (is_whole || is_begun).then_some(block)
    }

    /// What becomes of a summary of it in a thread with so many turns, of which `now` is left here.
    pub(super) fn fate(&self, first: Option<u64>, turns: u64, now: Standing) -> Fate {
        match first {
            Some(first) if first != self.first => Fate::Dead,
            Some(_) if self.until <= turns => {
                let (then, now) = ((self.turns, self.edited), (now.turns, now.edited));
                match then.0.cmp(&now.0).reverse().then(then.1.cmp(&now.1)) {
                    std::cmp::Ordering::Less => Fate::Dead,
                    std::cmp::Ordering::Equal => Fate::Holds,
                    std::cmp::Ordering::Greater => Fate::Waits,
                }
            }
            _ => Fate::Waits,
        }
    }
}

impl Standing {
    /// What is remembered of these turns.
    pub(super) fn of<'t>(turns: impl IntoIterator<Item = &'t Turn>) -> Self {
        turns.into_iter().fold(Self::default(), |standing, turn| {
            let edited = turn.edited.map(|Through(position)| position.offset);
            Self { turns: standing.turns + 1, edited: standing.edited.max(edited) }
        })
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { turns: self.turns + other.turns, edited: self.edited.max(other.edited) }
    }
}

impl WrittenRow {
    pub(super) fn of(written: &Written) -> Self {
        let sentence = |(text, sources): &(String, Vec<Uuid>)| WrittenSentence {
            text: text.clone(),
            sources: sources.clone(),
            tokens: words::tokens(text).try_into().unwrap_or(u32::MAX),
            terms: words::terms(text),
        };
        Self { model: written.model.clone(), sentences: written.sentences.iter().map(sentence).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRETCH: Stretch = Stretch { level: 0, from: 8, until: 16, first: 5, turns: 7, edited: Some(90) };

    #[test]
    fn a_summary_is_of_a_block_or_of_the_beginning_of_one() {
        let of = |level, from, until| Stretch { level, from, until, ..STRETCH }.block().map(|block| block.turns());
        assert_eq!(of(0, 8, 16), Some(8..16));
        assert_eq!(of(0, 8, 11), Some(8..16));
        assert_eq!(of(1, 0, 32), Some(0..32));
        for (level, from, until) in [(0, 8, 8), (0, 8, 17), (0, 9, 16), (1, 0, 31), (1, 8, 40), (200, 0, 8)] {
            assert_eq!(of(level, from, until), None, "{level} {from} {until}");
        }
        assert_eq!(of(0, u64::MAX, 3), None);
    }

    #[test]
    fn a_summary_holds_as_long_as_it_says_what_the_stretch_says() {
        let fate = |first, turns, left, edited| STRETCH.fate(first, turns, Standing { turns: left, edited });
        assert_eq!(fate(None, 0, 0, None), Fate::Waits, "nothing of the thread has come");
        assert_eq!(fate(Some(5), 15, 7, Some(90)), Fate::Waits, "its last turn has not come");
        assert_eq!(fate(Some(5), 16, 7, Some(90)), Fate::Holds);
        assert_eq!(fate(Some(5), 99, 7, Some(90)), Fate::Holds);
        assert_eq!(fate(Some(5), 99, 8, Some(90)), Fate::Waits, "a forgetting has not come");
        assert_eq!(fate(Some(5), 99, 7, Some(80)), Fate::Waits, "an edit has not come");
        assert_eq!(fate(Some(5), 99, 7, None), Fate::Waits);
        assert_eq!(fate(Some(5), 99, 6, Some(90)), Fate::Dead, "more is forgotten");
        assert_eq!(fate(Some(5), 99, 6, None), Fate::Dead);
        assert_eq!(fate(Some(5), 99, 7, Some(91)), Fate::Dead, "more is edited");
        assert_eq!(fate(Some(6), 99, 7, Some(90)), Fate::Dead, "it is of other turns");
    }
}
