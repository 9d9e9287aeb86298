//! Filling: a store that nobody asks yet gathers rows in memory and writes them sorted, in place of writing each when it comes.
//!
//! That saves the journal, the tables in memory, and most of the merging. The rows of a keyspace are handed to fjall in the order of their
//! keys, which writes them as finished tables.
//!
//! Owns: the bound on what is gathered, and whether the store is filled at all.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::gathered::Gathered;

/// The filling of one store.
pub(super) struct Filling {
    is_on: AtomicBool,
    /// About the most that may be gathered, in bytes.
    pub(super) memory: usize,
    gathered: Mutex<Gathered>,
}

impl Filling {
    /// Of a store that may gather so much; of one that is not filled with `None`.
    pub(super) fn new(memory: Option<usize>) -> Self {
        let is_on = AtomicBool::new(memory.is_some());
        Self { is_on, memory: memory.unwrap_or_default(), gathered: Mutex::default() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// What is gathered; `None` if nothing is any more.
    pub(super) fn gathered(&self) -> Option<MutexGuard<'_, Gathered>> {
        self.is_on().then(|| self.gathered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on each batch is written when it comes.
    pub(super) fn end(&self) {
        self.is_on.store(false, Ordering::Release);
    }
}
