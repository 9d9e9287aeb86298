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
    /// Calls `work` with each of these.
    pub(super) fn for_each<T: Send>(self, items: Vec<T>, work: impl Fn(T) + Send + Sync) {
        match self {
            Self::OneThread => items.into_iter().for_each(work),
            Self::AllThreads => items.into_par_iter().for_each(work),
        }
    }

    /// Calls `work` with each chunk of `rows` rows of `out` and the chunk's index. Calls on one thread share what
    /// `scratch` made.
    pub(super) fn for_each_chunk<T>(
        self,
        out: &mut [Row],
        rows: usize,
        scratch: impl Fn() -> T + Send + Sync,
        work: impl Fn(&mut T, usize, &mut [Row]) + Send + Sync,
    ) {
        match self {
            Self::OneThread => {
                let mut scratch = scratch();
                out.chunks_mut(rows).enumerate().for_each(|(index, chunk)| work(&mut scratch, index, chunk));
            }
            Self::AllThreads => {
                let chunks = out.par_chunks_mut(rows).enumerate();
                chunks.for_each_init(scratch, |scratch, (index, chunk)| work(scratch, index, chunk));
            }
        }
    }
}
