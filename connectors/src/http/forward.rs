//! Forwarding: what only stores can answer goes to the nodes that have them.
//!
//! Owns: which requests these are, and which node is asked: the next in turn, and another one if it does not answer.
//! Never: changes a request or an answer; asks twice for what may not be done twice (only reads are forwarded).

use std::time::Duration;

use axum::{
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    Gateway,
    extract::{BODY_LIMIT, whole},
    nodes::{self, ANSWER_LIMIT, Nodes},
};
use crate::problem::{Code, Problem};

/// The nodes that answer reads.
pub struct Forwarder(Nodes);

impl Forwarder {
    /// A forwarder to nodes, each as `http://host:port`.
    ///
    /// # Errors
    /// One of them is no such address.
    pub fn new(nodes: &[String]) -> Result<Self, String> {
        Nodes::new(nodes).map(Self)
    }

    /// Asks a node for a document.
    ///
    /// # Errors
    /// No node answers within `limit`, or none with success.
    pub async fn get(&self, path_and_query: &str, limit: Duration) -> Result<Bytes, Problem> {
        let parts = nodes::get(path_and_query).map_err(Problem::internal)?;
        let response = self.ask(&parts, &Bytes::new(), limit).await?;
        let status = response.status();
        let body = to_bytes(response.into_body(), BODY_LIMIT).await.map_err(|error| no_node(&error.to_string()))?;
        if status.is_success() { Ok(body) } else { Err(no_node(&format!("a query node answered {status}"))) }
    }

    /// Asks one node after the other until one answers; a node that says that it cannot answer now counts only if none else
    /// can.
    async fn ask(&self, parts: &Parts, body: &Bytes, limit: Duration) -> Result<Response, Problem> {
        let mut unready = None;
        let mut cause = "none is configured; start the gateway with --query".to_owned();
        for node in self.0.in_order(self.0.turn(), |_| true) {
            match self.0.ask(node, parts, body, limit).await {
                Ok(response) if response.status() != StatusCode::SERVICE_UNAVAILABLE => return Ok(response),
                Ok(response) => unready = Some(response),
                Err(said) => cause = said,
            }
        }
        unready.ok_or_else(|| no_node(&cause))
    }
}

fn no_node(cause: &str) -> Problem {
    Problem::new(Code::Unavailable, format!("no query node answers: {cause}"), "try again in a moment").retry_after(1)
}

/// Whether a request can be answered only from stores.
fn needs_stores(method: &Method, path: &str) -> bool {
    match path.strip_prefix("/v1/") {
        Some("recall") => method == Method::POST,
        Some(path) if path == "threads" || path.starts_with("threads/") => method == Method::GET,
        Some(path) if path.starts_with("graph/") || path.starts_with("memory/") => method == Method::GET,
        Some("statistics" | "archive") => method == Method::GET,
        Some(path) if path == "calls" || path.starts_with("calls/") || path == "usage" => method == Method::GET,
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
    forwarded(nodes, &gateway, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn forwarded(nodes: &Forwarder, gateway: &Gateway, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = whole(Request::from_parts(parts.clone(), body), gateway).await?.into();
    nodes.ask(&parts, &body, ANSWER_LIMIT).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{
        api::RecallResponse,
        http::{
            fake::{Fake, NOON, ask, nobody, node, plain, post_json},
            router,
        },
    };

    fn gateway(fake: &Arc<Fake>, nodes: &[String]) -> axum::Router {
        let mut ports = fake.ports();
        ports.queries = Some(Arc::new(Forwarder::new(nodes).expect("they are addresses")));
        router(ports)
    }

    #[tokio::test]
    async fn reads_are_answered_by_a_node_and_writes_here() {
        let (here, there) = (Fake::new(), Fake::new());
        there.append("conv-1", "we sail at noon");
        let gateway = gateway(&here, &[nobody().await, node(there.ports()).await]);
        for _ in 0..4 {
            let reply = ask(gateway.clone(), post_json("/v1/recall", json!({"query": "noon"}).to_string())).await;
            let response: RecallResponse = serde_json::from_slice(&reply.body).expect("the node's answer");
            assert_eq!(response.results.len(), 1);
        }
        let reply = ask(gateway.clone(), plain("GET", "/v1/threads/conv-1/messages?limit=5")).await;
        assert_eq!(reply.json()["items"][0]["text"], "we sail at noon");
        there.call("a", "main", None, "completed", NOON);
        assert_eq!(ask(gateway.clone(), plain("GET", "/v1/calls")).await.json()["items"][0]["call_id"], "a");
        let response = ask(gateway.clone(), plain("GET", "/v1/calls/a/response")).await;
        assert_eq!(
            (response.text().as_str(), response.headers["meshlog-kept"].as_bytes()),
            ("data: a\n\n", &b"partial"[..])
        );
        assert_eq!(ask(gateway.clone(), plain("GET", "/v1/usage?by=space")).await.json()["usage"][0]["space"], "main");
        let message = json!({"thread": "t", "author": "Ada", "text": "hello"});
        ask(gateway, post_json("/v1/messages", message.to_string())).await;
        assert_eq!((here.texts(), there.texts().len()), (vec!["hello".to_owned()], 1));
    }

    #[tokio::test]
    async fn a_nodes_problem_is_passed_on_and_without_a_node_it_is_said() {
        let (here, there) = (Fake::new(), Fake::new());
        let with_node = gateway(&here, &[node(there.ports()).await]);
        let reply = ask(with_node, plain("GET", "/v1/threads/none/messages")).await;
        assert_eq!(reply.problem().code(), "unknown_thread");
        let reply = ask(gateway(&here, &[nobody().await]), plain("GET", "/v1/threads")).await;
        assert_eq!((reply.status.as_u16(), reply.problem().code()), (503, "unavailable"));
    }
}
