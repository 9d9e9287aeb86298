//! The follower: reads every partition in order, from its start and for good.
//!
//! Owns: the newest records of each partition in memory, how far they are known, and the rings that follow.
//! Never: commits an offset, or joins a group: every process follows everything by itself.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Partition, Topic};
use rdkafka::{
    ClientConfig, Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
    util::Timeout,
};

use super::{KafkaOptions, Shared, storage, wire};
use crate::{
    log::LogError,
    record::{ReadLimit, Record, TopicLayout},
};

/// How long the brokers may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits at the end before it looks whether it should end.
const PAUSE: Duration = Duration::from_millis(100);
/// After how many records it rings, if they come without a pause.
const TELL_AFTER: usize = 256;
/// How often it asks where partitions start, which retention moves on.
const STARTS_EVERY: Duration = Duration::from_secs(30);

/// The newest records of a partition.
pub(super) struct Tail {
    records: VecDeque<Record>,
    bytes: usize,
    limit: usize,
    /// Behind the last record that was read.
    pub(super) next: Offset,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, limit, next: 0 }
    }

    /// Whether everything from `from` on is here, as far as anything is.
    pub(super) fn reaches_back_to(&self, from: Offset) -> bool {
        self.records.front().map_or(self.next, |first| first.position.offset) <= from
    }

    /// Records from `from` on. At least one, if there is one.
    pub(super) fn read(&self, from: Offset, limit: ReadLimit) -> Vec<Record> {
        let first = self.records.partition_point(|record| record.position.offset < from);
        let mut bytes = 0;
        let within = |record: &&Record| {
            let fits = bytes == 0 || bytes < limit.bytes;
            bytes += size(record);
            fits
        };
        self.records.range(first..).take(limit.records).take_while(within).cloned().collect()
    }

    fn push(&mut self, record: Record) {
        self.next = record.position.offset + 1;
        self.bytes += size(&record);
        self.records.push_back(record);
        while self.bytes > self.limit && self.records.len() > 1 {
            self.bytes -= self.records.pop_front().as_ref().map_or(0, size);
        }
    }
}

/// What a record counts against a bound by bytes.
pub(super) fn size(record: &Record) -> usize {
    record.key.len() + record.headers.packed().len() + record.body.len() + 64
}

/// Reads everything, in a thread of its own.
pub(super) struct Follower {
    consumer: BaseConsumer,
    shared: Arc<Shared>,
    topics: HashMap<String, Topic>,
    progress: String,
    /// What stood on the topics when it was opened, by topic name and partition, and is not read yet.
    missing: HashMap<(String, i32), Offset>,
    is_ready: mpsc::Sender<()>,
}

/// Waits until the follower has read what was there when it was opened.
pub(super) struct Ready(mpsc::Receiver<()>);

impl Ready {
    /// # Errors
    /// The follower ended.
    pub(super) fn wait(&self) -> Result<(), LogError> {
        self.0.recv().map_err(|_| storage("read the topics", &"the thread that reads them ended; this is a bug"))
    }
}

/// What every consumer here is configured with.
pub(super) fn consumer(options: &KafkaOptions) -> ClientConfig {
    let mut config = options.client();
    config
        // Asked for by librdkafka; nobody joins it, and nothing is committed to it.
        .set("group.id", format!("{}unused", options.prefix))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("check.crcs", "true")
        // What is not there any more is said, not skipped.
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "16384");
    config
}

impl Follower {
    /// A follower, and what tells when it has read what is there now.
    ///
    /// # Errors
    /// The brokers are not reached.
    pub(super) fn open(
        options: &KafkaOptions,
        layout: &[TopicLayout],
        shared: Arc<Shared>,
    ) -> Result<(Self, Ready), LogError> {
        let consumer: BaseConsumer =
            consumer(options).create().map_err(|error| storage("make a Kafka consumer", &error))?;
        let topics: HashMap<_, _> = layout.iter().map(|one| (options.topic_name(one.topic), one.topic)).collect();
        let (is_ready, ready) = mpsc::channel();
        let progress = options.progress_name();
        let mut follower = Self { consumer, shared, topics, progress, missing: HashMap::new(), is_ready };
        let mut from = TopicPartitionList::new();
        for layout in layout {
            let name = options.topic_name(layout.topic);
            for id in 0..layout.partitions {
                let start = follower.begin(&mut from, &name, id as i32)?;
                let held = follower.shared.held(Partition { topic: layout.topic, id })?;
                held.start.store(start, Ordering::Release);
                held.tail().next = start;
            }
        }
        follower.begin(&mut from, &options.progress_name(), 0)?;
        follower.consumer.assign(&from).map_err(|error| storage("follow the topics", &error))?;
        Ok((follower, Ready(ready)))
    }

