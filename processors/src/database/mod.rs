//! What every store in a fjall database has: its keyspaces with its checkpoints, keys that order as lists do, and that it
//! goes on after a failed write.
//!
//! Never: knows what a store keeps; `threads` and `calls` do.

mod batch;
mod filling;
mod gathered;
pub(crate) mod keys;
mod keyspace;
mod keyspaces;
mod reopening;

pub(crate) use batch::Batch;
pub(crate) use keyspace::Keyspace;
pub(crate) use keyspaces::{Keyspaces, SMALL_CACHE};
pub(crate) use reopening::{Reopening, Tables};

#[cfg(test)]
mod tests;
