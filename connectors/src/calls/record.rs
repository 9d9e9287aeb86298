//! The record of one call: its events, and what has to be remembered for them while it is under way.
//!
//! Owns: what each event of a call says, with ids that are the same if the work is done twice.
//! Never: appends. Events go through the port that it is given.

use std::{collections::BTreeMap, time::Instant};

use meshlog_schemas::{
    AttemptFailed, AttemptStarted, CallRequested, CallSettled, Event, EventId, MessageAccepted, Packer, Trust,
};

use super::request::Request;
use crate::{
    checks::TEXT_LIMIT,
    ports::CallEntry,
    providers::{Class, Failure, Provider, Summary, Tokens},
};

/// The most of an answer's body that is kept, in bytes.
pub const RESPONSE_LIMIT: usize = 6 * 1024 * 1024;
/// The most pieces whose times are kept.
const TIMINGS_LIMIT: usize = 512 * 1024;
/// The name under which the ids of a call's events are derived from its own.
const STAGE: &str = "call";
/// What the labels of calls that Meshlog makes itself begin with; no caller's key has such a label.
pub const OWN_LABEL: &str = "meshlog:";
/// The wire format of requests.
const REQUEST_WIRE: &str = "openai";

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Completed,
    /// The provider broke off after output was given.
    Truncated,
    /// Without output.
    Failed,
    /// The caller left.
    Cancelled,
    /// The server ended meanwhile.
    Interrupted,
}

impl Outcome {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Outcome; 5] =
        [Outcome::Completed, Outcome::Truncated, Outcome::Failed, Outcome::Cancelled, Outcome::Interrupted];

    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Completed => "completed",
            Outcome::Truncated => "truncated",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Interrupted => "interrupted",
        }
    }
}

/// Who calls, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The space that the call is made for.
    pub space: String,
    /// The thread whose turn it is, if it is one; of an own call the thread that it is about.
    pub thread: Option<String>,
    /// Who says what the user says.
    pub author: String,
    /// The label of the key that was shown; empty where none was asked for.
    pub key_label: String,
    /// The caller's own idempotency key.
    pub idempotency_key: Option<String>,
}

impl Caller {
    /// Meshlog itself, which asks about a thread for a purpose of its own, such as `knowledge`.
    pub fn own(purpose: &str, space: &str, thread: &str) -> Self {
        Self {
            space: space.to_owned(),
            thread: Some(thread.to_owned()),
            author: String::new(),
            key_label: format!("{OWN_LABEL}{purpose}"),
            idempotency_key: None,
        }
    }

    /// Whether Meshlog itself calls. Then nothing of it is anybody's turn.
    pub fn is_own(&self) -> bool {
        self.key_label.starts_with(OWN_LABEL)
    }
}

/// A call under way.
pub struct Record {
    pub(super) id: EventId,
    pub(super) caller: Caller,
    pub(super) request: Request,
    requested_at: i64,
    started: Instant,
    attempts: i32,
    asked: Option<Asked>,
    first_output_micros: i64,
    response_type: String,
    headers: BTreeMap<String, String>,
    response: Packer,
    response_bytes: u64,
    timings: Vec<u8>,
    last_piece: Instant,
}

/// Who was asked last.
struct Asked {
    provider: String,
    wire: &'static str,
    model: String,
}

impl Record {
    /// The record of a new call, requested now; `now` in microseconds since the epoch.
    pub fn new(id: EventId, caller: Caller, request: Request, now: i64) -> Self {
        let started = Instant::now();
        Self {
            id,
            caller,
            request,
            requested_at: now,
            started,
            attempts: 0,
            asked: None,
            first_output_micros: -1,
            response_type: String::new(),
            headers: BTreeMap::new(),
            response: Packer::default(),
            response_bytes: 0,
            timings: Vec::new(),
            last_piece: started,
        }
    }

