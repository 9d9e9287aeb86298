//! The processor runtime: stages, which derive events, and projections, which fold events into stores.
//!
//! Owns: reading, retrying, committing and reporting. A processor itself is a plain value that is handed events.
//! Never: gives a projection a way to append, or any processor a clock.

mod coordinator;
mod dead_letters;
mod health;
mod lanes;
mod letters;
mod progress;
mod projection;
mod projection_runner;
mod rate;
mod schedule;
mod stage;
mod stage_group;
mod stage_runner;
mod stop;
mod watchdog;

pub use dead_letters::{DeadLetter, DeadLetterView, DeadLetters, ParkedCount};
pub use health::{Health, PartitionHealth};
pub use letters::{dead_letter_discarded, redrive_requested};
pub use progress::{Bounded, Condition, Progress, Status};
pub use projection::{Projection, ProjectionError};
pub use projection_runner::{ProjectionRunner, apply_batch};
pub use rate::Rate;
#[cfg(any(test, feature = "fuzzing"))]
pub use schedule::stage_note;
pub use schedule::{Backoff, FailureClass, Load, Parked, Settings};
pub use stage::{Derived, Priority, Stage, StageError};
pub use stage_group::StageGroup;
pub use stage_runner::{StageRunner, stage_of};
pub use stop::Stop;
pub use watchdog::STALL_AFTER;

#[cfg(test)]
mod projection_simulation;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
