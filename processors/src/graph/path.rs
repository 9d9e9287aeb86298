//! Paths: how two nodes hang together.
//!
//! Promises: a shortest path, as long as nothing was left out; where it says that something was, there may be a shorter one, or
//! one where none was found. At most [`LOOKED_AT`] edges are looked at, of a node the strongest [`OF_A_NODE`].

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    neighbours::{Bond, MENTIONED_WITH},
    snapshot::Snapshot,
};
use crate::{Micros, StoreError};

/// So many edges are looked at.
pub(super) const LOOKED_AT: usize = 5_000;
/// So many edges of one node, and facts in each direction.
pub(super) const OF_A_NODE: usize = 500;
/// No path is longer.
pub(super) const LONGEST: usize = 6;

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
    /// By this relation, in either direction: [`MENTIONED_WITH`], or that of the fact.
    pub relation: String,
    /// The fact that binds them, if one does.
    pub fact_id: Option<Uuid>,
}

/// What was reached from one end.
struct Side {
    /// Each node with the step by which it was reached, its `from` the nearer to the end, and how far it is.
    reached: HashMap<Uuid, (Option<Step>, usize)>,
    /// The farthest.
    frontier: Vec<Uuid>,
    depth: usize,
}

impl Side {
    fn new(end: Uuid) -> Self {
        Self { reached: HashMap::from([(end, (None, 0))]), frontier: vec![end], depth: 0 }
    }

    /// The steps from a node back to the end.
    fn back(&self, mut node: Uuid) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some((Some(step), _)) = self.reached.get(&node) {
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
        if self.gathered(space, from)?.is_none() || self.gathered(space, to)?.is_none() {
            return Ok(Path { steps: None, is_cut: false });
        }
        if from == to {
            return Ok(Path { steps: Some(Vec::new()), is_cut: false });
        }
        let mut sides = [Side::new(from), Side::new(to)];
        let (mut looked_at, mut is_cut) = (0, false);
        while sides[0].depth + sides[1].depth < longest.min(LONGEST) {
            let [one, other] = &mut sides;
            // The side with less to do goes on.
            let (side, other) = if one.frontier.len() <= other.frontier.len() { (one, other) } else { (other, one) };
            let mut met: Option<(usize, Uuid)> = None;
            let frontier = std::mem::take(&mut side.frontier);
            side.depth += 1;
            for node in frontier {
                if looked_at >= LOOKED_AT {
                    is_cut = true;
                    break;
                }
                let (bonds, were_more) = self.bonds(node, at)?;
                is_cut |= were_more;
                looked_at += bonds.len();
                for (next, bond) in bonds {
                    if side.reached.contains_key(&next) {
                        continue;
                    }
                    if let Some((_, distance)) = other.reached.get(&next) {
                        met = Some(met.map_or((*distance, next), |known| known.min((*distance, next))));
                    }
                    side.reached.insert(next, (Some(step(node, next, &bond)), side.depth));
                    side.frontier.push(next);
                }
            }
            if let Some((_, node)) = met {
                let mut steps = sides[0].back(node);
                steps.reverse();
                let rest = sides[1].back(node).into_iter();
                steps.extend(rest.map(|step| Step { from: step.to, to: step.from, ..step }));
                return Ok(Path { steps: Some(steps), is_cut });
            }
            if side_is_done(&sides) || looked_at >= LOOKED_AT {
                break;
            }
        }
        Ok(Path { steps: None, is_cut: is_cut || looked_at >= LOOKED_AT })
    }

    /// The nodes that a node is bound to, in order of their ids; whether some were left out.
    fn bonds(&self, node: Uuid, at: Option<Micros>) -> Result<(Vec<(Uuid, Bond)>, bool), StoreError> {
        let members = self.links.members(node);
        let mut bonds = HashMap::new();
        let mut were_more = self.mentioned_with(&members, OF_A_NODE, &mut bonds)?;
        were_more |= self.bound_by_facts(&members, None, at, OF_A_NODE, &mut bonds)?;
        let mut kept = Vec::new();
        for (other, bond) in bonds {
            if !bond.facts.is_empty() || self.were_together(&members, other, at)? {
                kept.push((other, bond));
            }
        }
        kept.sort_unstable_by_key(|(other, _)| *other);
        Ok((kept, were_more))
    }
}

fn side_is_done(sides: &[Side; 2]) -> bool {
    sides.iter().any(|side| side.frontier.is_empty())
}

fn step(from: Uuid, to: Uuid, bond: &Bond) -> Step {
    let fact = bond.facts.iter().next();
    let relation = fact.map_or(MENTIONED_WITH, |(relation, _)| relation).to_owned();
    Step { from, to, relation, fact_id: fact.and_then(|(_, facts)| facts.first().copied()) }
}
