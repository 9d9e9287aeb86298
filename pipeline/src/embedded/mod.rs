//! The embedded log, on fjall: durable on one machine, for one process.
//!
//! Owns: the directory `log/`: one keyspace a topic for records (see `frame`), `identities`, `progress` and `meta`,
//! the file `owner` whose lock makes this process the only one, and the file `ends`.
//! Promises: the contract of [`Log`]; an acknowledged batch is fsynced. Producers that append at the same time share
//! the fsync (see `writer`).
//! Never: truncates or repairs records. Damage is reported with its position; records that the storage lost are noticed
//! when the log is opened (see `ends`).

mod ends;
mod frame;
mod owner;
mod writer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use meshlog_schemas::{Checkpoints, Offset, Partition, Position, Topic};

use crate::{
    log::{AppendError, Appending, Log, LogError},
    record::{Batch, Bounds, ReadLimit, Record, StoredProgress, TopicLayout},
    room::{Capacity, Room},
    signal::Signal,
};

/// The format of the directory. Another number is refused, never guessed at.
const FORMAT: &str = "1";

/// What a batch may take at the most, in bytes.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Settings of the embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Topics and partitions of a new log. A log that exists keeps what it has and gains topics it lacks.
    pub layout: Vec<TopicLayout>,
    /// What may wait for the writer.
    pub capacity: Capacity,
    /// The block cache, in bytes.
    pub cache_bytes: u64,
    /// What a topic's newest records may take in memory before they are written out sorted, in bytes.
    pub memtable_bytes: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            layout: crate::record::default_layout(),
            capacity: Capacity { items: 4_096, bytes: 32 * 1024 * 1024 },
            cache_bytes: 32 * 1024 * 1024,
            memtable_bytes: 8 * 1024 * 1024,
        }
    }
}

/// A log in a directory. See [`Log`] for the contract.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    queue: tokio::sync::mpsc::UnboundedSender<writer::Request>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What readers and the writer share.
struct Shared {
    path: PathBuf,
    layout: Vec<TopicLayout>,
    database: Database,
    topics: BTreeMap<Topic, TopicStore>,
    identities: Keyspace,
    progress: Keyspace,
    room: Room,
    /// How many groups were committed, each with one fsync.
    commits: AtomicU64,
    stopped: Mutex<Option<String>>,
    // Last, so that the lock is given back after the database is closed.
    _owner: owner::Owner,
}

struct TopicStore {
    records: Keyspace,
    /// The high watermark of each partition; stored only once the records are durable and readable.
    ends: Vec<AtomicU64>,
    appended: Signal,
}

