//! Sudden ends of a real process on a real disk: kill -9 at any moment, and every failpoint with every outcome.
//!
//! The process is this test program again, running [`child`]: it appends with many producers at once, and says on its
//! output what was acknowledged.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use meshlog_schemas::{Checkpoints, Headers};
use pollster::block_on;
use tempfile::tempdir;

use super::super::*;
use crate::record::{NewRecord, ProcessorProgress};
use crate::seeds::Chance;

const DIRECTORY: &str = "MESHLOG_TEST_CHILD_DIRECTORY";
const LIFE: &str = "MESHLOG_TEST_CHILD_LIFE";
const PRODUCERS: u64 = 8;
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        layout: vec![TopicLayout { topic: Topic::Messages, partitions: 2 }],
        segment_bytes: 64 * 1024,
        journal_bytes: 128 * 1024,
        ..EmbeddedOptions::default()
    }
}

/// Not a test of its own: what the other tests run as a process of its own.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let life = std::env::var(LIFE).unwrap();
    let _points = fail::FailScenario::setup();
    // Under a failpoint the log may rightly refuse to open.
    let Ok(log) = EmbeddedLog::open(Path::new(&directory), options()) else { return };
    say("open");
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let (log, life) = (&log, &life);
            scope.spawn(move || {
                let mut count = 0_u64;
                while count < 2_000 {
                    let key = format!("{life}/{producer}");
                    let record = NewRecord {
                        topic: Topic::Messages,
                        key: key.clone().into(),
                        headers: Headers::default(),
                        body: format!("{key}/{count}/{}", "x".repeat(200)).into(),
                        identity: None,
                    };
                    let progress = ProcessorProgress {
                        processor: key.replace('/', "-"),
                        checkpoints: Checkpoints::default(),
                        note: Some(count.to_string()),
                    };
                    match block_on(log.append(Batch { records: vec![record], progress: Some(progress) })) {
                        Ok(_) => say(&format!("{key} {count}")),
                        // Sent again, as a client would.
                        Err(AppendError::Full { .. }) => continue,
                        Err(_) => return,
                    }
                    count += 1;
                }
            });
        }
    });
}

/// One whole line at a time, past the test harness's own output.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("@{line}\n").as_bytes()).and_then(|()| out.flush());
}

fn spawn(directory: &Path, life: u64, points: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::tests::killed::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(LIFE, life.to_string())
        .env("FAILPOINTS", points)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many appends of each key were acknowledged, as a contiguous count.
type Acknowledged = BTreeMap<String, u64>;

/// Reads what the child says, until it ends or `lines` were acknowledged; then kills it and reads the rest.
fn follow(mut child: Child, lines: u64, acknowledged: &mut Acknowledged) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut count, mut line) = (0, String::new());
    // The harness may have begun the line.
    while out.read_line(&mut line).is_ok_and(|read| read > 0) {
        if let Some((key, number)) =
            line.rsplit_once('@').and_then(|(_, said)| said.trim_end().split_once(' ')).filter(|_| line.ends_with('\n'))
        {
            acknowledged.insert(key.to_owned(), number.parse::<u64>().unwrap() + 1);
            count += 1;
            if count == lines {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
}

/// Opens the log and compares it with what was acknowledged.
fn check(directory: &Path, acknowledged: &Acknowledged, what: &str) {
    let log = EmbeddedLog::open(directory, options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut found: Acknowledged = BTreeMap::new();
    for id in 0..2 {
        let partition = Partition { topic: Topic::Messages, id };
        let end = log.bounds(partition).unwrap().end;
        let mut next = 0;
        while next < end {
            for record in log.read(partition, next, ALL).unwrap() {
                let body = String::from_utf8(record.body.to_vec()).unwrap();
                let (rest, _) = body.rsplit_once('/').unwrap();
                let (key, count) = rest.rsplit_once('/').unwrap();
                let known = found.entry(key.to_owned()).or_default();
                assert_eq!(count.parse(), Ok(*known), "{what}: {key} is out of order, doubled, or has a gap");
                *known += 1;
                next = record.position.offset + 1;
            }
        }
    }
    for (key, count) in acknowledged {
        let there = found.get(key).copied().unwrap_or_default();
        assert!(there >= *count, "{what}: {key}: {count} were acknowledged, {there} are there");
    }
    for (key, count) in &found {
        let note = log.progress(&key.replace('/', "-")).unwrap().note;
        assert_eq!(note, (count - 1).to_string(), "{what}: progress goes with its records");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// `MESHLOG_KILLS=1000` runs the long form.
#[test]
fn killed_at_any_moment_it_loses_nothing() {
    let directory = tempdir().unwrap();
    let mut chance = Chance(number("MESHLOG_SIM_SEED", 7));
    let mut acknowledged = Acknowledged::new();
    for life in 0..number("MESHLOG_KILLS", 30) {
        follow(spawn(directory.path(), life, ""), 1 + chance.below(3_000), &mut acknowledged);
        check(directory.path(), &acknowledged, &format!("life {life}"));
        if life % 20 == 19 {
            // A log that only grows would make the check the work.
            std::fs::remove_dir_all(directory.path()).unwrap();
            acknowledged.clear();
        }
    }
    assert!(
        number("MESHLOG_KILLS", 30).is_multiple_of(20) || !acknowledged.is_empty(),
        "no life came to acknowledge anything"
    );
}

#[test]
fn at_every_failpoint_every_outcome_loses_nothing() {
    let points = [
        "journal.create",
        "journal.write",
        "journal.reserve",
        "journal.sync",
        "journal.rename",
        "journal.remove",
        "segment.create",
        "segment.write",
        "segment.reserve",
        "segment.sync",
        "segment.truncate",
        "index.create",
        "index.write",
        "manifest.create",
        "manifest.write",
        "manifest.sync",
        "manifest.rename",
        "directory.sync",
    ];
    let outcomes = ["return(error)", "return(full)", "return(abort)", "panic", "sleep(30)"];
    let every = number("MESHLOG_FAILPOINT_CASES", 1);
    let mut chance = Chance(number("MESHLOG_SIM_SEED", 11));
    let mut silent = 0;
    for point in points {
        for outcome in outcomes {
            for _ in 0..every {
                let directory = tempdir().unwrap();
                let after = [0, 1, 3, 30][chance.below(4) as usize];
                let points = format!("{point}={after}*off->2*{outcome}->off");
                let mut acknowledged = Acknowledged::new();
                follow(spawn(directory.path(), 0, &points), 600, &mut acknowledged);
                silent += u64::from(acknowledged.is_empty());
                check(directory.path(), &acknowledged, &points);
            }
        }
    }
    assert!(silent < 60 * every, "in {silent} cases nothing was acknowledged before the failpoint");
}
