//! Knowledge: what messages say, as facts that can be asked for.
//!
//! Owns: the stages of knowledge, and their pure parts, from text to values.
//! Never: calls a model, or keeps anything.

pub mod entities;
pub mod facts;
mod resolver;
mod stage;
pub mod times;

pub use resolver::Resolver;
pub use stage::Extractor;
