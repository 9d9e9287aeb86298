//! Slots: how many rebuilds are at work at a time, so that what they take of memory and processors is bounded.
//!
//! Never: lets one wait that was asked to end.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::ReplayError;

/// How often one that waits looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The slots, some of them taken.
pub(crate) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A taken slot; given back on drop.
pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    /// So many, and one at the least.
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Mutex::new(count.max(1)), freed: Condvar::new() }
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// What `go_on` says, which is asked again and again meanwhile.
    pub(crate) fn take(&self, mut go_on: impl FnMut() -> Result<(), ReplayError>) -> Result<Slot<'_>, ReplayError> {
        let mut free = self.free();
        loop {
            go_on()?;
            if *free > 0 {
                *free -= 1;
                return Ok(Slot(self));
            }
            free = self.freed.wait_timeout(free, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free() += 1;
        self.0.freed.notify_one();
    }
}
