//! Forwarding: what only stores can answer goes to the nodes that have them.
//!
//! Owns: which requests these are, and which node is asked: the next in turn, and another one if it does not answer.
//! Never: changes a request or an answer; asks twice for what may not be done twice (only reads are forwarded).

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, Uri, header, request::Parts, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, timeout};

use super::{
    Gateway,
    extract::{BODY_LIMIT, too_large},
};
use crate::problem::{Code, Problem};

/// How long a node may take to be connected with.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a node may take to begin its answer before another one is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long a node that did not answer is asked only if no other is left.
const AVOIDED_FOR: Duration = Duration::from_secs(5);

/// The nodes that answer reads.
pub struct Forwarder {
    client: Client<HttpConnector, Body>,
    nodes: Vec<Node>,
    turn: AtomicUsize,
}

struct Node {
    /// `http://host:port`
    url: String,
    avoided_until: Mutex<Option<Instant>>,
}

impl Node {
    fn is_avoided(&self) -> bool {
        self.avoided_until().is_some_and(|until| Instant::now() < until)
    }

    fn avoided_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forwarder {
    /// A forwarder to nodes, each as `http://host:port`.
    ///
    /// # Errors
    /// One of them is no such address.
    pub fn new(nodes: &[String]) -> Result<Self, String> {
        let node = |url: &String| {
            let url = url.trim_end_matches('/');
            let parsed: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
            if parsed.scheme_str() != Some("http") || parsed.authority().is_none() || parsed.path() != "/" {
                return Err(format!("{url} is not the address of a node; write http://HOST:PORT"));
            }
            Ok(Node { url: url.to_owned(), avoided_until: Mutex::default() })
        };
        let nodes = nodes.iter().map(node).collect::<Result<Vec<_>, String>>()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, nodes, turn: AtomicUsize::new(0) })
    }

    /// Asks a node for a document.
    ///
    /// # Errors
    /// No node answers within `limit`, or none with success.
    pub async fn get(&self, path_and_query: &str, limit: Duration) -> Result<Bytes, Problem> {
        let uri: Uri = path_and_query.parse().map_err(|_| Problem::internal("a request to a query node has no URL"))?;
        let request =
            Request::builder().uri(uri).body(()).map_err(|_| Problem::internal("a request cannot be made"))?;
        let (parts, ()) = request.into_parts();
        let response = self.ask(&parts, &Bytes::new(), limit).await?;
        let status = response.status();
        let body = to_bytes(response.into_body(), BODY_LIMIT).await.map_err(|error| no_node(&error.to_string()))?;
        if status.is_success() { Ok(body) } else { Err(no_node(&format!("a query node answered {status}"))) }
    }

    /// Asks one node after the other until one answers; a node that says that it cannot answer now counts only if none else
    /// can.
    async fn ask(&self, parts: &Parts, body: &Bytes, limit: Duration) -> Result<Response, Problem> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.nodes.len()).map(|step| &self.nodes[(turn + step) % self.nodes.len()]);
        let (avoided, preferred): (Vec<_>, Vec<_>) = in_turn.partition(|node| node.is_avoided());
        let mut unready = None;
        let mut cause = "none is configured; start the gateway with --query".to_owned();
        for node in preferred.into_iter().chain(avoided) {
            match timeout(limit, self.client.request(to_node(node, parts, body)?)).await {
                Ok(Ok(response)) => {
                    *node.avoided_until() = None;
                    let response = response.map(Body::new);
                    if response.status() != StatusCode::SERVICE_UNAVAILABLE {
                        return Ok(response);
                    }
                    unready = Some(response);
                    continue;
                }
                Ok(Err(error)) => cause = format!("{}: {error}", node.url),
                Err(_) => cause = format!("{} did not begin to answer within {} s", node.url, limit.as_secs()),
            }
            *node.avoided_until() = Some(Instant::now() + AVOIDED_FOR);
        }
        unready.ok_or_else(|| no_node(&cause))
    }
}

