//! What a kind of view needs to be kept: its name, its version, and a way to open it.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError};

/// Opens a store in a directory, or makes a new one there.
pub(crate) type Open = Box<dyn Fn(&Path) -> Result<Opened, ProjectionError> + Send + Sync>;

/// A kind of view.
pub struct ViewSpec {
    /// The projection's name.
    pub name: &'static str,
    /// The version that this program and its model make; good as a directory's name.
    pub version: String,
    /// Opens a view of this kind.
    pub open: Open,
}

/// An opened view.
pub struct Opened {
    /// The projection that fills it.
    pub projection: Arc<dyn Projection>,
    /// Lets queries use it from now on, instead of the one before.
    pub publish: Box<dyn FnOnce() + Send>,
    /// Whether anybody but the projection still uses the store.
    pub is_in_use: Box<dyn Fn() -> bool + Send>,
}
