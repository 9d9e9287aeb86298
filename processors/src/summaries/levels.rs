//! Levels: turns are folded into blocks, and blocks into blocks of the next level, so that a thread of any length is covered by
//! few of them.
//!
//! ```text
//! level 0   turns 0..32, 32..64, ...       the best sentences of 32 turns
//! level 1   turns 0..512, ...              the best of 16 blocks of level 0
//! level 2   turns 0..8192, ...             and so on
//! ```
//!
//! Promises: what a block covers depends on its number alone, never on when it was folded.
//! Never: reads a block.

use std::ops::Range;

use super::{
    choose::{Budget, Candidate, choose},
    row::Turn,
    score::Kind,
    words,
};

/// Turns in a block of level 0. Fewer in tests, whose short threads are to have blocks of several levels.
const TURNS: u64 = if cfg!(test) { 8 } else { 32 };

/// Blocks in a block of the next level.
const BLOCKS: u64 = if cfg!(test) { 4 } else { 16 };

/// The highest level: 33,554,432 turns a block, of which a thread may have any number.
const HIGHEST: u8 = 5;

/// What an answer is worth more than what nobody asked for, in thousandths.
const ANSWERS: u32 = 120;

/// A block: its level, and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Block {
    pub(super) level: u8,
    pub(super) number: u64,
}

impl Block {
    /// The block of level 0 with this turn.
    pub(super) fn of(turn: u64) -> Self {
        Self { level: 0, number: turn / TURNS }
    }

    /// The block of a level that begins with this turn.
    pub(super) fn at(level: u8, from: u64) -> Option<Self> {
        let span = (level <= HIGHEST).then(|| span(level))?;
        let block = Self { level, number: from / span };
        (from.is_multiple_of(span) && from.checked_add(span).is_some()).then_some(block)
    }

    /// The turns that it covers.
    pub(super) fn turns(self) -> Range<u64> {
        let span = span(self.level);
        self.number * span..(self.number + 1) * span
    }

    /// Whether a thread with so many turns has all of its turns.
    pub(super) fn is_finished(self, turns: u64) -> bool {
        self.turns().end <= turns
    }

    /// The blocks that it is folded from; none at level 0.
    pub(super) fn parts(self) -> impl Iterator<Item = Block> {
        let below = self.level.checked_sub(1).map(|level| (level, self.number * BLOCKS..(self.number + 1) * BLOCKS));
        below.into_iter().flat_map(|(level, numbers)| numbers.map(move |number| Block { level, number }))
    }

    /// The block that it is folded into.
    pub(super) fn whole(self) -> Option<Block> {
        (self.level < HIGHEST).then(|| Block { level: self.level + 1, number: self.number / BLOCKS })
    }
}

/// The fewest finished blocks that cover a thread of so many turns, in its order, and the turns behind them.
pub(super) fn cover(turns: u64) -> (Vec<Block>, Range<u64>) {
    let mut blocks = Vec::new();
    let mut covered = 0;
    for level in (0..=HIGHEST).rev() {
        let span = span(level);
        blocks.extend((covered / span..turns / span).map(|number| Block { level, number }));
        covered = turns / span * span;
    }
    (blocks, covered..turns)
}

/// What is kept of a block, out of what its turns or its parts have.
pub(super) fn fold(block: Block, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let most = if block.level == 0 { 16 } else { 48 };
    let mut chosen = choose(&candidates, Budget::Sentences(most)).into_iter().peekable();
    let mut index = 0;
    candidates.retain(|_| {
        let is_chosen = chosen.next_if_eq(&index).is_some();
        index += 1;
        is_chosen
    });
    candidates
}

/// The candidates of turns that follow each other, as far as they lie in one block. A question is one only if the next turn
/// answers it: is another author's, and states something.
pub(super) fn candidates(turns: &[(u64, Turn)]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (index, (number, turn)) in turns.iter().enumerate() {
        let beside = |other: Option<&(u64, Turn)>, step: u64| {
            let (other_number, other) = other?;
            (*other_number == number.wrapping_add(step)
                && Block::of(*other_number) == Block::of(*number)
                && other.author != turn.author)
                .then(|| other.clone())
        };
        let has = |turn: &Option<Turn>, kind: Kind| {
            turn.as_ref().is_some_and(|turn| turn.sentences.iter().any(|sentence| sentence.kind == kind))
        };
        let before = beside(index.checked_sub(1).and_then(|index| turns.get(index)), u64::MAX);
        let after = beside(turns.get(index + 1), 1);
        let (is_asked, is_answered) = (has(&before, Kind::Question), has(&after, Kind::Statement));
        for sentence in &turn.sentences {
            let (is_filler, more) = match sentence.kind {
                Kind::Statement => (false, if is_asked { ANSWERS } else { 0 }),
                Kind::Question => (!is_answered, 0),
                Kind::Filler => (true, 0),
            };
            candidates.push(Candidate {
                turn: *number,
                start: sentence.start,
                score: sentence.score + more,
                tokens: words::tokens(&sentence.text).try_into().unwrap_or(u32::MAX),
                is_filler,
                terms: words::terms(&sentence.text),
            });
        }
    }
    candidates
}

fn span(level: u8) -> u64 {
    TURNS * BLOCKS.pow(u32::from(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turn_is_covered_once() {
        for turns in [0, 1, 31, 32, 33, 511, 512, 2_000, 100_000, 8_192, 400_000] {
            let (blocks, open) = cover(turns);
            let mut end = 0;
            for block in &blocks {
                assert_eq!(block.turns().start, end);
                assert!(block.is_finished(turns));
                end = block.turns().end;
            }
            assert_eq!((end, open.end), (open.start, turns));
            assert!(open.end - open.start < TURNS && blocks.len() < 80, "{turns}: {}", blocks.len());
        }
    }

    #[test]
    fn a_block_is_one_of_its_wholes_parts() {
        let mut block = Block::of(100_000);
        while let Some(whole) = block.whole() {
            assert!(whole.parts().any(|part| part == block));
            assert_eq!(whole.parts().next().unwrap().turns().start, whole.turns().start);
            block = whole;
        }
        assert_eq!(Block::of(31).parts().count(), 0);
    }
}
