//! Appends: from a batch to the receipts of its records.
//!
//! ```text
//!   without identity:  send -> delivered at p                       -> receipt p
//!   with an identity:  send -> delivered at p, first seen at q <= p -> receipt q, a duplicate if q is not p
//!                      known before                                 -> receipt at once, nothing is sent
//! ```
//!
//! Several processes may append the same identity at the same time. So a record with one is answered only when the follower,
//! which sees all of them in the order of the partition, has come to the first.
//!
//! Owns: what is under way.
//! Never: answers before everything of a batch is durable; sends a processor's progress before the records it belongs to.

use std::{
    collections::hash_map::Entry,
    io,
    sync::{Arc, Mutex, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use meshlog_schemas::{Partition, Position, Topic};
use rdkafka::{
    ClientContext, Message as _,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use tokio::sync::oneshot;

use super::{
    KafkaOptions, Shared, storage,
    taken::{Identity, Mark, State, Taken},
    wire::{self, Wire},
};
use crate::{
    lock::lock,
    log::{AppendError, LogError},
    record::{Batch, NewRecord, ProcessorProgress, Receipt, StoredProgress},
    room::Permit,
};

pub(super) type Producer = ThreadedProducer<Deliveries>;

type Answer = Result<Vec<Receipt>, AppendError>;

/// What the thread that sends progress is told.
pub(super) enum Settled {
    /// All records of a batch with progress are durable.
    Batch(Arc<Pending>, ProcessorProgress),
    /// Nothing more comes.
    Stop,
}

/// A batch under way.
pub(super) struct Pending(Mutex<Unsettled>);

struct Unsettled {
    receipts: Vec<Option<Receipt>>,
    left: usize,
    failure: Option<AppendError>,
    progress: Option<ProcessorProgress>,
    answer: Option<oneshot::Sender<Answer>>,
    /// Given back with the answer.
    permit: Option<Permit>,
}

/// A place in a batch.
type Place = (Arc<Pending>, usize);

/// What is known of an identity.
pub(super) enum Slot {
    /// Where its first record stands.
    Stored(Position),
    Awaited(Box<Awaited>),
}

impl Slot {
    /// Where its first record stands, if that is known.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Slot::Stored(position) => Some(*position),
            Slot::Awaited(awaited) => awaited.seen,
        }
    }
}

/// An identity whose first record is on its way.
pub(super) struct Awaited {
    sender: Place,
    others: Vec<Place>,
    delivered: Option<Position>,
    seen: Option<Position>,
}

/// The batches under way and the identities that are taken.
pub(super) struct Appends {
    taken: Taken,
    settled: mpsc::Sender<Settled>,
    /// Batches under way, and since when they have waited for the brokers.
    waiting: Mutex<(usize, Option<Instant>)>,
}

impl Appends {
    pub(super) fn new(taken: Taken, settled: mpsc::Sender<Settled>) -> Self {
        Self { taken, settled, waiting: Mutex::default() }
    }

    /// The identities that are taken.
    pub(super) fn taken(&self) -> &Taken {
        &self.taken
    }

    /// For how long batches have been under way with nothing delivered.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        lock(&self.waiting).1.map(|since| since.elapsed())
    }

    fn begin_to_wait(&self) {
        let (batches, since) = &mut *lock(&self.waiting);
        *batches += 1;
        since.get_or_insert_with(Instant::now);
    }

    /// The brokers have answered; `ended` batches are under way no more.
    fn heard(&self, ended: usize) {
        let (batches, since) = &mut *lock(&self.waiting);
        *batches -= ended;
        *since = (*batches > 0).then(Instant::now);
    }

    /// Sequences a batch. `place_of` names the partition and the Kafka topic of a key.
    pub(super) fn send<'a>(
        &self,
        batch: Batch,
        permit: Permit,
        wire: &Wire,
        producer: &Producer,
        place_of: impl Fn(Topic, &[u8]) -> (Partition, &'a str),
    ) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let count = batch.records.len();
        let pending = Arc::new(Pending(Mutex::new(Unsettled {
            receipts: vec![None; count],
            // One more, so that the batch is not settled before all of it is sequenced.
            left: count + 1,
            failure: None,
            progress: batch.progress,
            answer: Some(answer),
            permit: Some(permit),
        })));
        self.begin_to_wait();
        // All of them are taken before any is sent, so that a batch is refused whole where it cannot be told what is taken.
        let mut new = Vec::with_capacity(count);
        let mut failure = None;
        for (index, record) in batch.records.iter().enumerate() {
            let identity = record.identity.map(|id| (record.topic, id)).filter(|_| failure.is_none());
            match identity.map_or(Ok(true), |identity| self.take(identity, &(pending.clone(), index))) {
                Ok(true) => new.push((index, identity)),
                Ok(false) => {}
                Err(error) => {
                    failure = Some(error);
                    new.push((index, None));
                }
            }
        }
        for (index, identity) in new {
            let (record, place) = (&batch.records[index], (pending.clone(), index));
            if let Some(failure) = &failure {
                self.delivered(&place, identity, Err(failure.clone()));
                continue;
            }
            let (partition, topic) = place_of(record.topic, &record.key);
            let delivery = Delivery::Record { place: place.clone(), identity, partition };
            if let Err((error, _)) = send(wire, producer, topic, partition, record, delivery) {
                // What comes behind it in the batch must not be there without it.
                let error = failed(&error);
                self.delivered(&place, identity, Err(error.clone()));
                failure = Some(error);
            }
        }
        self.settle_one(&pending, |_| {});
        answered
    }

    /// Takes an identity for the record in `place`, which is then to be sent. If it is taken already (`false`), the record is
    /// answered when it is known where the first one stands.
    ///
    /// # Errors
    /// It cannot be told whether it is taken. The record is not answered.
    fn take(&self, identity: Identity, place: &Place) -> Result<bool, AppendError> {
        let mut taken = self.taken.lock();
        match taken.slots.entry(identity) {
            Entry::Occupied(mut slot) => {
                match slot.get_mut() {
                    Slot::Stored(position) => {
                        let receipt = Receipt { position: *position, duplicate: true };
                        self.resolve(place, Ok(receipt));
                    }
                    Slot::Awaited(awaited) => awaited.others.push(place.clone()),
                }
                Ok(false)
            }
            Entry::Vacant(free) => {
                let known = self.taken.find(identity).map_err(|error| match error.kind() {
                    io::ErrorKind::StorageFull => AppendError::Full { reason: error.to_string() },
                    _ => AppendError::Stopped { reason: error.to_string() },
                })?;
                if let Some(position) = known {
                    self.resolve(place, Ok(Receipt { position, duplicate: true }));
                    return Ok(false);
                }
                let awaited = Awaited { sender: place.clone(), others: Vec::new(), delivered: None, seen: None };
                free.insert(Slot::Awaited(Box::new(awaited)));
                Ok(true)
            }
        }
    }

    /// A record of this process is durable, or will not be.
    fn delivered(&self, place: &Place, identity: Option<Identity>, result: Result<Position, AppendError>) {
        let Some(identity) = identity else {
            self.resolve(place, result.map(|position| Receipt { position, duplicate: false }));
            return;
        };
        let mut taken = self.taken.lock();
        match result {
            Err(failure) => self.fail_identity(&mut taken, identity, &failure),
            Ok(position) => {
                if let Some(Slot::Awaited(awaited)) = taken.slots.get_mut(&identity) {
                    awaited.delivered = Some(position);
                    self.decide(&mut taken, identity);
                }
            }
        }
    }

    /// The follower has come to a record of a topic with identities; this one's, if it has one.
    ///
    /// # Errors
    /// It cannot be told whether the identity was taken before.
    pub(super) fn seen(&self, identity: Option<Identity>, position: Position, appended_at: i64) -> io::Result<()> {
        let mut taken = self.taken.lock();
        if let Some(identity) = identity {
            match taken.slots.get_mut(&identity) {
                Some(Slot::Stored(_)) => {}
                Some(Slot::Awaited(awaited)) => {
                    awaited.seen.get_or_insert(position);
                    self.decide(&mut taken, identity);
                }
                None if self.taken.find(identity)?.is_none() => drop(taken.store(identity, position)),
                None => {}
            }
        }
        taken.passed(position.partition, Mark { next: position.offset + 1, appended_at });
        Ok(())
    }

    /// Answers once it is known where the identity stands first and where the record of this process stands.
    fn decide(&self, taken: &mut State, identity: Identity) {
        let Some(Slot::Awaited(awaited)) = taken.slots.get(&identity) else { return };
        let (Some(delivered), Some(position)) = (awaited.delivered, awaited.seen) else { return };
        let Some(Slot::Awaited(awaited)) = taken.store(identity, position) else { return };
        self.resolve(&awaited.sender, Ok(Receipt { position, duplicate: position != delivered }));
        for other in &awaited.others {
            self.resolve(other, Ok(Receipt { position, duplicate: true }));
        }
    }

    fn fail_identity(&self, taken: &mut State, identity: Identity, failure: &AppendError) {
        let Some(Slot::Awaited(awaited)) = taken.slots.remove(&identity) else { return };
        // Of another process it may be there all the same.
        if let Some(position) = awaited.seen {
            taken.store(identity, position);
        }
        for place in std::iter::once(&awaited.sender).chain(&awaited.others) {
            let found = awaited.seen.map(|position| Receipt { position, duplicate: true });
            self.resolve(place, found.ok_or_else(|| failure.clone()));
        }
    }

    fn resolve(&self, (pending, index): &Place, result: Result<Receipt, AppendError>) {
        self.settle_one(pending, |unsettled| match result {
            Ok(receipt) => unsettled.receipts[*index] = Some(receipt),
            Err(failure) => drop(unsettled.failure.get_or_insert(failure)),
        });
    }

    fn settle_one(&self, pending: &Arc<Pending>, settle: impl FnOnce(&mut Unsettled)) {
        let mut unsettled = lock(&pending.0);
        settle(&mut unsettled);
        unsettled.left -= 1;
        if unsettled.left > 0 {
            return;
        }
        match unsettled.progress.take().filter(|_| unsettled.failure.is_none()) {
            None => {
                unsettled.answer();
                self.heard(1);
            }
            Some(progress) => {
                drop(unsettled);
                // Without the thread that takes it the log is being dropped, and so is the answer.
                let _ = self.settled.send(Settled::Batch(pending.clone(), progress));
            }
        }
    }
}

