//! Failing operations: a failed sync stops the writer; a full disk only refuses.

use meshlog_schemas::Headers;
use pollster::block_on;

use super::super::{
    disk::simulated::{Fault, SimulatedDisk},
    *,
};
use crate::record::NewRecord;

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };

fn options() -> EmbeddedOptions {
    EmbeddedOptions {
        layout: vec![TopicLayout { topic: Topic::Messages, partitions: 1 }],
        segment_bytes: 4_000,
        journal_bytes: 8_000,
        identities_in_memory: true,
        ..EmbeddedOptions::default()
    }
}

fn open(disk: &SimulatedDisk) -> EmbeddedLog {
    EmbeddedLog::open_on(Arc::new(disk.clone()), Path::new("/log"), options(), None).unwrap()
}

fn batch(body: &str) -> Batch {
    let record = NewRecord {
        topic: Topic::Messages,
        key: "k".into(),
        headers: Headers::default(),
        body: body.to_owned().into(),
        identity: None,
    };
    Batch { records: vec![record], progress: None }
}

fn append(log: &EmbeddedLog, body: &str) -> Result<Vec<Receipt>, AppendError> {
    block_on(log.append(batch(body)))
}

fn bodies(log: &EmbeddedLog) -> Vec<String> {
    let records = log.read(PARTITION, 0, ALL).unwrap();
    records.iter().map(|record| String::from_utf8_lossy(&record.body).into_owned()).collect()
}