fn to_node(node: &Node, parts: &Parts, body: &Bytes) -> Result<Request, Problem> {
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut request = Request::builder().method(parts.method.clone()).uri(format!("{}{path}", node.url));
    for (name, value) in &parts.headers {
        // These are about the connection to the gateway, not about the request.
        if ![header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body.clone())).map_err(|_| Problem::internal("a request cannot be forwarded"))
}

fn no_node(cause: &str) -> Problem {
    Problem::new(Code::Unavailable, format!("no query node answers: {cause}"), "try again in a moment").retry_after(1)
}

/// Whether a request can be answered only from stores.
fn needs_stores(method: &Method, path: &str) -> bool {
    match path.strip_prefix("/v1/") {
        Some("recall") => method == Method::POST,
        Some(path) if path == "threads" || path.starts_with("threads/") => method == Method::GET,
        Some(path) => method == Method::GET && path.starts_with("messages/"),
        None => false,
    }
}

/// Forwards what is to be answered elsewhere.
pub(super) async fn forward(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let Some(nodes) = &gateway.ports.queries else { return next.run(request).await };
    if !needs_stores(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    forwarded(nodes, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn forwarded(nodes: &Arc<Forwarder>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.map_err(|_| too_large(BODY_LIMIT))?;
    nodes.ask(&parts, &body, ANSWER_LIMIT).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        api::RecallResponse,
        http::{
            fake::{Fake, ask, plain, post_json},
            router, serve,
        },
    };

    /// A query node, and its address.
    async fn node(fake: &Arc<Fake>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(serve(listener, fake.ports(), std::future::pending()));
        format!("http://{address}")
    }

    /// An address at which nobody listens.
    async fn nobody() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        format!("http://{}", listener.local_addr().expect("it is bound"))
    }

    fn gateway(fake: &Arc<Fake>, nodes: &[String]) -> axum::Router {
        let mut ports = fake.ports();
        ports.queries = Some(Arc::new(Forwarder::new(nodes).expect("they are addresses")));
        router(ports)
    }

    #[tokio::test]
    async fn reads_are_answered_by_a_node_and_writes_here() {
        let (here, there) = (Fake::new(), Fake::new());
        there.append("conv-1", "we sail at noon");
        let gateway = gateway(&here, &[nobody().await, node(&there).await]);
        for _ in 0..4 {
            let reply = ask(gateway.clone(), post_json("/v1/recall", json!({"query": "noon"}).to_string())).await;
            let response: RecallResponse = serde_json::from_slice(&reply.body).expect("the node's answer");
            assert_eq!(response.results.len(), 1);
        }
        let reply = ask(gateway.clone(), plain("GET", "/v1/threads/conv-1/messages?limit=5")).await;
        assert_eq!(reply.json()["items"][0]["text"], "we sail at noon");
        let message = json!({"thread": "t", "author": "Ada", "text": "hello"});
        ask(gateway, post_json("/v1/messages", message.to_string())).await;
        assert_eq!((here.texts(), there.texts().len()), (vec!["hello".to_owned()], 1));
    }

    #[tokio::test]
    async fn a_nodes_problem_is_passed_on_and_without_a_node_it_is_said() {
        let (here, there) = (Fake::new(), Fake::new());
        let with_node = gateway(&here, &[node(&there).await]);
        let reply = ask(with_node, plain("GET", "/v1/threads/none/messages")).await;
        assert_eq!(reply.problem().code(), "unknown_thread");
        let reply = ask(gateway(&here, &[nobody().await]), plain("GET", "/v1/threads")).await;
        assert_eq!((reply.status.as_u16(), reply.problem().code()), (503, "unavailable"));
    }

    #[test]
    fn what_is_no_address_of_a_node_is_refused() {
        for url in ["", "127.0.0.1:7700", "https://node", "http://node/path", "http://"] {
            assert!(Forwarder::new(&[url.to_owned()]).is_err(), "{url}");
        }
    }
}
