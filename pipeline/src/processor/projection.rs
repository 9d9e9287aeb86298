//! The projection's contract: folding events into a store.

use meshlog_schemas::{Checkpoints, Digest, Topic};

use crate::events::StoredEvent;

/// Folds events into a store that people and programs query.
///
/// Contract:
/// - **Atomic.** [`Projection::apply`] stores the effects of the events and the checkpoints together or nothing. After
///   a crash [`Projection::checkpoints`] is exactly what the data reflects: both may have been set back, together, to
///   an earlier call, since the log can bring them forward again.
/// - **By id.** An event that is applied again, or stands twice on the log, changes nothing: effects are keyed by the
///   event's ids, never counted blindly.
/// - **Deterministic.** The content depends on the events and their order within each ordering key alone: not on the
///   clock, on chance, on how events are split into batches, or on how partitions interleave. Hence a rebuild gives
///   the same [`Projection::digest`].
/// - **Visible.** What was applied is seen by queries once `apply` returns; in a store that is being filled, once
///   [`Projection::settle`] does.
/// - **One writer.** `apply` is called by one thread at a time; queries run beside it.
pub trait Projection: Send + Sync + 'static {
    /// The topics it reads.
    fn inputs(&self) -> &[Topic];

    /// How far the stored data reflects the log.
    ///
    /// # Errors
    /// The store cannot be read.
    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError>;

    /// Applies events and moves the checkpoints, in one atomic commit. `checkpoints` covers the events, and also
    /// entries that were left out because they cannot be read.
    ///
    /// # Errors
    /// The store cannot be written; nothing of the call is stored, and the same call may be made again.
    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError>;

    /// Ends the filling of a store that was opened to be filled: what it holds back, to write it in order, is written. Only then may it be
    /// queried and digested. Nothing happens where nothing is held back.
    ///
    /// # Errors
    /// The store cannot be written; [`Projection::checkpoints`] says where to go on from.
    fn settle(&self) -> Result<(), ProjectionError> {
        Ok(())
    }

    /// A digest of the logical content; equal for a store and its rebuild at the same checkpoints. `fixed` is called once what is
    /// digested is fixed: what is applied from then on is not in it.
    ///
    /// # Errors
    /// The store cannot be read.
    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError>;

    /// As [`Projection::digest_telling`], for one that nobody waits for.
    ///
    /// # Errors
    /// As there.
    fn digest(&self) -> Result<Digest, ProjectionError> {
        self.digest_telling(&|| ())
    }
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ProjectionError(pub String);
