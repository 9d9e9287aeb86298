//! A log on Kafka, opened to be moved: read with all that it keeps, written by position.
//!
//! ```text
//!   write -> producer (idempotent, acks=all), to a given partition -> delivered at the offset that it belongs to?
//!   read  -> one consumer, at one place of one partition
//! ```
//! A partition that does not begin at 0 is filled with placeholders up to where it begins, which are then deleted: Kafka gives
//! offsets by counting.
//!
//! Owns: these clients.
//! Never: keeps somebody else from appending, which Kafka cannot; it notices by the offsets. Nor does it join the follower or
//! the identities of [`super::KafkaLog`], which a move does not need.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Partition, Position, Topic};
use pollster::block_on;
use rdkafka::{
    ClientContext, Message as _, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};

use super::{KafkaOptions, LONGEST_FETCH, MAX_RECORD_BYTES, follower, storage, topics, up_to_a_gap, wire};
use crate::{
    lock::lock,
    log::{AppendError, LogError},
    record::{Bounds, Record, StoredProgress, TopicLayout},
    transfer::{TransferError, TransferSource, TransferTarget},
};

/// How long the brokers may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a poll waits.
const PAUSE: Duration = Duration::from_millis(100);
/// How many bytes may be on their way to the brokers.
const UNDER_WAY: usize = 64 * 1024 * 1024;
/// While the brokers are away, that is said so often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// What a message takes beside its key and body, roughly.
const OVERHEAD: usize = 512;
/// So long the end of a target that holds something must stand still before it is written: what a process that was killed had
/// sent a moment before may still arrive.
const STANDSTILL: Duration = Duration::from_secs(1);

/// A log on Kafka that is moved to another engine, or from one.
pub struct KafkaTransfer {
    options: KafkaOptions,
    layout: Vec<TopicLayout>,
    consumer: BaseConsumer,
    /// Asks where partitions end. A connection of its own: on the consumer's each answer would wait for a fetch.
    asker: BaseConsumer,
    /// What the consumer is at.
    reading: Option<Partition>,
    /// Where each partition was read to, and the time of the record before.
    places: BTreeMap<Partition, (Offset, i64)>,
    /// Of a target only.
    producer: Option<ThreadedProducer<Deliveries>>,
    deliveries: Deliveries,
    /// Behind the last record that was written.
    next: BTreeMap<Partition, Offset>,
}

impl KafkaTransfer {
    /// Connects to a log whose topics are there.
    ///
    /// # Errors
    /// The brokers are not reached, or there is no topic of a log.
    pub fn open(options: &KafkaOptions) -> Result<Self, LogError> {
        let mut opened = Self::connect(options, Vec::new())?;
        let found = opened.asker.fetch_metadata(None, PATIENCE);
        let found = found.map_err(|error| storage("reach the brokers", &error))?;
        let partitions = |topic: Topic| {
            let name = options.topic_name(topic);
            found.topics().iter().find(|found| found.name() == name).map(|found| found.partitions().len() as u32)
        };
        opened.layout = Topic::ALL
            .into_iter()
            .filter_map(|topic| Some(TopicLayout { topic, partitions: partitions(topic)? }))
            .collect();
        if opened.layout.is_empty() {
            let cause = format!("there is no topic {}", options.topic_name(Topic::Messages));
            return Err(storage("find the log on Kafka (see the prefix of its topics)", &cause));
        }
        Ok(opened)
    }

    /// Connects to a log that is to be written; makes the topics that are not there, and has those partitions begin at
    /// `starts` that hold nothing yet.
    ///
    /// # Errors
    /// The brokers are not reached or refuse, or a topic is not as the options ask for.
    pub fn open_or_make(
        options: &KafkaOptions,
        layout: &[TopicLayout],
        starts: &BTreeMap<Partition, Offset>,
    ) -> Result<Self, TransferError> {
        topics::ensure(layout, options)?;
        let mut opened = Self::connect(options, layout.to_vec())?;
        opened.producer = Some(producer(options, opened.deliveries.clone())?);
        opened.await_standstill()?;
        for (partition, start) in starts {
            opened.begin_at(*partition, *start)?;
        }
        Ok(opened)
    }

