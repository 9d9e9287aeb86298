//! Groups: which process works on which partitions of a topic.
//!
//! Kafka's group protocol only shares the partitions out (cooperative-sticky: what need not move stays). Records are read
//! through the log, so nothing is fetched here: the partitions of a member are paused.
//!
//! A partition is given up only once nothing is at work on it. A member that was paused for longer than the session may come
//! back and find its partitions with another; what it still appends then has the same derived ids, and its checkpoints say
//! only what is so. See docs/kafka.md for why the order of a key holds even then.
//!
//! Owns: the membership. The offsets that it commits are for people who look with Kafka's tools; the truth is the progress.
//! Never: reads a record, or decides what is done with a partition.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use meshlog_schemas::{Checkpoints, Partition, Topic};
use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
};

use super::{KafkaOptions, follower, storage};
use crate::{lock::lock, log::LogError};

const PAUSE: Duration = Duration::from_millis(100);
/// How often the checkpoints are committed to the group.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// What a member does with the partitions that it has.
pub trait Share: Send + Sync + 'static {
    /// Makes the member's partitions exactly these. Called again and again: what could not be begun is tried at the next
    /// call.
    fn tend(&self, partitions: &BTreeSet<Partition>);

    /// Ends the work on partitions. When it returns, nothing is at work on them and what was done is on the log, as far as
    /// the brokers are there.
    fn give_up(&self, partitions: &BTreeSet<Partition>);

    /// How far each partition is.
    fn checkpoints(&self) -> Checkpoints;
}

/// A process's place in a group. Dropping it leaves the group, after the work on its partitions has ended.
pub struct Membership {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Member {
    group: String,
    topic: Topic,
    share: Arc<dyn Share>,
    has: Mutex<BTreeSet<Partition>>,
}

impl Member {
    fn partitions(&self, list: &TopicPartitionList) -> BTreeSet<Partition> {
        let id =
            |place: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| u32::try_from(place.partition()).ok();
        list.elements().into_iter().filter_map(id).map(|id| Partition { topic: self.topic, id }).collect()
    }
}

impl ClientContext for Member {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(group = self.group, %error, reason, "the group has trouble; it goes on trying");
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let partitions = self.partitions(list);
            let is_lost = consumer.assignment_lost();
            tracing::info!(group = self.group, partitions = ?ids(&partitions), is_lost, "partitions are given up");
            self.share.give_up(&partitions);
            lock(&self.has).retain(|partition| !partitions.contains(partition));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let partitions = self.partitions(list);
            if partitions.is_empty() {
                return;
            }
            tracing::info!(group = self.group, partitions = ?ids(&partitions), "partitions are taken over");
            if let Err(error) = consumer.pause(list) {
                tracing::warn!(%error, "a partition of the group is fetched for nothing");
            }
            lock(&self.has).extend(partitions);
        }
    }
}

impl Membership {
    pub(super) fn begin(
        options: &KafkaOptions,
        group: &str,
        topic: Topic,
        name: &str,
        share: Arc<dyn Share>,
    ) -> Result<Self, LogError> {
        let mut config = follower::consumer(options);
        config
            .set("group.id", format!("{}{group}", options.prefix))
            .set("partition.assignment.strategy", "cooperative-sticky")
            // A member that is gone is missed after this; one that is waited for only at a handover is not.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "1024");
        let member = Member { group: group.to_owned(), topic, share, has: Mutex::default() };
        let consumer: BaseConsumer<Member> =
            config.create_with_context(member).map_err(|error| storage("make a Kafka consumer", &error))?;
        consumer.subscribe(&[name]).map_err(|error| storage("join a group", &error))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, name) = (is_over.clone(), name.to_owned());
        let thread = std::thread::Builder::new()
            .name("kafka-group".to_owned())
            .spawn(move || take_part(&consumer, &name, &over))
            .map_err(|cause| storage("start a thread", &cause))?;
        Ok(Self { is_over, thread: Some(thread) })
    }

    /// Ends the work on this member's partitions and leaves the group. Safe to call twice.
    pub fn leave(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // One that panicked is missed by the group after a while.
            let _ = thread.join();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}

fn take_part(consumer: &BaseConsumer<Member>, name: &str, is_over: &AtomicBool) {
    let member = consumer.context();
    let mut committed = (Instant::now(), Checkpoints::default());
    while !is_over.load(Ordering::Acquire) {
        // Rebalances happen in here; everything that was fetched before its partition was paused is left out.
        if let Some(Err(error)) = consumer.poll(PAUSE) {
            tracing::debug!(%error, "a poll of the group failed");
        }
        let has = lock(&member.has).clone();
        member.share.tend(&has);
        if committed.0.elapsed() > COMMIT_EVERY {
            let now = member.share.checkpoints();
            if now != committed.1 {
                commit(consumer, name, &has, &now);
            }
            committed = (Instant::now(), now);
        }
    }
    let has = std::mem::take(&mut *lock(&member.has));
    member.share.give_up(&has);
    commit(consumer, name, &has, &member.share.checkpoints());
    consumer.unsubscribe();
}

/// For people who look with Kafka's tools; that it fails harms nothing.
fn commit(consumer: &BaseConsumer<Member>, name: &str, has: &BTreeSet<Partition>, checkpoints: &Checkpoints) {
    let mut list = TopicPartitionList::new();
    for partition in has {
        let offset = rdkafka::Offset::Offset(checkpoints.next(*partition) as i64);
        if list.add_partition_offset(name, partition.id as i32, offset).is_err() {
            return;
        }
    }
    if !has.is_empty()
        && let Err(error) = consumer.commit(&list, CommitMode::Async)
    {
        tracing::debug!(%error, "the group's offsets are not committed");
    }
}

fn ids(partitions: &BTreeSet<Partition>) -> Vec<u32> {
    partitions.iter().map(|partition| partition.id).collect()
}
