//! The tables of the store.
//!
//! ```text
//! messages   message id                                     -> the key of its turn, kept when the message is forgotten
//! turns      space | thread | number                        -> Turn as JSON
//! times      space | thread | sent_at | number              -> nothing
//! blocks     space | thread | level | number                -> BlockRow of a finished block as JSON, if anything of it is remembered
//! written    space | thread | level | number | what it was made of -> WrittenRow as JSON; nothing once it is dead
//! unwritten  space | thread | level | number                -> nothing; blocks that a model may be asked to sum up
//! threads    space | thread                                 -> ThreadRow as JSON
//! last       space | archived? | last said | thread         -> nothing
//! first      space | first said | thread                    -> nothing
//! tallies    space | thread? | all, role, author or day     -> Tally as JSON, if it is not zero
//! writers    space | author | thread                        -> nothing
//! forgotten  space and scope as JSON                        -> until, as JSON
//! meta       "checkpoints"                                  -> Checkpoints as text
//! ```
//!
//! Owns: that all of it changes in one fjall batch.
//! Never: outlives a failed write; they are opened again then (see `database`).

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use fjall::Readable;
use meshlog_schemas::{Checkpoints, Digest};

use super::{
    changes::{Changes, Sweep},
    keys,
    row::{ThreadRow, Turn},
    store::News,
};
use crate::{
    Forgetting, Forgotten, Micros, Scope, StoreError,
    database::{self, Batch, Keyspace, Keyspaces, SMALL_CACHE},
};

/// How many messages one batch forgets at the most, so that it takes bounded memory to forget a space.
const FORGOTTEN_AT_ONCE: usize = if cfg!(test) { 5 } else { 20_000 };

/// An open database with its keyspaces.
pub(super) struct Tables {
    pub(super) keyspaces: Keyspaces,
    pub(super) messages: Keyspace,
    pub(super) turns: Keyspace,
    pub(super) times: Keyspace,
    pub(super) blocks: Keyspace,
    pub(super) written: Keyspace,
    pub(super) unwritten: Keyspace,
    pub(super) threads: Keyspace,
    pub(super) last: Keyspace,
    pub(super) first: Keyspace,
    pub(super) tallies: Keyspace,
    pub(super) writers: Keyspace,
    forgotten: Keyspace,
    /// What `forgotten` says. Only the one who writes looks at it.
    all_forgotten: Mutex<Forgotten>,
}

impl database::Tables for Tables {
    const STORE: &'static str = "summaries";

    fn open(path: &Path, gather: Option<usize>) -> io::Result<Self> {
        let keyspaces = Keyspaces::open(Self::STORE, path, SMALL_CACHE, gather)?;
        let forgotten = keyspaces.keyspace("forgotten")?;
        Ok(Self {
            messages: keyspaces.keyspace("messages")?,
            turns: keyspaces.keyspace("turns")?,
            times: keyspaces.keyspace("times")?,
            blocks: keyspaces.keyspace("blocks")?,
            written: keyspaces.keyspace("written")?,
            unwritten: keyspaces.keyspace("unwritten")?,
            threads: keyspaces.keyspace("threads")?,
            last: keyspaces.keyspace("last")?,
            first: keyspaces.keyspace("first")?,
            tallies: keyspaces.keyspace("tallies")?,
            writers: keyspaces.keyspace("writers")?,
            all_forgotten: Mutex::new(load(&forgotten)?),
            forgotten,
            keyspaces,
        })
    }

    fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }
}

impl Tables {
    /// Takes in what was said, forgotten, archived and written, and moves the checkpoints.
    ///
    /// Where much is forgotten, that is committed in steps before the rest and before the checkpoints; after a crash the
    /// same forgetting comes again, and the steps that are left are done.
    pub(super) fn apply(&self, news: &News<'_>, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        let News { said, forgettings, archived, written } = news;
        let mut forgotten = self.all_forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = Changes::new(self);
        // First what is forgotten, then what was said: so none of the former has to be looked for in the latter.
        for forgetting in *forgettings {
            forgotten.add(forgetting);
            let mut sweep = Sweep::default();
            while !changes.forget(forgetting, FORGOTTEN_AT_ONCE, &mut sweep)? {
                let mut batch = self.batch();
                changes.write(&mut batch)?;
                self.keyspaces.commit(batch, &self.keyspaces.checkpoints()?)?;
                changes = Changes::new(self);
            }
        }
        for message in *said {
            changes.say(message, forgotten.covers(message.message_id, &message.facets))?;
        }
        for archived in *archived {
            changes.archive(archived)?;
        }
        for written in *written {
            changes.take_written(written)?;
        }
        let mut batch = self.batch();
        changes.write(&mut batch)?;
        for (key, until) in self.rows_of(forgettings)? {
            batch.insert(&self.forgotten, key, self.keyspaces.to_json(&until)?);
        }
        self.keyspaces.commit(batch, checkpoints)
    }

