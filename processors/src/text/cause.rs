//! Causes: why something failed, before it is known what the store was doing.

use std::{
    any::Any,
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What an operator does about an index that is damaged.
pub(crate) const REBUILD: &str = "rebuild the view: meshlog replay rebuild text";

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

/// Does work that only reads the index. The index library takes its files for sound, so it panics over damaged ones; that is
/// no reason to take down who asked. What is read through shared references stays usable after it.
pub(crate) fn reading<T>(work: impl FnOnce() -> Result<T, Cause>) -> Result<T, Cause> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Cause(format!("the index cannot be read: {}; if this stays so, {REBUILD}", in_words(&*panic))))
    })
}

fn in_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the index library gave up")
}
