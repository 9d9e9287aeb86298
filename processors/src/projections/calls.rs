//! The `calls` projection: calls of models into the calls store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{CallSettled, Checkpoints, Digest, Event, EventId, Position, Topic};

use super::version::version;
use crate::{
    Micros, StoreError,
    calls::{CallChange, CallStore, Change, FailureRow, RequestRow, SettledRow},
};

/// Counts up when what [`CallProjection`] keeps of an event changes.
const CODE: u32 = 1;
const INPUTS: [Topic; 1] = [Topic::Calls];

/// Keeps calls and what they used.
pub struct CallProjection {
    /// The store, for queries.
    pub store: Arc<CallStore>,
}

impl CallProjection {
    /// The projection's name.
    pub const NAME: &str = "calls";

    /// The view's version.
    pub fn version() -> String {
        version(CODE, &INPUTS, None)
    }

    /// Opens the store in a directory; with the memory that filling it may take, in bytes, where nobody asks it yet.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(CallStore::open_with(directory, memory)?) })
    }
}

impl Projection for CallProjection {
    fn inputs(&self) -> &[Topic] {
        &INPUTS
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.store.checkpoints()?)
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let changes: Vec<_> = events.iter().filter_map(change).collect();
        Ok(self.store.apply(&changes, checkpoints)?)
    }

    fn settle(&self) -> Result<(), ProjectionError> {
        Ok(self.store.settle()?)
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest_telling(fixed)?)
    }
}

/// What an event says of a call.
fn change(event: &StoredEvent) -> Option<CallChange> {
    let at = event.envelope.time;
    let of = |call: EventId, space: &String, thread: &Option<String>, change| {
        Some(CallChange { call_id: call.0, space: space.clone(), thread: thread.clone(), at, change })
    };
    match &event.event {
        Event::CallRequested(body) => {
            let request = RequestRow {
                wire: body.wire.clone(),
                mode: body.mode.clone(),
                owner: body.owner.clone(),
                idempotency_key: body.idempotency_key.clone(),
                position: event.position,
            };
            let change = Change::Requested {
                key_label: body.key_label.clone(),
                kind: body.kind.clone(),
                model: body.model.clone(),
                request,
            };
            of(body.call_id, &body.space, &body.thread, change)
        }
        Event::AttemptStarted(body) => {
            let change = Change::AttemptStarted {
                number: body.number,
                provider: body.provider.clone(),
                model: body.model.clone(),
                idempotency_key: body.idempotency_key.clone(),
            };
            of(body.call_id, &body.space, &body.thread, change)
        }
        Event::AttemptFailed(body) => {
            let failure = FailureRow {
                failed_at: at,
                class: body.class.clone(),
                status: body.status,
                retry_after_ms: body.retry_after_ms,
                message: body.message.clone(),
            };
            let change = Change::AttemptFailed { number: body.number, provider: body.provider.clone(), failure };
            of(body.call_id, &body.space, &body.thread, change)
        }
        Event::CallSettled(body) => {
            let change = Change::Settled {
                key_label: body.key_label.clone(),
                kind: body.kind.clone(),
                model: body.asked_model.clone(),
                outcome: body.outcome.clone(),
                requested_at: body.requested_at,
                settled: Box::new(settled(body, at, event.position)),
            };
            of(body.call_id, &body.space, &body.thread, change)
        }
        _ => None,
    }
}

/// How a call ended, without the answer and its timings.
fn settled(body: &CallSettled, settled_at: Micros, position: Position) -> SettledRow {
    SettledRow {
        settled_at,
        error_class: body.error_class.clone(),
        error_message: body.error_message.clone(),
        status: body.status,
        attempts: body.attempts,
        provider: body.provider.clone(),
        model: body.model.clone(),
        answered_model: body.answered_model.clone(),
        finish_reason: body.finish_reason.clone(),
        first_output_micros: body.first_output_micros,
        total_micros: body.total_micros,
        usage_source: body.usage_source.clone(),
        usage: body.usage.clone(),
        input_tokens: body.input_tokens,
        cache_write_tokens: body.cache_write_tokens,
        cache_read_tokens: body.cache_read_tokens,
        output_tokens: body.output_tokens,
        reasoning_tokens: body.reasoning_tokens,
        cost_nanos: body.cost_nanos,
        price_table: body.price_table.clone(),
        request_id: body.request_id.clone(),
        headers: body.headers.clone(),
        wire: body.wire.clone(),
        response_type: body.response_type.clone(),
        response_bytes: body.response_bytes,
        position,
    }
}

#[cfg(test)]
mod tests;
