//! The stages of this process: on the embedded log each has all partitions, on Kafka those that its group gives it.
//!
//! Owns: the runners, and what of the stages people are shown.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use meshlog_connectors::calls::Dispatcher;
use meshlog_pipeline::{EventLog, KafkaLog, Membership, Progress, Stage, StageGroup, StageRunner, stage_of};
use meshlog_processors::{
    asking::Answerer,
    embedding::{Embedder, Encoder},
    knowledge::{
        Extractor, Resolver,
        model::{ModelExtractor, Reads},
    },
    route::Router,
};
use meshlog_schemas::{Checkpoints, Partition, Topic};
use tokio::runtime::Handle;

use super::{HouseError, calls::DispatchStage, engine::Engine, plan::StageKind};

/// The stages of this process.
pub(super) struct Stages {
    running: Mutex<Running>,
    views: Vec<Kept>,
}

#[derive(Default)]
struct Running {
    runners: Vec<StageRunner>,
    members: Vec<Membership>,
}

/// A stage, and how it runs here.
struct Kept {
    name: String,
    input: Topic,
    how: How,
}

enum How {
    Alone(Arc<Progress>),
    Shared(Arc<StageGroup>),
}

/// A stage on some partitions, as people see it.
pub(super) struct StageView {
    pub(super) name: String,
    pub(super) partitions: Vec<Partition>,
    pub(super) progress: Arc<Progress>,
}

impl Stages {
    /// Starts stages; `encoder` is there if one of them embeds, `dispatcher` with its runtime if one calls models, `reader` if one
    /// reads messages with a model.
    pub(super) fn start(
        engine: &Engine,
        events: &EventLog,
        kinds: impl IntoIterator<Item = StageKind>,
        encoder: Option<&Arc<dyn Encoder>>,
        dispatcher: Option<&(Dispatcher, Handle)>,
        reader: Option<&(Reads, Arc<dyn Answerer>)>,
    ) -> Result<Self, HouseError> {
        let (mut running, mut views) = (Running::default(), Vec::new());
        for kind in kinds {
            let (encoder, dispatcher, reader) = (encoder.cloned(), dispatcher.cloned(), reader.cloned());
            let log = events.clone();
            let make = move || -> Box<dyn Stage> {
                if let (StageKind::ExtractModel, Some((reads, model))) = (kind, &reader) {
                    return Box::new(ModelExtractor::new(reads.clone(), model.clone(), log.clone()));
                }
                match (kind, &encoder, &dispatcher) {
                    (StageKind::Route, ..) => Box::<Router>::default(),
                    (StageKind::Embed, Some(encoder), _) => Box::new(Embedder::new(encoder.clone())),
                    (StageKind::Extract, ..) => Box::<Extractor>::default(),
                    (StageKind::Resolve, ..) => Box::<Resolver>::default(),
                    (StageKind::Dispatch, _, Some((dispatcher, runtime))) => {
                        Box::new(DispatchStage::new(dispatcher.clone(), log.clone(), runtime.clone()))
                    }
                    // Invariant: the plan has a model, or calls models, where it has these stages.
                    (StageKind::Embed, None, _) => unreachable!("the embedder has a model"),
                    (StageKind::Dispatch, _, None) => unreachable!("the dispatcher calls models"),
                    (StageKind::ExtractModel, ..) => unreachable!("a model reads messages"),
                }
            };
            let stage = make();
            let (name, input) = (stage.name().to_owned(), stage.input());
            let how = match engine {
                Engine::Embedded(_) => {
                    let runner = StageRunner::start(events.clone(), stage)?;
                    let progress = runner.progress().clone();
                    running.runners.push(runner);
                    How::Alone(progress)
                }
                Engine::Kafka(log) => {
                    let group = Arc::new(StageGroup::new(events.clone(), make));
                    // By the stage's whole name: one of another model has all partitions to itself.
                    running.members.push(log.join(&format!("stage-{name}"), input, group.clone())?);
                    How::Shared(group)
                }
            };
            views.push(Kept { name, input, how });
        }
        Ok(Self { running: Mutex::new(running), views })
    }

    /// Every stage of this process with the partitions that it has at the moment.
    pub(super) fn views(&self, events: &EventLog) -> Vec<StageView> {
        let view = |kept: &Kept| match &kept.how {
            How::Alone(progress) => {
                let (name, partitions) = (kept.name.clone(), events.partitions(kept.input));
                vec![StageView { name, partitions, progress: progress.clone() }]
            }
            How::Shared(group) => {
                let one = |(partition, progress): (Partition, _)| StageView {
                    name: format!("{}/{}", kept.name, partition.id),
                    partitions: vec![partition],
                    progress,
                };
                group.progress().into_iter().map(one).collect()
            }
        };
        self.views.iter().flat_map(view).collect()
    }

    /// Finishes what is at work and ends.
    pub(super) fn stop(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.members.iter_mut().for_each(Membership::leave);
        running.runners.iter_mut().for_each(StageRunner::stop);
    }
}

/// The embedder, wherever it runs: how far it is, to wait for.
pub(super) enum Embedded {
    Here(Arc<Progress>),
    OnKafka(Arc<KafkaLog>, String),
}

impl Embedded {
    /// The embedder `stage`.
    pub(super) fn of(engine: &Engine, stages: &Stages, stage: String) -> Option<Self> {
        match engine {
            Engine::Kafka(log) => Some(Self::OnKafka(log.clone(), stage)),
            Engine::Embedded(_) => {
                stages.views.iter().find(|kept| kept.name == stage).and_then(|kept| match &kept.how {
                    How::Alone(progress) => Some(Self::Here(progress.clone())),
                    How::Shared(_) => None,
                })
            }
        }
    }

    /// Waits until it has processed everything before `written`.
    pub(super) async fn reaches(&self, written: &Checkpoints) {
        match self {
            Embedded::Here(progress) => progress.reaches(written).await,
            Embedded::OnKafka(log, stage) => loop {
                let progressed = log.progressed().listen();
                if log.stage_checkpoints(stage).covers(written) {
                    return;
                }
                progressed.await;
            },
        }
    }
}

/// The stages that run only elsewhere, with how far they are.
pub(super) fn elsewhere(log: &KafkaLog, here: &[StageView]) -> Vec<(String, Checkpoints)> {
    let mut stages: BTreeSet<String> = log.processors().iter().map(|name| stage_of(name).to_owned()).collect();
    stages.retain(|stage| !here.iter().any(|view| stage_of(&view.name) == stage));
    stages.into_iter().map(|stage| (stage.clone(), log.stage_checkpoints(&stage))).collect()
}
