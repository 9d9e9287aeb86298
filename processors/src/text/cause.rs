//! Causes: why something failed, before it is known what the store was doing.

use std::fmt::Display;

/// What the storage library answered, or what was found wrong, in words.
///
/// Invariant: it is no `Display` itself, so that everything that is converts into it with `?`.
#[derive(Debug)]
pub(crate) struct Cause(pub(crate) String);

impl<E: Display> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
