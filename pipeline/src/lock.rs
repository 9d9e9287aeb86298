//! Locking where a panic leaves nothing half changed.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also what a thread held that panicked. Only for state that is whole after every single statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
