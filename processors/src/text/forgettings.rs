//! Forgettings: a file beside the index with everything that is forgotten, one a line, as JSON.
//!
//! Owns: the file, which only grows, and how much of it belongs to a commit: what stands behind that is of a commit that
//! failed, and is written over.
//! Promises: a file that is not as the commit says is refused.
//! Never: is rewritten with a commit, so that however much is forgotten, a commit costs no more for it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Seek, SeekFrom, Write},
    path::Path,
};

use super::cause::{Cause, REBUILD};
use crate::{Forgetting, Forgotten};

const FILE: &str = "forgettings";

/// The part of the file that belongs to a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its bytes.
    pub(crate) bytes: u64,
    /// A checksum of its lines, each taken together with those before; empty where there are none.
    pub(crate) checksum: String,
}

impl Extent {
    /// Reads what is forgotten.
    pub(crate) fn read(&self, directory: &Path) -> Result<Forgotten, Cause> {
        let file = match fs::read(directory.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let damaged = || Cause(format!("the file {FILE} is not as it was written; {REBUILD}"));
        let kept = usize::try_from(self.bytes).ok().and_then(|bytes| file.get(..bytes)).ok_or_else(damaged)?;
        let mut forgotten = Forgotten::default();
        let mut read = Self::default();
        for line in kept.split_inclusive(|byte| *byte == b'\n') {
            read.add(line);
            forgotten.add(&serde_json::from_slice(line).map_err(|_| damaged())?);
        }
        if read == *self { Ok(forgotten) } else { Err(damaged()) }
    }

    /// Writes more of it. It is durable on return, and belongs to the next commit that says so.
    pub(crate) fn append(&self, directory: &Path, forgettings: &[&Forgetting]) -> Result<Self, Cause> {
        let mut extent = self.clone();
        if forgettings.is_empty() {
            return Ok(extent);
        }
        let mut lines = Vec::new();
        for forgetting in forgettings {
            let mut line = serde_json::to_vec(forgetting)?;
            line.push(b'\n');
            extent.add(&line);
            lines.extend(line);
        }
        let mut file = File::options().create(true).truncate(false).write(true).open(directory.join(FILE))?;
        file.set_len(self.bytes)?;
        file.seek(SeekFrom::Start(self.bytes))?;
        file.write_all(&lines)?;
        file.sync_all()?;
        if self.bytes == 0 {
            File::open(directory)?.sync_all()?;
        }
        Ok(extent)
    }

    fn add(&mut self, line: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.checksum.as_bytes());
        hasher.update(line);
        self.checksum = hasher.finalize().to_hex()[..16].to_owned();
        self.bytes += line.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::Scope;

    fn forgetting(thread: &str) -> Forgetting {
        Forgetting { space: "s\n".into(), scope: Scope::Thread(thread.into()), until: 5 }
    }

    #[test]
    fn what_a_commit_says_is_read_and_nothing_behind_it() {
        let directory = TempDir::new().unwrap();
        let nothing = Extent::default();
        assert_eq!(nothing.read(directory.path()).unwrap(), Forgotten::default());
        let one = nothing.append(directory.path(), &[&forgetting("a")]).unwrap();
        one.append(directory.path(), &[&forgetting("of a commit that failed")]).unwrap();
        let two = one.append(directory.path(), &[&forgetting("b"), &forgetting("c")]).unwrap();
        assert_eq!([&one, &two].map(|extent| extent.read(directory.path()).unwrap().all().count()), [1, 3]);
    }

    #[test]
    fn a_changed_or_cut_file_is_refused() {
        let directory = TempDir::new().unwrap();
        let extent = Extent::default().append(directory.path(), &[&forgetting("a"), &forgetting("b")]).unwrap();
        let sound = fs::read(directory.path().join(FILE)).unwrap();
        for place in 0..sound.len() {
            let mut damaged = sound.clone();
            damaged[place] ^= 1;
            fs::write(directory.path().join(FILE), damaged).unwrap();
            assert!(extent.read(directory.path()).is_err(), "{place}");
            fs::write(directory.path().join(FILE), &sound[..place]).unwrap();
            assert!(extent.read(directory.path()).is_err(), "{place}");
        }
    }
}
