//! The tables of the store.
//!
//! ```text
//! messages   message id                                        -> MessageRow as JSON, without the text
//! texts      message id                                        -> the text
//! turns      space | thread | sent_at | offset | message id    -> nothing
//! threads    space | thread                                    -> ThreadRow as JSON
//! recent     space | newest first | thread                     -> nothing
//! meta       "checkpoints"                                     -> Checkpoints as text
//! ```
//!
//! Owns: that all of it changes in one fjall batch.
//! Never: outlives a failed write; they are opened again then (see `database`).

use std::{
    collections::{BTreeSet, HashMap},
    io,
    path::Path,
};

use fjall::{Keyspace, Readable};
use meshlog_schemas::{Checkpoints, Digest};
use uuid::Uuid;

use super::{
    keys,
    store::{MessageRow, ThreadRow},
};
use crate::{
    Order, Page, PageLimit, StoreError,
    database::{self, Keyspaces},
};

/// The most authors that a thread row lists.
const LISTED_AUTHORS: usize = 64;

/// An open database with its keyspaces.
pub(super) struct Tables {
    keyspaces: Keyspaces,
    messages: Keyspace,
    texts: Keyspace,
    turns: Keyspace,
    threads: Keyspace,
    recent: Keyspace,
}

/// What one batch has changed so far and the keyspaces do not show yet.
#[derive(Default)]
struct Pending {
    messages: BTreeSet<Uuid>,
    /// Each changed thread with the recency key that it had before the batch.
    threads: HashMap<Vec<u8>, (ThreadRow, Option<Vec<u8>>)>,
}

impl database::Tables for Tables {
    const STORE: &'static str = "threads";

    fn open(path: &Path) -> io::Result<Self> {
        let keyspaces = Keyspaces::open(Self::STORE, path)?;
        Ok(Self {
            messages: keyspaces.keyspace("messages")?,
            texts: keyspaces.keyspace("texts")?,
            turns: keyspaces.keyspace("turns")?,
            threads: keyspaces.keyspace("threads")?,
            recent: keyspaces.keyspace("recent")?,
            keyspaces,
        })
    }

    fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }
}

impl Tables {
    /// Takes in messages with their texts and moves the checkpoints, atomically. A message that is there already is
    /// left as it is.
    pub(super) fn apply(&self, messages: &[(MessageRow, &str)], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        let Self { messages: rows, texts, turns, threads, recent, .. } = self;
        let mut batch = self.keyspaces.batch([rows, texts, turns, threads, recent]);
        let mut pending = Pending::default();
        for (row, text) in messages {
            let id = row.message_id;
            let known = self.messages.contains_key(id).map_err(|cause| self.error("look up a message", cause))?;
            if known || !pending.messages.insert(id) {
                continue;
            }
            let facets = &row.facets;
            batch.insert(&self.messages, *id.as_bytes(), self.keyspaces.to_json(row)?);
            batch.insert(&self.texts, *id.as_bytes(), *text);
            let turn = keys::turn(&facets.space, &facets.thread, facets.sent_at, row.position.offset, id);
            batch.insert(&self.turns, turn, []);
            self.count_in(row, &mut pending)?;
        }
        for (key, (thread, old_recency)) in &pending.threads {
            let recency = keys::recency(&thread.space, thread.last_at, &thread.thread);
            if let Some(old) = old_recency.as_ref().filter(|old| **old != recency) {
                batch.remove(&self.recent, old.as_slice());
            }
            batch.insert(&self.recent, recency, []);
            batch.insert(&self.threads, key.as_slice(), self.keyspaces.to_json(thread)?);
        }
        self.keyspaces.commit(batch, checkpoints)
    }

    /// Folds a message into its thread's row.
    fn count_in(&self, row: &MessageRow, pending: &mut Pending) -> Result<(), StoreError> {
        let facets = &row.facets;
        let key = keys::thread(&facets.space, &facets.thread);
        if !pending.threads.contains_key(&key) {
            let stored: Option<ThreadRow> = self.keyspaces.get_json(&self.threads, &key)?;
            let recency = stored.as_ref().map(|row| keys::recency(&row.space, row.last_at, &row.thread));
            let thread = stored.unwrap_or_else(|| ThreadRow {
                thread: facets.thread.clone(),
                space: facets.space.clone(),
                messages: 0,
                authors: BTreeSet::new(),
                first_at: facets.sent_at,
                last_at: facets.sent_at,
                position: row.position,
            });
            pending.threads.insert(key.clone(), (thread, recency));
        }
        if let Some((thread, _)) = pending.threads.get_mut(&key) {
            thread.messages += 1;
            thread.authors.insert(facets.author.clone());
            if thread.authors.len() > LISTED_AUTHORS {
                // The last by name goes, so which 64 are listed does not depend on the order of messages.
                thread.authors.pop_last();
            }
            thread.first_at = thread.first_at.min(facets.sent_at);
            thread.last_at = thread.last_at.max(facets.sent_at);
            thread.position = thread.position.max(row.position);
        }
        Ok(())
    }

