//! The threads store: messages by id, threads by space, and the order of both.
//!
//! Owns: a fjall database in its directory; see `tables` for the layout.
//! Never: knows topics or the log; the projection hands it messages.

#[cfg(test)]
mod full_disk;
mod keys;
mod store;
mod tables;

pub use store::{MessageRow, ThreadRow, ThreadStore};
