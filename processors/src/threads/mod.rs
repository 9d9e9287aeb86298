//! The threads store: messages by id, threads by space, and the order of both.
//!
//! Owns: a fjall database in its directory; see `tables` for the layout.
//! Promises: a message says what its last edit on the log says, in the place where it was said; what is forgotten is in no answer, and counts nowhere, whether the message or the forgetting came first.
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

pub use store::{Edit, MessageRow, ThreadRow, ThreadStore};
