//! Endpoints: a provider with everything that bounds how it is asked.
//!
//! Owns: whether it may be asked now (circuit, and what it said about its limits), how many calls at once, and the pauses between
//! attempts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    circuit::{Circuit, Health, Permission},
    config::{ProviderConfig, RetryConfig},
    slots::Slots,
};
use crate::providers::{Class, Failure, Provider, Timeouts};

/// The most models whose limits are remembered; more than a provider has.
const PARKED_MODELS: usize = 1_024;

/// A provider, and how it is asked.
pub(super) struct Endpoint {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) slots: Slots,
    pub(super) timeouts: Timeouts,
    pub(super) retries: RetryConfig,
    pub(super) asks_usage: bool,
    circuit: Mutex<Circuit>,
    /// Until when a model is to be left alone, as the provider said.
    parked: Mutex<HashMap<String, Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    pub(super) fn new(config: &ProviderConfig, provider: Arc<dyn Provider>) -> Self {
        Self {
            provider,
            slots: Slots::new(config.concurrency, config.queue),
            timeouts: config.timeouts.into(),
            retries: config.retries,
            asks_usage: config.ask_for_usage,
            circuit: Mutex::default(),
            parked: Mutex::default(),
        }
    }

    /// How long the model is still to be left alone, as the provider said.
    pub(super) fn parked(&self, model: &str) -> Option<Duration> {
        let mut parked = lock(&self.parked);
        let left = parked.get(model)?.checked_duration_since(Instant::now());
        if left.is_none() {
            parked.remove(model);
        }
        left
    }

    /// Whether it may be asked. What came of it is to be told to [`Endpoint::record`].
    ///
    /// # Errors
    /// It is left alone for now.
    pub(super) fn permit(&self) -> Result<(), Failure> {
        match lock(&self.circuit).permit(Instant::now()) {
            Permission::Granted => Ok(()),
            Permission::Refused(wait) => {
                let message =
                    format!("the provider {} keeps failing and is left alone for a while", self.provider.name());
                Err(Failure { retry_after: Some(wait), ..Failure::new(Class::CircuitOpen, message) })
            }
        }
    }

    /// Takes in how an attempt ended.
    pub(super) fn record(&self, model: &str, ended: Result<(), &Failure>) {
        let health = match ended {
            Ok(()) => Health::Well,
            Err(failure) => health(failure.class),
        };
        lock(&self.circuit).record(health, Instant::now());
        if let Err(Failure { class: Class::RateLimited | Class::Overloaded, retry_after: Some(wait), .. }) = ended {
            let mut parked = lock(&self.parked);
            if parked.len() < PARKED_MODELS {
                parked.insert(model.to_owned(), Instant::now() + *wait);
            }
        }
    }

    /// The pause before an attempt that follows `tries` others, if it is not too long to be made.
    pub(super) fn pause(&self, tries: u32, failure: &Failure) -> Option<Duration> {
        let longest = Duration::from_millis(self.retries.longest_ms);
        if let Some(stated) = failure.retry_after {
            return (stated <= longest).then_some(stated);
        }
        let doubled = Duration::from_millis(self.retries.first_ms).saturating_mul(1 << (tries.clamp(1, 16) - 1));
        Some(doubled.min(longest).mul_f64(rand::random_range(0.8..=1.2)))
    }

    /// The circuit's state in a word.
    pub(super) fn circuit(&self) -> &'static str {
        lock(&self.circuit).name()
    }
}

/// What a failure says about the provider.
fn health(class: Class) -> Health {
    match class {
        Class::Connect
        | Class::Cut
        | Class::FirstByte
        | Class::BetweenBytes
        | Class::Whole
        | Class::Credentials
        | Class::Overloaded
        | Class::Upstream
        | Class::Malformed
        | Class::Truncated => Health::Ill,
        Class::NoModel | Class::Context | Class::Content | Class::Invalid | Class::TooLarge => Health::Well,
        Class::RateLimited
        | Class::QuotaExceeded
        | Class::CircuitOpen
        | Class::QueueFull
        | Class::Cancelled
        | Class::Interrupted
        | Class::Log
        | Class::Internal => Health::Unknown,
    }
}
