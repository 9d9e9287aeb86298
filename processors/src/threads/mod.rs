//! The threads store: messages by id, threads by space, and the order of both.
//!
//! Owns: a fjall database in its directory; see `store` for the layout.
//! Never: knows topics or the log; the projection hands it messages.

mod keys;
mod store;

pub use store::{MessageRow, Page, PageLimit, ThreadRow, ThreadStore};
