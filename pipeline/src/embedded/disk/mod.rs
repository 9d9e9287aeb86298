//! The disk: every file operation that the log's durability rests on, as one small trait.
//!
//! Owns: the seam. The log reaches its files through [`Disk`] alone, so that tests can put a disk below it that loses
//! power, runs full or fails (see `simulated`), and so that every sync, rename and write has a failpoint (see `real`).
//! Never: knows what a file holds.

mod real;
#[cfg(test)]
pub(super) mod simulated;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) use real::RealDisk;

/// A file system.
///
/// What the log relies on, and no more: bytes are durable after [`File::sync`] has returned, names (a creation, a rename,
/// a removal) after [`Disk::sync_directory`]; a rename is atomic; a write that was not synced may be lost, torn or reordered.
/// After a sync that failed nothing is known of what was not synced before.
pub(super) trait Disk: Send + Sync + 'static {
    /// Makes a directory and those above it; no error if it exists.
    fn create_directories(&self, path: &Path) -> io::Result<()>;

    /// The names of the entries of a directory, in no order; empty if there is no such directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Opens a file that exists, to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Makes an empty file, or empties one that exists, to read and write.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name, in the place of the one that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Reading and writing may go on at the same time; writers keep apart from each other by themselves.
pub(super) trait File: Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Appends up to `most` bytes from `offset` on to `buffer`; fewer only at the end of the file.
    fn read_into(&self, buffer: &mut Vec<u8>, offset: u64, most: usize) -> io::Result<()>;

    /// Writes all the bytes at `offset`; makes the file longer if needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reserves space for bytes from `offset` on, so that writing them cannot run out of it; changes no content and no
    /// length. A file system without this promise may answer `Ok`.
    fn reserve(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Cuts the file to this length.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes content and length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}

/// Reads a whole file.
pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = usize::try_from(file.length()?).map_err(|_| io::Error::other("the file is too long"))?;
    let mut bytes = Vec::with_capacity(length);
    file.read_into(&mut bytes, 0, length)?;
    Ok(bytes)
}

/// Puts `bytes` in the place of a file's content, durably: after a crash it is the old one or the new one, whole.
pub(super) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let file = disk.create(&new)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    disk.rename(&new, path)?;
    disk.sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Whether an error says that the disk, or what one may take of it, is full. Everything else is a fault.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
