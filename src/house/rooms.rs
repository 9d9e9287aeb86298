//! The rooms behind the gateway: log, stages and views, opened in order and closed in the reverse.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use meshlog_connectors::http::{Forwarder, Scatter};
use meshlog_pipeline::{ClearSealer, EventLog, NewEvent, Progress, now_micros, work_in_background};
use meshlog_processors::{
    Hidden, RetentionTable, TableView,
    calls::CallStore,
    embedding::{CachedEncoder, Embedder, Encoder, ModelFiles},
    graph::GraphStore,
    recall::{RecallEngine, Stores},
    route::SubscriptionTable,
    summaries::SummaryStore,
};
use meshlog_replay::Views;
use meshlog_schemas::{Checkpoints, Event, EventId, PartitionShare, SchemaRegistered, Topic, Trust, catalog};
use pollster::block_on;
use tokio::runtime::Handle;

use super::{
    HouseError,
    calls::Calls,
    engine::{Engine, views_directory},
    files,
    keeping::Keeper,
    memory,
    plan::Plan,
    serving::{Serving, specs},
    stages::{Embedded, Stages},
    summarising::Summariser,
    sweeping::Sweeper,
};

/// Vectors kept for texts that come again, 1.5 KB each.
const CACHED_VECTORS: NonZeroUsize = NonZeroUsize::new(4_096).expect("it is not zero");
/// How long stages may take to finish what is at work before the log is closed below them.
const LONGEST_FINISH: Duration = Duration::from_secs(20);

/// Everything behind the gateway.
pub(super) struct Rooms {
    pub(super) engine: Engine,
    pub(super) events: EventLog,
    pub(super) stages: Arc<Stages>,
    /// `None` on a node that keeps no views.
    pub(super) reading: Option<Reading>,
    pub(super) subscriptions: TableView<SubscriptionTable>,
    /// What of the log nobody is to be shown.
    pub(super) hidden: TableView<Hidden>,
    /// How long each space remembers.
    pub(super) retention: Arc<TableView<RetentionTable>>,
    /// `None` on a node that takes no messages.
    _keeper: Option<Keeper>,
    pub(super) takes_messages: bool,
    /// Whether it calls models for others.
    pub(super) takes_calls: bool,
    /// `None` on a node that calls no models.
    pub(super) calls: Option<Calls>,
    /// Who answers what only views can, on a node without.
    pub(super) queries: Option<Arc<Forwarder>>,
    is_closed: Mutex<bool>,
}

/// The views, and what answers from them.
pub(super) struct Reading {
    /// The log, of the share that the views hold.
    pub(super) events: EventLog,
    pub(super) shares: Arc<Scatter>,
    pub(super) views: Views,
    serving: Arc<Serving>,
    pub(super) recall: RecallEngine,
    pub(super) embedded: Option<Embedded>,
    _sweeper: Sweeper,
    /// `None` where no model sums up threads.
    _summariser: Option<Summariser>,
}

impl Reading {
    /// The stores of recall; `None` before the views are open.
    pub(super) fn stores(&self) -> Option<Stores> {
        self.serving.stores()
    }

    /// The store of calls; `None` before its view is open.
    pub(super) fn calls(&self) -> Option<Arc<CallStore>> {
        self.serving.calls()
    }

    /// The summaries; `None` before their view is open.
    pub(super) fn summaries(&self) -> Option<Arc<SummaryStore>> {
        self.serving.summaries()
    }

    /// The graph; `None` before its view is open.
    pub(super) fn graph(&self) -> Option<Arc<GraphStore>> {
        self.serving.graph()
    }
}

