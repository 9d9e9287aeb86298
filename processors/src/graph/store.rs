//! The store itself: what it is asked. What becomes of its tables when a write fails, see `database`.
//!
//! An id may be that of any name of a node, or of the node itself. Pages have cursors, which are good for the same list alone.

use std::{collections::HashMap, ops::ControlFlow, path::Path as FilePath};

use meshlog_schemas::{Checkpoints, Digest};
use uuid::Uuid;

use super::{
    change::{Change, Reading},
    ends::Tie,
    export::Exported,
    facts::{FactAnswer, FactFilter},
    insights::{self, InsightAnswer},
    keys,
    mentions::Named,
    neighbours::{Neighbour, NeighbourFilter, together_mark},
    nodes::Node,
    path::Path,
    row::{Counts, MessageRow},
    search::{Hit, SearchQuery},
    snapshot::Snapshot,
    tables::{Table, Tables},
    timeline::{Moment, TimelineQuery},
};
use crate::{Micros, Page, PageLimit, StoreError, database::Reopening};

/// What messages say, in a directory.
pub struct GraphStore {
    tables: Reopening<Tables>,
}

impl GraphStore {
    /// Opens the store in `path`, or makes a new one there.
    ///
    /// # Errors
    /// The directory cannot be used, or what is in it is damaged.
    pub fn open(path: &FilePath) -> Result<Self, StoreError> {
        Self::open_with(path, None)
    }

    /// As [`Self::open`]; with `memory` to be filled: until [`Self::settle`] it may hold about so many bytes of rows, and queries do not
    /// see all of them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &FilePath, memory: Option<usize>) -> Result<Self, StoreError> {
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

    /// Takes in changes and moves the checkpoints, atomically; a batch that comes again changes nothing. After a failure the
    /// tables are opened again first, if there is space.
    ///
    /// What forgets a thread, an author or a space takes messages out some at a time, and what stands before it in the batch
    /// is written first: until `apply` returns, readers may see a part of it.
    ///
    /// # Errors
    /// The store cannot be read or written; nothing has changed then, but for what was said above, and that it may have come
    /// back at another batch than the last, so that it is to be gone on from its checkpoints.
    pub fn apply(&self, changes: &[Change], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.tables.apply(|tables| tables.apply(changes, checkpoints))
    }

    /// Entities and concepts by the beginning of a name or of one of its words, best first: exact, whole name, word; then those
    /// mentioned most. Of the names that fit, 500 are looked at, those mentioned most first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn search(
        &self,
        query: &SearchQuery,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<Hit>, StoreError> {
        self.ask("search names", |snapshot| snapshot.search(query, limit, cursor))
    }

