//! A house of cards behind the ports, for tests: a log in a vector, and answers straight from it.

mod knowledge;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use futures_util::stream;
use meshlog_schemas::{Checkpoints, Partition, PartitionId, Position, Topic};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tower::ServiceExt;

use super::{router, serve, usage::merged};
use crate::{
    api::{
        Attempt, Calibration, Call, CheckpointView, Day, DeadLetter, DeadLetterId, DeadLetterSelection, DeadLetterView,
        DurabilityView, EventView, LogView, Message, NewSubscription, Order, Page, PartitionView, ProcessorView,
        ProcessorsView, ProjectionView, ProjectionsView, Readiness, RebuildRequest, RebuildView, RecallRequest,
        RecallResponse, RecallResult, RetentionView, Subscription, Thread, Timestamp, Tokens, TopicView, TopicsView,
        Usage, UsageField, UsageSums, Usd, Verification, VerifyReport, VersionView, WaitLevel, mark_matches,
    },
    ports::{
        Answer, CallRecords, CallSelection, CheckedMessage, Conversations, DeadLetters, Digests, EventBatch,
        EventFilter, Events, Gap, Ingest, KeptBody, Operations, PageRequest, Ports, ReadLimit, Recall, Redrive,
        Refusal, Stored, Subscriptions, Tail, UsageSelection,
    },
    problem::{Code, Problem},
};

/// When the fake takes everything in.
pub(super) const NOON: i64 = 1_746_705_360_000_000;