impl EmbeddedLog {
    /// Opens the log in `path`, or makes a new one there.
    ///
    /// # Errors
    /// Another process owns it, the directory cannot be written, its format is another program's, or its storage is
    /// damaged. Each error names the directory and what to do.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::open(path, &options)?);
        let ends = shared.settle_ends()?;
        let (queue, requests) = tokio::sync::mpsc::unbounded_channel();
        let writer = writer::Writer::new(shared.clone(), requests, ends);
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| storage("start its writer", error))?;
        Ok(Self { shared, queue, writer: Mutex::new(Some(thread)) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// How many groups of appends were committed since the log was opened, each with one fsync.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// What the log takes on disk, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.shared.database.disk_space().unwrap_or(0)
    }

    async fn append_in_turn(&self, batch: Batch) -> Result<Vec<crate::Receipt>, AppendError> {
        let size = batch.size();
        if size > MAX_BATCH_BYTES {
            return Err(AppendError::TooLarge { actual: size, limit: MAX_BATCH_BYTES });
        }
        if let Some(record) = batch.records.iter().find(|record| !self.shared.topics.contains_key(&record.topic)) {
            return Err(AppendError::NoTopic(record.topic));
        }
        let stopped = || self.shared.stopped_error();
        let permit = self.shared.room.enter(size).await.ok_or_else(stopped)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        let request = writer::Request { batch, permit: Some(permit), reply: Some(reply) };
        self.queue.send(request).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Log for EmbeddedLog {
    fn layout(&self) -> &[TopicLayout] {
        &self.shared.layout
    }

    fn append(&self, batch: Batch) -> Appending<'_> {
        Box::pin(self.append_in_turn(batch))
    }

    fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        Ok(Bounds { start: 0, end: self.shared.end(partition)?.load(Ordering::Acquire) })
    }

    fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let Bounds { start, end } = self.bounds(partition)?;
        if from < start || from > end {
            return Err(LogError::OutOfRange { partition, from, start, end });
        }
        self.shared.read(partition, from..end, limit)
    }

    fn appended(&self, topic: Topic) -> &Signal {
        &self.shared.topics[&topic].appended
    }

    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
        writer::stored_progress(&self.shared.progress, processor)
            .map_err(|cause| LogError::Storage { action: "read a processor's progress", cause })
    }

    fn stopped(&self) -> Option<String> {
        self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn close(&self) {
        self.shared.stop("it was closed");
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = self.queue.send(writer::Request::close());
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
    fn open(path: &Path, options: &EmbeddedOptions) -> Result<Self, LogError> {
        let unusable = |cause: String| LogError::Unusable { path: path.to_owned(), cause };
        std::fs::create_dir_all(path)
            .map_err(|error| unusable(format!("{error}; choose a directory that can be written with --data")))?;
        let owner = owner::Owner::claim(path)?;
        let database = Database::builder(path.join("store"))
            .cache_size(options.cache_bytes)
            .max_journaling_size(128 * 1024 * 1024)
            .worker_threads(2)
            .open()
            .map_err(|error| match error {
                fjall::Error::Locked => LogError::InUse { path: path.to_owned(), owner: "another process".to_owned() },
                other => unusable(format!("{other}; run \"meshlog doctor\", or restore the directory from a backup")),
            })?;
        let keyspace = |name: &str, memtable: u64| {
            database
                .keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(memtable))
                .map_err(|error| unusable(error.to_string()))
        };
        let meta = keyspace("meta", 1024 * 1024)?;
        let layout = settle_layout(&meta, &options.layout).map_err(unusable)?;
        let mut topics = BTreeMap::new();
        for topic in &layout {
            let records = keyspace(topic.topic.name(), options.memtable_bytes)?;
            let ends = (0..topic.partitions)
                .map(|id| find_end(&records, Partition { topic: topic.topic, id }).map(AtomicU64::new))
                .collect::<Result<_, _>>()?;
            topics.insert(topic.topic, TopicStore { records, ends, appended: Signal::default() });
        }
        Ok(Self {
            path: path.to_owned(),
            layout,
            topics,
            identities: keyspace("identities", options.memtable_bytes)?,
            progress: keyspace("progress", 1024 * 1024)?,
            database,
            room: Room::new(options.capacity),
            commits: AtomicU64::new(0),
            stopped: Mutex::new(None),
            _owner: owner,
        })
    }

    /// Compares the ends found with those known from before, and takes over the file that keeps them.
    fn settle_ends(&self) -> Result<ends::EndsFile, LogError> {
        let unusable = |cause: String| LogError::Unusable { path: self.path.clone(), cause };
        let (mut file, known) = ends::EndsFile::open(&self.path).map_err(|error| unusable(error.to_string()))?;
        for (partition, known_end) in known.iter() {
            let found = self.end(partition)?.load(Ordering::Acquire);
            if found < known_end {
                let file = self.path.join(ends::NAME);
                return Err(unusable(format!(
                    "acknowledged records are gone: {partition} ends at {found}, but {known_end} records were \
                     acknowledged, so its storage was damaged or exchanged; restore the log from a backup, or remove {} \
                     to go on without them",
                    file.display()
                )));
            }
        }
        file.write(&self.ends()).map_err(|error| unusable(error.to_string()))?;
        Ok(file)
    }

    /// The high watermarks of all partitions.
    fn ends(&self) -> Checkpoints {
        let partitions = self.topics.iter().flat_map(|(topic, store)| {
            (0..).zip(&store.ends).map(|(id, end)| (Partition { topic: *topic, id }, end.load(Ordering::Acquire)))
        });
        partitions.collect()
    }

    fn end(&self, partition: Partition) -> Result<&AtomicU64, LogError> {
        self.topics
            .get(&partition.topic)
            .and_then(|store| store.ends.get(partition.id as usize))
            .ok_or(LogError::NoPartition(partition))
    }

    fn read(
        &self,
        partition: Partition,
        offsets: std::ops::Range<Offset>,
        limit: ReadLimit,
    ) -> Result<Vec<Record>, LogError> {
        let key = |offset| frame::storage_key(Position { partition, offset });
        let mut records = Vec::new();
        let mut bytes = 0;
        let mut expected = offsets.start;
        for entry in self.topics[&partition.topic].records.range(key(offsets.start)..key(offsets.end)) {
            if records.len() >= limit.records || (bytes >= limit.bytes && !records.is_empty()) {
                return Ok(records);
            }
            let position = Position { partition, offset: expected };
            match read_entry(entry, position) {
                Ok(record) => {
                    bytes += record.key.len() + record.body.len();
                    records.push(record);
                }
                // What came before is intact: answer it now, and the error when the reader comes back.
                Err(_) if !records.is_empty() => return Ok(records),
                Err(cause) => return Err(LogError::Corrupt { position, cause }),
            }
            expected += 1;
        }
        if records.len() < limit.records && expected < offsets.end && records.is_empty() {
            let position = Position { partition, offset: expected };
            return Err(LogError::Corrupt { position, cause: "it is missing".to_owned() });
        }
        Ok(records)
    }

    /// When the partition's last record was taken in; 0 where there is none, or none that can be read. A damaged last
    /// record is reported to its readers; it does not keep the log from opening.
    fn last_appended_at(&self, partition: Partition, end: Offset) -> i64 {
        let last = self.read(partition, end.saturating_sub(1)..end, ReadLimit { records: 1, bytes: 0 });
        last.ok().and_then(|records| Some(records.first()?.appended_at)).unwrap_or(0)
    }

    fn stop(&self, reason: &str) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.get_or_insert_with(|| reason.to_owned());
        drop(stopped);
        self.room.close();
    }

    fn stopped_error(&self) -> AppendError {
        let reason = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        AppendError::Stopped { reason: reason.unwrap_or_else(|| "its writer has ended".to_owned()) }
    }
}

