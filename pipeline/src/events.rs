//! Events on a log: envelope and typed body to record and back, through the seal.
//!
//! Owns: the way from an event to a record. Everything above this line handles events; everything below, bytes.
//! Never: decides what to do with an event that cannot be read; it says why it cannot.

use std::sync::Arc;

use meshlog_schemas::{
    DecodeError, EncodeError, Envelope, EnvelopeError, Event, EventId, Offset, Partition, PartitionShare, Position,
    Topic, Trust,
};

use crate::{
    clock::now_micros,
    log::{AppendError, Log, LogError, Written},
    record::{Batch, NewRecord, ProcessorProgress, ReadLimit, Receipt, Record},
    seal::{Opened, SEAL_HEADER, SealError, Sealer},
};

/// An event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What is known of it without reading the body.
    pub envelope: Envelope,
    /// What happened.
    pub event: Event,
    /// Whether the id is the sender's own, so that the same event may be sent again and is stored once.
    pub once: bool,
}

impl NewEvent {
    /// An event that nothing on the log caused, made now by `source`.
    pub fn first(id: EventId, source: &str, trust: Trust, event: Event) -> Self {
        Self { envelope: envelope(id, source, trust, &event, None), event, once: false }
    }

    /// The event that the stage `stage` derives from `cause`, made now; see [`EventId::derived`]. It is trusted as far
    /// as its cause.
    pub fn derived(cause: &Envelope, stage: &str, index: &str, event: Event) -> Self {
        let id = EventId::derived(cause.id, stage, index);
        let source = format!("/stage/{stage}");
        Self { envelope: envelope(id, &source, cause.trust, &event, Some(cause)), event, once: false }
    }

    /// The same event, stored only if no event with its id is on the topic yet.
    pub fn once(self) -> Self {
        Self { once: true, ..self }
    }
}

fn envelope(id: EventId, source: &str, trust: Trust, event: &Event, cause: Option<&Envelope>) -> Envelope {
    Envelope {
        id,
        source: source.to_owned(),
        kind: event.kind().to_owned(),
        time: now_micros(),
        space: event.space().map(str::to_owned),
        causation: cause.map(|cause| cause.id),
        correlation: cause.map(|cause| cause.correlation.unwrap_or(cause.id)),
        traceparent: cause.and_then(|cause| cause.traceparent.clone()),
        trust,
    }
}

/// An event as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it stands.
    pub position: Position,
    /// When the log took it in; microseconds since the epoch.
    pub appended_at: i64,
    /// Its ordering key.
    pub key: String,
    /// What is known of it without the body.
    pub envelope: Envelope,
    /// What happened.
    pub event: Event,
}

/// A record whose event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Where it stands.
    pub position: Position,
    /// When the log took it in; microseconds since the epoch.
    pub appended_at: i64,
    /// Its ordering key.
    pub key: String,
    /// Its envelope, where at least that can be read.
    pub envelope: Option<Envelope>,
    /// Why the event cannot be read.
    pub cause: UnreadableCause,
}

/// Why an event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableCause {
    /// Its body was erased on purpose.
    #[error("the body was erased")]
    Erased,
    /// Its headers are no envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Its body cannot be opened.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// Its body is no event.
    #[error(transparent)]
    Body(#[from] DecodeError),
}

/// What one offset holds.
pub type Entry = Result<StoredEvent, Box<Unreadable>>;

/// Events were not appended.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The log did not take them.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// One of them cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// One of them cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A log of events.
#[derive(Clone)]
pub struct EventLog {
    log: Arc<dyn Log>,
    sealer: Arc<dyn Sealer>,
    share: PartitionShare,
}

impl EventLog {
    /// Events on `log`, their bodies passed through `sealer`.
    pub fn new(log: Arc<dyn Log>, sealer: Arc<dyn Sealer>) -> Self {
        Self { log, sealer, share: PartitionShare::ALL }
    }

    /// The same log for a reader of this share of the partitions: [`EventLog::partitions`] names only those, and feeds,
    /// projections and views read what it names.
    pub fn of_share(self, share: PartitionShare) -> Self {
        Self { share, ..self }
    }

    /// The share of the partitions that are read.
    pub fn share(&self) -> PartitionShare {
        self.share
    }

    /// The log below, for what is not about events: bounds, signals, progress, state.
    pub fn log(&self) -> &dyn Log {
        &*self.log
    }

