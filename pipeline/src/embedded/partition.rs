//! A partition: its segments in order, the tail that is not in them yet, and the range of offsets that readers see.
//!
//! ```text
//!        segments                    tail
//!   |  0 ..  99 | 100 .. 180 |  181 .. 200 |
//!   ^start       (files)        (memory)   ^end
//! ```
//! The tail is the newest group: its records are durable in the journal, and readers see them while they are being copied to the
//! last segment. If that fails they are read from memory until the log is opened again.
//!
//! Owns: which segment holds an offset, when a new one begins, and which are taken away by retention.
//! Never: shows a record before the writer has published it.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use meshlog_schemas::{Offset, Partition, Position};
use uuid::Uuid;

use super::{
    disk::Disk,
    frame,
    manifest::PartitionFiles,
    segment::{Mark, Segment},
};
use crate::{
    log::LogError,
    record::{Bounds, ReadLimit, Record},
};

/// Records of one partition on their way to its segment.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) frames: Vec<u8>,
    pub(super) first: Offset,
    pub(super) records: u32,
    /// Relative to `frames`.
    pub(super) marks: Vec<Mark>,
    pub(super) appended_at: i64,
}

impl Pending {
    /// The offset behind the last.
    pub(super) fn end(&self) -> Offset {
        self.first + u64::from(self.records)
    }

    /// Holds none again, and keeps memory for the next, but no more than `most` bytes of it.
    pub(super) fn clear(&mut self, most: usize) {
        self.frames.clear();
        self.frames.shrink_to(most);
        self.marks.clear();
        self.records = 0;
    }
}

/// One partition's records on disk.
pub(super) struct PartitionLog {
    pub(super) partition: Partition,
    log: Uuid,
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    segments: RwLock<Vec<Arc<Segment>>>,
    /// Published, and not in the segments yet.
    tail: RwLock<Option<Arc<Pending>>>,
    start: AtomicU64,
    end: AtomicU64,
    /// Whether a file came or went since the directory was synced.
    names_changed: AtomicBool,
}

/// Where a record stands.
enum Place {
    /// In a segment, which held everything before this offset when it was looked for.
    Segment(Arc<Segment>, Offset),
    Tail(Arc<Pending>),
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
            tail: RwLock::default(),
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
            let Some(place) = self.place_of(next) else { break };
            let before = records.len();
            let limit = ReadLimit { records: limit.records, bytes };
            let read = match &place {
                Place::Segment(segment, held) => segment.read(next, end.min(*held), limit, &mut records),
                Place::Tail(tail) => self.read_tail(tail, next..end, limit, &mut records),
            };
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
            if matches!(place, Place::Segment(_, held) if next < held) {
                break;
            }
        }
        Ok(records)
    }

    /// Where the record of an offset before the end stands.
    fn place_of(&self, offset: Offset) -> Option<Place> {
        let in_tail = || self.tail_with(offset).map(Place::Tail);
        // Between the first look and the second it may have gone from the tail to the segment.
        self.segment_of(offset).or_else(in_tail).or_else(|| self.segment_of(offset))
    }

    fn segment_of(&self, offset: Offset) -> Option<Place> {
        let segments = self.segments();
        let behind = segments.partition_point(|segment| segment.base <= offset);
        let segment = &segments[behind.checked_sub(1)?];
        let held = segment.extent().end;
        (offset < held).then(|| Place::Segment(segment.clone(), held))
    }

    fn tail_with(&self, offset: Offset) -> Option<Arc<Pending>> {
        let tail = self.tail.read().unwrap_or_else(PoisonError::into_inner);
        tail.as_ref().filter(|tail| (tail.first..tail.end()).contains(&offset)).cloned()
    }

    fn read_tail(
        &self,
        tail: &Pending,
        wanted: Range<Offset>,
        limit: ReadLimit,
        records: &mut Vec<Record>,
    ) -> Result<(), LogError> {
        let tag = frame::tag(self.partition);
        let (mut at, mut taken, before) = (0, 0, records.len());
        while at < tail.frames.len()
            && records.len() < limit.records
            && (taken < limit.bytes || records.len() == before)
        {
            let rest = &tail.frames[at..];
            let corrupt = |cause| LogError::Corrupt {
                position: Position { partition: self.partition, offset: wanted.start },
                cause: format!("byte {at} of the newest records, in memory: {cause}"),
            };
            let head = frame::read_head(rest, tag).map_err(corrupt)?;
            if head.offset >= wanted.end {
                break;
            }
            if head.offset >= wanted.start {
                let record = head.record(self.partition, &Bytes::copy_from_slice(&rest[..head.length()]));
                let record = record.map_err(corrupt)?;
                taken += record.key.len() + record.body.len();
                records.push(record);
            }
            at += head.length();
        }
        Ok(())
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

    /// Shows readers records that are durable and follow the last. Room was made for them; they are copied by
    /// [`PartitionLog::copy_tail`], before more are published.
    pub(super) fn publish(&self, records: Arc<Pending>) {
        let end = records.end();
        *self.tail_mut() = Some(records);
        self.end.store(end, Ordering::Release);
    }

    /// Copies what was published last to the last segment. After a failure it is read from memory.
    pub(super) fn copy_tail(&self) -> io::Result<()> {
        let Some(tail) = self.tail.read().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(()) };
        let active = self.active().ok_or_else(|| io::Error::other("no room was made"))?;
        active.append(&tail.frames, tail.end(), &tail.marks, tail.appended_at)?;
        *self.tail_mut() = None;
        Ok(())
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

    fn tail_mut(&self) -> std::sync::RwLockWriteGuard<'_, Option<Arc<Pending>>> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn segments_mut(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}
