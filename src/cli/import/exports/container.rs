//! Container: the files of an export, be it one file, a folder, or a zip file as it was downloaded.
//!
//! Owns: the list of the members with their paths and sizes, and opening each for reading.
//! Promises: members come in the order of their paths; a symbolic link is not followed.
//! Never: reads a member's content, writes anything, or opens a zip file that lies in another.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{Refusal, archive::Archive};

/// The most members an export may have. Large workspaces of Slack have one file a channel and day.
pub(super) const MEMBERS_LIMIT: usize = 300_000;
/// How deeply folders may be nested.
const DEPTH_LIMIT: usize = 16;
/// The first bytes of a zip file, also of one without members.
const ZIP_BEGINNINGS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its path within the export, with `/` between its segments.
    pub(super) name: String,
    /// Its size in bytes, uncompressed.
    pub(super) size: u64,
}

impl Member {
    /// What stands behind the last point of its name, in lower case.
    pub(super) fn extension(&self) -> String {
        let name = self.file_name();
        name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
    }

    /// The last segment of its path.
    pub(super) fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    /// The folder it lies in, or nothing where it lies at the top.
    pub(super) fn folder(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// An export that can be read.
pub(super) struct Container {
    members: Vec<Member>,
    place: Place,
    /// How many bytes of members have been read.
    read: Rc<Cell<u64>>,
}

enum Place {
    File(PathBuf),
    Folder(PathBuf),
    Zip(Box<Archive>),
}

impl Container {
    /// Opens what is at a path.
    ///
    /// # Errors
    /// When it cannot be read, or is a zip file that is damaged or a bomb.
    pub(super) fn open(path: &Path) -> Result<Self, Refusal> {
        let metadata = fs::metadata(path).map_err(|error| Refusal::unreadable(path, &error))?;
        if is_stream(path) {
            let what = format!("{} is a pipe, and an export is read more than once", path.display());
            return Err(Refusal::new(what, "write it into a file first"));
        }
        let (members, place) = if metadata.is_dir() {
            (folder(path)?, Place::Folder(path.to_owned()))
        } else if is_zip(path).map_err(|error| Refusal::unreadable(path, &error))? {
            let (archive, members) = Archive::open(path)?;
            (members, Place::Zip(Box::new(archive)))
        } else {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (vec![Member { name, size: metadata.len() }], Place::File(path.to_owned()))
        };
        Ok(Self { members, place, read: Rc::default() })
    }

    /// Whether it is one file and no zip file.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.place, Place::File(_))
    }

    /// Its files.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Opens the file with this number. What is read of it counts as progress.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn read(&self, index: usize) -> io::Result<Box<dyn Read>> {
        let source = self.look(index)?;
        Ok(Box::new(Counting { source, read: self.read.clone() }))
    }

    /// Opens the file with this number, to look at it before the import begins.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn look(&self, index: usize) -> io::Result<Box<dyn Read>> {
        Ok(match &self.place {
            Place::File(path) => Box::new(File::open(path)?),
            Place::Folder(path) => Box::new(File::open(path.join(&self.members[index].name))?),
            Place::Zip(archive) => archive.read(index)?,
        })
    }

    /// How many bytes have been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.get()
    }
}

struct Counting {
    source: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.read.set(self.read.get() + length as u64);
        Ok(length)
    }
}

/// Whether there is something at a path that can be read only once, such as a pipe.
pub(super) fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn is_zip(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut beginning)?;
    Ok(ZIP_BEGINNINGS.contains(&beginning.as_slice()))
}

fn folder(root: &Path) -> Result<Vec<Member>, Refusal> {
    let mut members = Vec::new();
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = open.pop() {
        let entries = fs::read_dir(&path).map_err(|error| Refusal::unreadable(&path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Refusal::unreadable(&path, &error))?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            // Of the entry itself, so a symbolic link is neither a file nor a folder.
            let metadata = entry.metadata().map_err(|error| Refusal::unreadable(&entry.path(), &error))?;
            if metadata.is_dir() && depth < DEPTH_LIMIT {
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else if metadata.is_file() {
                members.push(Member { name, size: metadata.len() });
            }
            if members.len() > MEMBERS_LIMIT {
                let what = format!("{} holds more than {MEMBERS_LIMIT} files", root.display());
                return Err(Refusal::new(what, "name the folder that the export was unpacked into"));
            }
        }
    }
    members.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_and_links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        fs::create_dir_all(directory.path().join("b/c")).expect("a directory can be made");
        for (name, text) in [("b/c/2.JSON", "22"), ("a.json", "1")] {
            fs::write(directory.path().join(name), text).expect("a file can be written");
        }
        std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).expect("a link can be made");
        let container = Container::open(directory.path()).expect("it can be read");
        let names: Vec<&str> = container.members().iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["a.json", "b/c/2.JSON"]);
        let member = &container.members()[1];
        assert_eq!((member.extension().as_str(), member.folder(), member.size), ("json", "b/c", 2));
        let mut text = String::new();
        container.read(1).expect("it can be opened").read_to_string(&mut text).expect("it can be read");
        assert_eq!((text.as_str(), container.bytes_read()), ("22", 2));
    }

    #[test]
    fn what_is_not_there_is_refused_with_its_path() {
        let refusal = Container::open(Path::new("no/such/export.zip")).err().expect("it is not there");
        assert!(refusal.what.contains("cannot open no/such/export.zip"), "{refusal:?}");
    }
}
