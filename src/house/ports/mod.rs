//! The gateway's ports, onto the rooms.
//!
//! Each file implements one port of [`meshlog_connectors::ports`]. Work that blocks runs on tokio's blocking pool.

mod calls;
mod conversations;
mod dead_letters;
mod events;
mod ingest;
mod knowledge;
mod memory;
mod metrics;
mod named_dates;
mod operations;
pub(super) mod problems;
mod recall;
mod status;
mod subscriptions;
mod summaries;

use std::sync::Arc;

use meshlog_connectors::{
    ports::Ports,
    problem::{Code, Problem},
};

pub(super) use operations::verification;

use super::rooms::{Reading, Rooms};

/// Every port, onto `rooms`.
pub(super) fn ports(rooms: &Arc<Rooms>) -> Ports {
    Ports {
        ingest: Arc::new(ingest::IngestPort::new(rooms.clone())),
        conversations: Arc::new(conversations::ConversationsPort::new(rooms.clone())),
        recall: Arc::new(recall::RecallPort::new(rooms.clone())),
        events: Arc::new(events::EventsPort::new(rooms.clone())),
        operations: Arc::new(operations::OperationsPort::new(rooms.clone())),
        subscriptions: Arc::new(subscriptions::SubscriptionsPort::new(rooms.clone())),
        dead_letters: Arc::new(dead_letters::DeadLettersPort::new(rooms.clone())),
        knowledge: Arc::new(knowledge::KnowledgePort::new(rooms.clone())),
        summaries: Arc::new(summaries::SummariesPort::new(rooms.clone())),
        memory: Arc::new(memory::MemoryPort::new(rooms.clone())),
        call_records: Arc::new(calls::CallRecordsPort::new(rooms.clone())),
        calls: rooms.calls.as_ref().filter(|_| rooms.takes_calls).map(|calls| calls.dispatcher.clone()),
        queries: rooms.queries.clone(),
        shares: rooms.reading.as_ref().map(|reading| reading.shares.clone()),
    }
}

/// Runs work that blocks, off the threads that serve connections.
async fn blocking<T: Send + 'static>(
    rooms: &Arc<Rooms>,
    work: impl FnOnce(&Rooms) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let rooms = rooms.clone();
    tokio::task::spawn_blocking(move || work(&rooms)).await.unwrap_or_else(|error| {
        tracing::error!(%error, "work for a request broke off");
        Err(Problem::internal("the work for this request broke off; this is a bug in Meshlog"))
    })
}

/// The views of this node.
fn reading(rooms: &Rooms) -> Result<&Reading, Problem> {
    rooms.reading.as_ref().ok_or_else(|| {
        Problem::new(Code::NotHere, "this node keeps no projections", "ask a query node (\"meshlog query\")")
    })
}

/// The stores that serve now.
fn stores(rooms: &Rooms) -> Result<meshlog_processors::recall::Stores, Problem> {
    reading(rooms)?.stores().ok_or_else(not_open)
}

/// The store of calls that serves now.
fn call_store(rooms: &Rooms) -> Result<Arc<meshlog_processors::calls::CallStore>, Problem> {
    reading(rooms)?.calls().ok_or_else(not_open)
}

/// The summaries that serve now.
fn summary_store(rooms: &Rooms) -> Result<Arc<meshlog_processors::summaries::SummaryStore>, Problem> {
    reading(rooms)?.summaries().ok_or_else(not_open)
}

/// The graph that serves now.
fn graph_store(rooms: &Rooms) -> Result<Arc<meshlog_processors::graph::GraphStore>, Problem> {
    reading(rooms)?.graph().ok_or_else(not_open)
}

fn not_open() -> Problem {
    Problem::new(Code::Unavailable, "the views are not open yet", "try again in a moment").retry_after(1)
}

/// A cursor as text: the store's key in hexadecimal.
fn to_cursor(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bad_cursor() -> Problem {
    Problem::new(Code::BadCursor, "the cursor was not given out by this list", "begin again without a cursor")
}

/// The store's key in a cursor.
fn from_cursor(cursor: &str) -> Result<Vec<u8>, Problem> {
    if !cursor.is_ascii() || cursor.len() % 2 == 1 {
        return Err(bad_cursor());
    }
    (0..cursor.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&cursor[at..at + 2], 16).map_err(|_| bad_cursor()))
        .collect()
}
