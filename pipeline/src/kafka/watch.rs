//! The watch: has topics followed once somebody listens to them, and looks at the others now and then.
//!
//! Owns: where partitions start, where those end that are not followed, and whether the brokers answer.
//! Never: reads a record.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Partition, Topic};
use rdkafka::{
    TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
};

use super::{KafkaOptions, Shared, first_of, storage};
use crate::{lock::lock, log::LogError, record::TopicLayout};

/// How long the brokers may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks at the partitions that are not followed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it asks where followed partitions start, which retention moves on.
const STARTS_EVERY: Duration = Duration::from_secs(30);

/// Looks, in a thread of its own.
pub(super) struct Watch {
    /// The follower's.
    consumer: Arc<BaseConsumer>,
    asker: Arc<BaseConsumer>,
    shared: Arc<Shared>,
    names: BTreeMap<Topic, String>,
    progress: String,
}

/// Where a partition starts and ends.
///
/// # Errors
/// The brokers do not answer.
pub(super) fn watermarks(asker: &BaseConsumer, topic: &str, id: u32) -> Result<(Offset, Offset), LogError> {
    let mut marks = asker.fetch_watermarks(topic, id as i32, PATIENCE);
    if marks.is_err() {
        // After the loss of a broker librdkafka (2.12) may take a partition for unknown, and never ask again by itself.
        let _ = asker.fetch_metadata(Some(topic), PATIENCE);
        marks = asker.fetch_watermarks(topic, id as i32, PATIENCE);
    }
    let (start, end) = marks.map_err(|error| storage("ask the brokers where a topic begins and ends", &error))?;
    Ok((start.max(0) as Offset, end.max(0) as Offset))
}

impl Watch {
    /// A watch that has looked once.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub(super) fn open(
        options: &KafkaOptions,
        layout: &[TopicLayout],
        consumer: Arc<BaseConsumer>,
        asker: Arc<BaseConsumer>,
        shared: Arc<Shared>,
    ) -> Result<Self, LogError> {
        let names = layout.iter().map(|layout| (layout.topic, options.topic_name(layout.topic))).collect();
        let watch = Self { consumer, asker, shared, names, progress: options.progress_name() };
        watch.look(false)?;
        Ok(watch)
    }

    /// Looks until the log is dropped.
    pub(super) fn run(self) {
        let mut starts_asked = Instant::now();
        let mut is_index_written = true;
        while let Some(wanted) = self.wait() {
            let with_followed = starts_asked.elapsed() > STARTS_EVERY;
            let looked = self.follow(wanted).and_then(|()| self.look(with_followed));
            let flushed = self.shared.appends.taken().flush(false);
            match &flushed {
                Err(error) if is_index_written => {
                    tracing::warn!(%error, "identities are kept in memory until their index can be written again");
                }
                Ok(()) if !is_index_written => tracing::info!("the index of identities is written again"),
                _ => {}
            }
            is_index_written = flushed.is_ok();
            if with_followed && looked.is_ok() {
                starts_asked = Instant::now();
            }
            let mut unreachable = lock(&self.shared.unreachable);
            match (looked, &*unreachable) {
                (Ok(()), Some(_)) => {
                    tracing::info!("the brokers answer again");
                    *unreachable = None;
                }
                (Ok(()), None) => {}
                (Err(error), known) => {
                    if known.is_none() {
                        tracing::warn!(%error, "the brokers do not answer; it goes on once they do");
                    }
                    *unreachable = Some(error.to_string());
                }
            }
        }
    }

    /// Waits until something is wanted, or for the next look; `None` once the log is dropped.
    fn wait(&self) -> Option<BTreeSet<Topic>> {
        let shared = &self.shared;
        let mut wanted = lock(&shared.wanted);
        if wanted.is_empty() && !shared.is_dropped.load(Ordering::Acquire) {
            wanted = shared.wants.wait_timeout(wanted, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        (!shared.is_dropped.load(Ordering::Acquire)).then(|| std::mem::take(&mut *wanted))
    }

    /// Has topics followed from their present end on. Those that cannot be yet are wanted again.
    fn follow(&self, mut wanted: BTreeSet<Topic>) -> Result<(), LogError> {
        while let Some(topic) = wanted.first().copied() {
            if let Err(error) = self.follow_one(topic) {
                lock(&self.shared.wanted).append(&mut wanted);
                // Not at once again.
                std::thread::sleep(LOOK_EVERY);
                return Err(error);
            }
            wanted.remove(&topic);
            // Something may have come since its listeners looked last.
            self.shared.appended[&topic].signal.ring();
        }
        Ok(())
    }

    fn follow_one(&self, topic: Topic) -> Result<(), LogError> {
        let name = &self.names[&topic];
        let mut from = TopicPartitionList::new();
        let partitions: Vec<_> = self.of(topic).map(|(partition, held)| (*partition, held)).collect();
        for (partition, held) in &partitions {
            let (start, end) = watermarks(&self.asker, name, partition.id)?;
            held.start.fetch_max(start, Ordering::AcqRel);
            held.known_end.fetch_max(end, Ordering::AcqRel);
            let added = from.add_partition_offset(name, partition.id as i32, rdkafka::Offset::Offset(end as i64));
            added.map_err(|error| storage("follow a topic", &error))?;
            held.tail().next = end;
        }
        self.consumer.incremental_assign(&from).map_err(|error| storage("follow a topic", &error))?;
        partitions.iter().for_each(|(_, held)| held.tail().is_followed = true);
        Ok(())
    }

    fn of(&self, topic: Topic) -> impl Iterator<Item = (&Partition, &super::Held)> {
        self.shared.partitions.range(first_of(topic)..).take_while(move |(partition, _)| partition.topic == topic)
    }

    /// Asks where partitions start and end; of followed ones only now and then. At least one question is asked.
    fn look(&self, with_followed: bool) -> Result<(), LogError> {
        watermarks(&self.asker, &self.progress, 0)?;
        for (partition, held) in &self.shared.partitions {
            if held.tail().is_followed && !with_followed {
                continue;
            }
            let (start, end) = watermarks(&self.asker, &self.names[&partition.topic], partition.id)?;
            held.start.fetch_max(start, Ordering::AcqRel);
            held.known_end.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }
}
