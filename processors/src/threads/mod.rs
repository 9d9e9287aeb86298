//! The threads store: messages by id, threads by space, and the order of both.
//!
//! Owns: a fjall database in its directory; see `tables` for the layout.
//! Promises: what is forgotten is in no answer, and counts nowhere, whether the message or the forgetting came first.
//! Never: knows topics or the log; the projection hands it messages.

mod forgetting;
#[cfg(test)]
mod full_disk;
mod keys;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod turn;

pub use store::{MessageRow, ThreadRow, ThreadStore};
