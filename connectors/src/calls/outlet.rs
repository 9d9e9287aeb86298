//! Outlets: the way of an answer to the caller.
//!
//! Owns: what a caller is told first, the pieces of a stream behind it, and that either side notices when the other has gone.
//! Never: holds more than [`PIECES`] pieces that the caller has not taken.

use std::collections::BTreeMap;

use bytes::Bytes;
use meshlog_schemas::EventId;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::providers::{Class, Failure};

/// The most pieces that wait for a caller.
const PIECES: usize = 64;

/// What a caller is told first.
#[derive(Debug)]
pub enum Begun {
    /// The whole answer.
    Whole(Head, Bytes),
    /// The answer has begun; the pieces follow.
    Stream(Head, mpsc::Receiver<Bytes>),
    /// There is no answer.
    Refused(Refused),
}

/// What is known of an answer when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The call's id.
    pub call: EventId,
    /// Who answers.
    pub provider: String,
    /// The model's name there.
    pub model: String,
    /// How often a provider was asked.
    pub attempts: i32,
    /// The media type of the answer.
    pub content_type: String,
    /// The provider's headers that are kept.
    pub headers: BTreeMap<String, String>,
}

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The call's id; `None` where it has not become a call.
    pub call: Option<EventId>,
    /// Who was asked last; empty where nobody was.
    pub provider: String,
    /// How often a provider was asked.
    pub attempts: i32,
    /// Why.
    pub failure: Failure,
}

impl Refused {
    /// What the caller is told, as OpenAI's error object: the provider's own words, and its own names where the request is at
    /// fault; else Meshlog's. `meshlog` tells both apart.
    pub fn document(&self) -> Value {
        let failure = &self.failure;
        let is_callers = matches!(failure.class, Class::Invalid | Class::Context | Class::Content | Class::NoModel);
        let details = Some(&failure.details).filter(|_| is_callers || failure.class == Class::QuotaExceeded);
        let kind = details.and_then(|details| details.kind.as_deref()).unwrap_or(failure.class.kind());
        let code = details.and_then(|details| details.code.as_deref()).unwrap_or(failure.class.name());
        let param = details.and_then(|details| details.param.as_deref());
        let mut own = json!({"code": failure.class.name(), "attempts": self.attempts});
        if let Some(call) = self.call {
            own["call"] = call.to_string().into();
        }
        if !self.provider.is_empty() {
            own["provider"] = self.provider.as_str().into();
        }
        if let Some(status) = failure.status {
            own["provider_status"] = status.into();
        }
        if let Some(wait) = failure.retry_after {
            own["retry_after_ms"] = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into();
        }
        json!({"error": {"message": failure.message, "type": kind, "param": param, "code": code, "meshlog": own}})
    }

    /// The same as the last event of a stream that has begun.
    pub fn event(&self) -> Bytes {
        format!("data: {}\n\n", self.document()).into()
    }
}

/// The caller has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left;

/// The way to a caller.
#[derive(Debug)]
pub(super) enum Outlet {
    /// Nothing has been told yet.
    Unbegun(oneshot::Sender<Begun>),
    /// Pieces are given.
    Stream(mpsc::Sender<Bytes>),
    /// Nobody listens: the call is carried out for the log alone, or everything has been told.
    Nobody,
}

impl Outlet {
    /// An outlet, and where the caller is told first.
    pub(super) fn new() -> (Self, oneshot::Receiver<Begun>) {
        let (sender, receiver) = oneshot::channel();
        (Self::Unbegun(sender), receiver)
    }

    /// Completes when the caller has gone.
    pub(super) async fn left(&mut self) {
        match self {
            Outlet::Unbegun(begun) => begun.closed().await,
            Outlet::Stream(pieces) => pieces.closed().await,
            Outlet::Nobody => std::future::pending().await,
        }
    }

    /// Begins a stream.
    pub(super) fn begin(&mut self, head: Head) -> Result<(), Left> {
        let (sender, receiver) = mpsc::channel(PIECES);
        match std::mem::replace(self, Outlet::Stream(sender)) {
            Outlet::Unbegun(begun) => begun.send(Begun::Stream(head, receiver)).map_err(|_| Left),
            // Invariant: a stream begins once; whoever is nobody stays so.
            before => {
                *self = before;
                Ok(())
            }
        }
    }

    /// Gives a piece of a stream, once there is room for it.
    pub(super) async fn give(&mut self, bytes: Bytes) -> Result<(), Left> {
        match self {
            Outlet::Stream(pieces) => pieces.send(bytes).await.map_err(|_| Left),
            Outlet::Unbegun(_) | Outlet::Nobody => Ok(()),
        }
    }

    /// Tells everything at once. Whether the caller was still there does not matter any more.
    pub(super) fn tell(&mut self, begun: Begun) {
        if let Outlet::Unbegun(sender) = std::mem::replace(self, Outlet::Nobody) {
            let _ = sender.send(begun);
        }
    }

    /// Whether pieces have been given, so that nothing else can be told any more.
    pub(super) fn is_begun(&self) -> bool {
        matches!(self, Outlet::Stream(_))
    }
}
