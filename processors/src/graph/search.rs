//! Search: nodes by the beginning of a name or of one of its words.
//!
//! Promises: at most [`LOOKED_AT`] names that fit are looked at, in each class those mentioned most first (by the power of two),
//! so that a beginning that half of all names share costs no more than another. Where fewer fit, the order is exact.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::{
    cursor::ListMark,
    id::{entity_id, folded},
    keys, kind,
    row::EntityRow,
    snapshot::Snapshot,
    tables::Table,
};
use crate::{Page, PageLimit, StoreError, knowledge::entities::EntityKind};

/// So many names that fit are looked at.
const LOOKED_AT: usize = 500;
/// So many rows are passed over that are of other kinds.
const PASSED_OVER: usize = 10_000;
/// No name is mentioned 2^40 times.
const TIERS: u8 = 40;

/// What is searched for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchQuery {
    /// The space.
    pub space: String,
    /// The beginning of a name or of a word in it, compared without case, accents and punctuation. Where it is empty, every
    /// name fits.
    pub text: String,
    /// Only of these kinds; empty: of any.
    pub kinds: Vec<EntityKind>,
}

/// How well a name fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// It is the text.
    Exact,
    /// It begins with the text.
    Prefix,
    /// One of its later words begins with the text.
    Word,
}

/// A node that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The node.
    pub id: Uuid,
    /// What it is.
    pub kind: EntityKind,
    /// The spelling used most, under any of its names.
    pub name: String,
    /// How well the best of its names fits.
    pub matched: Match,
    /// How often it is mentioned.
    pub mentions: u64,
}

impl SearchQuery {
    pub(super) fn mark(&self) -> ListMark {
        let kinds: Vec<u8> = self.kinds.iter().map(|kind| kind::code(*kind)).collect();
        ListMark::new("search", &[self.space.as_bytes(), folded(&self.text).as_bytes(), &kinds])
    }

    fn admits(&self, kind: EntityKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

impl Match {
    /// How a normalised name fits a folded text.
    fn of(key: &str, text: &str) -> Option<Self> {
        let name = folded(key);
        if name == text {
            return Some(Match::Exact);
        }
        if name.starts_with(text) {
            return Some(Match::Prefix);
        }
        let mut later = name.match_indices(' ').filter_map(|(space, _)| name.get(space + 1..));
        later.any(|rest| rest.starts_with(text)).then_some(Match::Word)
    }
}

impl Snapshot<'_> {
    /// Nodes by name, best first: exact, then by the whole name's beginning, then by a word's; then by mentions, then by id.
    pub(super) fn search(
        &self,
        query: &SearchQuery,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<Hit>, StoreError> {
        let text = folded(&query.text);
        if text.is_empty() && !query.text.trim().is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        // Each node with how well it fits, and all that was said of it if it has one name.
        let mut found: BTreeMap<Uuid, (Match, Option<EntityRow>)> = BTreeMap::new();
        for id in self.named(query, &text)? {
            let row: Option<EntityRow> = self.get_json(Table::Entities, &keys::in_space(&query.space, id))?;
            let Some(row) = row else { continue };
            let Some(matched) = Match::of(&row.key, &text) else { continue };
            let row = Some(row).filter(|_| !self.links.is_linked(id));
            let node = found.entry(self.links.canonical(id)).or_insert((matched, row));
            node.0 = matched.min(node.0);
        }
        let mut hits = Vec::new();
        for (id, (matched, row)) in found {
            let row = match row {
                Some(row) => row,
                None => self.gathered(&query.space, id)?.ok_or_else(|| self.damaged())?,
            };
            let mentions = row.mentions.unsigned_abs();
            hits.push(Hit { id, kind: row.kind, name: row.name().to_owned(), matched, mentions });
        }
        hits.sort_by_cached_key(place);
        let mark = query.mark();
        let begin = mark.place(cursor).map_or(0, |from| hits.partition_point(|hit| place(hit) < from));
        let mut items: Vec<Hit> = Vec::new();
        for hit in hits.drain(begin..) {
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(mark.cursor(&place(&hit))) });
            }
            items.push(hit);
        }
        Ok(Page { items, next: None })
    }

    /// Names that may fit.
    fn named(&self, query: &SearchQuery, text: &str) -> Result<HashSet<Uuid>, StoreError> {
        let exact = EntityKind::ALL.into_iter().filter(|kind| query.admits(*kind));
        let mut ids: HashSet<Uuid> = exact.filter_map(|kind| entity_id(&query.space, kind, &query.text)).collect();
        let mut passed_over = 0;
        for (later, tier) in [0, 1].into_iter().flat_map(|later| (0..=TIERS).rev().map(move |tier| (later, tier))) {
            // Without a text, each name is found as a whole.
            if later == 1 && text.is_empty() {
                break;
            }
            for row in self.rows(Table::Names, &keys::name(&query.space, later, tier, text)) {
                let (key, value) = row?;
                if ids.len() >= LOOKED_AT || passed_over >= PASSED_OVER {
                    return Ok(ids);
                }
                if value.first().copied().and_then(kind::of_code).is_none_or(|kind| !query.admits(kind)) {
                    passed_over += 1;
                    continue;
                }
                ids.insert(keys::last_id(&key).ok_or_else(|| self.damaged())?);
            }
        }
        Ok(ids)
    }
}

/// The place of a hit.
fn place(hit: &Hit) -> [u8; 25] {
    let mut place = [0; 25];
    place[0] = hit.matched as u8;
    place[1..9].copy_from_slice(&(!hit.mentions).to_be_bytes());
    place[9..].copy_from_slice(hit.id.as_bytes());
    place
}
