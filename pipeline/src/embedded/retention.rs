//! Retention: taking away old records, whole segments at a time.
//!
//! Owns: which segments a topic's limits let go, and who holds them back. A segment is kept until every processor that was
//! registered has read it; that it is held back, and by whom, is said in the status.
//! Never: takes away a partition's newest segment, or anything of a topic without limits.

use std::{collections::BTreeMap, io, time::Duration};

use meshlog_schemas::{Checkpoints, Offset, Partition, Topic};

use super::{Shared, manifest::Manifest, segment::Extent};
use crate::clock::now_micros;

/// How long a topic's records are kept. Without limits: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records may go once they are older.
    pub max_age: Option<Duration>,
    /// The oldest records may go while the topic takes more bytes on disk.
    pub max_bytes: Option<u64>,
}

/// How far every processor has read, with its name. Asked before anything is taken away.
pub type Readers = dyn Fn() -> Vec<(String, Checkpoints)> + Send + Sync;

/// The offset before which the limits let records go: the base of a segment that is kept.
fn limit(retention: Retention, segments: &[Extent], partitions: u64, now: i64) -> Option<Offset> {
    let (_, old) = segments.split_last()?;
    let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut limit = None;
    for segment in old {
        let age = Duration::from_micros(u64::try_from(now.saturating_sub(segment.last_appended_at)).unwrap_or(0));
        let is_old = retention.max_age.is_some_and(|most| age > most);
        let is_too_much = retention.max_bytes.is_some_and(|most| bytes > most / partitions.max(1));
        if !is_old && !is_too_much {
            break;
        }
        bytes -= segment.bytes;
        limit = Some(segment.end);
    }
    limit
}

/// The manifest without the segments that may go; `None` if none may.
pub(super) fn due(shared: &Shared, manifest: &Manifest) -> Option<Manifest> {
    let readers = shared.readers();
    // Before the processors are known, nothing is taken away.
    let readers = (readers.as_ref()?)();
    let mut held: BTreeMap<Topic, Vec<String>> = BTreeMap::new();
    let mut next = manifest.clone();
    for (partition, files) in &mut next.partitions {
        let Some(retention) = shared.options.retention.get(&partition.topic) else { continue };
        let partitions = shared.slots.get(&partition.topic).map_or(1, |slots| slots.len() as u64);
        let Some(limit) = limit(*retention, &files.segments, partitions, now_micros()) else { continue };
        let behind = readers.iter().filter(|(_, read)| reads(read, *partition) && read.next(*partition) < limit);
        let behind: Vec<_> = behind.collect();
        held.entry(partition.topic).or_default().extend(behind.iter().map(|(name, _)| name.clone()));
        let lowest = behind.iter().map(|(_, read)| read.next(*partition)).min().unwrap_or(limit);
        files.segments.retain(|segment| segment.end > lowest || segment.end > limit);
        files.start = files.segments.first().map_or(files.start, |first| first.base);
    }
    held.values_mut().for_each(|names| {
        names.sort();
        names.dedup();
    });
    shared.set_held(held);
    (next != *manifest).then_some(next)
}

/// Whether a processor reads the partition's topic at all: its checkpoints name every partition that it reads.
fn reads(checkpoints: &Checkpoints, partition: Partition) -> bool {
    checkpoints.iter().any(|(read, _)| read.topic == partition.topic)
}

/// Takes away the files that the manifest on disk no longer names.
pub(super) fn remove(shared: &Shared, manifest: &Manifest) -> io::Result<()> {
    for ((_, files), partition) in manifest.partitions.iter().zip(&shared.partitions) {
        for path in partition.forget_before(files.start) {
            shared.disk.remove(&path)?;
            // An index may never have been written.
            let _ = shared.disk.remove(&path.with_extension("index"));
        }
    }
    Ok(())
}

/// Leaves out of a manifest that was noted earlier what has been taken away since.
pub(super) fn keep_starts(manifest: &mut Manifest, last: &Manifest) {
    for ((_, files), (_, last)) in manifest.partitions.iter_mut().zip(&last.partitions) {
        files.start = files.start.max(last.start);
        let start = files.start;
        files.segments.retain(|segment| segment.base >= start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Extent> {
        let segment = |base| Extent { base, end: base + 10, bytes: 100, last_appended_at: base as i64 * 1_000_000 };
        vec![segment(0), segment(10), segment(20), segment(30)]
    }

    #[test]
    fn segments_go_by_age_and_by_size_but_never_the_newest() {
        let by = |max_age, max_bytes| {
            limit(Retention { max_age, max_bytes }, &segments(), 1, 40_000_000).unwrap_or_default()
        };
        assert_eq!(by(None, None), 0);
        assert_eq!(by(Some(Duration::from_secs(25)), None), 20);
        assert_eq!(by(Some(Duration::ZERO), None), 30, "the newest stays");
        assert_eq!(by(None, Some(250)), 20);
        assert_eq!(by(None, Some(0)), 30, "the newest stays");
        assert_eq!(by(Some(Duration::from_secs(35)), Some(300)), 10);
    }
}