    /// Appends events, and a processor's progress, all or none; answers one receipt an event once they are durable.
    ///
    /// # Errors
    /// An event cannot be written, or the log takes no appends; nothing was appended (see [`Log::append`]).
    pub async fn append(
        &self,
        events: Vec<NewEvent>,
        progress: Option<ProcessorProgress>,
    ) -> Result<Vec<Receipt>, PublishError> {
        let records = self.to_records(events)?;
        Ok(self.log.append(Batch { records, progress }).await?)
    }

    /// Appends events as [`EventLog::append`] does, and tells `written` once they would survive the end of this process; see
    /// [`Log::append_telling`].
    ///
    /// # Errors
    /// As there.
    pub async fn append_telling(&self, events: Vec<NewEvent>, written: Written) -> Result<Vec<Receipt>, PublishError> {
        let records = self.to_records(events)?;
        Ok(self.log.append_telling(Batch { records, progress: None }, written).await?)
    }

    /// Reads the events of a partition in order from `from`; see [`Log::read`].
    ///
    /// # Errors
    /// As [`Log::read`]. An event that cannot be read is an entry, not an error.
    pub fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Entry>, LogError> {
        let records = self.log.read(partition, from, limit)?;
        Ok(records.into_iter().map(|record| self.entry(record)).collect())
    }

    /// The partitions of a topic, of those that are in the share.
    pub fn partitions(&self, topic: Topic) -> Vec<Partition> {
        let layout = self.log.layout().iter().find(|layout| layout.topic == topic);
        let all = (0..layout.map_or(0, |layout| layout.partitions)).map(|id| Partition { topic, id });
        all.filter(|partition| self.share.holds(*partition)).collect()
    }

    fn to_records(&self, events: Vec<NewEvent>) -> Result<Vec<NewRecord>, PublishError> {
        events.into_iter().map(|event| self.to_record(event)).collect()
    }

    fn to_record(&self, new: NewEvent) -> Result<NewRecord, PublishError> {
        let body = meshlog_schemas::encode(&new.event)?;
        let sealed = self.sealer.seal(&new.envelope, body)?;
        let mut headers = new.envelope.to_headers();
        if let Some(key) = sealed.key {
            headers = headers.with(SEAL_HEADER, key.as_bytes());
        }
        Ok(NewRecord {
            topic: new.event.topic(),
            key: new.event.ordering_key().into_bytes().into(),
            headers,
            body: sealed.body.into(),
            identity: new.once.then_some(new.envelope.id),
        })
    }

    /// Opens a record of this log. Who reads much and needs little reads records ([`Log::read`]), looks at their headers,
    /// and opens only those it wants.
    pub fn entry(&self, record: Record) -> Entry {
        let key = String::from_utf8(record.key.to_vec())
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        let (position, appended_at) = (record.position, record.appended_at);
        let unreadable = |key, envelope, cause| Box::new(Unreadable { position, appended_at, key, envelope, cause });
        let envelope = match Envelope::from_headers(&record.headers) {
            Ok(envelope) => envelope,
            Err(error) => return Err(unreadable(key, None, error.into())),
        };
        match self.open_body(&envelope, record) {
            Ok(event) => Ok(StoredEvent { position, appended_at, key, envelope, event }),
            Err(cause) => Err(unreadable(key, Some(envelope), cause)),
        }
    }

