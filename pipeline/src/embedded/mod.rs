//! The embedded log: durable on one machine, for one process.
//!
//! ```text
//! log/owner                         locked by the one process that owns the log; names it
//! log/manifest                      what the segments were, and the first journal group behind them (see `manifest`)
//! log/journal/SEQUENCE.journal      every commit, in order, one sync each (see `journal`)
//! log/topics/TOPIC/PARTITION/       BASE.segment with the records, BASE.index with sparse marks (see `segment`)
//! log/identities/                   an index of the events that are stored once (see `identities`)
//! ```
//! A record is written twice and never again: to the journal, which is what an acknowledgement waits for, and to its
//! partition's segment, from which it is read. No compaction copies history, so appending costs the same however long the
//! log is.
//!
//! Owns: the directory `log/`.
//! Promises: the contract of [`Log`]; by default an acknowledged batch is synced to the disk (see [`Durability`]).
//! Never: truncates or repairs records in silence. Damage is reported with its position; whatever was acknowledged and is
//! gone is noticed when the log is opened (see `recovery`).

mod disk;
mod doctor;
mod frame;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod identities;
mod journal;
mod keeper;
mod manifest;
mod owner;
mod partition;
mod pressure;
mod queue;
mod recovery;
mod retention;
mod segment;
mod transfer;
mod writer;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use meshlog_schemas::{Offset, Partition, Topic};
use uuid::Uuid;

pub use doctor::{Finding, Inspection, PartitionInspection};
pub use retention::{Readers, Retention};
pub use transfer::EmbeddedTransfer;

use self::{
    disk::{Disk, RealDisk},
    identities::Identities,
    keeper::Keeper,
    manifest::Manifest,
    partition::PartitionLog,
    pressure::Pressure,
    queue::{Prepared, Queue, Request},
    writer::Writer,
};
use crate::{
    clock::now_micros,
    lock::lock,
    log::{AppendError, Appending, Log, LogError, Written},
    record::{Batch, Bounds, ReadLimit, Receipt, Record, StoredProgress, TopicLayout, partition_of},
    room::{Capacity, Room},
    signal::Signal,
};

/// What a batch may take at the most, in bytes.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Where less is free, in bytes, that may be why a log does not open: it brings forward what its journals hold.
const ROOM_TO_OPEN: u64 = 64 * 1024 * 1024;

/// What an acknowledgement promises. Each is named where people look: in the configuration, in /v1/topics and at start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// The batch was synced to the disk: it survives the loss of power.
    #[default]
    Always,
    /// The batch was given to the operating system, which is asked to sync at this interval: it survives the end of the
    /// process, however sudden; a loss of power may take what was acknowledged within the last interval, and the time that a
    /// sync takes.
    Interval(Duration),
    /// The batch was given to the operating system, which writes it when it likes: it survives the end of the process; a loss
    /// of power may take anything since the journal was last turned.
    None,
}

impl Durability {
    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Durability::Always => "always",
            Durability::Interval(_) => "interval",
            Durability::None => "none",
        }
    }

    /// The promise in one sentence.
    pub fn promise(self) -> String {
        match self {
            Durability::Always => {
                "an acknowledged event was synced to the disk and survives the loss of power".to_owned()
            }
            Durability::Interval(interval) => format!(
                "an acknowledged event survives the end of the process; a loss of power may take what was acknowledged \
                 within the last {} ms and the time of a sync",
                interval.as_millis()
            ),
            Durability::None => "an acknowledged event survives the end of the process; a loss of power may take \
                                 everything that the operating system has not written yet"
                .to_owned(),
        }
    }
}

/// Settings of the embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Topics and partitions of a new log. A log that exists keeps what it has and gains topics it lacks.
    pub layout: Vec<TopicLayout>,
    /// The first offset of partitions of a new log that do not begin at 0: of a log that is moved here from an engine where
    /// retention has taken what stood before.
    pub starts: BTreeMap<Partition, Offset>,
    /// What may wait for the writer.
    pub capacity: Capacity,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// A segment is full at this size, in bytes.
    pub segment_bytes: u64,
    /// A journal is left for the next at this size, in bytes. What a start may have to bring forward is some of these.
    pub journal_bytes: u64,
    /// How long records are kept, for topics where they are not kept for ever.
    pub retention: BTreeMap<Topic, Retention>,
    /// How often it is looked whether records may go.
    pub retention_check: Duration,
    #[cfg(test)]
    pub(crate) identities_in_memory: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            layout: crate::record::default_layout(),
            starts: BTreeMap::new(),
            capacity: Capacity { items: 4_096, bytes: 32 * 1024 * 1024 },
            durability: Durability::Always,
            segment_bytes: 64 * 1024 * 1024,
            journal_bytes: 64 * 1024 * 1024,
            retention: BTreeMap::new(),
            retention_check: Duration::from_secs(30),
            #[cfg(test)]
            identities_in_memory: false,
        }
    }
}

