//! Calls of models as the log has them: listing them, showing one, and giving its bodies back.
//!
//! Never: calls a model; see `chat`.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{Name, Parameters},
    threads,
};
use crate::{
    api::{Call, DEFAULT_SPACE, Page, default_space},
    checks,
    ports::{CallSelection, KeptBody, PageRequest},
    problem::{Code, Problem},
};

/// Says that an answer has less than the whole body: [`PARTIAL`].
pub(super) const KEPT: HeaderName = HeaderName::from_static("meshlog-kept");
const PARTIAL: HeaderValue = HeaderValue::from_static("partial");
/// The media type of a body that came with none.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A body was written by somebody else: whatever it is, a browser is to run nothing of it, and to guess no other type.
pub(super) const GUARDS: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// Which piece of which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CallsQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Only calls of this thread.
    thread: Option<String>,
    /// Only calls in this state: `open`, `completed`, `truncated`, `failed`, `cancelled` or `interrupted`.
    state: Option<String>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

impl CallsQuery {
    /// Which calls and which piece, checked.
    pub(super) fn checked(self) -> Result<(CallSelection, PageRequest), Problem> {
        let CallsQuery { space, thread, state, limit, cursor } = self;
        let selection = CallSelection { space, thread, state };
        checks::calls(&selection)?;
        Ok((selection, threads::page(limit, cursor)?))
    }
}

/// The calls of a space, the newest first.
#[utoipa::path(
    get,
    path = "/v1/calls",
    tag = "calls",
    operation_id = "calls",
    params(CallsQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Call>))
)]
pub(super) async fn list(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<CallsQuery>,
) -> Result<Json<Page<Call>>, Problem> {
    let (selection, page) = query.checked()?;
    gateway.ports.call_records.calls(selection, page).await.map(Json)
}

/// A call with its attempts.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}",
    tag = "calls",
    operation_id = "call",
    params(("id" = String, Path, description = "The call's id")),
    responses((status = 200, description = "The call", body = Call))
)]
pub(super) async fn show(State(gateway): State<Gateway>, Name(id): Name) -> Result<Json<Call>, Problem> {
    let found = gateway.ports.call_records.call(id.clone()).await?;
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// The body of a call's request, byte for byte as it was recorded.
///
/// `events_removed` where the log's retention has taken it away.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/request",
    tag = "calls",
    operation_id = "call_request",
    params(("id" = String, Path, description = "The call's id")),
    responses((status = 200, description = "The body", content_type = "application/json", body = serde_json::Value))
)]
pub(super) async fn request(State(gateway): State<Gateway>, Name(id): Name) -> Result<Response, Problem> {
    let found = gateway.ports.call_records.request(id.clone()).await?;
    found.map(kept).ok_or_else(|| unknown(&id))
}

/// The body of a call's answer, byte for byte as the provider gave it, with its media type.
///
/// Of a very long one the beginning is kept; the header `meshlog-kept: partial` says so. `no_response` where nobody has
/// answered, `events_removed` where the log's retention has taken it away.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/response",
    tag = "calls",
    operation_id = "call_response",
    params(("id" = String, Path, description = "The call's id")),
    responses((
        status = 200,
        description = "The body",
        headers(("meshlog-kept" = String, description = "`partial` where less than the whole body is kept")),
        content((serde_json::Value = "application/json"), (String = "text/event-stream"))
    ))
)]
pub(super) async fn response(State(gateway): State<Gateway>, Name(id): Name) -> Result<Response, Problem> {
    let found = gateway.ports.call_records.response(id.clone()).await?;
    found.map(kept).ok_or_else(|| unknown(&id))
}

