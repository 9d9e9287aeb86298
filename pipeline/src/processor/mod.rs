//! The processor runtime: stages, which derive events, and projections, which fold events into stores.
//!
//! Owns: reading, retrying, committing and reporting. A processor itself is a plain value that is handed events.
//! Never: gives a projection a way to append, or any processor a clock.

mod progress;
mod projection;
mod projection_runner;
mod schedule;
mod stage;
mod stage_runner;
mod stop;

pub use progress::{Condition, Progress, Status};
pub use projection::{Projection, ProjectionError};
pub use projection_runner::{ProjectionRunner, apply_batch};
pub use stage::{Derived, Priority, Stage, StageError};
pub use stage_runner::StageRunner;
pub use stop::Stop;

#[cfg(test)]
mod tests;
