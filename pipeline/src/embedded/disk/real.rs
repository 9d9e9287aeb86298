//! The real disk.
//!
//! Owns: the system calls, and a failpoint at each that changes something: `KIND.OPERATION`, where KIND is `journal`,
//! `segment`, `index`, `manifest` or `directory`, and OPERATION `create`, `write`, `reserve`, `sync`, `truncate`, `rename`
//! or `remove`. Failpoints exist only in tests and in builds with the feature `failpoints`; `FAILPOINTS` in the environment or
//! `fail::cfg` sets them: `journal.sync=return(error)` fails, `return(full)` finds the disk full, `return(abort)` kills the
//! process at this point, `panic` and `sleep(milliseconds)` do what they say, `3*off->...` lets three pass before.
//! Never: retries. What a failure means is decided above.

use std::{
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    buffer::spare_capacity,
    fs::{FallocateFlags, fallocate},
    io::{Errno, pread},
};

use super::{Disk, File};

/// The operating system's file system.
pub(in crate::embedded) struct RealDisk;

struct RealFile {
    file: fs::File,
    kind: &'static str,
}

impl Disk for RealDisk {
    fn create_directories(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::File::options().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile { file, kind: kind(path) }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let kind = kind(path);
        failpoint(kind, "create")?;
        let file = fs::File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(RealFile { file, kind }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        failpoint(kind(to), "rename")?;
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        failpoint(kind(path), "remove")?;
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        failpoint("directory", "sync")?;
        fs::File::open(path)?.sync_all()
    }
}

impl File for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_into(&self, buffer: &mut Vec<u8>, offset: u64, most: usize) -> io::Result<()> {
        let end = buffer.len() + most;
        buffer.reserve(most);
        while buffer.len() < end {
            let at = offset + (most - (end - buffer.len())) as u64;
            // A vector may have more room than was asked for: what came too much is cut below.
            match pread(&self.file, spare_capacity(buffer), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buffer.truncate(end);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        failpoint(self.kind, "write")?;
        self.file.write_all_at(bytes, offset)
    }

    fn reserve(&self, offset: u64, length: u64) -> io::Result<()> {
        failpoint(self.kind, "reserve")?;
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, length) {
            // Without reservation a full disk shows only at the write, which is handled too.
            Err(Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        failpoint(self.kind, "truncate")?;
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        failpoint(self.kind, "sync")?;
        self.file.sync_data()
    }
}

/// What a file is for, by its name.
fn kind(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = PathBuf::from(name.trim_end_matches(".new"));
    match name.extension().and_then(|extension| extension.to_str()) {
        Some("journal") => "journal",
        Some("segment") => "segment",
        Some("index") => "index",
        _ => "manifest",
    }
}

#[cfg(any(test, feature = "failpoints"))]
fn failpoint(kind: &str, operation: &str) -> io::Result<()> {
    let name = format!("{kind}.{operation}");
    fail::fail_point!(&name, |action| match action.as_deref() {
        Some("abort") => std::process::abort(),
        Some("full") => Err(io::ErrorKind::StorageFull.into()),
        _ => Err(io::Error::other(format!("the failpoint {name} is set"))),
    });
    Ok(())
}

#[cfg(not(any(test, feature = "failpoints")))]
#[inline]
fn failpoint(_kind: &str, _operation: &str) -> io::Result<()> {
    Ok(())
}
