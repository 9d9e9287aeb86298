//! Kafka: where the log of several machines is, and how its topics are made.

use std::{collections::BTreeMap, path::PathBuf};

use meshlog_pipeline::{BodyFormat, KafkaOptions, TopicLayout, default_layout};
use meshlog_schemas::Topic;

use super::{Failure, keep::KeepRule};
use crate::house::EngineOptions;

/// What a log address begins with.
pub(super) const SCHEME: &str = "kafka://";

/// The log on Kafka.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KafkaArguments {
    /// The brokers to begin with: kafka://HOST:PORT, more with commas between them
    #[arg(long, env = "MESHLOG_LOG_URL", value_name = "kafka://HOST:PORT[,HOST:PORT]", value_parser = brokers)]
    log: String,

    /// The partitions of messages, deliveries and embeddings: as many processes can share a stage. Fixed once the topics are
    /// there
    #[arg(long, env = "MESHLOG_PARTITIONS", default_value_t = 4, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: u32,

    /// A schema registry with Confluent's API, where our schemas are registered and the ids of foreign events are looked up
    #[arg(long, env = "MESHLOG_REGISTRY", value_name = "http://HOST:PORT/PATH")]
    registry: Option<String>,

    /// Write events in Confluent's wire format instead of Avro's single-object encoding. Both are read
    #[arg(long, env = "MESHLOG_CONFLUENT", requires = "registry")]
    confluent: bool,

    #[command(flatten)]
    topics: TopicArguments,
}

/// The topics of a log on Kafka: what they are called, how they are made, and how their brokers are spoken to.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TopicArguments {
    /// What the names of the Kafka topics begin with
    #[arg(long, env = "MESHLOG_TOPIC_PREFIX", default_value = "meshlog.", value_name = "PREFIX", value_parser = prefix)]
    topic_prefix: String,

    /// The brokers that keep each partition. Three survive the loss of one without a pause
    #[arg(long, env = "MESHLOG_REPLICATION", default_value_t = 1, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=7))]
    replication: u32,

    /// The brokers that must have an event before it is acknowledged [default: 2 of three or more, else 1]
    #[arg(long, env = "MESHLOG_MIN_INSYNC", value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=7))]
    min_insync: Option<u32>,

    /// A file with further settings for Kafka's client, one NAME=VALUE a line: security.protocol, ssl.ca.location,
    /// sasl.mechanism, sasl.username, sasl.password, ...
    #[arg(long, env = "MESHLOG_KAFKA_PROPERTIES", value_name = "FILE")]
    kafka_properties: Option<PathBuf>,

    /// How long the events of a topic are kept: by age (30m, 12h, 30d), by size (500MB, 20GB), or both. Without it, for ever
    #[arg(long, env = "MESHLOG_RETENTION", value_delimiter = ';', value_name = "TOPIC=LIMIT[,LIMIT]")]
    retention: Vec<KeepRule>,
}

impl KafkaArguments {
    /// The log that they name.
    ///
    /// # Errors
    /// The file of settings cannot be read, or the numbers do not fit each other.
    pub(super) fn engine(self) -> Result<EngineOptions, Failure> {
        let options = KafkaOptions {
            registry: self.registry,
            body_format: if self.confluent { BodyFormat::Confluent } else { BodyFormat::SingleObject },
            ..self.topics.options(self.log)?
        };
        let partitions = |layout: TopicLayout| match layout.topic {
            Topic::Messages | Topic::Deliveries | Topic::Embeddings | Topic::Knowledge => self.partitions,
            _ => layout.partitions,
        };
        let layout = default_layout()
            .into_iter()
            .map(|layout| TopicLayout { partitions: partitions(layout), ..layout })
            .collect();
        Ok(EngineOptions::Kafka { options, layout })
    }
}

impl TopicArguments {
    /// The topics at these brokers.
    ///
    /// # Errors
    /// The file of settings cannot be read, or the numbers do not fit each other.
    pub(super) fn options(self, brokers: String) -> Result<KafkaOptions, Failure> {
        let min_insync = self.min_insync.unwrap_or(if self.replication >= 3 { 2 } else { 1 });
        if min_insync > self.replication {
            let what =
                format!("{min_insync} brokers cannot acknowledge an event of which {} have copies", self.replication);
            return Err(Failure::local(what, "lower --min-insync, or raise --replication"));
        }
        Ok(KafkaOptions {
            brokers,
            prefix: self.topic_prefix,
            replication: self.replication,
            min_insync,
            retention: self.retention.into_iter().map(|rule| (rule.topic, rule.retention)).collect(),
            client: self.kafka_properties.map(|file| settings(&file)).transpose()?.unwrap_or_default(),
            ..KafkaOptions::default()
        })
    }
}

/// The brokers in the address of a log.
pub(super) fn brokers(text: &str) -> Result<String, String> {
    let brokers = text.strip_prefix(SCHEME).ok_or_else(|| format!("write {SCHEME}HOST:PORT"))?.trim_end_matches('/');
    for broker in brokers.split(',') {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) {
            return Err(format!("\"{broker}\" is no broker; write HOST:PORT"));
        }
    }
    Ok(brokers.to_owned())
}

/// What Kafka takes as a part of a topic's name, and what is a directory's name as well.
fn prefix(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match text.bytes().all(is_allowed)
        && text.len() <= 200
        && !text.trim_end_matches('.').is_empty()
        && !text.starts_with('.')
    {
        true => Ok(text.to_owned()),
        false => Err("a prefix has letters, digits, \".\", \"_\" and \"-\", and begins with no dot".to_owned()),
    }
}

/// Reads `NAME=VALUE` lines; empty ones and those that begin with `#` say nothing.
fn settings(file: &std::path::Path) -> Result<BTreeMap<String, String>, Failure> {
    let help = "write one NAME=VALUE a line, such as security.protocol=SASL_SSL";
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::local(format!("{} cannot be read: {error}", file.display()), help))?;
    let mut settings = BTreeMap::new();
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Of a line that is none, nothing is shown: it may hold a secret.
        let wrong = || Failure::local(format!("line {number} of {} is no setting", file.display()), help);
        let (name, value) = line.split_once('=').ok_or_else(wrong)?;
        settings.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_read_as_an_address() {
        assert_eq!(brokers("kafka://a:9092,b:9093/"), Ok("a:9092,b:9093".to_owned()));
        for wrong in ["a:9092", "kafka://", "kafka://a", "kafka://a:b", "kafka://:9092", "kafka://a:9092,"] {
            assert!(brokers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_prefix_is_one_for_topics_and_directories() {
        for right in ["meshlog.", "team-a_", "x"] {
            assert!(prefix(right).is_ok(), "{right}");
        }
        for wrong in ["", ".", "..", "../x", "a/b", "a b"] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_are_lines_and_a_wrong_one_is_named_without_what_it_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("client.properties");
        std::fs::write(&file, "# who we are\nsasl.username = mesh\n\nsasl.password=a=b\n").expect("a file");
        let expected = [("sasl.username", "mesh"), ("sasl.password", "a=b")];
        assert_eq!(
            settings(&file).expect("settings"),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
        );
        std::fs::write(&file, "sasl.username=mesh\nsecret\n").expect("a file");
        let failure = format!("{:?}", settings(&file).expect_err("no setting"));
        assert!(failure.contains("line 2") && !failure.contains("secret"), "{failure}");
    }
}
