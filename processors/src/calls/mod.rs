//! The calls store: calls of models by id, by space, thread and state, and what they used by day.
//!
//! Owns: a fjall database in its directory; see `tables` for the layout.
//! Never: knows topics or the log; the projection hands it changes. It keeps no body: a row says where on the log it stands.

mod keys;
mod row;
mod store;
mod tables;
mod usage;

pub use row::{AttemptRow, CallChange, CallRow, Change, FailureRow, OPEN, RequestRow, SettledRow};
pub use store::{CallSelection, CallStore};
pub use usage::{Dimension, Group, GroupName, MICROS_PER_DAY, Tally, Usage, UsageQuery};
