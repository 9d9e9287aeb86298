//! Failures: why a provider did not answer, and what may be done about it.
//!
//! Owns: the closed list of classes, each with what it means for asking again.
//! Never: carries a key.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

/// The most of a failed answer's body that is kept, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;
/// The most of a provider's words that are repeated, in characters.
const WORDS_LIMIT: usize = 2_000;

/// Declares the classes once: variant, name, HTTP status for the caller, OpenAI's error type, what may follow.
macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $kind:literal, $next:ident;)*) => {
        /// What kind of failure it was. The names in events and answers are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Class {
            $($(#[$doc])* $variant,)*
        }

        impl Class {
            /// All classes.
            pub const ALL: &[Class] = &[$(Class::$variant),*];

            /// The name in events, and the `code` that a caller is told.
            pub const fn name(self) -> &'static str {
                match self { $(Class::$variant => $name,)* }
            }

            /// The HTTP status that a caller is told, where it is not the provider's own.
            pub const fn status(self) -> u16 {
                match self { $(Class::$variant => $status,)* }
            }

            /// The `type` of OpenAI's error object.
            pub const fn kind(self) -> &'static str {
                match self { $(Class::$variant => $kind,)* }
            }

            /// What may be done about it.
            pub const fn next(self) -> Next {
                match self { $(Class::$variant => Next::$next,)* }
            }
        }
    };
}

/// What may be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The provider has not begun: it may be asked again, and so may another.
    Again,
    /// It may have begun, and be paid for it: it is asked again only where it knows a repetition by its key. Another may be asked.
    AgainIfKnown,
    /// Asking it again helps nothing for now; another may be asked.
    Elsewhere,
    /// The request itself is at fault: nobody is asked again.
    Never,
}

classes! {
    /// There was no connection in time, or none at all.
    Connect = "connect_failed", 502, "upstream_error", Again;
    /// The connection ended before there was an answer.
    Cut = "connection_cut", 502, "upstream_error", AgainIfKnown;
    /// The first byte did not come in time.
    FirstByte = "first_byte_timeout", 504, "timeout_error", AgainIfKnown;
    /// The next byte did not come in time.
    BetweenBytes = "stalled", 504, "timeout_error", AgainIfKnown;
    /// The whole took too long.
    Whole = "timeout", 504, "timeout_error", Never;
    /// 429: slower.
    RateLimited = "rate_limited", 429, "rate_limit_error", Again;
    /// 429 or 402: there is no more money or quota.
    QuotaExceeded = "upstream_quota_exceeded", 429, "insufficient_quota", Elsewhere;
    /// 401 and 403: the provider does not take our key. The caller's own key is another matter.
    Credentials = "upstream_credentials_refused", 502, "upstream_error", Elsewhere;
    /// 529 or 503: the provider is overloaded.
    Overloaded = "upstream_overloaded", 503, "overloaded_error", Again;
    /// 408, 409 and other 5xx.
    Upstream = "upstream_failed", 502, "upstream_error", Again;
    /// The provider has no such model.
    NoModel = "model_not_found", 404, "invalid_request_error", Elsewhere;
    /// The conversation is longer than the model can read.
    Context = "context_length_exceeded", 400, "invalid_request_error", Never;
    /// The provider does not want to talk about it.
    Content = "content_policy_violation", 400, "invalid_request_error", Never;
    /// Another 4xx: the request is at fault.
    Invalid = "invalid_request", 400, "invalid_request_error", Never;
    /// The answer is not of the format that was agreed.
    Malformed = "malformed_answer", 502, "upstream_error", AgainIfKnown;
    /// The answer, or a line of it, is larger than is taken.
    TooLarge = "answer_too_large", 502, "upstream_error", Never;
    /// The answer ended before it was complete.
    Truncated = "truncated", 502, "upstream_error", AgainIfKnown;
    /// The provider is left alone for a while, after failures.
    CircuitOpen = "provider_unavailable", 503, "overloaded_error", Elsewhere;
    /// Too many calls wait for the provider already.
    QueueFull = "too_many_calls", 503, "overloaded_error", Elsewhere;
    /// The caller is gone.
    Cancelled = "cancelled", 499, "cancelled", Never;
    /// The server ended meanwhile.
    Interrupted = "interrupted", 503, "server_error", Never;
    /// The log did not take an event of the call.
    Log = "log_unavailable", 503, "server_error", Never;
    /// A fault of Meshlog.
    Internal = "internal", 500, "server_error", Never;
}

/// A provider did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it was.
    pub class: Class,
    /// The HTTP status of the provider's answer, if there was one.
    pub status: Option<u16>,
    /// The provider's own words, or what went wrong on the way.
    pub message: String,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether the provider itself says that asking again helps or does not.
    pub should_retry: Option<bool>,
    /// The provider's `type`, `param` and `code`, where it has them.
    pub details: Box<Details>,
    /// The headers that are kept.
    pub headers: BTreeMap<String, String>,
    /// What came of the answer, at most [`BODY_LIMIT`] of it.
    pub body: Bytes,
}

/// What OpenAI's error object says besides the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `type`.
    pub kind: Option<String>,
    /// `param`.
    pub param: Option<String>,
    /// `code`.
    pub code: Option<String>,
}

impl Failure {
    /// A failure on the way, without an answer.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            status: None,
            message: message.into().chars().take(WORDS_LIMIT).collect(),
            retry_after: None,
            should_retry: None,
            details: Box::default(),
            headers: BTreeMap::new(),
            body: Bytes::new(),
        }
    }

    /// What may be done about it: what the provider says goes before what its class says.
    pub fn next(&self) -> Next {
        match (self.should_retry, self.class.next()) {
            (Some(true), Next::Never | Next::Elsewhere) => Next::Again,
            (Some(false), Next::Again | Next::AgainIfKnown) => Next::Elsewhere,
            (_, next) => next,
        }
    }

    /// The status that a caller is told: the provider's own where the request is at fault.
    pub fn caller_status(&self) -> u16 {
        match (self.class, self.status) {
            (Class::Invalid | Class::Context | Class::Content | Class::NoModel, Some(status)) => status,
            (class, _) => class.status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_and_a_status_of_its_own_kind() {
        let mut names: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Class::ALL.len());
        assert!(Class::ALL.iter().all(|class| (400..600).contains(&class.status())));
    }

    #[test]
    fn what_the_provider_says_about_asking_again_goes_first() {
        let failure = |class, should_retry| Failure { should_retry, ..Failure::new(class, "x") };
        assert_eq!(failure(Class::Upstream, Some(false)).next(), Next::Elsewhere);
        assert_eq!(failure(Class::Invalid, Some(true)).next(), Next::Again);
        assert_eq!(failure(Class::RateLimited, None).next(), Next::Again);
    }
}
