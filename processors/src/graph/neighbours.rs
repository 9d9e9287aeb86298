//! Neighbours: what a node is mentioned with, and what facts lie between.
//!
//! Owns: their weight and order.
//! Promises: of a node, the [`LOOKED_AT`] names that it is mentioned with most often are looked at (small counts exactly, large
//! ones by the power of two), and the [`FACTS_LOOKED_AT`] newest facts about it and to it. Where it has fewer, the list is
//! whole.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
};

use uuid::Uuid;

use super::{
    cursor::{ListMark, optional},
    judging::Judgements,
    keys, kind,
    merge::Merge,
    pending::count_of,
    snapshot::Snapshot,
    tables::Table,
    write::{facts_about, facts_to},
};
use crate::{Micros, Page, PageLimit, StoreError, knowledge::entities::EntityKind};

/// The relation of two names that a message has both of.
pub const MENTIONED_WITH: &str = "mentioned-with";

/// So many names that a node is mentioned with are looked at.
const LOOKED_AT: usize = 300;
/// So many facts about a node, and as many to it.
const FACTS_LOOKED_AT: usize = 32;
/// For each fact that is looked at, so many of other relations may be passed over.
const PASSED_OVER: usize = 10;

/// Which neighbours. An absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NeighbourFilter {
    /// The space.
    pub space: String,
    /// The node.
    pub id: Uuid,
    /// Only by this relation: [`MENTIONED_WITH`], or that of a fact.
    pub relation: Option<String>,
    /// As of this time: mentioned together by then, by facts that hold then.
    pub at: Option<Micros>,
    /// Only of these kinds; empty: of any.
    pub kinds: Vec<EntityKind>,
}

/// A neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The node.
    pub id: Uuid,
    /// What it is.
    pub kind: EntityKind,
    /// The spelling used most.
    pub name: String,
    /// Messages that mention both, and facts between them.
    pub weight: u64,
    /// Messages that mention both, for each two of their names.
    pub together: u64,
    /// Facts between them that hold, by relation.
    pub relations: BTreeMap<String, u64>,
}

/// What binds a node to another.
#[derive(Debug, Default)]
pub(super) struct Bond {
    kind: Option<EntityKind>,
    /// The names that were mentioned with one another, and how the number of messages ranks.
    pairs: Vec<([u8; 32], u8)>,
    /// Facts that hold, by relation.
    facts: BTreeMap<String, u64>,
}

/// A node that a fact binds to another.
pub(super) struct Bound {
    pub(super) other: Uuid,
    kind: Option<EntityKind>,
    pub(super) relation: String,
    pub(super) fact_id: Uuid,
}

/// A name that one of a node's names is mentioned with.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ranked {
    /// The lower, the more often.
    rank: u8,
    pub(super) other: Uuid,
    pub(super) member: Uuid,
    kind: Option<EntityKind>,
}

impl NeighbourFilter {
    pub(super) fn mark(&self) -> ListMark {
        let Self { space, id, relation, at, kinds } = self;
        let kinds: Vec<u8> = kinds.iter().map(|kind| kind::code(*kind)).collect();
        let at = at.map(i64::to_be_bytes);
        let parts = [
            space.as_bytes(),
            id.as_bytes(),
            &optional(relation.as_deref().map(str::as_bytes)),
            &optional(at.as_ref().map(|at| &at[..])),
            &kinds,
        ];
        ListMark::new("neighbours", &parts)
    }
}

impl Bond {
    fn weight_of_facts(&self) -> u64 {
        self.facts.values().sum()
    }

    /// The least and the greatest weight that it may have.
    fn weights(&self) -> (u64, u64) {
        let facts = self.weight_of_facts();
        let counts = self.pairs.iter().map(|(_, rank)| keys::counts_of_rank(*rank));
        counts.fold((facts, facts), |(least, greatest), (low, high)| {
            (least + low.unsigned_abs(), greatest.saturating_add(high.unsigned_abs()))
        })
    }
}

/// Neighbours that may come next, the heaviest first: their weight, or while it is not known, the most that it may be. So only
/// those are weighed that may be on the page.
///
/// Of equal weight, those come first that are still to be weighed, then the smaller id.
struct Waiting(BinaryHeap<(u64, bool, Reverse<Uuid>)>);

impl Waiting {
    /// Those that are not heavier than the first of the page for certain.
    fn new(bonds: &HashMap<Uuid, Bond>, from: Option<u64>) -> Self {
        let weighed = bonds.iter().map(|(id, bond)| (*id, bond.weights()));
        let coming = weighed.filter(|(_, (least, _))| from.is_none_or(|from| *least <= from));
        Self(coming.map(|(id, (least, greatest))| (greatest, least < greatest, Reverse(id))).collect())
    }
}