    /// A node: an entity, a fact or an insight.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn node(&self, space: &str, id: Uuid) -> Result<Option<Node>, StoreError> {
        self.ask("read a node", |snapshot| snapshot.node(space, id))
    }

    /// Of these ids those of entities that were named, under this name or one that it is merged with. Much cheaper than to ask for
    /// the facts of each: of a text, most stretches are no names.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn known(&self, space: &str, ids: impl Iterator<Item = Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.ask("look up names", |snapshot| snapshot.known(space, ids))
    }

    /// What a node is mentioned with and bound to by facts that hold, the heaviest first. Of an entity, the 300 names that it
    /// is mentioned with most are looked at, and the 32 newest facts about it and to it; of a fact, its ends.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn neighbours(
        &self,
        filter: &NeighbourFilter,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<Neighbour>, StoreError> {
        self.ask("list neighbours", |snapshot| snapshot.neighbours(filter, limit, cursor))
    }

    /// The messages that mention two nodes with one another, with when they were said, the oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn together(
        &self,
        space: &str,
        nodes: [Uuid; 2],
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<(Micros, Uuid)>, StoreError> {
        self.ask("list messages", |snapshot| snapshot.together(space, nodes, limit, cursor))
    }

    /// The messages of a space that name what a text names, each with how much that says: of each thing that the graph knows
    /// under a name in the text, the newest 256.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn naming(&self, space: &str, text: &str) -> Result<HashMap<Uuid, Named>, StoreError> {
        self.ask("find what a text names", |snapshot| snapshot.naming(space, text))
    }

    /// Facts, the newest said first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn facts(
        &self,
        filter: &FactFilter,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<FactAnswer>, StoreError> {
        self.ask("list facts", |snapshot| snapshot.facts(filter, limit, cursor))
    }

    /// A fact, whatever has become of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn fact(&self, space: &str, id: Uuid) -> Result<Option<FactAnswer>, StoreError> {
        self.ask("read a fact", |snapshot| snapshot.fact(space, id))
    }

    /// What a fact or an insight leads to; nothing where there is neither.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn ties(&self, space: &str, id: Uuid) -> Result<Vec<Tie>, StoreError> {
        self.ask("read what a node leads to", |snapshot| snapshot.ties(space, id))
    }

    /// The insights that name an entity, the newest first, of the newest 200 of the space.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn insights_naming(&self, space: &str, id: Uuid) -> Result<Vec<InsightAnswer>, StoreError> {
        self.ask("find insights", |snapshot| snapshot.insights_naming(space, id))
    }

    /// A shortest path between two nodes, entities, facts or insights, of at most `longest` steps and at most 6; as of a time, if one is given. It looks
    /// at no more than 1,000 edges or little more, and at 260 of a node, and says whether it left any out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn path(&self, space: &str, ends: [Uuid; 2], at: Option<Micros>, longest: usize) -> Result<Path, StoreError> {
        self.ask("find a path", |snapshot| snapshot.path(space, ends, at, longest))
    }

    /// The messages that mention an entity or state a fact of it, and the corrections that do, by time.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn timeline(
        &self,
        query: &TimelineQuery,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<Moment>, StoreError> {
        self.ask("read a timeline", |snapshot| snapshot.timeline(query, limit, cursor))
    }

    /// The insights of a space, or those for one of its threads, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn insights(
        &self,
        space: &str,
        thread: Option<&str>,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<InsightAnswer>, StoreError> {
        self.ask("list insights", |snapshot| snapshot.insights(space, thread, limit, cursor))
    }

    /// What was read in a message, by each family of extractors that found something.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of_message(&self, message_id: Uuid) -> Result<Vec<Reading>, StoreError> {
        self.ask("read a message", |snapshot| {
            let row: Option<MessageRow> = snapshot.get_json(Table::Messages, message_id.as_bytes())?;
            let readings = row.unwrap_or_default().readings.into_values();
            Ok(readings.filter(|reading| !reading.is_empty()).collect())
        })
    }

    /// How much a space has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn counts(&self, space: &str) -> Result<Counts, StoreError> {
        self.ask("count", |snapshot| Ok(snapshot.get_json(Table::Counts, &keys::space(space))?.unwrap_or_default()))
    }

    /// Gives all nodes and edges of a space as they are at one moment, until `give` breaks off. It is called by this thread;
    /// while it runs, the store cannot be opened again after a failed write, which breaks it off.
    ///
    /// # Errors
    /// The store cannot be read, or has to be opened again after a failed write.
    pub fn export(&self, space: &str, mut give: impl FnMut(Exported) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.ask("export", |snapshot| {
            snapshot.export(space, |exported| match self.tables.is_awaited() {
                true => Err(snapshot.error("it has to be opened again after a failed write; try again")),
                false => Ok(give(exported)),
            })
        })
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

    fn ask<R>(
        &self,
        action: &'static str,
        answer: impl FnOnce(&Snapshot<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.tables.read(action, |tables| answer(&tables.snapshot()))
    }
}

impl SearchQuery {
    /// Whether a cursor was given out by this list.
    pub fn is_cursor(&self, cursor: &[u8]) -> bool {
        self.mark().is_of(cursor)
    }
}

impl NeighbourFilter {
    /// Whether a cursor was given out by this list.
    pub fn is_cursor(&self, cursor: &[u8]) -> bool {
        self.mark().is_of(cursor)
    }
}

impl FactFilter {
    /// Whether a cursor was given out by this list.
    pub fn is_cursor(&self, cursor: &[u8]) -> bool {
        self.mark().is_of(cursor)
    }
}

impl TimelineQuery {
    /// Whether a cursor was given out by this list.
    pub fn is_cursor(&self, cursor: &[u8]) -> bool {
        self.mark().is_of(cursor)
    }
}

impl GraphStore {
    /// Whether a cursor was given out by a list of insights.
    pub fn is_cursor_of_insights(space: &str, thread: Option<&str>, cursor: &[u8]) -> bool {
        insights::mark(space, thread).is_of(cursor)
    }

    /// Whether a cursor was given out by a list of messages that mention both.
    pub fn is_cursor_of_together(space: &str, nodes: [Uuid; 2], cursor: &[u8]) -> bool {
        together_mark(space, nodes).is_of(cursor)
    }
}

#[cfg(test)]
impl GraphStore {
    /// As after a write that failed.
    pub(super) fn fail(&self) {
        self.tables.fail();
    }
}
