//! Vectors: which messages mean something near to a question.
//!
//! Owns: the vector of each message with the facets that filters look at, exact search over it, and an index for stores
//! too large to be searched exactly.
//! Promises: items and checkpoints commit in one durable transaction, so a restart neither skips nor repeats an effect;
//! every score handed out is the exact cosine, whichever way the message was found; what is forgotten is in no answer, whether
//! the message or the forgetting came first.
//! Never: computes a vector (see [`embedding`](crate::embedding)), reads the log, or ranks by anything but the cosine.
//!
//! # Layout
//!
//! One LMDB environment, with these databases (`tables.rs` has the details):
//!
//! | Name | Key | Value |
//! |---|---|---|
//! | `ids` | message id, 16 bytes | item number, u32 big-endian |
//! | `items` | item number | message id, then the vector, f32 little-endian |
//! | `facets` | item number | the facets (`record.rs` has the encoding) |
//! | `spaces` | BLAKE3 hash of the space's name | Roaring bitmap of item numbers |
//! | `forgettings` | BLAKE3 hash of space and scope | the forgetting, as JSON |
//! | `meta` | name | layout, dimensions, checkpoints, numbering |
//! | `index` | arroy's | arroy's |
//!
//! Item numbers count up in the order of arrival. A message keeps its number until its vector changes after it was
//! indexed; then it gets a new one, and the old number is never used again.
//!
//! A forgotten message is taken out of its space's bitmap and put into that of the forgotten in the same transaction, and its
//! rows are removed in bounded steps. The file keeps their bytes until LMDB writes over the freed pages, which it prefers to
//! growing; the index keeps them until it is built next.
//!
//! # Search
//!
//! Vectors have unit length, so the cosine is the dot product. The messages that pass the filter are scored one by one
//! unless they are more than [`VectorOptions::exact_limit`] *and* more than half of those indexed, and the limit asks for
//! a small part of them: only then the index answers. (On a smaller share arroy would score them one by one itself, on
//! one thread.) Items that arrived after the index was last built (the tail) are always scored one by one, so a message
//! can be found as soon as it is applied.

mod cause;
mod cosine;
mod environment;
mod index;
mod options;
mod query;
mod record;
mod search;
mod store;
mod tables;
mod write;

#[cfg(test)]
mod tests;

pub use options::VectorOptions;
pub use query::{VectorHits, VectorQuery};
pub use record::VectorItem;
pub use store::VectorStore;
