//! What is read from the tables: each answer from one moment of them.
//!
//! Never: changes anything, or reads more of a thread than its answer needs.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::RangeInclusive,
};

use fjall::{Keyspace, Readable, Snapshot};
use serde::Deserialize;

use super::{
    choose::{Budget, choose},
    keys, levels,
    row::{ThreadRow, Through, Turn},
    statistics::{By, DayTally, Statistics, Tally},
    store::{Sentence, Summary, ThreadLast},
    tables::Tables,
};
use crate::{Micros, Page, PageLimit, StoreError};

impl Tables {
    /// What says most of a thread.
    pub(super) fn summary(&self, space: &str, thread: &str, budget: Budget) -> Result<Summary, StoreError> {
        let action = "summarise a thread";
        let snapshot = self.keyspaces.snapshot();
        let key = keys::thread(space, thread);
        let row: ThreadRow = self.read(&snapshot, &self.threads, &key)?.unwrap_or_default();
        let (blocks, open) = levels::cover(row.turns);
        let mut candidates = Vec::new();
        for block in blocks {
            let kept: Option<Vec<_>> = self.read(&snapshot, &self.blocks, &keys::block(&key, block))?;
            candidates.extend(kept.unwrap_or_default());
        }
        let mut turns = Vec::new();
        for number in open {
            let turn = self.read(&snapshot, &self.turns, &keys::turn(&key, number))?;
            turns.extend(turn.map(|turn: Turn| (number, turn)));
        }
        candidates.extend(levels::candidates(&turns));
        let mut turns: HashMap<_, _> = turns.into_iter().collect();
        let mut sentences = Vec::new();
        for index in choose(&candidates, budget) {
            let chosen = &candidates[index];
            let turn = match turns.entry(chosen.turn) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    let turn = self.read(&snapshot, &self.turns, &keys::turn(&key, chosen.turn))?;
                    entry.insert(turn.ok_or_else(|| self.error(action, "a turn is missing"))?)
                }
            };
            let kept = turn.sentences.iter().find(|kept| kept.start == chosen.start);
            let kept = kept.ok_or_else(|| self.error(action, "a sentence is missing"))?;
            sentences.push(Sentence {
                text: kept.text.clone(),
                message_id: turn.message_id,
                start: kept.start as usize,
                end: kept.start as usize + kept.text.len(),
                author: turn.author.clone(),
                role: turn.role.clone(),
                sent_at: turn.sent_at,
            });
        }
        let total: Option<Tally> = self.read(&snapshot, &self.tallies, &keys::tally(space, Some(thread), &By::All))?;
        let through = row.through.map(|Through(position)| position);
        Ok(Summary { sentences, turns: total.unwrap_or_default().messages, through })
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
            let (key, value) = entry.into_inner().map_err(|cause| self.error(action, cause))?;
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
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
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

    fn read<T: for<'a> Deserialize<'a>>(
        &self,
        snapshot: &Snapshot,
        keyspace: &Keyspace,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let value = snapshot.get(keyspace, key).map_err(|cause| self.error("read a row", cause))?;
        value.map(|bytes| self.keyspaces.read_json(&bytes)).transpose()
    }
}