impl Snapshot<'_> {
    /// Neighbours, the heaviest first, then by id. Those of a fact are its ends.
    pub(super) fn neighbours(
        &self,
        filter: &NeighbourFilter,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<Neighbour>, StoreError> {
        let NeighbourFilter { space, id, relation, at, kinds } = filter;
        let members = self.links.members(*id);
        let mut bonds = HashMap::new();
        let is_known = self.gathered(space, *id)?.is_some();
        let wants = |name: &str| relation.as_deref().is_none_or(|wanted| wanted == name);
        if is_known && wants(MENTIONED_WITH) {
            self.mentioned_with(&members, LOOKED_AT, &mut bonds)?;
        }
        if is_known && relation.as_deref() != Some(MENTIONED_WITH) {
            let mut judgements = Judgements::default();
            let (bound, _) =
                self.bound_by_facts(&mut judgements, &members, relation.as_deref(), *at, FACTS_LOOKED_AT)?;
            for Bound { other, kind, relation, .. } in bound {
                let bond = bonds.entry(other).or_default();
                bond.kind = kind;
                *bond.facts.entry(relation).or_default() += 1;
            }
        }
        if !is_known {
            bonds = self.ends_of_fact(space, *id)?;
        }
        let mark = filter.mark();
        let from = mark.place::<24>(cursor);
        bonds.retain(|_, bond| bond.kind.is_some_and(|kind| kinds.is_empty() || kinds.contains(&kind)));
        let at = self.unless_all_said(&members, *at)?;
        let mut waiting = Waiting::new(&bonds, from.map(weight_of));
        let mut items = Vec::new();
        while let Some((weight, is_bound, Reverse(id))) = waiting.0.pop() {
            let bond = bonds.get(&id).ok_or_else(|| self.damaged())?;
            if is_bound {
                let weight = self.messages_of(bond)? + bond.weight_of_facts();
                waiting.0.push((weight, false, Reverse(id)));
                continue;
            }
            let place = place(weight, id);
            let is_late = bond.facts.is_empty() && !self.were_together(bond.pairs.iter().map(|(pair, _)| pair), at)?;
            if from.is_some_and(|from| place < from) || is_late {
                continue;
            }
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(mark.cursor(&place)) });
            }
            let row = self.gathered(space, id)?.ok_or_else(|| self.damaged())?;
            items.push(Neighbour {
                id,
                kind: row.kind,
                name: row.name().to_owned(),
                weight,
                together: weight - bond.weight_of_facts(),
                relations: bond.facts.clone(),
            });
        }
        Ok(Page { items, next: None })
    }

    /// The messages that mention both, for each two of their names.
    pub(super) fn messages_of(&self, bond: &Bond) -> Result<u64, StoreError> {
        let mut messages = 0;
        for (pair, rank) in &bond.pairs {
            messages += match keys::counts_of_rank(*rank) {
                (least, greatest) if least == greatest => least,
                _ => count_of(&self.get(Table::Pairs, pair)?.ok_or_else(|| self.damaged())?),
            };
        }
        Ok(messages.unsigned_abs())
    }

    /// Adds the nodes that a node is mentioned with, of the strongest `most` names.
    pub(super) fn mentioned_with(
        &self,
        members: &[Uuid],
        most: usize,
        bonds: &mut HashMap<Uuid, Bond>,
    ) -> Result<(), StoreError> {
        for name in self.ranked(members).take(most) {
            let Ranked { rank, other, member, kind } = name?;
            let node = self.links.canonical(other);
            // Two names of the node itself.
            if node == members[0] {
                continue;
            }
            let bond = bonds.entry(node).or_default();
            bond.kind = kind;
            bond.pairs.push((keys::pair(member, other), !rank));
        }
        Ok(())
    }

    /// The names that a node is mentioned with, the strongest first.
    pub(super) fn ranked(&self, members: &[Uuid]) -> impl Iterator<Item = Result<Ranked, StoreError>> {
        let names = |member: Uuid| {
            self.rows(Table::Ranked, member.as_bytes()).map(move |row| {
                let (key, value) = row?;
                let (rank, other) = key.get(16).zip(keys::last_id(&key)).ok_or_else(|| self.damaged())?;
                let kind = value.first().copied().and_then(kind::of_code);
                Ok(Ranked { rank: *rank, other, member, kind })
            })
        };
        Merge::new(members.iter().map(|member| names(*member)).collect::<Vec<_>>())
    }

    /// The nodes that facts which hold lead to or come from, of the newest `most` in each direction, and whether there were more.
    /// What is denied binds nothing.
    pub(super) fn bound_by_facts(
        &self,
        judgements: &mut Judgements,
        members: &[Uuid],
        relation: Option<&str>,
        at: Option<Micros>,
        most: usize,
    ) -> Result<(Vec<Bound>, bool), StoreError> {
        let mut bound = Vec::new();
        let (mut were_more, mut seen) = (false, HashSet::new());
        for is_subject in [true, false] {
            let list = if is_subject { facts_about } else { facts_to };
            let lists = members.iter().map(|member| list(*member)).collect();
            let mut candidates = Vec::new();
            for (passed, candidate) in self.listed(lists, None).enumerate() {
                if candidates.len() == most || passed == most * PASSED_OVER {
                    were_more = true;
                    break;
                }
                let candidate = candidate?;
                if relation.is_none_or(|wanted| wanted == candidate.listed.relation) {
                    candidates.push(candidate);
                }
            }
            self.judge_at_once(judgements, &candidates)?;
            for candidate in candidates {
                let listed = &candidate.listed;
                let group = self.judged(judgements, &candidate)?;
                let judged = group.get(&candidate.fact_id()).ok_or_else(|| self.damaged())?;
                let (other, kind) = match is_subject {
                    true => (judged.object, judged.object_kind),
                    false => (self.links.canonical(listed.subject), listed.subject_kind),
                };
                let holds = judged.held.is_some_and(|held| held.holds(at)) && !judged.is_denied;
                if !holds || kind.is_none() || other == members[0] || !seen.insert(candidate.fact_id()) {
                    continue;
                }
                bound.push(Bound { other, kind, relation: listed.relation.clone(), fact_id: candidate.fact_id() });
            }
        }
        Ok((bound, were_more))
    }

    /// The time, unless all that names a node was said by then: a look at its last moment is cheaper than one at each neighbour.
    pub(super) fn unless_all_said(&self, members: &[Uuid], at: Option<Micros>) -> Result<Option<Micros>, StoreError> {
        let Some(at) = at else { return Ok(None) };
        for member in members {
            let last = self.rows(Table::Timeline, member.as_bytes()).next_back().transpose()?;
            let last = last.and_then(|(key, _)| keys::last_place(&key)).map(keys::of_place);
            if last.is_some_and(|(last, _)| last > at) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether one of these pairs of names was mentioned with one another by a time.
    pub(super) fn were_together<'p>(
        &self,
        pairs: impl IntoIterator<Item = &'p [u8; 32]>,
        at: Option<Micros>,
    ) -> Result<bool, StoreError> {
        let Some(at) = at else { return Ok(true) };
        for pair in pairs {
            let first = self.rows(Table::Together, pair).next().transpose()?;
            let first = first.and_then(|(key, _)| keys::last_place(&key)).map(keys::of_place);
            if first.is_some_and(|(first, _)| first <= at) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The messages that mention both, the oldest first.
    pub(super) fn together(
        &self,
        space: &str,
        [one, other]: [Uuid; 2],
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<(Micros, Uuid)>, StoreError> {
        let mark = together_mark(space, [one, other]);
        let from = mark.place::<24>(cursor);
        let from = from.as_ref().map_or(&[][..], |place| &place[..]);
        let (one, other) = (self.links.members(one), self.links.members(other));
        let (mut items, mut lists) = (Vec::new(), Vec::new());
        if one[0] == other[0] || self.gathered(space, one[0])?.is_none() {
            return Ok(Page { items, next: None });
        }
        for pair in one.iter().flat_map(|one| other.iter().map(move |other| keys::pair(*one, *other))) {
            // A look is cheaper than a list, and nodes of many names have many pairs.
            if self.get(Table::Pairs, &pair)?.is_some() {
                let rows = self.rows_from(Table::Together, &pair, from);
                lists.push(rows.map(|row| keys::last_place(&row?.0).ok_or_else(|| self.damaged())));
            }
        }
        for place in Merge::new(lists) {
            let place = place?;
            if limit.is_reached(items.len(), 0) {
                return Ok(Page { items, next: Some(mark.cursor(&place)) });
            }
            items.push(keys::of_place(place));
        }
        Ok(Page { items, next: None })
    }

    fn ends_of_fact(&self, space: &str, id: Uuid) -> Result<HashMap<Uuid, Bond>, StoreError> {
        let mut bonds: HashMap<Uuid, Bond> = HashMap::new();
        let Some(fact) = self.fact(space, id)? else { return Ok(bonds) };
        for end in [fact.subject, fact.object].into_iter().filter(|end| end.kind.is_some()) {
            let bond = bonds.entry(end.id).or_default();
            bond.kind = end.kind;
            bond.facts.insert(fact.relation.clone(), 1);
        }
        Ok(bonds)
    }
}

/// The mark of the list of messages that mention both.
pub(super) fn together_mark(space: &str, [one, other]: [Uuid; 2]) -> ListMark {
    ListMark::new("together", &[space.as_bytes(), one.as_bytes(), other.as_bytes()])
}

/// The place of a neighbour: the heaviest first.
fn place(weight: u64, id: Uuid) -> [u8; 24] {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&(!weight).to_be_bytes());
    place[8..].copy_from_slice(id.as_bytes());
    place
}

fn weight_of(place: [u8; 24]) -> u64 {
    !place.first_chunk().copied().map_or(0, u64::from_be_bytes)
}
