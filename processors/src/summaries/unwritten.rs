//! What is to be summed up: which stretch of which thread is due, and what a model is to be told of it.
//!
//! Promises: what is told of a stretch is one moment of the store, and its [`Stretch`] names that moment.
//! Never: tells a whole message. Of each turn the sentences are told that the store keeps, those that say most: so a long paste
//! costs no more than a short answer.

use fjall::{Readable, Snapshot};
use uuid::Uuid;

use super::{
    choose::{Budget, choose},
    keys,
    levels::Block,
    row::{BlockRow, ThreadRow, Turn},
    tables::Tables,
    written::{Fate, Standing, Stretch, WrittenRow},
};
use crate::{Micros, StoreError};

/// So many blocks are looked at in one go; of these the threads with the latest turns come first.
const WINDOW: usize = if cfg!(test) { 6 } else { 4_096 };
/// What is told of a block of which a model gave no summary.
const SAID_INSTEAD: u32 = 6;

/// A stretch that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// The space.
    pub space: String,
    /// The thread.
    pub thread: String,
    /// What a summary of this is made of.
    pub stretch: Stretch,
    /// What a model is to be told.
    pub told: Told,
}

/// What a model is told, in the order of the thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Turns, each with the sentences that say most.
    Turns(Vec<ToldTurn>),
    /// Sentences of summaries, each with its messages.
    Sentences(Vec<(String, Vec<Uuid>)>),
}

/// A turn as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTurn {
    /// The message.
    pub message_id: Uuid,
    /// Who said it.
    pub author: String,
    /// As what.
    pub role: String,
    /// When.
    pub sent_at: Micros,
    /// Its sentences.
    pub text: String,
}

