//! The store itself.
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
//! Owns: that all of it changes in one fjall batch. Commits are not fsynced: after a loss of power the whole store may
//! stand at an earlier batch, from which the log brings it forward.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use meshlog_pipeline::start_in_background;
use meshlog_schemas::{Checkpoints, Digest, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys;
use crate::{Facets, Micros, StoreError, position::StoredPosition};

/// The most authors that a thread row lists.
const LISTED_AUTHORS: usize = 64;

/// A message without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    /// The message's id.
    pub message_id: Uuid,
    /// The id it had where it came from.
    pub source_id: Option<String>,
    /// Space, thread, author, role and times.
    pub facets: Facets,
    /// Whether it is a short question and nothing else, which answers little.
    pub only_asks: bool,
    /// Where it stands on the log.
    #[serde(with = "StoredPosition")]
    pub position: Position,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadRow {
    /// The thread's id, unique within its space.
    pub thread: String,
    /// Its space.
    pub space: String,
    /// How many messages it has.
    pub messages: u64,
    /// Who wrote in it; the first 64 by name.
    pub authors: BTreeSet<String>,
    /// When its first message was said.
    pub first_at: Micros,
    /// When its last message was said.
    pub last_at: Micros,
    /// Where the message stands that was appended last.
    #[serde(with = "StoredPosition")]
    pub position: Position,
}

/// A piece of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where the next piece begins, or `None` at the end. Good for the same list alone.
    pub next: Option<Vec<u8>>,
}

/// How much a piece of a list may hold; at least one item is returned if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// The most items.
    pub items: usize,
    /// Stop once the texts have this many bytes together.
    pub bytes: usize,
}

/// Messages and threads in a directory.
pub struct ThreadStore {
    path: PathBuf,
    database: Database,
    messages: Keyspace,
    texts: Keyspace,
    turns: Keyspace,
    threads: Keyspace,
    recent: Keyspace,
    meta: Keyspace,
}

/// What one batch has changed so far and the keyspaces do not show yet.
#[derive(Default)]
struct Pending {
    messages: BTreeSet<Uuid>,
    /// Each changed thread with the recency key that it had before the batch.
    threads: HashMap<Vec<u8>, (ThreadRow, Option<Vec<u8>>)>,
}

