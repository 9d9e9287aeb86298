//! A call's row, and how it changes with what happened to the call.
//!
//! Promises: a change that comes again changes nothing; of two different ones that say the same thing, such as two ends of one
//! call, the first counts. Each is told by the call and, for attempts, by the attempt's number.
//! Never: reads a clock or a store.

use meshlog_schemas::Position;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::usage::{Bucket, Tally};
use crate::{Micros, position::StoredPosition};

/// The state of a call that has not ended. The others are the outcomes of [`Change::Settled`].
pub const OPEN: &str = "open";

/// A call, without its bodies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRow {
    /// The call's id.
    pub call_id: Uuid,
    /// The space that it is made for.
    pub space: String,
    /// The thread whose turn it is, if it is one.
    pub thread: Option<String>,
    /// The label of the key that the caller showed; empty where none was asked for.
    pub key_label: String,
    /// `chat` or `embeddings`.
    pub kind: String,
    /// The model's name, as the caller gave it.
    pub model: String,
    /// [`OPEN`], or how it ended.
    pub state: String,
    /// When it was requested. Where neither the request nor the end is known: when the first is known of it.
    pub requested_at: Micros,
    /// The request; `None` where retention took it before this store saw it.
    pub request: Option<RequestRow>,
    /// What was tried, by number.
    pub attempts: Vec<AttemptRow>,
    /// How it ended; `None` while it is open.
    pub settled: Option<SettledRow>,
}

/// What only the request says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    /// The format of the request's body.
    pub wire: String,
    /// `stream` or `whole`: how the caller wants the answer.
    pub mode: String,
    /// The node whose caller waits; empty where any dispatcher may carry the call out.
    pub owner: String,
    /// The caller's own.
    pub idempotency_key: Option<String>,
    /// Where it stands on the log, with its body.
    #[serde(with = "StoredPosition")]
    pub position: Position,
}

/// An attempt to have a provider answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// From 1.
    pub number: i32,
    /// Who was asked.
    pub provider: String,
    /// The model's name at the provider; empty where only the failure is known.
    pub model: String,
    /// When it was begun; `None` where only the failure is known.
    pub started_at: Option<Micros>,
    /// What the provider was given to know a repetition by.
    pub idempotency_key: Option<String>,
    /// How it failed, if it did.
    pub failure: Option<FailureRow>,
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRow {
    /// When.
    pub failed_at: Micros,
    /// What kind of failure it was.
    pub class: String,
    /// The HTTP status; 0 where there was none.
    pub status: i32,
    /// How long the provider asks to be left alone; -1 where it does not say.
    pub retry_after_ms: i64,
    /// What went wrong.
    pub message: String,
}

/// How a call ended; see `CallSettled` in the schemas for each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledRow {
    /// When this was written down.
    pub settled_at: Micros,
    /// What kind of failure it was; empty where there was none.
    pub error_class: String,
    /// What went wrong, in the words that the caller was given.
    pub error_message: String,
    /// The HTTP status that the caller was given; 0 where it was given none.
    pub status: i32,
    /// How often a provider was asked.
    pub attempts: i32,
    /// Who was asked last; empty where nobody was.
    pub provider: String,
    /// The model's name at the provider.
    pub model: String,
    /// The model's name in the answer.
    pub answered_model: String,
    /// Why the model stopped.
    pub finish_reason: String,
    /// From the request to the first output; -1 where there was none.
    pub first_output_micros: i64,
    /// From the request to the end.
    pub total_micros: i64,
    /// `reported`, `estimated` or `none`.
    pub usage_source: String,
    /// The usage as the provider reported it, JSON; empty where it did not.
    pub usage: String,
    /// Input that was neither read from nor written to the provider's cache.
    pub input_tokens: i64,
    /// Input that was written to the provider's cache.
    pub cache_write_tokens: i64,
    /// Input that was read from the provider's cache.
    pub cache_read_tokens: i64,
    /// Output without reasoning.
    pub output_tokens: i64,
    /// Output that the model thought and did not say.
    pub reasoning_tokens: i64,
    /// Billionths of a US dollar; -1 where the model has no price.
    pub cost_nanos: i64,
    /// Which prices these were.
    pub price_table: String,
    /// The provider's name for the request.
    pub request_id: Option<String>,
    /// What of the answer's headers is kept, as a JSON object.
    pub headers: String,
    /// The format of the answer's body; empty where nobody was asked.
    pub wire: String,
    /// The answer's media type; empty where there was no answer.
    pub response_type: String,
    /// How long the answer's body was.
    pub response_bytes: i64,
    /// Where it stands on the log, with the answer's body.
    #[serde(with = "StoredPosition")]
    pub position: Position,
}

