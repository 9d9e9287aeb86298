//! Search: which items pass a filter, and which of them are nearest to a vector.
//!
//! Owns: the choice between scoring everything and asking the index, and the scoring itself.

use heed::RoTxn;
use rayon::{ThreadPool, prelude::*};
use roaring::RoaringBitmap;
use uuid::Uuid;

use super::{
    VectorHits, VectorOptions, VectorQuery,
    cause::Cause,
    cosine::cosine,
    index::Forest,
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

/// A returned hit is chosen from this many proposals of the index, so that the lowest and highest score say something.
const PROPOSALS_PER_HIT: usize = 4;

/// A state of the store, with what is needed to search it.
pub(super) struct Search<'s, 't> {
    /// The databases.
    pub tables: &'s Tables,
    /// The state that is read.
    pub transaction: &'t RoTxn<'t>,
    /// The limits between the ways to search.
    pub options: &'s VectorOptions,
    /// Threads for large scans. Not rayon's own, where a search would wait behind the building of an index.
    pub threads: &'s ThreadPool,
}

/// The items that pass a filter.
enum Candidates {
    /// All items.
    All,
    /// Some of them.
    Some(RoaringBitmap),
}

impl<'t> Search<'_, 't> {
    /// The nearest messages.
    pub(super) fn nearest(&self, query: &VectorQuery<'_>) -> Result<VectorHits, Cause> {
        let candidates = self.candidates(query.filter)?;
        match self.approximate(query, &candidates)? {
            Some(hits) => Ok(hits),
            None => Ok(VectorHits::best_of(self.score(query.vector, &self.stored(&candidates, 0)?), query.limit, true)),
        }
    }

    /// Which items pass the filter.
    fn candidates(&self, filter: &Filter) -> Result<Candidates, Cause> {
        let mut candidates = match self.tables.numbering(self.transaction)?.forgotten.is_empty() {
            true => Candidates::All,
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
        let stored = self.entries(&self.tables.facets, candidates, 0)?;
        let accepts = |scratch: &mut Facets, (number, bytes): &(ItemNumber, &[u8])| {
            decode_facets_into(bytes, scratch).map(|()| filter.accepts(scratch).then_some(*number))
        };
        let accepted = self.map(&stored, blank_facets, accepts).into_iter().filter_map(Result::transpose);
        Ok(Candidates::Some(accepted.collect::<Result<_, _>>()?))
    }

    /// Asks the index, and scores what it proposes and the tail. `None` if scoring every candidate is the better way.
    fn approximate(&self, query: &VectorQuery<'_>, candidates: &Candidates) -> Result<Option<VectorHits>, Cause> {
        if self.count(candidates)? <= self.options.exact_limit {
            return Ok(None);
        }
        let numbering = self.tables.numbering(self.transaction)?;
        let Some(forest) = Forest::open(self.tables, self.transaction, &numbering)? else { return Ok(None) };
        let allowed = match candidates {
            Candidates::All => forest.items.clone(),
            Candidates::Some(items) => items & &forest.items,
        };
        let wanted = query.limit.saturating_mul(PROPOSALS_PER_HIT).max(self.options.least_proposals);
        // On less than half of its items, arroy itself scores them all, and on one thread only.
        if allowed.len() * 2 <= forest.items.len() || wanted as u64 >= allowed.len() {
            return Ok(None);
        }
        let proposed = forest.propose(self.transaction, query.vector, &allowed, wanted, self.options)?;
        let mut stored = self.stored(&Candidates::Some(proposed), 0)?;
        stored.extend(self.stored(candidates, numbering.indexed)?);
        Ok(Some(VectorHits::best_of(self.score(query.vector, &stored), query.limit, false)))
    }

    fn count(&self, candidates: &Candidates) -> Result<u64, Cause> {
        match candidates {
            Candidates::All => Ok(self.tables.items.len(self.transaction)?),
            Candidates::Some(items) => Ok(items.len()),
        }
    }

    fn score(&self, vector: &[f32], stored: &[StoredVector<'_>]) -> Vec<(Uuid, f32)> {
        self.map(stored, || (), |(), item| (item.message_id, cosine(vector, item.elements)))
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

    /// The vectors of the candidates from a number on, in the order of their numbers.
    fn stored(&self, candidates: &Candidates, from: ItemNumber) -> Result<Vec<StoredVector<'t>>, Cause> {
        let entries = self.entries(&self.tables.items, candidates, from)?;
        entries.into_iter().map(|(_, bytes)| StoredVector::decode(bytes, self.tables.dimensions)).collect()
    }

    /// What `table` holds for the candidates from a number on, in the order of their numbers.
    fn entries(
        &self,
        table: &NumberTable,
        candidates: &Candidates,
        from: ItemNumber,
    ) -> Result<Vec<(ItemNumber, &'t [u8])>, Cause> {
        match candidates {
            Candidates::All => Ok(table.range(self.transaction, &(from..))?.collect::<Result<_, _>>()?),
            Candidates::Some(items) if from == 0 => self.entries_of(table, items),
            Candidates::Some(items) => {
                let mut items = items.clone();
                items.remove_range(..from);
                self.entries_of(table, &items)
            }
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
