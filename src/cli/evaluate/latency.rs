//! Latency: percentiles of durations.

use serde::Serialize;

/// Percentiles by the nearest rank: each is a duration that was measured. In milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    /// Half were as fast or faster.
    pub(super) p50: f64,
    /// Nine of ten were.
    pub(super) p90: f64,
    /// 99 of 100 were.
    pub(super) p99: f64,
    /// The slowest.
    pub(super) max: f64,
}

impl Percentiles {
    /// The percentiles of these durations; `None` of none.
    pub(super) fn of(mut milliseconds: Vec<f64>) -> Option<Self> {
        milliseconds.sort_by(f64::total_cmp);
        let max = *milliseconds.last()?;
        let rank = |percent: usize| milliseconds[(milliseconds.len() * percent).div_ceil(100) - 1];
        Some(Self { p50: rank(50), p90: rank(90), p99: rank(99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(milliseconds: impl Iterator<Item = u32>, expected: [f64; 4]) {
        let found = Percentiles::of(milliseconds.map(f64::from).collect()).expect("there are durations");
        assert_eq!([found.p50, found.p90, found.p99, found.max], expected);
    }

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        check((1..=100).rev(), [50.0, 90.0, 99.0, 100.0]);
        check(1..=1000, [500.0, 900.0, 990.0, 1000.0]);
        check(1..=3, [2.0, 3.0, 3.0, 3.0]);
        check(7..=7, [7.0; 4]);
        assert_eq!(Percentiles::of(Vec::new()), None);
    }
}
