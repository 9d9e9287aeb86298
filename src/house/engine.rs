//! The engine: the log below this process, whichever it is.
//!
//! Owns: what differs between the engines where people look at the log. Everything else goes by the [`Log`] trait.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use meshlog_connectors::api::DurabilityView;
use meshlog_pipeline::{EmbeddedLog, KafkaLog, Log, LogError, TopicKeeping};
use meshlog_schemas::{PartitionShare, Topic};

use super::plan::{EngineOptions, Plan};

/// The log of this process.
pub(super) enum Engine {
    Embedded(Arc<EmbeddedLog>),
    Kafka(Arc<KafkaLog>),
}

impl Engine {
    /// Opens the log that the plan names.
    pub(super) fn open(plan: &Plan) -> Result<Self, LogError> {
        match &plan.engine {
            EngineOptions::Embedded(options) => {
                EmbeddedLog::open(&plan.data.join("log"), options.clone()).map(|log| Self::Embedded(Arc::new(log)))
            }
            EngineOptions::Kafka { options, layout } => {
                let mut options = options.clone();
                // Schemas are put there by everybody; messages with ids of their senders by those who take them in.
                let takes = plan.takes_messages.then_some(Topic::Messages);
                options.once = [Topic::Schemas].into_iter().chain(takes).collect();
                if plan.takes_messages {
                    options.identities = Some(kafka_directory(&plan.data, &options.prefix).join("identities"));
                }
                KafkaLog::open(layout.clone(), &options).map(|log| Self::Kafka(Arc::new(log)))
            }
        }
    }

    pub(super) fn log(&self) -> Arc<dyn Log> {
        match self {
            Engine::Embedded(log) => log.clone(),
            Engine::Kafka(log) => log.clone(),
        }
    }

    /// How the events of a topic are kept, as far as this process knows.
    pub(super) fn keeping(&self, topic: Topic) -> TopicKeeping {
        match self {
            Engine::Embedded(log) => log.keeping(topic),
            Engine::Kafka(log) => TopicKeeping { retention: log.retention(topic), ..TopicKeeping::default() },
        }
    }

    /// What an acknowledgement promises.
    pub(super) fn durability(&self) -> DurabilityView {
        match self {
            Engine::Embedded(log) => {
                let durability = log.durability();
                DurabilityView { mode: durability.name().to_owned(), promise: durability.promise() }
            }
            Engine::Kafka(log) => DurabilityView { mode: "replicated".to_owned(), promise: log.promise() },
        }
    }
}

/// What is kept here of a log on Kafka: below its topics' prefix, so that what is of another log is not taken for it.
fn kafka_directory(data: &Path, prefix: &str) -> PathBuf {
    data.join("kafka").join(prefix.trim_end_matches('.'))
}

/// Where the views stand: those of another share are not taken for them.
pub(super) fn views_directory(plan: &Plan) -> PathBuf {
    match &plan.engine {
        EngineOptions::Embedded(_) => plan.data.join("projections"),
        EngineOptions::Kafka { options, .. } => {
            let log = kafka_directory(&plan.data, &options.prefix);
            match plan.share {
                PartitionShare::ALL => log.join("projections"),
                share => log.join(format!("share-{}-of-{}", share.number(), share.of())).join("projections"),
            }
        }
    }
}
