//! Reading one's own writes: waiting, at any node, until what was written is in the answers.
//!
//! Owns: the route that waits for a position, and the header that makes a read wait first.
//! Promises: an answer to a read with the header has everything up to the positions it names, or is a problem.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::{IntoResponse, Response},
};
use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Gateway, extract::Parameters};
use crate::{
    api::WaitLevel,
    checks,
    problem::{Code, Problem, quote},
};

/// The header that names what an answer must have: positions as in receipts, `messages/2/17`, with commas between them.
pub(super) const AFTER: &str = "meshlog-after";
/// How long a read waits for that.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const DEFAULT_TIMEOUT_MS: u32 = 30_000;
const TIMEOUT_LIMIT_MS: u32 = 600_000;
/// How many positions may be named at once: more than a topic has partitions.
const POSITIONS_LIMIT: usize = 1024;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReachedQuery {
    /// Positions as in receipts, `TOPIC/PARTITION/OFFSET`, with commas between them
    #[param(example = "messages/2/17")]
    after: String,
    /// Up to where they are to have come: `stored`, `embedded` or `indexed`
    #[param(default = "indexed")]
    level: Option<String>,
    /// How long to wait, in milliseconds
    #[param(default = 30_000, minimum = 0, maximum = 600_000)]
    timeout_ms: Option<u32>,
}

impl ReachedQuery {
    /// Everything up to the positions, and with them.
    pub(super) fn written(&self) -> Result<Checkpoints, Problem> {
        positions(&self.after, "after")
    }

    /// How long to wait.
    pub(super) fn timeout(&self) -> Result<Duration, Problem> {
        let timeout_ms = self.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        checks::range("timeout_ms", timeout_ms.into(), 0, TIMEOUT_LIMIT_MS.into())?;
        Ok(Duration::from_millis(timeout_ms.into()))
    }
}

/// How far messages have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct Reached {
    /// The level that all of them have reached at this node.
    pub(super) reached: WaitLevel,
}

/// Waits until messages that were acknowledged, by whichever node, are in this node's answers.
#[utoipa::path(
    get,
    path = "/v1/reached",
    tag = "messages",
    params(ReachedQuery),
    responses((status = 200, description = "How far they have come by now", body = Reached))
)]
pub(super) async fn reached(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<ReachedQuery>,
) -> Result<Json<Reached>, Problem> {
    let timeout = query.timeout()?;
    let level = match query.level.as_deref() {
        None => WaitLevel::Indexed,
        Some(name) => name.parse().map_err(|error: crate::api::UnknownWaitLevel| {
            let detail = format!("there is no wait level \"{}\"", quote(&error.0));
            let names = WaitLevel::ALL.map(WaitLevel::name);
            Problem::new(Code::UnknownWaitLevel, detail, format!("wait for one of {}", names.join(", ")))
                .with("field", "level")
        })?,
    };
    let written = query.written()?;
    let deadline = Instant::now() + timeout;
    let reached = gateway.ports.ingest.wait(written, level, deadline).await?;
    Ok(Json(Reached { reached }))
}

/// Has a read with the header wait until its answer can hold what the header names.
pub(super) async fn after_writes(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    match wait(&gateway, request.headers()).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn wait(gateway: &Gateway, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(after) = headers.get(AFTER) else { return Ok(()) };
    let written = positions(after.to_str().unwrap_or_default(), AFTER)?;
    let reached = gateway.ports.ingest.wait(written, WaitLevel::Indexed, Instant::now() + LONGEST_WAIT).await?;
    if reached >= WaitLevel::Indexed {
        return Ok(());
    }
    let detail = format!("what the header {AFTER} names has not come further than {reached} at this node");
    let help = "ask again in a moment, ask another node, or leave the header out";
    Err(Problem::new(Code::Unavailable, detail, help).retry_after(1))
}

/// Everything up to these positions, and with them.
fn positions(text: &str, field: &str) -> Result<Checkpoints, Problem> {
    let wrong = |part: &str| {
        let detail = format!("\"{}\" is no position", quote(part));
        Problem::new(Code::InvalidField, detail, "write positions as TOPIC/PARTITION/OFFSET, with commas between them")
            .with("field", field)
    };
    let mut written = Checkpoints::default();
    for part in text.split(',').take(POSITIONS_LIMIT) {
        let position = position(part.trim()).ok_or_else(|| wrong(part))?;
        written.advance(position.partition, position.offset.saturating_add(1));
    }
    Ok(written)
}

fn position(text: &str) -> Option<Position> {
    let (partition, offset) = text.rsplit_once('/')?;
    let (topic, id) = partition.rsplit_once('/')?;
    let topic: Topic = topic.parse().ok()?;
    Some(Position { partition: Partition { topic, id: id.parse().ok()? }, offset: offset.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use serde_json::json;

    use super::*;
    use crate::http::fake::{Fake, ask, plain};

    fn written() -> Checkpoints {
        [(Partition { topic: Topic::Messages, id: 1 }, 4), (Partition { topic: Topic::Messages, id: 0 }, 8)]
            .into_iter()
            .collect()
    }

    #[tokio::test]
    async fn how_far_positions_have_come_is_waited_for_and_said() {
        let fake = Fake::new();
        fake.reach(Ok(WaitLevel::Embedded));
        let reply = ask(fake.router(), plain("GET", "/v1/reached?after=messages/1/3,messages/0/7&timeout_ms=5")).await;
        assert_eq!(reply.json(), json!({"reached": "embedded"}));
        assert_eq!(fake.waited(), Some((written(), WaitLevel::Indexed)));
    }

    #[tokio::test]
    async fn what_is_no_position_is_refused() {
        for after in ["", "messages", "messages/1", "messages/1/", "moon/1/2", "messages/-1/2", "messages/1/2,"] {
            let reply = ask(Fake::new().router(), plain("GET", &format!("/v1/reached?after={after}"))).await;
            assert_eq!(reply.problem().code(), "invalid_field", "{after}");
        }
        let reply = ask(Fake::new().router(), plain("GET", "/v1/reached?after=messages/1/2&level=moon")).await;
        assert_eq!(reply.problem().code(), "unknown_wait_level");
    }

    #[tokio::test]
    async fn a_read_with_the_header_waits_until_it_can_be_answered() {
        let read = || {
            let request = Request::builder().uri("/v1/threads").header(AFTER, "messages/1/3, messages/0/7");
            request.body(Body::empty()).expect("a request")
        };
        let fake = Fake::new();
        fake.reach(Ok(WaitLevel::Indexed));
        assert_eq!(ask(fake.router(), read()).await.status.as_u16(), 200);
        assert_eq!(fake.waited(), Some((written(), WaitLevel::Indexed)));
        fake.reach(Ok(WaitLevel::Stored));
        let problem = ask(fake.router(), read()).await.problem();
        assert_eq!(problem.code(), "unavailable");
        assert!(problem.details().detail.contains("stored"), "{problem:?}");
    }
}
