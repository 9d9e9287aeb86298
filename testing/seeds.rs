//! Seeds: what decides everything in a simulation, so that a failure can be run again. Included by the tests of each crate that
//! simulates.
//!
//! `MESHLOG_SIM_SEEDS=100000 cargo test` runs more seeds than usual; `MESHLOG_SIM_SEED=17` runs one.

use std::panic::{RefUnwindSafe, catch_unwind};

/// Runs a simulation with each of `usual` seeds, or of those that the environment asks for; a failure names its seed.
pub(crate) fn for_each_seed(usual: u64, run: impl Fn(u64) + RefUnwindSafe) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("MESHLOG_SIM_SEED");
    let count = number("MESHLOG_SIM_SEEDS").unwrap_or(if first.is_some() { 1 } else { usual });
    let first = first.unwrap_or(0);
    for seed in first..first + count {
        assert!(catch_unwind(|| run(seed)).is_ok(), "seed {seed} failed; MESHLOG_SIM_SEED={seed} runs it alone");
    }
}

/// Numbers from a seed (splitmix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
