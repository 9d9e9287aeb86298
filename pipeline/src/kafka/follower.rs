//! The follower: reads in order, and for good, the partitions that somebody listens to, those of topics with identities from
//! their start, the others from the moment that they are wanted (see [`super::watch`]).
//!
//! Owns: the newest records of each partition in memory, how far they are known, and the rings that follow.
//! Never: commits an offset, or joins a group: every process follows by itself.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Partition, Position, Topic};
use rdkafka::{
    ClientConfig, Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::BorrowedMessage,
    util::Timeout,
};

use super::{KafkaOptions, Shared, storage, taken::Identity, watch::watermarks, wire};
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

/// The newest records of a partition.
pub(super) struct Tail {
    records: VecDeque<Record>,
    bytes: usize,
    limit: usize,
    pub(super) is_followed: bool,
    /// Behind the last record that was read, if it is followed.
    pub(super) next: Offset,
}

impl Tail {
    pub(super) fn new(limit: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, limit, is_followed: false, next: 0 }
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
            bytes += record.size();
            fits
        };
        self.records.range(first..).take(limit.records).take_while(within).cloned().collect()
    }

    /// Takes in the next record. If offsets are missing in front of it, what was before them is let go: cursors say of the
    /// missing ones what became of them.
    fn push(&mut self, record: Record) {
        if record.position.offset != self.next {
            self.records.clear();
            self.bytes = 0;
        }
        self.next = record.position.offset + 1;
        self.bytes += record.size();
        self.records.push_back(record);
        while self.bytes > self.limit && self.records.len() > 1 {
            self.bytes -= self.records.pop_front().as_ref().map_or(0, Record::size);
        }
    }
}

/// Reads everything, in a thread of its own.
pub(super) struct Follower {
    consumer: Arc<BaseConsumer>,
    shared: Arc<Shared>,
    topics: HashMap<String, Topic>,
    progress: String,
    /// What stood on the topics when it was opened, by topic name and partition, and is not read yet.
    missing: HashMap<(String, i32), Offset>,
    /// The topics with identities.
    once: BTreeSet<Topic>,
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
        // Retention may overtake it; what it passes over it sees by the offsets.
        .set("auto.offset.reset", "earliest")
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
        consumer: Arc<BaseConsumer>,
        asker: &BaseConsumer,
        shared: Arc<Shared>,
    ) -> Result<(Self, Ready), LogError> {
        let topics: HashMap<_, _> = layout.iter().map(|one| (options.topic_name(one.topic), one.topic)).collect();
        let (is_ready, ready) = mpsc::channel();
        let progress = options.progress_name();
        let mut follower =
            Self { consumer, shared, topics, progress, missing: HashMap::new(), once: options.once.clone(), is_ready };
        let mut from = TopicPartitionList::new();
        let marks = follower.shared.appends.taken().marks();
        for layout in layout.iter().filter(|layout| options.once.contains(&layout.topic)) {
            let name = options.topic_name(layout.topic);
            for id in 0..layout.partitions {
                let partition = Partition { topic: layout.topic, id };
                let known = marks.get(&partition).map_or(0, |mark| mark.next);
                let (start, next, end) = follower.begin(asker, &mut from, &name, id, known)?;
                let held = follower.shared.held(partition)?;
                held.start.store(start, Ordering::Release);
                held.known_end.store(end, Ordering::Release);
                let mut tail = held.tail();
                (tail.is_followed, tail.next) = (true, next);
            }
            follower.shared.appended[&layout.topic].is_wanted.store(true, Ordering::Relaxed);
        }
        let (_, next, _) = follower.begin(asker, &mut from, &options.progress_name(), 0, 0)?;
        follower.shared.progress.is_read_to(next);
        let followed = follower.consumer.incremental_assign(&from);
        followed.map_err(|error| storage("follow the topics", &error))?;
        Ok((follower, Ready(ready)))
    }

    /// Has a partition read from its start, or from where it is known to; answers start, where it is read from, and end.
    fn begin(
        &mut self,
        asker: &BaseConsumer,
        from: &mut TopicPartitionList,
        topic: &str,
        id: u32,
        known: Offset,
    ) -> Result<(Offset, Offset, Offset), LogError> {
        let (start, end) = begin_and_end(asker, topic, id)?;
        let next = known.max(start);
        let added = from.add_partition_offset(topic, id as i32, rdkafka::Offset::Offset(next as i64));
        added.map_err(|error| storage("follow the topics", &error))?;
        if next < end {
            self.missing.insert((topic.to_owned(), id as i32), end);
        }
        Ok((start, next, end))
    }

    /// Follows until the log is dropped.
    pub(super) fn run(mut self) {
        let mut touched = BTreeSet::new();
        let mut untold = 0;
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
                // Whatever it is, librdkafka goes on trying.
                Some(Err(error)) => tracing::warn!(%error, "the topics cannot be followed at the moment"),
                None if touched.is_empty() => {}
                None => untold = TELL_AFTER,
            }
            if untold >= TELL_AFTER {
                std::mem::take(&mut touched).into_iter().for_each(|topic| self.shared.appended[&topic].signal.ring());
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
                Some(found) => self.shared.progress.learn(processor, message.offset(), found),
                None => tracing::warn!(processor, "a message on the topic of progress is none; it is left out"),
            }
            self.shared.progress.is_read_to(message.offset().max(0) as Offset + 1);
            return None;
        }
        let topic = *self.topics.get(message.topic())?;
        let partition = Partition { topic, id: u32::try_from(message.partition()).ok()? };
        let held = self.shared.held(partition).ok()?;
        let mut tail = held.tail();
        if (message.offset().max(0) as Offset) < tail.next {
            // The brokers lost what they had acknowledged, and begin again before it.
            tracing::error!(%partition, offset = message.offset(), expected = tail.next, "the topic was cut; left out");
            return None;
        }
        let not_before = tail.records.back().map_or(0, |last| last.appended_at);
        let (record, identity) = self.shared.wire.record(message, partition, not_before);
        let (position, appended_at) = (record.position, record.appended_at);
        tail.push(record);
        drop(tail);
        held.moved.notify_all();
        if self.once.contains(&topic) {
            self.tell_appends(identity.map(|identity| (topic, identity)), position, appended_at);
        }
        Some(partition)
    }

    /// Tells those who append of a record. Waits while the index of identities is closed.
    fn tell_appends(&self, identity: Option<Identity>, position: Position, appended_at: i64) {
        while let Err(error) = self.shared.appends.seen(identity, position, appended_at) {
            if error.kind() != io::ErrorKind::StorageFull {
                // Whether it is the first of its identity cannot be told any more.
                return self.shared.stop(error.to_string());
            }
            if self.shared.is_dropped.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Where a partition begins and ends. A topic that was made just now has no leader for a moment, as has one whose broker was
/// lost.
pub(super) fn begin_and_end(asker: &BaseConsumer, topic: &str, id: u32) -> Result<(Offset, Offset), LogError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match watermarks(asker, topic, id) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}
