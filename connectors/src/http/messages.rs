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
    ports::{CheckedMessage, Refusal, Stored, WAIT_GRACE},
    problem::{Code, Problem},
};

/// How long a write waits when the client does not say, in milliseconds.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;
/// The longest wait a client may ask for, in milliseconds.
const TIMEOUT_LIMIT_MS: u32 = 600_000;
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
struct Wait {
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
        let help = "use the id of a receipt or of a recall result; a message is found once its projection has applied it";
        Problem::new(Code::UnknownMessage, format!("there is no message {id}"), help)
    })
}

impl WriteQuery {
    fn checked(self) -> Result<Option<Wait>, Problem> {
        let timeout_ms = self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        checks::range("timeout_ms", timeout_ms.into(), 0, TIMEOUT_LIMIT_MS.into())?;
        let Some(name) = self.wait else { return Ok(None) };
        let level = name.parse().map_err(|_| {
            let names = WaitLevel::ALL.map(WaitLevel::name);
            let detail = format!("there is no wait level \"{}\"", super::tree::quote(&name));
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
async fn reach(gateway: &Gateway, wait: Option<Wait>, written: Checkpoints) -> Option<WaitLevel> {
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
