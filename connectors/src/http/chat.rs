//! The front for model calls: OpenAI's routes, so that its SDKs and what is built on them work as they are.
//!
//! Owns: who calls and for which thread, and OpenAI's form of answers and errors. Written against the API of November 2026.
//! Promises: an answer's bytes are the provider's, but for pieces that the caller did not ask for.
//! Never: decides who is asked. That is done by [`crate::calls`].

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use super::{
    Gateway,
    context::{self, Routes},
    extract::{Name, Parameters, media_type, whole_of},
};
use crate::{
    api::{ContextRequest, PromptFamily},
    calls::{self, Begun, Caller, Dispatcher, Head, ModelCard, Own, Refused},
    checks,
    context::SYSTEM,
    problem::{Code, Problem},
    providers::{Class, Failure, Kind},
};

/// The largest request, in bytes: it is an event, and has to find room in one.
const REQUEST_LIMIT: usize = 6 * 1024 * 1024;
/// Headers that name what the field `meshlog` may name too.
const SPACE: &str = "meshlog-space";
const THREAD: &str = "meshlog-thread";
const AUTHOR: &str = "meshlog-author";
/// The header with the call's id.
const CALL: HeaderName = HeaderName::from_static("meshlog-call");
/// The header with the provider's name.
const PROVIDER: HeaderName = HeaderName::from_static("meshlog-provider");
/// The header with the messages that a context cites: `1=ID, 2=ID`.
const CITATIONS: HeaderName = HeaderName::from_static("meshlog-citations");
/// The header with the number of attempts.
const ATTEMPTS: HeaderName = HeaderName::from_static("meshlog-attempts");

/// Continues a conversation (OpenAI's chat completions).
///
/// The request goes to the provider that has the model, with every field as it is. The headers `meshlog-space`,
/// `meshlog-thread` and `meshlog-author`, or a field `meshlog` with `space`, `thread` and `author`, name the thread whose turn
/// it is: then what the user said and what the model answered become messages. With `meshlog.context` the model is told what memory
/// holds, as `POST /v1/context` packs it, and the header `meshlog-citations` says which messages those are. Errors have OpenAI's form; `error.code` is
/// Meshlog's, and `error.message` the provider's own words.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "calls",
    operation_id = "chat_completions",
    request_body(description = "As OpenAI's, at most 6 MiB", content((Value = "application/json"))),
    responses(
        (status = 200, description = "As OpenAI's", content((Value = "application/json"), (String = "text/event-stream"))),
        (status = 202, description = "With `meshlog.background`: the call goes on without the caller", body = RequestedCall)
    )
)]
pub(super) async fn completions(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(&gateway, Kind::Chat, request).await
}

/// Makes vectors of texts (OpenAI's embeddings).
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    tag = "calls",
    operation_id = "embeddings",
    request_body(description = "As OpenAI's, at most 6 MiB", content((Value = "application/json"))),
    responses((status = 200, description = "As OpenAI's", body = Value))
)]
pub(super) async fn embeddings(State(gateway): State<Gateway>, request: Request) -> Response {
    answer(&gateway, Kind::Embeddings, request).await
}

/// The models that callers may name (OpenAI's list).
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "calls",
    operation_id = "models",
    responses((status = 200, description = "As OpenAI's", body = ModelList))
)]
pub(super) async fn models(State(gateway): State<Gateway>, headers: HeaderMap) -> Response {
    let list = dispatcher(&gateway).and_then(|dispatcher| {
        known(dispatcher, &headers)?;
        let data = dispatcher.models().into_iter().map(model).collect();
        Ok(Json(ModelList { object: "list", data }))
    });
    list.map_or_else(|failure| refused(&failure), IntoResponse::into_response)
}