/// Everything behind the ports. Messages of threads that end in "1" stand in partition 1, the others in partition 0.
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    /// How many calls of `accept` may go on; tests that hold the log back take permits away.
    pub(super) gate: Semaphore,
    appended: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    groups: Vec<usize>,
    full_after: Option<usize>,
    reaches: Option<Result<WaitLevel, Problem>>,
    waited: Option<(Checkpoints, WaitLevel)>,
    rebuilds: Vec<RebuildView>,
    subscriptions: Vec<Subscription>,
    unready: Vec<String>,
    /// The first offset of each partition that has not been removed.
    starts: [u64; 2],
    dead_letters: Vec<DeadLetter>,
    requests: u64,
    calls: Vec<Call>,
    known: knowledge::Known,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let (appended, _) = watch::channel(0);
        Arc::new(Self { state: Arc::default(), gate: Semaphore::new(Semaphore::MAX_PERMITS), appended })
    }

    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            ingest: self.clone(),
            conversations: self.clone(),
            recall: self.clone(),
            events: self.clone(),
            operations: self.clone(),
            subscriptions: self.clone(),
            dead_letters: self.clone(),
            knowledge: self.clone(),
            summaries: self.clone(),
            memory: self.clone(),
            call_records: self.clone(),
            calls: None,
            queries: None,
            shares: None,
        }
    }

    pub(super) fn router(self: &Arc<Self>) -> Router {
        router(self.ports())
    }

    /// The log is full from this number of messages on.
    pub(super) fn fill_after(&self, messages: usize) {
        self.state().full_after = Some(messages);
    }

    /// What `wait` answers; without this it waits until the deadline and answers `stored`.
    pub(super) fn reach(&self, reached: Result<WaitLevel, Problem>) {
        self.state().reaches = Some(reached);
    }

    /// What `wait` was last asked.
    pub(super) fn waited(&self) -> Option<(Checkpoints, WaitLevel)> {
        self.state().waited.clone()
    }

    pub(super) fn unready(&self, reason: &str) {
        self.state().unready.push(reason.to_owned());
    }

    /// How many messages each call of `accept` brought.
    pub(super) fn groups(&self) -> Vec<usize> {
        self.state().groups.clone()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.state().messages.iter().map(|message| message.text.clone()).collect()
    }

    /// Removes the events of a partition before an offset.
    pub(super) fn remove_before(&self, partition: usize, offset: u64) {
        self.state().starts[partition] = offset;
    }

    /// Sets the message at this place aside as a dead letter.
    pub(super) fn park(&self, processor: &str, partition: u32, offset: u64, class: &str, waits_behind: Option<u64>) {
        let mut state = self.state();
        let event = state.partition(partition).nth(offset as usize).expect("the event is there");
        if let Some(head) = waits_behind {
            let head = state.dead_letters.iter_mut().find(|known| known.position.offset == head);
            head.expect("the head failed first").waiting += 1;
        }
        let place = Position { partition: Partition { topic: Topic::Messages, id: partition }, offset };
        let id = DeadLetterId { processor: processor.to_owned(), position: place };
        state.dead_letters.push(DeadLetter {
            id: id.to_string(),
            processor: id.processor,
            position: place.into(),
            key: event.key,
            event_id: event.id,
            event_type: event.kind,
            class: class.to_owned(),
            error: "no".to_owned(),
            attempts: 1,
            failed_at: Some(Timestamp::from_micros(NOON)),
            waits_behind,
            waiting: 0,
        });
    }

    /// Records a call. Each has one attempt, and used as much as every other; its model is called by its thread.
    pub(super) fn call(&self, id: &str, space: &str, thread: Option<&str>, state: &str, requested_at: i64) {
        let position = |offset| Position { partition: Partition { topic: Topic::Calls, id: 0 }, offset }.into();
        let model = format!("m-{}", thread.unwrap_or("none"));
        let attempt = Attempt {
            number: 1,
            provider: "acme".to_owned(),
            model: model.clone(),
            started_at: Some(Timestamp::from_micros(requested_at)),
            failed_at: None,
            class: None,
            status: None,
            retry_after_ms: None,
            message: None,
            idempotency_key: None,
        };
        let is_settled = state != "open";
        let text = |text: &str| is_settled.then(|| text.to_owned());
        let tokens = Tokens { input: 3, cache_write: 1, cache_read: 2, output: 5, reasoning: 4, total: 15 };
        self.state().calls.push(Call {
            call_id: id.to_owned(),
            space: space.to_owned(),
            thread_id: thread.map(str::to_owned),
            key_label: "laptop".to_owned(),
            kind: "chat".to_owned(),
            asked_model: "small".to_owned(),
            state: state.to_owned(),
            requested_at: Timestamp::from_micros(requested_at),
            request_position: Some(position(0)),
            mode: Some("stream".to_owned()),
            wire: Some("openai".to_owned()),
            owner: Some(String::new()),
            idempotency_key: None,
            attempts: vec![attempt],
            settled_at: is_settled.then(|| Timestamp::from_micros(requested_at + 3_000)),
            settled_position: is_settled.then(|| position(1)),
            error_class: None,
            error_message: None,
            status: is_settled.then_some(200),
            attempts_made: is_settled.then_some(1),
            provider: text("acme"),
            model: text(&model),
            answered_model: text("small-2"),
            finish_reason: text("stop"),
            first_output_ms: is_settled.then_some(1.5),
            total_ms: is_settled.then_some(3.0),
            usage_source: text("reported"),
            tokens: is_settled.then_some(tokens),
            cost_usd: is_settled.then(|| Usd::from_nanos(1_250)),
            price_table: text("acme small 2026-08-01"),
            usage: is_settled.then(|| serde_json::json!({"total_tokens": 15})),
            request_id: None,
            headers: is_settled.then(|| serde_json::json!({})),
            response_wire: text("openai"),
            response_type: text("text/event-stream"),
            response_bytes: is_settled.then_some(100),
        });
    }

    /// Appends a message without going through the gateway.
    pub(super) fn append(&self, thread: &str, text: &str) -> Position {
        self.append_to("main", thread, text)
    }

    /// Appends a message to a space.
    pub(super) fn append_to(&self, space: &str, thread: &str, text: &str) -> Position {
        let message = CheckedMessage {
            source_id: None,
            space: space.to_owned(),
            thread: thread.to_owned(),
            author: "Ada".to_owned(),
            role: Default::default(),
            sent_at: None,
            text: text.to_owned(),
        };
        self.store(message).expect("the fake log has room").position
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with the fake's state")
    }

    fn store(&self, message: CheckedMessage) -> Result<Stored, Refusal> {
        let mut state = self.state();
        if message.text == "refuse me" {
            return Err(Refusal { code: Code::MessageRefused, detail: "this text is refused".to_owned() });
        }
        let known = |known: &&Message| known.source_id.is_some() && known.source_id == message.source_id;
        if let Some(known) = state.messages.iter().find(known) {
            return Ok(Stored { id: known.message_id.clone(), position: position(known), duplicate: true });
        }
        let id = partition_of(&message.thread);
        let partition = Partition { topic: Topic::Messages, id };
        let position = Position { partition, offset: state.end(id) };
        let stored = Stored { id: format!("m{}", state.messages.len()), position, duplicate: false };
        state.messages.push(Message {
            message_id: stored.id.clone(),
            source_id: message.source_id,
            space: message.space,
            thread_id: message.thread,
            author: message.author,
            role: message.role.name().to_owned(),
            sent_at: message.sent_at.unwrap_or(Timestamp::from_micros(NOON)),
            accepted_at: Timestamp::from_micros(NOON),
            text: message.text,
            edited: None,
            times: Vec::new(),
            position: position.into(),
        });
        self.appended.send_replace(state.messages.len());
        Ok(stored)
    }
}

