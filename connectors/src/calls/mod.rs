//! Calls of models: from a caller's request to a provider's answer, with everything that happened on the log.
//!
//! A call goes so: it is requested, and the first attempt started, in one append that is durable before the provider is asked;
//! pieces of the answer are given to the caller as they come; the call is settled, durably, before the caller has the last
//! one. Attempts that failed without output are followed by others, at the same provider or the next.
//!
//! Owns: names of models, keys of callers, limits, circuits, retries, and what each event of a call says.
//! Promises: of every call that was requested there is one event that settles it, or the call is open and nobody has been told
//! its end. Once output was given nobody else is asked. A caller who leaves is noticed, and so is the provider.
//! Never: knows HTTP of callers (that is [`crate::http`]) or a wire format of providers (that is [`crate::providers`]).

mod circuit;
pub mod config;
mod dispatch;
mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod outlet;
pub mod record;
pub mod request;
mod routes;
mod secret;
mod slots;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use dispatch::{Dispatcher, EarlierAttempts, ModelCard, ProviderState};
pub use outlet::{Begun, Head, Refused};
pub use record::{Caller, OWN_LABEL, Outcome, Record};
pub use request::{Own, OwnContext, Request};
pub use secret::{Reference, Secret};