/// Every operation once: whatever fails, nothing acknowledged is lost, and the log says clearly that it has stopped or goes on.
#[test]
fn any_failing_operation_leaves_a_clear_state_and_loses_nothing() {
    let mut stopped = 0;
    for at in 1..250 {
        let disk = SimulatedDisk::new(at);
        disk.plan(at, Fault::Error);
        let opened = EmbeddedLog::open_on(Arc::new(disk.clone()), Path::new("/log"), options(), None);
        let mut acknowledged = Vec::new();
        if let Ok(log) = opened {
            for count in 0..60 {
                let body = format!("{count} {}", "x".repeat(300));
                match append(&log, &body) {
                    Ok(_) => acknowledged.push(body),
                    Err(AppendError::Stopped { reason }) => {
                        assert!(reason.contains("could not"), "{reason}");
                        assert_eq!(log.stopped(), Some(reason));
                        break;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(bodies(&log).starts_with(&acknowledged), "reads go on");
            let was_stopped = log.stopped().is_some();
            match append(&log, "more") {
                Ok(_) => {
                    assert!(!was_stopped, "once stopped, for good");
                    acknowledged.push("more".to_owned());
                }
                Err(_) => assert!(log.stopped().is_some()),
            }
            stopped += usize::from(log.stopped().is_some());
            log.close();
            assert!(bodies(&log).starts_with(&acknowledged), "reads go on");
        }
        let log = open(&disk.kill());
        let there = bodies(&log);
        assert!(there.starts_with(&acknowledged), "operation {at}: {} of {}", there.len(), acknowledged.len());
        assert!(there.len() <= acknowledged.len() + 1, "operation {at}: only the batch under way may be there too");
        append(&log, "again").unwrap();
    }
    assert!(stopped > 50, "only {stopped} faults stopped the log: does the plan hit anything?");
}

/// Whatever fails, and whether it was acknowledged or not.
#[test]
fn what_was_told_to_be_written_survives_a_kill() {
    let mut told_alone = 0;
    for at in 1..250 {
        let disk = SimulatedDisk::new(at);
        disk.plan(at, Fault::Error);
        let Ok(log) = EmbeddedLog::open_on(Arc::new(disk.clone()), Path::new("/log"), options(), None) else {
            continue;
        };
        let mut told = Vec::new();
        for count in 0..60 {
            let body = format!("{count} {}", "x".repeat(300));
            let (written, mut is_written) = tokio::sync::oneshot::channel();
            let appended = block_on(log.append_telling(batch(&body), written));
            let is_written = is_written.try_recv().is_ok();
            assert!(is_written || appended.is_err(), "it is told before it is acknowledged");
            told.extend(is_written.then_some(body));
            if appended.is_err() {
                told_alone += usize::from(is_written);
                break;
            }
        }
        log.close();
        let there = bodies(&open(&disk.kill()));
        assert!(there.starts_with(&told), "operation {at}: {} of {}", there.len(), told.len());
    }
    assert!(told_alone > 5, "only {told_alone} syncs failed behind a write");
}

/// Copying to the segment comes after the answer: it may fail without anybody noticing.
#[test]
fn what_was_acknowledged_is_read_even_if_it_could_not_be_copied() {
    let mut uncopied = 0;
    for at in 1..120 {
        let disk = SimulatedDisk::new(at);
        let log = open(&disk);
        disk.plan(at, Fault::Error);
        let mut acknowledged = Vec::new();
        for count in 0..30 {
            let append = |part: u64| {
                let body = format!("{count}.{part} {}", "x".repeat(100));
                NewRecord {
                    topic: Topic::Messages,
                    key: "k".into(),
                    headers: Headers::default(),
                    body: body.into(),
                    identity: None,
                }
            };
            let records: Vec<_> = (0..3).map(append).collect();
            let sent: Vec<_> = records.iter().map(|record| record.body.clone()).collect();
            if block_on(log.append(Batch { records, progress: None })).is_ok() {
                acknowledged.extend(sent);
            }
        }
        log.close();
        let end = log.bounds(PARTITION).unwrap().end;
        assert!(end as usize >= acknowledged.len());
        let copied = log.shared.partitions[0].active().map_or(0, |active| active.extent().end);
        uncopied += usize::from(copied < end);
        // One by one, in pieces, and as bounded in bytes as can be: across the border of file and memory each time.
        for limit in [1, 2, 5, usize::MAX]
            .map(|records| ReadLimit { records, bytes: usize::MAX })
            .into_iter()
            .chain([ReadLimit { records: usize::MAX, bytes: 0 }, ReadLimit { records: usize::MAX, bytes: 150 }])
        {
            let mut read = Vec::new();
            while (read.len() as u64) < end {
                let records = log.read(PARTITION, read.len() as u64, limit).unwrap();
                assert!(!records.is_empty() && records.len() <= limit.records);
                assert!(records.iter().zip(read.len() as u64..).all(|(record, at)| record.position.offset == at));
                read.extend(records.into_iter().map(|record| record.body));
            }
            assert!(read.starts_with(&acknowledged));
        }
        drop(log);
        assert!(bodies(&open(&disk.kill())).len() >= acknowledged.len());
    }
    assert!(uncopied > 10, "only {uncopied} copies failed: does the plan hit them?");
}

#[test]
fn a_full_disk_refuses_and_takes_appends_again_once_there_is_space() {
    let disk = SimulatedDisk::new(1);
    let log = open(&disk);
    append(&log, "first").unwrap();
    disk.set_space(Some(40_000));
    let large = "x".repeat(900);
    let mut taken = 1;
    let refused = loop {
        match append(&log, &large) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 1_000, "the disk never ran full");
    };
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    assert!(log.full().is_some() && log.stopped().is_none());
    assert_eq!(bodies(&log).len(), taken, "reads go on");
    assert!(matches!(append(&log, &large), Err(AppendError::Full { .. })), "still refused");

    disk.set_space(None);
    append(&log, "there is space").unwrap();
    assert_eq!(log.full(), None);
    for _ in 0..50 {
        append(&log, &large).unwrap();
    }
    drop(log);
    let log = open(&disk.kill());
    let there = bodies(&log);
    assert_eq!(there.len(), taken + 51, "what was refused is not there, what was acknowledged is");
    assert_eq!(there[taken], "there is space");
}

/// The disk runs full again and again, at every place, and power is lost while it is full.
#[test]
fn a_disk_that_fills_up_anywhere_loses_nothing() {
    for space in (8_000..60_000).step_by(700) {
        let disk = SimulatedDisk::new(space);
        let log = open(&disk);
        disk.set_space(Some(space));
        let mut acknowledged = Vec::new();
        for count in 0..90 {
            let body = format!("{count} {}", "x".repeat(500));
            match append(&log, &body) {
                Ok(_) => acknowledged.push(body),
                Err(AppendError::Full { .. }) => {}
                Err(error) => panic!("space {space}: {error}"),
            }
            if count % 30 == 29 {
                disk.set_space(Some(space + 10_000 * count));
            }
        }
        disk.switch_off();
        drop(log);
        let after = disk.lose_power();
        assert_eq!(bodies(&open(&after)), acknowledged, "space {space}");
    }
}
