//! Views of the log: keeping them, rebuilding them beside the old ones, switching, and verifying them.
//!
//! A view is one projection's store at one version, in a directory of its own below `projections/NAME/`. The file
//! `CURRENT` there names the one that serves.
//!
//! During a rebuild the old view serves and stays up to date. The new one is filled from the start of the log in
//! batches of bounded size, caught up, compared with the old one at the same checkpoints, and switched in by one atomic
//! change of `CURRENT`. Cancelling at any point leaves the old view as it was.
//!
//! And whole logs, moved from one engine to another: see [`migrate`].
//!
//! Never here: what a projection stores (processors), or any way to the outside world. A replay has no port through
//! which a message could be sent or a model called.

mod course;
mod directory;
mod error;
pub mod migrate;
mod reaper;
mod rebuild;
#[cfg(test)]
#[path = "../../testing/seeds.rs"]
mod seeds;
mod verify;
mod view;
mod views;

pub use error::ReplayError;
pub use rebuild::{Phase, RebuildStatus};
pub use verify::Verdict;
pub use view::{Opened, ViewSpec};
pub use views::{ViewStatus, Views};
