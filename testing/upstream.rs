//! A scripted provider: speaks OpenAI's chat completions and embeddings as they were recorded, with their odd cases and their
//! faults. Included by tests and by the program `scripted_upstream`.
//!
//! The model string of a request is its script; `upstream/script.rs` has the grammar. An answer depends on the request alone,
//! but for faults that end and for the share of faults. Routes: `POST /v1/chat/completions`, `POST /v1/embeddings`,
//! `GET /v1/models`, and for tests `GET /_counts` and `POST /_reset`.
//!
//! Never checks a key, and is no measure of a provider's speed: it answers at once unless it is told to wait.

#![allow(dead_code, unused_imports, reason = "each that includes this uses a part of it")]

#[path = "upstream/breaks.rs"]
mod breaks;
#[path = "upstream/counts.rs"]
mod counts;
#[path = "upstream/embeddings.rs"]
mod embeddings;
#[path = "upstream/http.rs"]
mod http;
#[path = "upstream/notes.rs"]
mod notes;
#[path = "upstream/prompt.rs"]
mod prompt;
#[path = "upstream/refusals.rs"]
mod refusals;
#[path = "upstream/reply.rs"]
mod reply;
#[path = "upstream/routes.rs"]
mod routes;
#[path = "upstream/script.rs"]
mod script;
#[path = "upstream/stream.rs"]
mod stream;
#[path = "upstream/wire.rs"]
mod wire;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time,
};

use counts::Counters;
pub(crate) use counts::{Counts, Recorded};

/// How a provider behaves whatever the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// How long every answer waits for its first byte.
    pub(crate) delay: Duration,
    /// Share of `plain` and `stream` requests that get a fault, in percent.
    pub(crate) fault_percent: f64,
    /// Decides which requests get one.
    pub(crate) seed: u64,
    /// Whether the last 1,000 requests are kept, bodies and all.
    pub(crate) record: bool,
}

impl Default for Options {
    /// A free port on this machine, at once, without faults, recorded.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            delay: Duration::ZERO,
            fault_percent: 0.0,
            seed: 0,
            record: true,
        }
    }
}

/// A running provider; dropped, it closes its port and its connections.
#[derive(Debug)]
pub(crate) struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    options: Options,
    counters: Counters,
}

impl Upstream {
    /// Starts one with the usual options.
    ///
    /// # Panics
    ///
    /// When this machine has no free port.
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default()).await.expect("a free port")
    }

    /// Starts one, on the runtime of the caller.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub(crate) async fn start_with(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { options, counters: Counters::default() });
        let accepting = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { address, state, accepting })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client of OpenAI's takes as its base, `/v1` and all.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What happened so far. An answer whose last byte was read is counted.
    pub(crate) fn counts(&self) -> Counts {
        self.state.counters.read()
    }

    /// Forgets what happened so far, but for what is in flight.
    pub(crate) fn reset(&self) {
        self.state.counters.reset();
    }

    /// The last 1,000 requests, the oldest first; none unless they are recorded.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.counters.recorded()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => serve(&mut connections, stream, &state),
                // Out of file descriptors, most likely: some may be free again soon.
                Err(_) => time::sleep(Duration::from_millis(10)).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

fn serve(connections: &mut JoinSet<()>, stream: TcpStream, state: &Arc<State>) {
    state.counters.connected();
    connections.spawn(http::serve(stream, state.clone()));
}
