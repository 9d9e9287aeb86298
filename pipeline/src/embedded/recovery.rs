//! Recovery: from the files that a life of the log left behind to a log that can be read and written.
//!
//! ```text
//! manifest: segments as they were when it was written, and the first journal group that is not in them
//!    |  1. read the groups behind it; is one damaged, missing, or out of order?
//!    |  2. do the segments hold records that no group has?
//!    v
//! all well: cut the segments back to the manifest, bring the groups to them, write a new manifest
//! ```
//! A group that was torn while it was written was never acknowledged, and is left out. Anything else that does not fit is
//! an error, found before any file is changed.
//!
//! Owns: this order. It may be interrupted at any point and begun again.
//! Never: repairs by guessing.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use meshlog_schemas::{EventId, Offset, Partition};
use uuid::Uuid;

use super::{
    Durability, EmbeddedOptions,
    disk::Disk,
    frame,
    frames::WalkError,
    identities::{self, Identities, Known},
    journal::{self, Group, Journal, JournalReader, Tail},
    manifest::{Manifest, PartitionFiles},
    partition::{self, PartitionLog, Pending},
    segment::{self, Segment},
};
use crate::record::{StoredProgress, TopicLayout};

/// A log that was opened.
pub(super) struct Recovered {
    pub(super) log: Uuid,
    /// The manifest on disk.
    pub(super) manifest: Manifest,
    pub(super) partitions: Vec<PartitionLog>,
    pub(super) progress: BTreeMap<String, StoredProgress>,
    pub(super) identities: Identities,
    pub(super) journal: Journal,
    /// The number of the next group.
    pub(super) number: u64,
    /// Journals that are no longer needed.
    pub(super) old: Vec<u64>,
}

/// What the journals say, found without changing anything.
pub(super) struct Survey {
    /// How far every slot reaches with the journals' groups.
    pub(super) ends: Vec<Offset>,
    pub(super) groups: u64,
    /// The number of the next group.
    pub(super) number: u64,
    /// The last journal that was read, and the place behind its last group.
    last: (u64, u64),
    /// Where the last journal can be written on: nothing but a torn group may stand there.
    is_clean: bool,
    /// What is damaged, in words that name file and position.
    pub(super) damage: Vec<String>,
}

/// Opens the log in `root`, or makes a new one.
pub(super) fn open(disk: &Arc<dyn Disk>, root: &Path, options: &EmbeddedOptions) -> Result<Recovered, String> {
    let found =
        Manifest::read(&**disk, root).map_err(|cause| format!("{}: {cause}", root.join("manifest").display()))?;
    let Some(found) = found else { return create(disk, root, options) };
    let log = found.log;
    let partitions = open_partitions(disk, root, &found, options)?;
    let mut survey = survey(&**disk, root, &found)?;
    for ((partition, _), (opened, end)) in found.partitions.iter().zip(partitions.iter().zip(&survey.ends)) {
        let written = written_end(disk, root, opened, log).map_err(|error| format!("{partition}: {error}"))?;
        if written > *end {
            survey.damage.push(format!(
                "{partition} holds acknowledged records up to offset {written} (exclusive), but the journal ends before \
                 offset {end}"
            ));
        }
    }
    if !survey.damage.is_empty() {
        if found.is_synced {
            return Err(survey.damage.join("; "));
        }
        let damage = &survey.damage;
        tracing::warn!(?damage, "the log was not synced at every commit, and goes on with what a crash has left of it");
    }
    settle_what_was_read(&**disk, root, &found, &survey).map_err(|error| error.to_string())?;
    let is_layout_kept = partitions.len() == found.partitions.len();
    let promise_is_kept = found.is_synced == (options.durability == Durability::Always);
    let (identities, is_indexed) = open_identities(root, options, log, found.journal)?;
    let mut manifest = found;
    manifest.is_synced = options.durability == Durability::Always;
    let progress = bring_forward(disk, root, &manifest, &partitions, &survey, &identities)?;
    if !is_indexed {
        index_identities(&partitions, &identities)?;
    }
    let surplus = |first: u64| journals(&**disk, root).map(|all| all.into_iter().filter(|s| *s != first).collect());
    if survey.groups == 0
        && survey.is_clean
        && is_layout_kept
        && promise_is_kept
        && (is_indexed || !identities.has_index())
    {
        let journal =
            Journal::resume(&**disk, root, survey.last.0, survey.last.1).map_err(|error| error.to_string())?;
        let old = surplus(journal.sequence).map_err(|error| error.to_string())?;
        let number = survey.number;
        return Ok(Recovered { log, manifest, partitions, progress, identities, journal, number, old });
    }
    let all = journals(&**disk, root).map_err(|error| error.to_string())?;
    let sequence = all.last().copied().unwrap_or(survey.last.0) + 1;
    let journal = first_journal(disk, root, log, sequence, options)?;
    manifest.journal = sequence;
    manifest.group = survey.number;
    manifest.progress = progress.clone();
    manifest.partitions = partitions.iter().map(|partition| (partition.partition, partition.files())).collect();
    identities.begin_flush();
    settle(&**disk, root, &partitions, &identities, &manifest).map_err(|error| error.to_string())?;
    let old = surplus(sequence).map_err(|error| error.to_string())?;
    Ok(Recovered { log, manifest, partitions, progress, identities, journal, number: survey.number, old })
}

