//! Context: what a model is told before it answers, from a thread and from memory.
//!
//! Owns: gathering what a context is made of. It asks the routes of this node, so that what other nodes hold comes from them.
//! Never: chooses; that is done by [`crate::context`].

use std::fmt::Write as _;

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use tower::ServiceExt;

use super::{Gateway, extract::JsonBody, reached::AFTER};
use crate::{
    api::{
        ContextRequest, ContextResponse, ENTITIES, Fact, Insight, Message, Page, RecallRequest, RecallResponse,
        RecallResult, Role, SummarySentence, ThreadSummary, Timestamp,
    },
    checks,
    context::{Material, Packed, TooSmall, pack},
    problem::{Code, Problem},
    providers::tokens,
};

/// The most that a route answers with: a page of a thread, or the results of a recall.
const ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// About the tokens of a turn: so many turns are asked for at a time.
const TOKENS_OF_A_TURN: u32 = 64;
/// The least and the most of them.
const TURNS: (u32, u32) = (16, 500);
/// More bytes than a token has in most texts: turns with so many bytes for each token of the budget fill it.
const BYTES_OF_A_TOKEN: usize = 6;
/// No more pieces of the thread are asked for.
const PIECES: usize = 8;
/// Results that are asked for.
const RESULTS: u32 = 40;
/// Facts, and insights, that are asked for.
const FACTS: u32 = 20;
const INSIGHTS: u32 = 500;
/// Of so many tokens of the budget, one of a summary is asked for; and the least and the most of these.
const SUMMARY_OF: u32 = 8;
const SUMMARY_TOKENS: (u32, u32) = (16, 2_000);
/// As much of a turn as is looked for, in bytes: a long one tells no better what it is about, and what is asked counts.
pub(super) const QUERY_BYTES: usize = 2048;

/// The routes of this node, for a handler that asks them.
#[derive(Clone)]
pub(super) struct Routes(pub(super) Router);

/// What a model is told before it answers: the latest turns of a thread, and turns of all threads of the space that bear on what
/// is asked, packed into a budget of tokens.
#[utoipa::path(
    post,
    path = "/v1/context",
    tag = "recall",
    request_body = ContextRequest,
    responses((status = 200, description = "The context, with where it is from", body = ContextResponse))
)]
pub(super) async fn context(
    State(gateway): State<Gateway>,
    Extension(routes): Extension<Routes>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ContextRequest>,
) -> Result<Json<ContextResponse>, Problem> {
    let started = Instant::now();
    let budget_tokens = request.budget_tokens;
    let (packed, tokenizer) = make(&gateway, &routes, &headers, request).await?;
    Ok(Json(ContextResponse {
        sections: packed.sections,
        system: packed.system,
        messages: packed.messages,
        tokens: u32::try_from(packed.tokens).unwrap_or(u32::MAX),
        budget_tokens,
        tokenizer,
        took_ms: started.elapsed().as_secs_f64() * 1000.0,
    }))
}

/// Makes a context, and says what its tokens were counted with. `headers` are those of the request that wants it.
///
/// # Errors
/// The request has no sense, its budget is too small, or a route of this node has a problem.
pub(super) async fn make(
    gateway: &Gateway,
    routes: &Routes,
    headers: &HeaderMap,
    request: ContextRequest,
) -> Result<(Packed, String), Problem> {
    checks::context(&request)?;
    let asker = Asker::new(routes, headers);
    // Side by side: recall takes the longest of them, and waits for the thread only where its newest turn is what is asked.
    let of_thread = async {
        let recent = asker.turns(&request).await?;
        let late = async {
            match request.query {
                Some(_) => Ok(Vec::new()),
                None => asker.recalled(&request, &recent).await,
            }
        };
        let (facts, recalled) = tokio::try_join!(asker.facts(&request, &recent), late)?;
        Ok((recent, facts, recalled))
    };
    let at_once = async {
        match request.query {
            Some(_) => asker.recalled(&request, &[]).await,
            None => Ok(Vec::new()),
        }
    };
    let ((recent, facts, late), mut recalled, pinned, summary) =
        tokio::try_join!(of_thread, at_once, asker.pinned(&request), asker.summary(&request))?;
    recalled.extend(late);
    let now = Timestamp::from_micros(now_micros());
    let ContextRequest { query, budget_tokens, provider, model, .. } = request;
    let counter =
        gateway.ports.calls.as_ref().zip(model.as_deref()).and_then(|(calls, model)| calls.token_counter(model));
    let tokenizer = model.filter(|_| counter.is_some()).unwrap_or_else(|| "o200k".to_owned());
    let material = Material { pinned, facts, summary, recent, recalled, query, now };
    let packed = tokio::task::spawn_blocking(move || match counter {
        Some(count) => pack(material, provider, budget_tokens.into(), &count),
        None => pack(material, provider, budget_tokens.into(), &tokens::count),
    });
    let broken = |_| Problem::internal("packing the context broke off; this is a bug in Meshlog");
    let packed = packed.await.map_err(broken)?.map_err(|error| too_small(&error, budget_tokens))?;
    Ok((packed, tokenizer))
}

