//! Backoff: how long to wait before an event is tried again.
//!
//! Owns: the bounds and the jitter. The jitter is hashed from a seed, so a schedule is the same for the same seed.

use std::time::Duration;

use meshlog_schemas::Position;

/// How long retries wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest pause.
    pub shortest: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { shortest: Duration::from_millis(100), longest: Duration::from_secs(30) }
    }
}

impl Backoff {
    /// The pause after the `failures`th failure: anything between the shortest and a ceiling that doubles each time.
    pub(crate) fn pause(&self, failures: u32, chance: u64) -> Duration {
        let ceiling = self.shortest.saturating_mul(2_u32.saturating_pow(failures)).min(self.longest);
        let span = ceiling.saturating_sub(self.shortest);
        // A 32-bit part of one: exact enough, and no overflow.
        self.shortest + span.mul_f64(f64::from((chance >> 32) as u32) / f64::from(u32::MAX))
    }
}

/// A number that looks like chance, always the same for the same arguments.
pub(crate) fn chance(seed: u64, position: Position, failures: u32) -> u64 {
    let parts = [u64::from(position.partition.id), position.offset, u64::from(failures)];
    parts.into_iter().fold(mix(seed), |state, part| mix(state ^ part))
}

/// One step of SplitMix64.
pub(crate) fn mix(state: u64) -> u64 {
    let mut word = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds_and_differ() {
        let backoff = Backoff::default();
        let longest = |failures| backoff.pause(failures, u64::MAX);
        assert_eq!(backoff.pause(1, 0), Duration::from_millis(100));
        assert_eq!([longest(1), longest(2), longest(3)].map(|pause| pause.as_millis()), [200, 400, 800]);
        assert_eq!(longest(40), Duration::from_secs(30));
        let pauses: std::collections::BTreeSet<_> = (0..100).map(|seed| backoff.pause(5, mix(seed))).collect();
        assert!(pauses.len() > 90, "jitter spreads them: {}", pauses.len());
    }
}