fn kept(body: KeptBody) -> Response {
    let KeptBody { media_type, bytes, is_partial } = body;
    let media_type = Some(media_type).filter(|media_type| !media_type.is_empty());
    let media_type = media_type.and_then(|media_type| HeaderValue::from_str(&media_type).ok()).unwrap_or(BYTES);
    let mut response = (GUARDS, Body::from(bytes)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    if is_partial {
        response.headers_mut().insert(KEPT, PARTIAL);
    }
    response
}

fn unknown(id: &str) -> Problem {
    let help = "GET /v1/calls?space= lists the calls of a space; a call is found once its projection has applied it";
    Problem::new(Code::UnknownCall, format!("there is no call {id}"), help).with("call", id)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::http::fake::{Fake, NOON, Reply, ask, plain};

    async fn get(fake: &Arc<Fake>, uri: &str) -> Reply {
        ask(fake.router(), plain("GET", uri)).await
    }

    fn ids(reply: &Reply) -> Vec<String> {
        let page: Page<Call> = serde_json::from_slice(&reply.body).expect("the page has a type");
        page.items.into_iter().map(|call| call.call_id).collect()
    }

    #[tokio::test]
    async fn calls_are_listed_by_space_thread_and_state() {
        let fake = Fake::new();
        fake.call("a", "main", Some("t"), "completed", NOON);
        fake.call("b", "main", None, "open", NOON + 1);
        fake.call("c", "main", Some("t"), "open", NOON + 2);
        fake.call("d", "ada", None, "failed", NOON + 3);
        for (query, expected) in [
            ("", vec!["c", "b", "a"]),
            ("?thread=t", vec!["c", "a"]),
            ("?state=open", vec!["c", "b"]),
            ("?thread=t&state=completed", vec!["a"]),
            ("?space=ada", vec!["d"]),
            ("?space=ada&state=open", vec![]),
        ] {
            assert_eq!(ids(&get(&fake, &format!("/v1/calls{query}")).await), expected, "{query}");
        }
        let page = get(&fake, "/v1/calls?limit=2").await;
        assert_eq!(ids(&page), ["c", "b"]);
        let next = page.json()["next"].as_str().expect("there is more").to_owned();
        let rest = get(&fake, &format!("/v1/calls?limit=2&cursor={next}")).await;
        assert_eq!((ids(&rest), &rest.json()["next"]), (vec!["a".to_owned()], &Value::Null));
    }

    #[tokio::test]
    async fn what_is_no_selection_is_refused_by_field() {
        for (query, code, field) in [
            ("state=lost", "invalid_field", "state"),
            ("space=", "invalid_field", "space"),
            ("thread=%07", "invalid_field", "thread"),
            ("limit=0", "out_of_range", "limit"),
            ("model=x", "unknown_field", "model"),
        ] {
            let problem = get(&Fake::new(), &format!("/v1/calls?{query}")).await.problem();
            assert_eq!((problem.code(), &problem.details().facts["field"]), (code, &json!(field)), "{query}");
        }
        assert_eq!(get(&Fake::new(), "/v1/calls?cursor=x").await.problem().code(), "bad_cursor");
    }

    #[tokio::test]
    async fn a_call_is_shown_with_its_attempts_and_how_it_ended() {
        let fake = Fake::new();
        fake.call("a", "main", Some("t"), "completed", NOON);
        fake.call("b", "main", None, "open", NOON);
        let reply = get(&fake, "/v1/calls/a").await;
        let call = reply.json();
        assert_eq!(
            (&call["state"], &call["thread_id"], &call["attempts"][0]["number"]),
            (&json!("completed"), &json!("t"), &json!(1))
        );
        assert!(reply.text().contains("\"cost_usd\":0.000001250"), "{}", reply.text());
        assert_eq!(get(&fake, "/v1/calls/b").await.json()["settled_at"], Value::Null);
        assert_eq!(get(&fake, "/v1/calls/z").await.problem().code(), "unknown_call");
    }

    #[tokio::test]
    async fn bodies_are_given_back_as_they_were_and_what_is_missing_is_said() {
        let fake = Fake::new();
        fake.call("a", "main", None, "completed", NOON);
        fake.call("b", "main", None, "open", NOON);
        let request = get(&fake, "/v1/calls/a/request").await;
        assert_eq!(
            (&request.body[..], &request.headers["content-type"]),
            (&b"{\"id\":\"a\"}"[..], &"application/json".parse().expect("text"))
        );
        assert!(request.headers.get(KEPT).is_none());
        let response = get(&fake, "/v1/calls/a/response").await;
        assert_eq!(
            (response.text().as_str(), &response.headers["content-type"]),
            ("data: a\n\n", &"text/event-stream".parse().expect("text"))
        );
        assert_eq!(response.headers[KEPT], "partial");
        assert_eq!(response.headers["x-content-type-options"], "nosniff");
        assert_eq!(get(&fake, "/v1/calls/b/response").await.problem().code(), "no_response");
        for uri in ["/v1/calls/z/request", "/v1/calls/z/response"] {
            assert_eq!(get(&fake, uri).await.problem().code(), "unknown_call");
        }
    }

    #[test]
    fn a_media_type_that_is_none_is_not_passed_on() {
        for (media_type, expected) in
            [("", "application/octet-stream"), ("a\nb", "application/octet-stream"), ("text/html", "text/html")]
        {
            let body = KeptBody { media_type: media_type.to_owned(), bytes: vec![1].into(), is_partial: false };
            assert_eq!(kept(body).headers()[header::CONTENT_TYPE], expected, "{media_type:?}");
        }
    }
}
