//! Knowledge: what messages say, as facts that can be asked for.
//!
//! Owns: the stages of knowledge, and their pure parts, from text to values.
//! Never: calls a model itself (the stage in [`model`] asks a port), or keeps anything.

pub mod entities;
pub mod facts;
pub mod model;
mod recorded;
mod resolver;
mod stage;
pub mod stretches;
pub mod times;

pub use resolver::Resolver;
pub use stage::Extractor;