impl State {
    fn partition(&self, id: u32) -> impl Iterator<Item = EventView> {
        self.messages.iter().filter(move |message| message.position.partition == id).map(event)
    }

    fn read(&self, from: &Checkpoints, filter: &EventFilter, events: usize) -> EventBatch {
        let mut batch = EventBatch { next: from.clone(), ..EventBatch::default() };
        for (partition, from) in from.iter() {
            let start = self.starts[partition.id as usize];
            if from < start {
                batch.gaps.push(Gap { partition, from, start });
                batch.next.advance(partition, start);
            }
            for event in self.partition(partition.id).skip(from.max(start) as usize) {
                if batch.events.len() == events {
                    return batch;
                }
                batch.next.advance(partition, event.position.offset + 1);
                if filter.passes(&event) {
                    batch.events.push(event);
                }
            }
        }
        batch
    }

    fn end(&self, partition: u32) -> u64 {
        self.messages.iter().filter(|message| message.position.partition == partition).count() as u64
    }
}

fn partition_of(thread: &str) -> PartitionId {
    u32::from(thread.ends_with('1'))
}

fn position(message: &Message) -> Position {
    let partition = Partition { topic: Topic::Messages, id: message.position.partition };
    Position { partition, offset: message.position.offset }
}

fn event(message: &Message) -> EventView {
    EventView {
        position: message.position.clone(),
        key: message.thread_id.clone(),
        id: message.message_id.clone(),
        kind: "meshlog.message.accepted".to_owned(),
        source: "tests".to_owned(),
        time: message.sent_at,
        space: Some(message.space.clone()),
        causation_id: None,
        correlation_id: None,
        traceparent: None,
        trust: None,
        data: serde_json::json!({ "text": message.text, "thread": message.thread_id }),
        unreadable: None,
        appended_at: Timestamp::from_micros(NOON),
    }
}

/// A page of a list whose cursors are indexes.
fn page<T>(all: Vec<T>, request: &PageRequest) -> Result<Page<T>, Problem> {
    let start = match &request.cursor {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| bad_cursor())?,
    };
    let end = start + request.items;
    let next = (end < all.len()).then(|| end.to_string());
    Ok(Page { items: all.into_iter().skip(start).take(request.items).collect(), next })
}

fn thread_cursor(thread: &Thread) -> String {
    format!("@{}", thread.thread_id)
}

fn call_cursor(call: &Call) -> String {
    format!("@{:020}-{}", i64::MAX - call.requested_at.micros(), call.call_id)
}

