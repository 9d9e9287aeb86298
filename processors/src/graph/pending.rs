//! What a batch changes: rows, entities and pairs as they will be, before they are written at once.
//!
//! Owns: that a row is read once and written once a batch, that what comes from counts (places in rankings, numbers of a space)
//! follows them, and that a row nothing speaks for any more goes.
//! Never: decides what a change means; `write` does.

use std::{
    collections::{HashMap, hash_map::Entry},
    mem,
};

use meshlog_schemas::Checkpoints;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    id::Place,
    keys, kind,
    links::Links,
    row::{Counts, EntityRow, LinkRow},
    tables::{Table, Tables},
};
use crate::{StoreError, knowledge::entities::EntityKind};

const ACTION: &str = "read a row";

/// A batch that is being made.
pub(super) struct Pending<'a> {
    pub(super) tables: &'a Tables,
    rows: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    entities: HashMap<Uuid, ChangedEntity>,
    pairs: HashMap<(Uuid, Uuid), ChangedPair>,
    counts: HashMap<String, Counts>,
    links: Option<Links>,
}

struct ChangedEntity {
    space: String,
    before: Option<EntityRow>,
    now: EntityRow,
}

struct ChangedPair {
    /// The ends' kinds, the smaller id's first.
    kinds: [EntityKind; 2],
    before: i64,
    now: i64,
}