    fn open_body(&self, envelope: &Envelope, record: Record) -> Result<Event, UnreadableCause> {
        let key = record.headers.get(SEAL_HEADER).map(String::from_utf8_lossy);
        match self.sealer.open(envelope, key.as_deref(), record.body)? {
            Opened::Body(body) => Ok(meshlog_schemas::decode(&body)?),
            Opened::Erased => Err(UnreadableCause::Erased),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use meshlog_schemas::{Checkpoints, MessageAccepted};
    use pollster::block_on;

    use super::*;
    use crate::{
        feed::Feed,
        memory::MemoryLog,
        record::default_layout,
        seal::{ClearSealer, Sealed},
    };

    /// Inverts every byte: enough to show that nothing looks past the seal.
    #[derive(Default)]
    struct Inverter {
        key_destroyed: AtomicBool,
    }

    impl Sealer for Inverter {
        fn seal(&self, envelope: &Envelope, body: Vec<u8>) -> Result<Sealed, SealError> {
            let body = body.into_iter().map(|byte| !byte).collect();
            Ok(Sealed { body, key: envelope.space.clone() })
        }

        fn open(&self, envelope: &Envelope, key: Option<&str>, body: Bytes) -> Result<Opened, SealError> {
            assert_eq!(key, envelope.space.as_deref());
            if self.key_destroyed.load(Ordering::Relaxed) {
                return Ok(Opened::Erased);
            }
            Ok(Opened::Body(body.iter().map(|byte| !byte).collect()))
        }
    }

    fn in_thread(thread: &str) -> NewEvent {
        let Event::MessageAccepted(accepted) = message("x").event else { unreachable!("it is one") };
        let event = Event::MessageAccepted(MessageAccepted { thread: thread.into(), ..accepted });
        NewEvent::first(EventId::fresh(), "/test", Trust::Client, event)
    }

    fn message(text: &str) -> NewEvent {
        let event = Event::MessageAccepted(MessageAccepted {
            source_id: None,
            space: "ada".into(),
            thread: "t".into(),
            author: "Ada".into(),
            role: "user".into(),
            sent_at: 1,
            text: text.into(),
        });
        NewEvent::first(EventId::fresh(), "/test", Trust::Client, event)
    }

    fn first_entry(events: &EventLog, position: Position) -> Entry {
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        events.read(position.partition, position.offset, limit).unwrap().remove(0)
    }

    #[test]
    fn events_come_back_as_they_went_in() {
        let events = EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer));
        let new = message("hello");
        let receipt = block_on(events.append(vec![new.clone()], None)).unwrap()[0];
        let stored = first_entry(&events, receipt.position).unwrap();
        assert_eq!((stored.envelope, stored.event), (new.envelope, new.event));
        assert_eq!(stored.key, "ada/t");
    }

    #[test]
    fn of_a_share_only_its_partitions_are_named_and_fed() {
        let events = EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer));
        block_on(events.append((0..40).map(|number| in_thread(&number.to_string())).collect(), None)).unwrap();
        let of = |number| events.clone().of_share(PartitionShare::new(number, 3).unwrap());
        let mut found = Vec::new();
        for number in 1..=3 {
            let share = of(number);
            let ids: Vec<_> = share.partitions(Topic::Messages).iter().map(|partition| partition.id).collect();
            assert_eq!(ids, (0..4).filter(|id| id % 3 == number - 1).collect::<Vec<_>>());
            let mut feed = Feed::new(share, &[Topic::Messages], Checkpoints::default());
            let limit = ReadLimit { records: 100, bytes: usize::MAX };
            found.extend(feed.next(limit, None).unwrap().entries.into_iter().map(|entry| entry.unwrap().position));
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), 40, "each event is in one share");
    }

    #[test]
    fn a_sealed_body_never_reaches_the_log_in_the_clear_and_can_be_erased() {
        let log = Arc::new(MemoryLog::new(default_layout()));
        let sealer = Arc::new(Inverter::default());
        let events = EventLog::new(log.clone(), sealer.clone());
        let new = message("a secret");
        let position = block_on(events.append(vec![new.clone()], None)).unwrap()[0].position;

        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        let raw = log.read(position.partition, position.offset, limit).unwrap().remove(0);
        assert!(!raw.body.windows(8).any(|window| window == b"a secret"));
        assert_eq!(first_entry(&events, position).unwrap().event, new.event);

        sealer.key_destroyed.store(true, Ordering::Relaxed);
        let erased = first_entry(&events, position).unwrap_err();
        assert_eq!(erased.cause, UnreadableCause::Erased);
        assert_eq!(erased.envelope, Some(new.envelope), "headers stay clear");
    }

    #[test]
    fn a_sealed_body_without_keys_is_an_entry_that_says_so() {
        let log = Arc::new(MemoryLog::new(default_layout()));
        let position =
            block_on(EventLog::new(log.clone(), Arc::new(Inverter::default())).append(vec![message("x")], None))
                .unwrap()[0]
                .position;
        let entry = first_entry(&EventLog::new(log, Arc::new(ClearSealer)), position).unwrap_err();
        assert!(matches!(entry.cause, UnreadableCause::Sealed(_)));
    }

    #[test]
    fn a_derived_event_carries_its_cause() {
        let cause = message("x").envelope;
        let derived = NewEvent::derived(&cause, "route", "r", message("y").event).envelope;
        assert_eq!(derived.causation, Some(cause.id));
        assert_eq!(derived.correlation, Some(cause.id));
        assert_eq!(derived.trust, cause.trust);
        assert_eq!(derived.id, EventId::derived(cause.id, "route", "r"));
    }
}
