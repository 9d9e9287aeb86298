//! The file `ends`: how far every partition is known to reach, kept apart from the storage.
//!
//! ```text
//! crc32 of the rest, 8 hexadecimal digits | newline | Checkpoints as text
//! ```
//!
//! The storage cuts a journal that it cannot read back to where it still can, in silence. What is cut was acknowledged,
//! so the log compares what it finds with this file and refuses to go on over a loss.
//!
//! Owns: the file. It is written after a commit and not fsynced: after a loss of power it may lag behind the log, or be
//! torn and so say nothing, but it never runs ahead.
//! Never: is needed to read the log. Removing it accepts a loss that was reported.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use meshlog_schemas::Checkpoints;

/// The file's name within the log's directory.
pub(super) const NAME: &str = "ends";

/// The open file.
pub(super) struct EndsFile(File);

impl EndsFile {
    /// Opens the file, and what it says; the default where it says nothing that can be trusted.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, Checkpoints)> {
        let path = directory.join(NAME);
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut text = String::new();
        // What is not even text was torn.
        let known = file.read_to_string(&mut text).ok().and_then(|_| parse(&text)).unwrap_or_default();
        Ok((Self(file), known))
    }

    /// Says how far the partitions reach now.
    pub(super) fn write(&mut self, ends: &Checkpoints) -> io::Result<()> {
        let body = ends.to_text();
        let text = format!("{:08x}\n{body}", crc32fast::hash(body.as_bytes()));
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(text.as_bytes())?;
        // Ends only grow, and so does their text.
        self.0.set_len(text.len() as u64)
    }
}

fn parse(text: &str) -> Option<Checkpoints> {
    let (checksum, body) = text.split_once('\n')?;
    let is_whole = u32::from_str_radix(checksum, 16).ok()? == crc32fast::hash(body.as_bytes());
    is_whole.then(|| Checkpoints::from_text(body)).flatten()
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};

    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_torn_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let ends = Checkpoints::from_iter([(Partition { topic: Topic::Messages, id: 2 }, 41)]);
        let (mut file, known) = EndsFile::open(directory.path()).unwrap();
        assert_eq!(known, Checkpoints::default());
        file.write(&ends).unwrap();
        assert_eq!(EndsFile::open(directory.path()).unwrap().1, ends);
        let path = directory.path().join(NAME);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 2]).unwrap();
        assert_eq!(EndsFile::open(directory.path()).unwrap().1, Checkpoints::default());
    }
}