    fn connect(options: &KafkaOptions, layout: Vec<TopicLayout>) -> Result<Self, LogError> {
        let mut config = follower::consumer(options);
        // The end of a partition whose last messages were compacted away is not known otherwise. And nothing is waited for:
        // what is read is there.
        config.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "10");
        let create = || config.create().map_err(|error| storage("make a Kafka consumer", &error));
        Ok(Self {
            consumer: create()?,
            asker: create()?,
            producer: None,
            options: options.clone(),
            layout,
            reading: None,
            places: BTreeMap::new(),
            deliveries: Deliveries::default(),
            next: BTreeMap::new(),
        })
    }

    /// Waits until nothing more arrives of what was sent before.
    fn await_standstill(&self) -> Result<(), LogError> {
        let ends = || -> Result<Vec<Bounds>, LogError> {
            self.partitions().into_iter().map(|partition| self.bounds_of(partition)).collect()
        };
        let mut before = ends()?;
        while before.iter().any(|bounds| bounds.end > 0) {
            std::thread::sleep(STANDSTILL);
            let now = ends()?;
            if now == before {
                break;
            }
            before = now;
        }
        Ok(())
    }

    fn partitions(&self) -> Vec<Partition> {
        let of = |layout: &TopicLayout| {
            let topic = layout.topic;
            (0..layout.partitions).map(move |id| Partition { topic, id })
        };
        self.layout.iter().flat_map(of).collect()
    }

    fn bounds_of(&self, partition: Partition) -> Result<Bounds, LogError> {
        let topic = self.options.topic_name(partition.topic);
        let (start, end) = follower::begin_and_end(&self.asker, &topic, partition.id)?;
        Ok(Bounds { start, end })
    }

    /// Has a partition that holds nothing, or a part of the placeholders, begin at `start`. One that holds anything else is
    /// left as it is; whoever compares will find it.
    fn begin_at(&mut self, partition: Partition, start: Offset) -> Result<(), TransferError> {
        let Bounds { start: low, end: high } = self.bounds_of(partition)?;
        if low >= start || high > start || !self.holds_only_placeholders(partition, low..high)? {
            return Ok(());
        }
        tracing::info!(
            %partition,
            start,
            "the partition begins behind offset 0; placeholders are written up to there and deleted"
        );
        let topic = self.options.topic_name(partition.topic);
        for offset in high..start {
            let wanted = Some(Position { partition, offset });
            let message: BaseRecord<'_, [u8], [u8], Box<Wanted>> =
                BaseRecord::with_opaque_to(&topic, Box::new(wanted)).partition(partition.id as i32);
            self.send(message.headers(wire::placeholder()), 0)?;
        }
        self.flush()?;
        let admin: AdminClient<DefaultClientContext> =
            self.options.client().create().map_err(|error| storage("connect to Kafka", &error))?;
        let mut before = TopicPartitionList::new();
        let added = before.add_partition_offset(&topic, partition.id as i32, rdkafka::Offset::Offset(start as i64));
        added.map_err(|error| storage("delete placeholders", &error))?;
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = block_on(admin.delete_records(&before, &options));
        let deleted = deleted.and_then(|deleted| deleted.elements().iter().try_for_each(|one| one.error()));
        deleted.map_err(|error| storage("delete placeholders", &error))?;
        Ok(())
    }

    fn holds_only_placeholders(&mut self, partition: Partition, range: Range<Offset>) -> Result<bool, LogError> {
        let mut next = range.start;
        while next < range.end {
            for message in self.fetch(partition, next..range.end, UNDER_WAY)? {
                next = message.position.offset + 1;
                if !wire::is_placeholder(&message.headers) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Reads on in one partition, or begins to.
    fn fetch(&mut self, partition: Partition, range: Range<Offset>, bytes: usize) -> Result<Vec<Record>, LogError> {
        let known = self.places.get(&partition).filter(|(next, _)| *next == range.start);
        let mut not_before = known.map_or(0, |(_, appended_at)| *appended_at);
        if known.is_none() || self.reading != Some(partition) {
            let mut place = TopicPartitionList::new();
            let offset = rdkafka::Offset::Offset(range.start as i64);
            let topic = self.options.topic_name(partition.topic);
            let assigned = place.add_partition_offset(&topic, partition.id as i32, offset);
            let assigned = assigned.and_then(|()| self.consumer.assign(&place));
            assigned.map_err(|error| storage("read a topic", &error))?;
            self.reading = Some(partition);
        }
        let deadline = Instant::now() + LONGEST_FETCH;
        let (mut records, mut taken) = (Vec::new(), 0);
        let mut next = range.start;
        while next < range.end && (taken == 0 || taken < bytes) {
            match self.consumer.poll(PAUSE) {
                Some(Ok(message)) => {
                    let (record, _) = wire::record(&message, partition, not_before);
                    next = record.position.offset + 1;
                    not_before = record.appended_at;
                    taken += record.size();
                    records.push(record);
                }
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                ))) => {
                    self.reading = None;
                    let Bounds { start, end } = self.bounds_of(partition)?;
                    return Err(LogError::OutOfRange { partition, from: next, start, end });
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => tracing::debug!(%error, %partition, "a consumer waits"),
            }
            if Instant::now() > deadline {
                if records.is_empty() {
                    return Err(storage("fetch from Kafka", &format!("offset {next} of {partition} did not come")));
                }
                break;
            }
        }
        self.places.insert(partition, (next, not_before));
        Ok(records)
    }

    /// Hands a message to the producer, once there is room for its `bytes`.
    fn send(&self, message: BaseRecord<'_, [u8], [u8], Box<Wanted>>, bytes: usize) -> Result<(), TransferError> {
        self.deliveries.enter(bytes + OVERHEAD).map_err(|failure| self.error_of(failure))?;
        let refused = |error: KafkaError| {
            self.deliveries.leave(bytes + OVERHEAD, None);
            self.error_of(Failure::Refused(error))
        };
        let Some(producer) = &self.producer else { return Err(refused(KafkaError::Canceled)) };
        producer.send(message).map_err(|(error, _)| refused(error))
    }

    fn error_of(&self, failure: Failure) -> TransferError {
        match failure {
            Failure::Refused(error) => {
                AppendError::Stopped { reason: format!("Kafka did not take it: {error}") }.into()
            }
            Failure::Displaced { partition, wanted: offset, given } => {
                TransferError::Displaced { position: Position { partition, offset }, given }
            }
        }
    }
}

