//! Vectors: which messages mean something near to a question.
//!
//! Owns: the vector of each message with the facets that filters look at, exact search over it, and codes by which
//! stores too large to be searched exactly are searched first.
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
//! | `codes` | block number, u32 big-endian | the codes of 1,024 items (see `codes.rs`) |
//!
//! Item numbers count up in the order of arrival. A message keeps its number as long as it is there, and no number is used again.
//!
//! A forgotten message is taken out of its space's bitmap and put into that of the forgotten in the same transaction, and its
//! rows are removed in bounded steps. The file keeps their bytes until LMDB writes over the freed pages, which it prefers to
//! growing.
//!
//! # Search
//!
//! Vectors have unit length, so the cosine is the dot product. Up to [`VectorOptions::exact_limit`] messages that pass the filter are
//! scored one by one. Of more, the codes are compared first, and those are scored exactly whose codes are nearest; with a few of the
//! farthest, for the lowest score. Both look at nothing but what passes the filter, and there is no index to be built, so a message can
//! be found as soon as it is applied.

mod cause;
mod codes;
mod cosine;
mod environment;
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
