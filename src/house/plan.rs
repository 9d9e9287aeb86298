//! The plan: what one process does of all that the house can do.
//!
//! Owns: the roles, as sets of parts. `meshlog up` is all of them; on Kafka any number of processes have some.

use std::{collections::BTreeSet, fmt, path::PathBuf, str::FromStr};

use meshlog_pipeline::{EmbeddedOptions, KafkaOptions, TopicLayout};
use meshlog_processors::{embedding::Numerics, recall::Weights};
use meshlog_replay::ReplaySettings;
use meshlog_schemas::PartitionShare;

use super::calls::CallOptions;

/// The embedding model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Where its files are.
    pub(crate) directory: PathBuf,
    /// How it is computed.
    pub(crate) numerics: Numerics,
}

impl Model {
    /// For those that embed nothing.
    pub(crate) fn none() -> Self {
        Self { directory: PathBuf::new(), numerics: Numerics::default() }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.directory.display(), self.numerics)
    }
}

/// What one process does.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Its name, as people see it.
    pub(crate) role: &'static str,
    /// Where the log is.
    pub(crate) engine: EngineOptions,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The embedding model.
    pub(crate) model: Model,
    /// The stages it takes part in.
    pub(crate) stages: BTreeSet<StageKind>,
    /// Whether it keeps the views and answers from them.
    pub(crate) has_views: bool,
    /// The share of the partitions that the views hold.
    pub(crate) share: PartitionShare,
    /// Other nodes with views, of any share.
    pub(crate) peers: Vec<String>,
    /// Whether it takes messages in.
    pub(crate) takes_messages: bool,
    /// The nodes that answer what only views can, if it has none.
    pub(crate) queries: Vec<String>,
    /// Which models it calls, and how.
    pub(crate) calls: CallOptions,
    /// Added to the score of an assistant's message in recall; see [`Weights::assistant`].
    pub(crate) assistant_prior: f32,
    /// What rebuilds of views may take.
    pub(crate) rebuilds: ReplaySettings,
}

/// Where the log is.
#[derive(Debug, Clone)]
pub(crate) enum EngineOptions {
    /// In the data directory, for this process alone.
    Embedded(EmbeddedOptions),
    /// On Kafka.
    Kafka {
        /// How it is reached, and how topics are made.
        options: KafkaOptions,
        /// The topics with their partitions.
        layout: Vec<TopicLayout>,
    },
}

/// A stage, by the name that people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StageKind {
    /// Decides who is to be told of a message.
    Route,
    /// Gives every message its vector.
    Embed,
    /// Finds whom messages name, and what they state.
    Extract,
    /// Has a model find whom messages name, and what they state; only where one is configured.
    ExtractModel,
    /// Says which names stand for one thing.
    Resolve,
    /// Carries out calls of models that nobody waits for.
    Dispatch,
}

impl StageKind {
    pub(crate) const ALL: [StageKind; 6] = [
        StageKind::Route,
        StageKind::Embed,
        StageKind::Extract,
        StageKind::ExtractModel,
        StageKind::Resolve,
        StageKind::Dispatch,
    ];

    /// Its name on the command line, and that of its group.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            StageKind::Route => "route",
            StageKind::Embed => "embed",
            StageKind::Extract => "extract",
            StageKind::ExtractModel => "extract-model",
            StageKind::Resolve => "resolve",
            StageKind::Dispatch => "dispatch",
        }
    }
}

impl FromStr for StageKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        StageKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names = StageKind::ALL.map(StageKind::name).join(", ");
            format!("there is no stage {name}; stages are {names}")
        })
    }
}

impl Plan {
    /// Everything in one process.
    pub(crate) fn everything(engine: EngineOptions, data: PathBuf, model: Model) -> Self {
        Self {
            role: "up",
            engine,
            data,
            model,
            stages: StageKind::ALL.into_iter().collect(),
            has_views: true,
            share: PartitionShare::ALL,
            peers: Vec::new(),
            takes_messages: true,
            queries: Vec::new(),
            calls: CallOptions::default(),
            assistant_prior: Weights::default().assistant,
            rebuilds: ReplaySettings::default(),
        }
    }

    /// Whether texts or questions are embedded.
    pub(super) fn needs_model(&self) -> bool {
        self.has_views || self.stages.contains(&StageKind::Embed)
    }

    /// Whether models are called.
    pub(super) fn calls_models(&self) -> bool {
        self.takes_calls() || self.sums_up_with_model()
    }

    /// Whether models are called for others.
    pub(super) fn takes_calls(&self) -> bool {
        self.takes_messages || self.stages.contains(&StageKind::Dispatch) || self.reads_with_model()
    }

    /// Whether a model sums up the threads that are kept here. Not where calls are only repeated.
    pub(super) fn sums_up_with_model(&self) -> bool {
        self.has_views && self.calls.config.summaries.is_some() && self.calls.replay.is_none()
    }

    /// Whether a model reads messages here. Not where calls are only repeated: what is new was never asked.
    pub(super) fn reads_with_model(&self) -> bool {
        let is_configured = self.calls.config.knowledge.is_some() && self.calls.replay.is_none();
        is_configured && self.stages.contains(&StageKind::ExtractModel)
    }

    /// The stages that run here.
    pub(super) fn running_stages(&self) -> impl Iterator<Item = StageKind> {
        let reads_with_model = self.reads_with_model();
        self.stages.iter().copied().filter(move |kind| *kind != StageKind::ExtractModel || reads_with_model)
    }

    pub(super) fn weights(&self) -> Weights {
        let assistant = self.assistant_prior;
        Weights { assistant, assistant_asked: assistant / 4.0, ..Weights::default() }
    }
}
