//! The queue: batches that wait for the writer.
//!
//! Owns: their order, and waking the writer. Producers prepare their frames before they come here, so what is held in
//! turn is short.
//! Never: bounds anything; whoever comes here holds a permit of the log's `Room`.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use meshlog_schemas::EventId;
use tokio::sync::oneshot;

use crate::{
    log::{AppendError, Written},
    record::{ProcessorProgress, Receipt},
    room::Permit,
};

/// A batch on its way to the disk.
pub(super) struct Request {
    /// The frames of all records, begun but not finished; see `frame`.
    pub(super) frames: Vec<u8>,
    pub(super) records: Vec<Prepared>,
    pub(super) progress: Option<ProcessorProgress>,
    /// Held until the batch is answered, so that the room counts what is under way too.
    pub(super) permit: Permit,
    /// Told when the batch is in the journal and not yet synced.
    pub(super) written: Option<Written>,
    pub(super) reply: oneshot::Sender<Result<Vec<Receipt>, AppendError>>,
}

/// A record within a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    /// Which partition.
    pub(super) slot: u32,
    /// The length of its frame.
    pub(super) length: u32,
    pub(super) identity: Option<EventId>,
    /// The time it has already, of a record that is moved here with its position; see `transfer`.
    pub(super) given: Option<i64>,
}

/// Batches that wait.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Request>,
    /// The writer sleeps until so many wait.
    wanted: Option<usize>,
    is_closed: bool,
}

impl Queue {
    /// Adds a batch; it is answered. `Err`: the queue is closed.
    pub(super) fn push(&self, request: Request) -> Result<(), Box<Request>> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Box::new(request));
        }
        state.waiting.push(request);
        if state.wanted.is_some_and(|wanted| state.waiting.len() >= wanted) {
            state.wanted = None;
            drop(state);
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Takes all that wait into `taken`; sleeps while there is none. Where `company` more are likely to come soon, it gives
    /// them up to `patience`. Answers `false` once the queue is closed and empty.
    pub(super) fn take(&self, taken: &mut Vec<Request>, company: usize, patience: Duration) -> bool {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.is_closed {
                return false;
            }
            state.wanted = Some(1);
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.waiting.len() < company {
            let until = Instant::now() + patience;
            while state.waiting.len() < company && !state.is_closed {
                let Some(left) = until.checked_duration_since(Instant::now()) else { break };
                state.wanted = Some(company);
                let (woken, waited) = self.bell.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                if waited.timed_out() {
                    break;
                }
            }
        }
        state.wanted = None;
        std::mem::swap(&mut state.waiting, taken);
        true
    }

    /// Takes no more; what waits is still taken.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.bell.notify_all();
    }

    /// Takes what waits away from a writer that is no more.
    pub(super) fn abandon(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().waiting)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
