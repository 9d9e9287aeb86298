//! Calls of models: what was asked, what was tried and how it ended.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{PositionView, Timestamp, Tokens, Usd};

/// The states of a call; see [`Call::state`].
pub const CALL_STATES: [&str; 6] = ["open", "completed", "truncated", "failed", "cancelled", "interrupted"];

/// A call of a model, without its bodies. What is not known, or is not there, is `null`: while the call is open, everything from
/// `settled_at` on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// Its id.
    pub call_id: String,
    /// The space that it is made for.
    pub space: String,
    /// The thread whose turn it is, if it is one.
    #[schema(required)]
    pub thread_id: Option<String>,
    /// The label of the key that the caller showed; empty where none was asked for.
    pub key_label: String,
    /// `chat` or `embeddings`.
    pub kind: String,
    /// The model's name, as the caller gave it.
    pub asked_model: String,
    /// `open` until it has ended, and then how: `completed`, `truncated` (the provider broke off after output was given),
    /// `failed` (without output), `cancelled` (the caller left) or `interrupted` (the server ended meanwhile).
    pub state: String,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Where its request stands in the log. `null` where retention took that away before it was read, and then also what only
    /// the request says: `mode`, `wire`, `owner` and `idempotency_key`.
    #[schema(required)]
    pub request_position: Option<PositionView>,
    /// `stream` or `whole`: how the caller wants the answer.
    #[schema(required)]
    pub mode: Option<String>,
    /// The format of the request's body, such as `openai`.
    #[schema(required)]
    pub wire: Option<String>,
    /// The node whose caller waits, which alone may carry the call out; empty where any may.
    #[schema(required)]
    pub owner: Option<String>,
    /// The caller's own idempotency key.
    #[schema(required)]
    pub idempotency_key: Option<String>,
    /// What was tried, in this order.
    pub attempts: Vec<Attempt>,
    /// When it ended.
    #[schema(required)]
    pub settled_at: Option<Timestamp>,
    /// Where its end stands in the log.
    #[schema(required)]
    pub settled_position: Option<PositionView>,
    /// What kind of failure it was.
    #[schema(required)]
    pub error_class: Option<String>,
    /// What went wrong, in the words that the caller was given.
    #[schema(required)]
    pub error_message: Option<String>,
    /// The HTTP status that the caller was given.
    #[schema(required)]
    pub status: Option<i32>,
    /// How often a provider was asked.
    #[schema(required)]
    pub attempts_made: Option<i32>,
    /// Who was asked last.
    #[schema(required)]
    pub provider: Option<String>,
    /// The model's name at the provider.
    #[schema(required)]
    pub model: Option<String>,
    /// The model's name in the answer.
    #[schema(required)]
    pub answered_model: Option<String>,
    /// Why the model stopped, in its own word.
    #[schema(required)]
    pub finish_reason: Option<String>,
    /// From the request to the first output, in milliseconds.
    #[schema(required)]
    pub first_output_ms: Option<f64>,
    /// From the request to the end, in milliseconds.
    #[schema(required)]
    pub total_ms: Option<f64>,
    /// Where the numbers of tokens are from: `reported` (by the provider), `estimated` (counted here) or `none`.
    #[schema(required)]
    pub usage_source: Option<String>,
    /// The tokens that it used.
    #[schema(required)]
    pub tokens: Option<Tokens>,
    /// What it cost; `null` also where the model has no price.
    #[schema(required)]
    pub cost_usd: Option<Usd>,
    /// By which prices: provider, model and date.
    #[schema(required)]
    pub price_table: Option<String>,
    /// The usage as the provider reported it.
    #[schema(required)]
    pub usage: Option<Value>,
    /// The provider's name for the request.
    #[schema(required)]
    pub request_id: Option<String>,
    /// What of the answer's headers is kept, as an object.
    #[schema(required)]
    pub headers: Option<Value>,
    /// The format of the answer's body, such as `openai`.
    #[schema(required)]
    pub response_wire: Option<String>,
    /// The answer's media type.
    #[schema(required)]
    pub response_type: Option<String>,
    /// How long the answer's body was, in bytes. Of a very long one not all is kept.
    #[schema(required)]
    pub response_bytes: Option<i64>,
}

/// An attempt to have a provider answer. What is not known of it is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Counts the attempts of a call from 1.
    pub number: i32,
    /// Who was asked.
    pub provider: String,
    /// The model's name at the provider; empty where only the failure is known.
    pub model: String,
    /// When it was begun.
    #[schema(required)]
    pub started_at: Option<Timestamp>,
    /// When it failed; `null` where it did not.
    #[schema(required)]
    pub failed_at: Option<Timestamp>,
    /// What kind of failure it was, such as `rate_limited`, `timeout` or `malformed`.
    #[schema(required)]
    pub class: Option<String>,
    /// The HTTP status of the failure, if there was one.
    #[schema(required)]
    pub status: Option<i32>,
    /// How long the provider asks to be left alone, in milliseconds, if it says so.
    #[schema(required)]
    pub retry_after_ms: Option<i64>,
    /// What went wrong.
    #[schema(required)]
    pub message: Option<String>,
    /// What the provider was given to know a repetition by.
    #[schema(required)]
    pub idempotency_key: Option<String>,
}
