//! What is read from the tables: each answer from one moment of them.
//!
//! Never: changes anything, or reads more of a thread than its answer needs.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::RangeInclusive,
};

use fjall::{Readable, Snapshot};
use serde::Deserialize;

use super::{
    choose::{Budget, Candidate, choose},
    keys,
    levels::{self, Block},
    row::{BlockRow, ThreadRow, Through, Turn},
    statistics::{By, DayTally, Statistics, Tally},
    store::{Sentence, Source, Summary, ThreadLast},
    tables::Tables,
    written::WrittenRow,
};
use crate::{Micros, Page, PageLimit, StoreError, database::Keyspace};

/// What a sentence of a model is worth, in thousandths: more than nearly all that is said, for it says what several turns do.
const WRITTEN: u32 = 2_500;

/// What a summary is chosen from.
struct Pool {
    /// The turns that were read.
    turns: HashMap<u64, Turn>,
    candidates: Vec<Candidate>,
    /// Of a candidate that a model wrote: the model, the words, and the turns that say so.
    written: HashMap<usize, (String, String, Vec<u64>)>,
}

impl Tables {
    /// What says most of a thread.
    pub(super) fn summary(&self, space: &str, thread: &str, budget: Budget) -> Result<Summary, StoreError> {
        let snapshot = self.keyspaces.snapshot();
        let key = keys::thread(space, thread);
        let row: ThreadRow = self.read(&snapshot, &self.threads, &key)?.unwrap_or_default();
        let (blocks, open) = levels::cover(row.turns);
        // Where no model has written anything, nothing is looked up block by block.
        let is_written = snapshot.prefix(&self.written, &key).next().is_some();
        let mut pool = Pool { turns: HashMap::new(), candidates: Vec::new(), written: HashMap::new() };
        for block in blocks {
            if is_written {
                self.gather(&snapshot, &key, &row, block, &mut pool)?;
            } else {
                let whole: Option<BlockRow> = self.read(&snapshot, &self.blocks, &keys::block(&key, block))?;
                pool.candidates.extend(whole.unwrap_or_default().candidates);
            }
        }
        let mut turns = Vec::new();
        for number in open {
            let turn = self.read(&snapshot, &self.turns, &keys::turn(&key, number))?;
            turns.extend(turn.map(|turn: Turn| (number, turn)));
        }
        if is_written
            && let Some((words, until)) = self.words_of_open(&snapshot, &key, &row, &turns)?
            && self.gather_written(&snapshot, &key, words, &mut pool)?
        {
            turns.retain(|(number, _)| *number >= until);
        }
        pool.candidates.extend(levels::candidates(&turns));
        pool.turns.extend(turns);
        let chosen = choose(&pool.candidates, budget);
        let sentences = chosen.into_iter().map(|index| self.sentence(&snapshot, &key, index, &mut pool));
        let sentences = sentences.collect::<Result<_, _>>()?;
        let total: Option<Tally> = self.read(&snapshot, &self.tallies, &keys::tally(space, Some(thread), &By::All))?;
        let through = row.through.map(|Through(position)| position);
        Ok(Summary { sentences, turns: total.unwrap_or_default().messages, through })
    }

    /// Adds what a finished block may say: what a model wrote of it, or of its parts, or else what was said.
    fn gather(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        row: &ThreadRow,
        block: Block,
        pool: &mut Pool,
    ) -> Result<(), StoreError> {
        let Some(whole) = self.read::<BlockRow>(snapshot, &self.blocks, &keys::block(thread, block))? else {
            return Ok(());
        };
        if let Some(words) = self.words_of(snapshot, thread, row, block, whole.standing)?
            && self.gather_written(snapshot, thread, words, pool)?
        {
            return Ok(());
        }
        // One level down and no further: a parent is written soon after its parts.
        let (mut parts, mut is_any_written) = (Vec::new(), false);
        for part in block.parts() {
            let of_part: Option<BlockRow> = self.read(snapshot, &self.blocks, &keys::block(thread, part))?;
            let Some(of_part) = of_part else { continue };
            let words = self.words_of(snapshot, thread, row, part, of_part.standing)?;
            let words = words.filter(|words| !words.sentences.is_empty());
            is_any_written |= words.is_some();
            parts.push((of_part, words));
        }
        if !is_any_written {
            pool.candidates.extend(whole.candidates);
            return Ok(());
        }
        for (of_part, words) in parts {
            let is_written = words.map(|words| self.gather_written(snapshot, thread, words, pool)).transpose()?;
            if is_written != Some(true) {
                pool.candidates.extend(of_part.candidates);
            }
        }
        Ok(())
    }

