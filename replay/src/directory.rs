//! The directory of one projection's views: `projections/NAME/`.
//!
//! ```text
//! CURRENT            what there is, see below
//! VERSION.N/         a view; N counts up, so that a rebuild of the same version has a directory of its own
//! ```
//!
//! `CURRENT` has the name of the view that serves on its first line, and below it what else is to be kept, in any order:
//!
//! ```text
//! c2.3
//! kept c2.2          served before, for a rollback
//! building c2.4      a rebuild fills it, and goes on after a restart; "paused" instead: goes on when somebody says so
//! held               somebody went back to what serves: it is not upgraded by itself
//! check 0123abcd     the CRC-32 of the lines before
//! ```
//!
//! A single line without a check is what earlier programs wrote.
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

/// Which views there are, and what each is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roster {
    /// The view that serves.
    pub serving: String,
    /// The one that served before, for a rollback.
    pub kept: Option<String>,
    /// The one that a rebuild fills.
    pub building: Option<Building>,
    /// Whether somebody went back to what serves, so that it is not upgraded by itself.
    pub is_held: bool,
}

/// A view that is not whole yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Building {
    pub name: String,
    /// Whether somebody has to say that it goes on.
    pub is_paused: bool,
}

impl Roster {
    /// One view serves, and there is no other.
    pub(crate) fn of(serving: String) -> Self {
        Self { serving, kept: None, building: None, is_held: false }
    }

    /// Whether a view is named here.
    pub(crate) fn has(&self, name: &str) -> bool {
        let building = self.building.as_ref().map(|building| building.name.as_str());
        [Some(self.serving.as_str()), self.kept.as_deref(), building].contains(&Some(name))
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.serving);
        if let Some(kept) = &self.kept {
            text.push_str(&format!("kept {kept}\n"));
        }
        if let Some(Building { name, is_paused }) = &self.building {
            text.push_str(&format!("{} {name}\n", if *is_paused { "paused" } else { "building" }));
        }
        if self.is_held {
            text.push_str("held\n");
        }
        let check = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("check {check:08x}\n"));
        text
    }

    /// Reads what [`Roster::to_text`] wrote; `None` if it did not, or the view that serves is not there. Names are compared with those
    /// that are there, so that no content, whatever it is, leads out of the directory.
    fn from_text(text: &str, there: &[String]) -> Option<Self> {
        let find = |name: &str| there.iter().find(|there| *there == name).cloned();
        let Some((lines, check)) = text.rsplit_once("check ") else {
            return Some(Self::of(find(text.strip_suffix('\n').unwrap_or(text))?));
        };
        if check.strip_suffix('\n')? != format!("{:08x}", crc32fast::hash(lines.as_bytes())) {
            return None;
        }
        let mut lines = lines.lines();
        let mut roster = Self::of(find(lines.next()?)?);
        for line in lines {
            match line.split_once(' ') {
                Some(("kept", name)) => roster.kept = find(name),
                Some((state @ ("building" | "paused"), name)) => {
                    roster.building = find(name).map(|name| Building { name, is_paused: state == "paused" });
                }
                // What a newer program may have written is passed over.
                _ => roster.is_held |= line == "held",
            }
        }
        Some(roster)
    }
}

impl ViewDirectory {
    /// The directory, made if it is missing.
    pub(crate) fn open(path: PathBuf) -> Result<Self, ReplayError> {
        fs::create_dir_all(&path).map_err(|cause| failed(&path, "made", cause))?;
        Ok(Self(path))
    }

    /// Which views there are, if one serves. A file that is damaged names none.
    pub(crate) fn roster(&self) -> Result<Option<Roster>, ReplayError> {
        let path = self.0.join(CURRENT);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(failed(&path, "read", cause)),
        };
        let there = self.names()?;
        Ok(std::str::from_utf8(&text).ok().and_then(|text| Roster::from_text(text, &there)))
    }

    /// Says which views there are. Atomic and durable.
    pub(crate) fn set_roster(&self, roster: &Roster) -> Result<(), ReplayError> {
        let written = self.0.join("CURRENT.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&written)?;
            file.write_all(roster.to_text().as_bytes())?;
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

    /// The version of a view of this name.
    pub(crate) fn version_of(name: &str) -> &str {
        name.rsplit_once('.').map_or(name, |(version, _)| version)
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

    /// Removes what is not in the roster: what earlier runs left.
    pub(crate) fn sweep(&self, roster: &Roster) -> Result<(), ReplayError> {
        let others = self.names()?.into_iter().filter(|name| !roster.has(name));
        others.into_iter().try_for_each(|name| self.remove(&name))
    }

    /// What the files of a view take, in bytes; what is removed meanwhile counts for nothing.
    pub(crate) fn bytes(&self, name: &str) -> u64 {
        fn size(path: &Path) -> u64 {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let sizes = entries.map(|entry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => size(&entry.path()),
                Ok(metadata) => metadata.len(),
                Err(_) => 0,
            });
            sizes.sum()
        }
        size(&self.path(name))
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

    fn directory_of(root: &Path, names: &[&str]) -> ViewDirectory {
        let directory = ViewDirectory::open(root.join("text")).unwrap();
        names.iter().for_each(|name| fs::create_dir(directory.path(name)).unwrap());
        directory
    }

    #[test]
    fn the_views_are_named_and_others_are_swept() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory_of(root.path(), &[]);
        assert_eq!(directory.roster().unwrap(), None);
        for name in ["c1.1", "c1.2", "c1.3", "c1.4"] {
            assert_eq!(directory.new_name("c1").unwrap(), name);
            fs::create_dir(directory.path(name)).unwrap();
        }
        let building = Some(Building { name: "c1.4".into(), is_paused: true });
        let roster = Roster { kept: Some("c1.2".into()), building, is_held: true, ..Roster::of("c1.3".into()) };
        directory.set_roster(&roster).unwrap();
        directory.sweep(&roster).unwrap();
        assert_eq!(directory.roster().unwrap(), Some(roster.clone()));
        assert!(!directory.path("c1.1").exists() && directory.path("c1.4").exists());
        directory.remove("c1.2").unwrap();
        assert_eq!(directory.roster().unwrap(), Some(Roster { kept: None, ..roster }), "what is gone is not kept");
        directory.remove("c1.3").unwrap();
        assert_eq!(directory.roster().unwrap(), None, "a name without a directory is no view");
    }

    #[test]
    fn a_damaged_file_names_no_view_and_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory_of(root.path(), &["c1.1", "c1.2", "c1.3"]);
        let building = Some(Building { name: "c1.3".into(), is_paused: false });
        let roster = Roster { kept: Some("c1.2".into()), building, ..Roster::of("c1.1".into()) };
        directory.set_roster(&roster).unwrap();
        let path = root.path().join("text").join(CURRENT);
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, damaged).unwrap();
            assert_eq!(directory.roster().unwrap(), None, "bit {bit}");
        }
        for length in 5..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let read = directory.roster().unwrap();
            assert!(read.is_none_or(|read| read == Roster::of("c1.1".into())), "cut to {length}");
        }
        for other in ["", ".", "..", "../text", "c1.1/.", "/", "c1.1\nc1.2"] {
            fs::write(&path, other).unwrap();
            assert_eq!(directory.roster().unwrap(), None, "{other:?}");
        }
        fs::write(&path, "c1.1").unwrap();
        assert_eq!(directory.roster().unwrap(), Some(Roster::of("c1.1".into())), "the end of the line may be missing");
    }
}