impl Rooms {
    /// Opens the log, then views and stages, as the plan says. Calls of models run on `runtime`; without one there are none.
    pub(super) fn open(plan: &Plan, runtime: Option<&Handle>) -> Result<Self, HouseError> {
        files::allow_many();
        memory::use_ordinary_pages();
        // The common pool embeds for the stages and builds indexes; questions and searches have threads of their own.
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|index| format!("pool-{index}"))
            .start_handler(|_| work_in_background());
        if let Err(error) = pool.build_global() {
            tracing::debug!(%error, "the common pool was there before the rooms");
        }
        let queries = match plan.queries.as_slice() {
            [] => None,
            nodes => Some(Arc::new(Forwarder::new(nodes).map_err(HouseError::Query)?)),
        };
        // Side by side, so that a start takes as long as the longest of them: the log and the model's files, then the views
        // and what is made of the files.
        let files =
            || plan.needs_model().then(|| ModelFiles::read(&plan.model.directory, plan.model.numerics)).transpose();
        let (files, engine) = beside(files, || Engine::open(plan))?;
        let (engine, files) = (engine?, files?);
        let events = EventLog::new(engine.log(), Arc::new(ClearSealer));
        // Before views are begun that could not be asked.
        let shares = Arc::new(shares(&events, plan)?);
        let shared = events.clone().of_share(plan.share);
        let serving = Arc::new(Serving::default());
        let specs = files.as_ref().map(|files| specs(&serving, files.model_id(), files.dims(), plan.share));
        let views = || {
            let specs = specs.filter(|_| plan.has_views);
            let root = views_directory(plan);
            specs.map(|specs| Views::open(&root, shared.clone(), specs, plan.rebuilds)).transpose()
        };
        let (encoder, views) = beside(|| files.map(ModelFiles::load).transpose(), views)?;
        let (views, encoder) = (views?, encoder?);
        let encoder = encoder.map(|encoder| Arc::new(CachedEncoder::new(encoder, CACHED_VECTORS)) as Arc<dyn Encoder>);
        block_on(events.append(schemas(), None))?;

        let runtime = runtime.filter(|_| plan.calls_models());
        let calls =
            runtime.map(|runtime| Calls::open(plan, &engine, &events, encoder.as_ref(), runtime)).transpose()?;
        let dispatcher = calls.as_ref().map(|calls| calls.dispatcher.clone()).zip(runtime.cloned());
        let reader = calls.as_ref().and_then(|calls| calls.reader.as_ref());
        let (encoder_of, running) = (encoder.as_ref(), plan.running_stages());
        let stages = Stages::start(&engine, &events, running, encoder_of, dispatcher.as_ref(), reader)?;
        let reading = views.zip(encoder).map(|(views, encoder)| {
            let stage = Embedder::stage_name(encoder.model_id());
            let embedded = Embedded::of(&engine, &stages, stage);
            let recall = RecallEngine::new(encoder, plan.weights());
            let _sweeper = Sweeper::start(serving.clone());
            let summariser = calls.as_ref().and_then(|calls| calls.summariser.clone());
            let _summariser =
                summariser.map(|summariser| Summariser::start(shared.clone(), serving.clone(), summariser));
            Reading { events: shared, shares, views, serving, recall, embedded, _sweeper, _summariser }
        });
        let retention = Arc::new(TableView::new(events.clone()));
        let _keeper = plan.takes_messages.then(|| Keeper::start(events.clone(), retention.clone(), now_micros));
        Ok(Self {
            engine,
            stages: Arc::new(stages),
            reading,
            subscriptions: TableView::new(events.clone()),
            hidden: TableView::new(events.clone()),
            retention,
            _keeper,
            takes_messages: plan.takes_messages,
            takes_calls: plan.takes_calls(),
            calls,
            queries,
            is_closed: Mutex::new(false),
            events,
        })
    }

    /// Lets the log's retention take away what every stage and view has read. Before this is called it takes nothing. Kafka's
    /// own takes what it is told to: a view that comes too late says what it missed.
    pub(super) fn allow_retention(self: &Arc<Self>) {
        let Engine::Embedded(log) = &self.engine else { return };
        // Weak: the log is part of the rooms, and must not keep them.
        let rooms = Arc::downgrade(self);
        log.set_readers(Arc::new(move || {
            rooms
                .upgrade()
                .map_or_else(|| vec![("shutdown".to_owned(), Checkpoints::default())], |rooms| rooms.readers())
        }));
    }

    /// How far every stage and view has read, with every partition that it reads.
    fn readers(&self) -> Vec<(String, Checkpoints)> {
        let reader = |name: &str, inputs: &[Topic], progress: &Progress| {
            let read = progress.status().checkpoints;
            let partitions = inputs.iter().flat_map(|topic| self.events.partitions(*topic));
            (name.to_owned(), partitions.map(|partition| (partition, read.next(partition))).collect())
        };
        let stages = self.stages.views(&self.events);
        let stages = stages.iter().map(|stage| {
            let read = stage.progress.status().checkpoints;
            let partitions = stage.partitions.iter().map(|partition| (*partition, read.next(*partition)));
            (stage.name.clone(), partitions.collect())
        });
        let views = self.reading.iter().flat_map(|reading| reading.views.inputs());
        stages.chain(views.map(|(name, inputs, progress)| reader(name, &inputs, progress))).collect()
    }

    /// Finishes what is under way in every room and closes the log. What was acknowledged is durable already; this
    /// only spares the next start some work. Stages that cannot finish, because their log does not answer, are left.
    pub(super) fn close(&self) {
        let mut is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *is_closed, true) {
            return;
        }
        if let Some(calls) = &self.calls {
            calls.close();
        }
        let (finished, wait) = mpsc::channel();
        let stages = self.stages.clone();
        let stopping = thread::Builder::new().name("stop-stages".to_owned()).spawn(move || {
            stages.stop();
            // Nobody may wait any more.
            let _ = finished.send(());
        });
        if stopping.is_ok() && wait.recv_timeout(LONGEST_FINISH).is_err() {
            tracing::warn!(
                "the stages do not finish: the log does not answer; what they began is done again at the next start"
            );
        }
        if let Some(reading) = &self.reading {
            reading.views.stop();
        }
        self.events.log().close();
    }
}

