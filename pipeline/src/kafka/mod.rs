//! The log on Apache Kafka: the same contract as the embedded log, for many machines.
//!
//! A record is one Kafka message: its key, its headers, its body, on the partition that [`partition_of`] names. What the
//! contract asks for beyond what Kafka has is built from topics too, so that every process comes to the same answer:
//!
//! ```text
//!   append -> producer (idempotent, acks=all) -> messages/2 -> follower -> tail in memory -> read, bounds, appended
//!                |                                                |  \--> identities: the first on the log wins
//!                \-- once its records are durable --> progress ---/-----> progress
//! ```
//!
//! A follower in every process reads in order what somebody in it listens to, and keeps the newest of it in memory; everything
//! else is fetched by cursors. A watch learns how far the other partitions go, and whether the brokers answer.
//!
//! Weaker than on the embedded log, because Kafka's transactions are not used (their control records would break dense
//! offsets, and librdkafka cannot yet fence them): a crash in the middle of a batch may leave a part of it, and records
//! without the progress that was appended with them, never the other way round. What is done again then has the same derived
//! ids.
//!
//! Owns: the clients, and what of the log is held in memory.
//! Never: alters a topic that exists, commits an offset to Kafka, or knows what a record means.

mod appends;
mod cursors;
mod follower;
mod group;
mod options;
mod progress;
mod registry;
mod taken;
mod topics;
mod transfer;
mod watch;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use meshlog_schemas::{Checkpoints, Offset, Partition, Position, Topic};
use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    producer::{Producer as _, PurgeConfig},
};

use self::{
    appends::{Appends, Producer, Settled},
    cursors::Cursors,
    follower::{Follower, Tail},
    progress::KnownProgress,
    taken::Taken,
    watch::Watch,
    wire::Wire,
};
use crate::{
    embedded::Retention,
    lock::lock,
    log::{AppendError, Appending, Log, LogError},
    record::{Batch, Bounds, NewRecord, ReadLimit, Receipt, Record, StoredProgress, TopicLayout, partition_of},
    room::Room,
    signal::Signal,
};

/// The largest record, in bytes with its key and headers.
pub const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;
/// How long a read waits for what is known to be on the log before it says that the brokers do not send it.
const LONGEST_FETCH: Duration = Duration::from_secs(30);
/// How long closing waits for what was sequenced.
const LONGEST_FLUSH: Duration = Duration::from_secs(15);
/// For how long nothing may be delivered, while something is under way, before that counts as trouble.
const STUCK_AFTER: Duration = Duration::from_secs(5);

pub use self::{
    group::{Membership, Share},
    options::{BodyFormat, KafkaOptions},
    transfer::KafkaTransfer,
};

/// A log on Kafka. See [`Log`] for the contract.
pub struct KafkaLog {
    layout: Vec<TopicLayout>,
    names: BTreeMap<Topic, String>,
    options: KafkaOptions,
    shared: Arc<Shared>,
    producer: Arc<Producer>,
    asker: Arc<BaseConsumer>,
    cursors: Cursors,
    settled: mpsc::Sender<Settled>,
    threads: Vec<JoinHandle<()>>,
}

/// What the clients' threads and the callers share.
struct Shared {
    wire: Arc<Wire>,
    partitions: BTreeMap<Partition, Held>,
    appended: BTreeMap<Topic, Appended>,
    appends: Appends,
    progress: KnownProgress,
    room: Room,
    /// Topics that are to be followed, and are not yet.
    wanted: Mutex<BTreeSet<Topic>>,
    /// Notified when there is something wanted.
    wants: Condvar,
    /// Why no more appends are taken.
    stopped: Mutex<Option<String>>,
    /// Why the brokers cannot be asked at the moment.
    unreachable: Mutex<Option<String>>,
    is_dropped: AtomicBool,
}

/// Who is to be told of appends to a topic.
#[derive(Default)]
struct Appended {
    signal: Signal,
    /// Whether somebody wants to be told: then the topic is followed.
    is_wanted: AtomicBool,
}

/// What is known of a partition.
struct Held {
    tail: Mutex<Tail>,
    /// Notified when the tail has moved on.
    moved: Condvar,
    /// What is known of the end from elsewhere: records acknowledged to this process, answers of the brokers.
    known_end: AtomicU64,
    /// The first offset that is kept.
    start: AtomicU64,
}