/// One model by its name.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    tag = "calls",
    operation_id = "show_model",
    params(("id" = String, Path, description = "The model's name")),
    responses((status = 200, description = "As OpenAI's", body = Model))
)]
pub(super) async fn show_model(State(gateway): State<Gateway>, headers: HeaderMap, Name(id): Name) -> Response {
    let found = dispatcher(&gateway).and_then(|dispatcher| {
        known(dispatcher, &headers)?;
        let missing =
            || Failure { status: Some(404), ..Failure::new(Class::NoModel, format!("there is no model {id}")) };
        dispatcher.model(&id).map(|card| Json(model(card))).ok_or_else(missing)
    });
    found.map_or_else(|failure| refused(&failure), IntoResponse::into_response)
}

/// How the providers fare; with `check=true` each is asked whether it can be reached.
#[utoipa::path(
    get,
    path = "/v1/providers",
    tag = "calls",
    params(ProvidersQuery),
    responses((status = 200, description = "Every provider", body = ProvidersView))
)]
pub(super) async fn providers(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<ProvidersQuery>,
) -> Result<Json<ProvidersView>, Problem> {
    let dispatcher = gateway.ports.calls.as_ref().ok_or_else(not_here)?;
    let checked = if query.check.unwrap_or(false) { dispatcher.health().await } else { Vec::new() };
    let view = |state: calls::ProviderState| {
        let health = checked.iter().find(|(name, _)| *name == state.name);
        ProviderView {
            reachable: health.map(|(_, health)| health.is_ok()),
            problem: health.and_then(|(_, health)| health.as_ref().err()).map(ToString::to_string),
            name: state.name,
            circuit: state.circuit.to_owned(),
            waiting: state.waiting,
        }
    };
    let providers = dispatcher.providers().into_iter().map(view).collect();
    Ok(Json(ProvidersView { providers, under_way: dispatcher.under_way() }))
}

/// What is asked of the providers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProvidersQuery {
    /// Whether each is asked if it can be reached and takes our key. It costs nothing.
    #[param(default = false)]
    check: Option<bool>,
}

/// The providers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProvidersView {
    /// In the order of the configuration.
    providers: Vec<ProviderView>,
    /// Calls under way at this node.
    under_way: usize,
}

/// How a provider fares.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderView {
    /// Its name.
    name: String,
    /// `closed` while it is asked, `open` while it is left alone after failures, `half-open` while one call tries it.
    circuit: String,
    /// How many calls wait for their turn.
    waiting: usize,
    /// Whether it can be reached; null where it was not asked.
    reachable: Option<bool>,
    /// Why not.
    problem: Option<String>,
}

/// Models, as OpenAI lists them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// A model, as OpenAI shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    /// The name.
    id: String,
    object: &'static str,
    /// Unknown: 0.
    created: u64,
    /// The provider that is asked first.
    owned_by: String,
    /// What OpenAI does not say of it.
    meshlog: ModelKinds,
}

/// What is known of a model here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelKinds {
    /// The calls that it answers, as far as is known: `chat`, `embeddings`.
    kinds: Vec<&'static str>,
}

fn model(card: ModelCard) -> Model {
    let kinds = card.kinds.iter().map(|kind| kind.name()).collect();
    Model { id: card.name, object: "model", created: 0, owned_by: card.provider, meshlog: ModelKinds { kinds } }
}

/// A call that goes on without its caller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RequestedCall {
    /// The call's id: `GET /v1/calls/{id}` shows how it fares.
    id: String,
    object: &'static str,
}

fn not_here() -> Problem {
    Problem::new(Code::NotHere, "this node calls no models", "ask a gateway (\"meshlog gateway\", or \"meshlog up\")")
}

fn dispatcher(gateway: &Gateway) -> Result<&Dispatcher, Failure> {
    gateway.ports.calls.as_ref().ok_or_else(|| failure_of(&not_here()))
}

/// The label of the caller's key.
fn known(dispatcher: &Dispatcher, headers: &HeaderMap) -> Result<String, Failure> {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
    dispatcher.key_label(shown.map(str::trim)).ok_or_else(|| {
        let message = match shown {
            Some(_) => "incorrect API key provided: it is none of those in meshlog.toml",
            None => "you did not provide an API key: send it as Authorization: Bearer KEY",
        };
        let mut failure = Failure { status: Some(401), ..Failure::new(Class::Invalid, message) };
        failure.details.code = Some("invalid_api_key".to_owned());
        failure
    })
}