/// The plan's share among the others.
///
/// # Errors
/// The partitions cannot be shared out so.
fn shares(events: &EventLog, plan: &Plan) -> Result<Scatter, HouseError> {
    let count = |topic| events.partitions(topic).len();
    let (messages, share) = (count(Topic::Messages), plan.share);
    for topic in [Topic::Embeddings, Topic::Knowledge] {
        let others = count(topic);
        if share != PartitionShare::ALL && messages != others {
            return Err(HouseError::Share(format!(
                "messages have {messages} partitions and {topic} {others}: a thread and what is derived of it would be in \
                 different shares; run without --share, or on topics with as many partitions each"
            )));
        }
    }
    if share.of() as usize > messages {
        return Err(HouseError::Share(format!(
            "{messages} partitions cannot be dealt out to {} shares; choose --share K/N with N up to {messages}",
            share.of()
        )));
    }
    // Invariant: the log numbers partitions with 32 bits.
    Scatter::new(share, messages as u32, &plan.peers).map_err(HouseError::Query)
}

/// Does two things at once, the first on a thread of its own. A panic goes on in the caller.
fn beside<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> Result<(A, B), HouseError> {
    thread::scope(|scope| {
        let one = thread::Builder::new().name("open-model".to_owned()).spawn_scoped(scope, one);
        let one = one.map_err(HouseError::System)?;
        let other = other();
        Ok((one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other))
    })
}

/// The schemas of this program, as events that are stored once for each.
fn schemas() -> Vec<NewEvent> {
    catalog()
        .iter()
        .map(|schema| {
            let fingerprint = schema.fingerprint_hex();
            let id = EventId::of_source("meshlog.schemas", &fingerprint);
            let event = Event::SchemaRegistered(SchemaRegistered {
                name: schema.name.to_owned(),
                // Invariant: versions count up by one a release.
                version: schema.version as i32,
                fingerprint,
                schema: schema.json.to_owned(),
            });
            NewEvent::first(id, "/meshlog", Trust::System, event).once()
        })
        .collect()
}
