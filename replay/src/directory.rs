//! The directory of one projection's views: `projections/NAME/`.
//!
//! ```text
//! CURRENT            the name of the view that serves, one line
//! VERSION.N/         a view; N counts up, so that a rebuild of the same version has a directory of its own
//! ```
//!
//! Owns: these names, and the atomic change of `CURRENT` (written beside, fsynced, renamed, directory fsynced).
//! Never: opens a store.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::ReplayError;

const CURRENT: &str = "CURRENT";

/// A directory of views.
pub(crate) struct ViewDirectory(PathBuf);

impl ViewDirectory {
    /// The directory, made if it is missing.
    pub(crate) fn open(path: PathBuf) -> Result<Self, ReplayError> {
        fs::create_dir_all(&path).map_err(|cause| failed(&path, "made", cause))?;
        Ok(Self(path))
    }

    /// The name of the view that serves, if there is one. A file that is damaged names none.
    pub(crate) fn current(&self) -> Result<Option<String>, ReplayError> {
        let path = self.0.join(CURRENT);
        let line = match fs::read(&path) {
            Ok(line) => line,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(&path, "read", cause)),
        };
        // Compared with what is there, so that no content, whatever it is, leads out of this directory.
        let name = line.strip_suffix(b"\n").unwrap_or(&line);
        Ok(self.names()?.into_iter().find(|there| there.as_bytes() == name))
    }

    /// Makes `name` the view that serves. Atomic and durable.
    pub(crate) fn set_current(&self, name: &str) -> Result<(), ReplayError> {
        let written = self.0.join("CURRENT.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&written)?;
            writeln!(file, "{name}")?;
            file.sync_all()?;
            fs::rename(&written, self.0.join(CURRENT))?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|cause| failed(&self.0.join(CURRENT), "written", cause))
    }

    /// A name for a new view of this version, that no directory has.
    pub(crate) fn new_name(&self, version: &str) -> Result<String, ReplayError> {
        let newest = self.names()?.iter().filter_map(|name| name.rsplit_once('.')?.1.parse::<u64>().ok()).max();
        Ok(format!("{version}.{}", newest.map_or(1, |number| number + 1)))
    }

    /// Whether `name` is a view of this version.
    pub(crate) fn is_of_version(name: &str, version: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(prefix, _)| prefix == version)
    }

    /// The directory of a view.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Removes a view.
    pub(crate) fn remove(&self, name: &str) -> Result<(), ReplayError> {
        let path = self.path(name);
        fs::remove_dir_all(&path).map_err(|cause| failed(&path, "removed", cause))
    }

    /// Removes what earlier runs left: rebuilds that did not end and views that were replaced.
    pub(crate) fn remove_all_but(&self, kept: &str) -> Result<(), ReplayError> {
        let others = self.names()?.into_iter().filter(|name| name != kept);
        others.into_iter().try_for_each(|name| self.remove(&name))
    }

    fn names(&self) -> Result<Vec<String>, ReplayError> {
        let list = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.0)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
            Ok(names)
        };
        list().map_err(|cause| failed(&self.0, "listed", cause))
    }
}

fn failed(path: &Path, action: &'static str, cause: io::Error) -> ReplayError {
    ReplayError::Directory { path: path.to_owned(), action, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_view_is_named_and_others_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let directory = ViewDirectory::open(root.path().join("text")).unwrap();
        assert_eq!(directory.current().unwrap(), None);
        let first = directory.new_name("c1").unwrap();
        fs::create_dir(directory.path(&first)).unwrap();
        let second = directory.new_name("c1").unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("c1.1", "c1.2"));
        fs::create_dir(directory.path(&second)).unwrap();
        directory.set_current(&second).unwrap();
        directory.remove_all_but(&second).unwrap();
        assert_eq!(directory.current().unwrap(), Some(second.clone()));
        assert!(!directory.path(&first).exists() && directory.path(&second).exists());
        directory.remove(&second).unwrap();
        assert_eq!(directory.current().unwrap(), None, "a name without a directory is no view");
    }

    #[test]
    fn a_damaged_name_is_no_view_and_no_error() {
        let root = tempfile::tempdir().unwrap();
        let directory = ViewDirectory::open(root.path().join("text")).unwrap();
        fs::create_dir(directory.path("c1.1")).unwrap();
        directory.set_current("c1.1").unwrap();
        let path = root.path().join("text").join(CURRENT);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            assert_eq!(directory.current().unwrap(), None, "bit {bit}");
        }
        for other in ["", ".", "..", "../text", "c1.1/.", "/", "c1.1\nc1.2"] {
            fs::write(&path, other).unwrap();
            assert_eq!(directory.current().unwrap(), None, "{other:?}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(directory.current().unwrap().as_deref(), Some("c1.1"), "the end of the line may be missing");
    }
}
