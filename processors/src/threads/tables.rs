//! The tables of the store.
//!
//! ```text
//! messages   message id                                        -> MessageRow as JSON, without the text
//! texts      message id                                        -> the text
//! turns      space | thread | sent_at | offset | message id    -> what a thread counts of it (see `turn`)
//! threads    space | thread                                    -> ThreadRow as JSON
//! recent     space | newest first | thread                     -> nothing
//! forgettings  space | scope                                   -> Kept as JSON
//! uncompacted  "texts"                                         -> nothing; there if texts were removed or replaced since all were written anew
//! meta       "checkpoints"                                     -> Checkpoints as text
//! ```
//!
//! Owns: that all of it changes in one fjall batch.
//!
//! A batch with a forgetting counts anew the threads that it touches, and from then on hides what it covers. What is hidden is
//! swept out of `messages`, `texts` and `turns` by that batch and the next ones.
//! Never: outlives a failed write; they are opened again then (see `database`).

use std::{
    borrow::Cow,
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use fjall::{Guard, Readable, Slice, Snapshot};
use meshlog_pipeline::fjall_io_error;
use meshlog_schemas::{Checkpoints, Digest};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    forgetting::{self, Kept, Memory, Threads},
    keys,
    store::{MessageRow, ThreadRow},
    turn::Turn,
};
use crate::{
    Forgetting, Order, Page, PageLimit, Scope, StoreError,
    database::{self, Batch, Keyspace, Keyspaces, SMALL_CACHE},
};

/// Turns that one batch looks at, and rows that it removes, for what is forgotten: some 30 ms.
const VISITED_TURNS: usize = if cfg!(test) { 9 } else { 20_000 };
const SWEPT_MESSAGES: usize = if cfg!(test) { 3 } else { 2_000 };

const UNCOMPACTED: &str = "texts";

/// An open database with its keyspaces.
pub(super) struct Tables {
    keyspaces: Keyspaces,
    messages: Keyspace,
    texts: Keyspace,
    turns: Keyspace,
    threads: Keyspace,
    recent: Keyspace,
    forgettings: Keyspace,
    uncompacted: Keyspace,
    /// What is forgotten as of the last commit. It changes with a commit under one lock, so that who reads both under it sees
    /// a moment of both.
    memory: RwLock<Arc<Memory>>,
}

/// What one batch has changed so far and the keyspaces do not show yet.
#[derive(Default)]
struct Pending<'a> {
    /// The rows of messages that came or were edited.
    messages: HashMap<Uuid, Cow<'a, MessageRow>>,
    /// The threads that changed, by the keys of their rows.
    threads: HashMap<Vec<u8>, ChangedThread>,
}

struct ChangedThread {
    /// Its row after the batch, if it has a message left.
    row: Option<ThreadRow>,
    /// The recency key that it had before the batch.
    old_recency: Option<Vec<u8>>,
}

impl database::Tables for Tables {
    const STORE: &'static str = "threads";

    fn open(path: &Path, gather: Option<usize>) -> io::Result<Self> {
        let keyspaces = Keyspaces::open(Self::STORE, path, SMALL_CACHE, gather)?;
        let forgettings = keyspaces.keyspace("forgettings")?;
        let uncompacted = keyspaces.keyspace("uncompacted")?;
        let memory = remember(&forgettings, &uncompacted)?;
        Ok(Self {
            messages: keyspaces.keyspace("messages")?,
            texts: keyspaces.keyspace("texts")?,
            turns: keyspaces.keyspace("turns")?,
            threads: keyspaces.keyspace("threads")?,
            recent: keyspaces.keyspace("recent")?,
            forgettings,
            uncompacted,
            memory: RwLock::new(Arc::new(memory)),
            keyspaces,
        })
    }

    fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }
}

/// Reads what is forgotten.
fn remember(forgettings: &Keyspace, uncompacted: &Keyspace) -> io::Result<Memory> {
    let mut memory = Memory::default();
    for entry in forgettings.range(..) {
        let (key, value) = entry.map_err(fjall_io_error)?;
        memory.add(key.to_vec(), serde_json::from_slice(&value)?);
    }
    memory.is_uncompacted = uncompacted.contains_key(UNCOMPACTED).map_err(fjall_io_error)?;
    Ok(memory)
}