impl Held {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.tail)
    }

    fn bounds(&self) -> Bounds {
        let followed = Some(self.tail()).filter(|tail| tail.is_followed).map_or(0, |tail| tail.next);
        let end = self.known_end.load(Ordering::Acquire).max(followed);
        Bounds { start: self.start.load(Ordering::Acquire).min(end), end }
    }
}

impl Shared {
    fn held(&self, partition: Partition) -> Result<&Held, LogError> {
        self.partitions.get(&partition).ok_or(LogError::NoPartition(partition))
    }

    /// Why the log does not get on at the moment.
    fn trouble(&self) -> Option<String> {
        let unreachable = lock(&self.unreachable).clone();
        let stuck = || {
            let waiting = self.appends.stuck_for().filter(|waiting| *waiting > STUCK_AFTER)?;
            Some(format!("the brokers have acknowledged nothing for {} s", waiting.as_secs()))
        };
        unreachable.or_else(stuck)
    }

    /// Takes no more appends.
    fn stop(&self, reason: String) {
        lock(&self.stopped).get_or_insert(reason);
        self.room.close();
    }
}

impl KafkaLog {
    /// Connects, makes the topics that are not there, checks those that are, and reads what this process needs to know of
    /// them. The time this takes grows with what was appended to the topics of [`KafkaOptions::once`] and is not in the index
    /// of [`KafkaOptions::identities`].
    ///
    /// # Errors
    /// The brokers are not reached, or a topic is not as the options ask for; it is then left as it is.
    pub fn open(layout: Vec<TopicLayout>, options: &KafkaOptions) -> Result<Self, LogError> {
        let wire = Arc::new(Wire::open(options)?);
        topics::ensure(&layout, options)?;
        let names = layout.iter().map(|layout| (layout.topic, options.topic_name(layout.topic))).collect();
        let partitions = layout.iter().flat_map(|layout| {
            (0..layout.partitions).map(|id| {
                (
                    Partition { topic: layout.topic, id },
                    Held {
                        tail: Mutex::new(Tail::new(options.tail_bytes)),
                        moved: Condvar::new(),
                        known_end: AtomicU64::new(0),
                        start: AtomicU64::new(0),
                    },
                )
            })
        });
        let consumer = || -> Result<Arc<BaseConsumer>, LogError> {
            let consumer = follower::consumer(options).create();
            consumer.map(Arc::new).map_err(|error| storage("make a Kafka consumer", &error))
        };
        // Questions go over connections of their own: on the follower's each answer would wait for a fetch.
        let (consumer, asker) = (consumer()?, consumer()?);
        let cursors = Cursors::new(options, wire.clone());
        let taken = known_identities(options, &asker, &cursors)?;
        let (settled, settling) = mpsc::channel();
        let shared = Arc::new(Shared {
            wire,
            partitions: partitions.collect(),
            appended: layout.iter().map(|layout| (layout.topic, Appended::default())).collect(),
            appends: Appends::new(taken, settled.clone()),
            progress: KnownProgress::default(),
            room: Room::new(options.capacity),
            wanted: Mutex::default(),
            wants: Condvar::new(),
            stopped: Mutex::default(),
            unreachable: Mutex::default(),
            is_dropped: AtomicBool::new(false),
        });
        let producer = Arc::new(appends::producer(options, shared.clone())?);
        let (follower, ready) = Follower::open(options, &layout, consumer.clone(), &asker, shared.clone())?;
        let watch = Watch::open(options, &layout, consumer, asker.clone(), shared.clone())?;
        let (options, threads) = (options.clone(), Vec::new());
        let mut log = Self { layout, names, options, shared, producer, asker, cursors, settled, threads };
        log.start_thread("kafka-follow", move || follower.run())?;
        log.start_thread("kafka-watch", move || watch.run())?;
        let (shared, producer) = (log.shared.clone(), log.producer.clone());
        let topic = log.options.progress_name();
        log.start_thread("kafka-progress", move || appends::settle(&settling, &shared, &producer, &topic))?;
        ready.wait()?;
        Ok(log)
    }

    /// How long the events of a topic are kept.
    pub fn retention(&self, topic: Topic) -> Retention {
        self.options.retention.get(&topic).copied().unwrap_or_default()
    }

