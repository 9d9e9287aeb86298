//! Stages, which derive events from events, and projections, which fold events into stores that people query.

pub mod embedding;
mod error;
mod filter;
pub mod text;
pub mod vectors;

pub use error::StoreError;
pub use filter::{Facets, Filter, Micros};
