//! The dispatcher as a stage: calls for which nobody waits.
//!
//! Owns: that a call which somebody began and did not come to the end of is told from a new one. What was appended after this
//! stage began nobody else has begun; for what was there before, the log says.
//! Never: takes a call that has an owner.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use meshlog_connectors::calls::{Dispatcher, EarlierAttempts};
use meshlog_pipeline::{Derived, EventLog, LogError, Stage, StageError, StoredEvent};
use meshlog_schemas::{CallRequested, Envelope, Event, EventId, Headers, Offset, Partition, Topic};
use tokio::runtime::Handle;

use super::{
    log::{OWN, WAITING},
    scan::scan,
};

/// Calls under way at once; each has a thread that waits.
const LANES: usize = 16;

/// Carries calls out that were requested for no one who waits.
pub(in crate::house) struct DispatchStage {
    dispatcher: Dispatcher,
    events: EventLog,
    runtime: Handle,
    before: Mutex<HashMap<Partition, Before>>,
}

/// What a partition had when its first call came here.
struct Before {
    /// Where it ended.
    end: Offset,
    calls: HashMap<EventId, Known>,
}

/// What is known of a call.
#[derive(Default)]
struct Known {
    earlier: EarlierAttempts,
    is_settled: bool,
}

impl DispatchStage {
    /// The stage's name.
    pub(in crate::house) const NAME: &str = "dispatch";

    pub(in crate::house) fn new(dispatcher: Dispatcher, events: EventLog, runtime: Handle) -> Self {
        Self { dispatcher, events, runtime, before: Mutex::default() }
    }

    /// What became of a call before.
    fn known(&self, stored: &StoredEvent, call: EventId) -> Result<Known, LogError> {
        let partition = stored.position.partition;
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match before.entry(partition) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                self.events.log().synchronize(Topic::Calls)?;
                unknown.insert(self.read(partition, stored.position.offset)?)
            }
        };
        if stored.position.offset >= before.end {
            return Ok(Known::default());
        }
        Ok(before.calls.remove(&call).unwrap_or_default())
    }

    fn read(&self, partition: Partition, from: Offset) -> Result<Before, LogError> {
        let end = self.events.log().bounds(partition)?.end;
        let mut calls = HashMap::<EventId, Known>::new();
        scan(&self.events, partition, from, end, |stored| match stored.event {
            Event::CallRequested(call) if call.owner.is_empty() => {
                calls.entry(call.call_id).or_default();
            }
            Event::AttemptStarted(attempt) => {
                if let Some(known) = calls.get_mut(&attempt.call_id) {
                    known.earlier = EarlierAttempts { last: Some(attempt), has_failed: false };
                }
            }
            Event::AttemptFailed(attempt) => {
                if let Some(known) = calls.get_mut(&attempt.call_id) {
                    known.earlier.has_failed = true;
                }
            }
            Event::CallSettled(call) => {
                if let Some(known) = calls.get_mut(&call.call_id) {
                    known.is_settled = true;
                }
            }
            _ => {}
        })?;
        Ok(Before { end, calls })
    }
}

impl Stage for DispatchStage {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn input(&self) -> Topic {
        Topic::Calls
    }

    fn lanes(&self) -> usize {
        LANES
    }

    /// Requests, but for those for which somebody waits at a gateway, or a stage; which those are their bodies say for certain.
    fn wants(&self, headers: &Headers) -> bool {
        let has_caller = matches!(Envelope::source_of(headers), Some(WAITING | OWN));
        Envelope::kind_of(headers) == Some(CallRequested::KIND) && !has_caller
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        for stored in events {
            let Event::CallRequested(call) = &stored.event else { continue };
            if !call.owner.is_empty() {
                continue;
            }
            let known = self.known(stored, call.call_id).map_err(|error| StageError::Retriable(error.to_string()))?;
            if known.is_settled {
                continue;
            }
            let carried_out = self.dispatcher.resume(call, stored.envelope.time, known.earlier);
            if let Err(failure) = self.runtime.block_on(carried_out) {
                // It may have been begun: what became of it is read from the log before it is tried again.
                self.before.lock().unwrap_or_else(PoisonError::into_inner).remove(&stored.position.partition);
                return Err(StageError::Retriable(failure.message));
            }
        }
        Ok(Vec::new())
    }
}
