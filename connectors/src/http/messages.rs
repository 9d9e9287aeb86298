//! Messages: taking them in, one or many, and reading one.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::StatusCode,
};
use meshlog_schemas::Checkpoints;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{JsonBody, Name, Parameters, media_type, unsupported},
    intake,
};
use crate::{
    api::{Accepted, Message, MessageAccepted, NewMessage, Receipt, WaitLevel},
    checks,
    ports::{CheckedMessage, Refusal, Stored},
    problem::{Code, Problem},
};

/// How long a write waits when the client does not say, in milliseconds.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;
/// The longest wait a client may ask for, in milliseconds.
const TIMEOUT_LIMIT_MS: u32 = 600_000;
/// How long past the deadline it was given the log may take to say how far a message has come.
const WAIT_GRACE: Duration = Duration::from_secs(1);
/// The media types of JSON lines.
const JSON_LINES: [&str; 2] = ["application/x-ndjson", "application/jsonl"];

/// How a write is answered.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WriteQuery {
    /// How far the messages are to have come before the answer. The answer's `reached` says how far they had.
    #[param(value_type = Option<WaitLevel>)]
    wait: Option<String>,
    /// How long to wait at most, in milliseconds. What has been written stays written.
    #[param(default = 30_000, minimum = 0, maximum = 600_000)]
    timeout_ms: Option<u32>,
}

/// How long to wait for what, once messages are durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    level: WaitLevel,
    timeout: Duration,
}