impl EmbeddedOptions {
    /// Segments of a topic that is bounded in size are small enough that the bound is kept closely.
    fn segment_bytes_of(&self, topic: Topic) -> u64 {
        let partitions = self.layout.iter().find(|layout| layout.topic == topic).map_or(1, |layout| layout.partitions);
        let bound = self.retention.get(&topic).and_then(|retention| retention.max_bytes);
        let step = bound.map(|bytes| (bytes / u64::from(partitions.max(1)) / 8).max(64 * 1024));
        step.map_or(self.segment_bytes, |step| step.min(self.segment_bytes))
    }
}

/// How the records of a topic are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicKeeping {
    /// The limits.
    pub retention: Retention,
    /// What its records take on disk, in bytes.
    pub bytes: u64,
    /// The processors that keep records which the limits would let go.
    pub held_by: Vec<String>,
}

/// A log in a directory. See [`Log`] for the contract.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What readers, the writer and the keeper share.
struct Shared {
    root: PathBuf,
    log: Uuid,
    disk: Arc<dyn Disk>,
    options: EmbeddedOptions,
    layout: Vec<TopicLayout>,
    /// By slot.
    partitions: Vec<PartitionLog>,
    /// The number that stands for each in checksums.
    tags: Vec<u32>,
    /// The slots of a topic's partitions.
    slots: BTreeMap<Topic, Vec<u32>>,
    appended: BTreeMap<Topic, Signal>,
    progress: RwLock<BTreeMap<String, StoredProgress>>,
    identities: Identities,
    room: Room,
    queue: Queue,
    /// How many groups were committed, each with one sync.
    commits: AtomicU64,
    pressure: Pressure,
    condition: Mutex<Condition>,
    readers: Mutex<Option<Arc<Readers>>>,
    held: Mutex<BTreeMap<Topic, Vec<String>>>,
    // Last, so that the lock is given back after all files are closed.
    _owner: Option<owner::Owner>,
}

#[derive(Default)]
struct Condition {
    stopped: Option<String>,
    /// Whether it stopped because something failed, not because it was closed.
    is_broken: bool,
    full: Option<String>,
}

