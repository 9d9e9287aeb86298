//! Walking frames: one after the other through a file, chunk by chunk.
//!
//! Owns: finding where each frame begins, checking that offsets follow each other, and finding the way again behind a
//! damaged header.
//! Never: holds more than a chunk, or one frame where that is longer.

use std::io;

use bytes::Bytes;
use meshlog_schemas::Offset;

use super::{
    disk::File,
    frame::{self, HEADER, Head},
};

/// What is read at once.
const CHUNK: usize = 1024 * 1024;

/// A place in a file where no intact frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    /// The offset that was expected there.
    pub(super) offset: Offset,
    /// Where in the file, in bytes.
    pub(super) at: u64,
    /// How it shows.
    pub(super) cause: String,
}

/// Why a walk cannot go on.
#[derive(Debug)]
pub(super) enum WalkError {
    /// The next frame is damaged.
    Damage(Damage),
    /// The file cannot be read.
    Io(io::Error),
}

/// A frame on the way.
pub(super) struct Found {
    pub(super) head: Head,
    /// Where in the file it begins, in bytes.
    pub(super) at: u64,
    /// The whole frame; shares the chunk's memory.
    pub(super) bytes: Bytes,
}

/// A walk over the frames of one partition in `from..to` of a file.
pub(super) struct Walk<'a> {
    file: &'a dyn File,
    tag: u32,
    chunk: Bytes,
    /// Where in the file the chunk begins.
    chunk_at: u64,
    /// Where in the file the next frame begins.
    at: u64,
    to: u64,
    expected: Offset,
    chunk_bytes: usize,
}

impl<'a> Walk<'a> {
    /// Begins at byte `from`, where the frame of offset `expected` should be; ends at byte `to`.
    pub(super) fn new(file: &'a dyn File, tag: u32, from: u64, to: u64, expected: Offset) -> Self {
        Self { file, tag, chunk: Bytes::new(), chunk_at: from, at: from, to, expected, chunk_bytes: CHUNK }
    }

    /// Reads this much at once instead of a whole chunk.
    pub(super) fn reading(self, bytes: usize) -> Self {
        Self { chunk_bytes: bytes.clamp(4 * 1024, CHUNK), ..self }
    }

    /// Where the next frame begins, in bytes, and the offset expected there.
    pub(super) fn place(&self) -> (u64, Offset) {
        (self.at, self.expected)
    }

    /// The next frame, its header checked but not its payload; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Found>, WalkError> {
        if self.at >= self.to {
            return Ok(None);
        }
        let damage = |walk: &Self, cause| WalkError::Damage(Damage { offset: walk.expected, at: walk.at, cause });
        if self.available() < HEADER {
            self.fill(HEADER)?;
        }
        let head = frame::read_head(self.ahead(), self.tag).map_err(|cause| damage(self, cause))?;
        if head.offset != self.expected {
            return Err(damage(self, format!("the record of offset {} stands there", head.offset)));
        }
        if self.available() < head.length() {
            self.fill(head.length())?;
        }
        if self.available() < head.length() {
            return Err(damage(self, format!("only {} of its {} bytes are left", self.available(), head.length())));
        }
        let start = self.in_chunk();
        let found = Found { head, at: self.at, bytes: self.chunk.slice(start..start + head.length()) };
        self.at += head.length() as u64;
        self.expected += 1;
        Ok(Some(found))
    }

    /// Goes on behind a damaged frame: at the next place where an intact header of a later offset is. Answers whether
    /// there is one.
    pub(super) fn skip_damage(&mut self) -> Result<bool, WalkError> {
        let highest = self.expected.saturating_add(self.to - self.at);
        while self.at + 1 < self.to {
            self.at += 1;
            if self.available() < HEADER {
                self.fill(CHUNK)?;
            }
            if let Ok(head) = frame::read_head(self.ahead(), self.tag)
                && (self.expected..=highest).contains(&head.offset)
            {
                self.expected = head.offset;
                return Ok(true);
            }
        }
        self.at = self.to;
        Ok(false)
    }

    fn in_chunk(&self) -> usize {
        // A chunk is far below the size of memory.
        (self.at - self.chunk_at) as usize
    }

    fn ahead(&self) -> &[u8] {
        self.chunk.get(self.in_chunk()..).unwrap_or_default()
    }

    fn available(&self) -> usize {
        self.ahead().len()
    }

    /// Reads a new chunk that begins with the next frame and has `least` bytes, where the file has them.
    fn fill(&mut self, least: usize) -> Result<(), WalkError> {
        let left = usize::try_from(self.to - self.at).unwrap_or(usize::MAX);
        let most = least.max(self.chunk_bytes).min(left);
        let mut buffer = Vec::with_capacity(most);
        self.file.read_into(&mut buffer, self.at, most).map_err(WalkError::Io)?;
        self.chunk = buffer.into();
        self.chunk_at = self.at;
        Ok(())
    }
}