    /// A message, without its text.
    pub(super) fn message(&self, id: Uuid) -> Result<Option<MessageRow>, StoreError> {
        self.keyspaces.get_json(&self.messages, id.as_bytes())
    }

    /// A message's text.
    pub(super) fn text(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        let text = self.texts.get(id.as_bytes()).map_err(|cause| self.error("read a text", cause))?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A thread.
    pub(super) fn thread(&self, space: &str, thread: &str) -> Result<Option<ThreadRow>, StoreError> {
        self.keyspaces.get_json(&self.threads, &keys::thread(space, thread))
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
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut entries: Box<dyn Iterator<Item = fjall::Guard>> = match order {
            Order::OldestFirst => Box::new(self.list(&self.turns, &prefix, cursor)),
            Order::NewestFirst => Box::new(match cursor.filter(|cursor| cursor.starts_with(&prefix)) {
                Some(cursor) => self.turns.range(prefix.clone()..=cursor.to_vec()).rev(),
                None => self.turns.prefix(&prefix).rev(),
            }),
        };
        for entry in &mut entries {
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            if limit.is_reached(items.len(), bytes) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            let id = keys::message_of_turn(&key).ok_or_else(|| self.error(action, "a key is damaged"))?;
            let row = self.message(id)?.ok_or_else(|| self.error(action, "a message is missing"))?;
            let text = self.text(id)?.ok_or_else(|| self.error(action, "a text is missing"))?;
            bytes += text.len();
            items.push((row, text));
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
        let mut items = Vec::new();
        for entry in self.list(&self.recent, &prefix, cursor) {
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            let name = keys::thread_of_recency(&key).ok_or_else(|| self.error(action, "a key is damaged"))?;
            items.push(self.thread(space, &name)?.ok_or_else(|| self.error(action, "a thread is missing"))?);
        }
        Ok(Page { items, next: None })
    }

    /// A digest of everything, but for the times at which messages were taken in. `is_awaited` says that it has to end.
    pub(super) fn digest(&self, is_awaited: impl Fn() -> bool) -> Result<Digest, StoreError> {
        let action = "compute its digest";
        let go_on = || match is_awaited() {
            true => Err(self.error(action, "it has to be opened again after a failed write; try again")),
            false => Ok(()),
        };
        let mut digest = Digest::default();
        // One moment for all keyspaces, so that a batch is in it whole or not at all.
        let snapshot = self.keyspaces.snapshot();
        for entry in snapshot.iter(&self.messages) {
            go_on()?;
            let value = entry.value().map_err(|cause| self.error(action, cause))?;
            let mut row: MessageRow = serde_json::from_slice(&value).map_err(|cause| self.error(action, cause))?;
            row.facets.accepted_at = 0;
            digest.add(&[b"messages", &self.keyspaces.to_json(&row)?]);
        }
        let named =
            [("texts", &self.texts), ("turns", &self.turns), ("threads", &self.threads), ("recent", &self.recent)];
        for (name, keyspace) in named {
            for entry in snapshot.iter(keyspace) {
                go_on()?;
                let (key, value) = entry.into_inner().map_err(|cause| self.error(action, cause))?;
                digest.add(&[name.as_bytes(), &key, &value]);
            }
        }
        Ok(digest)
    }

    /// Entries of a list in order: from the cursor, which must be of this list (see `ThreadStore::is_cursor_of`), or
    /// from its beginning.
    fn list(&self, keyspace: &Keyspace, prefix: &[u8], cursor: Option<&[u8]>) -> fjall::Iter {
        let from = cursor.filter(|cursor| cursor.starts_with(prefix)).unwrap_or(prefix);
        keyspace.range(from.to_vec()..)
    }

    fn error(&self, action: &'static str, cause: impl std::fmt::Display) -> StoreError {
        self.keyspaces.error(action, cause)
    }
}