async fn answer(gateway: &Gateway, kind: Kind, request: Request) -> Response {
    match called(gateway, kind, request).await {
        Ok(response) => response,
        Err(failure) => refused(&failure),
    }
}

async fn called(gateway: &Gateway, kind: Kind, request: Request) -> Result<Response, Failure> {
    let headers = request.headers().clone();
    let routes = request.extensions().get::<Routes>().cloned();
    // The body first: a client that is refused before it has sent everything sees a broken connection in place of the error.
    let body = whole_of(request, gateway, REQUEST_LIMIT).await.map_err(|problem| failure_of(&problem))?;
    let dispatcher = dispatcher(gateway)?;
    let key_label = known(dispatcher, &headers)?;
    // Only for its problem with bodies that are compressed: SDKs state the type, and what is built on them may not.
    media_type(&headers).map_err(|problem| failure_of(&problem))?;
    let request = calls::Request::read(kind, body.into()).map_err(|error| {
        let mut failure = Failure { status: Some(400), ..Failure::new(Class::Invalid, error.message) };
        failure.details.param = error.param.map(str::to_owned);
        failure
    })?;
    let caller = caller(&headers, request.own.clone(), key_label).map_err(|problem| failure_of(&problem))?;
    let (request, citations) = match request.own.context.clone() {
        Some(wanted) if kind == Kind::Chat => {
            let routes = routes.ok_or_else(|| Failure::new(Class::Internal, "this route cannot ask the others"))?;
            informed(gateway, &routes, &headers, &caller, request, wanted).await?
        }
        _ => (request, None),
    };
    if request.own.background {
        let id = dispatcher.request(caller, request).await?;
        let call = RequestedCall { id: id.to_string(), object: "meshlog.call" };
        return Ok((StatusCode::ACCEPTED, Json(call)).into_response());
    }
    let mut response = match dispatcher.call(caller, request).await {
        Begun::Whole(head, body) => headed(&head, Body::from(body)),
        Begun::Stream(head, pieces) => headed(&head, streamed(pieces)),
        Begun::Refused(told) => refusal(&told),
    };
    if let Some(citations) = citations {
        response.headers_mut().insert(CITATIONS, citations);
    }
    Ok(response)
}

/// The request with what memory holds, and which message each number in that stands for.
async fn informed(
    gateway: &Gateway,
    routes: &Routes,
    headers: &HeaderMap,
    caller: &Caller,
    request: calls::Request,
    wanted: calls::OwnContext,
) -> Result<(calls::Request, Option<HeaderValue>), Failure> {
    let wrong = |message: String| {
        let mut failure = Failure { status: Some(400), ..Failure::new(Class::Invalid, message) };
        failure.details.param = Some("meshlog".to_owned());
        failure
    };
    if request.own.background {
        return Err(wrong("a call in the background is told nothing of memory: leave meshlog.context out".to_owned()));
    }
    let query =
        request.said().pop().ok_or_else(|| wrong("with meshlog.context a user has to say something".to_owned()))?;
    let wanted = ContextRequest {
        space: caller.space.clone(),
        // What the request has of the conversation need not be told again.
        thread: caller.thread.clone().filter(|_| request.is_first_turn()),
        query: Some(query[..query.floor_char_boundary(context::QUERY_BYTES)].to_owned()),
        budget_tokens: wanted.budget_tokens,
        provider: PromptFamily::Openai,
        model: Some(request.model.clone()),
    };
    let made = context::make(gateway, routes, headers, wanted).await;
    let (packed, _) = made.map_err(|problem| failure_of(&problem))?;
    let cited = packed.sections.iter().flat_map(|section| &section.items).flat_map(|item| {
        let id = item.message_id.as_ref().or(item.fact_id.as_ref()).or(item.insight_id.as_ref());
        // A sentence that a model wrote is from several.
        let ids = id.into_iter().chain(&item.sources);
        ids.filter_map(|id| Some((item.citation?, id)))
    });
    let cited: Vec<String> = cited.map(|(number, id)| format!("{number}={id}")).collect();
    let text = format!("{SYSTEM}\n\n{}", packed.memory);
    let request = request.with_context(&packed.turns, &text).map_err(|error| wrong(error.message))?;
    if request.body.len() > REQUEST_LIMIT {
        let length = request.body.len();
        let what = format!("with what memory holds the request has {length} bytes; the most is {REQUEST_LIMIT}");
        return Err(wrong(format!("{what}: send a smaller meshlog.context.budget_tokens, or less")));
    }
    Ok((request, HeaderValue::try_from(cited.join(", ")).ok()))
}

