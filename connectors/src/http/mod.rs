//! The HTTP gateway: requests in, answers out, over the ports it is given.
//!
//! Owns: routes, bodies, problems, the OpenAPI document, the metrics of requests.
//! Promises: whatever the bytes of a request, the answer is a document of the OpenAPI description or a problem; memory per
//! request is bounded, and a client that sends faster than the log takes is not read from.
//! Never: knows where an answer comes from. It asks the [`Ports`].

mod calls;
mod chat;
mod context;
mod dead_letters;
mod decode;
mod edits;
mod events;
mod extract;
#[cfg(test)]
pub(crate) mod fake;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod graph;
mod health;
mod intake;
mod lines;
mod memory;
mod messages;
mod metrics;
mod nodes;
mod offsets;
mod openapi;
mod operations;
mod reached;
mod rebuilds;
mod recall;
mod scatter;
mod stall;
mod starting;
mod subscriptions;
mod summaries;
mod threads;
mod tree;
mod usage;

use std::{future::IntoFuture, io, ops::Deref, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::{net::TcpListener, sync::watch, time::Instant};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ports::Ports,
    problem::{Code, Problem, quote},
};

pub use forward::Forwarder;
pub use openapi::document;
pub use scatter::Scatter;
use stall::Unstalled;
pub use starting::serve_starting;

/// How long the requests under way may take to finish after the shutdown begins.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of an answer that is there for it.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// What every handler shares. Cloned several times a request, so it is one pointer.
#[derive(Clone)]
struct Gateway(Arc<Shared>);

impl Deref for Gateway {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

struct Shared {
    ports: Ports,
    metrics: Arc<metrics::Metrics>,
    /// The OpenAPI document as JSON.
    document: Arc<str>,
    closing: watch::Receiver<bool>,
}

impl Gateway {
    /// Completes when the shutdown begins.
    async fn closed(&self) {
        let mut closing = self.closing.clone();
        if closing.wait_for(|closing| *closing).await.is_err() {
            // Nobody is left who could begin a shutdown.
            std::future::pending().await
        }
    }
}

/// The gateway as a router, for a server that is set up elsewhere. Event streams end only when their clients leave.
pub fn router(ports: Ports) -> Router {
    let (_, closing) = watch::channel(false);
    assemble(ports, closing)
}

/// Serves the gateway until `shutdown` completes. Then no connection is accepted any more, event streams and waits end,
/// and requests under way are finished, for 30 seconds at most. A client that takes nothing of its answer for a minute is
/// cut off at any time.
///
/// # Errors
/// When the listener fails for good; failures of single connections are not errors.
pub async fn serve(
    listener: TcpListener,
    ports: Ports,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_patiently(listener, ports, shutdown, STALL_LIMIT).await
}

async fn serve_patiently(
    listener: TcpListener,
    ports: Ports,
    shutdown: impl Future<Output = ()> + Send + 'static,
    stall_limit: Duration,
) -> io::Result<()> {
    let (announce, mut closing) = watch::channel(false);
    let router = assemble(ports, closing.clone());
    let server = axum::serve(Unstalled::new(listener, stall_limit), router).with_graceful_shutdown(async move {
        shutdown.await;
        announce.send_replace(true);
    });
    let overdue = async move {
        // An error means that the server has ended and dropped the sender, and then nothing is overdue.
        if closing.wait_for(|closing| *closing).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    let mut server = pin!(server.into_future());
    tokio::select! {
        result = &mut server => result,
        () = overdue => {
            tracing::warn!(seconds = DRAIN_LIMIT.as_secs(), "connections are cut off: they did not finish in time");
            Ok(())
        }
    }
}

/// Every route with its description. A handler is listed here or nowhere, so document and router cannot differ.
fn described() -> OpenApiRouter<Gateway> {
    OpenApiRouter::with_openapi(openapi::heading())
        .routes(routes!(health::root))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(messages::send))
        .routes(routes!(messages::message))
        .routes(routes!(reached::reached))
        .routes(routes!(scatter::share))
        .routes(routes!(threads::threads))
        .routes(routes!(threads::messages))
        .routes(routes!(recall::recall))
        .routes(routes!(context::context))
        .routes(routes!(summaries::summary))
        .routes(routes!(summaries::of_thread))
        .routes(routes!(summaries::of_space))
        .routes(routes!(summaries::archive, summaries::file))
        .routes(routes!(graph::nodes))
        .routes(routes!(graph::node))
        .routes(routes!(graph::edges))
        .routes(routes!(graph::timeline))
        .routes(routes!(graph::together))
        .routes(routes!(graph::path))
        .routes(routes!(graph::facts))
        .routes(routes!(graph::fact))
        .routes(routes!(graph::export))
        .routes(routes!(memory::pin, memory::insights))
        .routes(routes!(memory::correct))
        .routes(routes!(edits::edit))
        .routes(routes!(edits::redact))
        .routes(routes!(memory::forget))
        .routes(routes!(memory::retention, memory::retain))
        .routes(routes!(memory::merge))
        .routes(routes!(memory::part))
        .routes(routes!(chat::completions))
        .routes(routes!(chat::embeddings))
        .routes(routes!(chat::models))
        .routes(routes!(chat::show_model))
        .routes(routes!(chat::providers))
        .routes(routes!(calls::list))
        .routes(routes!(calls::show))
        .routes(routes!(calls::request))
        .routes(routes!(calls::response))
        .routes(routes!(usage::usage))
        .routes(routes!(events::events))
        .routes(routes!(operations::topics))
        .routes(routes!(operations::processors))
        .routes(routes!(operations::projections))
        .routes(routes!(rebuilds::start, rebuilds::list))
        .routes(routes!(rebuilds::show, rebuilds::cancel))
        .routes(routes!(rebuilds::pause))
        .routes(routes!(rebuilds::drop_version))
        .routes(routes!(operations::verify))
        .routes(routes!(subscriptions::add, subscriptions::list))
        .routes(routes!(subscriptions::remove))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::redrive_all))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::redrive))
        .routes(routes!(dead_letters::discard))
}

