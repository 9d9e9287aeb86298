//! The store itself: what it takes in, and what it is asked. What becomes of its tables when a write fails, see `database`.

use std::{
    ops::{Range, RangeInclusive},
    path::Path,
};

use meshlog_schemas::{Checkpoints, Digest, Position};
use uuid::Uuid;

use super::{
    choose::Budget,
    keys,
    statistics::{By, DayTally, Statistics},
    tables::Tables,
    unwritten::Unwritten,
    written::Written,
};
use crate::{Facets, Forgetting, Micros, Page, PageLimit, StoreError, database::Reopening};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a> {
    /// The message's id.
    pub message_id: Uuid,
    /// Space, thread, author, role and times.
    pub facets: Facets,
    /// Where it stands on the log.
    pub position: Position,
    /// Its text.
    pub text: &'a str,
    /// Whether it says this in place of what it said before.
    pub is_edit: bool,
}

/// A thread is put into the archive, or taken out of it. Of several, the one with the latest `at` holds; of these one that
/// archives. What is taken in later than that brings the thread back by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The space.
    pub space: String,
    /// The thread.
    pub thread: String,
    /// Whether it is put in.
    pub is_archived: bool,
    /// When that was decided.
    pub at: Micros,
}

/// What comes to the store at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct News<'a> {
    /// Messages, and edits of them.
    pub said: &'a [Said<'a>],
    /// What is forgotten.
    pub forgettings: &'a [Forgetting],
    /// Threads that go into the archive or come out of it.
    pub archived: &'a [Archived],
    /// What a model wrote.
    pub written: &'a [Written],
}

/// What says most of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// In the order of the thread.
    pub sentences: Vec<Sentence>,
    /// For how many messages it stands: all of the thread that are not forgotten.
    pub turns: u64,
    /// Where the last message of the thread stands; `None` where none has come.
    pub through: Option<Position>,
}

/// A sentence with the messages that say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Who wrote it: a model, or nobody where it was said in these words.
    pub model: Option<String>,
    /// Where a sentence that was said stands in its message, in bytes; empty for one that a model wrote.
    pub range: Range<usize>,
    /// The messages; one for a sentence that was said, and never none.
    pub sources: Vec<Source>,
}

/// A message that a sentence is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The message.
    pub message_id: Uuid,
    /// Who said it.
    pub author: String,
    /// As what.
    pub role: String,
    /// When.
    pub sent_at: Micros,
}

/// A thread, and when its last message was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadLast {
    /// The thread.
    pub thread: String,
    /// When its last message was said.
    pub last_at: Micros,
}

/// A list that is given in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List<'a> {
    /// Threads that are not in the archive.
    Quiet,
    /// Threads in the archive.
    Archived,
    /// Days of the space, or of a thread.
    Days(Option<&'a str>),
}

/// Summaries and statistics in a directory.
pub struct SummaryStore {
    tables: Reopening<Tables>,
}

impl SummaryStore {
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

    /// Takes in what came, and moves the checkpoints, atomically; but where very much is forgotten,
    /// that is done in steps before. The messages of a thread and their edits have to come in their order on the log; a message
    /// that is there already changes nothing. After a failure the tables are opened again first, if there is space.
    ///
    /// # Errors
    /// The store cannot be read or written; it is to be gone on from its checkpoints then.
    pub fn apply(&self, news: &News<'_>, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.tables.apply(|tables| tables.apply(news, checkpoints))
    }

    /// What says most of a thread, within a budget: of the stretches that a model has summed up its sentences, of the others
    /// what was said. It has greetings, questions without answers, code and logs only where nothing else was said. Empty for a
    /// thread that is not there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn summary(&self, space: &str, thread: &str, budget: Budget) -> Result<Summary, StoreError> {
        self.tables.read("summarise a thread", |tables| tables.summary(space, thread, budget))
    }

    /// A stretch that a model may be asked to sum up, with what it is to be told; mostly one of the threads with the latest turns.
    /// The last turns of a thread are due once nothing was taken in since `quiet_since`. `is_wanted` says of which spaces, `waits` what
    /// is passed over all the same, and `cursor` where it was looked last; empty at first. `None` where nothing is due among those that
    /// were looked at.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unwritten(
        &self,
        quiet_since: Micros,
        is_wanted: impl Fn(&str) -> bool,
        waits: impl Fn(&Unwritten) -> bool,
        cursor: &mut Vec<u8>,
    ) -> Result<Option<Unwritten>, StoreError> {
        self.tables.read("look for what is to be summed up", |tables| {
            tables.unwritten(quiet_since, &is_wanted, &waits, cursor)
        })
    }

    /// How much was said in a thread, but for the days; `None` where nothing is remembered of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn thread_statistics(&self, space: &str, thread: &str) -> Result<Option<Statistics>, StoreError> {
        self.tables.read("count a thread", |tables| tables.statistics(space, Some(thread)))
    }

    /// How much was said in a space, but for the days; `None` where nothing is remembered of it. Takes time in proportion to
    /// the number of its authors.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn space_statistics(&self, space: &str) -> Result<Option<Statistics>, StoreError> {
        self.tables.read("count a space", |tables| tables.statistics(space, None))
    }

    /// How much was said on the days of a range (0 is 1970-01-01, in UTC), in a space or in a thread of it, the earliest first,
    /// from `cursor` on. Days on which nothing was said are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn days(
        &self,
        space: &str,
        thread: Option<&str>,
        days: RangeInclusive<i64>,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<DayTally>, StoreError> {
        self.tables.read("list days", |tables| tables.days(space, thread, days, limit, cursor))
    }

    /// The threads outside the archive whose last message was said before a time, the quietest first, from `cursor` on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn quiet(
        &self,
        space: &str,
        before: Micros,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<ThreadLast>, StoreError> {
        self.tables.read("list quiet threads", |tables| tables.filed(space, false, Some(before), limit, cursor))
    }

    /// The threads in the archive of which anything is remembered, the quietest first, from `cursor` on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn archived(
        &self,
        space: &str,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<ThreadLast>, StoreError> {
        self.tables.read("list archived threads", |tables| tables.filed(space, true, None, limit, cursor))
    }

    /// Whether a thread is in the archive.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn is_archived(&self, space: &str, thread: &str) -> Result<bool, StoreError> {
        self.tables.read("look up a thread", |tables| Ok(tables.thread(space, thread)?.is_archived()))
    }

    /// Whether a cursor was given out by a list of this space.
    pub fn is_cursor_of(space: &str, list: List<'_>, cursor: &[u8]) -> bool {
        let prefix = match list {
            List::Quiet => keys::filed(space, false),
            List::Archived => keys::filed(space, true),
            List::Days(thread) => keys::tallies(space, thread, &By::Day(0)),
        };
        cursor.len() > prefix.len() && cursor.starts_with(&prefix)
    }

    /// The cursor from which the list of quiet or of archived threads goes on with this one. As bytes these order as the list does.
    pub fn cursor_of(space: &str, is_archived: bool, thread: &ThreadLast) -> Vec<u8> {
        keys::said(&keys::filed(space, is_archived), thread.last_at, &thread.thread)
    }

    /// A digest of everything, but for the times at which messages were taken in.
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
