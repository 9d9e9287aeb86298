//! The text store: finds messages by their words.
//!
//! Owns: one tantivy index in a directory of its own, fed by the text projection and asked by recall.
//! Promises: after [`TextStore::apply`] returns, its documents are durable, visible and committed together with the
//! checkpoints; a rebuild from the log gives the same [`TextStore::digest`] and the same answers.
//! What is forgotten is in no answer and in no statistic from the commit on that says so, whichever came first, as if it had
//! never been there: its neighbours move together.
//! Never: holds the messages' text (the threads store does), reads the log, or ranks one space by another's statistics.
//!
//! A message's way in: `analysis` makes terms of it, `store` gives it its place in its thread, `layout` makes a document
//! of both, with its `record` in `columns` and `names`, and `commit` goes with the batch. A query's way: `analysis`, then
//! `search` over a `view`, which pairs an index snapshot with the `turns` held in memory. [`snippet()`] shows why a text was
//! found. What lies damaged on disk is found by a `check`. What is forgotten is kept in `forgettings`, and leaves by `removals`.

mod analysis;
mod cause;
mod check;
mod columns;
mod commit;
mod forgettings;
mod layout;
mod names;
mod record;
mod removals;
mod search;
mod snippet;
mod store;
#[cfg(test)]
mod tests;
mod turns;
mod view;

pub use search::{TextHit, TextHits, TextQuery};
pub use snippet::{Snippet, snippet};
pub use store::{TextDocument, TextStore};

/// The version of what is stored, terms included. Raise it with every change to them: older indexes are then refused, and
/// a rebuild makes new ones.
pub(crate) const FORMAT: u32 = 3;
