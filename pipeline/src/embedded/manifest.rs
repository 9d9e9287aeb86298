//! The manifest: what the files of the log were at one moment, and from which journal on to bring them forward.
//!
//! ```text
//! meshlog log, format 2, crc32 <8 hexadecimal digits of the rest>
//! { JSON }
//! ```
//!
//! Owns: this file. It is replaced as a whole, durably, after the segments that it names are durable; then the journals
//! before [`Manifest::journal`] are no longer needed.
//! Never: is guessed. A damaged manifest is an error; what it said can be seen by a person and is in the backup.

use std::{collections::BTreeMap, io, path::Path};

use meshlog_schemas::{Checkpoints, Offset, Partition};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    disk::{self, Disk},
    segment::Extent,
};
use crate::record::StoredProgress;

/// The file's name within the log's directory.
pub(super) const NAME: &str = "manifest";
const FORMAT: u32 = 2;

/// What the log's files were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The log's id, which every file carries.
    pub(super) log: Uuid,
    /// The first journal that is needed.
    pub(super) journal: u64,
    /// The number of the first group that is needed.
    pub(super) group: u64,
    /// Whether everything acknowledged since was synced first. Where not, recovery takes what it finds.
    pub(super) is_synced: bool,
    /// Partitions in the order of their slots: new topics come behind.
    pub(super) partitions: Vec<(Partition, PartitionFiles)>,
    pub(super) progress: BTreeMap<String, StoredProgress>,
}

/// The files of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PartitionFiles {
    /// The first offset that is kept.
    pub(super) start: Offset,
    /// Its segments in order; the last one is written.
    pub(super) segments: Vec<Extent>,
}

impl PartitionFiles {
    /// The offset behind the last record.
    pub(super) fn end(&self) -> Offset {
        self.segments.last().map_or(self.start, |last| last.end)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    log: Uuid,
    journal: u64,
    group: u64,
    synced: bool,
    partitions: Vec<StoredPartition>,
    progress: BTreeMap<String, StoredNote>,
}

#[derive(Serialize, Deserialize)]
struct StoredPartition {
    topic: String,
    id: u32,
    start: Offset,
    /// Base, end, bytes, time of the last record.
    segments: Vec<(Offset, Offset, u64, i64)>,
}

#[derive(Serialize, Deserialize)]
struct StoredNote {
    checkpoints: String,
    note: String,
}

impl Manifest {
    /// Reads the manifest of the log in `root`; `None` if there is none.
    pub(super) fn read(disk: &dyn Disk, root: &Path) -> Result<Option<Self>, String> {
        match disk::read_whole(disk, &root.join(NAME)) {
            Ok(bytes) => Self::parse(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Puts it in the place of the last, durably.
    pub(super) fn write(&self, disk: &dyn Disk, root: &Path) -> io::Result<()> {
        disk::replace(disk, &root.join(NAME), &self.to_bytes()?)
    }

    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let partition = |(partition, files): &(Partition, PartitionFiles)| StoredPartition {
            topic: partition.topic.name().to_owned(),
            id: partition.id,
            start: files.start,
            segments: files.segments.iter().map(|s| (s.base, s.end, s.bytes, s.last_appended_at)).collect(),
        };
        let note =
            |kept: &StoredProgress| StoredNote { checkpoints: kept.checkpoints.to_text(), note: kept.note.clone() };
        let stored = Stored {
            log: self.log,
            journal: self.journal,
            group: self.group,
            synced: self.is_synced,
            partitions: self.partitions.iter().map(partition).collect(),
            progress: self.progress.iter().map(|(name, kept)| (name.clone(), note(kept))).collect(),
        };
        let body = serde_json::to_string_pretty(&stored)?;
        Ok((first_line(body.as_bytes()) + &body).into_bytes())
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || "it is damaged".to_owned();
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (first, body) = text.split_once('\n').ok_or_else(damaged)?;
        let rest = first.strip_prefix("meshlog log, format ").ok_or_else(damaged)?;
        let (format, crc) = rest.split_once(", crc32 ").ok_or_else(damaged)?;
        if format != FORMAT.to_string() && format.parse::<u32>().is_ok() {
            return Err(format!("it has format {format}; this program reads {FORMAT}: use the version that wrote it"));
        }
        if u32::from_str_radix(crc, 16).ok() != Some(crc32fast::hash(body.as_bytes())) {
            return Err(damaged());
        }
        let stored: Stored = serde_json::from_str(body).map_err(|error| format!("it is damaged: {error}"))?;
        let partition = |stored: StoredPartition| {
            let topic = stored.topic.parse().map_err(|_| {
                format!("it names the topic {}, which this program does not know: use a newer version", stored.topic)
            })?;
            let extent = |&(base, end, bytes, last_appended_at): &_| Extent { base, end, bytes, last_appended_at };
            let segments = stored.segments.iter().map(extent).collect();
            Ok((Partition { topic, id: stored.id }, PartitionFiles { start: stored.start, segments }))
        };
        let kept = |(name, stored): (String, StoredNote)| {
            let checkpoints = Checkpoints::from_text(&stored.checkpoints).ok_or_else(damaged)?;
            Ok((name, StoredProgress { checkpoints, note: stored.note }))
        };
        Ok(Self {
            log: stored.log,
            journal: stored.journal,
            group: stored.group,
            is_synced: stored.synced,
            partitions: stored.partitions.into_iter().map(partition).collect::<Result<_, String>>()?,
            progress: stored.progress.into_iter().map(kept).collect::<Result<_, String>>()?,
        })
    }
}

/// The line before the JSON.
pub(super) fn first_line(body: &[u8]) -> String {
    format!("meshlog log, format {FORMAT}, crc32 {:08x}\n", crc32fast::hash(body))
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;

    use super::*;

    fn manifest() -> Manifest {
        let partition = Partition { topic: Topic::Messages, id: 2 };
        let segments = vec![
            Extent { base: 5, end: 9, bytes: 400, last_appended_at: -3 },
            Extent { base: 9, end: 9, bytes: 40, last_appended_at: 0 },
        ];
        let kept =
            StoredProgress { checkpoints: Checkpoints::from_iter([(partition, 7)]), note: "a\n\"b\"".to_owned() };
        Manifest {
            log: Uuid::from_u128(9),
            journal: 4,
            group: 1_000,
            is_synced: true,
            partitions: vec![(partition, PartitionFiles { start: 5, segments })],
            progress: BTreeMap::from([("embed@x".to_owned(), kept)]),
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let bytes = manifest().to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes), Ok(manifest()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let bytes = manifest().to_bytes().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The case of a checksum's digit says nothing.
            assert!(Manifest::parse(&damaged).is_err() || Manifest::parse(&damaged) == Ok(manifest()), "bit {bit}");
        }
        (0..bytes.len()).for_each(|cut| assert!(Manifest::parse(&bytes[..cut]).is_err(), "cut at {cut}"));
    }
}