/// Makes durable what was read: after the sudden end of a process it may be only in the operating system's memory. What is
/// built on it must never outlive it.
fn settle_what_was_read(disk: &dyn Disk, root: &Path, manifest: &Manifest, survey: &Survey) -> io::Result<()> {
    disk.sync_directory(root)?;
    disk.sync_directory(&root.join("journal"))?;
    for sequence in manifest.journal..=survey.last.0 {
        disk.open(&journal::path(root, sequence))?.sync()?;
    }
    Ok(())
}

/// Makes everything that `manifest` names durable, then the manifest.
pub(super) fn settle(
    disk: &dyn Disk,
    root: &Path,
    partitions: &[PartitionLog],
    identities: &Identities,
    manifest: &Manifest,
) -> io::Result<()> {
    for partition in partitions {
        partition.sync()?;
    }
    identities.flush(manifest.journal)?;
    manifest.write(disk, root)
}

fn create(disk: &Arc<dyn Disk>, root: &Path, options: &EmbeddedOptions) -> Result<Recovered, String> {
    let failed = |error: io::Error| error.to_string();
    if disk.list(root).map_err(failed)?.iter().any(|name| name == "store") {
        return Err("its format is 1, of an early version; import its messages again into a new directory".to_owned());
    }
    if has_records(&**disk, root).map_err(failed)? {
        return Err("its manifest is missing, but records are there; restore the file from a backup".to_owned());
    }
    let log = EventId::fresh().0;
    disk.create_directories(&root.join("journal")).map_err(failed)?;
    let mut manifest = Manifest {
        log,
        journal: 1,
        group: 1,
        is_synced: options.durability == Durability::Always,
        partitions: Vec::new(),
        progress: BTreeMap::new(),
    };
    let partitions = open_partitions(disk, root, &manifest, options)?;
    manifest.partitions = partitions.iter().map(|partition| (partition.partition, partition.files())).collect();
    let (identities, _) = open_identities(root, options, log, 0)?;
    let journal = first_journal(disk, root, log, 1, options)?;
    disk.sync_directory(root).map_err(failed)?;
    settle(&**disk, root, &partitions, &identities, &manifest).map_err(failed)?;
    let progress = BTreeMap::new();
    Ok(Recovered { log, manifest, partitions, progress, identities, journal, number: 1, old: Vec::new() })
}

