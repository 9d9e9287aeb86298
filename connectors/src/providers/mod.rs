//! Providers: those who answer calls of models, each behind one trait.
//!
//! Owns: what every provider can be asked, whatever its wire format, and how its answer is read while it comes.
//! Promises: an answer's bytes are handed on as they came; what is understood of them stands beside, never in their place.
//! Never: retries, chooses between providers, or writes to the log. That is done by [`crate::calls`].

pub mod failure;
pub mod local;
pub mod openai;
pub mod replay;
mod sse;
pub mod tokens;
mod wait;

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::Stream;

pub use failure::{Class, Failure};
pub use tokens::{Price, Tokens};

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A conversation is to be continued.
    Chat,
    /// Texts are to become vectors.
    Embeddings,
}

impl Kind {
    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Chat => "chat",
            Kind::Embeddings => "embeddings",
        }
    }
}

/// How the caller wants the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Piece by piece as it is made.
    Stream,
    /// At once when it is whole.
    Whole,
}

impl Mode {
    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Stream => "stream",
            Mode::Whole => "whole",
        }
    }
}

/// What a provider can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether it continues conversations.
    pub chat: bool,
    /// Whether it makes vectors.
    pub embeddings: bool,
    /// Whether it knows a repeated request by a key, so that asking again is safe even where it is not known what became of
    /// the first request.
    pub idempotency: bool,
}

/// How long a provider may take, phase by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Duration,
    /// From the request until the first byte of the answer's body.
    pub first_byte: Duration,
    /// Between two pieces of the body.
    pub between_bytes: Duration,
    /// From the request to the end.
    pub whole: Duration,
}

/// A request as a provider gets it.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What kind of call it is.
    pub kind: Kind,
    /// How the answer is wanted.
    pub mode: Mode,
    /// The model's name at the provider.
    pub model: String,
    /// The request in OpenAI's format, with that name in it.
    pub body: Bytes,
    /// The request as the caller made it.
    pub original: Bytes,
    /// The key by which the provider may know a repetition.
    pub idempotency_key: Option<String>,
    /// Whether usage was asked for on behalf of the log alone, so that the caller is not to see it.
    pub hides_usage: bool,
    /// The call's id, in case it is to be looked up.
    pub call: meshlog_schemas::EventId,
}

/// The beginning of an answer, and the rest as it comes.
pub struct Reply {
    /// The media type of the body.
    pub content_type: String,
    /// The headers that are kept; see [`kept`].
    pub headers: BTreeMap<String, String>,
    /// The body, piece by piece. To drop it is to tell the provider that nobody wants the rest.
    pub body: Body,
    /// What reads the body.
    pub reader: Box<dyn Reader>,
}

/// The body of an answer, piece by piece.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Failure>> + Send>>;

/// What [`Provider`] answers, once it has.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// One who answers calls of models.
///
/// Contract:
/// - **One request.** [`Provider::ask`] asks at most once and never by itself again.
/// - **Prompt.** It answers as soon as there is a status that is no failure; the body comes by its stream. Dropping the future
///   or the stream ends the request at the provider.
/// - **Timeouts** of connecting are the provider's; those of the answer are watched by who asks.
pub trait Provider: Send + Sync + 'static {
    /// Its name, as configured.
    fn name(&self) -> &str;

    /// The format of its answers' bodies, as events name it.
    fn wire(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether a model of it answers calls of a kind, as far as is known.
    fn does(&self, kind: Kind, _model: &str) -> bool {
        let Capabilities { chat, embeddings, .. } = self.capabilities();
        match kind {
            Kind::Chat => chat,
            Kind::Embeddings => embeddings,
        }
    }

    /// About how many tokens a text has for a model. It is exact where the model's own tokenizer is known.
    fn count_tokens(&self, model: &str, text: &str) -> u64;

    /// What a model costs.
    fn price(&self, model: &str) -> Option<&Price>;

    /// Whether it can be reached and takes our key. It costs nothing.
    fn health(&self) -> Answer<'_, ()>;

    /// Asks.
    ///
    /// # Errors
    /// The provider did not begin to answer; what went wrong and whether asking again is safe.
    fn ask(&self, ask: Ask) -> Answer<'_, Reply>;
}

/// Reads the body of an answer while it comes. Every wire format has its own; what it gives out is in OpenAI's format.
pub trait Reader: Send {
    /// Reads on. What can be given to the caller is pushed to `pieces`.
    ///
    /// # Errors
    /// The bytes are no answer, or say that there will be none.
    fn read(&mut self, bytes: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), Failure>;

    /// The body is over.
    ///
    /// # Errors
    /// It was over before the answer was.
    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure>;

    /// What is known of the answer so far.
    fn summary(&self) -> &Summary;
}

/// A piece of an answer that can be given to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In OpenAI's format.
    pub bytes: Bytes,
    /// Whether there is something in it that the model said, thought or wants done. Once such a piece was given out nobody else
    /// can be asked.
    pub is_output: bool,
    /// Whether the answer ends with it.
    pub is_last: bool,
}

/// What is known of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// What was said, of the first choice.
    pub text: String,
    /// Everything else that was put out and has to be paid: thoughts, tools' arguments, further choices.
    pub other_output: String,
    /// Why the model stopped; empty while it has not.
    pub finish_reason: String,
    /// The model's name in the answer.
    pub answered_model: String,
    /// Tokens as the provider reported them.
    pub tokens: Option<Tokens>,
    /// Usage in the provider's own words, JSON.
    pub usage: String,
}

/// The most of one header's value that is kept, in bytes.
const HEADER_LIMIT: usize = 512;

/// Whether an answer's header is kept: those that tell about limits and name the request. No cookies, nothing about keys.
pub(crate) fn is_kept(name: &str) -> bool {
    matches!(name, "retry-after" | "retry-after-ms" | "request-id" | "x-request-id" | "x-should-retry")
        || ["x-ratelimit-", "anthropic-ratelimit-", "openai-"].iter().any(|prefix| name.starts_with(prefix))
}

/// The headers of an answer that are kept.
pub fn kept(headers: &reqwest::header::HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &reqwest::header::HeaderValue| Some(value.to_str().ok()?.chars().take(HEADER_LIMIT).collect());
    let kept = headers.iter().filter(|(name, _)| is_kept(name.as_str()));
    kept.filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?))).collect()
}
