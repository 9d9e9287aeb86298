//! A segment: a file of one partition's records, from a base offset on.
//!
//! ```text
//! 0  magic "MESHSEG1" | log id (16 bytes) | base offset u64 LE | partition's tag u32 LE | CRC-32 of these u32 LE
//! 40 frames, one behind the other (see `frame`)
//! ```
//! Beside it stands `BASE.index`: sparse marks, so that any offset is found with one short read.
//!
//! ```text
//! 0  magic "MESHIDX1" | log id | base u64 | tag u32 | covered bytes u64 | count u32 | CRC-32 of all the rest u32
//! 52 count x (offset - base u32 | place in bytes u32)
//! ```
//! An index says nothing that the segment does not say: one that is missing or damaged is made again.
//!
//! Owns: both files. A segment is written once, from front to back; what was written never changes, and no compaction ever
//! copies it.
//! Never: decides what is durable; the journal holds every record until its segment is synced.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use meshlog_schemas::{Offset, Partition, Position};
use uuid::Uuid;

use super::{
    disk::{Disk, File, read_whole},
    frame,
    frames::{Walk, WalkError},
};
use crate::{
    log::LogError,
    record::{ReadLimit, Record},
};

/// The length of a segment's header in bytes.
pub(super) const HEADER: usize = 40;
/// How far marks stand apart, in bytes.
pub(super) const STRIDE: usize = 32 * 1024;
/// Space is reserved in steps of this much.
const RESERVE: u64 = 4 * 1024 * 1024;

const MAGIC: &[u8; 8] = b"MESHSEG1";
const INDEX_MAGIC: &[u8; 8] = b"MESHIDX1";
pub(super) const INDEX_HEADER: usize = 52;
/// How many readers' places are remembered.
const READERS: usize = 8;

/// Where a record begins: its offset and its place in the file.
pub(super) type Mark = (Offset, u64);

/// An open segment.
pub(super) struct Segment {
    pub(super) partition: Partition,
    pub(super) base: Offset,
    tag: u32,
    log: Uuid,
    path: PathBuf,
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    written: RwLock<Written>,
    /// Places where readers left off, so that reading on needs no search.
    left_off: Mutex<([Mark; READERS], usize)>,
}

#[derive(Debug, Default)]
struct Written {
    /// The offset behind the last record.
    end: Offset,
    /// Bytes of the file that hold header and records.
    bytes: u64,
    /// Bytes that are reserved.
    reserved: u64,
    last_appended_at: i64,
    /// `None`: not read from its file yet.
    marks: Option<Vec<Mark>>,
    /// Whether the index's file holds fewer marks than this.
    index_is_behind: bool,
    /// Bytes that may not be durable yet.
    unsynced: u64,
}

/// What the manifest says of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) base: Offset,
    pub(super) end: Offset,
    pub(super) bytes: u64,
    pub(super) last_appended_at: i64,
}

/// The name of the segment with this base.
pub(super) fn file_name(base: Offset) -> String {
    format!("{base:020}.segment")
}