/// Who calls, and for which thread. What the body says goes before what the headers say.
fn caller(headers: &HeaderMap, own: Own, key_label: String) -> Result<Caller, Problem> {
    let header = |name: &str| -> Result<Option<String>, Problem> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let text = std::str::from_utf8(value.as_bytes());
        let text = text
            .map_err(|_| Problem::new(Code::NotUtf8, format!("the header {name} is not UTF-8"), "write it as UTF-8"))?;
        Ok(Some(text.to_owned()))
    };
    let named = |field: &str, own: Option<String>, name: &str| -> Result<Option<String>, Problem> {
        let value = own.map_or_else(|| header(name), |own| Ok(Some(own)))?;
        if let Some(value) = &value {
            checks::name(field, value)?;
        }
        Ok(value)
    };
    Ok(Caller {
        space: named("meshlog.space", own.space, SPACE)?.unwrap_or_else(|| "main".to_owned()),
        thread: named("meshlog.thread", own.thread, THREAD)?,
        author: named("meshlog.author", own.author, AUTHOR)?.unwrap_or_else(|| "user".to_owned()),
        key_label,
        idempotency_key: header("idempotency-key")?.filter(|key| !key.is_empty() && key.len() <= checks::NAME_LIMIT),
    })
}

fn streamed(pieces: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), pieces))
    }))
}

fn headed(head: &Head, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in &head.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let mut insert = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    insert(header::CONTENT_TYPE, &head.content_type);
    insert(CALL, &head.call.to_string());
    insert(PROVIDER, &head.provider);
    insert(ATTEMPTS, &head.attempts.to_string());
    if head.content_type.starts_with("text/event-stream") {
        insert(header::CACHE_CONTROL, "no-cache");
        insert(HeaderName::from_static("x-accel-buffering"), "no");
    }
    response
}

fn refused(failure: &Failure) -> Response {
    refusal(&Refused { call: None, provider: String::new(), attempts: 0, failure: failure.clone() })
}

fn refusal(told: &Refused) -> Response {
    let failure = &told.failure;
    let status = StatusCode::from_u16(failure.caller_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(told.document())).into_response();
    let headers = response.headers_mut();
    if let Some(call) = told.call.and_then(|call| HeaderValue::try_from(call.to_string()).ok()) {
        headers.insert(CALL, call);
    }
    headers.insert(ATTEMPTS, HeaderValue::from(told.attempts));
    if let Some(wait) = failure.retry_after {
        // Whole seconds are what every client reads; the finer form is read by OpenAI's.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(millis));
    }
    // What was asked several times here need not be asked again by the SDK at once.
    if matches!(failure.class, Class::Invalid | Class::Context | Class::Content | Class::NoModel | Class::Log) {
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
    }
    response
}

/// A problem of the gateway as a failure of the call.
fn failure_of(problem: &Problem) -> Failure {
    let details = problem.details();
    let is_callers = (400..500).contains(&details.status);
    let class = if is_callers { Class::Invalid } else { Class::Internal };
    let message = format!("{}; {}", details.detail, details.help);
    let mut failure = Failure { status: Some(details.status), ..Failure::new(class, message) };
    failure.details.code = Some(details.code.clone());
    failure.details.param = details.facts.get("field").and_then(Value::as_str).map(str::to_owned);
    failure
}
