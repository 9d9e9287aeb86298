//! The tables of the store.
//!
//! ```text
//! calls      call id                                                 -> CallRow as JSON
//! recent     space | newest first | call id                          -> nothing
//! of_thread  space | thread | newest first | call id                 -> the call's state
//! of_state   space | state | newest first | call id                  -> nothing
//! usage      day | space | provider | model | key label | kind       -> Tally as JSON
//! meta       "checkpoints"                                           -> Checkpoints as text
//! ```
//!
//! Owns: that all of it changes in one fjall batch, so that a call that has ended is counted, and counted once.
//! Never: outlives a failed write; they are opened again then (see `database`).

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    ops::Bound,
    path::Path,
};

use fjall::Readable;
use meshlog_schemas::{Checkpoints, Digest};
use uuid::Uuid;

use super::{
    keys::{self, List},
    row::{CallChange, CallRow},
    store::CallSelection,
    usage::{Summary, Tally, Usage, UsageQuery},
};
use crate::{
    Page, PageLimit, StoreError,
    database::{self, Batch, Keyspace, Keyspaces, SMALL_CACHE},
};

/// An open database with its keyspaces.
pub(super) struct Tables {
    keyspaces: Keyspaces,
    calls: Keyspace,
    recent: Keyspace,
    of_thread: Keyspace,
    of_state: Keyspace,
    usage: Keyspace,
}

/// What one batch has changed so far and the keyspaces do not show yet.
#[derive(Default)]
struct Pending {
    /// Each changed call, with where it stood in the lists before the batch.
    calls: HashMap<Uuid, (CallRow, Places)>,
    usage: HashMap<Vec<u8>, Tally>,
}

/// Where a call stands in the lists: key and value for each of [`List::ALL`].
type Places = [Option<(Vec<u8>, Vec<u8>)>; 3];

impl database::Tables for Tables {
    const STORE: &'static str = "calls";

    fn open(path: &Path, gather: Option<usize>) -> io::Result<Self> {
        let keyspaces = Keyspaces::open(Self::STORE, path, SMALL_CACHE, gather)?;
        Ok(Self {
            calls: keyspaces.keyspace("calls")?,
            recent: keyspaces.keyspace("recent")?,
            of_thread: keyspaces.keyspace("of_thread")?,
            of_state: keyspaces.keyspace("of_state")?,
            usage: keyspaces.keyspace("usage")?,
            keyspaces,
        })
    }

    fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }
}

impl Tables {
    /// Takes in changes and moves the checkpoints, atomically.
    pub(super) fn apply(&self, changes: &[CallChange], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        let Self { calls, recent, of_thread, of_state, usage, .. } = self;
        let mut batch = self.keyspaces.batch([calls, recent, of_thread, of_state, usage]);
        let mut pending = Pending::default();
        for change in changes {
            self.fold(change, &mut pending)?;
        }
        for (id, (call, before)) in &pending.calls {
            batch.insert(calls, *id.as_bytes(), self.keyspaces.to_json(call)?);
            self.place(call, before, &mut batch);
        }
        for (key, tally) in &pending.usage {
            batch.insert(usage, key.as_slice(), self.keyspaces.to_json(tally)?);
        }
        self.keyspaces.commit(batch, checkpoints)
    }