fn bad_cursor() -> Problem {
    Problem::new(Code::BadCursor, "not from here", "start anew")
}

fn answer<'a, T: Send + 'a>(result: Result<T, Problem>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Ingest for Fake {
    fn accept(&self, messages: Vec<CheckedMessage>) -> Answer<'_, Vec<Result<Stored, Refusal>>> {
        Box::pin(async move {
            self.gate.acquire().await.expect("the gate is never closed").forget();
            let mut state = self.state();
            if state.full_after.is_some_and(|limit| state.messages.len() + messages.len() > limit) {
                return Err(Problem::new(Code::LogFull, "no room", "free some").retry_after(9));
            }
            state.groups.push(messages.len());
            drop(state);
            Ok(messages.into_iter().map(|message| self.store(message)).collect())
        })
    }

    fn wait(&self, written: Checkpoints, level: WaitLevel, deadline: Instant) -> Answer<'_, WaitLevel> {
        Box::pin(async move {
            self.state().waited = Some((written, level));
            let reaches = self.state().reaches.clone();
            match reaches {
                Some(reached) => reached,
                None => {
                    tokio::time::sleep_until(deadline.into()).await;
                    Ok(WaitLevel::Stored)
                }
            }
        })
    }
}

impl Conversations for Fake {
    fn threads(&self, space: String, request: PageRequest) -> Answer<'_, Page<Thread>> {
        // Cursors are names: that of the first thread of the piece.
        if request.cursor.as_ref().is_some_and(|cursor| !cursor.starts_with('@')) {
            return answer(Err(bad_cursor()));
        }
        let mut threads = BTreeMap::new();
        for message in self.state().messages.iter().filter(|message| message.space == space) {
            let thread = threads.entry(message.thread_id.clone()).or_insert_with(|| Thread {
                thread_id: message.thread_id.clone(),
                space: space.clone(),
                messages: 0,
                authors: vec![message.author.clone()],
                first_at: message.sent_at,
                last_at: message.sent_at,
                position: message.position.clone(),
            });
            thread.messages += 1;
        }
        let from = request.cursor.unwrap_or_default();
        let mut threads: Vec<_> = threads.into_values().filter(|thread| thread_cursor(thread) >= from).collect();
        threads.sort_by_key(thread_cursor);
        let next = threads.get(request.items).map(thread_cursor);
        threads.truncate(request.items);
        answer(Ok(Page { items: threads, next }))
    }

    fn messages(
        &self,
        space: String,
        thread: String,
        order: Order,
        request: PageRequest,
    ) -> Answer<'_, Option<Page<Message>>> {
        let state = self.state();
        let of_thread = |message: &&Message| message.space == space && message.thread_id == thread;
        let mut found: Vec<_> = state.messages.iter().filter(of_thread).cloned().collect();
        if order == Order::Newest {
            found.reverse();
        }
        answer(if found.is_empty() { Ok(None) } else { page(found, &request).map(Some) })
    }

    fn message(&self, id: String) -> Answer<'_, Option<Message>> {
        assert_ne!(id, "panic", "a test asked for a panic");
        answer(Ok(self.state().messages.iter().find(|message| message.message_id == id).cloned()))
    }

    fn partition_of(&self, _: &str, thread: &str) -> PartitionId {
        partition_of(thread)
    }

    fn cursor_of(&self, thread: &Thread) -> String {
        thread_cursor(thread)
    }
}