impl Tables {
    /// Takes in messages with their texts, and edits of them, forgets, and moves the checkpoints, atomically. A message that is
    /// there already is left as it is, unless this is an edit behind the one that it has.
    pub(super) fn apply(
        &self,
        messages: &[(MessageRow, &str)],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<(), StoreError> {
        let Self { messages: rows, texts, turns, threads, recent, .. } = self;
        let mut batch = self.keyspaces.batch([rows, texts, turns, threads, recent]);
        let mut pending = Pending::default();
        let mut memory = self.memory().clone();
        if !forgettings.is_empty() {
            self.forget(forgettings, Arc::make_mut(&mut memory), &mut pending, &mut batch)?;
        }
        if memory.is_unswept() {
            self.sweep(Arc::make_mut(&mut memory), &mut batch)?;
        }
        for (row, text) in messages {
            let id = row.message_id;
            if memory.forgotten.covers(id, &row.facets) {
                continue;
            }
            if let Some(edit) = &row.edit
                && let Some(known) = self.row(id, &pending)?
            {
                if known.edit.as_ref().is_some_and(|known| known.position >= edit.position) {
                    continue;
                }
                // A text that is not to be read any more is to leave the files too.
                self.note_uncompacted(Arc::make_mut(&mut memory), &mut batch);
                let row = MessageRow { only_asks: row.only_asks, edit: row.edit.clone(), ..known };
                batch.insert(&self.messages, *id.as_bytes(), self.keyspaces.to_json(&row)?);
                batch.insert(&self.texts, *id.as_bytes(), *text);
                pending.messages.insert(id, Cow::Owned(row));
                continue;
            }
            let known = self.messages.contains_key(id).map_err(|cause| self.error("look up a message", cause))?;
            if known || pending.messages.contains_key(&id) {
                continue;
            }
            pending.messages.insert(id, Cow::Borrowed(row));
            let (turn, counted) = Turn::entry_of(row);
            batch.insert(&self.messages, *id.as_bytes(), self.keyspaces.to_json(row)?);
            batch.insert(&self.texts, *id.as_bytes(), *text);
            batch.insert(&self.turns, turn, counted);
            self.count_in(row, &mut pending)?;
        }
        for (key, ChangedThread { row, old_recency }) in &pending.threads {
            let recency = row.as_ref().map(ThreadRow::recency);
            if let Some(old) = old_recency.as_ref().filter(|old| recency.as_ref() != Some(*old)) {
                batch.remove(&self.recent, old.as_slice());
            }
            match (row, recency) {
                (Some(row), Some(recency)) => {
                    batch.insert(&self.recent, recency, []);
                    batch.insert(&self.threads, key.as_slice(), self.keyspaces.to_json(row)?);
                }
                _ => batch.remove(&self.threads, key.as_slice()),
            }
        }
        if Arc::ptr_eq(&memory, &self.memory()) {
            return self.keyspaces.commit(batch, checkpoints);
        }
        let mut shown = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        self.keyspaces.commit(batch, checkpoints)?;
        *shown = memory;
        Ok(())
    }

    /// The row of a message, with what the batch changes.
    fn row(&self, id: Uuid, pending: &Pending<'_>) -> Result<Option<MessageRow>, StoreError> {
        match pending.messages.get(&id) {
            Some(row) => Ok(Some(row.clone().into_owned())),
            None => self.keyspaces.get_json(&self.messages, id.as_bytes()),
        }
    }

    /// Folds a message into its thread's row.
    fn count_in(&self, row: &MessageRow, pending: &mut Pending<'_>) -> Result<(), StoreError> {
        let facets = &row.facets;
        let key = keys::thread(&facets.space, &facets.thread);
        if !pending.threads.contains_key(&key) {
            let row: Option<ThreadRow> = self.keyspaces.get_json(&self.threads, &key)?;
            let old_recency = row.as_ref().map(ThreadRow::recency);
            pending.threads.insert(key.clone(), ChangedThread { row, old_recency });
        }
        if let Some(changed) = pending.threads.get_mut(&key) {
            let thread = changed.row.get_or_insert_with(|| ThreadRow::before(facets, row.position));
            thread.count_in(facets, row.position);
        }
        Ok(())
    }

    /// Keeps forgettings, and counts anew the threads that they touch.
    fn forget(
        &self,
        forgettings: &[Forgetting],
        memory: &mut Memory,
        pending: &mut Pending<'_>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let mut touched = Threads::new();
        for forgetting in forgettings {
            // Of one that is known, all is counted and swept, or will be; unless the time is later.
            if !memory.forgotten.add(forgetting) {
                continue;
            }
            let sweep_from = self.touched_by(forgetting, &mut touched)?;
            let kept = Kept { forgetting: forgetting.clone(), sweep_from };
            let key = forgetting::key(forgetting);
            batch.insert(&self.forgettings, key.as_slice(), self.keyspaces.to_json(&kept)?);
            memory.add(key, kept);
        }
        for key in touched {
            let Some(old) = self.keyspaces.get_json::<ThreadRow>(&self.threads, &key)? else { continue };
            let counted = self.count(&key, memory)?;
            if counted.as_ref() != Some(&old) {
                pending.threads.insert(key, ChangedThread { row: counted, old_recency: Some(old.recency()) });
            }
        }
        Ok(())
    }

    /// Adds the threads in which a forgetting may cover something. Returns the turn from which on they are to be swept.
    fn touched_by(&self, forgetting: &Forgetting, touched: &mut Threads) -> Result<Option<Vec<u8>>, StoreError> {
        let author = match &forgetting.scope {
            Scope::Message(id) => {
                let row: Option<MessageRow> = self.keyspaces.get_json(&self.messages, id.as_bytes())?;
                let Some(row) = row.filter(|row| forgetting.covers(*id, &row.facets)) else { return Ok(None) };
                touched.insert(keys::thread(&row.facets.space, &row.facets.thread));
                return Ok(Some(Turn::entry_of(&row).0));
            }
            Scope::Thread(thread) => {
                let key = keys::thread(&forgetting.space, thread);
                touched.insert(key.clone());
                return Ok(Some(key));
            }
            Scope::Author(author) => Some(author),
            Scope::Space | Scope::Messages => None,
        };
        let prefix = keys::space(&forgetting.space);
        for entry in self.threads.prefix(&prefix) {
            let (key, value) = entry.map_err(|cause| self.error("list threads", cause))?;
            let thread: ThreadRow = self.keyspaces.read_json(&value)?;
            if author.is_none_or(|author| thread.may_have(author)) {
                touched.insert(key.to_vec());
            }
        }
        Ok(Some(prefix))
    }

    /// Counts the messages of a thread that are not forgotten, if there are any.
    fn count(&self, thread: &[u8], memory: &Memory) -> Result<Option<ThreadRow>, StoreError> {
        let mut row: Option<ThreadRow> = None;
        for entry in self.turns.prefix(thread) {
            let (_, turn) = self.turn(entry)?;
            if !memory.forgotten.covers(turn.message_id, &turn.facets) {
                let row = row.get_or_insert_with(|| ThreadRow::before(&turn.facets, turn.position));
                row.count_in(&turn.facets, turn.position);
            }
        }
        Ok(row)
    }

    /// Removes some of what is hidden. It goes on where the last batch broke off.
    fn sweep(&self, memory: &mut Memory, batch: &mut Batch) -> Result<(), StoreError> {
        let (mut visited, mut removed) = (0, 0);
        while let Some((name, mut kept)) =
            memory.unswept.first_key_value().map(|(name, kept)| (name.clone(), kept.clone()))
        {
            let prefix = kept.prefix();
            let from = kept.sweep_from.take().unwrap_or_default();
            for entry in self.turns.range(from..) {
                let (key, value) = entry.map_err(|cause| self.error("list turns", cause))?;
                if !key.starts_with(&prefix) {
                    break;
                }
                if visited == VISITED_TURNS || removed == SWEPT_MESSAGES {
                    kept.sweep_from = Some(key.to_vec());
                    break;
                }
                visited += 1;
                let turn = Turn::read(&key, &value).ok_or_else(|| self.error("list turns", "a turn is damaged"))?;
                if memory.forgotten.covers(turn.message_id, &turn.facets) {
                    removed += 1;
                    batch.remove(&self.messages, *turn.message_id.as_bytes());
                    batch.remove(&self.texts, *turn.message_id.as_bytes());
                    batch.remove(&self.turns, key);
                }
            }
            batch.insert(&self.forgettings, name.as_slice(), self.keyspaces.to_json(&kept)?);
            if kept.sweep_from.is_some() {
                memory.unswept.insert(name, kept);
                break;
            }
            memory.unswept.remove(&name);
        }
        memory.hide_unswept();
        if removed > 0 {
            self.note_uncompacted(memory, batch);
        }
        Ok(())
    }

    /// Notes that texts which were removed or replaced may lie in files.
    fn note_uncompacted(&self, memory: &mut Memory, batch: &mut Batch) {
        if !memory.is_uncompacted {
            memory.is_uncompacted = true;
            batch.insert(&self.uncompacted, UNCOMPACTED, []);
        }
    }

    /// Whether something is left for [`Tables::apply`] to sweep, or for [`Tables::compact`].
    pub(super) fn has_more_to_sweep(&self) -> bool {
        let memory = self.memory();
        memory.is_unswept() || memory.is_uncompacted
    }

    /// Writes the files of the texts anew, without those that were removed, if all that is forgotten was. Whether it did.
    pub(super) fn compact(&self) -> Result<bool, StoreError> {
        let memory = self.memory().clone();
        if memory.is_unswept() || !memory.is_uncompacted {
            return Ok(false);
        }
        let compact = || {
            let texts: &fjall::Keyspace = self.texts.as_ref();
            texts.rotate_memtable_and_wait()?;
            texts.major_compact()
        };
        compact().map_err(|cause| self.error("compact its texts", cause))?;
        Ok(true)
    }

    /// The texts that were removed are in no file any more, but for those since [`Tables::compact`] began.
    pub(super) fn note_compacted(&self) -> Result<(), StoreError> {
        let mut batch = self.keyspaces.batch([&self.uncompacted]);
        batch.remove(&self.uncompacted, UNCOMPACTED);
        let mut shown = self.memory.write().unwrap_or_else(PoisonError::into_inner);
        self.keyspaces.commit(batch, &self.keyspaces.checkpoints()?)?;
        Arc::make_mut(&mut shown).is_uncompacted = false;
        Ok(())
    }

    fn memory(&self) -> RwLockReadGuard<'_, Arc<Memory>> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row as of a moment.
    fn get<T: for<'a> Deserialize<'a>>(
        &self,
        snapshot: &Snapshot,
        keyspace: &Keyspace,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let value = snapshot.get(keyspace, key).map_err(|cause| self.error("read a row", cause))?;
        value.map(|bytes| self.keyspaces.read_json(&bytes)).transpose()
    }

    /// One moment of all tables, with what was forgotten then.
    fn moment(&self) -> (Snapshot, Arc<Memory>) {
        let memory = self.memory();
        (self.keyspaces.snapshot(), memory.clone())
    }

    /// A message, without its text.
    pub(super) fn message(&self, id: Uuid) -> Result<Option<MessageRow>, StoreError> {
        let (snapshot, memory) = self.moment();
        let row: Option<MessageRow> = self.get(&snapshot, &self.messages, id.as_bytes())?;
        Ok(row.filter(|row| !memory.hides(id, &row.facets)))
    }

    /// A message's text.
    pub(super) fn text(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        let (snapshot, memory) = self.moment();
        // The text itself does not say whose it is.
        if memory.is_unswept() {
            let row: Option<MessageRow> = self.get(&snapshot, &self.messages, id.as_bytes())?;
            if row.is_none_or(|row| memory.hides(id, &row.facets)) {
                return Ok(None);
            }
        }
        let text = snapshot.get(&self.texts, id.as_bytes()).map_err(|cause| self.error("read a text", cause))?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A thread.
    pub(super) fn thread(&self, space: &str, thread: &str) -> Result<Option<ThreadRow>, StoreError> {
        self.get(&self.keyspaces.snapshot(), &self.threads, &keys::thread(space, thread))
    }

    /// The messages of a thread with their texts, the oldest first, from `cursor` on.
    pub(super) fn messages(
        &self,
        space: &str,
        thread: &str,
        order: Order,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<(MessageRow, String)>, StoreError> {
        let action = "list messages";
        let prefix = keys::thread(space, thread);
        let (snapshot, memory) = self.moment();
        let mut items = Vec::new();
        let mut bytes = 0;
        let cursor = cursor.filter(|cursor| cursor.starts_with(&prefix));
        let mut entries: Box<dyn Iterator<Item = Guard>> = match (order, cursor) {
            (Order::OldestFirst, from) => Box::new(snapshot.range(&self.turns, from.unwrap_or(&prefix).to_vec()..)),
            (Order::NewestFirst, Some(from)) => {
                Box::new(snapshot.range(&self.turns, prefix.clone()..=from.to_vec()).rev())
            }
            (Order::NewestFirst, None) => Box::new(snapshot.prefix(&self.turns, &prefix).rev()),
        };
        for entry in &mut entries {
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            let id = keys::message_of_turn(&key).ok_or_else(|| self.error(action, "a key is damaged"))?;
            let row: Option<MessageRow> = self.get(&snapshot, &self.messages, id.as_bytes())?;
            let row = row.ok_or_else(|| self.error(action, "a message is missing"))?;
            if memory.hides(id, &row.facets) {
                continue;
            }
            if limit.is_reached(items.len(), bytes) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            let text = snapshot.get(&self.texts, id.as_bytes()).map_err(|cause| self.error(action, cause))?;
            let text = text.ok_or_else(|| self.error(action, "a text is missing"))?;
            bytes += text.len();
            items.push((row, String::from_utf8_lossy(&text).into_owned()));
        }
        Ok(Page { items, next: None })
    }

    /// The threads of a space, the one with the newest message first, from `cursor` on.
    pub(super) fn threads(
        &self,
        space: &str,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<ThreadRow>, StoreError> {
        let action = "list threads";
        let prefix = keys::space(space);
        let snapshot = self.keyspaces.snapshot();
        let from = cursor.filter(|cursor| cursor.starts_with(&prefix)).unwrap_or(&prefix);
        let mut items = Vec::new();
        for entry in snapshot.range(&self.recent, from.to_vec()..) {
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            let name = keys::thread_of_recency(&key).ok_or_else(|| self.error(action, "a key is damaged"))?;
            let row: Option<ThreadRow> = self.get(&snapshot, &self.threads, &keys::thread(space, &name))?;
            items.push(row.ok_or_else(|| self.error(action, "a thread is missing"))?);
        }
        Ok(Page { items, next: None })
    }

    /// A digest of everything, but for the times at which messages were taken in. `fixed` is called once it is decided what is in it; `is_awaited` says that
    /// it has to end.
    pub(super) fn digest(&self, fixed: &dyn Fn(), is_awaited: impl Fn() -> bool) -> Result<Digest, StoreError> {
        let action = "compute its digest";
        let go_on = || match is_awaited() {
            true => Err(self.error(action, "it has to be opened again after a failed write; try again")),
            false => Ok(()),
        };
        let mut digest = Digest::default();
        // One moment for all keyspaces, so that a batch is in it whole or not at all.
        let (snapshot, memory) = self.moment();
        fixed();
        let mut texts = snapshot.iter(&self.texts);
        for entry in snapshot.iter(&self.messages) {
            go_on()?;
            let value = entry.value().map_err(|cause| self.error(action, cause))?;
            let mut row: MessageRow = serde_json::from_slice(&value).map_err(|cause| self.error(action, cause))?;
            // Both are in the order of the ids.
            let text = texts.next().ok_or_else(|| self.error(action, "a text is missing"))?;
            let (id, text) = text.into_inner().map_err(|cause| self.error(action, cause))?;
            if *id != *row.message_id.as_bytes() {
                return Err(self.error(action, "a message or a text is missing"));
            }
            if !memory.hides(row.message_id, &row.facets) {
                row.facets.accepted_at = 0;
                digest.add(&[b"messages", &self.keyspaces.to_json(&row)?]);
                digest.add(&[b"texts", &id, &text]);
            }
        }
        if texts.next().is_some() {
            return Err(self.error(action, "a message is missing"));
        }
        for entry in snapshot.iter(&self.turns) {
            go_on()?;
            let (key, turn) = self.turn(entry.into_inner())?;
            if !memory.hides(turn.message_id, &turn.facets) {
                digest.add(&[b"turns", &key, b""]);
            }
        }
        for (name, keyspace) in [("threads", &self.threads), ("recent", &self.recent)] {
            for entry in snapshot.iter(keyspace) {
                go_on()?;
                let (key, value) = entry.into_inner().map_err(|cause| self.error(action, cause))?;
                digest.add(&[name.as_bytes(), &key, &value]);
            }
        }
        Ok(digest)
    }

    /// A turn with its key.
    fn turn(&self, entry: fjall::Result<(Slice, Slice)>) -> Result<(Slice, Turn), StoreError> {
        let action = "read a turn";
        let (key, value) = entry.map_err(|cause| self.error(action, cause))?;
        let turn = Turn::read(&key, &value).ok_or_else(|| self.error(action, "it is damaged"))?;
        Ok((key, turn))
    }

    fn error(&self, action: &'static str, cause: impl std::fmt::Display) -> StoreError {
        self.keyspaces.error(action, cause)
    }
}
