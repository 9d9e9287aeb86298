//! Rate: how many events a second, lately.
//!
//! Owns: counts by the second over the last [`SECONDS`].
//! Never: a clock; it is told the time.

/// How far back "lately" reaches.
const SECONDS: usize = 10;

/// Counts of the last seconds. Times are microseconds of any clock; a time before the last one counts as the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    counts: [u64; SECONDS],
    /// The second that the newest count belongs to.
    second: i64,
    began: Option<i64>,
}

impl Rate {
    /// Counts `events` at `now`.
    pub fn count(&mut self, now: i64, events: u64) {
        self.advance(now);
        self.began.get_or_insert(now);
        self.counts[slot(self.second)] += events;
    }

    /// Events a second over the last ten, or since the first count if that is less; but never over less than one.
    pub fn per_second(mut self, now: i64) -> f64 {
        self.advance(now);
        let since = self.began.map_or(0, |began| now.saturating_sub(began));
        let seconds = (since as f64 / 1e6).clamp(1.0, SECONDS as f64);
        self.counts.iter().sum::<u64>() as f64 / seconds
    }

    fn advance(&mut self, now: i64) {
        let second = now.div_euclid(1_000_000);
        if self.began.is_none() {
            self.second = second;
        }
        let passed = second.saturating_sub(self.second);
        for step in 1..=passed.clamp(0, SECONDS as i64) {
            // From the newest second down, so that a long silence clears each count once.
            self.counts[slot(second - passed.min(SECONDS as i64) + step)] = 0;
        }
        self.second = self.second.max(second);
    }
}

fn slot(second: i64) -> usize {
    // The remainder is below ten.
    second.rem_euclid(SECONDS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_steady_rate_is_found_and_a_silence_lets_it_fall_to_nothing() {
        let mut rate = Rate::default();
        let start = 1_700_000_000 * SECOND;
        (0..200).for_each(|tenth| rate.count(start + tenth * SECOND / 10, 5));
        let end = start + 20 * SECOND;
        assert!((rate.per_second(end) - 50.0).abs() < 6.0, "{}", rate.per_second(end));
        assert!((rate.per_second(end + 5 * SECOND) - 20.0).abs() < 6.0, "{}", rate.per_second(end + 5 * SECOND));
        assert!(rate.per_second(end + 11 * SECOND).abs() < f64::EPSILON);
    }

    #[test]
    fn the_first_second_is_not_extrapolated() {
        let mut rate = Rate::default();
        rate.count(5 * SECOND, 30);
        assert!((rate.per_second(5 * SECOND + 1) - 30.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_count() {
        let mut rate = Rate::default();
        rate.count(100 * SECOND, 3);
        rate.count(50 * SECOND, 4);
        assert!((rate.per_second(100 * SECOND) - 7.0).abs() < f64::EPSILON);
    }
}