impl Recall for Fake {
    fn recall(&self, request: RecallRequest) -> Answer<'_, RecallResponse> {
        let state = self.state();
        let found = state.messages.iter().filter_map(|message| {
            let start = message.text.find(&request.query)?;
            let found = start..start + request.query.len();
            let (snippet, highlights) = mark_matches(&message.text, std::slice::from_ref(&found));
            let signals = request.explain.then(|| BTreeMap::from([("text".to_owned(), 0.5)]));
            Some(RecallResult { message: message.clone(), snippet, highlights, score: 0.5, signals })
        });
        let results = found.take(request.limit as usize).collect();
        let calibration = request.explain.then_some(Calibration { best_text: 1.0, lowest: None, highest: None });
        let as_of = BTreeMap::from([("messages/0".to_owned(), state.end(0)), ("messages/1".to_owned(), state.end(1))]);
        answer(Ok(RecallResponse { results, as_of, took_ms: 0.25, calibration }))
    }

    /// By the order of texts.
    fn merge(&self, request: &RecallRequest, answers: Vec<RecallResponse>) -> Result<RecallResponse, Problem> {
        assert!(answers.iter().all(|answer| answer.calibration.is_some()), "each is explained");
        let mut results: Vec<_> = answers.into_iter().flat_map(|answer| answer.results).collect();
        results.sort_by_key(|result| result.message.text.clone());
        results.truncate(request.limit as usize);
        Ok(RecallResponse { results, as_of: BTreeMap::new(), took_ms: 0.0, calibration: None })
    }
}

impl Events for Fake {
    fn read(&self, from: Checkpoints, filter: EventFilter, limit: ReadLimit) -> Answer<'_, EventBatch> {
        answer(Ok(self.state().read(&from, &filter, limit.events)))
    }

    /// Batches of two events, so that tests meet the seams.
    fn tail(&self, from: Checkpoints, filter: EventFilter) -> Answer<'_, Tail> {
        let state = Arc::clone(&self.state);
        let appended = self.appended.subscribe();
        let next = move |(mut from, mut appended): (Option<Checkpoints>, watch::Receiver<usize>)| {
            let (state, filter) = (Arc::clone(&state), filter.clone());
            async move {
                let places = from.take()?;
                loop {
                    let batch = state.lock().expect("no test panics with the state").read(&places, &filter, 2);
                    if batch.events.iter().any(|event| event.data["text"] == "break the log") {
                        let problem = Problem::new(Code::LogStopped, "the log has stopped", "start it");
                        return Some((Err(problem), (None, appended)));
                    }
                    if batch.next != places {
                        let next = batch.next.clone();
                        return Some((Ok(batch), (Some(next), appended)));
                    }
                    appended.changed().await.ok()?;
                }
            }
        };
        answer(Ok(Box::pin(stream::unfold((Some(from), appended), next))))
    }
}

