//! Where a log on Kafka is, and what its clients are configured with.
//!
//! Owns: which settings a user may change, and which the log's promises depend on.
//! Never: connects.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use meshlog_schemas::Topic;
use rdkafka::ClientConfig;

use super::MAX_RECORD_BYTES;
use crate::{embedded::Retention, room::Capacity};

/// Where the log is, and how its topics are made if they are not there.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// The brokers to begin with: `host:port`, with commas between them.
    pub brokers: String,
    /// What the names of topics begin with.
    pub prefix: String,
    /// The replicas of each partition.
    pub replication: u32,
    /// The replicas that must have a record before it is acknowledged (`min.insync.replicas`).
    pub min_insync: u32,
    /// How long the events of a topic are kept, where not for ever.
    pub retention: BTreeMap<Topic, Retention>,
    /// The URL of a schema registry with Confluent's API (`http://host:port/path`). Our schemas are registered there when the
    /// log opens, and bodies in Confluent's wire format are read with it.
    pub registry: Option<String>,
    /// How bodies are written. Both forms are read.
    pub body_format: BodyFormat,
    /// Further settings of librdkafka for every client, such as TLS and SASL.
    pub client: BTreeMap<String, String>,
    /// How much may wait to be acknowledged.
    pub capacity: Capacity,
    /// How much of each partition that is followed is held in memory, in bytes.
    pub tail_bytes: usize,
    /// The topics to which this process appends records with an identity. What is on them already is read when the log is
    /// opened; a record with an identity for another topic is refused.
    pub once: BTreeSet<Topic>,
    /// A directory, for this process alone, that keeps which identities are taken, so that not everything is read again at
    /// the next start, and not all of them are held in memory.
    pub identities: Option<PathBuf>,
}

/// How the bodies of events are written to Kafka.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// Avro's single-object encoding, which names the schema by its fingerprint. Nobody needs a registry.
    #[default]
    SingleObject,
    /// Confluent's wire format, which names the schema by its id in the registry: what most other programs expect.
    Confluent,
}

impl Default for KafkaOptions {
    /// One broker on this machine, nothing replicated.
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            prefix: "meshlog.".to_owned(),
            replication: 1,
            min_insync: 1,
            retention: BTreeMap::new(),
            registry: None,
            body_format: BodyFormat::default(),
            client: BTreeMap::new(),
            capacity: Capacity { items: 8192, bytes: 64 * 1024 * 1024 },
            tail_bytes: 8 * 1024 * 1024,
            once: Topic::ALL.into_iter().collect(),
            identities: None,
        }
    }
}

impl KafkaOptions {
    /// The name of the Kafka topic for one of ours.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    pub(super) fn progress_name(&self) -> String {
        format!("{}progress", self.prefix)
    }

    /// What all clients are configured with.
    pub(super) fn client(&self) -> ClientConfig {
        self.client_with(&[])
    }

    /// What all producers are configured with, and `defaults`, which the user's settings take the place of. A producer gives
    /// up only when it must: what was sequenced waits for the brokers as long as it takes. Its caller bounds how much that is.
    pub(super) fn producer(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.client_with(defaults);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", (MAX_RECORD_BYTES + 64 * 1024).to_string())
            .set("queue.buffering.max.messages", "10000000")
            .set("queue.buffering.max.kbytes", "2097151");
        config
    }

    fn client_with(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "meshlog");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config
    }
}