/// Something that happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallChange {
    /// The call.
    pub call_id: Uuid,
    /// Its space.
    pub space: String,
    /// Its thread, if it has one.
    pub thread: Option<String>,
    /// When it happened.
    pub at: Micros,
    /// What happened.
    pub change: Change,
}

/// What can happen to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is to be made.
    Requested {
        /// The label of the caller's key.
        key_label: String,
        /// `chat` or `embeddings`.
        kind: String,
        /// The model's name, as the caller gave it.
        model: String,
        /// The rest.
        request: RequestRow,
    },
    /// A provider is about to be asked.
    AttemptStarted {
        /// Counts the attempts from 1.
        number: i32,
        /// Who is asked.
        provider: String,
        /// The model's name there.
        model: String,
        /// What the provider is given to know a repetition by.
        idempotency_key: Option<String>,
    },
    /// A provider did not answer as it should.
    AttemptFailed {
        /// Which attempt.
        number: i32,
        /// Who was asked.
        provider: String,
        /// How it failed.
        failure: FailureRow,
    },
    /// It has ended.
    Settled {
        /// The label of the caller's key.
        key_label: String,
        /// `chat` or `embeddings`.
        kind: String,
        /// The model's name, as the caller gave it.
        model: String,
        /// How it ended.
        outcome: String,
        /// When it was requested.
        requested_at: Micros,
        /// The rest.
        settled: Box<SettledRow>,
    },
}

impl CallRow {
    /// The row of a call of which nothing is known but that something happened to it.
    pub(super) fn begun(by: &CallChange) -> Self {
        Self {
            call_id: by.call_id,
            space: by.space.clone(),
            thread: by.thread.clone(),
            key_label: String::new(),
            kind: String::new(),
            model: String::new(),
            state: OPEN.to_owned(),
            requested_at: by.at,
            request: None,
            attempts: Vec::new(),
            settled: None,
        }
    }

    /// Folds a change in. When that ends the call: what it used, to be counted now and never again.
    pub(super) fn fold(&mut self, change: &CallChange) -> Option<(Bucket, Tally)> {
        match &change.change {
            Change::Requested { key_label, kind, model, request } if self.request.is_none() => {
                self.request = Some(request.clone());
                if self.settled.is_none() {
                    (self.key_label, self.kind, self.model) = (key_label.clone(), kind.clone(), model.clone());
                    self.requested_at = change.at;
                }
                None
            }
            Change::AttemptStarted { number, provider, model, idempotency_key } => {
                let attempt = self.attempt(*number, provider);
                if attempt.started_at.is_none() {
                    attempt.started_at = Some(change.at);
                    attempt.model.clone_from(model);
                    attempt.idempotency_key.clone_from(idempotency_key);
                }
                None
            }
            Change::AttemptFailed { number, provider, failure } => {
                self.attempt(*number, provider).failure.get_or_insert_with(|| failure.clone());
                None
            }
            Change::Settled { key_label, kind, model, outcome, requested_at, settled } if self.settled.is_none() => {
                (self.key_label, self.kind, self.model) = (key_label.clone(), kind.clone(), model.clone());
                self.state.clone_from(outcome);
                self.requested_at = *requested_at;
                let tally = Tally::of(outcome, settled);
                let settled = self.settled.insert(settled.as_ref().clone());
                let bucket = Bucket::new(*requested_at, &self.space, settled, &self.key_label, &self.kind);
                Some((bucket, tally))
            }
            Change::Requested { .. } | Change::Settled { .. } => None,
        }
    }

    fn attempt(&mut self, number: i32, provider: &str) -> &mut AttemptRow {
        let place = match self.attempts.binary_search_by_key(&number, |attempt| attempt.number) {
            Ok(place) => place,
            Err(place) => {
                let attempt = AttemptRow {
                    number,
                    provider: provider.to_owned(),
                    model: String::new(),
                    started_at: None,
                    idempotency_key: None,
                    failure: None,
                };
                self.attempts.insert(place, attempt);
                place
            }
        };
        &mut self.attempts[place]
    }
}
