//! Damage of files at rest: detected, named with its position, and never a silent loss.

use std::fs;

use meshlog_schemas::{Headers, Position};
use pollster::block_on;
use tempfile::{TempDir, tempdir};

use super::super::*;
use crate::record::NewRecord;

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };
const RECORDS: u64 = 60;

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        layout: vec![TopicLayout { topic: Topic::Messages, partitions: 1 }],
        segment_bytes: 8_000,
        journal_bytes: 16_000,
        ..EmbeddedOptions::default()
    }
}

fn append(log: &EmbeddedLog, count: u64) {
    let record = NewRecord {
        topic: Topic::Messages,
        key: "k".into(),
        headers: Headers::default(),
        body: format!("{count} {}", "x".repeat(300)).into(),
        identity: Some(meshlog_schemas::EventId(uuid::Uuid::from_u128(u128::from(count)))),
    };
    block_on(log.append(Batch { records: vec![record], progress: None })).unwrap();
}

/// A log that was closed tidily, or copied while it was open: as a killed process leaves it.
fn log(is_closed: bool) -> TempDir {
    let directory = tempdir().unwrap();
    let log = EmbeddedLog::open(directory.path(), options()).unwrap();
    (0..RECORDS).for_each(|count| append(&log, count));
    if is_closed {
        return directory;
    }
    let copy = tempdir().unwrap();
    // The keeper may be at work: a copy of moving files is no crash. Once it rests nothing moves.
    loop {
        let before = listing(directory.path());
        std::thread::sleep(Duration::from_millis(100));
        copy_all(directory.path(), copy.path());
        if before == listing(directory.path()) {
            return copy;
        }
    }
}

