//! Options of a vector store.

/// When the store searches exactly, and how much of what its codes propose it scores. None of the options changes what is stored, so
/// they may differ from one opening to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorOptions {
    /// Up to this many messages that pass the filter are scored one by one; of more, those that are near by their codes.
    /// Default: 10,000.
    pub exact_limit: u64,
    /// How many messages that are near by their codes are scored for a query, at least. More find more and take longer.
    /// Default: 1,000, with which ten of ten are found in all but one question of a hundred (docs/benchmarks.md has the table).
    pub least_scored: usize,
    /// How many are scored for each hit that is asked for, if that is more. Default: 20.
    pub scored_per_hit: usize,
    /// The largest size that the data file may grow to, in bytes; a multiple of the page size. Costs address space only.
    /// Default: 64 GiB.
    pub largest_file: usize,
}

impl Default for VectorOptions {
    fn default() -> Self {
        Self { exact_limit: 10_000, least_scored: 1_000, scored_per_hit: 20, largest_file: 64 << 30 }
    }
}
