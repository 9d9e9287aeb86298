//! Views of the log: keeping them, rebuilding them beside the old ones, switching, and verifying them.
//!
//! A view is one projection's store at one version, in a directory of its own below `projections/NAME/`. The file
//! `CURRENT` there names the one that serves, the one that served before it, and the one that is being built.
//!
//! During a rebuild the old view serves and stays up to date. The new one is filled from the start of the log in
//! batches of bounded size, compared with the old one at the same checkpoints, caught up, and switched in by one atomic
//! change of `CURRENT`. Then the old one rests, until it is gone back to, dropped, or outlived by the next rebuild. Cancelling at any point
//! leaves the old view as it was; after a pause or the end of the process a rebuild goes on where it was.
//!
//! And whole logs, moved from one engine to another: see [`migrate`].
//!
//! Never here: what a projection stores (processors), or any way to the outside world. A replay has no port through
//! which a message could be sent or a model called.

mod course;
mod directory;
mod error;
mod kept;
pub mod migrate;
mod rebuild;
#[cfg(test)]
#[path = "../../testing/seeds.rs"]
mod seeds;
mod settings;
mod slots;
mod verify;
mod view;
mod views;
mod work;

pub use error::ReplayError;
pub use rebuild::{Phase, Purpose, RebuildStatus};
pub use settings::ReplaySettings;
pub use verify::Verdict;
pub use view::{Opened, Opening, ViewSpec};
pub use views::{VersionState, VersionStatus, ViewStatus, Views};