impl Operations for Fake {
    fn topics(&self) -> Answer<'_, TopicsView> {
        let state = self.state();
        let partitions = [0, 1].map(|partition| {
            let start = state.starts[partition as usize];
            PartitionView { partition, start, end: state.end(partition) }
        });
        let retention = RetentionView { max_age_seconds: Some(3600), ..RetentionView::default() };
        let messages = TopicView { name: "messages".to_owned(), partitions: partitions.into(), retention };
        let promise = "an acknowledged write survives the loss of power".to_owned();
        let durability = Some(DurabilityView { mode: "always".to_owned(), promise });
        let log = Some(LogView { state: "writing".to_owned(), reason: None });
        answer(Ok(TopicsView { topics: vec![messages], durability, log }))
    }

    fn processors(&self) -> Answer<'_, ProcessorsView> {
        let processor = ProcessorView {
            name: "embedder".to_owned(),
            kind: "stage".to_owned(),
            state: "running".to_owned(),
            inputs: vec!["messages".to_owned()],
            checkpoint: vec![CheckpointView { topic: "messages".to_owned(), partition: 0, next: 3 }],
            processed: 3,
            rate: 0.5,
            ..ProcessorView::default()
        };
        answer(Ok(ProcessorsView { processors: vec![processor] }))
    }

    fn projections(&self, digests: Digests) -> Answer<'_, ProjectionsView> {
        let projection = ProjectionView {
            name: "text".to_owned(),
            version: "1".to_owned(),
            outdated: false,
            versions: vec![VersionView { name: "1".to_owned(), state: "serving".to_owned(), bytes: 5 }],
            state: "live".to_owned(),
            lag_events: 0,
            lag_seconds: 0.0,
            digest: (digests == Digests::Computed).then(|| "3-abc".to_owned()),
        };
        answer(Ok(ProjectionsView { projections: vec![projection] }))
    }

    fn start_rebuild(&self, request: RebuildRequest) -> Answer<'_, RebuildView> {
        let RebuildRequest { projection, rollback } = request;
        if projection != "text" {
            let detail = format!("there is no projection {projection}");
            return answer(Err(Problem::new(Code::UnknownProjection, detail, "use one of text")));
        }
        let rebuild = RebuildView {
            id: format!("r{}", self.state().rebuilds.len()),
            projection,
            purpose: if rollback { "rollback" } else { "rebuild" }.to_owned(),
            phase: "reading".to_owned(),
            version: None,
            done: 0,
            resumed_from: 0,
            seconds: 0.0,
            equal: None,
            total: 7,
            rate: 0.0,
            eta_seconds: None,
            built_from: Vec::new(),
            error: None,
        };
        self.state().rebuilds.push(rebuild.clone());
        answer(Ok(rebuild))
    }

    fn rebuilds(&self) -> Answer<'_, Vec<RebuildView>> {
        answer(Ok(self.state().rebuilds.iter().rev().cloned().collect()))
    }

    fn rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>> {
        answer(Ok(self.state().rebuilds.iter().find(|rebuild| rebuild.id == id).cloned()))
    }

    fn cancel_rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>> {
        let mut state = self.state();
        let found = state.rebuilds.iter_mut().find(|rebuild| rebuild.id == id);
        answer(Ok(found.map(|rebuild| {
            rebuild.phase = "cancelled".to_owned();
            rebuild.clone()
        })))
    }

    fn pause_rebuild(&self, id: String) -> Answer<'_, Option<RebuildView>> {
        let mut state = self.state();
        let found = state.rebuilds.iter_mut().find(|rebuild| rebuild.id == id);
        answer(Ok(found.map(|rebuild| {
            rebuild.phase = "paused".to_owned();
            rebuild.clone()
        })))
    }

    fn drop_version(&self, projection: String, version: String) -> Answer<'_, ()> {
        answer(match (projection.as_str(), version.as_str()) {
            ("text", "0") => Ok(()),
            _ => Err(Problem::new(Code::UnknownVersion, "it serves", "drop another")),
        })
    }

    fn verify(&self, projection: Option<String>) -> Answer<'_, VerifyReport> {
        let projection = projection.unwrap_or_else(|| "text".to_owned());
        let (live, rebuilt) = ("3-abc".to_owned(), "3-abc".to_owned());
        answer(Ok(VerifyReport {
            results: vec![Verification { projection, live, rebuilt, equal: true, built_from: Vec::new() }],
        }))
    }

    fn ready(&self) -> Answer<'_, Readiness> {
        let reasons = self.state().unready.clone();
        answer(Ok(Readiness { ready: reasons.is_empty(), reasons }))
    }

    fn metrics(&self) -> Answer<'_, String> {
        answer(Ok("meshlog_log_end_offset 3".to_owned()))
    }
}

impl Subscriptions for Fake {
    fn add(&self, wanted: NewSubscription) -> Answer<'_, Subscription> {
        let mut state = self.state();
        let id = format!("s{}", state.subscriptions.len());
        let NewSubscription { subscriber, space, thread, author } = wanted;
        let subscription = Subscription { id, subscriber, space, thread, author };
        state.subscriptions.push(subscription.clone());
        answer(Ok(subscription))
    }

    fn list(&self, request: PageRequest) -> Answer<'_, Page<Subscription>> {
        answer(page(self.state().subscriptions.clone(), &request))
    }

    fn remove(&self, id: String) -> Answer<'_, Option<Subscription>> {
        let mut state = self.state();
        let found = state.subscriptions.iter().position(|subscription| subscription.id == id);
        answer(Ok(found.map(|index| state.subscriptions.remove(index))))
    }
}

