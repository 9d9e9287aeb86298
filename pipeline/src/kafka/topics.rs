//! Topics: the brokers are reached, and topics made as the options ask for, or found to be so.
//!
//! Owns: what a topic must be for the contract to hold.
//! Never: alters a topic that exists. Somebody made it as it is, and may depend on it.

use std::{
    collections::BTreeMap,
    fs::File,
    sync::Mutex,
    time::{Duration, Instant},
};

use pollster::block_on;
use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};

use super::{KafkaOptions, MAX_RECORD_BYTES, storage};
use crate::{lock::lock, log::LogError, record::TopicLayout};

/// How long the brokers may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at why the brokers are not reached.
const STEP: Duration = Duration::from_secs(1);
/// How long a client may be silent until it has told everything that it knows.
const TOLD_WITHIN: Duration = Duration::from_millis(100);

/// What a topic must be.
struct Wanted {
    name: String,
    partitions: u32,
    settings: BTreeMap<&'static str, String>,
}

/// Makes the topics that are not there, and checks those that are.
///
/// # Errors
/// The brokers are not reached or refuse, or a topic is another than the options ask for.
pub(super) fn ensure(layout: &[TopicLayout], options: &KafkaOptions) -> Result<(), LogError> {
    let wanted: Vec<Wanted> = layout.iter().map(|layout| events(*layout, options)).chain([progress(options)]).collect();
    let present = reach(options)?;
    let admin: AdminClient<_> = options.client().create().map_err(|error| storage("connect to Kafka", &error))?;
    let partitions: BTreeMap<&str, usize> =
        present.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
    let (there, absent): (Vec<_>, Vec<_>) = wanted.iter().partition(|topic| partitions.contains_key(&*topic.name));
    make(&admin, &absent, options)?;
    for topic in &there {
        let found = partitions[&*topic.name];
        if found != topic.partitions as usize {
            return Err(unfit(topic, &format!("it has {found} partitions instead of {}", topic.partitions)));
        }
    }
    check_settings(&admin, &there)
}

/// Asks the brokers which topics there are. An admin client would do, but it never tells why a broker is not reached.
fn reach(options: &KafkaOptions) -> Result<Metadata, LogError> {
    // librdkafka only says that it could not be read, not what.
    for (name, path) in
        options.client.iter().filter(|(name, _)| name.starts_with("ssl.") && name.ends_with(".location"))
    {
        File::open(path).map_err(|cause| storage("connect to Kafka", &format!("{name} is {path}: {cause}")))?;
    }
    let mut config = options.client();
    // Connections that break off are told in the log only.
    let client = config.set_log_level(RDKafkaLogLevel::Info).create_with_context(Reasons::default());
    let client: BaseConsumer<Reasons> = client.map_err(|error| storage("connect to Kafka", &error))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match client.fetch_metadata(None, STEP) {
            Ok(present) => return Ok(present),
            Err(error) => error,
        };
        // Has what happened meanwhile told to the context.
        while client.poll(TOLD_WITHIN).is_some() {}
        let reasons = client.context();
        if reasons.is_refused() || Instant::now() > deadline {
            let reason = reasons.last().unwrap_or_else(|| error.to_string());
            // What a listener for TLS does with the first words of a client in plain text.
            let is_hung_up_on = reason.contains("Disconnected") && reason.contains("APIVERSION_QUERY");
            let advice = if is_hung_up_on { "; does this listener ask for TLS (security.protocol)?" } else { "" };
            let cause = format!("{}: {reason}{advice}", options.brokers);
            return Err(storage("reach the brokers", &cause));
        }
    }
}

/// Why brokers were not reached, as librdkafka tells it: which of them, what happened, and what is probably set wrong.
#[derive(Default)]
struct Reasons(Mutex<BTreeMap<Weight, String>>);

/// What to believe when several things were told: the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// What follows from others, such as that no broker is left.
    Consequence,
    /// A connection failed, which the next one may not.
    Connection,
    /// Certificates or credentials do not fit; they will not fit in a second either.
    Refusal,
}