fn read_entry(entry: fjall::Guard, position: Position) -> Result<Record, String> {
    let (key, value) = entry.into_inner().map_err(|error| format!("its block cannot be read: {error}"))?;
    if *key != frame::storage_key(position) {
        return Err("it is missing".to_owned());
    }
    frame::decode(position, &value)
}

/// The high watermark of a partition: one after its last stored offset.
fn find_end(records: &Keyspace, partition: Partition) -> Result<Offset, LogError> {
    let Some(last) = records.prefix(partition.id.to_be_bytes()).next_back() else {
        return Ok(0);
    };
    let key = last.key().map_err(|error| storage("find the end of a partition", error))?;
    let offset = key.get(4..12).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    offset.map(|offset| offset + 1).ok_or_else(|| LogError::Storage {
        action: "find the end of a partition",
        cause: format!("a key of {partition} has {} bytes, not 12", key.len()),
    })
}

/// Checks the format, keeps the partition counts of topics that exist, and records those of new ones.
fn settle_layout(meta: &Keyspace, wanted: &[TopicLayout]) -> Result<Vec<TopicLayout>, String> {
    let get = |key: &str| -> Result<Option<String>, String> {
        let value = meta.get(key).map_err(|error| error.to_string())?;
        Ok(value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    let put = |key: &str, value: String| meta.insert(key, value).map_err(|error| error.to_string());
    match get("format")? {
        None => put("format", FORMAT.to_owned())?,
        Some(format) if format == FORMAT => {}
        Some(format) => {
            return Err(format!("its format is {format}, this program reads {FORMAT}; use the meshlog that wrote it"));
        }
    }
    let mut layout = Vec::with_capacity(wanted.len());
    for topic in wanted {
        let key = format!("topic/{}", topic.topic);
        let partitions = match get(&key)? {
            Some(kept) => kept.parse().map_err(|_| format!("the partition count of {} is damaged", topic.topic))?,
            None => {
                put(&key, topic.partitions.to_string())?;
                topic.partitions
            }
        };
        layout.push(TopicLayout { topic: topic.topic, partitions });
    }
    Ok(layout)
}

fn storage(action: &'static str, cause: impl std::fmt::Display) -> LogError {
    LogError::Storage { action, cause: cause.to_string() }
}

#[cfg(test)]
mod tests;
