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
//! A follower in every process reads everything in order. Positions that it has passed are readable from memory; what has left
//! the memory is fetched again by cursors.
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
mod topics;
mod transfer;
mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Partition, Position, Topic};
use rdkafka::{ClientConfig, producer::Producer as _};
pub use transfer::KafkaTransfer;

use self::{
    appends::{Appends, Producer, Settled},
    cursors::Cursors,
    follower::{Follower, Tail},
};
use crate::{
    embedded::Retention,
    lock::lock,
    log::{AppendError, Appending, Log, LogError},
    record::{
        Batch, Bounds, NewRecord, ProcessorProgress, ReadLimit, Receipt, Record, StoredProgress, TopicLayout,
        partition_of,
    },
    room::{Capacity, Room},
    signal::Signal,
};

/// The largest record, in bytes with its key and headers.
pub const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;
/// How long a read waits for what is known to be on the log before it says that the brokers do not send it.
const LONGEST_FETCH: Duration = Duration::from_secs(30);
/// How long closing waits for what was sequenced.
const LONGEST_FLUSH: Duration = Duration::from_secs(30);

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
    /// Further settings of librdkafka for every client, such as TLS and SASL.
    pub client: BTreeMap<String, String>,
    /// How much may wait to be acknowledged.
    pub capacity: Capacity,
    /// How much of each partition is held in memory, in bytes.
    pub tail_bytes: usize,
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
            client: BTreeMap::new(),
            capacity: Capacity { items: 8192, bytes: 64 * 1024 * 1024 },
            tail_bytes: 8 * 1024 * 1024,
        }
    }
}

impl KafkaOptions {
    /// The name of the Kafka topic for one of ours.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    fn progress_name(&self) -> String {
        format!("{}progress", self.prefix)
    }

    /// What all clients are configured with.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "meshlog");
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config
    }
}

/// A log on Kafka. See [`Log`] for the contract.
pub struct KafkaLog {
    layout: Vec<TopicLayout>,
    names: BTreeMap<Topic, String>,
    shared: Arc<Shared>,
    producer: Arc<Producer>,
    cursors: Cursors,
    settled: mpsc::Sender<Settled>,
    threads: Vec<JoinHandle<()>>,
}

/// What the clients' threads and the callers share.
struct Shared {
    partitions: BTreeMap<Partition, Held>,
    appended: BTreeMap<Topic, Signal>,
    appends: Appends,
    /// By processor, with the offset of the message that said it.
    progress: Mutex<HashMap<String, (i64, StoredProgress)>>,
    /// What was sent last of a processor's progress, while any of it is under way, and how often.
    sent: Mutex<HashMap<String, (usize, StoredProgress)>>,
    room: Room,
    /// Why no more appends are taken.
    stopped: Mutex<Option<String>>,
    is_dropped: AtomicBool,
}

/// What is known of a partition.
struct Held {
    tail: Mutex<Tail>,
    /// Notified when the tail has moved on.
    moved: Condvar,
    /// Behind the last record that was acknowledged to this process.
    acknowledged: AtomicU64,
    /// The first offset that is kept.
    start: AtomicU64,
}

impl Held {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.tail)
    }

    fn bounds(&self) -> Bounds {
        let end = self.tail().next.max(self.acknowledged.load(Ordering::Acquire));
        Bounds { start: self.start.load(Ordering::Acquire).min(end), end }
    }
}

impl Shared {
    fn held(&self, partition: Partition) -> Result<&Held, LogError> {
        self.partitions.get(&partition).ok_or(LogError::NoPartition(partition))
    }

    fn progress_of(&self, processor: &str) -> StoredProgress {
        lock(&self.progress).get(processor).map(|(_, stored)| stored.clone()).unwrap_or_default()
    }

    /// All that is to be said of a processor with this progress: a message takes the place of those before, also of one that
    /// is still under way.
    fn progress_to_send(&self, progress: ProcessorProgress) -> StoredProgress {
        let known = self.progress_of(&progress.processor);
        let mut sent = lock(&self.sent);
        let (under_way, stored) = sent.entry(progress.processor.clone()).or_insert_with(|| (0, known.clone()));
        *under_way += 1;
        known.checkpoints.iter().for_each(|(partition, next)| stored.checkpoints.advance(partition, next));
        stored.merge(progress);
        stored.clone()
    }

