//! The doctor: reads every byte of a log that nobody has open, and says what is damaged and what can be recovered.
//!
//! Owns: the inspection. It reads what recovery reads, and all that recovery leaves for later: every record's checksum.
//! Never: changes a file.

use std::{ops::Range, path::Path, sync::Arc};

use meshlog_schemas::{Offset, Partition};

use super::{
    disk::Disk,
    frames::{Walk, WalkError},
    manifest::{self, Manifest, PartitionFiles},
    partition::{self, PartitionLog},
    recovery,
    segment::Segment,
};

/// What an inspection found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What every partition holds.
    pub partitions: Vec<PartitionInspection>,
    /// Groups of appends that the next start brings from the journals to the segments.
    pub journal_groups: u64,
    /// What is wrong; empty: every acknowledged record is there and intact.
    pub findings: Vec<Finding>,
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInspection {
    /// The partition.
    pub partition: Partition,
    /// The first offset that is kept.
    pub start: Offset,
    /// The offset behind the last acknowledged record.
    pub end: Offset,
    /// How many of them are intact.
    pub intact: u64,
    /// Where records are damaged or missing.
    pub damaged: Vec<Range<Offset>>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a file, relative to the log's directory where it is in it.
    pub file: String,
    /// What is wrong, with the position.
    pub problem: String,
    /// What can be recovered, and how.
    pub remedy: String,
}

/// Inspects the log in `root`.
pub(super) fn inspect(disk: &Arc<dyn Disk>, root: &Path) -> Inspection {
    let mut inspection = Inspection::default();
    let manifest = match Manifest::read(&**disk, root) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => {
            inspection.find(
                manifest::NAME,
                "the file is missing".to_owned(),
                "restore it from a backup; a directory without records needs none",
            );
            return inspection;
        }
        Err(cause) => {
            let remedy = "restore it from a backup, together with the journals; the records in topics/ can still be read one by one";
            inspection.find(manifest::NAME, cause, remedy);
            return inspection;
        }
    };
    let survey = recovery::survey(&**disk, root, &manifest);
    let mut ends: Vec<Offset> = manifest.partitions.iter().map(|(_, files)| files.end()).collect();
    match survey {
        Ok(survey) => {
            ends = survey.ends;
            inspection.journal_groups = survey.groups;
            for problem in survey.damage {
                let remedy = if manifest.is_synced {
                    "restore the log from a backup; what stands before this place is intact and will be read"
                } else {
                    "the log was not synced at every commit: the next start goes on with what stands before this place"
                };
                inspection.find("journal", problem, remedy);
            }
        }
        Err(problem) => inspection.find("journal", problem, "restore the file from a backup"),
    }
    for ((partition, files), end) in manifest.partitions.iter().zip(ends) {
        let found = inspect_partition(disk, root, &manifest, *partition, files, &mut inspection);
        let brought = end - files.end();
        inspect_tail(disk, root, &manifest, *partition, files, end, &mut inspection);
        inspection.partitions.push(PartitionInspection { end, intact: found.intact + brought, ..found });
    }
    inspection
}

/// Looks for records in the segments that the journals do not know of.
fn inspect_tail(
    disk: &Arc<dyn Disk>,
    root: &Path,
    manifest: &Manifest,
    partition: Partition,
    files: &PartitionFiles,
    end: Offset,
    inspection: &mut Inspection,
) {
    // A partition that does not open is found below.
    let Ok(opened) = PartitionLog::open(disk, root, manifest.log, partition, files, u64::MAX) else { return };
    match recovery::written_end(disk, root, &opened, manifest.log) {
        Ok(written) if written > end && manifest.is_synced => inspection.find(
            "journal",
            format!("{partition}: records up to offset {written} (exclusive) were acknowledged, the journal ends before {end}"),
            "restore the journals from a backup; the records stand in the newest segment too, and are intact there",
        ),
        Ok(_) => {}
        Err(error) => inspection.find(&partition.to_string(), error.to_string(), "see to the disk"),
    }
}

fn inspect_partition(
    disk: &Arc<dyn Disk>,
    root: &Path,
    manifest: &Manifest,
    partition: Partition,
    files: &PartitionFiles,
    inspection: &mut Inspection,
) -> PartitionInspection {
    let directory = partition::directory(root, partition);
    let mut damaged = Vec::new();
    let mut intact = 0;
    for extent in &files.segments {
        let name = super::segment::file_name(extent.base);
        let file = directory.join(&name).strip_prefix(root).map_or(name, |path| path.display().to_string());
        let segment = match Segment::open(disk, &directory, partition, *extent, manifest.log) {
            Ok(segment) => segment,
            Err(problem) => {
                damaged.push(extent.base..extent.end);
                let remedy = "restore the file from a backup; other segments are not concerned";
                inspection.find(&file, problem, remedy);
                continue;
            }
        };
        let lost = inspect_segment(segment.walk(), extent.end, &mut intact);
        for (range, problem) in lost {
            let remedy = format!(
                "restore the file from a backup; without it, all records but {partition} {}..{} can be read",
                range.start, range.end
            );
            inspection.find(&file, problem, &remedy);
            damaged.push(range);
        }
    }
    PartitionInspection { partition, start: files.start, end: files.end(), intact, damaged }
}

/// The ranges of a segment that cannot be read, each with how it shows.
fn inspect_segment(mut walk: Walk<'_>, end: Offset, intact: &mut u64) -> Vec<(Range<Offset>, String)> {
    let mut lost = Vec::new();
    loop {
        let (place, expected) = walk.place();
        match walk.next() {
            Ok(Some(found)) => match found.head.check(&found.bytes) {
                Ok(()) => *intact += 1,
                Err(cause) => {
                    let offset = found.head.offset;
                    lost.push((offset..offset + 1, format!("byte {}: offset {offset}: {cause}", found.at)));
                }
            },
            Ok(None) if expected < end => {
                lost.push((
                    expected..end,
                    format!("byte {place}: offsets {expected} to {end} (exclusive) are missing"),
                ));
                return lost;
            }
            Ok(None) => return lost,
            Err(WalkError::Damage(damage)) => {
                let problem = format!("byte {}: offset {}: {}", damage.at, damage.offset, damage.cause);
                let goes_on = walk.skip_damage().unwrap_or(false);
                let behind = if goes_on { walk.place().1.max(damage.offset + 1) } else { end };
                lost.push((damage.offset..behind, problem));
                if !goes_on {
                    return lost;
                }
            }
            Err(WalkError::Io(error)) => {
                lost.push((expected..end, format!("byte {place}: {error}")));
                return lost;
            }
        }
    }
}

impl Inspection {
    fn find(&mut self, file: &str, problem: String, remedy: &str) {
        self.findings.push(Finding { file: file.to_owned(), problem, remedy: remedy.to_owned() });
    }
}
