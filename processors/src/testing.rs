//! Events and a model for this room's tests.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use meshlog_pipeline::StoredEvent;
use meshlog_schemas::{
    AttemptFailed, AttemptStarted, CallRequested, CallSettled, Envelope, Event, EventId, MessageAccepted,
    MessageEdited, Partition, Position, Trust,
};
use serde_json::Value;

use crate::asking::{Answerer, NoAnswer, Question};

/// A model that gives answers in turn, and keeps what it was asked.
pub(crate) struct Scripted {
    answers: Mutex<VecDeque<Result<String, NoAnswer>>>,
    asked: Mutex<Vec<(EventId, Value)>>,
}

impl Scripted {
    pub(crate) fn new(answers: &[Result<&str, NoAnswer>]) -> Self {
        let answers = answers.iter().map(|answer| answer.as_ref().map(ToString::to_string).map_err(Clone::clone));
        Self { answers: Mutex::new(answers.collect()), asked: Mutex::default() }
    }

    /// The ids and bodies of the questions.
    pub(crate) fn asked(&self) -> Vec<(EventId, Value)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Answerer for Scripted {
    fn ask(&self, question: &Question<'_>) -> Result<String, NoAnswer> {
        self.asked.lock().unwrap().push((question.id, serde_json::from_slice(&question.body).unwrap()));
        self.answers.lock().unwrap().pop_front().expect("nobody should be asked")
    }
}

/// An event as if read from partition 0 of its topic.
pub(crate) fn stored(offset: u64, event: Event) -> StoredEvent {
    let id = EventId::of_source("test", &format!("{}/{offset}", event.topic()));
    StoredEvent {
        position: Position { partition: Partition { topic: event.topic(), id: 0 }, offset },
        appended_at: 1_000 + offset as i64,
        key: event.ordering_key(),
        envelope: Envelope {
            id,
            source: "/test".into(),
            kind: event.kind().into(),
            time: 1_000 + offset as i64,
            space: event.space().map(Into::into),
            causation: None,
            correlation: None,
            traceparent: None,
            trust: Trust::Client,
        },
        event,
    }
}

/// A message said at second 0.
pub(crate) fn message(space: &str, thread: &str, author: &str, text: &str) -> Event {
    Event::MessageAccepted(MessageAccepted {
        source_id: None,
        space: space.into(),
        thread: thread.into(),
        author: author.into(),
        role: "user".into(),
        sent_at: 0,
        text: text.into(),
    })
}

/// An edit, or a redaction, of a message that was taken in.
pub(crate) fn edited(offset: u64, message: &StoredEvent, kind: &str, text: &str) -> StoredEvent {
    let Event::MessageAccepted(body) = message.event.clone() else { panic!("a message") };
    let edited = MessageEdited {
        message_id: message.envelope.id,
        source_id: body.source_id,
        space: body.space,
        thread: body.thread,
        author: body.author,
        role: body.role,
        sent_at: body.sent_at,
        accepted_at: message.appended_at,
        text: text.into(),
        kind: kind.into(),
        editor: "Eve".into(),
        reason: "a slip".into(),
        edited_at: 5_000 + offset as i64,
    };
    stored(offset, Event::MessageEdited(Box::new(edited)))
}

/// The call of this number, in a thread of the space "s".
pub(crate) fn call_requested(number: u128) -> CallRequested {
    CallRequested {
        call_id: EventId(uuid::Uuid::from_u128(number)),
        space: "s".into(),
        thread: Some("t".into()),
        key_label: "laptop".into(),
        kind: "chat".into(),
        wire: "openai".into(),
        model: "small".into(),
        mode: "whole".into(),
        owner: "node-1".into(),
        idempotency_key: Some("mine".into()),
        body: br#"{"model":"small"}"#.as_slice().into(),
    }
}

/// An attempt at a call.
pub(crate) fn attempt_started(call: &CallRequested, number: i32) -> AttemptStarted {
    AttemptStarted {
        call_id: call.call_id,
        space: call.space.clone(),
        thread: call.thread.clone(),
        number,
        provider: "acme".into(),
        model: "acme-small".into(),
        idempotency_key: Some(format!("key-{}", call.call_id)),
    }
}

/// How an attempt at a call failed.
pub(crate) fn attempt_failed(call: &CallRequested, number: i32) -> AttemptFailed {
    AttemptFailed {
        call_id: call.call_id,
        space: call.space.clone(),
        thread: call.thread.clone(),
        number,
        provider: "acme".into(),
        class: "rate_limited".into(),
        status: 429,
        retry_after_ms: 1_500,
        message: "slow down".into(),
        headers: "{}".into(),
        body: b"{}".to_vec(),
    }
}

/// How a call ended that was requested at a time.
pub(crate) fn call_settled(call: &CallRequested, requested_at: i64) -> CallSettled {
    CallSettled {
        call_id: call.call_id,
        space: call.space.clone(),
        thread: call.thread.clone(),
        key_label: call.key_label.clone(),
        kind: call.kind.clone(),
        asked_model: call.model.clone(),
        outcome: "completed".into(),
        error_class: String::new(),
        error_message: String::new(),
        status: 200,
        attempts: 1,
        provider: "acme".into(),
        model: "acme-small".into(),
        answered_model: "acme-small-2".into(),
        finish_reason: "stop".into(),
        requested_at,
        first_output_micros: 300_000,
        total_micros: 900_000,
        usage_source: "reported".into(),
        usage: r#"{"total_tokens":15}"#.into(),
        input_tokens: 3,
        cache_write_tokens: 1,
        cache_read_tokens: 2,
        output_tokens: 5,
        reasoning_tokens: 4,
        cost_nanos: 1_250,
        price_table: "acme acme-small 2026-08-01".into(),
        request_id: Some("r-1".into()),
        headers: r#"{"x-request-id":"r-1"}"#.into(),
        wire: "openai".into(),
        response_type: "application/json".into(),
        response: br#"{"choices":[]}"#.as_slice().into(),
        response_bytes: 14,
        timings: vec![1, 14].into(),
        response_encoding: String::new(),
    }
}
