//! Topics: made as the options ask for, or found to be so.
//!
//! Owns: what a topic must be for the contract to hold.
//! Never: alters a topic that exists. Somebody made it as it is, and may depend on it.

use std::{collections::BTreeMap, time::Duration};

use pollster::block_on;
use rdkafka::{
    ClientContext,
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::RDKafkaErrorCode,
};

use super::{KafkaOptions, MAX_RECORD_BYTES, storage};
use crate::{log::LogError, record::TopicLayout};

/// How long the brokers may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let admin: AdminClient<_> = options.client().create().map_err(|error| storage("connect to Kafka", &error))?;
    let present = admin.inner().fetch_metadata(None, PATIENCE);
    let present = present.map_err(|error| storage("reach the brokers", &error))?;
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