impl Fake {
    /// The next position on the topic of dead letters, where a request stands.
    fn request(&self) -> Position {
        let mut state = self.state();
        state.requests += 1;
        Position { partition: Partition { topic: Topic::DeadLetters, id: 0 }, offset: state.requests - 1 }
    }

    fn parked(&self, id: &DeadLetterId) -> Option<DeadLetter> {
        self.state().dead_letters.iter().find(|known| known.id == id.to_string()).cloned()
    }
}

impl DeadLetters for Fake {
    fn list(&self, selection: DeadLetterSelection, request: PageRequest) -> Answer<'_, Page<DeadLetter>> {
        let state = self.state();
        let selected = state.dead_letters.iter().filter(|known| selection.holds(known));
        answer(page(selected.cloned().collect(), &request))
    }

    fn get(&self, id: DeadLetterId) -> Answer<'_, Option<DeadLetterView>> {
        let found = self.parked(&id).map(|dead_letter| {
            let Position { partition, offset } = id.position;
            let event = self.state().partition(partition.id).nth(offset as usize);
            DeadLetterView { dead_letter, event }
        });
        answer(Ok(found))
    }

    fn redrive(&self, id: DeadLetterId) -> Answer<'_, Option<Redrive>> {
        let found = self.parked(&id).map(|dead_letter| match dead_letter.waits_behind {
            None => Redrive::Requested(self.request()),
            Some(offset) => Redrive::Waits(DeadLetterId { position: Position { offset, ..id.position }, ..id }),
        });
        answer(Ok(found))
    }

    fn redrive_all(&self, selection: DeadLetterSelection) -> Answer<'_, u64> {
        let state = self.state();
        let heads = state.dead_letters.iter().filter(|known| known.waits_behind.is_none() && selection.holds(known));
        answer(Ok(heads.count() as u64))
    }

    fn discard(&self, id: DeadLetterId, _author: String, _reason: String) -> Answer<'_, Option<Position>> {
        let found = self.parked(&id).map(|dead_letter| {
            self.state().dead_letters.retain(|known| known.id != dead_letter.id);
            self.request()
        });
        answer(Ok(found))
    }
}

impl CallRecords for Fake {
    fn calls(&self, selection: CallSelection, request: PageRequest) -> Answer<'_, Page<Call>> {
        if request.cursor.as_ref().is_some_and(|cursor| !cursor.starts_with('@')) {
            return answer(Err(bad_cursor()));
        }
        let from = request.cursor.unwrap_or_default();
        let is_selected = |call: &&Call| {
            call.space == selection.space
                && (selection.thread.is_none() || selection.thread == call.thread_id)
                && selection.state.as_ref().is_none_or(|state| *state == call.state)
                && call_cursor(call) >= from
        };
        let mut calls: Vec<_> = self.state().calls.iter().filter(is_selected).cloned().collect();
        calls.sort_by_key(call_cursor);
        let next = calls.get(request.items).map(call_cursor);
        calls.truncate(request.items);
        answer(Ok(Page { items: calls, next }))
    }

    fn call(&self, id: String) -> Answer<'_, Option<Call>> {
        answer(Ok(self.state().calls.iter().find(|call| call.call_id == id).cloned()))
    }

    fn request(&self, id: String) -> Answer<'_, Option<KeptBody>> {
        let is_known = self.state().calls.iter().any(|call| call.call_id == id);
        let bytes = format!("{{\"id\":\"{id}\"}}").into();
        let body = KeptBody { media_type: "application/json".to_owned(), bytes, is_partial: false };
        answer(Ok(is_known.then_some(body)))
    }

    fn response(&self, id: String) -> Answer<'_, Option<KeptBody>> {
        let Some(call) = self.state().calls.iter().find(|call| call.call_id == id).cloned() else {
            return answer(Ok(None));
        };
        answer(match call.response_type {
            None => Err(Problem::new(Code::NoResponse, "the call is open", "ask again")),
            Some(media_type) => {
                let bytes = format!("data: {id}\n\n").into();
                Ok(Some(KeptBody { media_type, bytes, is_partial: true }))
            }
        })
    }

    fn usage(&self, selection: UsageSelection, most_rows: usize) -> Answer<'_, Option<Usage>> {
        let each = self.state().calls.iter().filter_map(|call| used(call, &selection)).collect();
        answer(merged(&selection.by, each).map(|usage| Some(usage).filter(|usage| usage.usage.len() <= most_rows)))
    }

    fn cursor_of(&self, _: &CallSelection, call: &Call) -> String {
        call_cursor(call)
    }
}