fn assemble(ports: Ports, closing: watch::Receiver<bool>) -> Router {
    let (router, _) = described().split_for_parts();
    let document = document().to_json().expect("the description holds only values that JSON knows");
    let gateway = Gateway(Arc::new(Shared { ports, metrics: Arc::default(), document: document.into(), closing }));
    let routes = router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(gateway.clone(), reached::after_writes))
        // In front: a read that is answered elsewhere, or by several nodes, also waits there.
        .layer(middleware::from_fn_with_state(gateway.clone(), scatter::scatter))
        .layer(middleware::from_fn_with_state(gateway.clone(), forward::forward))
        .layer(middleware::from_fn_with_state(gateway.clone(), observe))
        .with_state(gateway);
    // What is made of several answers asks the same routes.
    routes.clone().layer(Extension(context::Routes(routes)))
}

/// Counts and times each request, and turns a panic into an answer.
async fn observe(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let response = outcome.unwrap_or_else(|_| {
        tracing::error!(%method, route, "a handler panicked");
        Problem::internal("the handler of this request broke off; this is a bug in Meshlog").into_response()
    });
    gateway.metrics.record(&method, route, response.status(), started.elapsed());
    response
}

async fn unknown_route(request: Request) -> Problem {
    let detail = format!("there is no route {}", quote(request.uri().path()));
    Problem::new(Code::UnknownRoute, detail, "GET /openapi.json lists every route")
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} does not allow {}", quote(request.uri().path()), request.method());
    Problem::new(Code::MethodNotAllowed, detail, "the Allow header names the methods that the route allows")
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode};
    use proptest::prelude::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
        task::JoinHandle,
    };

    use super::{
        fake::{Fake, Reply, ask, plain, post},
        *,
    };

    /// A gateway on a real port, and what stops it.
    async fn start(fake: &Arc<Fake>) -> (std::net::SocketAddr, oneshot::Sender<()>, JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, fake.ports(), async {
            // A dropped sender stops the server too.
            let _ = stopped.await;
        }));
        (address, stop, server)
    }

    async fn request(address: std::net::SocketAddr, head_and_body: &str) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.expect("the server listens");
        connection.write_all(head_and_body.as_bytes()).await.expect("the request is sent");
        connection
    }

    /// Reads until the server closes the connection.
    async fn rest(mut connection: TcpStream) -> String {
        let mut text = Vec::new();
        let read = connection.read_to_end(&mut text);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        read.expect("the server closes the connection").expect("the connection ends well");
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn until(connection: &mut TcpStream, wanted: &str) {
        let mut text = String::new();
        while !text.contains(wanted) {
            let mut chunk = [0; 1024];
            let read = tokio::time::timeout(Duration::from_secs(10), connection.read(&mut chunk)).await;
            let length = read.expect("something comes").expect("the connection is whole");
            assert!(length > 0, "the connection ended after {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    }

    async fn ended(server: JoinHandle<io::Result<()>>) {
        let ended = tokio::time::timeout(Duration::from_secs(10), server).await.expect("the server ends in time");
        ended.expect("the server does not panic").expect("the server ends well");
    }

    const MESSAGE: &str = r#"{"thread":"t","author":"Ada","text":"hello"}"#;

    fn posted(path: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    #[tokio::test]
    async fn an_unknown_route_is_a_problem() {
        for uri in ["/v1/moon", "/v1/messages/", "/v1", "//", "/v1/threads/a/b/messages"] {
            let reply = ask(Fake::new().router(), plain("GET", uri)).await;
            assert_eq!(reply.problem().code(), "unknown_route", "{uri}");
        }
    }

    #[tokio::test]
    async fn a_method_that_a_route_does_not_know_is_a_problem_that_names_those_it_does() {
        for (method, uri, allow) in [
            ("PUT", "/v1/messages", "POST"),
            ("POST", "/v1/rebuilds/r1", "GET,HEAD,DELETE"),
            ("DELETE", "/", "GET,HEAD"),
        ] {
            let reply = ask(Fake::new().router(), plain(method, uri)).await;
            assert_eq!(reply.problem().code(), "method_not_allowed", "{method} {uri}");
            let mut found: Vec<_> = reply.headers["allow"].to_str().expect("text").split(',').map(str::trim).collect();
            let mut expected: Vec<_> = allow.split(',').collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn a_handler_that_panics_answers_with_a_problem() {
        let reply = ask(Fake::new().router(), plain("GET", "/v1/messages/panic")).await;
        assert_eq!(reply.problem().code(), "internal");
    }

    #[tokio::test]
    async fn requests_under_way_are_finished_when_the_server_stops() {
        let fake = Fake::new();
        fake.gate.forget_permits(usize::MAX);
        let (address, stop, server) = start(&fake).await;
        let connection = request(address, &posted("/v1/messages", MESSAGE)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.send(()).expect("the server runs");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!server.is_finished(), "a request is under way");
        fake.gate.add_permits(1);
        assert!(rest(connection).await.starts_with("HTTP/1.1 202 "));
        ended(server).await;
        assert_eq!(fake.texts(), ["hello"]);
        assert!(TcpStream::connect(address).await.is_err(), "no connection is accepted any more");
    }

    #[tokio::test]
    async fn streams_end_when_the_server_stops() {
        let fake = Fake::new();
        let (address, stop, server) = start(&fake).await;
        let head = "GET /v1/events?topic=messages HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
        let mut connection = request(address, head).await;
        until(&mut connection, "text/event-stream").await;
        fake.append("t", "hello");
        until(&mut connection, "data: ").await;
        stop.send(()).expect("the server runs");
        rest(connection).await;
        ended(server).await;
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off_and_its_stream_is_given_up() {
        let fake = Fake::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let limit = Duration::from_millis(50);
        let server = tokio::spawn(serve_patiently(listener, fake.ports(), std::future::pending(), limit));
        let text = "x".repeat(1024 * 1024);
        // More than the buffers of both ends hold.
        for _ in 0..64 {
            fake.append("t", &text);
        }
        let head = "GET /v1/events?topic=messages&from=start HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n";
        let mut stalled = request(address, head).await;
        until(&mut stalled, "data: ").await;
        loop {
            let asked = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            if rest(request(address, asked).await).await.contains("\nmeshlog_http_tails 0\n") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.abort();
    }

    #[tokio::test]
    async fn waits_end_when_the_server_stops_and_the_write_is_acknowledged() {
        let fake = Fake::new();
        let (address, stop, server) = start(&fake).await;
        let connection = request(address, &posted("/v1/messages?wait=indexed&timeout_ms=600000", MESSAGE)).await;
        while fake.waited().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send(()).expect("the server runs");
        let answer = rest(connection).await;
        assert!(answer.starts_with("HTTP/1.1 202 ") && answer.contains("\"reached\":\"stored\""), "{answer}");
        ended(server).await;
    }

    #[tokio::test]
    async fn an_upload_that_stalls_does_not_keep_the_server_from_stopping() {
        let fake = Fake::new();
        let (address, stop, server) = start(&fake).await;
        let head = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9000\r\n\r\n";
        let connection = request(address, &format!("{head}{MESSAGE}\n")).await;
        while fake.texts().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send(()).expect("the server runs");
        let answer = rest(connection).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\"accepted\":1"), "{answer}");
        ended(server).await;
    }

    /// The routes that take a body, with the media types they read.
    const POSTS: [(&str, &str); 8] = [
        ("/v1/messages", "application/json"),
        ("/v1/messages", "application/x-ndjson"),
        ("/v1/recall", "application/json"),
        ("/v1/rebuilds", "application/json"),
        ("/v1/verifications", "application/json"),
        ("/v1/subscriptions", "application/json"),
        ("/v1/dead-letters/redrive", "application/json"),
        ("/v1/dead-letters/route~messages~0~0/discard", "application/json"),
    ];

    /// Bytes of every kind, and JSON that is nearly what the routes want.
    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let field = prop::sample::select(vec![
            "id",
            "space",
            "thread",
            "author",
            "role",
            "sent_at",
            "text",
            "query",
            "limit",
            "projection",
            "subscriber",
            "processor",
            "reason",
            "moon",
        ]);
        let value = prop_oneof![
            Just("null".to_owned()),
            Just("[]".to_owned()),
            Just("{}".to_owned()),
            Just("1e400".to_owned()),
            Just("\"2025-05-08T13:56:00Z\"".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        ];
        let object = prop::collection::vec((field, value), 0..8).prop_map(|fields| {
            let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", fields.join(",")).into_bytes()
        });
        let bytes = prop::collection::vec(any::<u8>(), 0..300);
        let line = prop_oneof![bytes.clone(), object.clone(), any::<String>().prop_map(String::into_bytes)];
        prop_oneof![bytes, object, prop::collection::vec(line, 0..6).prop_map(|lines| lines.join(&b'\n'))]
    }

    fn answered_well(reply: &Reply) -> Result<(), TestCaseError> {
        if reply.status.is_success() {
            return Ok(());
        }
        prop_assert!(reply.status.is_client_error(), "{} {}", reply.status, reply.text());
        let problem = reply.problem();
        // The fakes refuse what does not exist; everything else was refused by the gateway.
        prop_assert!(
            problem.status() != StatusCode::NOT_FOUND
                || ["unknown_projection", "unknown_topic"].contains(&problem.code()),
            "{problem:?}"
        );
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn whatever_the_body_the_answer_is_a_success_or_a_problem(body in bodies()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            for (uri, media_type) in POSTS {
                let reply = runtime.block_on(ask(Fake::new().router(), post(uri, media_type, Body::from(body.clone()))));
                answered_well(&reply)?;
            }
        }

        #[test]
        fn whatever_the_query_the_answer_is_a_success_or_a_problem(query in "[ -~&&[^#<>\"`{}|\\\\^ ]]{0,60}") {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            for uri in [
                "/v1/threads",
                "/v1/events",
                "/v1/projections",
                "/v1/subscriptions",
                "/v1/dead-letters",
                "/v1/calls",
                "/v1/usage",
            ] {
                let reply = runtime.block_on(ask(Fake::new().router(), plain("GET", &format!("{uri}?{query}"))));
                answered_well(&reply)?;
            }
        }
    }
}
