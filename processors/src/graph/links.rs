//! Links: which names stand for which node.
//!
//! Owns: the merges that hold, in memory, because each question follows many.
//! Promises: the node of a name does not depend on the order in which merges came. Those of several partitions may form a
//! circle; the smallest id in it is the node then.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::row::LinkRow;

/// The merges of all spaces. Ids are of one space each.
#[derive(Debug, Clone, Default)]
pub(super) struct Links {
    into: HashMap<Uuid, Uuid>,
    from: HashMap<Uuid, BTreeSet<Uuid>>,
    /// The normalised names of what is linked.
    keys: HashMap<Uuid, String>,
}

impl Links {
    /// Takes in the last word on a name.
    pub(super) fn set(&mut self, row: &LinkRow) {
        if let Some(old) = self.into.remove(&row.from)
            && let Some(others) = self.from.get_mut(&old)
        {
            others.remove(&row.from);
            if others.is_empty() {
                self.from.remove(&old);
            }
        }
        if row.is_parted || row.from == row.into {
            return;
        }
        self.into.insert(row.from, row.into);
        self.from.entry(row.into).or_default().insert(row.from);
        self.keys.insert(row.from, row.from_key.clone());
        self.keys.insert(row.into, row.into_key.clone());
    }

    /// The node that a name stands for.
    pub(super) fn canonical(&self, id: Uuid) -> Uuid {
        let (mut at, mut seen) = (id, HashSet::new());
        while let Some(next) = self.into.get(&at) {
            if !seen.insert(at) {
                return self.smallest_of_circle(at);
            }
            at = *next;
        }
        at
    }

    /// Whether a name stands for another, or another for it.
    pub(super) fn is_linked(&self, id: Uuid) -> bool {
        self.into.contains_key(&id) || self.from.contains_key(&id)
    }

    /// All names that stand for the same node, the node's own first.
    pub(super) fn members(&self, id: Uuid) -> Vec<Uuid> {
        let mut members = vec![self.canonical(id)];
        let mut seen: HashSet<Uuid> = members.iter().copied().collect();
        let mut next = 0;
        while let Some(member) = members.get(next) {
            next += 1;
            let others = self.from.get(member).into_iter().flatten();
            members.extend(others.filter(|other| seen.insert(**other)).copied().collect::<Vec<_>>());
        }
        members
    }

    /// The normalised name of something linked.
    pub(super) fn key(&self, id: Uuid) -> Option<&str> {
        self.keys.get(&id).map(String::as_str)
    }

    fn smallest_of_circle(&self, begin: Uuid) -> Uuid {
        let (mut smallest, mut at) = (begin, begin);
        while let Some(next) = self.into.get(&at).filter(|next| **next != begin) {
            at = *next;
            smallest = smallest.min(at);
        }
        smallest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(from: u128, into: u128, is_parted: bool) -> LinkRow {
        LinkRow {
            from: Uuid::from_u128(from),
            from_key: format!("{from}"),
            into: Uuid::from_u128(into),
            into_key: format!("{into}"),
            name: String::new(),
            reason: String::new(),
            confidence: 0,
            author: String::new(),
            at: 0,
            is_parted,
        }
    }

    #[test]
    fn chains_are_followed_and_a_circle_is_its_smallest() {
        let id = Uuid::from_u128;
        let mut links = Links::default();
        for (from, into) in [(1, 2), (2, 3), (9, 8), (8, 7), (7, 9), (5, 8)] {
            links.set(&link(from, into, false));
        }
        assert_eq!([1, 2, 3, 4].map(|name| links.canonical(id(name))), [3, 3, 3, 4].map(id));
        assert_eq!([5, 7, 8, 9].map(|name| links.canonical(id(name))), [7; 4].map(id));
        let mut members = links.members(id(9));
        assert_eq!(members[0], id(7));
        members.sort();
        assert_eq!(members, [5, 7, 8, 9].map(id));
        links.set(&link(2, 3, true));
        assert_eq!([1, 2].map(|name| links.canonical(id(name))), [2, 2].map(id));
        links.set(&link(2, 2, false));
        assert_eq!(links.canonical(id(1)), id(2), "into itself is no merge");
    }
}