/// A small journal at first, so that opening is quick; the keeper prepares the next at its full size.
fn first_journal(
    disk: &Arc<dyn Disk>,
    root: &Path,
    log: Uuid,
    sequence: u64,
    options: &EmbeddedOptions,
) -> Result<Journal, String> {
    let bytes = options.journal_bytes.min(4 * 1024 * 1024);
    Journal::prepare(&**disk, root, log, sequence, bytes, None).map_err(|error| format!("a new journal: {error}"))
}

/// Whether there is anything that an acknowledged record could stand in.
fn has_records(disk: &dyn Disk, root: &Path) -> io::Result<bool> {
    for topic in disk.list(&root.join("topics"))? {
        for id in disk.list(&root.join("topics").join(&topic))? {
            if !disk.list(&root.join("topics").join(&topic).join(id))?.is_empty() {
                return Ok(true);
            }
        }
    }
    for sequence in journals(disk, root)? {
        let mut start = Vec::new();
        disk.open(&journal::path(root, sequence))?.read_into(&mut start, journal::FILE_HEADER, 4)?;
        if start == journal::GROUP_MAGIC {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The sequences of the journals that are there, in order.
pub(super) fn journals(disk: &dyn Disk, root: &Path) -> io::Result<Vec<u64>> {
    let names = disk.list(&root.join("journal"))?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| journal::sequence_of(name)).collect();
    sequences.sort_unstable();
    Ok(sequences)
}

/// The partitions of the manifest, then those that the layout adds: a slot once given is kept.
fn open_partitions(
    disk: &Arc<dyn Disk>,
    root: &Path,
    manifest: &Manifest,
    options: &EmbeddedOptions,
) -> Result<Vec<PartitionLog>, String> {
    let mut wanted = manifest.partitions.clone();
    for TopicLayout { topic, partitions } in &options.layout {
        if !wanted.iter().any(|(partition, _)| partition.topic == *topic) {
            let new = (0..*partitions).map(|id| Partition { topic: *topic, id });
            wanted.extend(new.map(|partition| {
                let start = options.starts.get(&partition).copied().unwrap_or(0);
                (partition, PartitionFiles { start, segments: Vec::new() })
            }));
        }
    }
    let open = |(partition, files): &(Partition, PartitionFiles)| {
        let directory = partition::directory(root, *partition);
        if files.segments.is_empty() {
            make_directory(&**disk, root, &directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        PartitionLog::open(disk, root, manifest.log, *partition, files, options.segment_bytes_of(partition.topic))
    };
    wanted.iter().map(open).collect()
}

/// Makes a directory, and makes its name and those above it durable.
fn make_directory(disk: &dyn Disk, root: &Path, directory: &Path) -> io::Result<()> {
    disk.create_directories(directory)?;
    let mut above = directory.parent();
    while let Some(path) = above.filter(|path| path.starts_with(root)) {
        disk.sync_directory(path)?;
        above = path.parent();
    }
    Ok(())
}

fn open_identities(
    root: &Path,
    options: &EmbeddedOptions,
    log: Uuid,
    journal: u64,
) -> Result<(Identities, bool), String> {
    #[cfg(test)]
    if options.identities_in_memory {
        return Ok((Identities::in_memory(), journal == 0));
    }
    let _ = options;
    Identities::open(&identities::path(root), log, journal)
}

/// Reads the groups behind the manifest, and checks that they follow each other without a gap.
pub(super) fn survey(disk: &dyn Disk, root: &Path, manifest: &Manifest) -> Result<Survey, String> {
    let mut survey = Survey {
        ends: manifest.partitions.iter().map(|(_, files)| files.end()).collect(),
        groups: 0,
        number: manifest.group,
        last: (manifest.journal, 0),
        is_clean: true,
        damage: Vec::new(),
    };
    let there = journals(disk, root).map_err(|error| error.to_string())?;
    let mut sequence = manifest.journal;
    loop {
        let mut reader = JournalReader::open(disk, root, manifest.log, sequence)?;
        let mut is_begun = false;
        let mut wrong = None;
        loop {
            let at = reader.place();
            let group = reader.next().map_err(|error| format!("{}: {error}", reader.path().display()))?;
            let Some(group) = group else { break };
            is_begun = true;
            if group.number < survey.number && survey.groups == 0 {
                continue;
            }
            if let Err(cause) = survey.take(&group) {
                wrong = Some(format!("{}: byte {at}: {cause}", reader.path().display()));
                break;
            }
        }
        if !is_begun && sequence != manifest.journal {
            // The next journal, prepared and not written yet.
            break;
        }
        survey.last = (sequence, reader.place());
        let tail = reader.tail().map_err(|error| format!("{}: {error}", reader.path().display()))?;
        if let Tail::Damaged { at, behind } = tail {
            wrong.get_or_insert_with(|| {
                format!(
                    "{}: group {} at byte {at} is damaged, an intact one follows at byte {behind}; records from {} on were \
                     acknowledged",
                    reader.path().display(),
                    survey.number,
                    survey.places(manifest),
                )
            });
        }
        if let Some(wrong) = wrong {
            survey.damage.push(wrong);
            survey.is_clean = false;
            break;
        }
        sequence += 1;
        if !there.contains(&sequence) {
            if let Some(later) = there.iter().find(|later| **later > sequence) {
                let missing = journal::path(root, sequence);
                survey.damage.push(format!("{}: the file is missing, journal {later} follows it", missing.display()));
            }
            break;
        }
    }
    Ok(survey)
}

impl Survey {
    fn take(&mut self, group: &Group) -> Result<(), String> {
        if group.number != self.number {
            return Err(format!("group {} stands where group {} should be", group.number, self.number));
        }
        for section in &group.sections {
            let end = self.ends.get_mut(section.slot as usize).ok_or("a group names a partition that is not there")?;
            if section.first != *end {
                return Err(format!("group {} goes on at offset {}, not at {end}", group.number, section.first));
            }
            *end += u64::from(section.records);
        }
        self.number += 1;
        self.groups += 1;
        Ok(())
    }

    fn places(&self, manifest: &Manifest) -> String {
        let places =
            manifest.partitions.iter().zip(&self.ends).map(|((partition, _), end)| format!("{partition}@{end}"));
        places.collect::<Vec<_>>().join(", ")
    }
}

/// How far the frames in the files reach, also behind what the manifest says. Only groups that were durable in the journal
/// are ever copied there.
pub(super) fn written_end(
    disk: &Arc<dyn Disk>,
    root: &Path,
    partition: &PartitionLog,
    log: Uuid,
) -> io::Result<Offset> {
    let directory = partition::directory(root, partition.partition);
    let mut end = partition.bounds().end;
    if let Some(active) = partition.active() {
        end = walk_to_end(&active)?;
    }
    let names = disk.list(&directory)?;
    while names.contains(&segment::file_name(end)) && partition.active().is_none_or(|active| active.base != end) {
        let extent = segment::Extent { base: end, end, bytes: segment::HEADER as u64, last_appended_at: 0 };
        let Ok(next) = Segment::open(disk, &directory, partition.partition, extent, log) else { break };
        let reached = walk_to_end(&next)?;
        if reached == end {
            break;
        }
        end = reached;
    }
    Ok(end)
}

fn walk_to_end(segment: &Segment) -> io::Result<Offset> {
    let mut walk = segment.walk_behind()?;
    loop {
        match walk.next() {
            Ok(Some(found)) if found.head.check(&found.bytes).is_ok() => {}
            // What is not whole was never durable in the journal either, or will be brought there again.
            Ok(Some(found)) => return Ok(found.head.offset),
            Ok(None) | Err(WalkError::Damage(_)) => return Ok(walk.place().1),
            Err(WalkError::Io(error)) => return Err(error),
        }
    }
}

/// Cuts the segments back to the manifest, and brings the surveyed groups to them.
fn bring_forward(
    disk: &Arc<dyn Disk>,
    root: &Path,
    manifest: &Manifest,
    partitions: &[PartitionLog],
    survey: &Survey,
    identities: &Identities,
) -> Result<BTreeMap<String, StoredProgress>, String> {
    let mut progress = manifest.progress.clone();
    for (partition, (_, files)) in partitions.iter().zip(&manifest.partitions) {
        let failed = |error: io::Error| format!("{}: {error}", partition.partition);
        if survey.groups > 0 || !survey.damage.is_empty() {
            partition.cut_to(files).map_err(failed)?;
        }
        partition.remove_strays(files).map_err(failed)?;
        if let Some(active) = partition.active() {
            active.load_marks().map_err(failed)?;
        }
    }
    let mut left = survey.groups;
    let mut sequence = manifest.journal;
    while left > 0 {
        let mut reader = JournalReader::open(&**disk, root, manifest.log, sequence)?;
        while left > 0 {
            let group = reader.next().map_err(|error| format!("{}: {error}", reader.path().display()))?;
            let Some(group) = group else { break };
            if group.number < manifest.group {
                continue;
            }
            for (section, frames) in group.parts() {
                let partition = &partitions[section.slot as usize];
                let (pending, known) = pending(partition.partition, section.first, frames)?;
                let failed = |error: io::Error| format!("{}: {error}", partition.partition);
                partition.make_room(frames.len() as u64).map_err(failed)?;
                partition.publish(Arc::new(pending));
                partition.copy_tail().map_err(failed)?;
                identities.add(known);
            }
            progress.extend(group.progress);
            left -= 1;
        }
        sequence += 1;
    }
    Ok(progress)
}

/// What the writer knew of the frames of a section.
fn pending(partition: Partition, first: Offset, frames: &[u8]) -> Result<(Pending, Known), String> {
    let tag = frame::tag(partition);
    let mut pending = Pending { frames: frames.to_vec(), first, ..Pending::default() };
    let mut known = Known::new();
    let (mut at, mut since) = (0, segment::STRIDE);
    while at < frames.len() {
        let head = frame::read_head(&frames[at..], tag).map_err(|cause| format!("{partition}: {cause}"))?;
        let end = at + head.length();
        let frame = frames.get(at..end).ok_or_else(|| format!("{partition}: a group's frames do not add up"))?;
        if since >= segment::STRIDE {
            pending.marks.push((head.offset, at as u64));
            since = 0;
        }
        if let Some(id) = head.identity(frame) {
            let position = meshlog_schemas::Position { partition, offset: head.offset };
            known.entry((partition.topic, id)).or_insert(position);
        }
        pending.appended_at = head.appended_at;
        pending.records += 1;
        since += frame.len();
        at = end;
    }
    Ok((pending, known))
}

/// Makes the index of identities again from all records.
fn index_identities(partitions: &[PartitionLog], identities: &Identities) -> Result<(), String> {
    for partition in partitions {
        for segment in partition.all() {
            let mut walk = segment.walk();
            let mut known = Known::new();
            loop {
                match walk.next() {
                    Ok(Some(found)) => {
                        if let Some(id) = found.head.identity(&found.bytes) {
                            let offset = found.head.offset;
                            let position = meshlog_schemas::Position { partition: partition.partition, offset };
                            known.insert((partition.partition.topic, id), position);
                        }
                    }
                    Ok(None) => break,
                    // Reported to those who read there.
                    Err(WalkError::Damage(_)) => {
                        if !walk
                            .skip_damage()
                            .map_err(|_| format!("{}: it cannot be read", segment.path().display()))?
                        {
                            break;
                        }
                    }
                    Err(WalkError::Io(error)) => return Err(format!("{}: {error}", segment.path().display())),
                }
            }
            identities.add(known);
        }
    }
    Ok(())
}
