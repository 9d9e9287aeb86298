//! Nodes: other processes of the house, asked over HTTP.
//!
//! Owns: the client, and which node has not answered lately.
//! Never: decides which node is the right one; see `forward` and `scatter`.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{Uri, header, request::Parts, uri::PathAndQuery},
    response::Response,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, timeout};

/// How long a node may take to be connected with.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a node may take to begin its answer before another one is asked.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How long a node that did not answer is asked only if no other is left.
const AVOIDED_FOR: Duration = Duration::from_secs(5);

/// Nodes that can be asked.
pub(super) struct Nodes {
    client: Client<HttpConnector, Body>,
    nodes: Vec<Node>,
    turn: AtomicUsize,
}

/// One of them.
pub(super) struct Node {
    /// `http://host:port`
    pub(super) url: String,
    /// Its place among all.
    pub(super) index: usize,
    avoided_until: Mutex<Option<Instant>>,
}

impl Node {
    pub(super) fn is_avoided(&self) -> bool {
        self.avoided_until().is_some_and(|until| Instant::now() < until)
    }

    /// Has it asked only if no other is left, for a while.
    pub(super) fn avoid(&self) {
        *self.avoided_until() = Some(Instant::now() + AVOIDED_FOR);
    }

    fn avoided_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes {
    /// Nodes at these addresses, each as `http://host:port`.
    ///
    /// # Errors
    /// One of them is no such address.
    pub(super) fn new(urls: &[String]) -> Result<Self, String> {
        let node = |(index, url): (usize, &String)| {
            let url = url.trim_end_matches('/');
            let parsed: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
            if parsed.scheme_str() != Some("http") || parsed.authority().is_none() || parsed.path() != "/" {
                return Err(format!("{url} is not the address of a node; write http://HOST:PORT"));
            }
            Ok(Node { url: url.to_owned(), index, avoided_until: Mutex::default() })
        };
        let nodes = urls.iter().enumerate().map(node).collect::<Result<Vec<_>, String>>()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, nodes, turn: AtomicUsize::new(0) })
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Node] {
        &self.nodes
    }

    /// The turn of the next question.
    pub(super) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Those that are admitted, in the order in which they are to be asked: each goes first in its turn, and those that
    /// have not answered lately go last.
    pub(super) fn in_order(&self, turn: usize, admits: impl Fn(&Node) -> bool) -> Vec<&Node> {
        let mut order: Vec<_> = self.nodes.iter().filter(|node| admits(node)).collect();
        let first = turn % order.len().max(1);
        order.rotate_left(first);
        order.sort_by_key(|node| node.is_avoided());
        order
    }

    /// Asks a node. One that does not begin to answer within `limit` is avoided from now on.
    ///
    /// # Errors
    /// It does not, and why; or the request is none.
    pub(super) async fn ask(
        &self,
        node: &Node,
        parts: &Parts,
        body: &Bytes,
        limit: Duration,
    ) -> Result<Response, String> {
        let request = request(node, parts, body)?;
        let cause = match timeout(limit, self.client.request(request)).await {
            Ok(Ok(response)) => {
                *node.avoided_until() = None;
                return Ok(response.map(Body::new));
            }
            Ok(Err(error)) => format!("{}: {error}", node.url),
            Err(_) => format!("{} did not begin to answer within {} s", node.url, limit.as_secs()),
        };
        node.avoid();
        Err(cause)
    }
}

fn request(node: &Node, parts: &Parts, body: &Bytes) -> Result<Request, String> {
    let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut request = Request::builder().method(parts.method.clone()).uri(format!("{}{path}", node.url));
    for (name, value) in &parts.headers {
        // These are about the connection to this node, not about the request.
        if ![header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body.clone())).map_err(|error| format!("{}: the request cannot be made: {error}", node.url))
}

/// The parts of a request for a document.
pub(super) fn get(path_and_query: &str) -> Result<Parts, String> {
    let request = Request::get(path_and_query).body(()).map_err(|error| format!("{path_and_query}: {error}"))?;
    Ok(request.into_parts().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_of_a_node_is_refused() {
        for url in ["", "127.0.0.1:7700", "https://node", "http://node/path", "http://"] {
            assert!(Nodes::new(&[url.to_owned()]).is_err(), "{url}");
        }
    }

    #[test]
    fn nodes_take_turns_and_one_that_did_not_answer_goes_last() {
        let nodes = Nodes::new(&["http://a", "http://b", "http://c"].map(str::to_owned)).expect("they are addresses");
        let order = |turn| nodes.in_order(turn, |_| true).iter().map(|node| node.index).collect::<Vec<_>>();
        assert_eq!((order(0), order(1), order(5)), (vec![0, 1, 2], vec![1, 2, 0], vec![2, 0, 1]));
        nodes.all()[1].avoid();
        assert_eq!((order(0), order(1)), (vec![0, 2, 1], vec![2, 0, 1]));
        let admitted = nodes.in_order(3, |node| node.index > 0);
        assert_eq!(admitted.iter().map(|node| node.index).collect::<Vec<_>>(), [2, 1]);
    }
}