impl Tables {
    /// A stretch that is due; see `SummaryStore::unwritten`.
    pub(super) fn unwritten(
        &self,
        quiet_since: Micros,
        is_wanted: &dyn Fn(&str) -> bool,
        waits: &dyn Fn(&Unwritten) -> bool,
        cursor: &mut Vec<u8>,
    ) -> Result<Option<Unwritten>, StoreError> {
        let action = "look for what is to be summed up";
        let snapshot = self.keyspaces.snapshot();
        let mut due = Vec::new();
        for entry in snapshot.range(&self.unwritten, cursor.clone()..).take(WINDOW + 1) {
            due.push(entry.key().map_err(|cause| self.error(action, cause))?.to_vec());
        }
        // From the next on the next time, or from the beginning again.
        *cursor = if due.len() > WINDOW { due.pop().unwrap_or_default() } else { Vec::new() };
        let mut threads = Vec::new();
        for of_thread in due.chunk_by(|one, other| thread_of(one) == thread_of(other)) {
            let (key, _) = keys::parts_of_block(&of_thread[0]).ok_or_else(|| self.damaged(action))?;
            let (space, thread) = keys::names_of_thread(key).ok_or_else(|| self.damaged(action))?;
            if is_wanted(space) {
                let row: ThreadRow = self.read(&snapshot, &self.threads, key)?.unwrap_or_default();
                threads.push((row, space, thread, of_thread));
            }
        }
        threads.sort_by_key(|(row, ..)| std::cmp::Reverse(row.said.map(|(_, last)| last)));
        for (row, space, thread, blocks) in threads {
            // Those of a level come before those of the next, which are made of them.
            for block in blocks {
                let (key, block) = keys::parts_of_block(block).ok_or_else(|| self.damaged(action))?;
                if let Some((stretch, told)) = self.told(&snapshot, key, &row, block, quiet_since)? {
                    let (space, thread) = (space.to_owned(), thread.to_owned());
                    let found = Unwritten { space, thread, stretch, told };
                    if !waits(&found) {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What is told of a block; `None` where it is not yet the time.
    fn told(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        row: &ThreadRow,
        block: Block,
        quiet_since: Micros,
    ) -> Result<Option<(Stretch, Told)>, StoreError> {
        let Some(first) = row.first_offset() else { return Ok(None) };
        let is_finished = block.is_finished(row.turns);
        let from = block.turns().start;
        let until = if is_finished { block.turns().end } else { row.turns };
        let stretch = |Standing { turns, edited }| Stretch { level: block.level, from, until, first, turns, edited };
        if block.level == 0 {
            if !is_finished && row.taken_in_at.is_none_or(|at| at >= quiet_since) {
                return Ok(None);
            }
            let mut turns = Vec::new();
            for number in from..until {
                turns.extend(self.read::<Turn>(snapshot, &self.turns, &keys::turn(thread, number))?);
            }
            let standing = Standing::of(&turns);
            return Ok(Some((stretch(standing), Told::Turns(turns.into_iter().map(told_turn).collect()))));
        }
        let (mut standing, mut sentences) = (Standing::default(), Vec::new());
        for part in block.parts() {
            let key = keys::block(thread, part);
            let Some(of_part) = self.read::<BlockRow>(snapshot, &self.blocks, &key)? else { continue };
            let Some(written) = self.words_of(snapshot, thread, row, part, of_part.standing)? else { return Ok(None) };
            standing = standing.and(of_part.standing);
            if written.sentences.is_empty() {
                sentences.extend(self.said_instead(snapshot, thread, &of_part)?);
            } else {
                sentences.extend(written.sentences.into_iter().map(|sentence| (sentence.text, sentence.sources)));
            }
        }
        Ok(Some((stretch(standing), Told::Sentences(sentences))))
    }

    /// What a model wrote of a finished block, if it holds.
    pub(super) fn words_of(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        row: &ThreadRow,
        block: Block,
        now: Standing,
    ) -> Result<Option<WrittenRow>, StoreError> {
        let Some(first) = row.first_offset() else { return Ok(None) };
        let turns = block.turns();
        let Standing { turns: left, edited } = now;
        let stretch = Stretch { level: block.level, from: turns.start, until: turns.end, first, turns: left, edited };
        self.read_words(snapshot, &keys::written(&keys::block(thread, block), &stretch))
    }

    /// What a model wrote of the most of an open block, if it holds; and how far.
    pub(super) fn words_of_open(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        row: &ThreadRow,
        turns: &[(u64, Turn)],
    ) -> Result<Option<(WrittenRow, u64)>, StoreError> {
        let action = "read the summaries of a block";
        let Some(block) = row.open_block() else { return Ok(None) };
        let key = keys::block(thread, block);
        let mut furthest: Option<(u64, Vec<u8>)> = None;
        for entry in snapshot.prefix(&self.written, &key) {
            let row_key = entry.key().map_err(|cause| self.error(action, cause))?;
            let stretch = keys::stretch_of_written(block, &row_key[key.len()..]);
            let stretch = stretch.ok_or_else(|| self.damaged(action))?;
            let of_it = turns.iter().filter(|(number, _)| *number < stretch.until).map(|(_, turn)| turn);
            let holds = stretch.fate(row.first_offset(), row.turns, Standing::of(of_it)) == Fate::Holds;
            if holds && furthest.as_ref().is_none_or(|(until, _)| *until < stretch.until) {
                furthest = Some((stretch.until, row_key.to_vec()));
            }
        }
        let Some((until, row_key)) = furthest else { return Ok(None) };
        Ok(self.read_words(snapshot, &row_key)?.map(|words| (words, until)))
    }

    fn read_words(&self, snapshot: &Snapshot, key: &[u8]) -> Result<Option<WrittenRow>, StoreError> {
        let value = snapshot.get(&self.written, key).map_err(|cause| self.error("read a summary", cause))?;
        value.filter(|value| !value.is_empty()).map(|value| self.keyspaces.read_json(&value)).transpose()
    }

    /// What was said in a block of which a model gave no summary.
    fn said_instead(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        row: &BlockRow,
    ) -> Result<Vec<(String, Vec<Uuid>)>, StoreError> {
        let mut said = Vec::new();
        for index in choose(&row.candidates, Budget::Sentences(SAID_INSTEAD)) {
            let chosen = &row.candidates[index];
            let turn: Option<Turn> = self.read(snapshot, &self.turns, &keys::turn(thread, chosen.turn))?;
            let Some(turn) = turn else { continue };
            let kept = turn.sentences.iter().find(|kept| kept.start == chosen.start);
            said.extend(kept.map(|kept| (kept.text.clone(), vec![turn.message_id])));
        }
        Ok(said)
    }
}

/// The thread of a block's key.
fn thread_of(key: &[u8]) -> Option<&[u8]> {
    keys::parts_of_block(key).map(|(thread, _)| thread)
}

fn told_turn(turn: Turn) -> ToldTurn {
    let sentences: Vec<_> = turn.sentences.iter().map(|kept| kept.text.trim()).collect();
    ToldTurn {
        message_id: turn.message_id,
        author: turn.author,
        role: turn.role,
        sent_at: turn.sent_at,
        text: sentences.join(" "),
    }
}