    /// Has a partition read from its start, which it answers.
    fn begin(&mut self, from: &mut TopicPartitionList, topic: &str, id: i32) -> Result<Offset, LogError> {
        let (start, end) = self.watermarks(topic, id)?;
        let added = from.add_partition_offset(topic, id, rdkafka::Offset::Offset(start));
        added.map_err(|error| storage("follow the topics", &error))?;
        if start < end {
            self.missing.insert((topic.to_owned(), id), end as Offset);
        }
        Ok(start.max(0) as Offset)
    }

    /// Where a partition begins and ends. A topic that was made just now has no leader for a moment, as has one whose broker
    /// was lost.
    fn watermarks(&self, topic: &str, id: i32) -> Result<(i64, i64), LogError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.consumer.fetch_watermarks(topic, id, PATIENCE) {
                Ok(marks) => return Ok(marks),
                Err(error) if Instant::now() > deadline => {
                    return Err(storage("ask where topics begin and end", &error));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Follows until the log is dropped.
    pub(super) fn run(mut self) {
        let mut touched = BTreeSet::new();
        let mut untold = 0;
        let mut starts_asked = Instant::now();
        self.tell_if_ready();
        while !self.shared.is_dropped.load(Ordering::Acquire) {
            let pause = if touched.is_empty() { PAUSE } else { Duration::ZERO };
            match self.consumer.poll(Timeout::After(pause)) {
                Some(Ok(message)) => {
                    if let Some(partition) = self.take(&message) {
                        touched.insert(partition.topic);
                        untold += 1;
                    }
                    if !self.missing.is_empty() {
                        let (place, next) = ((message.topic().to_owned(), message.partition()), message.offset() + 1);
                        drop(message);
                        if self.missing.get(&place).is_some_and(|end| next as Offset >= *end) {
                            self.missing.remove(&place);
                            self.tell_if_ready();
                        }
                    }
                }
                Some(Err(error)) => note(&error),
                None if touched.is_empty() => {
                    if starts_asked.elapsed() > STARTS_EVERY {
                        self.ask_for_starts();
                        starts_asked = Instant::now();
                    }
                }
                None => untold = TELL_AFTER,
            }
            if untold >= TELL_AFTER {
                std::mem::take(&mut touched).into_iter().for_each(|topic| self.shared.appended[&topic].ring());
                untold = 0;
            }
        }
    }

    fn tell_if_ready(&self) {
        if self.missing.is_empty() {
            // Opening may have been given up.
            let _ = self.is_ready.send(());
        }
    }

    /// Takes a message in; answers its partition if it is one of ours.
    fn take(&self, message: &BorrowedMessage<'_>) -> Option<Partition> {
        if message.topic() == self.progress {
            let processor = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            match wire::parse_progress(message.payload().unwrap_or_default()) {
                Some(found) => self.shared.has_progressed(processor, message.offset(), found),
                None => tracing::warn!(processor, "a message on the topic of progress is none; it is left out"),
            }
            return None;
        }
        let topic = *self.topics.get(message.topic())?;
        let partition = Partition { topic, id: u32::try_from(message.partition()).ok()? };
        let held = self.shared.held(partition).ok()?;
        let mut tail = held.tail();
        let not_before = tail.records.back().map_or(0, |last| last.appended_at);
        let (record, identity) = self.shared.wire.record(message, partition, not_before);
        let position = record.position;
        tail.push(record);
        drop(tail);
        held.moved.notify_all();
        if let Some(identity) = identity {
            self.shared.appends.seen((topic, identity), position);
        }
        Some(partition)
    }

    fn ask_for_starts(&self) {
        for (name, topic) in &self.topics {
            for (partition, held) in self.shared.partitions.iter().filter(|(partition, _)| partition.topic == *topic) {
                match self.consumer.fetch_watermarks(name, partition.id as i32, Duration::from_secs(1)) {
                    Ok((start, _)) => drop(held.start.fetch_max(start.max(0) as Offset, Ordering::AcqRel)),
                    Err(error) => return note(&error),
                }
            }
        }
    }
}

/// Whatever it is, librdkafka goes on trying.
fn note(error: &KafkaError) {
    tracing::warn!(%error, "the topics cannot be followed at the moment");
}