impl Unsettled {
    fn answer(&mut self) {
        let answer = match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.receipts.drain(..).flatten().collect()),
        };
        drop(self.permit.take());
        if let Some(waiting) = self.answer.take() {
            // Who does not wait any more does not want to know.
            let _ = waiting.send(answer);
        }
    }
}

/// What a message carries to its delivery.
pub(super) enum Delivery {
    Record { place: Place, identity: Option<Identity>, partition: Partition },
    Progress { pending: Arc<Pending>, processor: String, stored: StoredProgress },
}

/// Takes deliveries in.
pub(super) struct Deliveries(Arc<Shared>);

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.0.stop(format!("the Kafka producer can keep its promises no longer: {reason}"));
        }
        tracing::warn!(%error, reason, "the Kafka producer has trouble; it goes on trying");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let shared = &self.0;
        let offset = match result {
            Ok(message) => Ok(message.offset().max(0) as u64),
            Err((error, _)) => Err(failed(error)),
        };
        match *delivery {
            Delivery::Record { place, identity, partition } => {
                if let (Ok(offset), Some(held)) = (&offset, shared.partitions.get(&partition)) {
                    held.known_end.fetch_max(offset + 1, Ordering::AcqRel);
                }
                let position = offset.map(|offset| Position { partition, offset });
                shared.appends.delivered(&place, identity, position);
            }
            Delivery::Progress { pending, processor, stored } => {
                let mut unsettled = lock(&pending.0);
                match offset {
                    Ok(offset) => shared.progress.learn(processor.clone(), offset as i64, stored),
                    Err(failure) => unsettled.failure = Some(failure),
                }
                // Only now, so that whoever sends next finds it in one place or the other.
                shared.progress.has_arrived(&processor);
                unsettled.answer();
                shared.appends.heard(1);
            }
        }
    }
}