    /// What an acknowledgement promises, in one sentence.
    pub fn promise(&self) -> String {
        format!(
            "an acknowledged event is in the memory of at least {} of {} brokers, which write it to their disks when they \
             like: it survives the loss of all but one of these",
            self.options.min_insync, self.options.replication
        )
    }

    /// How far a stage is, by all who have its partitions, as far as this process knows by now.
    pub fn stage_checkpoints(&self, stage: &str) -> Checkpoints {
        self.shared.progress.stage(stage)
    }

    /// The names of all processors that have made progress.
    pub fn processors(&self) -> Vec<String> {
        self.shared.progress.processors()
    }

    /// Rung when a processor, here or elsewhere, has made progress.
    pub fn progressed(&self) -> &Signal {
        self.shared.progress.changed()
    }

    /// Takes part in a group that shares the partitions of a topic; see [`Share`].
    ///
    /// # Errors
    /// There is no such topic, or no consumer or thread can be had.
    pub fn join(&self, group: &str, topic: Topic, share: Arc<dyn Share>) -> Result<Membership, LogError> {
        let name = self.names.get(&topic).ok_or(LogError::NoPartition(Partition { topic, id: 0 }))?;
        Membership::begin(&self.options, group, topic, name, share)
    }

    fn start_thread(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        self.threads.push(thread.map_err(|cause| storage("start a thread", &cause))?);
        Ok(())
    }

    async fn append_all(&self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        if let Some(record) = batch.records.iter().find(|record| !self.names.contains_key(&record.topic)) {
            return Err(AppendError::NoTopic(record.topic));
        }
        let largest = batch.records.iter().map(NewRecord::size).max().unwrap_or(0);
        if largest > MAX_RECORD_BYTES {
            return Err(AppendError::TooLarge { actual: largest, limit: MAX_RECORD_BYTES });
        }
        let is_unknown = |record: &&NewRecord| record.identity.is_some() && !self.options.once.contains(&record.topic);
        if let Some(record) = batch.records.iter().find(is_unknown) {
            return Err(AppendError::NoTopic(record.topic));
        }
        if batch.records.is_empty() && batch.progress.is_none() {
            return Ok(Vec::new());
        }
        let permit = self.shared.room.enter(batch.size()).await;
        let stopped = || AppendError::Stopped { reason: self.stopped().unwrap_or_else(|| "it was closed".to_owned()) };
        let permit = permit.ok_or_else(stopped)?;
        let place = |topic: Topic, key: &[u8]| {
            let partitions =
                self.layout.iter().find(|layout| layout.topic == topic).map_or(1, |found| found.partitions);
            (partition_of(topic, key, partitions), self.names[&topic].as_str())
        };
        let answer = self.shared.appends.send(batch, permit, &self.shared.wire, &self.producer, place);
        // Only a process that ends lets go of an answer.
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Log for KafkaLog {
    fn layout(&self) -> &[TopicLayout] {
        &self.layout
    }

    fn append(&self, batch: Batch) -> Appending<'_> {
        Box::pin(self.append_all(batch))
    }

    fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        Ok(self.shared.held(partition)?.bounds())
    }

    fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let held = self.shared.held(partition)?;
        let Bounds { start, end } = held.bounds();
        if from < start || from > end {
            return Err(LogError::OutOfRange { partition, from, start, end });
        }
        if from == end || limit.records == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + LONGEST_FETCH;
        let mut tail = held.tail();
        // What it reaches back to moves on while it is waited for.
        while tail.is_followed && tail.reaches_back_to(from) {
            if tail.next >= end {
                let records = tail.read(from, limit);
                drop(tail);
                return Ok(self.shared.wire.resolve(up_to_a_gap(partition, from, records)?));
            }
            // Acknowledged to this process, and on its way to it.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let cause = format!("offsets {} to {end} of {partition} did not come", tail.next);
                return Err(LogError::Storage { action: "fetch from Kafka", cause });
            }
            tail = held.moved.wait_timeout(tail, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(tail);
        let records = self.cursors.read(&self.names[&partition.topic], partition, from, end, limit)?;
        Ok(self.shared.wire.resolve(up_to_a_gap(partition, from, records)?))
    }

