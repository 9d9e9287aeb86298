//! Ports: what a gateway asks of the rest of the house, and nothing more.
//!
//! Owns: one small object-safe trait for each thing a gateway needs; the binary implements them.
//! Promises to implementers: requests have passed [`crate::checks`]; an answer that is dropped before it is ready (the
//! client left) takes nothing back that was begun; every method may be called from many requests at once.
//! Asks of implementers: never block the calling thread; say "busy" with a problem instead of queueing without bound.

mod knowledge;
mod memory;
mod summaries;

use std::{pin::Pin, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::Stream;
use meshlog_schemas::{Checkpoints, Event, EventId, Offset, Partition, PartitionId, Position, Trust};

use crate::{
    api::{
        Call, Day, DeadLetter, DeadLetterId, DeadLetterSelection, DeadLetterView, EventView, Message, NewSubscription,
        Order, Page, ProcessorsView, ProjectionsView, Readiness, RebuildRequest, RebuildView, RecallRequest,
        RecallResponse, Role, Subscription, Thread, Timestamp, TopicsView, Usage, UsageField, VerifyReport, WaitLevel,
    },
    calls::Dispatcher,
    http::{Forwarder, Scatter},
    problem::{Code, Problem},
};

pub use knowledge::{EdgeSelection, FactSelection, GraphExport, GraphFormat, Knowledge, NodeSelection, Pieces};
pub use memory::{Memory, MemoryWrite, Written};
pub use summaries::Summaries;

/// What a port answers, once it has.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// Batches of events as they are appended. It reads only when it is asked for the next batch, and holds no more than one.
/// It ends only when the log stops, or after an error.
pub type Tail = Pin<Box<dyn Stream<Item = Result<EventBatch, Problem>> + Send>>;

/// Every port a gateway needs.
#[derive(Clone)]
pub struct Ports {
    /// Takes messages in.
    pub ingest: Arc<dyn Ingest>,
    /// Reads threads and messages.
    pub conversations: Arc<dyn Conversations>,
    /// Finds what was said.
    pub recall: Arc<dyn Recall>,
    /// Reads the log.
    pub events: Arc<dyn Events>,
    /// Shows and steers processors and projections.
    pub operations: Arc<dyn Operations>,
    /// Keeps who is to be told of what.
    pub subscriptions: Arc<dyn Subscriptions>,
    /// Shows what could not be processed, and settles it.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Answers from the graph.
    pub knowledge: Arc<dyn Knowledge>,
    /// Says what says most of a thread, and how much was said.
    pub summaries: Arc<dyn Summaries>,
    /// Takes writes into the memory.
    pub memory: Arc<dyn Memory>,
    /// Shows calls of models, and what they used.
    pub call_records: Arc<dyn CallRecords>,
    /// Carries calls of models out; `None` at a node that calls none.
    pub calls: Option<Dispatcher>,
    /// The nodes that answer what only stores can, if there are none here.
    pub queries: Option<Arc<Forwarder>>,
    /// The share of the partitions that the stores here hold, and who has the others; `None` if there are no stores.
    pub shares: Option<Arc<Scatter>>,
}

/// Takes messages in.
pub trait Ingest: Send + Sync {
    /// Appends messages in the order given and answers one result a message, in that order, once all are durable.
    ///
    /// A message with a `source_id` that its space has seen is a duplicate: nothing is appended, and the first position is
    /// answered. A problem means that none of the messages is promised to be durable (the log has stopped or is full, with
    /// [`Problem::retry_after`]); sending them again is safe where they have source ids.
    fn accept(&self, messages: Vec<CheckedMessage>) -> Answer<'_, Vec<Result<Stored, Refusal>>>;

    /// Waits until everything before `written` has come to `level`, or until `deadline`, and answers the level that it has
    /// come to by then. Reaching the deadline is no error. The gateway gives up a second later.
    fn wait(&self, written: Checkpoints, level: WaitLevel, deadline: Instant) -> Answer<'_, WaitLevel>;
}

/// Reads threads and messages. Times and order are those of the messages, not of the log.
pub trait Conversations: Send + Sync {
    /// The threads of a space, the one with the newest message first.
    fn threads(&self, space: String, page: PageRequest) -> Answer<'_, Page<Thread>>;

    /// The messages of a thread; `None` when the space has no such thread.
    fn messages(
        &self,
        space: String,
        thread: String,
        order: Order,
        page: PageRequest,
    ) -> Answer<'_, Option<Page<Message>>>;

    /// A message by its id; `None` when there is none.
    fn message(&self, id: String) -> Answer<'_, Option<Message>>;

    /// The partition that the messages of a thread are on.
    fn partition_of(&self, space: &str, thread: &str) -> PartitionId;

    /// The cursor from which the list of threads goes on with this one: the same at every node. As texts these order as the
    /// list does.
    fn cursor_of(&self, thread: &Thread) -> String;
}

/// Shows calls of models, and what they used.
pub trait CallRecords: Send + Sync {
    /// Calls, the newest first by the time of their request, then by their id.
    fn calls(&self, selection: CallSelection, page: PageRequest) -> Answer<'_, Page<Call>>;

    /// A call by its id; `None` when there is none.
    fn call(&self, id: String) -> Answer<'_, Option<Call>>;

    /// The body of a call's request, as it stands in the log; `None` when there is no such call.
    /// [`Code::EventsRemoved`] where the log has it no more.
    fn request(&self, id: String) -> Answer<'_, Option<KeptBody>>;

    /// The body of a call's answer, as it stands in the log; `None` when there is no such call. [`Code::NoResponse`] where
    /// nobody has answered, [`Code::EventsRemoved`] where the log has it no more.
    fn response(&self, id: String) -> Answer<'_, Option<KeptBody>>;

    /// What calls used that have ended; `None` if that were more rows than `most_rows`.
    fn usage(&self, selection: UsageSelection, most_rows: usize) -> Answer<'_, Option<Usage>>;

    /// The cursor from which the list goes on with this call: the same at every node. As texts these order as the list does.
    fn cursor_of(&self, selection: &CallSelection, call: &Call) -> String;
}

/// Which calls; an absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallSelection {
    /// Calls of this space.
    pub space: String,
    /// Only of this thread.
    pub thread: Option<String>,
    /// Only in this state, one of [`CALL_STATES`](crate::api::CALL_STATES).
    pub state: Option<String>,
}