    /// Adds the sentences that a model wrote; whether there are any.
    fn gather_written(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        words: WrittenRow,
        pool: &mut Pool,
    ) -> Result<bool, StoreError> {
        let action = "summarise a thread";
        let mut sentences = Vec::new();
        for sentence in words.sentences {
            let mut numbers = Vec::new();
            for source in &sentence.sources {
                let key = snapshot.get(&self.messages, source).map_err(|cause| self.error(action, cause))?;
                let number = key.as_deref().and_then(keys::parts_of_turn).filter(|(of, _)| *of == thread);
                let Some((_, number)) = number else { continue };
                if let Entry::Vacant(entry) = pool.turns.entry(number) {
                    let Some(turn) = self.read(snapshot, &self.turns, &keys::turn(thread, number))? else { continue };
                    entry.insert(turn);
                }
                numbers.push(number);
            }
            numbers.sort_unstable();
            // A summary holds only while its turns are there; a source that is none of them was not told.
            sentences.extend(numbers.first().copied().map(|first| (first, numbers, sentence)));
        }
        // In the order of the thread, as what was said is, however the model put it.
        sentences.sort_by_key(|(first, ..)| *first);
        let is_any = !sentences.is_empty();
        for (turn, numbers, sentence) in sentences {
            pool.written.insert(pool.candidates.len(), (words.model.clone(), sentence.text, numbers));
            pool.candidates.push(Candidate {
                turn,
                start: 0,
                score: WRITTEN,
                tokens: sentence.tokens,
                is_filler: false,
                terms: sentence.terms,
            });
        }
        Ok(is_any)
    }