impl<'a> Pending<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        let (rows, entities, pairs, counts) = Default::default();
        Self { tables, rows, entities, pairs, counts, links: None }
    }

    /// Writes everything and moves the checkpoints, atomically.
    pub(super) fn commit(mut self, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.write(checkpoints)
    }

    /// Writes everything so far and leaves the checkpoints where they are, so that a change of great effect fits in memory.
    /// After a crash the batch comes again, which changes nothing more than it alone would have.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        let checkpoints = self.tables.keyspaces().checkpoints()?;
        self.write(&checkpoints)
    }

    /// A row as it will be.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        // The key of a map with two parts cannot be borrowed; a copy is cheap beside a look into the tables.
        if let Some(row) = self.rows.get(&(table, key.to_vec())) {
            return Ok(row.clone());
        }
        let row = self.tables.table(table).get(key).map_err(|cause| self.tables.error(ACTION, cause))?;
        Ok(row.map(|bytes| bytes.to_vec()))
    }

    /// A row as it will be, of JSON.
    pub(super) fn get_json<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(table, key)?.map(|bytes| self.tables.keyspaces().read_json(&bytes)).transpose()
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert((table, key), Some(value));
    }

    pub(super) fn put_json(&mut self, table: Table, key: Vec<u8>, row: &impl Serialize) -> Result<(), StoreError> {
        let value = self.tables.keyspaces().to_json(row)?;
        self.put(table, key, value);
        Ok(())
    }

    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.rows.insert((table, key), None);
    }

    /// Puts a row where `sign` is positive, or else removes it.
    pub(super) fn count_row(&mut self, sign: i64, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert((table, key), (sign > 0).then_some(value));
    }

    /// The entity of a name, to be changed.
    pub(super) fn entity(
        &mut self,
        space: &str,
        id: Uuid,
        kind: EntityKind,
        key: &str,
    ) -> Result<&mut EntityRow, StoreError> {
        let entity = match self.entities.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let keyspaces = self.tables.keyspaces();
                let before: Option<EntityRow> =
                    keyspaces.get_json(self.tables.table(Table::Entities), &keys::in_space(space, id))?;
                let now = before.clone().unwrap_or_else(|| EntityRow::new(kind, key));
                entry.insert(ChangedEntity { space: space.to_owned(), before, now })
            }
        };
        Ok(&mut entity.now)
    }

    /// Counts a message that mentions both of a pair, or takes it back.
    pub(super) fn count_pair(&mut self, space: &str, one: &Place, other: &Place, sign: i64) -> Result<(), StoreError> {
        let (Some(one_kind), Some(other_kind)) = (one.kind, other.kind) else { return Ok(()) };
        let (smaller, greater) = if one.id < other.id { (one, other) } else { (other, one) };
        let pair = match self.pairs.entry((smaller.id, greater.id)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let key = keys::pair(one.id, other.id);
                let stored = self.tables.table(Table::Pairs).get(key);
                let stored = stored.map_err(|cause| self.tables.error(ACTION, cause))?;
                let before = stored.map_or(0, |bytes| count_of(&bytes));
                let kinds = if one.id < other.id { [one_kind, other_kind] } else { [other_kind, one_kind] };
                entry.insert(ChangedPair { kinds, before, now: before })
            }
        };
        let had = pair.now > 0;
        pair.now += sign;
        let change = i64::from(pair.now > 0) - i64::from(had);
        if change != 0 {
            for (end, kind) in [(one, one_kind), (other, other_kind)] {
                self.entity(space, end.id, kind, &end.key)?.degree += change;
            }
            self.counts(space)?.pairs += change;
        }
        Ok(())
    }

    /// The numbers of a space, to be changed.
    pub(super) fn counts(&mut self, space: &str) -> Result<&mut Counts, StoreError> {
        if !self.counts.contains_key(space) {
            let stored = self.get_json(Table::Counts, &keys::space(space))?;
            self.counts.insert(space.to_owned(), stored.unwrap_or_default());
        }
        Ok(self.counts.entry(space.to_owned()).or_default())
    }

    /// The ids at the end of the keys that begin so, as they are stored: not what is pending.
    pub(super) fn ids(&self, table: Table, prefix: &[u8]) -> impl Iterator<Item = Result<Uuid, StoreError>> + use<'a> {
        let tables = self.tables;
        tables.table(table).prefix(prefix).map(move |entry| {
            let (key, _) = entry.map_err(|cause| tables.error(ACTION, cause))?;
            keys::last_id(&key).ok_or_else(|| tables.error(ACTION, "a key is damaged"))
        })
    }

    /// Takes in the last word on a name.
    pub(super) fn link(&mut self, row: &LinkRow) {
        self.links.get_or_insert_with(|| Links::clone(&self.tables.links())).set(row);
    }

    fn write(&mut self, checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.rank_pairs();
        self.write_entities()?;
        for (space, counts) in mem::take(&mut self.counts) {
            let key = keys::space(&space);
            match counts == Counts::default() {
                true => self.remove(Table::Counts, key),
                false => self.put_json(Table::Counts, key, &counts)?,
            }
        }
        self.tables.commit(mem::take(&mut self.rows), self.links.take(), checkpoints)
    }

    /// Writes the pairs that changed, and where they stand among those of each end.
    fn rank_pairs(&mut self) {
        for ((smaller, greater), pair) in mem::take(&mut self.pairs) {
            if pair.before == pair.now {
                continue;
            }
            let key = keys::pair(smaller, greater).to_vec();
            match pair.now > 0 {
                true => self.put(Table::Pairs, key, pair.now.to_be_bytes().to_vec()),
                false => self.remove(Table::Pairs, key),
            }
            let (before, now) = (keys::rank(pair.before), keys::rank(pair.now));
            if before == now {
                continue;
            }
            let [smaller_kind, greater_kind] = pair.kinds;
            for (end, other, kind) in [(smaller, greater, greater_kind), (greater, smaller, smaller_kind)] {
                if before > 0 {
                    self.remove(Table::Ranked, keys::ranked(end, before, other));
                }
                if now > 0 {
                    self.put(Table::Ranked, keys::ranked(end, now, other), vec![kind::code(kind)]);
                }
            }
        }
    }

    /// Writes the entities that changed, and under what names they are found.
    fn write_entities(&mut self) -> Result<(), StoreError> {
        for (id, ChangedEntity { space, before, now }) in mem::take(&mut self.entities) {
            let now = Some(now).filter(|row| !row.spellings.is_empty());
            if before == now {
                continue;
            }
            let key = keys::in_space(&space, id);
            match &now {
                Some(row) => self.put_json(Table::Entities, key, row)?,
                None => self.remove(Table::Entities, key),
            }
            let tier = |row: &Option<EntityRow>| row.as_ref().map(|row| keys::tier(row.mentions));
            if tier(&before) == tier(&now) {
                continue;
            }
            for row in before.iter() {
                for name in keys::names(&space, &row.key, row.mentions, id) {
                    self.remove(Table::Names, name);
                }
            }
            for row in now.iter() {
                for name in keys::names(&space, &row.key, row.mentions, id) {
                    self.put(Table::Names, name, vec![kind::code(row.kind)]);
                }
            }
            if let (None, Some(row)) | (Some(row), None) = (&before, &now) {
                let name = row.kind.name();
                let entities = &mut self.counts(&space)?.entities;
                let count = entities.entry(name.to_owned()).or_default();
                *count += if now.is_some() { 1 } else { -1 };
                if *count == 0 {
                    entities.remove(name);
                }
            }
        }
        Ok(())
    }
}

/// The count of a pair's row.
pub(super) fn count_of(bytes: &[u8]) -> i64 {
    bytes.first_chunk().copied().map_or(0, i64::from_be_bytes)
}