    /// A digest of everything, but for the times at which messages were taken in. `fixed` is called once it is decided what is in it; `is_awaited` says that
    /// it has to end.
    pub(super) fn digest(&self, fixed: &dyn Fn(), is_awaited: impl Fn() -> bool) -> Result<Digest, StoreError> {
        let action = "compute its digest";
        let named = [
            ("messages", &self.messages),
            ("turns", &self.turns),
            ("times", &self.times),
            ("blocks", &self.blocks),
            ("written", &self.written),
            ("unwritten", &self.unwritten),
            ("threads", &self.threads),
            ("last", &self.last),
            ("first", &self.first),
            ("tallies", &self.tallies),
            ("writers", &self.writers),
            ("forgotten", &self.forgotten),
        ];
        let mut digest = Digest::default();
        // One moment for all keyspaces, so that a batch is in it whole or not at all.
        let snapshot = self.keyspaces.snapshot();
        fixed();
        for (name, keyspace) in named {
            for entry in snapshot.iter(keyspace) {
                if is_awaited() {
                    return Err(self.error(action, "it has to be opened again after a failed write; try again"));
                }
                let (key, value) = entry.into_inner().map_err(|cause| self.error(action, cause))?;
                let value = match name {
                    "turns" => {
                        let turn: Turn = self.keyspaces.read_json(&value)?;
                        self.keyspaces.to_json(&Turn { accepted_at: 0, ..turn })?
                    }
                    "threads" => {
                        let row: ThreadRow = self.keyspaces.read_json(&value)?;
                        self.keyspaces.to_json(&ThreadRow { taken_in_at: None, ..row })?
                    }
                    _ => value.to_vec(),
                };
                digest.add(&[name.as_bytes(), &key, &value]);
            }
        }
        Ok(digest)
    }

    pub(super) fn error(&self, action: &'static str, cause: impl std::fmt::Display) -> StoreError {
        self.keyspaces.error(action, cause)
    }

    /// The error that a key is not as it was written.
    pub(super) fn damaged(&self, action: &'static str) -> StoreError {
        self.error(action, "a key is damaged")
    }

    /// A thread's row; that of a thread of which nothing is known, if it has none.
    pub(super) fn thread(&self, space: &str, thread: &str) -> Result<ThreadRow, StoreError> {
        let row = self.keyspaces.get_json(&self.threads, &keys::thread(space, thread))?;
        Ok(row.unwrap_or_default())
    }

    fn batch(&self) -> Batch {
        let Self { messages, turns, times, blocks, written, unwritten, threads, .. } = self;
        let Self { last, first, tallies, writers, forgotten, .. } = self;
        let threads = [messages, turns, times, blocks, written, unwritten, threads];
        self.keyspaces.batch(threads.into_iter().chain([last, first, tallies, writers, forgotten]))
    }

    /// The rows of what is forgotten, each with the later time of what is stored and what comes.
    fn rows_of(&self, forgettings: &[Forgetting]) -> Result<BTreeMap<Vec<u8>, Micros>, StoreError> {
        let mut rows = BTreeMap::new();
        for Forgetting { space, scope, until } in forgettings {
            let key = self.keyspaces.to_json(&(space, scope))?;
            let stored: Option<Micros> = self.keyspaces.get_json(&self.forgotten, &key)?;
            let row = rows.entry(key).or_insert(stored.unwrap_or(*until));
            *row = (*row).max(*until);
        }
        Ok(rows)
    }
}

fn load(keyspace: &Keyspace) -> io::Result<Forgotten> {
    let mut forgotten = Forgotten::default();
    for entry in keyspace.range(..) {
        let (key, value) = entry.map_err(meshlog_pipeline::fjall_io_error)?;
        let (space, scope): (String, Scope) = serde_json::from_slice(&key)?;
        forgotten.add(&Forgetting { space, scope, until: serde_json::from_slice(&value)? });
    }
    Ok(forgotten)
}
