//! What a kind of view needs to be kept: its name, its version, and a way to open it.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError};

/// Opens a store in a directory, or makes a new one there.
pub(crate) type Open = Box<dyn Fn(Opening<'_>) -> Result<Opened, ProjectionError> + Send + Sync>;

/// A kind of view.
pub struct ViewSpec {
    /// The projection's name.
    pub name: &'static str,
    /// The version that this program and its model make; good as a directory's name.
    pub version: String,
    /// Opens a view of this kind.
    pub open: Open,
}

/// What is to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The directory.
    pub path: &'a Path,
    /// The version that made what is in it. Where it is another than the spec's, what cannot be served with this program and its
    /// model is refused.
    pub version: &'a str,
    /// The memory that it may take, in bytes, while a rebuild fills it and nobody asks it; `None` once it serves.
    pub memory: Option<usize>,
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
