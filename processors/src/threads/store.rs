//! The store itself: its rows, and what it is asked. What becomes of its tables when a write fails, see `database`.

use std::{collections::BTreeSet, path::Path};

use meshlog_schemas::{Checkpoints, Digest, Position};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{keys, tables::Tables};
use crate::{
    Facets, Forgetting, Micros, Order, Page, PageLimit, StoreError, database::Reopening, position::StoredPosition,
};

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
    /// The edit since which it says what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}

/// An edit of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// `edited` or `redacted`.
    pub kind: String,
    /// Who edited it.
    pub editor: String,
    /// Why, in their words.
    pub reason: String,
    /// When.
    pub at: Micros,
    /// Where the edit stands on the log; of two, the one that stands behind the other counts.
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

/// Messages and threads in a directory.
pub struct ThreadStore {
    tables: Reopening<Tables>,
}

impl ThreadStore {
    /// Opens the store in `path`, or makes a new one there.
    ///
    /// # Errors
    /// The directory cannot be used, or what is in it is damaged.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, None)
    }

    /// As [`Self::open`]; with `memory` to be filled: until [`Self::settle`] it may hold about so many bytes of rows, and queries do not
    /// see all of them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { tables: Reopening::open(path, memory)? })
    }

    /// Ends the filling: writes what is gathered. From then on each batch is written when it comes.
    ///
    /// # Errors
    /// It could not be written; [`Self::checkpoints`] then says where to go on from.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.tables.settle()
    }

    /// How far the data reflects the log.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn checkpoints(&self) -> Result<Checkpoints, StoreError> {
        self.tables.checkpoints()
    }

    /// Takes in messages with their texts and moves the checkpoints, atomically. A message that is there already is
    /// left as it is. After a failure the tables are opened again first, if there is space.
    ///
    /// # Errors
    /// The store cannot be read or written; nothing has changed then, but that it may have come back at another batch than the
    /// last, so that it is to be gone on from its checkpoints.
    pub fn apply(&self, messages: &[(MessageRow, &str)], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.apply_and_forget(messages, &[], checkpoints)
    }

    /// As [`ThreadStore::apply`], and forgets: what is covered by a forgetting, of this call or of any before, is in no answer
    /// and not taken in, whichever comes first. Its rows are removed by this and later calls, a bounded number by each, or by
    /// [`ThreadStore::sweep`].
    ///
    /// Invariant of the caller: what is said of a message is always the same, when it was taken in too.
    ///
    /// # Errors
    /// As for [`ThreadStore::apply`].
    pub fn apply_and_forget(
        &self,
        messages: &[(MessageRow, &str)],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<(), StoreError> {
        self.tables.apply(|tables| tables.apply(messages, forgettings, checkpoints))
    }

    /// Removes some of what is forgotten and still lies in the tables; after the last of it, once, the texts' files are written
    /// anew without it, which reads and writes all texts while others read and write. Whether there is more to do.
    ///
    /// # Errors
    /// The store cannot be read or written; what is forgotten stays hidden.
    pub fn sweep(&self) -> Result<bool, StoreError> {
        if self.tables.read("compact its texts", Tables::compact)? {
            self.tables.apply(Tables::note_compacted)?;
            return Ok(false);
        }
        let checkpoints = self.checkpoints()?;
        self.tables.apply(|tables| tables.apply(&[], &[], &checkpoints))?;
        self.tables.read("look for what is forgotten", |tables| Ok(tables.has_more_to_sweep()))
    }

    /// A message, without its text.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn message(&self, id: Uuid) -> Result<Option<MessageRow>, StoreError> {
        self.tables.read("read a row", |tables| tables.message(id))
    }

    /// A message's text.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn text(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        self.tables.read("read a text", |tables| tables.text(id))
    }

    /// A thread.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn thread(&self, space: &str, thread: &str) -> Result<Option<ThreadRow>, StoreError> {
        self.tables.read("read a row", |tables| tables.thread(space, thread))
    }

    /// The messages of a thread with their texts, from `cursor` on, which is one of a list in the same order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn messages(
        &self,
        space: &str,
        thread: &str,
        order: Order,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<(MessageRow, String)>, StoreError> {
        self.tables.read("list messages", |tables| tables.messages(space, thread, order, limit, cursor))
    }

    /// The threads of a space, the one with the newest message first, from `cursor` on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn threads(&self, space: &str, limit: PageLimit, cursor: Option<&[u8]>) -> Result<Page<ThreadRow>, StoreError> {
        self.tables.read("list threads", |tables| tables.threads(space, limit, cursor))
    }

    /// The cursor from which the list of a space's threads goes on with this one. Cursors order as the list does, in every
    /// store alike, so that lists of several stores can be merged.
    pub fn cursor_of(space: &str, last_at: Micros, thread: &str) -> Vec<u8> {
        keys::recency(space, last_at, thread)
    }

    /// Whether a cursor was given out by the list of this space's threads, or, with `thread`, of that thread's messages.
    pub fn is_cursor_of(space: &str, thread: Option<&str>, cursor: &[u8]) -> bool {
        let prefix = thread.map_or_else(|| keys::space(space), |thread| keys::thread(space, thread));
        cursor.len() > prefix.len() && cursor.starts_with(&prefix)
    }

    /// A digest of all messages, texts and threads, but for the times at which they were taken in.
    ///
    /// # Errors
    /// The store cannot be read, or has to be opened again after a failed write.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        self.digest_telling(&|| ())
    }

    /// As there; `fixed` is called once what is digested is fixed.
    ///
    /// # Errors
    /// As there.
    pub fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, StoreError> {
        self.tables.read("compute its digest", |tables| tables.digest(fixed, || self.tables.is_awaited()))
    }
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
            edit: None,
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
        let messages = pages(|cursor| store.messages("s", "t2", Order::OldestFirst, LIMIT, cursor).unwrap());
        let mut backwards = pages(|cursor| store.messages("s", "t2", Order::NewestFirst, LIMIT, cursor).unwrap());
        backwards.reverse();
        assert_eq!(messages, backwards);
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
    fn what_could_not_be_opened_again_says_so_and_goes_on_from_its_checkpoints_once_it_can() {
        let directory = tempdir().unwrap();
        let store = ThreadStore::open(directory.path()).unwrap();
        apply(&store, &many());
        let (digest, checkpoints) = (store.digest().unwrap(), store.checkpoints().unwrap());
        let version = directory.path().join("version");
        let sound = std::fs::read(&version).unwrap();
        let break_off = || {
            store.tables.fail();
            std::fs::write(&version, "damaged").unwrap();
            store.apply(&[], &checkpoints).unwrap_err();
            let closed = store.thread("s", "t0").unwrap_err().to_string();
            assert!(closed.contains("could not be opened again"), "{closed}");
            std::fs::write(&version, &sound).unwrap();
        };
        break_off();
        let unasked = store.apply(&[], &checkpoints).unwrap_err().to_string();
        assert!(unasked.contains("from its checkpoints"), "{unasked}");
        store.apply(&[], &checkpoints).unwrap();
        break_off();
        assert_eq!(store.checkpoints().unwrap(), checkpoints, "asking is enough");
        store.apply(&[], &checkpoints).unwrap();
        assert_eq!(store.digest().unwrap(), digest);
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