    /// One of the messages about a processor's progress is under way no more.
    fn progress_has_arrived(&self, processor: &str) {
        let mut sent = lock(&self.sent);
        if let Some((under_way, _)) = sent.get_mut(processor) {
            *under_way -= 1;
            if *under_way == 0 {
                sent.remove(processor);
            }
        }
    }

    /// A message about a processor's progress stands at `offset`. The last one counts; deliveries and the follower come by
    /// the same one, and not in one order.
    fn has_progressed(&self, processor: String, offset: i64, mut stored: StoredProgress) {
        let mut progress = lock(&self.progress);
        let (last, known) = progress.entry(processor).or_insert_with(|| (-1, StoredProgress::default()));
        if offset > *last {
            known.checkpoints.iter().for_each(|(partition, next)| stored.checkpoints.advance(partition, next));
            (*last, *known) = (offset, stored);
        }
    }

    /// Takes no more appends.
    fn stop(&self, reason: String) {
        lock(&self.stopped).get_or_insert(reason);
        self.room.close();
    }
}

impl KafkaLog {
    /// Connects, makes the topics that are not there, checks those that are, and reads what this process needs to know of
    /// them. The time this takes grows with what is on the topics.
    ///
    /// # Errors
    /// The brokers are not reached, or a topic is not as the options ask for; it is then left as it is.
    pub fn open(layout: Vec<TopicLayout>, options: &KafkaOptions) -> Result<Self, LogError> {
        topics::ensure(&layout, options)?;
        let names = layout.iter().map(|layout| (layout.topic, options.topic_name(layout.topic))).collect();
        let partitions = layout.iter().flat_map(|layout| {
            (0..layout.partitions).map(|id| {
                (
                    Partition { topic: layout.topic, id },
                    Held {
                        tail: Mutex::new(Tail::new(options.tail_bytes)),
                        moved: Condvar::new(),
                        acknowledged: AtomicU64::new(0),
                        start: AtomicU64::new(0),
                    },
                )
            })
        });
        let (settled, settling) = mpsc::channel();
        let shared = Arc::new(Shared {
            partitions: partitions.collect(),
            appended: layout.iter().map(|layout| (layout.topic, Signal::default())).collect(),
            appends: Appends::new(settled.clone()),
            progress: Mutex::default(),
            sent: Mutex::default(),
            room: Room::new(options.capacity),
            stopped: Mutex::default(),
            is_dropped: AtomicBool::new(false),
        });
        let producer = Arc::new(appends::producer(options, shared.clone())?);
        let (follower, ready) = Follower::open(options, &layout, shared.clone())?;
        let cursors = Cursors::new(options);
        let mut log = Self { layout, names, shared, producer, cursors, settled, threads: Vec::new() };
        log.start_thread("kafka-follow", move || follower.run())?;
        let (shared, producer) = (log.shared.clone(), log.producer.clone());
        let topic = options.progress_name();
        log.start_thread("kafka-progress", move || appends::settle(&settling, &shared, &producer, &topic))?;
        ready.wait()?;
        Ok(log)
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
        let answer = self.shared.appends.send(batch, permit, &self.producer, place);
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
        while tail.reaches_back_to(from) {
            if tail.next >= end {
                return up_to_a_gap(partition, from, tail.read(from, limit));
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
        up_to_a_gap(partition, from, records)
    }

    fn appended(&self, topic: Topic) -> &Signal {
        &self.shared.appended[&topic]
    }

    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
        Ok(self.shared.progress_of(processor))
    }

    fn stopped(&self) -> Option<String> {
        lock(&self.shared.stopped).clone()
    }

    fn close(&self) {
        self.shared.stop("it was closed".to_owned());
        if let Err(error) = self.producer.flush(LONGEST_FLUSH) {
            tracing::warn!(%error, "not all that was sequenced could be written; none of it was acknowledged");
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
        self.shared.is_dropped.store(true, Ordering::Release);
        // Its receiver is alive until it has this.
        let _ = self.settled.send(Settled::Stop);
        for thread in self.threads.drain(..) {
            // A thread that panicked has acknowledged nothing that is not durable.
            let _ = thread.join();
        }
    }
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
mod tests;