/// Takes messages in: one as JSON, or many as JSON lines.
///
/// The answer comes once they are durable in the log. A message with an `id` that its space has seen is a duplicate and
/// adds nothing. Of JSON lines, a bad line fails alone: it is reported in `errors` with its number. If the log itself
/// fails on the way, the problem's `taken` says what has been taken in and `line` from where to send again.
#[utoipa::path(
    post,
    path = "/v1/messages",
    tag = "messages",
    operation_id = "send_messages",
    params(WriteQuery),
    request_body(
        description = "One message, or one message a line: lines up to 2 MiB, 100000 of them, 64 MiB in all",
        content((NewMessage = "application/json"), (NewMessage = "application/x-ndjson"), (NewMessage = "application/jsonl"))
    ),
    responses((status = 202, description = "What has been taken in", body = Accepted))
)]
pub(super) async fn send(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<WriteQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let wait = query.checked()?;
    let media_type = media_type(request.headers())?;
    let accepted = match media_type.as_str() {
        "application/json" => one(&gateway, wait, request).await?,
        stated if JSON_LINES.contains(&stated) => many(&gateway, wait, request).await?,
        stated => return Err(unsupported(stated, &["application/json", JSON_LINES[0], JSON_LINES[1]])),
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// One message by its id.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    tag = "messages",
    params(("id" = String, Path, description = "The message's id, as in its receipt")),
    responses((status = 200, description = "The message", body = Message))
)]
pub(super) async fn message(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<Message>, Problem> {
    let found = gateway.ports.conversations.message(id.clone()).await?;
    found.map(Json).ok_or_else(|| {
        let help =
            "use the id of a receipt or of a recall result; a message is found once its projection has applied it";
        Problem::new(Code::UnknownMessage, format!("there is no message {id}"), help)
    })
}

impl WriteQuery {
    pub(super) fn checked(self) -> Result<Option<Wait>, Problem> {
        let timeout_ms = self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        checks::range("timeout_ms", timeout_ms.into(), 0, TIMEOUT_LIMIT_MS.into())?;
        let Some(name) = self.wait else { return Ok(None) };
        let level = name.parse().map_err(|_| {
            let names = WaitLevel::ALL.map(WaitLevel::name);
            let detail = format!("there is no wait level \"{}\"", crate::problem::quote(&name));
            Problem::new(Code::UnknownWaitLevel, detail, format!("wait for one of {}", names.join(", ")))
                .with("field", "wait")
                .with("allowed", names.as_slice())
        })?;
        Ok(Some(Wait { level, timeout: Duration::from_millis(timeout_ms.into()) }))
    }
}

async fn one(gateway: &Gateway, wait: Option<Wait>, request: Request) -> Result<Accepted, Problem> {
    let JsonBody(message) = JsonBody::<NewMessage>::from_request(request, gateway).await?;
    let message = checks::message(message)?;
    let source_id = message.source_id.clone();
    let mut results = accept(gateway, vec![message]).await?;
    let stored = results.pop().expect("accept answers one result a message")?;
    let mut written = Checkpoints::default();
    written.advance(stored.position.partition, stored.position.offset + 1);
    let reached = reach(gateway, wait, written).await;
    Ok(Accepted::One(MessageAccepted { receipt: receipt(stored, source_id), reached }))
}

async fn many(gateway: &Gateway, wait: Option<Wait>, request: Request) -> Result<Accepted, Problem> {
    let taken = intake::take(gateway, request).await?;
    let mut accepted = taken.accepted;
    accepted.reached = reach(gateway, wait, taken.written).await;
    Ok(Accepted::Many(accepted))
}

/// Hands messages to the log, and makes sure that each has its result.
pub(super) async fn accept(
    gateway: &Gateway,
    messages: Vec<CheckedMessage>,
) -> Result<Vec<Result<Stored, Problem>>, Problem> {
    let count = messages.len();
    let results = gateway.ports.ingest.accept(messages).await?;
    if results.len() != count {
        tracing::error!(messages = count, results = results.len(), "the log did not answer one result a message");
        return Err(Problem::internal("the log answered for other messages than it was given"));
    }
    Ok(results.into_iter().map(|result| result.map_err(refused)).collect())
}

/// The receipt of a message that is durable.
pub(super) fn receipt(stored: Stored, source_id: Option<String>) -> Receipt {
    Receipt { id: stored.id, source_id, position: stored.position.into(), duplicate: stored.duplicate }
}

fn refused(refusal: Refusal) -> Problem {
    Problem::new(refusal.code, refusal.detail, "correct the message and send it again")
}

/// Waits as the client asked. The write is durable already, so nothing that goes wrong here is an error for the client.
pub(super) async fn reach(gateway: &Gateway, wait: Option<Wait>, written: Checkpoints) -> Option<WaitLevel> {
    let Wait { level, timeout } = wait?;
    if level == WaitLevel::Stored || written == Checkpoints::default() {
        return Some(level);
    }
    let deadline = Instant::now() + timeout;
    let waited = gateway.ports.ingest.wait(written, level, deadline);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout_at((deadline + WAIT_GRACE).into(), waited) => outcome,
        () = gateway.closed() => return Some(WaitLevel::Stored),
    };
    match outcome {
        Ok(Ok(reached)) => Some(reached),
        Ok(Err(problem)) => {
            tracing::warn!(%problem, %level, "a write was answered without the wait it asked for");
            Some(WaitLevel::Stored)
        }
        Err(_) => Some(WaitLevel::Stored),
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};
    use serde_json::{Value, json};

    use super::*;
    use crate::http::fake::{Fake, NOON, Reply, ask, plain, post_json};

    async fn send(fake: &std::sync::Arc<Fake>, query: &str, body: Value) -> Reply {
        ask(fake.router(), post_json(&format!("/v1/messages{query}"), body.to_string())).await
    }

    fn hello() -> Value {
        json!({"id": "D1:3", "thread": "conv-1", "author": "Ada", "text": "Hello"})
    }

    #[tokio::test]
    async fn a_message_is_answered_with_its_receipt_and_the_second_time_as_a_duplicate() {
        let fake = Fake::new();
        let mut receipt = json!({
            "id": "m0", "source_id": "D1:3", "duplicate": false,
            "position": {"topic": "messages", "partition": 1, "offset": 0},
        });
        let reply = send(&fake, "", hello()).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::ACCEPTED, receipt.clone()));
        receipt["duplicate"] = json!(true);
        assert_eq!(send(&fake, "", hello()).await.json(), receipt);
        assert_eq!(fake.texts(), ["Hello"]);
    }

    #[tokio::test]
    async fn the_answer_is_read_back_as_the_type_it_was_written_from() {
        let reply = send(&Fake::new(), "?wait=stored", hello()).await;
        let accepted: Accepted = serde_json::from_slice(&reply.body).expect("the answer has a type");
        let Accepted::One(one) = accepted else { panic!("one message has one receipt: {accepted:?}") };
        assert_eq!((one.receipt.source_id.as_deref(), one.reached), (Some("D1:3"), Some(WaitLevel::Stored)));
    }

    #[tokio::test]
    async fn a_wait_asks_for_everything_up_to_the_message_and_says_how_far_it_came() {
        let fake = Fake::new();
        fake.append("conv-1", "before");
        fake.reach(Ok(WaitLevel::Indexed));
        let reply = send(&fake, "?wait=indexed", hello()).await;
        assert_eq!(reply.json()["reached"], "indexed");
        let written = Checkpoints::from_iter([(Partition { topic: Topic::Messages, id: 1 }, 2)]);
        assert_eq!(fake.waited(), Some((written, WaitLevel::Indexed)));
    }

    #[tokio::test]
    async fn a_wait_that_times_out_or_fails_is_no_error_because_the_message_is_durable() {
        let fake = Fake::new();
        let reply = send(&fake, "?wait=embedded&timeout_ms=20", hello()).await;
        assert_eq!((reply.status, reply.json()["reached"].clone()), (StatusCode::ACCEPTED, json!("stored")));
        fake.reach(Err(Problem::internal("the embedder is gone")));
        let reply = send(&fake, "?wait=embedded", hello()).await;
        assert_eq!((reply.status, reply.json()["reached"].clone()), (StatusCode::ACCEPTED, json!("stored")));
    }

    #[tokio::test]
    async fn a_wait_that_cannot_be_understood_is_refused_before_anything_is_written() {
        for (query, code, field) in [
            ("?wait=forever", "unknown_wait_level", "wait"),
            ("?timeout_ms=600001", "out_of_range", "timeout_ms"),
            ("?timeout_ms=soon", "wrong_type", "timeout_ms"),
            ("?wait_for=stored", "unknown_field", "wait_for"),
        ] {
            let fake = Fake::new();
            let problem = send(&fake, query, hello()).await.problem();
            assert_eq!((problem.code(), &problem.details().facts["field"]), (code, &json!(field)), "{query}");
            assert!(fake.texts().is_empty());
        }
    }

    #[tokio::test]
    async fn a_message_that_makes_no_sense_is_refused_by_field() {
        let long = "x".repeat(checks::NAME_LIMIT + 1);
        let huge = "x".repeat(checks::TEXT_LIMIT + 1);
        for (field, value, code) in [
            ("text", json!(""), "invalid_field"),
            ("text", json!(" \n\t"), "invalid_field"),
            ("text", json!(huge), "message_too_large"),
            ("text", json!(["a"]), "wrong_type"),
            ("thread", json!("  "), "invalid_field"),
            ("thread", json!("a\u{0}b"), "invalid_field"),
            ("thread", json!("a\u{85}b"), "invalid_field"),
            ("thread", json!(long), "invalid_field"),
            ("author", json!(""), "invalid_field"),
            ("author", json!(7), "wrong_type"),
            ("space", json!(""), "invalid_field"),
            ("space", json!(null), "wrong_type"),
            ("id", json!(long), "invalid_field"),
            ("id", json!(""), "invalid_field"),
            ("role", json!("boss"), "invalid_field"),
            ("sent_at", json!("yesterday"), "invalid_field"),
            ("sent_at", json!("0000-12-31T00:00:00Z"), "invalid_field"),
            ("sent_at", json!(1_746_705_360), "wrong_type"),
            ("colour", json!("red"), "unknown_field"),
        ] {
            let fake = Fake::new();
            let mut message = hello();
            message[field] = value;
            let problem = send(&fake, "", message).await.problem();
            assert_eq!((problem.code(), &problem.details().facts["field"]), (code, &json!(field)), "{problem:?}");
            assert!(fake.texts().is_empty());
        }
    }

    #[tokio::test]
    async fn sizes_come_with_their_limit() {
        let mut message = hello();
        message["text"] = json!("x".repeat(checks::TEXT_LIMIT + 3));
        let problem = send(&Fake::new(), "", message.clone()).await.problem();
        assert_eq!(problem.details().facts["limit"], checks::TEXT_LIMIT);
        assert_eq!(problem.details().facts["actual"], checks::TEXT_LIMIT + 3);
        message["text"] = json!("x".repeat(checks::TEXT_LIMIT));
        assert_eq!(send(&Fake::new(), "", message).await.status, StatusCode::ACCEPTED);
    }

    #[tokio::test]
    async fn bytes_that_are_not_utf8_and_broken_json_are_told_with_their_place() {
        let reply = ask(Fake::new().router(), post_json("/v1/messages", &b"{\"text\":\"\xe2\x82\"}"[..])).await;
        let problem = reply.problem();
        assert_eq!((problem.code(), &problem.details().facts["byte"]), ("not_utf8", &json!(9)));
        let problem = ask(Fake::new().router(), post_json("/v1/messages", "{\n  oops")).await.problem();
        let facts = &problem.details().facts;
        assert_eq!((problem.code(), &facts["line"], &facts["column"]), ("bad_json", &json!(2), &json!(3)));
    }

    #[tokio::test]
    async fn a_full_log_and_a_refusal_are_problems() {
        let fake = Fake::new();
        fake.fill_after(0);
        let reply = send(&fake, "", hello()).await;
        assert_eq!(reply.problem().code(), "log_full");
        assert_eq!(reply.headers["retry-after"], "9");
        let mut message = hello();
        message["text"] = json!("refuse me");
        assert_eq!(send(&Fake::new(), "", message).await.problem().code(), "message_refused");
    }

    #[tokio::test]
    async fn a_message_is_found_by_its_id() {
        let fake = Fake::new();
        send(&fake, "", hello()).await;
        let message: Message =
            serde_json::from_slice(&ask(fake.router(), plain("GET", "/v1/messages/m0")).await.body).expect("a message");
        assert_eq!((message.thread_id.as_str(), message.sent_at.micros()), ("conv-1", NOON));
        assert_eq!(ask(fake.router(), plain("GET", "/v1/messages/m9")).await.problem().code(), "unknown_message");
    }
}