/// The present time in microseconds since the epoch.
fn now_micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn too_small(error: &TooSmall, budget: u32) -> Problem {
    let detail = format!("budget_tokens is {budget}, and {error}");
    Problem::new(Code::OutOfRange, detail, format!("send budget_tokens of at least {}, or ask less", error.needed))
        .with("field", "budget_tokens")
        .with("minimum", error.needed)
        .with("actual", budget)
}

/// Asks the routes of this node on behalf of a request.
pub(super) struct Asker {
    routes: Router,
    /// What the request has written before and wants to read.
    after: Option<HeaderValue>,
}

impl Asker {
    /// On behalf of a request with these headers.
    pub(super) fn new(routes: &Routes, headers: &HeaderMap) -> Self {
        Self { routes: routes.0.clone(), after: headers.get(AFTER).cloned() }
    }

    /// The document at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        read(self.ask(Method::GET, path, Body::empty()).await).await
    }

    /// The latest turns of the thread, the oldest first.
    async fn turns(&self, request: &ContextRequest) -> Result<Vec<Message>, Problem> {
        let Some(thread) = &request.thread else { return Ok(Vec::new()) };
        let limit = (request.budget_tokens / TOKENS_OF_A_TURN).clamp(TURNS.0, TURNS.1);
        let (thread, space) = (encoded(thread), encoded(&request.space));
        let list = format!("/v1/threads/{thread}/messages?space={space}&order=newest&limit={limit}");
        let (mut turns, mut bytes, mut path) = (Vec::new(), 0, list.clone());
        for _ in 0..PIECES {
            let answer = self.ask(Method::GET, &path, Body::empty()).await;
            // A thread begins with its first turn; until then it is not there.
            if answer.status() == StatusCode::NOT_FOUND && request.query.is_some() {
                break;
            }
            let page: Page<Message> = read(answer).await?;
            bytes += page.items.iter().map(|turn| turn.text.len()).sum::<usize>();
            // Of one that was redacted nothing may be left to tell.
            turns.extend(page.items.into_iter().filter(|turn| !turn.text.trim().is_empty()));
            let Some(next) = page.next.filter(|_| bytes < BYTES_OF_A_TOKEN * request.budget_tokens as usize) else {
                break;
            };
            path = format!("{list}&cursor={}", encoded(&next));
        }
        turns.reverse();
        Ok(turns)
    }

    /// What memory finds.
    async fn recalled(&self, request: &ContextRequest, recent: &[Message]) -> Result<Vec<RecallResult>, Problem> {
        let Some(query) = asked(request, recent) else { return Ok(Vec::new()) };
        let question = RecallRequest {
            query: query.to_owned(),
            limit: RESULTS,
            spaces: vec![request.space.clone()],
            threads: Vec::new(),
            authors: Vec::new(),
            after: None,
            before: None,
            as_of: None,
            entities: ENTITIES,
            explain: false,
        };
        let answer = self.ask(Method::POST, "/v1/recall", json(&question)).await;
        Ok(read::<RecallResponse>(answer).await?.results)
    }

    /// Facts that hold now and bear on what is asked, by what it names and by who asks.
    async fn facts(&self, request: &ContextRequest, recent: &[Message]) -> Result<Vec<Fact>, Problem> {
        let Some(query) = asked(request, recent) else { return Ok(Vec::new()) };
        let about = &query[..query.floor_char_boundary(QUERY_BYTES)];
        let author = newest(recent).map_or("", |turn| turn.author.as_str());
        let (space, about) = (encoded(&request.space), encoded(&format!("{author}: {about}")));
        let path = format!("/v1/graph/facts?space={space}&limit={FACTS}&about={about}");
        Ok(self.get::<Page<Fact>>(&path).await?.items)
    }

    /// What says most of the thread.
    async fn summary(&self, request: &ContextRequest) -> Result<Vec<SummarySentence>, Problem> {
        let Some(thread) = &request.thread else { return Ok(Vec::new()) };
        let (thread, space) = (encoded(thread), encoded(&request.space));
        // About as much as comes in; what is among the latest turns does not.
        let budget = (request.budget_tokens / SUMMARY_OF).clamp(SUMMARY_TOKENS.0, SUMMARY_TOKENS.1);
        let path = format!("/v1/threads/{thread}/summary?space={space}&budget_tokens={budget}");
        Ok(self.get::<ThreadSummary>(&path).await?.sentences)
    }

    /// What is pinned for the thread and for the space, the oldest first.
    async fn pinned(&self, request: &ContextRequest) -> Result<Vec<Insight>, Problem> {
        let path = format!("/v1/memory/insights?space={}&limit={INSIGHTS}", encoded(&request.space));
        let mut pinned = self.get::<Page<Insight>>(&path).await?.items;
        pinned.retain(|insight| insight.thread.is_none() || insight.thread == request.thread);
        pinned.reverse();
        Ok(pinned)
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Response {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(after) = &self.after {
            request = request.header(AFTER, after);
        }
        match request.body(body) {
            Ok(request) => self.routes.clone().oneshot(request).await.into_response(),
            Err(error) => Problem::internal(format!("{path} is no path: {error}")).into_response(),
        }
    }
}

