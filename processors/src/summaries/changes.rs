//! What one batch changes: folded in memory first, then written.
//!
//! Owns: how a message, a forgetting and an archival change the rows.
//! Promises: what is written depends on which messages came in which order within their threads, on what is forgotten and on
//! what is archived; never on batches, nor on what came before what otherwise.
//! Never: reads what it has not been asked to change.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    ops::{Bound, Range},
};

use uuid::Uuid;

use super::{
    keys,
    levels::{self, Block},
    row::{BlockRow, Filed, ThreadRow, Through, Turn},
    score,
    statistics::{By, Tally, day_of},
    store::{Archived, Said},
    tables::Tables,
    words,
    written::{Standing, WrittenRow},
};
use crate::{
    Forgetting, Micros, Scope, StoreError,
    database::{Batch, Keyspace},
};

/// What the tables do not show yet.
pub(super) struct Changes<'t> {
    pub(super) tables: &'t Tables,
    /// By their keys.
    threads: BTreeMap<Vec<u8>, Thread>,
    /// The turn of each new message.
    messages: HashMap<Uuid, Vec<u8>>,
    /// By their keys; `None` is to be removed.
    pub(super) turns: HashMap<Vec<u8>, Option<Turn>>,
    /// Whether it is to be there.
    times: BTreeMap<Vec<u8>, bool>,
    tallies: HashMap<(String, Option<String>, By), Tally>,
    /// What a model wrote, by the keys of its rows.
    pub(super) written: BTreeMap<Vec<u8>, WrittenRow>,
    /// The blocks that it wrote of, by the keys of their threads.
    pub(super) written_of: BTreeMap<Vec<u8>, BTreeSet<Block>>,
}

/// A thread that changes.
struct Thread {
    space: String,
    thread: String,
    before: ThreadRow,
    after: ThreadRow,
    /// The blocks of which a turn was lost or edited.
    torn: BTreeSet<Block>,
}

/// How far the turns of a forgetting have been gone through.
#[derive(Default)]
pub(super) struct Sweep {
    /// The last turn that was looked at.
    after: Option<Vec<u8>>,
}

impl<'t> Changes<'t> {
    pub(super) fn new(tables: &'t Tables) -> Self {
        Self {
            tables,
            threads: BTreeMap::new(),
            messages: HashMap::new(),
            turns: HashMap::new(),
            times: BTreeMap::new(),
            tallies: HashMap::new(),
            written: BTreeMap::new(),
            written_of: BTreeMap::new(),
        }
    }

    /// Takes a message in, or an edit of one that is there already. A forgotten one leaves nothing but that its turn was taken.
    pub(super) fn say(&mut self, said: &Said<'_>, is_forgotten: bool) -> Result<(), StoreError> {
        if let Some(turn) = self.turn_of(said.message_id)? {
            return if said.is_edit && !is_forgotten { self.edit(turn, said) } else { Ok(()) };
        }
        let facets = &said.facets;
        let thread_key = keys::thread(&facets.space, &facets.thread);
        let thread = self.thread(&facets.space, &facets.thread)?;
        let number = thread.after.turns;
        thread.after.turns += 1;
        thread.after.first = thread.after.first.or(Some(Through(said.position)));
        thread.after.through = thread.after.through.max(Some(Through(said.position)));
        thread.after.taken_in_at = thread.after.taken_in_at.max(Some(facets.accepted_at));
        if !is_forgotten {
            let (first, last) = thread.after.said.unwrap_or((facets.sent_at, facets.sent_at));
            thread.after.said = Some((first.min(facets.sent_at), last.max(facets.sent_at)));
        }
        let key = keys::turn(&thread_key, number);
        self.messages.insert(said.message_id, key.clone());
        if is_forgotten {
            return Ok(());
        }
        let turn = Turn {
            message_id: said.message_id,
            author: facets.author.clone(),
            role: facets.role.clone(),
            sent_at: facets.sent_at,
            accepted_at: facets.accepted_at,
            words: words::count(said.text),
            bytes: said.text.len() as u64,
            sentences: score::best_of(said.text, &facets.role),
            edited: said.is_edit.then_some(Through(said.position)),
        };
        self.count(&facets.space, &facets.thread, &turn, Tally::add)?;
        self.times.insert(keys::time(&thread_key, turn.sent_at, number), true);
        self.turns.insert(key, Some(turn));
        Ok(())
    }

    /// The key of a message's turn.
    fn turn_of(&self, message_id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(turn) = self.messages.get(&message_id) {
            return Ok(Some(turn.clone()));
        }
        let stored = self.tables.messages.get(message_id);
        let stored = stored.map_err(|cause| self.tables.error("look up a message", cause))?;
        Ok(stored.map(|turn| turn.to_vec()))
    }