    fn appended(&self, topic: Topic) -> &Signal {
        let appended = &self.shared.appended[&topic];
        if !appended.is_wanted.load(Ordering::Relaxed) && !appended.is_wanted.swap(true, Ordering::Relaxed) {
            lock(&self.shared.wanted).insert(topic);
            self.shared.wants.notify_all();
        }
        &appended.signal
    }

    fn synchronize(&self, topic: Topic) -> Result<(), LogError> {
        for (partition, held) in self.shared.partitions.range(first_of(topic)..) {
            if partition.topic != topic {
                break;
            }
            let (_, end) = watch::watermarks(&self.asker, &self.names[&topic], partition.id)?;
            held.known_end.fetch_max(end, Ordering::AcqRel);
        }
        Ok(())
    }

    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
        // Another process may have made it just now.
        let (_, end) = watch::watermarks(&self.asker, &self.options.progress_name(), 0)?;
        self.shared.progress.wait_until_read_to(end, LONGEST_FETCH).map_err(|read_to| {
            let cause = format!("offsets {read_to} to {end} of the progress of processors did not come");
            LogError::Storage { action: "fetch from Kafka", cause }
        })?;
        Ok(self.shared.progress.of(processor))
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    fn stopped(&self) -> Option<String> {
        lock(&self.shared.stopped).clone()
    }

    fn close(&self) {
        self.shared.stop("it was closed".to_owned());
        if let Err(error) = self.producer.flush(LONGEST_FLUSH) {
            tracing::warn!(%error, "not all that was sequenced could be written; none of it was acknowledged");
            // Whoever waits for it is told.
            self.producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
        if let Err(error) = self.shared.appends.taken().flush(true) {
            tracing::warn!(%error, "the next start reads again what was not written to the index of identities");
        }
        self.shared.is_dropped.store(true, Ordering::Release);
        self.shared.wants.notify_all();
        // Its receiver is alive until it has this.
        let _ = self.settled.send(Settled::Stop);
        for thread in self.threads.drain(..) {
            // A thread that panicked has acknowledged nothing that is not durable.
            let _ = thread.join();
        }
    }
}

/// The identities that are known from before, if what they were read from is still there.
fn known_identities(options: &KafkaOptions, asker: &BaseConsumer, cursors: &Cursors) -> Result<Taken, LogError> {
    let Some(path) = &options.identities else { return Ok(Taken::in_memory()) };
    let cluster = asker.client().fetch_cluster_id(LONGEST_FETCH).unwrap_or_default();
    let mut taken = Taken::open(path, format!("1 {cluster} {}", options.prefix))?;
    for (partition, mark) in taken.marks() {
        let name = options.topic_name(partition.topic);
        let (start, end) = watch::watermarks(asker, &name, partition.id)?;
        let last = mark.next.saturating_sub(1);
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let is_same = match (start..end).contains(&last) {
            true => cursors
                .read(&name, partition, last, last + 1, limit)?
                .first()
                .is_some_and(|record| record.position.offset == last && record.appended_at == mark.appended_at),
            false => mark.next <= end,
        };
        if !is_same {
            tracing::warn!(%partition, "the topic is another than the one whose identities are known; it is read anew");
            taken.forget(path)?;
            break;
        }
    }
    Ok(taken)
}

/// The first partition that a topic can have.
fn first_of(topic: Topic) -> Partition {
    Partition { topic, id: 0 }
}

/// The records in front of the first offset that is missing between them.
///
/// # Errors
/// `from` is missing: the brokers passed over it, because what it held was damaged or is no record (an end of a transaction).
fn up_to_a_gap(partition: Partition, from: Offset, mut records: Vec<Record>) -> Result<Vec<Record>, LogError> {
    let dense = records.iter().zip(from..).take_while(|(record, offset)| record.position.offset == *offset).count();
    if dense == 0 && !records.is_empty() {
        let cause = "the brokers send none at this offset, but later ones".to_owned();
        return Err(LogError::Corrupt { position: Position { partition, offset: from }, cause });
    }
    records.truncate(dense);
    Ok(records)
}

fn storage(action: &'static str, cause: &dyn std::fmt::Display) -> LogError {
    LogError::Storage { action, cause: cause.to_string() }
}

#[cfg(test)]
mod secured_tests;
#[cfg(test)]
mod tests;
