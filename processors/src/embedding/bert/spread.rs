//! How an operation uses the machine's cores.

use rayon::prelude::*;

use super::panel::Row;

/// Whether an operation is split between threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// One thread does all of it: right when other threads embed other texts meanwhile.
    OneThread,
    /// The threads of the current rayon pool share it: right for a single question.
    AllThreads,
}

impl Spread {
    /// Calls `work` with each chunk of `rows` rows of `out` and the chunk's index.
    pub(super) fn for_each_chunk(self, out: &mut [Row], rows: usize, work: impl Fn(usize, &mut [Row]) + Sync) {
        match self {
            Self::OneThread => out.chunks_mut(rows).enumerate().for_each(|(index, chunk)| work(index, chunk)),
            Self::AllThreads => out.par_chunks_mut(rows).enumerate().for_each(|(index, chunk)| work(index, chunk)),
        }
    }
}
