//! Retention on a running log: what goes, what stays and why, and what a crash in the middle of it leaves.

use meshlog_schemas::{Checkpoints, Headers};
use pollster::block_on;

use super::super::{
    disk::simulated::{Fault, SimulatedDisk},
    *,
};
use crate::record::NewRecord;

const ROOT: &str = "/log";
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
const MESSAGES: Partition = Partition { topic: Topic::Messages, id: 0 };
const EMBEDDINGS: Partition = Partition { topic: Topic::Embeddings, id: 0 };
/// Several segments.
const RECORDS: u64 = 60;

fn options(retention: &[(Topic, Retention)]) -> EmbeddedOptions {
    EmbeddedOptions {
        layout: [Topic::Messages, Topic::Embeddings].map(|topic| TopicLayout { topic, partitions: 1 }).to_vec(),
        segment_bytes: 3_000,
        journal_bytes: 6_000,
        retention: retention.iter().copied().collect(),
        retention_check: Duration::from_millis(1),
        identities_in_memory: true,
        ..EmbeddedOptions::default()
    }
}

fn open(disk: &SimulatedDisk, retention: &[(Topic, Retention)]) -> EmbeddedLog {
    EmbeddedLog::open_on(Arc::new(disk.clone()), Path::new(ROOT), options(retention), None).unwrap()
}

/// A disk with a log of [`RECORDS`] records on each topic, closed and brought forward, so that its manifest names them all.
fn filled() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let log = open(&disk, &[]);
    for count in 0..RECORDS {
        let record = |topic| NewRecord {
            topic,
            key: "k".into(),
            headers: Headers::default(),
            body: format!("{count} {}", "x".repeat(300)).into(),
            identity: None,
        };
        let records = vec![record(Topic::Messages), record(Topic::Embeddings)];
        block_on(log.append(Batch { records, progress: None })).unwrap();
    }
    drop(log);
    drop(open(&disk, &[]));
    disk
}

fn by_bytes(max_bytes: u64) -> Retention {
    Retention { max_age: None, max_bytes: Some(max_bytes) }
}

fn by_age(max_age: Duration) -> Retention {
    Retention { max_age: Some(max_age), max_bytes: None }
}

fn readers(read: &'static [(&'static str, Topic, Offset)]) -> Arc<Readers> {
    let one = |(name, topic, next): &(&str, Topic, Offset)| {
        ((*name).to_owned(), Checkpoints::from_iter([(Partition { topic: *topic, id: 0 }, *next)]))
    };
    Arc::new(move || read.iter().map(one).collect())
}

/// The keeper says nothing when it has looked, so it is asked again and again.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not come to hold");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start(log: &EmbeddedLog, partition: Partition) -> Offset {
    log.bounds(partition).unwrap().start
}

/// Every record from the start on is there, and no other file than those that hold them.
fn check_whole(disk: &SimulatedDisk, log: &EmbeddedLog, what: &str) {
    for partition in [MESSAGES, EMBEDDINGS] {
        let Bounds { start, end } = log.bounds(partition).unwrap();
        assert_eq!(end, RECORDS, "{what}: {partition}");
        let records = log.read(partition, start, ALL).unwrap();
        assert_eq!(records.len() as u64, end - start, "{what}: {partition}");
        for (record, offset) in records.iter().zip(start..) {
            assert!(record.body.starts_with(format!("{offset} ").as_bytes()), "{what}: {partition} {offset}");
        }
        let files = log.shared.partition(partition).unwrap().files();
        assert_eq!(files.segments.first().map(|first| first.base), Some(start), "{what}: {partition}");
        let named: Vec<_> = files.segments.iter().map(|extent| segment::file_name(extent.base)).collect();
        for name in disk.list(&partition::directory(Path::new(ROOT), partition)).unwrap() {
            let segment = name.replace(".index", ".segment");
            assert!(named.contains(&segment), "{what}: {partition}: {name} belongs to no segment");
        }
    }
}

fn check_doctor(disk: &SimulatedDisk, what: &str) -> Inspection {
    let inspection = doctor::inspect(&(Arc::new(disk.clone()) as Arc<dyn Disk>), Path::new(ROOT));
    assert_eq!(inspection.findings, [], "{what}");
    for found in &inspection.partitions {
        assert_eq!((found.end - found.start, found.damaged.len()), (found.intact, 0), "{what}");
    }
    inspection
}

#[test]
fn the_oldest_segments_go_by_size_and_by_age_each_topic_by_its_own_limit() {
    let disk = filled();
    let hour = Duration::from_secs(3_600);
    let log = open(&disk, &[(Topic::Messages, by_bytes(10_000)), (Topic::Embeddings, by_age(hour))]);
    let before = log.keeping(Topic::Messages).bytes;
    log.set_readers(readers(&[]));
    eventually("the oldest messages go", || start(&log, MESSAGES) > 0);
    let bytes = log.keeping(Topic::Messages).bytes;
    assert!(before > 15_000 && bytes <= 10_000 && bytes > 5_000, "of {before} bytes {bytes} are left");
    assert_eq!(start(&log, EMBEDDINGS), 0, "nothing of it is an hour old");
    drop(log);

    let log = open(&disk, &[(Topic::Embeddings, by_age(Duration::ZERO))]);
    log.set_readers(readers(&[]));
    eventually("all but the newest embeddings go", || start(&log, EMBEDDINGS) > 0);
    let left = log.shared.partition(EMBEDDINGS).unwrap().files().segments;
    assert_eq!(left.len(), 1, "the newest segment stays, however old");
    assert!(left[0].end == RECORDS && left[0].base < RECORDS);
    assert_eq!(log.keeping(Topic::Embeddings).bytes, left[0].bytes);
    check_whole(&disk, &log, "by age");
}

