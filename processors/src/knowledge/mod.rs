//! Knowledge: what messages say, as facts that can be asked for.
//!
//! Owns: the pure parts of the knowledge stage, from text to values.
//! Never: reads the log, calls a model, or keeps anything.

pub mod entities;
pub mod times;