/// A body that the log keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBody {
    /// Its media type, in whatever words it came with; empty where it came with none.
    pub media_type: String,
    /// What is kept of it.
    pub bytes: Bytes,
    /// Whether there was more of it.
    pub is_partial: bool,
}

/// Which calls to sum up, and how; an absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageSelection {
    /// A row for each combination of these, ordered by them in this order; no field twice.
    pub by: Vec<UsageField>,
    /// Only of this space.
    pub space: Option<String>,
    /// Only by this provider.
    pub provider: Option<String>,
    /// Only by the model of this name at the provider.
    pub model: Option<String>,
    /// Only with the key of this label.
    pub key: Option<String>,
    /// Only requested on this day or later.
    pub from: Option<Day>,
    /// Only requested on this day or earlier.
    pub to: Option<Day>,
}

/// Takes in the events of calls.
pub trait CallLog: Send + Sync {
    /// Appends the events in the order given, and answers once all are durable. A problem means that none is promised to be;
    /// their ids are the same when they are appended again, and that is safe.
    fn append(&self, entries: Vec<CallEntry>) -> Answer<'_, ()>;

    /// Appends the events as [`CallLog::append`] does, and answers once they would survive the end of this process, with what
    /// answers once they are durable. What is appended after the first answer stands behind them, whether the second is waited
    /// for or not.
    fn begin<'a>(&'a self, entries: Vec<CallEntry>) -> Answer<'a, Answer<'a, ()>> {
        Box::pin(async move {
            self.append(entries).await?;
            Ok(Box::pin(std::future::ready(Ok(()))) as Answer<'a, ()>)
        })
    }

    /// The time; microseconds since the epoch.
    fn now(&self) -> i64;
}