    /// Has a turn say something else, if it is remembered and was not edited since.
    fn edit(&mut self, key: Vec<u8>, said: &Said<'_>) -> Result<(), StoreError> {
        let stored = match self.turns.get(&key) {
            Some(turn) => turn.clone(),
            None => self.tables.keyspaces.get_json(&self.tables.turns, &key)?,
        };
        let edited = Some(Through(said.position));
        let Some(before) = stored.filter(|turn| turn.edited < edited) else { return Ok(()) };
        let (_, number) = keys::parts_of_turn(&key).ok_or_else(|| self.tables.damaged("edit a message"))?;
        let (space, thread) = (&said.facets.space, &said.facets.thread);
        self.count(space, thread, &before, Tally::subtract)?;
        let turn = Turn {
            words: words::count(said.text),
            bytes: said.text.len() as u64,
            sentences: score::best_of(said.text, &before.role),
            edited,
            ..before
        };
        self.count(space, thread, &turn, Tally::add)?;
        self.thread(space, thread)?.torn.insert(Block::of(number));
        self.turns.insert(key, Some(turn));
        Ok(())
    }

    /// Drops the stored messages that are forgotten, `most` at the most. Whether it came to the end; if not, it is to go on with
    /// the same `sweep` after what was changed has been written.
    pub(super) fn forget(
        &mut self,
        forgetting: &Forgetting,
        most: usize,
        sweep: &mut Sweep,
    ) -> Result<bool, StoreError> {
        let action = "forget";
        let space = &forgetting.space;
        let prefixes = match &forgetting.scope {
            Scope::Message(id) => {
                let key = self.tables.messages.get(id).map_err(|cause| self.tables.error(action, cause))?;
                key.map(|key| vec![key.to_vec()]).unwrap_or_default()
            }
            Scope::Thread(thread) => vec![keys::thread(space, thread)],
            Scope::Author(author) => self.threads_of(space, author)?,
            Scope::Space | Scope::Messages => vec![keys::space(space)],
        };
        for prefix in prefixes {
            // What was gone through lies before, for the keys of an author's threads are in order too.
            let from = sweep.after.clone().filter(|after| *after >= prefix);
            let from = from.map_or(Bound::Included(prefix.clone()), Bound::Excluded);
            for entry in self.tables.turns.range((from, Bound::Unbounded)) {
                let (key, value) = entry.map_err(|cause| self.tables.error(action, cause))?;
                if !key.starts_with(&prefix) {
                    break;
                }
                let turn: Turn = self.tables.keyspaces.read_json(&value)?;
                let (thread_key, number) = keys::parts_of_turn(&key).ok_or_else(|| self.tables.damaged(action))?;
                let thread = keys::name_of_thread(thread_key).ok_or_else(|| self.tables.damaged(action))?;
                // A message of another space that is named by its id: this forgetting is not about it.
                let is_here = key.starts_with(&keys::space(space));
                if is_here && turn.is_covered(forgetting, thread) && self.turns.get(&*key).is_none_or(Option::is_some) {
                    self.drop_turn(space, thread, number, &turn)?;
                }
                if self.turns.len() >= most {
                    sweep.after = Some(key.to_vec());
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Puts a thread into the archive, or takes it out. What was said of it last holds.
    pub(super) fn archive(&mut self, archived: &Archived) -> Result<(), StoreError> {
        let thread = self.thread(&archived.space, &archived.thread)?;
        let filed = Filed { at: archived.at, is_archived: archived.is_archived };
        thread.after.filed = thread.after.filed.max(Some(filed));
        Ok(())
    }

    /// Writes all of it into a batch.
    pub(super) fn write(mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let threads = std::mem::take(&mut self.threads);
        let mut written_of = std::mem::take(&mut self.written_of);
        for (key, mut thread) in threads {
            if !thread.torn.is_empty() {
                thread.after.said = self.said(&key)?;
            }
            let folded = self.folded(&key, &thread)?;
            let mut blocks = written_of.remove(&key).unwrap_or_default();
            blocks.extend(folded.keys());
            let is_torn = |block: &Block| thread.torn.contains(block);
            let has_more = thread.before.turns != thread.after.turns;
            blocks.extend(thread.after.open_block().filter(|block| has_more || is_torn(block)));
            self.refresh(batch, &key, &thread.after, &folded, blocks)?;
            for (block, row) in folded {
                let key = keys::block(&key, block);
                match row.standing.turns {
                    0 => batch.remove(&self.tables.blocks, key),
                    _ => batch.insert(&self.tables.blocks, key, self.tables.keyspaces.to_json(&row)?),
                }
            }
            let [last, first] = thread.places(&thread.before);
            let [new_last, new_first] = thread.places(&thread.after);
            put(batch, &self.tables.last, last, new_last);
            put(batch, &self.tables.first, first, new_first);
            batch.insert(&self.tables.threads, key, self.tables.keyspaces.to_json(&thread.after)?);
        }
        // Of threads of which nothing else changes.
        for (key, blocks) in written_of {
            let row: Option<ThreadRow> = self.tables.keyspaces.get_json(&self.tables.threads, &key)?;
            self.refresh(batch, &key, &row.unwrap_or_default(), &HashMap::new(), blocks)?;
        }
        for (id, turn) in self.messages {
            batch.insert(&self.tables.messages, *id.as_bytes(), turn);
        }
        for (key, turn) in self.turns {
            match turn {
                Some(turn) => batch.insert(&self.tables.turns, key, self.tables.keyspaces.to_json(&turn)?),
                None => batch.remove(&self.tables.turns, key),
            }
        }
        for (key, is_there) in self.times {
            match is_there {
                true => batch.insert(&self.tables.times, key, []),
                false => batch.remove(&self.tables.times, key),
            }
        }
        for ((space, thread, by), tally) in self.tallies {
            let is_there = tally.messages > 0;
            let key = keys::tally(&space, thread.as_deref(), &by);
            match is_there {
                true => batch.insert(&self.tables.tallies, key, self.tables.keyspaces.to_json(&tally)?),
                false => batch.remove(&self.tables.tallies, key),
            }
            if let (Some(thread), By::Author(author)) = (thread, by) {
                let key = keys::writer(&space, &author, &thread);
                match is_there {
                    true => batch.insert(&self.tables.writers, key, []),
                    false => batch.remove(&self.tables.writers, key),
                }
            }
        }
        Ok(())
    }

    fn drop_turn(&mut self, space: &str, thread: &str, number: u64, turn: &Turn) -> Result<(), StoreError> {
        let key = keys::thread(space, thread);
        self.thread(space, thread)?.torn.insert(Block::of(number));
        self.count(space, thread, turn, Tally::subtract)?;
        self.times.insert(keys::time(&key, turn.sent_at, number), false);
        self.turns.insert(keys::turn(&key, number), None);
        Ok(())
    }

    /// Counts a turn in everything that it counts for, or out of it.
    fn count(
        &mut self,
        space: &str,
        thread: &str,
        turn: &Turn,
        count: fn(&mut Tally, Tally),
    ) -> Result<(), StoreError> {
        for thread in [None, Some(thread.to_owned())] {
            let day = By::Day(day_of(turn.sent_at));
            for by in [By::All, By::Role(turn.role.clone()), By::Author(turn.author.clone()), day] {
                let tally = match self.tallies.entry((space.to_owned(), thread.clone(), by)) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let (space, thread, by) = entry.key();
                        let key = keys::tally(space, thread.as_deref(), by);
                        let stored = self.tables.keyspaces.get_json(&self.tables.tallies, &key)?;
                        entry.insert(stored.unwrap_or_default())
                    }
                };
                count(tally, turn.tally());
            }
        }
        Ok(())
    }

    /// A thread, to change it.
    fn thread(&mut self, space: &str, thread: &str) -> Result<&mut Thread, StoreError> {
        use std::collections::btree_map::Entry;
        match self.threads.entry(keys::thread(space, thread)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let before = self.tables.thread(space, thread)?;
                let after = before.clone();
                let (space, thread) = (space.to_owned(), thread.to_owned());
                Ok(entry.insert(Thread { space, thread, before, after, torn: BTreeSet::new() }))
            }
        }
    }

    /// The keys of the threads in which an author wrote, in order.
    fn threads_of(&self, space: &str, author: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        let action = "list an author's threads";
        let prefix = keys::writer(space, author, "");
        let mut threads = Vec::new();
        for entry in self.tables.writers.prefix(&prefix) {
            let (key, _) = entry.map_err(|cause| self.tables.error(action, cause))?;
            let name = std::str::from_utf8(&key[prefix.len()..]).map_err(|_| self.tables.damaged(action))?;
            threads.push(keys::thread(space, name));
        }
        threads.sort_unstable();
        Ok(threads)
    }

    /// When the first and the last of a thread were said, out of the tables and what changes.
    fn said(&self, thread: &[u8]) -> Result<Option<(Micros, Micros)>, StoreError> {
        let action = "find a thread's first message";
        let time = |key: &[u8]| keys::time_of(key).ok_or_else(|| self.tables.damaged(action));
        let until = [thread, &[u8::MAX; 17]].concat();
        let changed = || self.times.range(thread.to_vec()..until.clone()).filter(|(_, is_there)| **is_there);
        let mut times = Vec::new();
        for (key, _) in changed().next().into_iter().chain(changed().next_back()) {
            times.push(time(key)?);
        }
        let stays = |key: &[u8]| self.times.get(key).is_none_or(|is_there| *is_there);
        for is_reversed in [false, true] {
            let stored: Box<dyn Iterator<Item = _>> = match is_reversed {
                false => Box::new(self.tables.times.prefix(thread)),
                true => self.tables.times.prefix_backwards(thread),
            };
            for entry in stored {
                let (key, _) = entry.map_err(|cause| self.tables.error(action, cause))?;
                if stays(&key) {
                    times.push(time(&key)?);
                    break;
                }
            }
        }
        Ok(times.iter().copied().min().zip(times.iter().copied().max()))
    }

    /// The blocks of a thread that were finished or torn, folded anew.
    fn folded(&self, key: &[u8], thread: &Thread) -> Result<HashMap<Block, BlockRow>, StoreError> {
        let turns = thread.after.turns;
        let finished = Block::of(thread.before.turns).number..Block::of(turns).number;
        let mut blocks: BTreeSet<_> = finished.map(|number| Block { level: 0, number }).collect();
        blocks.extend(thread.torn.iter().filter(|block| block.is_finished(turns)));
        let mut folded = HashMap::new();
        // Levels order before numbers, so that the parts of a block are folded before it.
        while let Some(block) = blocks.pop_first() {
            let BlockRow { candidates, standing } = match block.level {
                0 => self.row_of_turns(key, block)?,
                _ => self.row_of_parts(key, block, &folded)?,
            };
            folded.insert(block, BlockRow { candidates: levels::fold(block, candidates), standing });
            blocks.extend(block.whole().filter(|whole| whole.is_finished(turns)));
        }
        Ok(folded)
    }

    fn row_of_turns(&self, thread: &[u8], block: Block) -> Result<BlockRow, StoreError> {
        let turns = self.turns_of(thread, block.turns())?;
        let standing = Standing::of(turns.iter().map(|(_, turn)| turn));
        Ok(BlockRow { candidates: levels::candidates(&turns), standing })
    }

    /// The turns of a range that are remembered.
    pub(super) fn turns_of(&self, thread: &[u8], numbers: Range<u64>) -> Result<Vec<(u64, Turn)>, StoreError> {
        let mut turns = Vec::new();
        for number in numbers {
            let key = keys::turn(thread, number);
            let turn = match self.turns.get(&key) {
                Some(turn) => turn.clone(),
                None => self.tables.keyspaces.get_json(&self.tables.turns, &key)?,
            };
            turns.extend(turn.map(|turn| (number, turn)));
        }
        Ok(turns)
    }

    fn row_of_parts(
        &self,
        thread: &[u8],
        block: Block,
        folded: &HashMap<Block, BlockRow>,
    ) -> Result<BlockRow, StoreError> {
        let mut row = BlockRow::default();
        for part in block.parts() {
            let BlockRow { candidates, standing } = match folded.get(&part) {
                Some(part) => part.clone(),
                None => {
                    let stored = self.tables.keyspaces.get_json(&self.tables.blocks, &keys::block(thread, part))?;
                    stored.unwrap_or_default()
                }
            };
            row.candidates.extend(candidates);
            row.standing = row.standing.and(standing);
        }
        Ok(row)
    }
}

impl Thread {
    /// Where it stands among the threads by their last and by their first messages; nowhere when it has none.
    fn places(&self, row: &ThreadRow) -> [Option<Vec<u8>>; 2] {
        let Some((first, last)) = row.said else { return [None, None] };
        [
            Some(keys::said(&keys::filed(&self.space, row.is_archived()), last, &self.thread)),
            Some(keys::said(&keys::space(&self.space), first, &self.thread)),
        ]
    }
}

impl Turn {
    fn is_covered(&self, forgetting: &Forgetting, thread: &str) -> bool {
        let is_before = self.accepted_at < forgetting.until;
        match &forgetting.scope {
            Scope::Message(id) => *id == self.message_id,
            Scope::Thread(name) => name == thread && is_before,
            Scope::Author(author) => *author == self.author && is_before,
            Scope::Space | Scope::Messages => is_before,
        }
    }
}

/// Moves an entry of a list.
fn put(batch: &mut Batch, keyspace: &Keyspace, before: Option<Vec<u8>>, after: Option<Vec<u8>>) {
    if before == after {
        return;
    }
    if let Some(key) = before {
        batch.remove(keyspace, key);
    }
    if let Some(key) = after {
        batch.insert(keyspace, key, []);
    }
}