fn listing(root: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut files: Vec<_> = files(root)
        .into_iter()
        .map(|file| {
            let metadata = fs::metadata(&file).unwrap();
            (file, metadata.len(), metadata.modified().unwrap())
        })
        .collect();
    files.sort();
    files
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn copy_all(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

fn by_extension(root: &Path, extension: &str) -> Vec<PathBuf> {
    files(root).into_iter().filter(|file| file.extension().is_some_and(|found| found == extension)).collect()
}

/// Opens and reads everything: all records, or an error that names the place.
fn read(root: &Path) -> Result<Vec<Record>, String> {
    let log = EmbeddedLog::open(root, options()).map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    while (records.len() as u64) < log.bounds(PARTITION).unwrap().end {
        records.extend(log.read(PARTITION, records.len() as u64, ALL).map_err(|error| error.to_string())?);
    }
    Ok(records)
}

/// Damages copies of a log with `damage`, and demands: all records, or an error. Answers how often it was an error.
fn survey(original: &Path, cases: usize, damage: impl Fn(&Path, usize)) -> usize {
    let copy = tempdir().unwrap();
    let mut noticed = 0;
    for case in 0..cases {
        copy_all(original, copy.path());
        damage(copy.path(), case);
        let inspection = EmbeddedLog::inspect(copy.path()).unwrap();
        match read(copy.path()) {
            Ok(records) => assert_eq!(records.len() as u64, RECORDS, "case {case}: records are gone in silence"),
            Err(error) => {
                noticed += 1;
                assert!(error.contains("messages/0") || error.contains(&*copy.path().to_string_lossy()), "{error}");
                assert!(!inspection.findings.is_empty(), "case {case}: the doctor does not see: {error}");
            }
        }
    }
    noticed
}

fn flip(file: &Path, byte: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[byte] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_is_noticed() {
    let original = log(true);
    let segments = by_extension(original.path(), "segment");
    assert!(segments.len() >= 3);
    let length = fs::read(&segments[1]).unwrap().len();
    let noticed = survey(original.path(), length / 197, |root, case| {
        flip(&by_extension(root, "segment")[1], case * 197);
    });
    assert_eq!(noticed, length / 197, "every byte of a full segment says something");
}

#[test]
fn a_flipped_bit_anywhere_in_the_journal_is_noticed() {
    let original = log(false);
    let journals = by_extension(original.path(), "journal");
    for (which, journal) in journals.iter().enumerate() {
        let bytes = fs::read(journal).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        // Not every flip says something: a journal that is prepared, or no longer needed, has nothing to lose.
        survey(original.path(), used / 797, |root, case| {
            flip(&by_extension(root, "journal")[which], case * 797);
        });
    }
    let noticed = survey(original.path(), 1, |root, _| {
        let inspection = EmbeddedLog::inspect(root).unwrap();
        assert!(inspection.journal_groups > 0, "the copy has nothing in its journal: does this test damage anything?");
        for journal in by_extension(root, "journal") {
            let length = fs::metadata(&journal).unwrap().len();
            fs::write(&journal, vec![0xAA; length as usize]).unwrap();
        }
    });
    assert_eq!(noticed, 1);
}

#[test]
fn a_cut_a_missing_and_an_exchanged_file_are_named() {
    for is_closed in [true, false] {
        let original = log(is_closed);
        for extension in ["segment", "journal"] {
            let count = by_extension(original.path(), extension).len();
            survey(original.path(), count, |root, case| fs::remove_file(&by_extension(root, extension)[case]).unwrap());
            survey(original.path(), count * 8, |root, case| {
                let file = &by_extension(root, extension)[case / 8];
                let length = fs::metadata(file).unwrap().len();
                fs::File::options().write(true).open(file).unwrap().set_len(length * (case as u64 % 8) / 8).unwrap();
            });
        }
        let noticed = survey(original.path(), 1, |root, _| {
            let segments = by_extension(root, "segment");
            let between = root.join("between");
            fs::rename(&segments[0], &between).unwrap();
            fs::rename(&segments[1], &segments[0]).unwrap();
            fs::rename(&between, &segments[1]).unwrap();
        });
        assert_eq!(noticed, 1, "exchanged segments");
        let noticed = survey(original.path(), 1, |root, _| fs::remove_file(root.join("manifest")).unwrap());
        assert_eq!(noticed, 1, "a missing manifest");
        let noticed = survey(original.path(), 40, |root, case| {
            let length = fs::metadata(root.join("manifest")).unwrap().len() as usize;
            flip(&root.join("manifest"), case * length / 40);
        });
        assert_eq!(noticed, 40, "a damaged manifest");
        let other = log(true);
        let noticed = survey(original.path(), 1, |root, _| {
            fs::copy(&by_extension(other.path(), "segment")[0], &by_extension(root, "segment")[0]).unwrap();
        });
        assert_eq!(noticed, 1, "a segment of another log");
    }
}

#[test]
fn an_index_that_is_damaged_or_missing_is_made_again() {
    let original = log(true);
    let indexes = by_extension(original.path(), "index").len();
    assert!(indexes > 0);
    let noticed = survey(original.path(), indexes * 2, |root, case| {
        let index = &by_extension(root, "index")[case / 2];
        if case % 2 == 0 { fs::remove_file(index).unwrap() } else { flip(index, 50) }
    });
    assert_eq!(noticed, 0, "indexes say nothing that the segments do not say");
    fs::remove_dir_all(original.path().join("identities")).unwrap();
    let log = EmbeddedLog::open(original.path(), options()).unwrap();
    append(&log, 7);
    assert_eq!(log.bounds(PARTITION).unwrap().end, RECORDS, "identities were made again from the records");
}

#[test]
fn damage_is_named_and_what_lies_before_and_behind_can_be_read() {
    let original = log(true);
    let segment = &by_extension(original.path(), "segment")[1];
    let base: u64 = segment.file_stem().unwrap().to_string_lossy().parse().unwrap();
    let start = segment::HEADER;
    for (byte, damaged) in [(start + 5, base), (start + frame::HEADER + 50, base)] {
        let copy = tempdir().unwrap();
        copy_all(original.path(), copy.path());
        flip(&by_extension(copy.path(), "segment")[1], byte);
        let log = EmbeddedLog::open(copy.path(), options()).unwrap();
        assert_eq!(log.read(PARTITION, 0, ALL).unwrap().len() as u64, damaged, "what lies before");
        let error = log.read(PARTITION, damaged, ALL).unwrap_err();
        let position = Position { partition: PARTITION, offset: damaged };
        assert!(matches!(error, LogError::Corrupt { position: at, .. } if at == position), "{error}");
        let behind = log.read(PARTITION, damaged + 1, ReadLimit { records: 5, bytes: usize::MAX }).unwrap();
        assert_eq!(behind[0].position.offset, damaged + 1, "what lies behind");
        append(&log, RECORDS);
        drop(log);
        let inspection = EmbeddedLog::inspect(copy.path()).unwrap();
        assert_eq!(inspection.partitions[0].damaged, vec![damaged..damaged + 1]);
        assert_eq!(inspection.partitions[0].intact, RECORDS);
        assert!(inspection.findings[0].remedy.contains(&format!("all records but messages/0 {damaged}..")));
    }
}

#[test]
fn a_healthy_log_has_no_findings() {
    for is_closed in [true, false] {
        let directory = log(is_closed);
        let inspection = EmbeddedLog::inspect(directory.path()).unwrap();
        assert_eq!(inspection.findings, []);
        assert_eq!(inspection.partitions[0].intact, RECORDS);
        assert_eq!(read(directory.path()).map(|records| records.len() as u64), Ok(RECORDS));
    }
}

#[test]
fn a_log_that_is_open_is_not_inspected() {
    let directory = tempdir().unwrap();
    let _log = EmbeddedLog::open(directory.path(), options()).unwrap();
    assert!(matches!(EmbeddedLog::inspect(directory.path()), Err(LogError::InUse { .. })));
}
