//! The course of a rebuild: what is done next, whatever became of the step before.
//!
//! ```text
//! Fill -> Compare -> CatchUp -> Name -> Exchange -> GoOn -> done
//!    \        \         \         \
//!     \        \         \         NameOld -> Discard (or, where CURRENT cannot be written, leave both) -> GoOn
//!      +--------+---------+--------------> Discard -> GoOn -> cancelled or failed
//!       +--------+---------+-------------> Leave -> GoOn -> paused
//! ```
//!
//! Owns: the order of steps and what follows a failure, as a plain state machine, so that a test can fail, cancel, pause or kill it
//! at every step; see `simulation`. Carrying the steps out is [`crate::Views`]'s.
//! Never: discards a view that CURRENT may name as the one that serves.

use crate::Phase;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a new view, or take one that was begun, and bring it to the end of the log, while the old one serves and goes on.
    Fill,
    /// Compare the two at the same checkpoints. The old one is held still for a moment only.
    Compare,
    /// Hold the old view still and bring the new one to where it stands; the last moment at which a rebuild can be cancelled.
    CatchUp,
    /// Make the new view the one that serves after a restart. If this fails, either may be.
    Name,
    /// Make the old view the one again.
    NameOld,
    /// Let queries use the new view from now on, and the old one rest. Cannot fail.
    Exchange,
    /// Remove the new view; what cannot be removed now is swept at the next start.
    Discard,
    /// Close the new view, so that it can be gone on with.
    Leave,
    /// Let the view that serves be kept up to date again.
    GoOn,
    /// Nothing: this is how it ended.
    Over(Phase),
}

/// Why a step was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was asked to end.
    Cancelled,
    /// It was asked to pause, or everything stops.
    Paused,
    /// Something failed.
    Failed,
}

/// A rebuild's course.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    step: Step,
    /// How it will end.
    end: Phase,
    is_held: bool,
}

impl Course {
    /// From the beginning.
    pub(crate) fn new() -> Self {
        Self { step: Step::Fill, end: Phase::Done, is_held: false }
    }

    /// What is to be done next.
    pub(crate) fn step(&self) -> Step {
        self.step
    }

    /// The step was done, or not.
    pub(crate) fn answer(&mut self, result: Result<(), Fault>) {
        self.is_held |= self.step == Step::CatchUp;
        if let Err(fault) = result
            // A new view that stays on disk changes nothing for anybody.
            && !matches!(self.step, Step::Discard | Step::Leave)
        {
            self.end = match fault {
                Fault::Cancelled => Phase::Cancelled,
                Fault::Paused => Phase::Paused,
                Fault::Failed => Phase::Failed,
            };
        }
        let resume = if self.is_held { Step::GoOn } else { Step::Over(self.end) };
        self.step = match (self.step, result) {
            (Step::Fill, Ok(())) => Step::Compare,
            (Step::Compare, Ok(())) => Step::CatchUp,
            (Step::CatchUp, Ok(())) => Step::Name,
            (Step::Name, Ok(())) => Step::Exchange,
            (Step::Name, Err(_)) => Step::NameOld,
            (Step::Fill | Step::Compare | Step::CatchUp, Err(Fault::Paused)) => Step::Leave,
            (Step::Fill | Step::Compare | Step::CatchUp, Err(_)) | (Step::NameOld, Ok(())) => Step::Discard,
            (Step::Exchange | Step::Discard | Step::Leave, _) | (Step::NameOld, Err(_)) => resume,
            (Step::GoOn | Step::Over(_), _) => Step::Over(self.end),
        };
    }
}

#[cfg(test)]
mod simulation;