    /// Folds a change into its call's row, and counts the call if it ends it.
    fn fold(&self, change: &CallChange, pending: &mut Pending) -> Result<(), StoreError> {
        let (call, _) = match pending.calls.entry(change.call_id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let stored = self.call(change.call_id)?;
                let before = stored.as_ref().map(places).unwrap_or_default();
                entry.insert((stored.unwrap_or_else(|| CallRow::begun(change)), before))
            }
        };
        let Some((bucket, used)) = call.fold(change) else { return Ok(()) };
        let key = keys::bucket(&bucket);
        let tally = match pending.usage.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let stored = self.keyspaces.get_json(&self.usage, entry.key())?;
                entry.insert(stored.unwrap_or_default())
            }
        };
        tally.add(&used);
        Ok(())
    }

    /// Moves a call to where it belongs in the lists.
    fn place(&self, call: &CallRow, before: &Places, batch: &mut Batch) {
        for ((list, before), after) in List::ALL.into_iter().zip(before).zip(places(call)) {
            if *before == after {
                continue;
            }
            let keyspace = self.list(list);
            // Never both of one key in a batch: which of them holds then is not said.
            if let Some((old, _)) = before.as_ref().filter(|(old, _)| after.as_ref().is_none_or(|(new, _)| old != new))
            {
                batch.remove(keyspace, old.as_slice());
            }
            if let Some((key, value)) = after {
                batch.insert(keyspace, key, value);
            }
        }
    }

    /// A call.
    pub(super) fn call(&self, id: Uuid) -> Result<Option<CallRow>, StoreError> {
        self.keyspaces.get_json(&self.calls, id.as_bytes())
    }

    /// Calls, the newest first, from `cursor` on.
    pub(super) fn calls(
        &self,
        selection: &CallSelection,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<CallRow>, StoreError> {
        let action = "list calls";
        let (list, names) = List::of(selection);
        // Of the list of a thread, some are in another state than is asked for.
        let state = selection.state.as_ref().filter(|_| list == List::OfThread);
        let from = cursor.filter(|cursor| cursor.starts_with(&names)).unwrap_or(&names);
        // One moment for list and rows: a call that ends meanwhile stands in another list.
        let snapshot = self.keyspaces.snapshot();
        let (mut items, mut bytes) = (Vec::new(), 0);
        for entry in snapshot.range(self.list(list), from.to_vec()..) {
            let (key, value) = entry.into_inner().map_err(|cause| self.keyspaces.error(action, cause))?;
            if !key.starts_with(&names) {
                break;
            }
            if state.is_some_and(|state| state.as_bytes() != &*value) {
                continue;
            }
            if limit.is_reached(items.len(), bytes) {
                return Ok(Page { items, next: Some(key.to_vec()) });
            }
            let damaged = |cause| self.keyspaces.error(action, cause);
            let id = keys::call_of(&key).ok_or_else(|| damaged("a key is damaged"))?;
            let row = snapshot.get(&self.calls, id.as_bytes()).map_err(|cause| self.keyspaces.error(action, cause))?;
            let row = row.ok_or_else(|| damaged("a call is missing"))?;
            bytes += row.len();
            items.push(self.keyspaces.read_json(&row)?);
        }
        Ok(Page { items, next: None })
    }

    /// What calls used; `None` if that were more groups than `most_groups`.
    pub(super) fn usage(&self, query: &UsageQuery, most_groups: usize) -> Result<Option<Usage>, StoreError> {
        let action = "sum up usage";
        let from = query.from_day.map_or(Bound::Unbounded, |day| Bound::Included(keys::day(day)));
        let after = query.to_day.and_then(|day| day.checked_add(1));
        let until = after.map_or(Bound::Unbounded, |day| Bound::Excluded(keys::day(day)));
        let mut summary = Summary::new(query);
        if query.from_day.zip(query.to_day).is_some_and(|(from, to)| from > to) {
            return Ok(Some(summary.finish()));
        }
        for entry in self.keyspaces.snapshot().range(&self.usage, (from, until)) {
            let (key, value) = entry.into_inner().map_err(|cause| self.keyspaces.error(action, cause))?;
            let bucket = keys::bucket_of(&key).ok_or_else(|| self.keyspaces.error(action, "a key is damaged"))?;
            if summary.add(&bucket, &self.keyspaces.read_json(&value)?) > most_groups {
                return Ok(None);
            }
        }
        Ok(Some(summary.finish()))
    }

    /// A digest of everything. `fixed` is called once it is decided what is in it; `is_awaited` says that
    /// it has to end.
    pub(super) fn digest(&self, fixed: &dyn Fn(), is_awaited: impl Fn() -> bool) -> Result<Digest, StoreError> {
        let action = "compute its digest";
        let mut digest = Digest::default();
        let Self { calls, recent, of_thread, of_state, usage, .. } = self;
        let named =
            [("calls", calls), ("recent", recent), ("of_thread", of_thread), ("of_state", of_state), ("usage", usage)];
        let snapshot = self.keyspaces.snapshot();
        fixed();
        for (name, keyspace) in named {
            for entry in snapshot.iter(keyspace) {
                if is_awaited() {
                    let cause = "it has to be opened again after a failed write; try again";
                    return Err(self.keyspaces.error(action, cause));
                }
                let (key, value) = entry.into_inner().map_err(|cause| self.keyspaces.error(action, cause))?;
                digest.add(&[name.as_bytes(), &key, &value]);
            }
        }
        Ok(digest)
    }

    fn list(&self, list: List) -> &Keyspace {
        match list {
            List::Recent => &self.recent,
            List::OfThread => &self.of_thread,
            List::OfState => &self.of_state,
        }
    }
}

fn places(call: &CallRow) -> Places {
    List::ALL.map(|list| {
        let value = if list == List::OfThread { call.state.clone().into_bytes() } else { Vec::new() };
        list.key(call).map(|key| (key, value))
    })
}