    /// A candidate as a sentence of a summary.
    fn sentence(
        &self,
        snapshot: &Snapshot,
        thread: &[u8],
        index: usize,
        pool: &mut Pool,
    ) -> Result<Sentence, StoreError> {
        let action = "summarise a thread";
        let written = pool.written.remove(&index);
        let chosen = &pool.candidates[index];
        let numbers = written.as_ref().map_or(vec![chosen.turn], |(_, _, numbers)| numbers.clone());
        let mut sources = Vec::with_capacity(numbers.len());
        let mut said = None;
        for number in numbers {
            let turn = match pool.turns.entry(number) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let turn = self.read(snapshot, &self.turns, &keys::turn(thread, number))?;
                    entry.insert(turn.ok_or_else(|| self.error(action, "a turn is missing"))?)
                }
            };
            said = turn.sentences.iter().find(|kept| kept.start == chosen.start).cloned();
            sources.push(Source {
                message_id: turn.message_id,
                author: turn.author.clone(),
                role: turn.role.clone(),
                sent_at: turn.sent_at,
            });
        }
        if let Some((model, text, _)) = written {
            return Ok(Sentence { text, model: Some(model), range: 0..0, sources });
        }
        let kept = said.ok_or_else(|| self.error(action, "a sentence is missing"))?;
        let start = kept.start as usize;
        Ok(Sentence { range: start..start + kept.text.len(), text: kept.text, model: None, sources })
    }

    /// How much was said.
    pub(super) fn statistics(&self, space: &str, thread: Option<&str>) -> Result<Option<Statistics>, StoreError> {
        let action = "count";
        let snapshot = self.keyspaces.snapshot();
        let total = self.read(&snapshot, &self.tallies, &keys::tally(space, thread, &By::All))?;
        let Some(total) = total else { return Ok(None) };
        let (first_at, last_at) = match thread {
            Some(thread) => {
                let row: Option<ThreadRow> = self.read(&snapshot, &self.threads, &keys::thread(space, thread))?;
                row.and_then(|row| row.said)
            }
            None => self.said_in_space(&snapshot, space)?,
        }
        .ok_or_else(|| self.error(action, "the time of the first message is missing"))?;
        let mut statistics = Statistics { total, first_at, last_at, ..Statistics::default() };
        let role = By::Role(String::new());
        self.each_tally(&snapshot, space, thread, &role, |name, tally| statistics.roles.push((name, tally)))?;
        let author = By::Author(String::new());
        self.each_tally(&snapshot, space, thread, &author, |name, tally| statistics.add_author(name, tally))?;
        Ok(Some(statistics))
    }

    /// How much was said on the days of a range.
    pub(super) fn days(
        &self,
        space: &str,
        thread: Option<&str>,
        days: RangeInclusive<i64>,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<DayTally>, StoreError> {
        let action = "list days";
        let prefix = keys::tallies(space, thread, &By::Day(0));
        let first = keys::tally(space, thread, &By::Day(*days.start()));
        let from = cursor
            .filter(|cursor| cursor.starts_with(&prefix))
            .map_or(first.clone(), |cursor| first.max(cursor.to_vec()));
        let mut items = Vec::new();
        for entry in self.tallies.range(from..) {
            let (key, value) = entry.map_err(|cause| self.error(action, cause))?;
            let Some(rest) = key.strip_prefix(prefix.as_slice()) else { break };
            let day = keys::day_of_tally(rest).ok_or_else(|| self.damaged(action))?;
            if day > *days.end() {
                break;
            }
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            items.push(DayTally { day, tally: self.keyspaces.read_json(&value)? });
        }
        Ok(Page { items, next: None })
    }

    /// The threads in the archive, or outside it, the quietest first, as far as their last was said `before`.
    pub(super) fn filed(
        &self,
        space: &str,
        is_archived: bool,
        before: Option<Micros>,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<ThreadLast>, StoreError> {
        let action = "list threads";
        let prefix = keys::filed(space, is_archived);
        let from = cursor.filter(|cursor| cursor.starts_with(&prefix)).unwrap_or(&prefix);
        let mut items = Vec::new();
        for entry in self.last.range(from.to_vec()..) {
            let (key, _) = entry.map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            let (last_at, thread) = keys::parts_of_said(&key, prefix.len()).ok_or_else(|| self.damaged(action))?;
            if before.is_some_and(|before| last_at >= before) {
                break;
            }
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            items.push(ThreadLast { thread: thread.to_owned(), last_at });
        }
        Ok(Page { items, next: None })
    }

    /// When the first and the last message of a space were said.
    fn said_in_space(&self, snapshot: &Snapshot, space: &str) -> Result<Option<(Micros, Micros)>, StoreError> {
        let action = "find the first and the last message";
        let mut found = [None, None, None];
        let lists = [
            (&self.first, keys::space(space)),
            (&self.last, keys::filed(space, false)),
            (&self.last, keys::filed(space, true)),
        ];
        for (index, (keyspace, prefix)) in lists.into_iter().enumerate() {
            let mut entries = snapshot.prefix(keyspace, &prefix);
            let Some(entry) = (if index == 0 { entries.next() } else { entries.next_back() }) else { continue };
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            let (at, _) = keys::parts_of_said(&key, prefix.len()).ok_or_else(|| self.damaged(action))?;
            found[index] = Some(at);
        }
        let [first, last, archived] = found;
        Ok(first.zip(last.max(archived)))
    }

    /// Every tally of a kind that has a name.
    fn each_tally(
        &self,
        snapshot: &Snapshot,
        space: &str,
        thread: Option<&str>,
        by: &By,
        mut take: impl FnMut(String, Tally),
    ) -> Result<(), StoreError> {
        let action = "count";
        let prefix = keys::tallies(space, thread, by);
        for entry in snapshot.prefix(&self.tallies, &prefix) {
            let (key, value) = entry.into_inner().map_err(|cause| self.error(action, cause))?;
            let name = std::str::from_utf8(&key[prefix.len()..]).map_err(|_| self.damaged(action))?;
            take(name.to_owned(), self.keyspaces.read_json(&value)?);
        }
        Ok(())
    }

    pub(super) fn read<T: for<'a> Deserialize<'a>>(
        &self,
        snapshot: &Snapshot,
        keyspace: &Keyspace,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let value = snapshot.get(keyspace, key).map_err(|cause| self.error("read a row", cause))?;
        value.map(|bytes| self.keyspaces.read_json(&bytes)).transpose()
    }
}
