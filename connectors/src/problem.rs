//! Problems: what a request can be told when it is not answered.
//!
//! Owns: the closed list of codes with their statuses and titles, and the `application/problem+json` document (RFC 9457).
//! Promises: a code never changes its meaning; `detail` says what was wrong, `help` what to do.
//! Never: carries secrets, or the text of a message.

use std::fmt;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Declares the codes once: variant, name on the wire, status, title.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, $title:literal;)*) => {
        /// Why a request was not answered. The names on the wire are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The name on the wire, in snake case.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The HTTP status that goes with the code.
            pub const fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            /// The problem in a few words, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    BadJson = "bad_json", BAD_REQUEST, "The body is not valid JSON";
    /// The body or a part of the URL is not UTF-8.
    NotUtf8 = "not_utf8", BAD_REQUEST, "The bytes are not UTF-8 text";
    /// A field that is not known here.
    UnknownField = "unknown_field", BAD_REQUEST, "A field is not known";
    /// A field that must be given is absent.
    MissingField = "missing_field", BAD_REQUEST, "A required field is missing";
    /// A field is given twice.
    DuplicateField = "duplicate_field", BAD_REQUEST, "A field is given twice";
    /// A field holds a value of another type.
    WrongType = "wrong_type", BAD_REQUEST, "A field has the wrong type";
    /// A field holds a value of the right type that makes no sense there.
    InvalidField = "invalid_field", BAD_REQUEST, "A field has an invalid value";
    /// A number is too small or too large.
    OutOfRange = "out_of_range", BAD_REQUEST, "A number is out of range";
    /// `wait` names no level.
    UnknownWaitLevel = "unknown_wait_level", BAD_REQUEST, "The wait level is not known";
    /// `cursor` was not given out by this list.
    BadCursor = "bad_cursor", BAD_REQUEST, "The cursor is not valid";
    /// An offset lies outside its partition.
    OffsetOutOfRange = "offset_out_of_range", BAD_REQUEST, "The offset lies outside the partition";
    /// The body ended before its announced end.
    BodyInterrupted = "body_interrupted", BAD_REQUEST, "The body broke off";
    /// The body's media type is not read by this route.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The media type is not supported";
    /// The body is larger than this route takes.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// One line of a JSON lines body is too long.
    LineTooLong = "line_too_long", PAYLOAD_TOO_LARGE, "A line is too long";
    /// A JSON lines body has more lines than one request may have.
    TooManyLines = "too_many_lines", PAYLOAD_TOO_LARGE, "The body has too many lines";
    /// A message's text is larger than a message may be.
    MessageTooLarge = "message_too_large", PAYLOAD_TOO_LARGE, "The message is too large";
    /// The log would not take this message.
    MessageRefused = "message_refused", UNPROCESSABLE_ENTITY, "The message was refused";
    /// The id belongs to another message already.
    IdConflict = "id_conflict", CONFLICT, "The id is taken by another message";
    /// No such route.
    UnknownRoute = "unknown_route", NOT_FOUND, "There is no such route";
    /// The route does not know this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The route does not allow this method";
    /// No such thread in the space.
    UnknownThread = "unknown_thread", NOT_FOUND, "There is no such thread";
    /// No such message.
    UnknownMessage = "unknown_message", NOT_FOUND, "There is no such message";
    /// No such topic.
    UnknownTopic = "unknown_topic", NOT_FOUND, "There is no such topic";
    /// The topic has no such partition.
    UnknownPartition = "unknown_partition", NOT_FOUND, "There is no such partition";
    /// No such projection.
    UnknownProjection = "unknown_projection", NOT_FOUND, "There is no such projection";
    /// No such version of a projection, or it serves.
    UnknownVersion = "unknown_version", NOT_FOUND, "There is no such version";
    /// No such rebuild.
    UnknownRebuild = "unknown_rebuild", NOT_FOUND, "There is no such rebuild";
    /// No such node of the graph.
    UnknownNode = "unknown_node", NOT_FOUND, "There is no such node";
    /// No such fact.
    UnknownFact = "unknown_fact", NOT_FOUND, "There is no such fact";
    /// No such subscription.
    UnknownSubscription = "unknown_subscription", NOT_FOUND, "There is no such subscription";
    /// No such dead letter.
    UnknownDeadLetter = "unknown_dead_letter", NOT_FOUND, "There is no such dead letter";
    /// No such call of a model.
    UnknownCall = "unknown_call", NOT_FOUND, "There is no such call";
    /// The call has no answer: it is open, or ended without one.
    NoResponse = "no_response", CONFLICT, "The call has no response";
    /// The answer would have more rows than one answer may have.
    TooManyRows = "too_many_rows", BAD_REQUEST, "The answer would have too many rows";
    /// The dead letter waits behind another of its key, which has to be settled first.
    DeadLetterWaits = "dead_letter_waits", CONFLICT, "The dead letter waits behind another";
    /// Events between where the reader was and where the partition begins now have been removed by its retention.
    EventsRemoved = "events_removed", GONE, "Events have been removed by retention";
    /// The projection is being rebuilt already.
    RebuildRunning = "rebuild_running", CONFLICT, "A rebuild is running";
    /// More work is under way than is allowed.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The server is busy";
    /// The log has no room left.
    LogFull = "log_full", SERVICE_UNAVAILABLE, "The log has no room left";
    /// The disk below the log has no room left. The log takes events again once there is some.
    StorageFull = "storage_full", INSUFFICIENT_STORAGE, "The disk is full";
    /// The log no longer takes events.
    LogStopped = "log_stopped", SERVICE_UNAVAILABLE, "The log has stopped";
    /// The server is being shut down.
    Stopping = "stopping", SERVICE_UNAVAILABLE, "The server is stopping";
    /// A part that the answer needs is not there (yet).
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "A part of the server is not available";
    /// Another node of the house does this.
    NotHere = "not_here", MISDIRECTED_REQUEST, "This node does not do this";
    /// A fault of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The server failed";
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Problem {
    // Boxed, so that a `Result` with a problem stays small on the path where nothing goes wrong.
    details: Box<ProblemDetails>,
}

/// The document that tells a client what was wrong and what to do (RFC 9457). Its media type is `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDetails {
    /// `urn:meshlog:problem:` followed by the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The problem in a few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the problem, for programs.
    pub code: String,
    /// What was wrong this time.
    pub detail: String,
    /// What to do about it.
    pub help: String,
    /// Facts for programs: `field`, `line`, `limit`, `actual`, `allowed`, `retry_after_seconds` and others.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

impl Problem {
    /// A problem with what was wrong this time and what to do about it.
    pub fn new(code: Code, detail: impl Into<String>, help: impl Into<String>) -> Self {
        let details = ProblemDetails {
            kind: format!("urn:meshlog:problem:{}", code.name()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            code: code.name().to_owned(),
            detail: detail.into(),
            help: help.into(),
            facts: Map::new(),
        };
        Self { details: Box::new(details) }
    }

    /// A fault of the server. `detail` is shown to the client: it names the part that failed, and no more.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Code::Internal, detail, "try again; if it stays, look for this request in the server's own log")
    }

    /// Adds a fact for programs. A second fact of the same name replaces the first.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Tells the client when to try again, in the `Retry-After` header and as the fact `retry_after_seconds`.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with("retry_after_seconds", seconds)
    }

    /// The document itself.
    pub fn details(&self) -> &ProblemDetails {
        &self.details
    }

    /// The stable name of the problem.
    pub fn code(&self) -> &str {
        &self.details.code
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.details.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The longest piece of a client's value that is repeated in a problem, in characters.
const QUOTE_LIMIT: usize = 64;

/// The text, or its beginning if it is long.
pub(crate) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LIMIT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.details.detail, self.details.code)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after = self.details.facts.get("retry_after_seconds").and_then(Value::as_u64);
        let mut response = (self.status(), Json(self.details)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn a_problem_is_read_back_with_its_facts() {
        let problem = Problem::new(Code::BodyTooLarge, "3 bytes", "send less").with("limit", 2).with("actual", 3);
        let text = serde_json::to_string(&problem).expect("a problem is JSON");
        assert!(text.contains("\"type\":\"urn:meshlog:problem:body_too_large\""), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).expect("a problem is read back"), problem);
    }

    #[test]
    fn a_wait_before_the_next_try_is_a_header_too() {
        for (code, status) in [(Code::LogFull, 503), (Code::StorageFull, 507)] {
            let response = Problem::new(code, "no room", "free some").retry_after(7).into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[header::RETRY_AFTER], "7");
            assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        }
    }
}
