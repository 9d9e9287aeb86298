//! What is gathered: rows that a store that is being filled has taken in and not written yet.
//!
//! Owns: the memory that they take, and their order.
//! Promises: of several changes of a row the last counts.

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    ops::Bound,
};

use fjall::Slice;

/// A row that was put, or `None` where it was removed.
pub(super) type Change = Option<Slice>;

/// What a row takes beside its key and its value: its places in the list and in the index.
const ROW_BYTES: usize = 96;

/// The changes of all keyspaces, by their numbers.
#[derive(Default)]
pub(super) struct Gathered {
    keyspaces: Vec<Changes>,
    bytes: usize,
}

/// The changes of one keyspace. They stand as they came until somebody asks for a range, for most keyspaces are never asked so while they
/// are filled.
enum Changes {
    Listed {
        list: Vec<(Slice, Change)>,
        /// Where the last change of a row stands; made when the first row is asked for.
        index: Option<HashMap<Slice, usize>>,
    },
    Ordered(BTreeMap<Slice, Change>),
}

impl Default for Changes {
    fn default() -> Self {
        Self::Listed { list: Vec::new(), index: None }
    }
}

impl Gathered {
    /// Takes in a change.
    pub(super) fn put(&mut self, number: usize, key: Slice, change: Change) {
        self.bytes += key.len() + change.as_ref().map_or(0, |value| value.len()) + ROW_BYTES;
        match self.of(number) {
            Changes::Listed { list, index } => {
                if let Some(index) = index {
                    index.insert(key.clone(), list.len());
                }
                list.push((key, change));
            }
            Changes::Ordered(changes) => _ = changes.insert(key, change),
        }
    }

    /// What became of a row; `None` if nothing did.
    pub(super) fn get(&mut self, number: usize, key: &[u8]) -> Option<Change> {
        match self.of(number) {
            Changes::Listed { list, index } => {
                let index = index.get_or_insert_with(|| {
                    list.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect()
                });
                index.get(key).map(|place| list[*place].1.clone())
            }
            Changes::Ordered(changes) => changes.get(key).cloned(),
        }
    }

    /// The first `most` changes of a range, in order.
    pub(super) fn range(
        &mut self,
        number: usize,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        most: usize,
    ) -> Vec<(Slice, Change)> {
        let changes = self.of(number);
        if let Changes::Listed { list, .. } = changes {
            *changes = Changes::Ordered(std::mem::take(list).into_iter().collect());
        }
        let Changes::Ordered(changes) = changes else { return Vec::new() };
        let found: btree_map::Range<'_, Slice, Change> = changes.range::<[u8], _>(range);
        found.take(most).map(|(key, change)| (key.clone(), change.clone())).collect()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out: for each keyspace, by its number, the changes in order, each key once.
    pub(super) fn take(&mut self) -> Vec<Vec<(Slice, Change)>> {
        self.bytes = 0;
        self.keyspaces.iter_mut().map(Changes::take).collect()
    }

    fn of(&mut self, number: usize) -> &mut Changes {
        if self.keyspaces.len() <= number {
            self.keyspaces.resize_with(number + 1, Changes::default);
        }
        &mut self.keyspaces[number]
    }
}

impl Changes {
    /// What was asked for in ranges once will be again.
    fn take(&mut self) -> Vec<(Slice, Change)> {
        match self {
            Self::Listed { list, index } => {
                *index = None;
                let mut list = std::mem::take(list);
                // The last of a key comes first, and stays.
                list.reverse();
                list.sort_by(|(one, _), (other, _)| one.cmp(other));
                list.dedup_by(|(later, _), (kept, _)| later == kept);
                list
            }
            Self::Ordered(changes) => std::mem::take(changes).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn the_last_change_of_a_row_counts(
            changes in vec((0_u8..8, proptest::option::of(0_u8..4), 0_u8..3), 0..60),
        ) {
            let mut gathered = Gathered::default();
            let mut model = BTreeMap::new();
            for (key, value, look) in changes {
                let change: Change = value.map(|value| Slice::from([value]));
                gathered.put(1, Slice::from([key]), change.clone());
                model.insert(Slice::from([key]), change);
                match look {
                    0 => prop_assert_eq!(gathered.get(1, &[key]), model.get(&[key][..]).cloned()),
                    1 if key == 0 => {
                        let range = (Bound::Excluded(&[2][..]), Bound::Included(&[6][..]));
                        let all: Vec<_> = model.range::<[u8], _>(range).map(|(key, change)| (key.clone(), change.clone())).collect();
                        prop_assert_eq!(gathered.range(1, range, 100), all);
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(gathered.get(0, &[1]), None);
            let taken = gathered.take();
            prop_assert_eq!(taken.get(1).cloned().unwrap_or_default(), model.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(gathered.bytes(), 0);
            prop_assert_eq!(gathered.get(1, &[1]), None);
        }
    }
}
