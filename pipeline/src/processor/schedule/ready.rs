//! Ready keys: which one is next.
//!
//! Owns: the order. The highest priority first, the oldest within it; and every [`FAIR_TURN`]th pick goes to the oldest
//! of all, so that a low priority is late but never starves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::processor::Priority;

/// Every how many picks the oldest key has its turn.
pub(super) const FAIR_TURN: u64 = 8;

/// Where a key stands among the ready ones: its priority, and the number under which its head arrived.
pub(super) type Place = (Priority, u64);

#[derive(Debug, Default)]
pub(super) struct Ready {
    keys: BTreeMap<Place, Arc<str>>,
    ages: BTreeSet<(u64, Priority)>,
    picks: u64,
}

impl Ready {
    pub(super) fn insert(&mut self, place: Place, key: Arc<str>) {
        self.keys.insert(place, key);
        self.ages.insert((place.1, place.0));
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.keys.remove(&place);
        self.ages.remove(&(place.1, place.0));
    }

    /// The key whose turn it is.
    pub(super) fn peek(&self) -> Option<(Place, &Arc<str>)> {
        if (self.picks + 1).is_multiple_of(FAIR_TURN) {
            let (age, priority) = self.ages.first()?;
            return self.keys.get_key_value(&(*priority, *age)).map(|(place, key)| (*place, key));
        }
        self.keys.first_key_value().map(|(place, key)| (*place, key))
    }

    /// Counts that the key whose turn it was had it.
    pub(super) fn picked(&mut self) {
        self.picks += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_goes_first_and_the_oldest_has_every_eighth_turn() {
        let mut ready = Ready::default();
        ready.insert((Priority::Low, 0), "low".into());
        for age in 1..=20 {
            ready.insert((Priority::High, age), format!("high {age}").into());
        }
        let mut order = Vec::new();
        while let Some((place, key)) = ready.peek().map(|(place, key)| (place, key.clone())) {
            ready.remove(place);
            ready.picked();
            order.push(key);
        }
        assert_eq!(order[0].as_ref(), "high 1");
        assert_eq!(order[7].as_ref(), "low");
        assert_eq!(order.len(), 21);
    }
}