/// The newest turn of a user.
fn newest(recent: &[Message]) -> Option<&Message> {
    recent.iter().rev().find(|turn| turn.role == Role::User.name())
}

/// What is asked; nothing where that is blank.
fn asked<'a>(request: &'a ContextRequest, recent: &'a [Message]) -> Option<&'a str> {
    let beginning = |turn: &'a Message| &turn.text[..turn.text.floor_char_boundary(QUERY_BYTES)];
    request.query.as_deref().or_else(|| newest(recent).map(beginning)).filter(|query| !query.trim().is_empty())
}

fn json(value: &impl Serialize) -> Body {
    serde_json::to_vec(value).map_or_else(|_| Body::empty(), Body::from)
}

/// The document that a route answered with, or its problem.
async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, Problem> {
    let broken = |error: String| Problem::internal(format!("an answer of this node cannot be read: {error}"));
    let is_success = answer.status().is_success();
    let body = to_bytes(answer.into_body(), ANSWER_BYTES).await.map_err(|error| broken(error.to_string()))?;
    if !is_success {
        return Err(serde_json::from_slice(&body).unwrap_or_else(|error| broken(error.to_string())));
    }
    serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
}

/// A name as one segment of a path, or a value of a query.
pub(super) fn encoded(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(char::from(byte)),
            // Into memory; so it does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::fake::{Fake, ask, post_json};

    async fn context_of(fake: &std::sync::Arc<Fake>, request: Value) -> Value {
        let reply = ask(fake.router(), post_json("/v1/context", request.to_string())).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        reply.json()
    }

    #[tokio::test]
    async fn turns_of_the_thread_and_of_others_come_in_with_their_places() {
        let fake = Fake::new();
        fake.append("old/one", "we sail at noon");
        fake.append("new", "good morning");
        fake.append("new", "what did we say of noon?");
        let context = context_of(&fake, json!({"thread": "new", "query": "noon"})).await;
        let names: Vec<_> = context["sections"].as_array().unwrap().iter().map(|section| &section["name"]).collect();
        assert_eq!(names, ["recent", "recalled"]);
        let recalled = &context["sections"][1]["items"];
        assert_eq!((&recalled[0]["citation"], &recalled[0]["text"]), (&json!(1), &json!("we sail at noon")));
        assert_eq!(recalled.as_array().unwrap().len(), 1, "a recent turn is not recalled as well");
        let last = context["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
        assert!(
            last.contains("[1] ")
                && last.contains("in old/one: we sail at noon\n</memory>")
                && last.ends_with("\nnoon"),
            "{last}"
        );
        assert_eq!(context["tokenizer"], "o200k");
        assert!(context["tokens"].as_u64() <= context["budget_tokens"].as_u64());
    }

    #[tokio::test]
    async fn a_thread_with_a_name_that_no_path_has_is_found() {
        let fake = Fake::new();
        for thread in ["..", "a/b?c=d&e", "ä %2F+"] {
            fake.append(thread, "hello");
            let context = context_of(&fake, json!({"thread": thread})).await;
            assert_eq!(context["sections"][0]["items"][0]["thread_id"], thread);
        }
    }

    #[tokio::test]
    async fn a_new_thread_has_no_turns_and_one_that_nobody_asks_in_is_a_problem() {
        let fake = Fake::new();
        assert_eq!(context_of(&fake, json!({"thread": "new", "query": "noon"})).await["sections"], json!([]));
        let problem =
            ask(fake.router(), post_json("/v1/context", json!({"thread": "new"}).to_string())).await.problem();
        assert_eq!(problem.code(), "unknown_thread");
    }

    #[tokio::test]
    async fn a_request_that_makes_no_sense_is_refused_by_field() {
        for (request, code, field) in [
            (json!({}), "missing_field", "thread"),
            (json!({"query": " "}), "invalid_field", "query"),
            (json!({"query": "noon", "thread": ""}), "invalid_field", "thread"),
            (json!({"query": "noon", "space": ""}), "invalid_field", "space"),
            (json!({"query": "noon", "budget_tokens": 127}), "out_of_range", "budget_tokens"),
            (json!({"query": "noon ".repeat(300), "budget_tokens": 200}), "out_of_range", "budget_tokens"),
            (json!({"query": "noon", "provider": "smoke"}), "invalid_field", "provider"),
            (json!({"query": "noon", "limit": 3}), "unknown_field", "limit"),
        ] {
            let problem = ask(Fake::new().router(), post_json("/v1/context", request.to_string())).await.problem();
            assert_eq!((problem.code(), &problem.details().facts["field"]), (code, &json!(field)), "{problem:?}");
        }
    }
}