    /// The record of a call that was read from the log.
    pub fn of_requested(call: &CallRequested, request: Request, requested_at: i64) -> Self {
        let caller = Caller {
            space: call.space.clone(),
            thread: call.thread.clone(),
            author: "user".to_owned(),
            key_label: call.key_label.clone(),
            idempotency_key: call.idempotency_key.clone(),
        };
        Self::new(call.call_id, caller, request, requested_at)
    }

    /// How many attempts there have been.
    pub fn attempts(&self) -> i32 {
        self.attempts
    }

    /// Who was asked last; empty where nobody was.
    pub fn provider(&self) -> &str {
        self.asked.as_ref().map_or("", |asked| &asked.provider)
    }

    /// Counts attempts that were made elsewhere, the last of them at this provider.
    pub fn resume(&mut self, last: &AttemptStarted) {
        self.attempts = last.number;
        self.asked = Some(Asked { provider: last.provider.clone(), wire: "", model: last.model.clone() });
    }

    fn entry(&self, index: &str, event: Event) -> CallEntry {
        let trust = Trust::Client;
        let is_own = self.caller.is_own();
        CallEntry { id: EventId::derived(self.id, STAGE, index), cause: Some(self.id), trust, is_own, event }
    }

    /// The call is requested, by a caller who waits at the node `owner`, or for any dispatcher if it is empty.
    pub fn requested(&self, owner: &str) -> CallEntry {
        let event = Event::CallRequested(CallRequested {
            call_id: self.id,
            space: self.caller.space.clone(),
            thread: self.caller.thread.clone(),
            key_label: self.caller.key_label.clone(),
            kind: self.request.kind.name().to_owned(),
            wire: REQUEST_WIRE.to_owned(),
            model: self.request.model.clone(),
            mode: self.request.mode.name().to_owned(),
            owner: owner.to_owned(),
            idempotency_key: self.caller.idempotency_key.clone(),
            body: self.request.body.clone(),
        });
        CallEntry { id: self.id, cause: None, trust: Trust::Client, is_own: self.caller.is_own(), event }
    }

    /// A provider is about to be asked.
    pub fn started(&mut self, provider: &dyn Provider, model: &str, idempotency_key: Option<&str>) -> CallEntry {
        self.attempts += 1;
        self.asked =
            Some(Asked { provider: provider.name().to_owned(), wire: provider.wire(), model: model.to_owned() });
        self.response_type.clear();
        self.headers.clear();
        self.response.clear();
        self.response_bytes = 0;
        self.timings.clear();
        let number = self.attempts;
        let event = Event::AttemptStarted(AttemptStarted {
            call_id: self.id,
            space: self.caller.space.clone(),
            thread: self.caller.thread.clone(),
            number,
            provider: provider.name().to_owned(),
            model: model.to_owned(),
            idempotency_key: idempotency_key.map(str::to_owned),
        });
        self.entry(&format!("{number} started"), event)
    }

