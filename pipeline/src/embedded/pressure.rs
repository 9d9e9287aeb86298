//! Pressure: whether many producers wait on the log at once.
//!
//! Owns: the memory of how many were answered together lately. It is the writer that knows, and whoever would rather step back
//! that asks.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// So many producers at once are pressure.
const MANY: usize = 16;
/// What was longer ago than this many microseconds says nothing about now.
const LATELY: i64 = 100_000;

/// How many producers were answered together, and when last.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    together: AtomicUsize,
    last: AtomicI64,
}

impl Pressure {
    /// So many were answered at once. Only the writer says so.
    pub(super) fn answered(&self, together: usize, now: i64) {
        // Rises at once and falls slowly: a short lull is not the end of it.
        let before = self.together.load(Ordering::Relaxed);
        self.together.store(together.max(before - before.div_ceil(16)), Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Whether many wait at once, now.
    pub(super) fn is_high(&self, now: i64) -> bool {
        self.together.load(Ordering::Relaxed) >= MANY && now - self.last.load(Ordering::Relaxed) <= LATELY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_pressure_until_they_are_fewer_or_gone() {
        let pressure = Pressure::default();
        pressure.answered(1, 1_000_000);
        assert!(!pressure.is_high(1_000_000));
        pressure.answered(64, 1_001_000);
        pressure.answered(3, 1_001_100);
        assert!(pressure.is_high(1_002_000));
        assert!(!pressure.is_high(1_001_100 + LATELY + 1));
        (0..100).for_each(|_| pressure.answered(3, 1_002_000));
        assert!(!pressure.is_high(1_002_000));
    }
}