impl EmbeddedLog {
    /// Opens the log in `path`, or makes a new one there.
    ///
    /// # Errors
    /// Another process owns it, the directory cannot be written, its format is another program's, or acknowledged records are
    /// damaged or gone. Each error names the file and what to do.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, LogError> {
        std::fs::create_dir_all(path).map_err(|error| LogError::Unusable {
            path: path.to_owned(),
            cause: format!("{error}; choose a directory that can be written with --data"),
        })?;
        let owner = owner::Owner::claim(path)?;
        Self::open_on(Arc::new(RealDisk), path, options, Some(owner))
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: EmbeddedOptions,
        owner: Option<owner::Owner>,
    ) -> Result<Self, LogError> {
        let recovered = recovery::open(&disk, path, &options).map_err(|cause| LogError::Unusable {
            path: path.to_owned(),
            cause: format!("{cause}; {}", advice(path)),
        })?;
        let mut slots: BTreeMap<Topic, Vec<u32>> = BTreeMap::new();
        for (slot, partition) in (0..).zip(&recovered.partitions) {
            slots.entry(partition.partition.topic).or_default().push(slot);
        }
        // Invariant: a topic has far fewer partitions than a u32 counts.
        let layout = slots.iter().map(|(topic, slots)| TopicLayout { topic: *topic, partitions: slots.len() as u32 });
        let shared = Arc::new(Shared {
            root: path.to_owned(),
            log: recovered.log,
            disk,
            layout: layout.collect(),
            tags: recovered.partitions.iter().map(|partition| frame::tag(partition.partition)).collect(),
            appended: slots.keys().map(|topic| (*topic, Signal::default())).collect(),
            slots,
            partitions: recovered.partitions,
            progress: RwLock::new(recovered.progress),
            identities: recovered.identities,
            room: Room::new(options.capacity),
            queue: Queue::default(),
            commits: AtomicU64::new(0),
            pressure: Pressure::default(),
            condition: Mutex::default(),
            readers: Mutex::default(),
            held: Mutex::default(),
            options,
            _owner: owner,
        });
        let start = |error| LogError::Storage { action: "start its threads", cause: format!("{error}") };
        let keeper =
            Keeper::start(shared.clone(), recovered.manifest, &recovered.journal, recovered.old).map_err(start)?;
        let writer = Writer::new(shared.clone(), keeper, recovered.journal, recovered.number);
        let thread = std::thread::Builder::new().name("log-writer".to_owned());
        let guarded = shared.clone();
        let run = move || guarded.guard("writer", || writer.run());
        let thread = thread.spawn(run).map_err(start)?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)) })
    }

    /// Checks a log that no process owns, and says what of it can be recovered. Changes nothing.
    ///
    /// # Errors
    /// A process owns it, or there is no log.
    pub fn inspect(path: &Path) -> Result<Inspection, LogError> {
        let _owner = owner::Owner::claim_existing(path)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Ok(doctor::inspect(&disk, path))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.shared.root
    }

    /// What an acknowledgement promises.
    pub fn durability(&self) -> Durability {
        self.shared.options.durability
    }

    /// How many groups of appends were committed since the log was opened, each with one sync.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// What the records take on disk, in bytes; without the journals.
    pub fn disk_bytes(&self) -> u64 {
        self.shared.partitions.iter().map(partition_bytes).sum()
    }

    /// How the records of a topic are kept.
    pub fn keeping(&self, topic: Topic) -> TopicKeeping {
        let shared = &self.shared;
        let slots = shared.slots.get(&topic).map(Vec::as_slice).unwrap_or_default();
        TopicKeeping {
            retention: shared.options.retention.get(&topic).copied().unwrap_or_default(),
            bytes: slots.iter().map(|slot| partition_bytes(&shared.partitions[*slot as usize])).sum(),
            held_by: lock(&shared.held).get(&topic).cloned().unwrap_or_default(),
        }
    }

    /// Says who reads the log. Until this is said, and behind what a reader has read, retention takes nothing away.
    pub fn set_readers(&self, readers: Arc<Readers>) {
        *lock(&self.shared.readers) = Some(readers);
    }

    async fn append_in_turn(&self, batch: Batch, written: Option<Written>) -> Result<Vec<Receipt>, AppendError> {
        let shared = &self.shared;
        let size = batch.size();
        if size > MAX_BATCH_BYTES {
            return Err(AppendError::TooLarge { actual: size, limit: MAX_BATCH_BYTES });
        }
        let (frames, records) = shared.prepare(&batch)?;
        let stopped = || shared.stopped_error();
        let permit = shared.room.enter(size).await.ok_or_else(stopped)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        let request = Request { frames, records, progress: batch.progress, permit, written, reply };
        shared.queue.push(request).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// What to do about a log that does not open.
fn advice(path: &Path) -> String {
    match rustix::fs::statvfs(path) {
        // Without blocks at all, the file system does not say.
        Ok(disk) if disk.f_blocks > 0 && disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_TO_OPEN => format!(
            "only {} MB are free on its disk: make room and start again",
            disk.f_bavail.saturating_mul(disk.f_frsize) / (1024 * 1024)
        ),
        _ => "\"meshlog doctor --data DIR\" says what can be recovered".to_owned(),
    }
}

fn partition_bytes(partition: &PartitionLog) -> u64 {
    partition.files().segments.iter().map(|segment| segment.bytes).sum()
}

impl Log for EmbeddedLog {
    fn layout(&self) -> &[TopicLayout] {
        &self.shared.layout
    }

    fn append(&self, batch: Batch) -> Appending<'_> {
        Box::pin(self.append_in_turn(batch, None))
    }

    fn append_telling(&self, batch: Batch, written: Written) -> Appending<'_> {
        Box::pin(self.append_in_turn(batch, Some(written)))
    }

    fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        Ok(self.shared.partition(partition)?.bounds())
    }

    fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let log = self.shared.partition(partition)?;
        let Bounds { start, end } = log.bounds();
        if from < start || from > end {
            return Err(LogError::OutOfRange { partition, from, start, end });
        }
        log.read(from, end, limit)
    }

    fn appended(&self, topic: Topic) -> &Signal {
        &self.shared.appended[&topic]
    }

    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
        Ok(self.shared.progress(processor))
    }

    fn stopped(&self) -> Option<String> {
        self.shared.stopped()
    }

    fn full(&self) -> Option<String> {
        lock(&self.shared.condition).full.clone()
    }

    fn is_pressed(&self) -> bool {
        self.shared.pressure.is_high(now_micros())
    }

    fn close(&self) {
        self.shared.close();
        let thread = lock(&self.writer).take();
        if let Some(thread) = thread {
            // A writer that panicked has acknowledged nothing that is not durable.
            let _ = thread.join();
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Lays out the frames of a batch, by the producer's thread: the writer gives them only their positions.
    fn prepare(&self, batch: &Batch) -> Result<(Vec<u8>, Vec<Prepared>), AppendError> {
        let mut frames = Vec::with_capacity(batch.size());
        let mut records = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let slots = self.slots.get(&record.topic).ok_or(AppendError::NoTopic(record.topic))?;
            let partition = partition_of(record.topic, &record.key, slots.len() as u32);
            let before = frames.len();
            frame::begin(record, &mut frames);
            // Invariant: a batch is far below 4 GiB.
            let length = (frames.len() - before) as u32;
            let slot = slots[partition.id as usize];
            records.push(Prepared { slot, length, identity: record.identity, given: None });
        }
        Ok((frames, records))
    }

    fn partition(&self, partition: Partition) -> Result<&PartitionLog, LogError> {
        let slots = self.slots.get(&partition.topic).ok_or(LogError::NoPartition(partition))?;
        let slot = slots.get(partition.id as usize).ok_or(LogError::NoPartition(partition))?;
        Ok(&self.partitions[*slot as usize])
    }

    fn progress(&self, processor: &str) -> StoredProgress {
        self.progress.read().unwrap_or_else(PoisonError::into_inner).get(processor).cloned().unwrap_or_default()
    }

    fn all_progress(&self) -> BTreeMap<String, StoredProgress> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_progress(&self, processor: String, kept: StoredProgress) {
        self.progress.write().unwrap_or_else(PoisonError::into_inner).insert(processor, kept);
    }

    /// What a manifest says now. Called by the writer, between two groups.
    fn manifest(&self, journal: u64, group: u64) -> Manifest {
        Manifest {
            log: self.log,
            journal,
            group,
            is_synced: self.options.durability == Durability::Always,
            partitions: self.partitions.iter().map(|partition| (partition.partition, partition.files())).collect(),
            progress: self.all_progress(),
        }
    }

    fn settle(&self, manifest: &Manifest) -> io::Result<()> {
        recovery::settle(&*self.disk, &self.root, &self.partitions, &self.identities, manifest)
    }

    fn readers(&self) -> Option<Arc<Readers>> {
        lock(&self.readers).clone()
    }

    fn set_held(&self, held: BTreeMap<Topic, Vec<String>>) {
        *lock(&self.held) = held;
    }

    fn stopped(&self) -> Option<String> {
        lock(&self.condition).stopped.clone()
    }

    /// Why it stopped, if something failed.
    fn broken(&self) -> Option<String> {
        let condition = lock(&self.condition);
        condition.stopped.clone().filter(|_| condition.is_broken)
    }

    fn set_full(&self, reason: Option<&str>) {
        let mut condition = lock(&self.condition);
        if condition.full.as_deref() != reason {
            match reason {
                Some(reason) => tracing::error!(reason, "appends are refused until there is space again"),
                None => tracing::info!("there is space again"),
            }
            condition.full = reason.map(str::to_owned);
        }
    }

    /// Runs one of the log's threads. If it panics the log stops, and nobody waits for it in vain.
    fn guard(&self, name: &str, run: impl FnOnce()) {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err() {
            self.stop(&format!("its {name} broke off, which is a bug"));
            // Their producers are told by the loss of the reply.
            drop(self.queue.abandon());
        }
    }

    /// Takes no more appends, because something failed.
    fn stop(&self, reason: &str) {
        let mut condition = lock(&self.condition);
        condition.is_broken = true;
        if condition.stopped.is_none() {
            tracing::error!(reason, "the log has stopped; what was acknowledged is safe");
            condition.stopped = Some(reason.to_owned());
        }
        drop(condition);
        self.close_doors();
    }

    fn close(&self) {
        lock(&self.condition).stopped.get_or_insert_with(|| "it was closed".to_owned());
        self.close_doors();
    }

    /// Lets nobody in any more, and wakes those who wait for records that will not come.
    fn close_doors(&self) {
        self.room.close();
        self.queue.close();
        self.appended.values().for_each(Signal::ring);
    }

    fn stopped_error(&self) -> AppendError {
        AppendError::Stopped { reason: self.stopped().unwrap_or_else(|| "its writer ended".to_owned()) }
    }
}

#[cfg(test)]
mod tests;