/// The producer of appends.
pub(super) fn producer(options: &KafkaOptions, shared: Arc<Shared>) -> Result<Producer, LogError> {
    let config = options.producer(&[
        // As much as a batch may wait for others costs a lone producer; requests under way gather them anyway.
        ("linger.ms", "0"),
        // A broker answers the requests of a connection one by one. Two keep it busy; more only cut what is sent into smaller
        // ones, and librdkafka spins while it waits for a place among them.
        ("max.in.flight.requests.per.connection", "2"),
        ("compression.type", "lz4"),
    ]);
    config.create_with_context(Deliveries(shared)).map_err(|error| storage("make a Kafka producer", &error))
}

fn send(
    wire: &Wire,
    producer: &Producer,
    topic: &str,
    partition: Partition,
    record: &NewRecord,
    delivery: Delivery,
) -> Result<(), (KafkaError, Box<Delivery>)> {
    let (headers, body) = wire.message(record);
    let message = BaseRecord::with_opaque_to(topic, Box::new(delivery))
        .partition(partition.id as i32)
        .key(&*record.key)
        .payload(&*body)
        .headers(headers);
    producer.send(message).map_err(|(error, message)| (error, message.delivery_opaque))
}

fn failed(error: &KafkaError) -> AppendError {
    AppendError::Stopped { reason: format!("Kafka did not take it: {error}") }
}

/// Sends the progress of batches whose records are durable, until it is told to stop.
pub(super) fn settle(settled: &mpsc::Receiver<Settled>, shared: &Shared, producer: &Producer, topic: &str) {
    while let Ok(Settled::Batch(pending, progress)) = settled.recv() {
        let processor = progress.processor.clone();
        let stored = shared.progress.to_send(progress);
        let body = wire::progress(&stored);
        let delivery = Delivery::Progress { pending, processor: processor.clone(), stored };
        let message = BaseRecord::with_opaque_to(topic, Box::new(delivery)).partition(0).key(&processor).payload(&body);
        if let Err((error, message)) = producer.send(message)
            && let Delivery::Progress { pending, .. } = *message.delivery_opaque
        {
            shared.progress.has_arrived(&processor);
            let mut unsettled = lock(&pending.0);
            unsettled.failure = Some(failed(&error));
            unsettled.answer();
            shared.appends.heard(1);
        }
    }
    // The last sends are answered before the producer may go.
    let _ = producer.flush(Duration::from_secs(5));
}