    /// The attempt that was started last has failed, without output.
    pub fn failed(&self, failure: &Failure) -> CallEntry {
        let most = crate::providers::failure::BODY_LIMIT;
        let body = if failure.body.is_empty() {
            self.response.first(most)
        } else {
            failure.body[..failure.body.len().min(most)].to_vec()
        };
        let headers = if failure.headers.is_empty() { &self.headers } else { &failure.headers };
        let event = Event::AttemptFailed(AttemptFailed {
            call_id: self.id,
            space: self.caller.space.clone(),
            thread: self.caller.thread.clone(),
            number: self.attempts,
            provider: self.asked.as_ref().map(|asked| asked.provider.clone()).unwrap_or_default(),
            class: failure.class.name().to_owned(),
            status: failure.status.map_or(0, i32::from),
            retry_after_ms: failure.retry_after.map_or(-1, |wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)),
            message: failure.message.clone(),
            headers: json(headers),
            body,
        });
        self.entry(&format!("{} failed", self.attempts), event)
    }

    /// The answer has begun.
    pub fn answered(&mut self, content_type: &str, headers: &BTreeMap<String, String>) {
        self.response_type = content_type.chars().take(256).collect();
        self.headers.clone_from(headers);
        self.last_piece = self.started;
    }

    /// A piece of the answer has come.
    pub fn piece(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.response_bytes += bytes.len() as u64;
        let kept = self.response.length() + bytes.len() as u64;
        if kept <= RESPONSE_LIMIT as u64 && kept == self.response_bytes {
            self.response.push(bytes);
            if self.timings.len() < TIMINGS_LIMIT {
                let since = u64::try_from(now.duration_since(self.last_piece).as_micros()).unwrap_or(u64::MAX);
                leb128(since, &mut self.timings);
                leb128(bytes.len() as u64, &mut self.timings);
            }
        }
        self.last_piece = now;
    }

    /// Output is given to the caller.
    pub fn output(&mut self) {
        if self.first_output_micros < 0 {
            self.first_output_micros = micros(self.started);
        }
    }

    /// The call has ended: the event that says so, and before it the turn's messages, if the call belongs to a thread and there
    /// was output. `now` in microseconds since the epoch. What has come of the answer goes with it.
    pub fn settled(
        &mut self,
        outcome: Outcome,
        failure: Option<&Failure>,
        summary: &Summary,
        provider: Option<&dyn Provider>,
        now: i64,
    ) -> Vec<CallEntry> {
        let mut entries = self.turn(outcome, summary, now);
        let (tokens, source) = self.tokens(outcome, summary, provider);
        let price = provider.zip(self.asked.as_ref()).and_then(|(provider, asked)| provider.price(&asked.model));
        let cost = price.filter(|_| source != "none").map_or(-1, |price| price.cost_nanos(&tokens));
        let cost_nanos = if price.is_some() && source == "none" { 0 } else { cost };
        let status = match (outcome, failure) {
            (Outcome::Completed | Outcome::Truncated, _) => 200,
            (Outcome::Cancelled | Outcome::Interrupted, _) => 0,
            (Outcome::Failed, failure) => failure.map_or(0, |failure| i32::from(failure.caller_status())),
        };
        let asked = self.asked.as_ref();
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let headers =
            failure.map(|failure| &failure.headers).filter(|headers| !headers.is_empty()).unwrap_or(&self.headers);
        let response = self.response.finish();
        let request_id = ["x-request-id", "request-id"].iter().find_map(|name| headers.get(*name)).cloned();
        let event = Event::CallSettled(Box::new(CallSettled {
            call_id: self.id,
            space: self.caller.space.clone(),
            thread: self.caller.thread.clone(),
            key_label: self.caller.key_label.clone(),
            kind: self.request.kind.name().to_owned(),
            asked_model: self.request.model.clone(),
            outcome: outcome.name().to_owned(),
            error_class: failure.map(|failure| failure.class.name().to_owned()).unwrap_or_default(),
            error_message: failure.map(|failure| failure.message.clone()).unwrap_or_default(),
            status,
            attempts: self.attempts,
            provider: asked.map(|asked| asked.provider.clone()).unwrap_or_default(),
            model: asked.map(|asked| asked.model.clone()).unwrap_or_default(),
            answered_model: summary.answered_model.clone(),
            finish_reason: summary.finish_reason.clone(),
            requested_at: self.requested_at,
            first_output_micros: self.first_output_micros,
            total_micros: micros(self.started),
            usage_source: source.to_owned(),
            usage: summary.usage.clone(),
            input_tokens: signed(tokens.input),
            cache_write_tokens: signed(tokens.cache_write),
            cache_read_tokens: signed(tokens.cache_read),
            output_tokens: signed(tokens.output),
            reasoning_tokens: signed(tokens.reasoning),
            cost_nanos,
            price_table: price.map(|price| price.table.clone()).unwrap_or_default(),
            request_id,
            headers: json(headers),
            wire: asked.map(|asked| asked.wire.to_owned()).unwrap_or_default(),
            response_type: self.response_type.clone(),
            response: response.bytes,
            response_bytes: signed(self.response_bytes),
            timings: std::mem::take(&mut self.timings).into(),
            response_encoding: response.encoding.to_owned(),
        }));
        entries.push(self.entry("settled", event));
        entries
    }

    /// What was used: as reported; else counted here, if the provider has begun to work.
    fn tokens(&self, outcome: Outcome, summary: &Summary, provider: Option<&dyn Provider>) -> (Tokens, &'static str) {
        if let Some(tokens) = summary.tokens {
            return (tokens, "reported");
        }
        let (Some(provider), Some(asked)) = (provider, &self.asked) else { return (Tokens::default(), "none") };
        let has_worked = self.response_bytes > 0 || outcome == Outcome::Cancelled;
        if outcome == Outcome::Failed || !has_worked {
            return (Tokens::default(), "none");
        }
        let count = |text: &str| if text.is_empty() { 0 } else { provider.count_tokens(&asked.model, text) };
        let output = count(&summary.text) + count(&summary.other_output);
        (Tokens { input: self.request.count_tokens(), output, ..Tokens::default() }, "estimated")
    }

    /// The turn as messages: what the user said for the first time, and what the model said.
    fn turn(&self, outcome: Outcome, summary: &Summary, now: i64) -> Vec<CallEntry> {
        let Some(thread) = self.caller.thread.as_ref().filter(|_| !self.caller.is_own()) else { return Vec::new() };
        let has_output = self.first_output_micros >= 0 || outcome == Outcome::Completed;
        if !has_output || self.request.kind != crate::providers::Kind::Chat {
            return Vec::new();
        }
        let message = |index: &str, trust: Trust, author: &str, role: &str, sent_at: i64, text: &str| CallEntry {
            id: EventId::derived(self.id, STAGE, index),
            cause: Some(self.id),
            trust,
            is_own: false,
            event: Event::MessageAccepted(MessageAccepted {
                source_id: None,
                space: self.caller.space.clone(),
                thread: thread.clone(),
                author: author.to_owned(),
                role: role.to_owned(),
                sent_at,
                text: bounded(text).to_owned(),
            }),
        };
        let said = self.request.said();
        let users = said.iter().enumerate().map(|(index, text)| {
            let (index, at) = (format!("said {index}"), self.requested_at);
            message(&index, Trust::Client, &self.caller.author, "user", at, text)
        });
        let mut entries: Vec<_> = users.collect();
        if !summary.text.trim().is_empty() {
            let answered = Some(summary.answered_model.as_str()).filter(|model| !model.is_empty());
            let author = answered.or(self.asked.as_ref().map(|asked| asked.model.as_str())).unwrap_or("assistant");
            let at = now.max(self.requested_at + 1);
            entries.push(message("answered", Trust::External, author, "assistant", at, &summary.text));
        }
        entries
    }
}

/// As much of a text as a message may have.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_LIMIT)]
}

fn json(headers: &BTreeMap<String, String>) -> String {
    serde_json::to_string(headers).unwrap_or_default()
}

fn micros(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX)
}

fn leb128(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The pieces of a recorded answer: microseconds before each, and bytes. What cannot be read is left out.
pub fn pieces(timings: &[u8]) -> Vec<(u64, usize)> {
    let mut rest = timings;
    let mut number = || {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    };
    std::iter::from_fn(|| Some((number()?, usize::try_from(number()?).ok()?))).collect()
}

/// What went wrong with a call that nobody carries out any more.
pub fn interrupted() -> Failure {
    Failure::new(Class::Interrupted, "the server ended while the call was under way; it was not repeated")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn timings_are_read_as_they_were_written(written in proptest::collection::vec((any::<u64>(), 0..usize::MAX), 0..20)) {
            let mut bytes = Vec::new();
            for (micros, length) in &written {
                leb128(*micros, &mut bytes);
                leb128(*length as u64, &mut bytes);
            }
            prop_assert_eq!(pieces(&bytes), written);
        }

        #[test]
        fn arbitrary_timings_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = pieces(&bytes);
        }
    }
}
