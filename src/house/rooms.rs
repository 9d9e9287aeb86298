//! The rooms behind the gateway: log, stages and views, opened in order and closed in the reverse.

use std::{
    num::NonZeroUsize,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use meshlog_pipeline::{
    ClearSealer, EmbeddedLog, EmbeddedOptions, EventLog, Log, NewEvent, Progress, Stage, StageRunner,
    work_in_background,
};
use meshlog_processors::{
    embedding::{CachedEncoder, Embedder, Encoder, ModelFiles},
    recall::{RecallEngine, Weights},
    route::{Router, SubscriptionView},
};
use meshlog_replay::Views;
use meshlog_schemas::{Checkpoints, Event, EventId, SchemaRegistered, Topic, Trust, catalog};
use pollster::block_on;

use super::{
    HouseError, files, memory,
    serving::{Serving, specs},
};

/// Vectors kept for texts that come again, 1.5 KB each.
const CACHED_VECTORS: NonZeroUsize = NonZeroUsize::new(4_096).expect("it is not zero");

/// Everything behind the gateway.
pub(super) struct Rooms {
    pub(super) embedded: Arc<EmbeddedLog>,
    pub(super) events: EventLog,
    pub(super) stages: Vec<StageView>,
    pub(super) embedder: Arc<Progress>,
    pub(super) views: Views,
    pub(super) serving: Arc<Serving>,
    pub(super) subscriptions: SubscriptionView,
    pub(super) engine: RecallEngine,
    runners: Mutex<Vec<StageRunner>>,
}

/// A stage that runs.
pub(super) struct StageView {
    pub(super) name: String,
    pub(super) input: Topic,
    pub(super) progress: Arc<Progress>,
}

impl Rooms {
    /// Opens the log in `data`, then views and stages.
    pub(super) fn open(data: &Path, model: &Path, weights: Weights, log: EmbeddedOptions) -> Result<Self, HouseError> {
        files::allow_many();
        memory::use_ordinary_pages();
        // The common pool embeds for the stages and builds indexes; questions and searches have threads of their own.
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|index| format!("pool-{index}"))
            .start_handler(|_| work_in_background());
        if let Err(error) = pool.build_global() {
            tracing::debug!(%error, "the common pool was there before the rooms");
        }
        // Side by side, so that a start takes as long as the longest of them: the log and the model's files, then the views
        // and what is made of the files.
        let (files, embedded) = beside(|| ModelFiles::read(model), || EmbeddedLog::open(&data.join("log"), log))?;
        let (embedded, files) = (Arc::new(embedded?), files?);
        let events = EventLog::new(embedded.clone(), Arc::new(ClearSealer));
        let serving = Arc::new(Serving::default());
        let specs = specs(&serving, files.model_id(), files.dims());
        let views = || Views::open(&data.join("projections"), events.clone(), specs);
        let (encoder, views) = beside(|| files.load(), views)?;
        let (views, encoder) = (views?, encoder?);
        let encoder: Arc<dyn Encoder> = Arc::new(CachedEncoder::new(encoder, CACHED_VECTORS));
        block_on(events.append(schemas(), None))?;

        let mut runners = Vec::new();
        let mut stages = Vec::new();
        let mut start = |stage: Box<dyn Stage>| -> Result<Arc<Progress>, HouseError> {
            let (name, input) = (stage.name().to_owned(), stage.input());
            let runner = StageRunner::start(events.clone(), stage)?;
            let progress = runner.progress().clone();
            stages.push(StageView { name, input, progress: progress.clone() });
            runners.push(runner);
            Ok(progress)
        };
        start(Box::<Router>::default())?;
        let embedder = start(Box::new(Embedder::new(encoder.clone())))?;
        Ok(Self {
            embedded,
            stages,
            embedder,
            views,
            serving,
            subscriptions: SubscriptionView::new(events.clone()),
            engine: RecallEngine::new(encoder, weights),
            runners: Mutex::new(runners),
            events,
        })
    }

    /// Lets the log's retention take away what every stage and view has read. Before this is called it takes nothing.
    pub(super) fn allow_retention(self: &Arc<Self>) {
        // Weak: the log is part of the rooms, and must not keep them.
        let rooms = Arc::downgrade(self);
        self.embedded.set_readers(Arc::new(move || {
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
        let stages = self.stages.iter().map(|stage| reader(&stage.name, &[stage.input], &stage.progress));
        let views = self.views.inputs().into_iter().map(|(name, inputs, progress)| reader(name, &inputs, progress));
        stages.chain(views).collect()
    }

    /// Finishes what is under way in every room and closes the log. What was acknowledged is durable already; this
    /// only spares the next start some work.
    pub(super) fn close(&self) {
        let mut runners = self.runners.lock().unwrap_or_else(PoisonError::into_inner);
        runners.iter_mut().for_each(StageRunner::stop);
        self.views.stop();
        self.embedded.close();
    }
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