impl Segment {
    /// Makes a new segment; a file in its place, left by a crash, is overwritten.
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        partition: Partition,
        base: Offset,
        log: Uuid,
    ) -> io::Result<Self> {
        let path = directory.join(file_name(base));
        let file = disk.create(&path)?;
        let tag = frame::tag(partition);
        file.reserve(0, HEADER as u64)?;
        file.write_at(&header(log, base, tag), 0)?;
        let bytes = HEADER as u64;
        let written = Written {
            end: base,
            bytes,
            reserved: bytes,
            marks: Some(Vec::new()),
            unsynced: bytes,
            ..Written::default()
        };
        Ok(Self::with(disk, partition, base, log, path, file, written))
    }

    /// Opens the segment that the manifest knows, and checks that the file is that segment and not shorter.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        partition: Partition,
        extent: Extent,
        log: Uuid,
    ) -> Result<Self, String> {
        let path = directory.join(file_name(extent.base));
        let named = |cause: String| format!("{}: {cause}", path.display());
        let file = disk.open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => named(format!(
                "the file is missing; it holds {partition} from offset {} to {} (exclusive)",
                extent.base, extent.end
            )),
            _ => named(error.to_string()),
        })?;
        let mut bytes = Vec::new();
        file.read_into(&mut bytes, 0, HEADER).map_err(|error| named(error.to_string()))?;
        if bytes != header(log, extent.base, frame::tag(partition)) {
            return Err(named(format!("it is damaged or not the file of {partition} from offset {} on", extent.base)));
        }
        let length = file.length().map_err(|error| named(error.to_string()))?;
        if length < extent.bytes {
            return Err(named(format!(
                "it was cut: {length} of {} bytes are left, so acknowledged records of {partition} before offset {} are gone",
                extent.bytes, extent.end
            )));
        }
        let written = Written {
            end: extent.end,
            bytes: extent.bytes,
            reserved: extent.bytes,
            last_appended_at: extent.last_appended_at,
            ..Written::default()
        };
        Ok(Self::with(disk, partition, extent.base, log, path, file, written))
    }

    fn with(
        disk: &Arc<dyn Disk>,
        partition: Partition,
        base: Offset,
        log: Uuid,
        path: PathBuf,
        file: Arc<dyn File>,
        written: Written,
    ) -> Self {
        let left_off = Mutex::new(([(base, HEADER as u64); READERS], 0));
        let tag = frame::tag(partition);
        let disk = disk.clone();
        Self { partition, base, tag, log, path, disk, file, written: RwLock::new(written), left_off }
    }

    /// What it holds.
    pub(super) fn extent(&self) -> Extent {
        let written = self.written();
        Extent { base: self.base, end: written.end, bytes: written.bytes, last_appended_at: written.last_appended_at }
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that `more` bytes can be written without running out of space.
    pub(super) fn reserve(&self, more: u64) -> io::Result<()> {
        let (from, needed) = {
            let written = self.written();
            (written.reserved, written.bytes + more)
        };
        if needed > from {
            // Small logs reserve little, busy ones in large steps.
            let step = (from / 2).clamp(64 * 1024, RESERVE);
            let to = needed.max(from + step);
            self.file.reserve(from, to - from)?;
            self.written_mut().reserved = to;
        }
        Ok(())
    }

    /// Appends whole frames that follow the last. `marks` are relative to the first byte of `frames`.
    pub(super) fn append(&self, frames: &[u8], end: Offset, marks: &[Mark], appended_at: i64) -> io::Result<()> {
        let at = self.written().bytes;
        self.file.write_at(frames, at)?;
        let mut written = self.written_mut();
        written.bytes = at + frames.len() as u64;
        written.end = end;
        written.last_appended_at = appended_at;
        written.unsynced += frames.len() as u64;
        if let Some(known) = &mut written.marks {
            known.extend(marks.iter().map(|(offset, place)| (*offset, at + place)));
        }
        written.index_is_behind = true;
        Ok(())
    }

    /// How many bytes may not be durable yet.
    pub(super) fn unsynced(&self) -> u64 {
        self.written().unsynced
    }

    /// Makes durable what was appended before the call.
    pub(super) fn sync(&self) -> io::Result<()> {
        let unsynced = self.unsynced();
        if unsynced > 0 {
            self.file.sync()?;
            let mut written = self.written_mut();
            written.unsynced = written.unsynced.saturating_sub(unsynced);
        }
        Ok(())
    }

    /// Writes the index if it is behind. It is not synced: whatever a crash leaves of it is recognised.
    pub(super) fn write_index(&self) -> io::Result<()> {
        let bytes = {
            let mut written = self.written_mut();
            let Some(marks) = written.marks.as_ref().filter(|_| written.index_is_behind) else { return Ok(()) };
            let bytes = index_bytes(self.log, self.base, self.tag, written.bytes, marks);
            written.index_is_behind = false;
            bytes
        };
        self.disk.create(&self.path.with_extension("index"))?.write_at(&bytes, 0)
    }

    /// Cuts off what lies behind `extent`; only before the segment is read or written.
    pub(super) fn cut_to(&self, extent: Extent) -> io::Result<()> {
        self.file.truncate(extent.bytes)?;
        let mut written = self.written_mut();
        *written = Written {
            end: extent.end,
            bytes: extent.bytes,
            reserved: extent.bytes,
            last_appended_at: extent.last_appended_at,
            marks: None,
            index_is_behind: true,
            unsynced: 1,
        };
        Ok(())
    }

    /// Gives back reserved space that will not be used.
    pub(super) fn trim(&self) -> io::Result<()> {
        let (bytes, reserved) = {
            let written = self.written();
            (written.bytes, written.reserved)
        };
        if reserved > bytes {
            self.file.truncate(bytes)?;
            self.written_mut().reserved = bytes;
        }
        Ok(())
    }

    /// All frames from the start, as far as they were appended.
    pub(super) fn walk(&self) -> Walk<'_> {
        Walk::new(&*self.file, self.tag, HEADER as u64, self.written().bytes, self.base)
    }

    /// The frames that lie behind what is known of the segment, left by a life that ended suddenly.
    pub(super) fn walk_behind(&self) -> io::Result<Walk<'_>> {
        let written = self.written();
        Ok(Walk::new(&*self.file, self.tag, written.bytes, self.file.length()?, written.end))
    }

    /// Appends records from `from` on to `records`, within `limit` and before `end`.
    ///
    /// # Errors
    /// The record at `from` is damaged, and `records` is as it was. Damage further on ends the read.
    pub(super) fn read(
        &self,
        from: Offset,
        end: Offset,
        limit: ReadLimit,
        records: &mut Vec<Record>,
    ) -> Result<(), LogError> {
        let (bytes, end) = {
            let written = self.written();
            (written.bytes, end.min(written.end))
        };
        let (offset, place) = self.find(from)?;
        let wanted = limit.bytes.saturating_add(limit.bytes / 4).saturating_add(STRIDE);
        let mut walk = Walk::new(&*self.file, self.tag, place, bytes, offset).reading(wanted);
        let mut taken = 0;
        let before = records.len();
        loop {
            let (_, next) = walk.place();
            if next >= end || records.len() >= limit.records || (taken >= limit.bytes && records.len() > before) {
                break;
            }
            let damaged = match walk.next() {
                Ok(Some(found)) if found.head.offset < from => continue,
                Ok(Some(found)) => match found.head.record(self.partition, &found.bytes) {
                    Ok(record) => {
                        taken += record.key.len() + record.body.len();
                        records.push(record);
                        continue;
                    }
                    Err(cause) => self.corrupt(found.head.offset, found.at, cause),
                },
                Ok(None) => self.corrupt(next, bytes, "it is missing".to_owned()),
                // On the way to `from`: behind the damage there may be a way to it.
                Err(WalkError::Damage(damage)) if damage.offset < from => {
                    let at = self.corrupt(from, damage.at, format!("{} before it is damaged too", damage.offset));
                    match walk.skip_damage() {
                        Ok(true) if walk.place().1 <= from => continue,
                        _ => at,
                    }
                }
                Err(WalkError::Damage(damage)) => self.corrupt(damage.offset, damage.at, damage.cause),
                Err(WalkError::Io(error)) => self.unread(&error),
            };
            // What came before is intact: answer it now, and the error when the reader comes back.
            if records.len() > before {
                break;
            }
            return Err(damaged);
        }
        let (place, next) = walk.place();
        self.leave_off((next, place));
        Ok(())
    }

    /// The nearest known place at or before `from`.
    fn find(&self, from: Offset) -> Result<Mark, LogError> {
        let mut best = (self.base, HEADER as u64);
        {
            let left_off = self.left_off.lock().unwrap_or_else(PoisonError::into_inner);
            let near = left_off.0.iter().filter(|(offset, _)| *offset <= from).max();
            best = near.copied().unwrap_or(best).max(best);
        }
        if best.0 == from {
            return Ok(best);
        }
        self.load_marks().map_err(|error| self.unread(&error))?;
        let written = self.written();
        let marks = written.marks.as_deref().unwrap_or_default();
        let behind = marks.partition_point(|(offset, _)| *offset <= from);
        Ok(behind.checked_sub(1).map_or(best, |index| marks[index].max(best)))
    }

    fn leave_off(&self, mark: Mark) {
        let mut left_off = self.left_off.lock().unwrap_or_else(PoisonError::into_inner);
        let (places, turn) = &mut *left_off;
        places[*turn] = mark;
        *turn = (*turn + 1) % READERS;
    }

    /// Reads the index, or makes it again.
    pub(super) fn load_marks(&self) -> io::Result<()> {
        if self.written().marks.is_some() {
            return Ok(());
        }
        let stored = read_whole(&*self.disk, &self.path.with_extension("index"));
        let stored = stored.ok().and_then(|bytes| parse_index(&bytes, self.log, self.base, self.tag));
        let mut written = self.written_mut();
        if written.marks.is_some() {
            return Ok(());
        }
        let mut marks = stored.unwrap_or_default();
        // A mark is taken on trust only as far as the segment reaches.
        marks.retain(|(offset, place)| *offset < written.end && *place < written.bytes);
        let (offset, place) = marks.last().copied().unwrap_or((self.base, HEADER as u64));
        let known = marks.len();
        let mut walk = Walk::new(&*self.file, self.tag, place, written.bytes, offset);
        let mut marked = place;
        loop {
            match walk.next() {
                Ok(None) => break,
                Ok(Some(found)) if found.at >= marked + STRIDE as u64 => {
                    marks.push((found.head.offset, found.at));
                    marked = found.at;
                }
                Ok(Some(_)) => {}
                // The damage is reported to those who read there; marks go on behind it.
                Err(WalkError::Damage(_)) => match walk.skip_damage() {
                    Ok(true) => {
                        let (place, offset) = walk.place();
                        marks.push((offset, place));
                        marked = place;
                    }
                    Ok(false) => break,
                    Err(error) => return Err(io_error(error)),
                },
                Err(error) => return Err(io_error(error)),
            }
        }
        written.index_is_behind = marks.len() > known;
        written.marks = Some(marks);
        Ok(())
    }

    fn corrupt(&self, offset: Offset, at: u64, cause: String) -> LogError {
        let position = Position { partition: self.partition, offset };
        LogError::Corrupt { position, cause: format!("{cause} (byte {at} of {})", self.path.display()) }
    }

    fn unread(&self, error: &io::Error) -> LogError {
        LogError::Storage { action: "read records", cause: format!("{}: {error}", self.path.display()) }
    }

    fn written(&self) -> std::sync::RwLockReadGuard<'_, Written> {
        self.written.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn written_mut(&self) -> std::sync::RwLockWriteGuard<'_, Written> {
        self.written.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lays out an index's file.