#[test]
fn a_topic_without_limits_and_a_log_whose_readers_are_unknown_lose_nothing() {
    let disk = filled();
    let log = open(&disk, &[(Topic::Messages, by_bytes(0))]);
    // A journal's turn, which the keeper does behind any retention that was due.
    for _ in 0..30 {
        let record = super::message(&[b'x'; 300]);
        block_on(log.append(Batch { records: vec![record], progress: None })).unwrap();
    }
    assert_eq!((start(&log, MESSAGES), start(&log, EMBEDDINGS)), (0, 0));
    log.set_readers(readers(&[]));
    eventually("the messages go", || start(&log, MESSAGES) > 0);
    assert_eq!(start(&log, EMBEDDINGS), 0);
}

#[test]
fn a_reader_holds_back_what_it_has_not_read_and_the_log_says_who() {
    let disk = filled();
    let log = open(&disk, &[(Topic::Messages, by_bytes(0))]);
    log.set_readers(readers(&[
        ("slow", Topic::Messages, 20),
        ("slower", Topic::Messages, 13),
        ("done", Topic::Messages, RECORDS),
        ("elsewhere", Topic::Embeddings, 0),
    ]));
    eventually("it is said who holds", || log.keeping(Topic::Messages).held_by == ["slow", "slower"]);
    eventually("what all have read goes", || start(&log, MESSAGES) > 0);
    assert!(start(&log, MESSAGES) <= 13, "the record that the slowest reads next is kept");
    assert!(log.read(MESSAGES, 13, ALL).is_ok());

    log.set_readers(readers(&[("slow", Topic::Messages, RECORDS)]));
    eventually("nobody holds any more", || log.keeping(Topic::Messages).held_by.is_empty());
    eventually("the rest goes", || log.shared.partition(MESSAGES).unwrap().files().segments.len() == 1);
    check_whole(&disk, &log, "after the readers");
}

#[test]
fn a_read_below_the_start_is_told_the_range_also_after_a_restart() {
    let disk = filled();
    let limits = [(Topic::Messages, by_bytes(10_000))];
    let log = open(&disk, &limits);
    log.set_readers(readers(&[]));
    eventually("the oldest messages go", || start(&log, MESSAGES) > 0);
    let from = start(&log, MESSAGES);
    let check = |log: &EmbeddedLog, disk: &SimulatedDisk, what: &str| {
        let error = log.read(MESSAGES, from - 1, ALL).unwrap_err();
        let LogError::OutOfRange { partition, from: asked, start, end } = error else { panic!("{what}: {error}") };
        assert_eq!((partition, asked, start, end), (MESSAGES, from - 1, from, RECORDS), "{what}");
        check_whole(disk, log, what);
    };
    check(&log, &disk, "at once");
    drop(log);
    let found = check_doctor(&disk, "closed");
    assert_eq!((found.partitions[0].partition, found.partitions[0].start), (MESSAGES, from));
    check(&open(&disk, &limits), &disk, "after a restart");
    let disk = disk.lose_power();
    check_doctor(&disk, "without power");
    check(&open(&disk, &limits), &disk, "after a loss of power");
}

/// The power goes, or the process ends, at every operation of a retention: before the manifest is replaced, between that
/// and each file's removal, and after.
#[test]
fn a_crash_at_any_point_of_a_removal_leaves_a_whole_log_and_no_stray_file() {
    let limits = [(Topic::Messages, by_bytes(0)), (Topic::Embeddings, by_age(Duration::ZERO))];
    let (mut kept, mut gone, mut strays) = (0, 0, 0);
    for at in 1..60 {
        for loses_power in [false, true] {
            let what = format!("operation {at}, power lost: {loses_power}");
            let disk = filled();
            let log = open(&disk, &limits);
            disk.plan(at, Fault::PowerLoss);
            log.set_readers(readers(&[]));
            let is_through = || {
                let left = |partition| log.shared.partition(partition).unwrap().files().segments.len();
                left(MESSAGES) == 1 && left(EMBEDDINGS) == 1
            };
            eventually("it is done or the power is off", || log.stopped().is_some() || is_through());
            disk.switch_off();
            drop(log);
            let disk = if loses_power { disk.lose_power() } else { disk.kill() };
            check_doctor(&disk, &what);
            let files =
                |disk: &SimulatedDisk| disk.list(&partition::directory(Path::new(ROOT), MESSAGES)).unwrap().len();
            let before = files(&disk);
            let log = open(&disk, &limits);
            check_whole(&disk, &log, &what);
            *if start(&log, MESSAGES) == 0 { &mut kept } else { &mut gone } += 1;
            strays += usize::from(files(&disk) < before);
        }
    }
    assert!(kept > 0 && gone > 0 && strays > 0, "before {kept}, after {gone}, with stray files {strays}");
}