impl ThreadStore {
    /// Opens the store in `path`, or makes a new one there.
    ///
    /// # Errors
    /// The directory cannot be used, or what is in it is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |cause: &dyn std::fmt::Display| error(path, "open", cause);
        std::fs::create_dir_all(path).map_err(|cause| failed(&cause))?;
        let builder = Database::builder(path)
            .cache_size(16 * 1024 * 1024)
            .max_journaling_size(64 * 1024 * 1024)
            .worker_threads(1);
        let database =
            start_in_background(|| builder.open()).map_err(|cause| failed(&cause))?.map_err(|cause| failed(&cause))?;
        let keyspace = |name| {
            database
                .keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(4 * 1024 * 1024))
                .map_err(|cause| failed(&cause))
        };
        Ok(Self {
            messages: keyspace("messages")?,
            texts: keyspace("texts")?,
            turns: keyspace("turns")?,
            threads: keyspace("threads")?,
            recent: keyspace("recent")?,
            meta: keyspace("meta")?,
            path: path.to_owned(),
            database,
        })
    }

    /// How far the data reflects the log.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn checkpoints(&self) -> Result<Checkpoints, StoreError> {
        let action = "read its checkpoints";
        let Some(text) = self.meta.get("checkpoints").map_err(|cause| self.error(action, cause))? else {
            return Ok(Checkpoints::default());
        };
        let checkpoints = std::str::from_utf8(&text).ok().and_then(Checkpoints::from_text);
        checkpoints.ok_or_else(|| self.error(action, "they are damaged"))
    }

    /// Takes in messages with their texts and moves the checkpoints, atomically. A message that is there already is
    /// left as it is.
    ///
    /// # Errors
    /// The store cannot be read or written; nothing has changed then.
    pub fn apply(&self, messages: &[(MessageRow, &str)], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        let mut pending = Pending::default();
        for (row, text) in messages {
            let id = row.message_id;
            let known = self.messages.contains_key(id).map_err(|cause| self.error("look up a message", cause))?;
            if known || !pending.messages.insert(id) {
                continue;
            }
            let facets = &row.facets;
            batch.insert(&self.messages, *id.as_bytes(), self.to_json(row)?);
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
            batch.insert(&self.threads, key.as_slice(), self.to_json(thread)?);
        }
        batch.insert(&self.meta, "checkpoints", checkpoints.to_text());
        batch.commit().map_err(|cause| self.error("commit", cause))
    }

    /// Folds a message into its thread's row.
    fn count_in(&self, row: &MessageRow, pending: &mut Pending) -> Result<(), StoreError> {
        let facets = &row.facets;
        let key = keys::thread(&facets.space, &facets.thread);
        if !pending.threads.contains_key(&key) {
            let stored: Option<ThreadRow> = self.get_json(&self.threads, &key)?;
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
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn message(&self, id: Uuid) -> Result<Option<MessageRow>, StoreError> {
        self.get_json(&self.messages, id.as_bytes())
    }

    /// A message's text.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn text(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        let text = self.texts.get(id.as_bytes()).map_err(|cause| self.error("read a text", cause))?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A thread.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn thread(&self, space: &str, thread: &str) -> Result<Option<ThreadRow>, StoreError> {
        self.get_json(&self.threads, &keys::thread(space, thread))
    }

    /// The messages of a thread with their texts, the oldest first, from `cursor` on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn messages(
        &self,
        space: &str,
        thread: &str,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<(MessageRow, String)>, StoreError> {
        let action = "list messages";
        let prefix = keys::thread(space, thread);
        let mut items = Vec::new();
        let mut bytes = 0;
        for entry in self.list(&self.turns, &prefix, cursor) {
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            if !items.is_empty() && (items.len() >= limit.items || bytes >= limit.bytes) {
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
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn threads(&self, space: &str, limit: PageLimit, cursor: Option<&[u8]>) -> Result<Page<ThreadRow>, StoreError> {
        let action = "list threads";
        let prefix = keys::space(space);
        let mut items = Vec::new();
        for entry in self.list(&self.recent, &prefix, cursor) {
            let key = entry.key().map_err(|cause| self.error(action, cause))?;
            if !key.starts_with(&prefix) {
                break;
            }
            if !items.is_empty() && items.len() >= limit.items {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            let name = keys::thread_of_recency(&key).ok_or_else(|| self.error(action, "a key is damaged"))?;
            items.push(self.thread(space, &name)?.ok_or_else(|| self.error(action, "a thread is missing"))?);
        }
        Ok(Page { items, next: None })
    }

    /// Whether a cursor was given out by the list of this space's threads, or, with `thread`, of that thread's messages.
    pub fn is_cursor_of(space: &str, thread: Option<&str>, cursor: &[u8]) -> bool {
        let prefix = thread.map_or_else(|| keys::space(space), |thread| keys::thread(space, thread));
        cursor.len() > prefix.len() && cursor.starts_with(&prefix)
    }

    /// A digest of all messages, texts and threads, but for the times at which they were taken in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        let mut digest = Digest::default();
        // One moment for all keyspaces, so that a batch is in it whole or not at all.
        let snapshot = self.database.snapshot();
        for entry in snapshot.iter(&self.messages) {
            let value = entry.value().map_err(|cause| self.error("compute its digest", cause))?;
            let mut row: MessageRow =
                serde_json::from_slice(&value).map_err(|cause| self.error("compute its digest", cause))?;
            row.facets.accepted_at = 0;
            digest.add(&[b"messages", &self.to_json(&row)?]);
        }
        let named =
            [("texts", &self.texts), ("turns", &self.turns), ("threads", &self.threads), ("recent", &self.recent)];
        for (name, keyspace) in named {
            for entry in snapshot.iter(keyspace) {
                let (key, value) = entry.into_inner().map_err(|cause| self.error("compute its digest", cause))?;
                digest.add(&[name.as_bytes(), &key, &value]);
            }
        }
        Ok(digest)
    }

    /// Entries of a list in order: from the cursor, which must be of this list (see [`ThreadStore::is_cursor_of`]), or
    /// from its beginning.
    fn list(&self, keyspace: &Keyspace, prefix: &[u8], cursor: Option<&[u8]>) -> fjall::Iter {
        let from = cursor.filter(|cursor| cursor.starts_with(prefix)).unwrap_or(prefix);
        keyspace.range(from.to_vec()..)
    }

    fn get_json<T: for<'a> Deserialize<'a>>(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<T>, StoreError> {
        let value = keyspace.get(key).map_err(|cause| self.error("read a row", cause))?;
        value.map(|bytes| serde_json::from_slice(&bytes).map_err(|cause| self.error("read a row", cause))).transpose()
    }

    fn to_json(&self, row: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(row).map_err(|cause| self.error("write a row", cause))
    }

    fn error(&self, action: &'static str, cause: impl std::fmt::Display) -> StoreError {
        error(&self.path, action, &cause)
    }
}

fn error(path: &Path, action: &'static str, cause: &dyn std::fmt::Display) -> StoreError {
    StoreError { store: "threads", path: path.to_owned(), action, cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};
    use tempfile::tempdir;

    use super::*;

    const LIMIT: PageLimit = PageLimit { items: 3, bytes: usize::MAX };

    fn row(number: u64, space: &str, thread: &str, author: &str, sent_at: Micros) -> MessageRow {
        MessageRow {
            message_id: Uuid::from_u128(u128::from(number)),
            source_id: Some(format!("source-{number}")),
            facets: Facets {
                space: space.into(),
                thread: thread.into(),
                author: author.into(),
                role: "user".into(),
                sent_at,
                accepted_at: 9,
            },
            only_asks: false,
            position: Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset: number },
        }
    }

    fn apply(store: &ThreadStore, rows: &[MessageRow]) {
        let texts: Vec<_> = rows.iter().map(|row| format!("text {}", row.position.offset)).collect();
        let rows: Vec<_> = rows.iter().cloned().zip(texts.iter().map(String::as_str)).collect();
        let partition = Partition { topic: Topic::Messages, id: 0 };
        let next = rows.last().map_or(0, |(row, _)| row.position.offset + 1);
        store.apply(&rows, &Checkpoints::from_iter([(partition, next)])).unwrap();
    }

    fn many() -> Vec<MessageRow> {
        (0..40)
            .map(|n| row(n, "s", &format!("t{}", n % 5), &format!("a{}", n % 3), 1_000 - 7 * (n as i64 % 11)))
            .collect()
    }

    fn pages<T>(mut page: impl FnMut(Option<&[u8]>) -> Page<T>) -> Vec<T> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let piece = page(cursor.as_deref());
            assert!(piece.items.len() <= LIMIT.items);
            items.extend(piece.items);
            match piece.next {
                Some(next) => cursor = Some(next),
                None => return items,
            }
        }
    }

    #[test]
    fn threads_are_listed_newest_first_and_messages_oldest_first() {
        let directory = tempdir().unwrap();
        let store = ThreadStore::open(directory.path()).unwrap();
        apply(&store, &many());
        let threads = pages(|cursor| store.threads("s", LIMIT, cursor).unwrap());
        assert_eq!(threads.len(), 5);
        assert!(threads.is_sorted_by_key(|thread| -thread.last_at));
        assert!(threads.iter().all(|thread| thread.messages == 8));
        let messages = pages(|cursor| store.messages("s", "t2", LIMIT, cursor).unwrap());
        assert_eq!(messages.len(), 8);
        assert!(messages.is_sorted_by_key(|(row, _)| (row.facets.sent_at, row.position.offset)));
        assert!(messages.iter().all(|(row, text)| *text == format!("text {}", row.position.offset)));
        assert!(store.threads("elsewhere", LIMIT, None).unwrap().items.is_empty());
    }

    #[test]
    fn a_message_that_comes_again_changes_nothing() {
        let directory = tempdir().unwrap();
        let store = ThreadStore::open(directory.path()).unwrap();
        apply(&store, &many());
        let before = store.digest().unwrap();
        let again: Vec<_> = many()
            .into_iter()
            .map(|row| MessageRow { position: Position { offset: 99, ..row.position }, ..row })
            .collect();
        apply(&store, &again);
        assert_eq!(store.digest().unwrap(), before);
    }

    #[test]
    fn batches_and_restarts_do_not_change_the_digest() {
        let one = tempdir().unwrap();
        let store = ThreadStore::open(one.path()).unwrap();
        apply(&store, &many());
        let other = tempdir().unwrap();
        for chunk in many().chunks(7) {
            apply(&ThreadStore::open(other.path()).unwrap(), chunk);
        }
        let reopened = ThreadStore::open(other.path()).unwrap();
        assert_eq!(reopened.digest().unwrap(), store.digest().unwrap());
        assert_eq!(reopened.checkpoints().unwrap(), store.checkpoints().unwrap());
        apply(&reopened, &[row(40, "s", "t0", "a", 5)]);
        assert_ne!(reopened.digest().unwrap(), store.digest().unwrap());
    }

    #[test]
    fn a_thread_with_a_new_message_moves_to_the_front_and_stands_there_once() {
        let directory = tempdir().unwrap();
        let store = ThreadStore::open(directory.path()).unwrap();
        apply(&store, &[row(0, "s", "old", "a", 10), row(1, "s", "new", "a", 20)]);
        apply(&store, &[row(2, "s", "old", "b", 30)]);
        let threads: Vec<_> = store.threads("s", LIMIT, None).unwrap().items;
        let names: Vec<_> = threads.iter().map(|thread| thread.thread.as_str()).collect();
        assert_eq!(names, ["old", "new"]);
        assert_eq!(threads[0].authors, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!((threads[0].first_at, threads[0].last_at), (10, 30));
    }
}
