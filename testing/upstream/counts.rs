//! Counts: what the scripted provider was asked and what became of it, for tests that compare it with another's books.
//!
//! Sums of tokens are those of answers whose usage was sent. Counts by model and by idempotency key stop growing at
//! [`KEPT_NAMES`] names, what comes after is counted in `left_out`: a run of hours must not fill the memory.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::http::Request;

/// Models, and idempotency keys, that are counted each.
const KEPT_NAMES: usize = 400_000;
/// Requests that are recorded, the last ones, as long as their bodies are no larger together than [`KEPT_BYTES`].
const KEPT_REQUESTS: usize = 1000;
const KEPT_BYTES: usize = 256 << 20;
/// Cancellations whose time is kept, the last ones.
const KEPT_CANCELLATIONS: usize = 1000;

/// What happened since the start, or since the last reset.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    /// Requests for chat completions and embeddings, refused ones too.
    pub(crate) requests: u64,
    /// Answers without a fault that were sent to their end.
    pub(crate) completed: u64,
    /// Faults that were met, by the name of the grammar; those of `--fault-percent` by the name of their like.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Requests whose client left before the end of the answer, be it one with a fault.
    pub(crate) cancelled: u64,
    /// When the last ones left: model and milliseconds since 1970.
    pub(crate) cancellations: VecDeque<(String, u64)>,
    /// Requests that are being answered.
    pub(crate) in_flight: u64,
    /// Connections accepted.
    pub(crate) connections: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    /// Part of the prompt's tokens.
    pub(crate) cached_tokens: u64,
    /// Part of the prompt's tokens.
    pub(crate) cache_write_tokens: u64,
    /// Part of the completion's tokens.
    pub(crate) reasoning_tokens: u64,
    /// Answers whose usage was sent.
    pub(crate) usages: u64,
    /// Requests by the header `idempotency-key`.
    pub(crate) idempotency_keys: BTreeMap<String, u64>,
    /// Requests by the whole model string.
    pub(crate) models: BTreeMap<String, u64>,
    /// Requests whose model or idempotency key came too late to be counted.
    pub(crate) left_out: u64,
}

/// The tokens of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) prompt: u64,
    pub(super) completion: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) reasoning: u64,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case, in the order they came in.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    /// A header's value, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The counters, shared by all connections.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: AtomicU64,
    completed: AtomicU64,
    cancelled: AtomicU64,
    in_flight: AtomicU64,
    connections: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    cache_write_tokens: AtomicU64,
    reasoning_tokens: AtomicU64,
    usages: AtomicU64,
    /// Requests that the share of faults was drawn for.
    drawn: AtomicU64,
    named: Mutex<Named>,
    recorded: Mutex<Kept>,
}

/// Requests that were recorded.
#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Recorded>,
    /// Of the bodies.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Named {
    faults: BTreeMap<&'static str, u64>,
    models: HashMap<String, u64>,
    idempotency_keys: HashMap<String, u64>,
    cancellations: VecDeque<(String, u64)>,
    left_out: u64,
}

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// Counts a request before it is understood.
    pub(super) fn asked(&self, idempotency_key: Option<&str>) -> InFlight<'_> {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        if let Some(key) = idempotency_key {
            let mut named = lock(&self.named);
            let named = &mut *named;
            increment(&mut named.idempotency_keys, key, &mut named.left_out);
        }
        InFlight(self)
    }

    /// Counts a model, and tells how often it was asked for before.
    pub(super) fn model(&self, model: &str) -> u64 {
        let mut named = lock(&self.named);
        let named = &mut *named;
        increment(&mut named.models, model, &mut named.left_out)
    }

    /// The next number of the sequence that the share of faults is drawn by.
    pub(super) fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, Relaxed)
    }

    pub(super) fn fault(&self, name: &'static str) {
        *lock(&self.named).faults.entry(name).or_default() += 1;
    }

    pub(super) fn completed(&self) {
        self.completed.fetch_add(1, Relaxed);
    }

    pub(super) fn cancelled(&self, model: &str) {
        self.cancelled.fetch_add(1, Relaxed);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let cancellations = &mut lock(&self.named).cancellations;
        if cancellations.len() == KEPT_CANCELLATIONS {
            cancellations.pop_front();
        }
        cancellations.push_back((model.to_owned(), u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)));
    }

    pub(super) fn used(&self, usage: &Usage) {
        self.usages.fetch_add(1, Relaxed);
        self.prompt_tokens.fetch_add(usage.prompt, Relaxed);
        self.completion_tokens.fetch_add(usage.completion, Relaxed);
        self.cached_tokens.fetch_add(usage.cached, Relaxed);
        self.cache_write_tokens.fetch_add(usage.cache_write, Relaxed);
        self.reasoning_tokens.fetch_add(usage.reasoning, Relaxed);
    }

    pub(super) fn record(&self, request: &Request<'_>) {
        let headers = request.headers().map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let recorded = Recorded {
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            headers,
            body: request.body.to_vec(),
        };
        let mut kept = lock(&self.recorded);
        kept.bytes += recorded.body.len();
        kept.requests.push_back(recorded);
        while kept.requests.len() > KEPT_REQUESTS || kept.bytes > KEPT_BYTES {
            let Some(oldest) = kept.requests.pop_front() else { return };
            kept.bytes -= oldest.body.len();
        }
    }

    pub(super) fn recorded(&self) -> Vec<Recorded> {
        lock(&self.recorded).requests.iter().cloned().collect()
    }

    pub(super) fn read(&self) -> Counts {
        let named = lock(&self.named);
        let sorted =
            |counts: &HashMap<String, u64>| counts.iter().map(|(name, count)| (name.clone(), *count)).collect();
        Counts {
            requests: self.requests.load(Relaxed),
            completed: self.completed.load(Relaxed),
            faults: named.faults.clone(),
            cancelled: self.cancelled.load(Relaxed),
            cancellations: named.cancellations.clone(),
            in_flight: self.in_flight.load(Relaxed),
            connections: self.connections.load(Relaxed),
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            completion_tokens: self.completion_tokens.load(Relaxed),
            cached_tokens: self.cached_tokens.load(Relaxed),
            cache_write_tokens: self.cache_write_tokens.load(Relaxed),
            reasoning_tokens: self.reasoning_tokens.load(Relaxed),
            usages: self.usages.load(Relaxed),
            idempotency_keys: sorted(&named.idempotency_keys),
            models: sorted(&named.models),
            left_out: named.left_out,
        }
    }

    /// Forgets everything but what is in flight.
    pub(super) fn reset(&self) {
        let sums = [
            &self.requests,
            &self.completed,
            &self.cancelled,
            &self.connections,
            &self.prompt_tokens,
            &self.completion_tokens,
            &self.cached_tokens,
            &self.cache_write_tokens,
            &self.reasoning_tokens,
            &self.usages,
            &self.drawn,
        ];
        for sum in sums {
            sum.store(0, Relaxed);
        }
        *lock(&self.named) = Named::default();
        *lock(&self.recorded) = Kept::default();
    }
}

/// Counts a name, and tells its count before.
fn increment(counts: &mut HashMap<String, u64>, name: &str, left_out: &mut u64) -> u64 {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
        return *count - 1;
    }
    if counts.len() < KEPT_NAMES {
        counts.insert(name.to_owned(), 1);
    } else {
        *left_out += 1;
    }
    0
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