/// An event of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallEntry {
    /// The event's id.
    pub id: EventId,
    /// The call that caused it; `None` for the request itself.
    pub cause: Option<EventId>,
    /// How far what it says may be trusted.
    pub trust: Trust,
    /// Whether Meshlog itself is the caller.
    pub is_own: bool,
    /// What happened.
    pub event: Event,
}

/// Finds what was said.
pub trait Recall: Send + Sync {
    /// The messages that answer the request best, best first, at most `limit`.
    fn recall(&self, request: RecallRequest) -> Answer<'_, RecallResponse>;

    /// One answer of several, each from other messages and with its calibration and signals: ranked as if it had been found in
    /// one place.
    ///
    /// # Errors
    /// One of them has no calibration, or no signals.
    fn merge(&self, request: &RecallRequest, answers: Vec<RecallResponse>) -> Result<RecallResponse, Problem>;
}

/// Reads the log. Only the partitions that `from` names are read, each from its offset on. Where that has been removed by
/// retention, reading goes on at the first event that is kept, and the batch names the gap.
pub trait Events: Send + Sync {
    /// Events that pass the filter, in the order of partition, then offset: as many as the limit allows and at least one
    /// if there is any. Where looking for it would take too long, the batch may have none; its `next` says where to go on.
    fn read(&self, from: Checkpoints, filter: EventFilter, limit: ReadLimit) -> Answer<'_, EventBatch>;

    /// Events that are there, then events as they are appended; in the order of offsets within each partition. A batch is
    /// also given, without events, now and then when there are only events that do not pass the filter.
    fn tail(&self, from: Checkpoints, filter: EventFilter) -> Answer<'_, Tail>;
}

/// Shows and steers processors and projections.
pub trait Operations: Send + Sync {
    /// Every topic with the offsets its partitions hold.
    fn topics(&self) -> Answer<'_, TopicsView>;

    /// Every processor with how far it has come.
    fn processors(&self) -> Answer<'_, ProcessorsView>;

    /// Every projection with how far it has come.
    fn projections(&self, digests: Digests) -> Answer<'_, ProjectionsView>;

    /// Starts to rebuild a projection, or to go back to the version before, and answers at once ([`Code::UnknownProjection`],
    /// [`Code::RebuildRunning`], [`Code::UnknownVersion`]).
    fn start_rebuild(&self, request: RebuildRequest) -> Answer<'_, RebuildView>;

    /// The rebuilds since the server was started, the newest first.
    fn rebuilds(&self) -> Answer<'_, Vec<RebuildView>>;

    /// A rebuild by its id; `None` when there is none.
    fn rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>>;

    /// Cancels a rebuild; one that has ended stays as it is. `None` when there is none of this id.
    fn cancel_rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>>;

    /// Pauses a rebuild; one that has ended stays as it is. Starting another one of the projection goes on with it. `None` when there is
    /// none of this id.
    fn pause_rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>>;

    /// Removes a version that does not serve ([`Code::UnknownProjection`], [`Code::UnknownVersion`], [`Code::RebuildRunning`]).
    fn drop_version(&self, projection: String, version: String) -> Answer<'_, ()>;

    /// Compares a projection, or all of them, with what the log says ([`Code::UnknownProjection`]).
    fn verify(&self, projection: Option<String>) -> Answer<'_, VerifyReport>;

    /// Whether the server can do its work now.
    fn ready(&self) -> Answer<'_, Readiness>;

    /// The metrics of everything behind the gateway, in the Prometheus text format.
    fn metrics(&self) -> Answer<'_, String>;
}

/// Keeps who is to be told of what.
pub trait Subscriptions: Send + Sync {
    /// Adds a subscription. Adding the same twice is safe: the first is answered again.
    fn add(&self, subscription: NewSubscription) -> Answer<'_, Subscription>;

    /// Every subscription, in a stable order.
    fn list(&self, page: PageRequest) -> Answer<'_, Page<Subscription>>;

    /// Removes a subscription and answers it; `None` when there is none of this id.
    fn remove(&self, id: String) -> Answer<'_, Option<Subscription>>;
}

