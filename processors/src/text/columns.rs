//! Columns: numbers that are kept of every message, each at the place of its document.
//!
//! Owns: reading them, for one document or for all of a segment. [`super::names`] does so for names.
//! Never: knows what a number means, which [`super::record`] does.

use std::{ops::Range, sync::Arc};

use tantivy::{
    DocId, SegmentReader,
    columnar::{Cardinality, ColumnValues},
};

use super::cause::Cause;

/// Documents whose numbers are read at once: a column's decoder is chosen once for so many.
pub(crate) const BLOCK: usize = 1_024;

/// A column with a number for every document.
pub(crate) type Column = Arc<dyn ColumnValues<u64>>;

/// Columns of one segment.
pub(crate) struct Numbers<const N: usize>([Column; N]);

/// The numbers of up to [`BLOCK`] documents, column by column.
pub(crate) struct Block<const N: usize>([Box<[u64]>; N]);

impl<const N: usize> Numbers<N> {
    pub(crate) fn open(segment: &SegmentReader, columns: &[&str; N]) -> Result<Self, Cause> {
        let columns: Result<Vec<_>, _> = columns.iter().map(|column| open(segment, column)).collect();
        Ok(Self(columns?.try_into().map_err(|_| "a segment has other columns than asked for")?))
    }

    /// The numbers of one document.
    pub(crate) fn get(&self, document: DocId) -> [u64; N] {
        self.0.each_ref().map(|column| column.get_val(document))
    }

    /// Reads the numbers of a range from [`blocks`].
    pub(crate) fn read(&self, documents: &Range<DocId>, block: &mut Block<N>) {
        for (column, numbers) in self.0.iter().zip(&mut block.0) {
            column.get_range(u64::from(documents.start), &mut numbers[..documents.len()]);
        }
    }
}

impl<const N: usize> Block<N> {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| vec![0; BLOCK].into()))
    }

    /// The numbers of the document at `place` of the range that was read last.
    pub(crate) fn get(&self, place: usize) -> [u64; N] {
        self.0.each_ref().map(|numbers| numbers[place])
    }
}

/// Opens a column without the detour that the index library takes for documents that lack a number or have several.
pub(crate) fn open(segment: &SegmentReader, name: &str) -> Result<Column, Cause> {
    let column = segment.fast_fields().u64(name)?;
    if column.get_cardinality() != Cardinality::Full {
        return Err(Cause(format!("not every document has one {name}")));
    }
    Ok(column.values)
}

/// A segment's documents, those that were deleted included, in ranges of up to [`BLOCK`].
pub(crate) fn blocks(segment: &SegmentReader) -> impl Iterator<Item = Range<DocId>> {
    let end = segment.max_doc();
    (0..end).step_by(BLOCK).map(move |start| start..end.min(start + BLOCK as DocId))
}
