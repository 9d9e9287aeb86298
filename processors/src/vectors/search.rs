//! Search: which items pass a filter, and which of them are nearest to a vector.
//!
//! Owns: the choice between scoring everything and what is near by its code, and the scoring itself.

use heed::RoTxn;
use pulp::Arch;
use rayon::{ThreadPool, prelude::*};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    VectorHits, VectorOptions, VectorQuery,
    cause::Cause,
    codes::Proposed,
    cosine::cosine,
    record::{StoredVector, blank_facets, decode_facets_into},
    tables::{ItemNumber, NumberTable, Tables, missing},
};
use crate::{Facets, Filter};

/// From this many items on, a scan is spread over threads: about a millisecond of work.
const SHARED_SCAN: usize = 4_096;

/// Items that one thread takes at a time.
const SHARE: usize = 1_024;

/// Items are read by walking over all numbers from the first to the last as long as at least one in this many is wanted.
/// A look-up of a single number costs about as much as walking over this many.
const WALKED_PER_WANTED: u64 = 8;

/// So many of the farthest are scored for the lowest score: what is farthest by its code need not be.
const FARTHEST: usize = 32;

/// A state of the store, with what is needed to search it.
pub(super) struct Search<'s, 't> {
    /// The databases.
    pub tables: &'s Tables,
    /// The state that is read.
    pub transaction: &'t RoTxn<'t>,
    /// The limits between the ways to search.
    pub options: &'s VectorOptions,
    /// Threads for large scans. Not rayon's own, where a search would wait behind what is embedded.
    pub threads: &'s ThreadPool,
}

/// The items that pass a filter.
enum Candidates {
    /// All items, whose numbers are those below this.
    All { numbers: ItemNumber },
    /// Some of them.
    Some(RoaringBitmap),
}