/// Shows what could not be processed, and settles it.
pub trait DeadLetters: Send + Sync {
    /// The dead letters that nobody has settled yet, the oldest first.
    fn list(&self, selection: DeadLetterSelection, page: PageRequest) -> Answer<'_, Page<DeadLetter>>;

    /// A dead letter with its event; `None` when there is none, or when it has been settled.
    fn get(&self, id: DeadLetterId) -> Answer<'_, Option<DeadLetterView>>;

    /// Asks the processor to try the event again, and then those that wait behind it. `None` when there is no such dead
    /// letter. Asking twice is safe.
    fn redrive(&self, id: DeadLetterId) -> Answer<'_, Option<Redrive>>;

    /// Asks for all that are selected and do not wait behind another, and answers how many these are.
    fn redrive_all(&self, selection: DeadLetterSelection) -> Answer<'_, u64>;

    /// Lets the processor go on without the event, and answers where this decision stands in the log. `None` when there is
    /// no such dead letter.
    fn discard(&self, id: DeadLetterId, author: String, reason: String) -> Answer<'_, Option<Position>>;
}

/// What became of the wish to redrive a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redrive {
    /// The request is durable, here.
    Requested(Position),
    /// The dead letter waits behind this one, which has to be settled first.
    Waits(DeadLetterId),
}

/// A message that may be taken in: its fields have been checked, its defaults filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedMessage {
    /// The sender's own id, if one was given.
    pub source_id: Option<String>,
    /// The set of threads that share memory.
    pub space: String,
    /// The conversation it belongs to.
    pub thread: String,
    /// Who said it.
    pub author: String,
    /// What the author is to the thread.
    pub role: Role,
    /// When it was said; `None` for the time at which it is taken in.
    pub sent_at: Option<Timestamp>,
    /// What was said.
    pub text: String,
}

/// A message that is durable in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The message's id.
    pub id: String,
    /// Where it stands.
    pub position: Position,
    /// Whether it had been taken in before.
    pub duplicate: bool,
}

/// Why one message of several was not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable name of the problem.
    pub code: Code,
    /// What was wrong.
    pub detail: String,
}

/// Which piece of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items at most; at least 1.
    pub items: usize,
    /// How many bytes of text the items may hold together. A page has at least one item, however large, if there is one.
    pub bytes: usize,
    /// The `next` of the piece before; `None` for the first. One that this list did not give out is [`Code::BadCursor`].
    pub cursor: Option<String>,
}

/// Which events to read; a condition that is empty holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only events of one of these spaces. The envelope tells; the body need not be read.
    pub spaces: Vec<String>,
    /// Only events of this thread.
    pub thread: Option<String>,
    /// Only events of one of these types.
    pub types: Vec<String>,
}

impl EventFilter {
    /// Whether an event with this envelope may pass. Its thread is not looked at.
    pub fn admits(&self, space: Option<&str>, kind: &str) -> bool {
        let of_space = || space.is_some_and(|space| self.spaces.iter().any(|wanted| wanted == space));
        (self.spaces.is_empty() || of_space())
            && (self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind))
    }

    /// Whether the event passes.
    pub fn passes(&self, event: &EventView) -> bool {
        let of_thread = |wanted: &String| event.data["thread"].as_str() == Some(wanted);
        self.admits(event.space.as_deref(), &event.kind) && self.thread.as_ref().is_none_or(of_thread)
    }
}

/// What one reading of the log brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventBatch {
    /// Events that were to be read and have been removed.
    pub gaps: Vec<Gap>,
    /// The events that pass the filter, in the order of partition, then offset.
    pub events: Vec<EventView>,
    /// Where to go on: everything before has been read, whether it passed or not.
    pub next: Checkpoints,
}

/// Events that were removed by retention before a reader came to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The partition.
    pub partition: Partition,
    /// The offset that was to be read next.
    pub from: Offset,
    /// The first offset that is kept.
    pub start: Offset,
}

/// How much of the log to read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// How many events at most; at least 1.
    pub events: usize,
    /// How many bytes their bodies may hold together.
    pub bytes: usize,
}

/// Whether projections are to be hashed, which reads them whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    /// Each projection is hashed.
    Computed,
    /// None is.
    Omitted,
}
