//! Options of a vector store.

/// When the store searches exactly, and what its index may cost. The defaults suit a store of up to a few million
/// messages on one machine; none of the options changes what is stored, so they may differ from one opening to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorOptions {
    /// Up to this many messages that pass the filter are scored one by one; a store of no more has no index.
    /// Default: 50,000.
    pub exact_limit: u64,
    /// The index is not extended for fewer new or changed messages than this. Default: 5,000.
    pub least_tail: u64,
    /// The index is not extended before the new or changed messages are this part of the indexed ones, in percent, so
    /// that the cost of building stays in proportion to the growth. Default: 10.
    pub tail_percent: u64,
    /// Trees in the index. More find more and cost more time to build and more disk. Default: 48.
    pub trees: usize,
    /// How many messages the index looks at for one query, at least. More find more and take longer. Default: 8,000.
    pub inspected: usize,
    /// How many messages the index proposes for a query, at least; the lowest and highest cosine of an approximate answer
    /// are over these. Default: 100.
    pub least_proposals: usize,
    /// Memory that building the index aims to stay within, in bytes. Default: 1 GiB.
    pub build_memory: usize,
    /// The largest size that the data file may grow to, in bytes; a multiple of the page size. Costs address space only.
    /// Default: 64 GiB.
    pub largest_file: usize,
}

impl Default for VectorOptions {
    fn default() -> Self {
        Self {
            exact_limit: 50_000,
            least_tail: 5_000,
            tail_percent: 10,
            trees: 48,
            inspected: 8_000,
            least_proposals: 100,
            build_memory: 1 << 30,
            largest_file: 64 << 30,
        }
    }
}