pub(super) fn index_bytes(log: Uuid, base: Offset, tag: u32, covered: u64, marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(INDEX_HEADER + marks.len() * 8);
    bytes.extend_from_slice(INDEX_MAGIC);
    bytes.extend_from_slice(log.as_bytes());
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(&covered.to_le_bytes());
    bytes.extend_from_slice(&(marks.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for (offset, place) in marks {
        // A segment is far below 4 GiB, and a record takes more than a byte.
        bytes.extend_from_slice(&((offset - base) as u32).to_le_bytes());
        bytes.extend_from_slice(&(*place as u32).to_le_bytes());
    }
    let crc = index_crc(&bytes);
    bytes[48..52].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads an index's file; `None` if it is not the whole index of that segment.
pub(super) fn parse_index(bytes: &[u8], log: Uuid, base: Offset, tag: u32) -> Option<Vec<Mark>> {
    let (header, marks) = bytes.split_at_checked(INDEX_HEADER)?;
    let is_ours = header[..8] == *INDEX_MAGIC
        && header[8..24] == *log.as_bytes()
        && header[24..32] == base.to_le_bytes()
        && header[32..36] == tag.to_le_bytes()
        && header[48..52] == index_crc(bytes).to_le_bytes()
        && marks.len() as u64 == 8 * u64::from(word(&header[44..]));
    is_ours.then(|| {
        marks.chunks_exact(8).map(|mark| (base + u64::from(word(mark)), u64::from(word(&mark[4..])))).collect()
    })
}

pub(super) fn index_crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..48]);
    hasher.update(&bytes[INDEX_HEADER..]);
    hasher.finalize()
}

/// The first four bytes as a number. Only called where there are as many.
fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn header(log: Uuid, base: Offset, tag: u32) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], log.as_bytes(), &base.to_le_bytes(), &tag.to_le_bytes()].concat();
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn io_error(error: WalkError) -> io::Error {
    match error {
        WalkError::Io(error) => error,
        WalkError::Damage(damage) => io::Error::other(damage.cause),
    }
}
