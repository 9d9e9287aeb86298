//! A partition: its segments in order, and the range of offsets that readers see.
//!
//! Owns: which segment holds an offset, when a new one begins, and which are taken away by retention.
//! Never: shows a record before the writer has published it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use meshlog_schemas::{Offset, Partition};
use uuid::Uuid;

use super::{
    disk::Disk,
    manifest::PartitionFiles,
    segment::{Mark, Segment},
};
use crate::{
    log::LogError,
    record::{Bounds, ReadLimit, Record},
};

/// Records of one partition that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) frames: Vec<u8>,
    pub(super) first: Offset,
    pub(super) records: u32,
    /// Relative to `frames`.
    pub(super) marks: Vec<Mark>,
    pub(super) appended_at: i64,
}

/// One partition's records on disk.
pub(super) struct PartitionLog {
    pub(super) partition: Partition,
    log: Uuid,
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    segments: RwLock<Vec<Arc<Segment>>>,
    start: AtomicU64,
    end: AtomicU64,
    /// Whether a file came or went since the directory was synced.
    names_changed: AtomicBool,
}

/// The directory of a partition's files.
pub(super) fn directory(root: &Path, partition: Partition) -> PathBuf {
    root.join("topics").join(partition.topic.name()).join(partition.id.to_string())
}

impl PartitionLog {
    /// Opens the files that the manifest names; the error names the file at fault.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        root: &Path,
        log: Uuid,
        partition: Partition,
        files: &PartitionFiles,
        segment_bytes: u64,
    ) -> Result<Self, String> {
        let directory = directory(root, partition);
        let open = |extent: &_| Segment::open(disk, &directory, partition, *extent, log).map(Arc::new);
        let segments = files.segments.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            partition,
            log,
            disk: disk.clone(),
            segment_bytes,
            segments: RwLock::new(segments),
            start: AtomicU64::new(files.start),
            end: AtomicU64::new(files.end()),
            names_changed: AtomicBool::new(false),
            directory,
        })
    }

    /// The range that readers see.
    pub(super) fn bounds(&self) -> Bounds {
        // Start first: it never passes an end that was read later.
        let start = self.start.load(Ordering::Acquire);
        Bounds { start, end: self.end.load(Ordering::Acquire) }
    }

    /// Reads from `from` on, which lies within the bounds.
    pub(super) fn read(&self, from: Offset, end: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let mut records = Vec::with_capacity(limit.records.min(1_024).min((end - from) as usize));
        let mut next = from;
        let mut bytes = limit.bytes;
        while next < end && records.len() < limit.records && (bytes > 0 || records.is_empty()) {
            let Some(segment) = self.segment_of(next) else { break };
            let before = records.len();
            let read = segment.read(next, end, ReadLimit { records: limit.records, bytes }, &mut records);
            if let Err(error) = read {
                // What came before is intact: answer it now, and the error when the reader comes back.
                if records.is_empty() {
                    return Err(error);
                }
                break;
            }
            let read = &records[before..];
            bytes = bytes.saturating_sub(read.iter().map(|record| record.key.len() + record.body.len()).sum());
            match read.last() {
                Some(last) if last.position.offset + 1 > next => next = last.position.offset + 1,
                _ => break,
            }
            if next < segment.extent().end {
                break;
            }
        }
        Ok(records)
    }

    fn segment_of(&self, offset: Offset) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.base <= offset);
        behind.checked_sub(1).map(|index| segments[index].clone())
    }

    /// The segment that is written, if there is one yet.
    pub(super) fn active(&self) -> Option<Arc<Segment>> {
        self.segments().last().cloned()
    }

    /// All segments in order.
    pub(super) fn all(&self) -> Vec<Arc<Segment>> {
        self.segments().clone()
    }

    /// Makes sure that `bytes` more can be appended without running out of space; begins a new segment if the last is full.
    pub(super) fn make_room(&self, bytes: u64) -> io::Result<()> {
        let active = self.active();
        if let Some(active) = &active {
            let extent = active.extent();
            if extent.bytes + bytes <= self.segment_bytes || extent.end == extent.base {
                return active.reserve(bytes);
            }
        }
        let base = active.as_ref().map_or(self.end.load(Ordering::Acquire), |active| active.extent().end);
        let new = Segment::create(&self.disk, &self.directory, self.partition, base, self.log)?;
        new.reserve(bytes)?;
        if let Some(full) = active {
            full.trim()?;
        }
        self.names_changed.store(true, Ordering::Release);
        self.segments_mut().push(Arc::new(new));
        Ok(())
    }

    /// Appends to the last segment, for which room was made. Readers see it once it is published.
    pub(super) fn append(&self, pending: &Pending) -> io::Result<()> {
        let active = self.active().ok_or_else(|| io::Error::other("no room was made"))?;
        let end = pending.first + u64::from(pending.records);
        active.append(&pending.frames, end, &pending.marks, pending.appended_at)
    }

    /// Shows readers everything before `end`.
    pub(super) fn publish(&self, end: Offset) {
        self.end.store(end, Ordering::Release);
    }

    /// Makes everything appended before the call durable, names too, and writes the indexes.
    pub(super) fn sync(&self) -> io::Result<()> {
        for segment in self.all() {
            segment.sync()?;
            segment.write_index()?;
        }
        if self.names_changed.swap(false, Ordering::AcqRel)
            && let Err(error) = self.disk.sync_directory(&self.directory)
        {
            self.names_changed.store(true, Ordering::Release);
            return Err(error);
        }
        Ok(())
    }

    /// What a manifest says of it now.
    pub(super) fn files(&self) -> PartitionFiles {
        let segments = self.segments();
        let start = self.start.load(Ordering::Acquire);
        PartitionFiles { start, segments: segments.iter().map(|segment| segment.extent()).collect() }
    }

    /// Lets go of the segments before `start`, which is the base of one of them, and answers their paths. Readers that have
    /// them open finish.
    pub(super) fn forget_before(&self, start: Offset) -> Vec<PathBuf> {
        let mut segments = self.segments_mut();
        let kept = segments.partition_point(|segment| segment.base < start);
        let gone = segments.drain(..kept).map(|segment| segment.path().to_owned()).collect();
        self.start.store(start, Ordering::Release);
        self.names_changed.store(true, Ordering::Release);
        gone
    }

    /// Cuts everything behind what `files` says. Only before the log is open.
    pub(super) fn cut_to(&self, files: &PartitionFiles) -> io::Result<()> {
        match (self.active(), files.segments.last()) {
            (Some(active), Some(extent)) => active.cut_to(*extent),
            _ => Ok(()),
        }
    }

    /// Takes away files that `files` does not name: of a retention or an append that a crash cut short. Only before the log
    /// is open.
    pub(super) fn remove_strays(&self, files: &PartitionFiles) -> io::Result<()> {
        let known: Vec<String> = files.segments.iter().map(|extent| super::segment::file_name(extent.base)).collect();
        for name in self.disk.list(&self.directory)? {
            let segment = name.replace(".index", ".segment");
            if !known.contains(&segment) {
                self.disk.remove(&self.directory.join(name))?;
            }
        }
        Ok(())
    }

    fn segments(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments_mut(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}
