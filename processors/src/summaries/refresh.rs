//! Refreshing: which of a model's words hold once a batch has changed what they were made of, and what is to be summed up anew.
//!
//! Promises: in the batch in which a turn is forgotten or edited, every summary that was made of it loses its words.
//! Never: reads a block that the batch does not touch.

use std::collections::{BTreeSet, HashMap};

use super::{
    changes::Changes,
    keys,
    levels::Block,
    row::{BlockRow, ThreadRow},
    written::{Fate, Standing, Stretch, Written, WrittenRow},
};
use crate::{StoreError, database::Batch};

/// So many further turns, at the least, are worth a summary of a block that is not finished.
const FEWEST_TURNS: u64 = if cfg!(test) { 2 } else { 4 };
/// How often a finished block is summed up at the most: each time something of it is forgotten or edited costs a call.
const MOST_WRITINGS: usize = 4;
/// How many summaries a block has at the most while it is not finished.
const MOST_OPEN_WRITINGS: usize = 16;

impl Changes<'_> {
    /// Takes in what a model wrote. Of two summaries that were made of the same the first counts.
    pub(super) fn take_written(&mut self, written: &Written) -> Result<(), StoreError> {
        // One that is of no block was written by a program that folds in another way.
        let Some(block) = written.stretch.block() else { return Ok(()) };
        let thread = keys::thread(&written.space, &written.thread);
        let key = keys::written(&keys::block(&thread, block), &written.stretch);
        let is_there = self.tables.written.contains_key(&key);
        if is_there.map_err(|cause| self.tables.error("look up a summary", cause))? {
            return Ok(());
        }
        self.written.entry(key).or_insert_with(|| WrittenRow::of(written));
        self.written_of.entry(thread).or_default().insert(block);
        Ok(())
    }

    /// Sees to these blocks of a thread.
    pub(super) fn refresh(
        &self,
        batch: &mut Batch,
        thread: &[u8],
        row: &ThreadRow,
        folded: &HashMap<Block, BlockRow>,
        blocks: BTreeSet<Block>,
    ) -> Result<(), StoreError> {
        for block in blocks {
            let key = keys::block(thread, block);
            let is_due = self.refresh_block(batch, thread, &key, row, folded, block)?;
            let unwritten = &self.tables.unwritten;
            let is_there = unwritten.contains_key(&key);
            // Most stay what they are, with every message.
            match (is_there.map_err(|cause| self.tables.error("look up a block", cause))?, is_due) {
                (false, true) => batch.insert(unwritten, key, []),
                (true, false) => batch.remove(unwritten, key),
                _ => {}
            }
        }
        Ok(())
    }

    /// Sees to the summaries of a block; whether another one is due.
    fn refresh_block(
        &self,
        batch: &mut Batch,
        thread: &[u8],
        key: &[u8],
        row: &ThreadRow,
        folded: &HashMap<Block, BlockRow>,
        block: Block,
    ) -> Result<bool, StoreError> {
        let is_finished = block.is_finished(row.turns);
        let whole = match folded.get(&block) {
            Some(row) => row.standing,
            None if is_finished => {
                let stored: Option<BlockRow> = self.tables.keyspaces.get_json(&self.tables.blocks, key)?;
                stored.unwrap_or_default().standing
            }
            None => Standing::default(),
        };
        let turns = block.turns();
        let (mut held, mut writings, mut open_writings) = (turns.start, 0, 0);
        for (row_key, stretch, is_new) in self.summaries_of(key, block)? {
            let is_whole = stretch.until == turns.end;
            *(if is_whole { &mut writings } else { &mut open_writings }) += 1;
            let now = if is_whole {
                whole
            } else {
                let turns = self.turns_of(thread, stretch.from..stretch.until.min(row.turns))?;
                Standing::of(turns.iter().map(|(_, turn)| turn))
            };
            let words = is_new.then(|| self.written.get(&row_key)).flatten();
            match stretch.fate(row.first_offset(), row.turns, now) {
                Fate::Dead => {
                    batch.insert(&self.tables.written, row_key, []);
                    continue;
                }
                Fate::Holds => held = held.max(stretch.until),
                Fate::Waits => {}
            }
            if let Some(words) = words {
                batch.insert(&self.tables.written, row_key.clone(), self.tables.keyspaces.to_json(words)?);
            }
        }
        Ok(if is_finished {
            whole.turns > 0 && held < turns.end && writings < MOST_WRITINGS
        } else {
            row.turns.saturating_sub(held) >= FEWEST_TURNS && open_writings < MOST_OPEN_WRITINGS
        })
    }

    /// The summaries of a block that have or had words, with what they were made of, and whether they are new.
    fn summaries_of(&self, key: &[u8], block: Block) -> Result<Vec<(Vec<u8>, Stretch, bool)>, StoreError> {
        let action = "read the summaries of a block";
        let stretch = |row_key: &[u8]| {
            let stretch = keys::stretch_of_written(block, &row_key[key.len()..]);
            stretch.ok_or_else(|| self.tables.damaged(action))
        };
        let mut summaries = Vec::new();
        for entry in self.tables.written.prefix(key) {
            let (row_key, _) = entry.map_err(|cause| self.tables.error(action, cause))?;
            summaries.push((row_key.to_vec(), stretch(&row_key)?, false));
        }
        let until = [key, &[u8::MAX; 40]].concat();
        for row_key in self.written.range(key.to_vec()..until).map(|(row_key, _)| row_key) {
            summaries.push((row_key.clone(), stretch(row_key)?, true));
        }
        Ok(summaries)
    }
}
