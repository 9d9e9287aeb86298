//! The index: arroy's forest of trees over the items of a large store.
//!
//! Owns: when the trees are built, and what they propose for a query.
//! Promises: the same items in the same order give the same trees, since the seed is fixed.
//! Never: scores a message. What the trees propose is scored exactly from the stored vector (see [`search`](super::search)).

use std::{num::NonZeroUsize, path::Path};

use arroy::{Reader, Writer, distances::Cosine};
use heed::{RoTxn, RwTxn};
use rand::{SeedableRng, rngs::StdRng};
use roaring::RoaringBitmap;

use super::{
    VectorOptions,
    cause::Cause,
    tables::{Numbering, Tables},
};

/// arroy can keep several forests in one database; this is ours.
const FOREST: u16 = 0;

/// Seed of every build.
const SEED: u64 = 0x6d65_7368_6c6f_6721;

/// Items copied at a time from the store to the index, which cannot be read and written at once.
const COPIED_ITEMS: usize = 1_024;

/// Whether so much has changed since the last build that the index should be built again: what is new, and what it still
/// holds of messages that changed or are forgotten.
pub(super) fn is_due(numbering: &Numbering, items: u64, options: &VectorOptions) -> bool {
    let changed = u64::from(numbering.next - numbering.indexed) + numbering.retired.len();
    let proportional = u64::from(numbering.indexed) * options.tail_percent / 100;
    items > options.exact_limit && changed > options.least_tail.max(proportional)
}

/// Brings the index up to date with the items. arroy keeps its temporary files in `directory`.
///
/// arroy refuses to read a forest that has changed since it was built, so changes and build share one transaction.
pub(super) fn build(
    tables: &Tables,
    transaction: &mut RwTxn,
    numbering: &mut Numbering,
    options: &VectorOptions,
    directory: &Path,
) -> Result<(), Cause> {
    let mut writer = Writer::<Cosine>::new(tables.index, FOREST, tables.dimensions);
    writer.set_tmpdir(directory);
    for number in &numbering.retired {
        writer.del_item(transaction, number)?;
    }
    copy_tail(tables, transaction, &writer, numbering)?;
    writer
        .builder(&mut StdRng::seed_from_u64(SEED))
        .n_trees(options.trees)
        .available_memory(options.build_memory)
        .build(transaction)?;
    numbering.retired.clear();
    numbering.indexed = numbering.next;
    Ok(())
}

/// Removes the index of a store that forgot so much that it is searched exactly again: nothing else would ever remove from
/// it what is forgotten.
pub(super) fn remove(tables: &Tables, transaction: &mut RwTxn, numbering: &mut Numbering) -> Result<(), Cause> {
    Writer::<Cosine>::new(tables.index, FOREST, tables.dimensions).clear(transaction)?;
    numbering.retired.clear();
    numbering.indexed = 0;
    Ok(())
}

fn copy_tail(
    tables: &Tables,
    transaction: &mut RwTxn,
    writer: &Writer<Cosine>,
    numbering: &Numbering,
) -> Result<(), Cause> {
    let mut from = Some(numbering.indexed);
    while let Some(first) = from {
        let mut copied = Vec::with_capacity(COPIED_ITEMS);
        for entry in tables.items.range(transaction, &(first..))?.take(COPIED_ITEMS) {
            let (number, _) = entry?;
            copied.push((number, tables.vector(transaction, number)?.to_vec()));
        }
        for (number, vector) in copied.iter().filter(|(number, _)| !numbering.forgotten.contains(*number)) {
            // Numbers only grow, so each is larger than any that the index holds.
            writer.append_item(transaction, *number, vector)?;
        }
        from = copied.last().and_then(|(number, _)| number.checked_add(1));
    }
    Ok(())
}

/// The trees, open for one query.
pub(super) struct Forest<'t> {
    reader: Reader<'t, Cosine>,
    /// The items that the trees hold and that still exist.
    pub items: RoaringBitmap,
}

impl<'t> Forest<'t> {
    /// Opens the trees, if any were built.
    pub(super) fn open(tables: &Tables, transaction: &'t RoTxn, numbering: &Numbering) -> Result<Option<Self>, Cause> {
        if numbering.indexed == 0 {
            return Ok(None);
        }
        let reader = Reader::open(transaction, FOREST, tables.index)?;
        let items = reader.item_ids() - &numbering.retired;
        Ok(Some(Self { reader, items }))
    }

    /// Items likely to be among the nearest to `vector`, `wanted` at most, all of them in `allowed`.
    pub(super) fn propose(
        &self,
        transaction: &'t RoTxn,
        vector: &[f32],
        allowed: &RoaringBitmap,
        wanted: usize,
        options: &VectorOptions,
    ) -> Result<RoaringBitmap, Cause> {
        let inspected = NonZeroUsize::new(options.inspected.max(wanted)).unwrap_or(NonZeroUsize::MIN);
        let mut nearest = self.reader.nns(wanted);
        nearest.candidates(allowed).search_k(inspected);
        Ok(nearest.by_vector(transaction, vector)?.into_iter().map(|(number, _)| number).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_due_when_the_store_is_large_and_the_tail_has_grown_in_proportion() {
        let options = VectorOptions { exact_limit: 100, least_tail: 10, tail_percent: 10, ..VectorOptions::default() };
        let check =
            |items, indexed, next| is_due(&Numbering { next, indexed, ..Numbering::default() }, items, &options);
        assert!(!check(100, 0, 100), "small enough to be searched exactly");
        assert!(check(101, 0, 101));
        assert!(!check(110, 100, 110), "tail not above the least");
        assert!(check(111, 100, 111));
        assert!(!check(1_100, 1_000, 1_100), "tail not above its percentage");
        assert!(check(1_101, 1_000, 1_101));
        let retired = RoaringBitmap::from_iter(0..101);
        let forgetful = Numbering { next: 1_000, indexed: 1_000, retired, ..Numbering::default() };
        assert!(is_due(&forgetful, 899, &options), "what was removed counts too");
    }
}