impl Reasons {
    fn last(&self) -> Option<String> {
        lock(&self.0).last_key_value().map(|(_, reason)| reason.clone())
    }

    fn is_refused(&self) -> bool {
        lock(&self.0).contains_key(&Weight::Refusal)
    }
}

impl ClientContext for Reasons {
    fn error(&self, error: KafkaError, reason: &str) {
        let weight = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => Weight::Refusal,
            Some(RDKafkaErrorCode::AllBrokersDown) => Weight::Consequence,
            _ => Weight::Connection,
        };
        lock(&self.0).insert(weight, reason.to_owned());
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
        if facility == "FAIL" {
            // In front of it stands the thread that says it.
            let reason = message.split_once("]: ").map_or(message, |(_, reason)| reason);
            lock(&self.0).insert(Weight::Connection, reason.to_owned());
        }
    }
}

impl ConsumerContext for Reasons {}

fn events(layout: TopicLayout, options: &KafkaOptions) -> Wanted {
    let kept = options.retention.get(&layout.topic).copied().unwrap_or_default();
    let or_ever = |limit: Option<u128>| limit.map_or_else(|| "-1".to_owned(), |limit| limit.to_string());
    let settings = BTreeMap::from([
        // Offsets are dense and records immutable: nothing is compacted, and times are the log's.
        ("cleanup.policy", "delete".to_owned()),
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("min.insync.replicas", options.min_insync.to_string()),
        ("retention.ms", or_ever(kept.max_age.map(|age| age.as_millis()))),
        (
            "retention.bytes",
            or_ever(kept.max_bytes.map(|bytes| u128::from(bytes) / u128::from(layout.partitions.max(1)))),
        ),
        ("max.message.bytes", (MAX_RECORD_BYTES + 64 * 1024).to_string()),
    ]);
    Wanted { name: options.topic_name(layout.topic), partitions: layout.partitions, settings }
}

fn progress(options: &KafkaOptions) -> Wanted {
    let settings = BTreeMap::from([
        ("cleanup.policy", "compact".to_owned()),
        // What is behind the newest segment is compacted, and every process reads all of it when it starts.
        ("segment.bytes", (16 * 1024 * 1024).to_string()),
        ("min.insync.replicas", options.min_insync.to_string()),
    ]);
    Wanted { name: options.progress_name(), partitions: 1, settings }
}

fn make(
    admin: &AdminClient<impl ClientContext + 'static>,
    topics: &[&Wanted],
    options: &KafkaOptions,
) -> Result<(), LogError> {
    if topics.is_empty() {
        return Ok(());
    }
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|topic| {
            // Both are small numbers; what Kafka cannot take it refuses.
            let replication = TopicReplication::Fixed(options.replication as i32);
            let new = NewTopic::new(&topic.name, topic.partitions as i32, replication);
            topic.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
        })
        .collect();
    let made = block_on(admin.create_topics(&new, &AdminOptions::new().operation_timeout(Some(PATIENCE))));
    for result in made.map_err(|error| storage("make topics", &error))? {
        match result {
            // Another process that starts now was quicker; it makes them alike.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(storage("make topics", &format!("{topic}: {code}"))),
        }
    }
    Ok(())
}

fn check_settings(admin: &AdminClient<impl ClientContext + 'static>, topics: &[&Wanted]) -> Result<(), LogError> {
    if topics.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let described = block_on(admin.describe_configs(&named, &AdminOptions::new().request_timeout(Some(PATIENCE))));
    let described = described.map_err(|error| storage("ask for the settings of topics", &error))?;
    for (topic, found) in topics.iter().zip(described) {
        let found = found.map_err(|code| storage("ask for the settings of topics", &code))?;
        for (name, value) in &topic.settings {
            let is = found.get(name).and_then(|entry| entry.value.as_deref());
            if is != Some(value) {
                let is = is.unwrap_or("not set");
                return Err(unfit(topic, &format!("{name} is {is} instead of {value}")));
            }
        }
    }
    Ok(())
}

fn unfit(topic: &Wanted, difference: &str) -> LogError {
    LogError::UnfitTopic { topic: topic.name.clone(), difference: difference.to_owned() }
}