impl<'t> Search<'_, 't> {
    /// The nearest messages.
    pub(super) fn nearest(&self, query: &VectorQuery<'_>) -> Result<VectorHits, Cause> {
        let candidates = self.candidates(query.filter)?;
        let scored = match self.proposed(query, &candidates)? {
            Some(proposed) => {
                let is_all = proposed.len() == self.count(&candidates)?;
                (self.stored(&Candidates::Some(proposed))?, is_all)
            }
            None => (self.stored(&candidates)?, true),
        };
        Ok(VectorHits::best_of(self.score(query.vector, &scored.0), query.limit, scored.1))
    }

    /// Which items pass the filter.
    fn candidates(&self, filter: &Filter) -> Result<Candidates, Cause> {
        let numbering = self.tables.numbering(self.transaction)?;
        let is_dense = self.tables.items.len(self.transaction)? == u64::from(numbering.next);
        let mut candidates = match is_dense && numbering.forgotten.is_empty() {
            true => Candidates::All { numbers: numbering.next },
            // What is forgotten is in no space, but still among the items.
            false if filter.spaces.is_empty() => Candidates::Some(self.tables.all_spaces(self.transaction)?),
            false => Candidates::Some(RoaringBitmap::new()),
        };
        if !filter.spaces.is_empty() {
            let mut items = RoaringBitmap::new();
            for space in &filter.spaces {
                items |= self.tables.space(self.transaction, space)?;
            }
            candidates = Candidates::Some(items);
        }
        if filter.is_by_space_only() { Ok(candidates) } else { self.accepted(filter, &candidates) }
    }

    /// Which of the candidates have facets that the filter accepts.
    fn accepted(&self, filter: &Filter, candidates: &Candidates) -> Result<Candidates, Cause> {
        let stored = self.entries(&self.tables.facets, candidates)?;
        let accepts = |scratch: &mut Facets, (number, bytes): &(ItemNumber, &[u8])| {
            decode_facets_into(bytes, scratch).map(|()| filter.accepts(scratch).then_some(*number))
        };
        let accepted = self.map(&stored, blank_facets, accepts).into_iter().filter_map(Result::transpose);
        Ok(Candidates::Some(accepted.collect::<Result<_, _>>()?))
    }

    /// The candidates that are near by their codes, and some that are far. `None` if scoring every candidate is the better way.
    fn proposed(&self, query: &VectorQuery<'_>, candidates: &Candidates) -> Result<Option<RoaringBitmap>, Cause> {
        if self.count(candidates)? <= self.options.exact_limit {
            return Ok(None);
        }
        let wanted = query.limit.saturating_mul(self.options.scored_per_hit).max(self.options.least_scored);
        let numbers: Vec<ItemNumber> = match candidates {
            Candidates::All { numbers } => (0..*numbers).collect(),
            Candidates::Some(items) => items.iter().collect(),
        };
        let codes = self.tables.codes(self.transaction)?;
        let Proposed { nearest, farthest } = codes.propose(query.vector, &numbers, wanted, FARTHEST, self.threads);
        let mut proposed = RoaringBitmap::from_sorted_iter(nearest).unwrap_or_default();
        proposed.extend(farthest);
        Ok(Some(proposed))
    }

    fn count(&self, candidates: &Candidates) -> Result<u64, Cause> {
        Ok(match candidates {
            Candidates::All { numbers } => u64::from(*numbers),
            Candidates::Some(items) => items.len(),
        })
    }

    fn score(&self, vector: &[f32], stored: &[StoredVector<'_>]) -> Vec<(Uuid, f32)> {
        let arch = Arch::new();
        self.map(stored, || (), |(), item| (item.message_id, arch.dispatch(|| cosine(vector, item.elements))))
    }

    /// Applies a function to every entry, in order, on several threads if there are many.
    fn map<T: Sync, S, R: Send>(
        &self,
        entries: &[T],
        scratch: impl Fn() -> S + Sync + Send,
        function: impl Fn(&mut S, &T) -> R + Sync + Send,
    ) -> Vec<R> {
        if entries.len() < SHARED_SCAN {
            let mut scratch = scratch();
            return entries.iter().map(|entry| function(&mut scratch, entry)).collect();
        }
        self.threads.install(|| entries.par_iter().with_min_len(SHARE).map_init(scratch, function).collect())
    }

    /// The vectors of the candidates, in the order of their numbers.
    fn stored(&self, candidates: &Candidates) -> Result<Vec<StoredVector<'t>>, Cause> {
        let entries = self.entries(&self.tables.items, candidates)?;
        entries.into_iter().map(|(_, bytes)| StoredVector::decode(bytes, self.tables.dimensions)).collect()
    }

    /// What `table` holds for the candidates, in the order of their numbers.
    fn entries(&self, table: &NumberTable, candidates: &Candidates) -> Result<Vec<(ItemNumber, &'t [u8])>, Cause> {
        match candidates {
            Candidates::All { .. } => Ok(table.iter(self.transaction)?.collect::<Result<_, _>>()?),
            Candidates::Some(items) => self.entries_of(table, items),
        }
    }

    fn entries_of(&self, table: &NumberTable, items: &RoaringBitmap) -> Result<Vec<(ItemNumber, &'t [u8])>, Cause> {
        let (Some(first), Some(last)) = (items.min(), items.max()) else { return Ok(Vec::new()) };
        let mut entries = Vec::with_capacity(usize::try_from(items.len()).unwrap_or_default());
        if u64::from(last - first) / WALKED_PER_WANTED > items.len() {
            for number in items {
                entries.push((number, table.get(self.transaction, &number)?.ok_or_else(|| missing(number))?));
            }
            return Ok(entries);
        }
        let mut stored = table.range(self.transaction, &(first..=last))?;
        for wanted in items {
            loop {
                let (number, bytes) = stored.next().transpose()?.ok_or_else(|| missing(wanted))?;
                if number == wanted {
                    entries.push((number, bytes));
                    break;
                }
                if number > wanted {
                    return Err(missing(wanted));
                }
            }
        }
        Ok(entries)
    }
}