/// What a message carries to its delivery: where it belongs. `None`: its offset does not matter.
type Wanted = Option<Position>;

/// Takes deliveries in, and bounds what is under way.
#[derive(Clone, Default)]
struct Deliveries(Arc<(Mutex<UnderWay>, Condvar)>);

#[derive(Default)]
struct UnderWay {
    bytes: usize,
    failure: Option<Failure>,
    /// When trouble was last said.
    warned: Option<Instant>,
}

/// Why nothing more is to be written.
#[derive(Debug, Clone)]
enum Failure {
    Refused(KafkaError),
    Displaced { partition: Partition, wanted: Offset, given: Offset },
}

impl Deliveries {
    /// Waits until `bytes` more may be under way.
    fn enter(&self, bytes: usize) -> Result<(), Failure> {
        let mut under_way = self.await_while(|under_way| under_way.bytes > 0 && under_way.bytes + bytes > UNDER_WAY)?;
        under_way.bytes += bytes;
        Ok(())
    }

    fn await_all(&self) -> Result<(), Failure> {
        self.await_while(|under_way| under_way.bytes > 0).map(drop)
    }

    fn await_while(&self, holds: impl Fn(&UnderWay) -> bool) -> Result<MutexGuard<'_, UnderWay>, Failure> {
        let (under_way, bell) = &*self.0;
        let mut under_way = lock(under_way);
        loop {
            if let Some(failure) = &under_way.failure {
                return Err(failure.clone());
            }
            if !holds(&under_way) {
                return Ok(under_way);
            }
            under_way = bell.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self, bytes: usize, failure: Option<Failure>) {
        let (under_way, bell) = &*self.0;
        let mut under_way = lock(under_way);
        under_way.bytes = under_way.bytes.saturating_sub(bytes);
        if let Some(failure) = failure {
            under_way.failure.get_or_insert(failure);
        }
        // Not for each of them: who waits is woken once there is room for many.
        if under_way.bytes < UNDER_WAY / 2 || under_way.failure.is_some() {
            bell.notify_all();
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.leave(0, Some(Failure::Refused(error)));
            return;
        }
        let warned = &mut lock(&self.0.0).warned;
        if warned.is_none_or(|last| last.elapsed() > WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(%error, reason, "the Kafka producer has trouble; it goes on trying");
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Wanted>;

    fn delivery(&self, result: &DeliveryResult<'_>, wanted: Box<Wanted>) {
        let (message, failure) = match result {
            Ok(message) => {
                let given = message.offset().max(0) as Offset;
                let displaced = wanted.filter(|wanted| wanted.offset != given);
                let displaced = displaced.map(|Position { partition, offset: wanted }| Failure::Displaced {
                    partition,
                    wanted,
                    given,
                });
                (message, displaced)
            }
            Err((error, message)) => (message, Some(Failure::Refused(error.clone()))),
        };
        let bytes = message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len);
        self.leave(bytes + OVERHEAD, failure);
    }
}

/// A producer that sends in large batches, and gives up only when it must.
fn producer(options: &KafkaOptions, deliveries: Deliveries) -> Result<ThreadedProducer<Deliveries>, LogError> {
    let config = options.producer(&[("linger.ms", "20"), ("compression.type", "lz4")]);
    config.create_with_context(deliveries).map_err(|error| storage("make a Kafka producer", &error))
}

impl TransferSource for KafkaTransfer {
    fn layout(&self) -> &[TopicLayout] {
        &self.layout
    }

