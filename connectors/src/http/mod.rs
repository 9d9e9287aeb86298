//! The HTTP gateway: requests in, answers out, over the ports it is given.
//!
//! Owns: routes, bodies, problems, the OpenAPI document, the metrics of requests.
//! Promises: whatever the bytes of a request, the answer is a document of the OpenAPI description or a problem; memory per
//! request is bounded, and a client that sends faster than the log takes is not read from.
//! Never: knows where an answer comes from. It asks the [`Ports`].

mod decode;
mod events;
mod extract;
#[cfg(test)]
mod fake;
mod health;
mod intake;
mod lines;
mod messages;
mod metrics;
mod offsets;
mod openapi;
mod operations;
mod rebuilds;
mod recall;
mod subscriptions;
mod threads;
mod tree;

use std::{future::IntoFuture, io, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::ListenerExt,
};
use futures_util::FutureExt;
use tokio::{net::TcpListener, sync::watch, time::Instant};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ports::Ports,
    problem::{Code, Problem},
};

pub use openapi::document;

/// How long the requests under way may take to finish after the shutdown begins.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// What every handler shares.
#[derive(Clone)]
struct Gateway {
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
/// and requests under way are finished, for 30 seconds at most.
///
/// # Errors
/// When the listener fails for good; failures of single connections are not errors.
pub async fn serve(
    listener: TcpListener,
    ports: Ports,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (announce, mut closing) = watch::channel(false);
    let router = assemble(ports, closing.clone());
    // Without this the last small packet of an answer may wait for the client's acknowledgement.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its packets back");
        }
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
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
        .routes(routes!(threads::threads))
        .routes(routes!(threads::messages))
        .routes(routes!(recall::recall))
        .routes(routes!(events::events))
        .routes(routes!(operations::topics))
        .routes(routes!(operations::processors))
        .routes(routes!(operations::projections))
        .routes(routes!(rebuilds::start, rebuilds::list))
        .routes(routes!(rebuilds::show, rebuilds::cancel))
        .routes(routes!(operations::verify))
        .routes(routes!(subscriptions::add, subscriptions::list))
        .routes(routes!(subscriptions::remove))
}

fn assemble(ports: Ports, closing: watch::Receiver<bool>) -> Router {
    let (router, _) = described().split_for_parts();
    let document = document().to_json().expect("the description holds only values that JSON knows");
    let gateway = Gateway { ports, metrics: Arc::default(), document: document.into(), closing };
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(gateway.clone(), observe))
        .with_state(gateway)
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
    let detail = format!("there is no route {}", tree::quote(request.uri().path()));
    Problem::new(Code::UnknownRoute, detail, "GET /openapi.json lists every route")
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} does not allow {}", tree::quote(request.uri().path()), request.method());
    Problem::new(Code::MethodNotAllowed, detail, "the Allow header names the methods that the route allows")
}
