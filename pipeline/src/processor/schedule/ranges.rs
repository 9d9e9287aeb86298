//! Ranges: a set of offsets, kept as runs that do not touch.
//!
//! Owns: what is done above a low-water mark. Its size follows the gaps, not the offsets.

use std::collections::BTreeMap;

use meshlog_schemas::Offset;

/// Runs of offsets: the first, and the one after the last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<Offset, Offset>);

impl Ranges {
    /// Adds the offsets from `start` up to `end` (exclusive).
    pub(crate) fn insert(&mut self, start: Offset, end: Offset) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start, end);
        while let Some((&from, &to)) = self.0.range(..=end).next_back().filter(|(_, to)| **to >= start) {
            self.0.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.0.insert(start, end);
    }

    /// Whether the offset is in the set.
    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.0.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// Takes out what lies before `low` or follows it without a gap; answers where the first gap is.
    pub(crate) fn absorb(&mut self, low: Offset) -> Offset {
        let mut low = low;
        while let Some(run) = self.0.first_entry().filter(|run| *run.key() <= low) {
            low = low.max(run.remove());
        }
        low
    }

    /// How many offsets are in the set.
    pub(crate) fn len(&self) -> u64 {
        self.iter().map(|(start, end)| end - start).sum()
    }

    /// The runs in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        self.0.iter().map(|(start, end)| (*start, *end))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_order_of_inserts_is_the_same_set_in_runs_that_do_not_touch(
            runs in prop::collection::vec((0_u64..60, 0_u64..6), 0..40)
        ) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (start, length) in runs {
                ranges.insert(start, start + length);
                model.extend(start..start + length);
            }
            for offset in 0..70 {
                prop_assert_eq!(ranges.contains(offset), model.contains(&offset));
            }
            prop_assert_eq!(ranges.len(), model.len() as u64);
            let runs: Vec<_> = ranges.iter().collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].1 < pair[1].0), "{:?}", runs);
            let low = ranges.absorb(0);
            prop_assert_eq!(low, (0..).find(|offset| !model.contains(offset)).unwrap());
        }
    }
}
