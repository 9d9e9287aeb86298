//! Paths: how two nodes hang together.
//!
//! Promises: a shortest path, as long as nothing was left out; where it says that something was, there may be a shorter one, or
//! one where none was found. At most [`LOOKED_AT`] edges are looked at: of a node its newest [`FACTS`] facts in each
//! direction, then the [`NAMES`] names that it is mentioned with most. A fact or an insight may be an end, and is left through
//! the entities that it leads to; no path goes through one.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    ends::Tie,
    judging::Judgements,
    keys,
    neighbours::{Bound, MENTIONED_WITH},
    snapshot::Snapshot,
};
use crate::{Micros, StoreError};

/// So many edges are looked at.
const LOOKED_AT: usize = 1_000;
/// So many names of a node.
const NAMES: usize = 200;
/// So many facts of a node in each direction.
const FACTS: usize = 30;
/// No path is longer.
const LONGEST: usize = 6;

/// How two nodes hang together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// From the one to the other; empty where they are one node, `None` where no path was found.
    pub steps: Option<Vec<Step>>,
    /// Whether edges were left out.
    pub is_cut: bool,
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// From this node.
    pub from: Uuid,
    /// To this one.
    pub to: Uuid,
    /// By this relation, in either direction: [`MENTIONED_WITH`], that of the fact, or how an end leads to an entity (see
    /// [`Tie`]).
    pub relation: String,
    /// The fact that binds them, if one does.
    pub fact_id: Option<Uuid>,
}

/// A search, and what it has cost.
struct Search {
    at: Option<Micros>,
    judgements: Judgements,
    /// Of the ends that are no entities.
    ties: HashMap<Uuid, Vec<Tie>>,
    looked_at: usize,
    is_cut: bool,
}

/// What was reached from one end.
struct Side {
    /// Each node with the step by which it was reached, its `from` the nearer to the end.
    reached: HashMap<Uuid, Option<Step>>,
    /// The farthest.
    frontier: Vec<Uuid>,
    depth: usize,
}

impl Side {
    fn new(end: Uuid) -> Self {
        Self { reached: HashMap::from([(end, None)]), frontier: vec![end], depth: 0 }
    }

    /// The steps from a node back to the end.
    fn back(&self, mut node: Uuid) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(Some(step)) = self.reached.get(&node) {
            steps.push(step.clone());
            node = step.from;
        }
        steps
    }
}

impl Snapshot<'_> {
    /// A shortest path of at most `longest` steps (6 at the most).
    pub(super) fn path(
        &self,
        space: &str,
        [from, to]: [Uuid; 2],
        at: Option<Micros>,
        longest: usize,
    ) -> Result<Path, StoreError> {
        let [from, to] = [from, to].map(|id| self.links.canonical(id));
        if self.node(space, from)?.is_none() || self.node(space, to)?.is_none() {
            return Ok(Path { steps: None, is_cut: false });
        }
        if from == to {
            return Ok(Path { steps: Some(Vec::new()), is_cut: false });
        }
        let mut sides = [Side::new(from), Side::new(to)];
        let mut search =
            Search { at, judgements: Judgements::default(), ties: HashMap::new(), looked_at: 0, is_cut: false };
        for end in [from, to] {
            if self.gathered(space, end)?.is_none() {
                search.ties.insert(end, self.ties(space, end)?);
            }
        }
        while sides[0].depth + sides[1].depth < longest.min(LONGEST) {
            // Nothing leads to an end that is no entity: it is left first. Then the side with less to do goes on.
            let is_to_leave = |side: usize| sides[side].depth == 0 && search.ties.contains_key(&[from, to][side]);
            let is_less = sides[0].frontier.len() <= sides[1].frontier.len();
            let is_first = is_to_leave(0) || (is_less && !is_to_leave(1));
            let [one, other] = &mut sides;
            let (side, other) = if is_first { (one, other) } else { (other, one) };
            if let Some(node) = self.go_on(&mut search, side, other)? {
                let mut steps = sides[0].back(node);
                steps.reverse();
                let rest = sides[1].back(node).into_iter();
                steps.extend(rest.map(|step| Step { from: step.to, to: step.from, ..step }));
                return Ok(Path { steps: Some(steps), is_cut: search.is_cut });
            }
            if sides.iter().any(|side| side.frontier.is_empty()) {
                break;
            }
        }
        Ok(Path { steps: None, is_cut: search.is_cut })
    }

    /// Goes one step further on one side; the node where it meets the other, if it does.
    ///
    /// The first is as good as any: what is nearer to the other end than its frontier has been left from there already.
    fn go_on(&self, search: &mut Search, side: &mut Side, other: &Side) -> Result<Option<Uuid>, StoreError> {
        side.depth += 1;
        for node in std::mem::take(&mut side.frontier) {
            if search.looked_at >= LOOKED_AT {
                search.is_cut = true;
                break;
            }
            for step in self.steps(search, node, &side.reached)? {
                let next = step.to;
                side.reached.insert(next, Some(step));
                if other.reached.contains_key(&next) {
                    return Ok(Some(next));
                }
                side.frontier.push(next);
            }
        }
        Ok(None)
    }

    /// The steps from a node to those that are not reached yet.
    fn steps(
        &self,
        search: &mut Search,
        node: Uuid,
        reached: &HashMap<Uuid, Option<Step>>,
    ) -> Result<Vec<Step>, StoreError> {
        if let Some(ties) = search.ties.get(&node) {
            let ties = ties.iter().filter_map(|tie| Some((tie.relation, tie.entity()?.id)));
            let new = ties.filter(|(_, to)| !reached.contains_key(to));
            let step =
                |(relation, to): (&str, Uuid)| Step { from: node, to, relation: relation.to_owned(), fact_id: None };
            return Ok(new.map(step).collect());
        }
        let members = self.links.members(node);
        let (bound, were_more) = self.bound_by_facts(&mut search.judgements, &members, None, search.at, FACTS)?;
        search.is_cut |= were_more;
        search.looked_at += bound.len();
        let (mut steps, mut seen) = (Vec::new(), HashSet::new());
        for Bound { other, relation, fact_id, .. } in bound {
            if !reached.contains_key(&other) && seen.insert(other) {
                steps.push(Step { from: node, to: other, relation, fact_id: Some(fact_id) });
            }
        }
        let at = self.unless_all_said(&members, search.at)?;
        for (number, name) in self.ranked(&members).enumerate() {
            if number == NAMES {
                search.is_cut = true;
                break;
            }
            search.looked_at += 1;
            let name = name?;
            let other = self.links.canonical(name.other);
            let is_new = !reached.contains_key(&other) && !seen.contains(&other);
            if !is_new || !self.were_together(&[keys::pair(name.member, name.other)], at)? {
                continue;
            }
            seen.insert(other);
            steps.push(Step { from: node, to: other, relation: MENTIONED_WITH.to_owned(), fact_id: None });
        }
        Ok(steps)
    }
}
