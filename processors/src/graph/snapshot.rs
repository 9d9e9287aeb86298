//! A snapshot: one moment of all tables and merges, in which a question is answered.

use std::{ops::Bound, sync::Arc};

use fjall::{Readable, Slice};
use serde::de::DeserializeOwned;

use super::{
    links::Links,
    tables::{Table, Tables},
};
use crate::StoreError;

/// One moment of the store.
pub(super) struct Snapshot<'a> {
    pub(super) tables: &'a Tables,
    pub(super) snapshot: fjall::Snapshot,
    pub(super) links: Arc<Links>,
}

/// A key with its value.
pub(super) type Row = (Slice, Slice);

impl<'t> Snapshot<'t> {
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.snapshot.get(self.tables.table(table), key).map_err(|cause| self.error(cause))
    }

    pub(super) fn get_json<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(table, key)?.map(|bytes| self.tables.keyspaces().read_json(&bytes)).transpose()
    }

    /// The rows whose keys begin so.
    pub(super) fn rows<'s>(
        &'s self,
        table: Table,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<Row, StoreError>> + use<'s, 't> {
        let entries = self.snapshot.prefix(self.tables.table(table), prefix);
        entries.map(|entry| entry.into_inner().map_err(|cause| self.error(cause)))
    }

    /// The rows of a list, from a place on.
    pub(super) fn rows_from<'s>(
        &'s self,
        table: Table,
        prefix: &[u8],
        place: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'s, 't> {
        let from = [prefix, place].concat();
        self.between(table, prefix, (Bound::Included(from), Bound::Unbounded))
    }

    /// The rows of a list from its end, those behind a place left out.
    pub(super) fn rows_up_to<'s>(
        &'s self,
        table: Table,
        prefix: &[u8],
        place: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'s, 't> {
        let to = [prefix, place].concat();
        let from = Bound::Included(prefix.to_vec());
        let entries = self.snapshot.range(self.tables.table(table), (from, Bound::Included(to)));
        entries.rev().map(|entry| entry.into_inner().map_err(|cause| self.error(cause)))
    }

    fn between<'s>(
        &'s self,
        table: Table,
        prefix: &[u8],
        range: (Bound<Vec<u8>>, Bound<Vec<u8>>),
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<'s, 't> {
        let prefix = prefix.to_vec();
        let entries = self.snapshot.range(self.tables.table(table), range);
        let rows = entries.map(|entry| entry.into_inner().map_err(|cause| self.error(cause)));
        rows.take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
    }

    pub(super) fn error(&self, cause: impl std::fmt::Display) -> StoreError {
        self.tables.error("answer", cause)
    }

    pub(super) fn damaged(&self) -> StoreError {
        self.error("a row is damaged or missing")
    }
}
