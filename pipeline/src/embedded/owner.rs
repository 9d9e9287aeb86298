//! Ownership: one process writes a log.
//!
//! Owns: the file `owner`, locked as long as the log is open; it names the process for the one that comes second.
//! Never: removes the file. The lock counts, not the file, so a killed process leaves nothing to clean up.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use crate::log::LogError;

/// The claim on a log's directory; given back on drop, also when the process dies.
pub(super) struct Owner {
    _locked: File,
}

impl Owner {
    /// Claims the directory for this process.
    pub(super) fn claim(directory: &Path) -> Result<Self, LogError> {
        Self::claim_with(directory, true)
    }

    /// Claims a directory that a log is in already.
    pub(super) fn claim_existing(directory: &Path) -> Result<Self, LogError> {
        Self::claim_with(directory, false)
    }

    fn claim_with(directory: &Path, create: bool) -> Result<Self, LogError> {
        let unusable = |error: std::io::Error| LogError::Unusable {
            path: directory.to_owned(),
            cause: format!("{error}; choose a directory that can be written with --data"),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(directory.join("owner"))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The name is a help only: if it cannot be read, the refusal stands without it.
                let _ = file.read_to_string(&mut owner);
                let owner = if owner.is_empty() { "another process".to_owned() } else { owner.trim().to_owned() };
                return Err(LogError::InUse { path: directory.to_owned(), owner });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let name = format!("process {}\n", std::process::id());
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(unusable)?;
        file.write_all(name.as_bytes()).map_err(unusable)?;
        Ok(Self { _locked: file })
    }
}