    fn bounds(&mut self, partition: Partition) -> Result<Bounds, LogError> {
        if !self.partitions().contains(&partition) {
            return Err(LogError::NoPartition(partition));
        }
        self.bounds_of(partition)
    }

    fn read(&mut self, partition: Partition, range: Range<Offset>, bytes: usize) -> Result<Vec<Record>, LogError> {
        let from = range.start;
        let records = self.fetch(partition, range, bytes)?;
        up_to_a_gap(partition, from, records)
    }

    fn progress(&mut self) -> Result<BTreeMap<String, StoredProgress>, LogError> {
        let topic = self.options.progress_name();
        let (start, end) = follower::begin_and_end(&self.asker, &topic, 0)?;
        let (start, end) = (start as i64, end as i64);
        let mut place = TopicPartitionList::new();
        let assigned = place.add_partition_offset(&topic, 0, rdkafka::Offset::Offset(start));
        let assigned = assigned.and_then(|()| self.consumer.assign(&place));
        assigned.map_err(|error| storage("read the progress of processors", &error))?;
        self.reading = None;
        let mut progress: BTreeMap<String, StoredProgress> = BTreeMap::new();
        let mut deadline = Instant::now() + LONGEST_FETCH;
        let mut next = start;
        while next < end {
            match self.consumer.poll(PAUSE) {
                Some(Ok(message)) => {
                    next = message.offset() + 1;
                    deadline = Instant::now() + LONGEST_FETCH;
                    let processor = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                    let Some(found) = wire::parse_progress(message.payload().unwrap_or_default()) else { continue };
                    let known = progress.entry(processor).or_default();
                    found.checkpoints.iter().for_each(|(partition, next)| known.checkpoints.advance(partition, next));
                    known.note = found.note;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => tracing::debug!(%error, topic, "a consumer waits"),
                None => {}
            }
            if Instant::now() > deadline {
                return Err(storage("fetch from Kafka", &format!("offset {next} of {topic} did not come")));
            }
        }
        Ok(progress)
    }
}

impl TransferTarget for KafkaTransfer {
    fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        let Some(first) = records.first().map(|record| record.position) else { return Ok(()) };
        let next = match self.next.get(&first.partition) {
            Some(next) => *next,
            None => self.bounds_of(first.partition)?.end,
        };
        if next != first.offset {
            return Err(TransferError::Displaced { position: first, given: next });
        }
        let topic = self.options.topic_name(first.partition.topic);
        self.next.insert(first.partition, first.offset + records.len() as u64);
        for record in records {
            let (actual, limit) = (record.size(), MAX_RECORD_BYTES);
            if actual > limit {
                return Err(TransferError::TooLong { position: record.position, actual, limit });
            }
            let message = BaseRecord::with_opaque_to(&topic, Box::new(Some(record.position)))
                .partition(first.partition.id as i32)
                .key(&*record.key)
                .payload(&*record.body)
                .headers(wire::moved_headers(&record));
            self.send(message, record.key.len() + record.body.len())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TransferError> {
        self.deliveries.await_all().map_err(|failure| self.error_of(failure))
    }

    fn set_progress(&mut self, processor: &str, progress: StoredProgress) -> Result<(), TransferError> {
        let (topic, body) = (self.options.progress_name(), wire::progress(&progress));
        let message = BaseRecord::with_opaque_to(&topic, Box::new(None)).partition(0);
        self.send(message.key(processor.as_bytes()).payload(&body[..]), processor.len() + body.len())?;
        self.flush()
    }
}