/// What one call used, if it is selected.
fn used(call: &Call, selection: &UsageSelection) -> Option<Usage> {
    let (provider, model) = call.provider.as_ref().zip(call.model.as_ref())?;
    let day = Day::from_number(call.requested_at.micros().div_euclid(24 * 60 * 60 * 1_000_000));
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    let is_selected = is(&selection.space, &call.space)
        && is(&selection.provider, provider)
        && is(&selection.model, model)
        && is(&selection.key, &call.key_label)
        && selection.from.is_none_or(|from| day >= from)
        && selection.to.is_none_or(|to| day <= to);
    let is_state = |state: &str| i64::from(call.state == state);
    let total = UsageSums {
        calls: 1,
        completed: is_state("completed"),
        truncated: is_state("truncated"),
        failed: is_state("failed"),
        cancelled: is_state("cancelled"),
        interrupted: is_state("interrupted"),
        attempts: 1,
        tokens: call.tokens.unwrap_or_default(),
        cost_usd: call.cost_usd.unwrap_or_default(),
        ..UsageSums::default()
    };
    let named = |field, name: &str| selection.by.contains(&field).then(|| name.to_owned());
    let row = UsageSums {
        space: named(UsageField::Space, &call.space),
        provider: named(UsageField::Provider, provider),
        model: named(UsageField::Model, model),
        key: named(UsageField::Key, &call.key_label),
        day: selection.by.contains(&UsageField::Day).then_some(day),
        kind: named(UsageField::Kind, &call.kind),
        ..total.clone()
    };
    is_selected.then(|| Usage { usage: vec![row], total })
}

/// What the gateway answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The problem, whose status, media type and texts are checked.
    pub(super) fn problem(&self) -> Problem {
        assert_eq!(self.headers[header::CONTENT_TYPE], crate::problem::PROBLEM_JSON, "{}", self.text());
        let problem: Problem = serde_json::from_slice(&self.body).expect("a problem is read back");
        assert_eq!(problem.status(), self.status);
        let details = problem.details();
        assert!(!details.title.is_empty() && !details.detail.is_empty() && !details.help.is_empty(), "{details:?}");
        assert!(
            Code::ALL.iter().any(|code| code.name() == details.code && code.status() == self.status),
            "{details:?}"
        );
        problem
    }
}

/// Sends one request through the router, without a network.
pub(super) async fn ask(router: Router, request: Request<Body>) -> Reply {
    let response = router.oneshot(request).await.expect("a router cannot fail");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the answer is whole");
    Reply { status: parts.status, headers: parts.headers, body }
}

/// A server on a port of its own, and its address.
pub(super) async fn node(ports: Ports) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(serve(listener, ports, std::future::pending()));
    format!("http://{address}")
}

/// An address at which nobody listens.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    format!("http://{}", listener.local_addr().expect("it is bound"))
}

/// A request without a body.
pub(super) fn plain(method: &str, uri: &str) -> Request<Body> {
    Request::builder().method(method).uri(uri).body(Body::empty()).expect("the request is well formed")
}

/// A POST of the media type.
pub(super) fn post(uri: &str, media_type: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method("POST").uri(uri).header(header::CONTENT_TYPE, media_type);
    request.body(body.into()).expect("the request is well formed")
}

/// A POST of JSON.
pub(super) fn post_json(uri: &str, body: impl Into<Body>) -> Request<Body> {
    post(uri, "application/json", body)
}
