//! The watchdog: whether a partition has stood still with events unread.
//!
//! Owns: when each partition's checkpoint moved last.
//! Never: a clock, or a cure. It is told the time, and reports.

use std::collections::BTreeMap;

use meshlog_schemas::{Checkpoints, Partition};

/// After how many microseconds without a move a partition is stalled, if nothing else is set.
pub const STALL_AFTER: i64 = 30_000_000;

/// When each partition moved last. Times are microseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watchdog {
    began: i64,
    moved: BTreeMap<Partition, i64>,
}

impl Watchdog {
    /// A processor begins to run: it has all the time again.
    pub(crate) fn begin(&mut self, now: i64) {
        *self = Self { began: now, moved: BTreeMap::new() };
    }

    /// The checkpoints went from `before` to `after`.
    pub(crate) fn moved(&mut self, before: &Checkpoints, after: &Checkpoints, now: i64) {
        let moved = after.iter().filter(|(partition, next)| *next > before.next(*partition));
        self.moved.extend(moved.map(|(partition, _)| (partition, now)));
    }

    /// Whether a partition whose oldest unread event was taken in at `oldest` has stood still for `after`: the event
    /// has waited so long, and nothing has moved since.
    pub(crate) fn is_stalled(&self, partition: Partition, oldest: Option<i64>, now: i64, after: i64) -> bool {
        let moved = self.moved.get(&partition).copied().unwrap_or(self.began);
        oldest.is_some_and(|oldest| now.saturating_sub(oldest.max(moved)) >= after)
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;

    use super::*;

    const PARTITION: Partition = Partition { topic: Topic::Messages, id: 1 };

    fn at(next: u64) -> Checkpoints {
        Checkpoints::from_iter([(PARTITION, next)])
    }

    #[test]
    fn a_partition_is_stalled_once_an_event_has_waited_and_nothing_moved() {
        let mut watchdog = Watchdog::default();
        watchdog.begin(1_000);
        let is_stalled = |watchdog: &Watchdog, oldest, now| watchdog.is_stalled(PARTITION, oldest, now, 30);
        assert!(!is_stalled(&watchdog, Some(5), 1_029), "an old backlog is no stall at the start");
        assert!(is_stalled(&watchdog, Some(5), 1_030));
        watchdog.moved(&at(0), &at(1), 1_040);
        assert!(!is_stalled(&watchdog, Some(5), 1_069));
        watchdog.moved(&at(1), &at(1), 1_060);
        assert!(is_stalled(&watchdog, Some(5), 1_070), "a commit that moves nothing does not count");
    }

    #[test]
    fn an_idle_partition_is_never_stalled_and_a_fresh_event_has_its_time() {
        let mut watchdog = Watchdog::default();
        watchdog.begin(1_000);
        assert!(!watchdog.is_stalled(PARTITION, None, 999_999, 30));
        assert!(!watchdog.is_stalled(PARTITION, Some(999_990), 999_999, 30));
    }

    #[test]
    fn a_clock_that_is_set_back_raises_no_alarm() {
        let mut watchdog = Watchdog::default();
        watchdog.begin(1_000);
        assert!(!watchdog.is_stalled(PARTITION, Some(1_000), 10, 30));
    }
}
