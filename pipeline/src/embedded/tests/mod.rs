use meshlog_schemas::{Headers, Topic};
use pollster::block_on;
use tempfile::tempdir;

use super::*;

mod damage;
mod faults;
mod full_disk;
mod killed;
mod power_loss;
mod retention;
use crate::{conformance, record::NewRecord};

fn open(path: &Path, layout: Vec<TopicLayout>) -> EmbeddedLog {
    EmbeddedLog::open(path, EmbeddedOptions { layout, journal_bytes: 256 * 1024, ..EmbeddedOptions::default() })
        .unwrap()
}

fn message(body: &[u8]) -> NewRecord {
    NewRecord {
        topic: Topic::Messages,
        key: b"k".to_vec().into(),
        headers: Headers::default(),
        body: body.to_vec().into(),
        identity: None,
    }
}

#[test]
fn conforms() {
    let directories = Mutex::new(Vec::new());
    conformance::check(|layout| {
        let directory = tempdir().unwrap();
        let log = Arc::new(open(directory.path(), layout));
        directories.lock().unwrap().push(directory);
        log
    });
}

#[test]
fn conforms_across_restarts() {
    let directory = tempdir().unwrap();
    let layout = vec![TopicLayout { topic: Topic::Messages, partitions: 3 }];
    conformance::check_durable(|| Arc::new(open(directory.path(), layout.clone())));
}

#[test]
fn a_second_owner_is_told_who_the_first_is() {
    let directory = tempdir().unwrap();
    let _first = open(directory.path(), crate::record::default_layout());
    let Err(LogError::InUse { owner, .. }) = EmbeddedLog::open(directory.path(), EmbeddedOptions::default()) else {
        panic!("a second owner must be refused");
    };
    assert_eq!(owner, format!("process {}", std::process::id()));
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let Err(error) = EmbeddedLog::open(&file.join("log"), EmbeddedOptions::default()) else {
        panic!("a file is no directory");
    };
    assert!(error.to_string().contains(&*file.to_string_lossy()) && error.to_string().contains("--data"), "{error}");
}

#[test]
fn the_partition_count_of_a_topic_that_exists_is_kept() {
    let directory = tempdir().unwrap();
    let with = |partitions| vec![TopicLayout { topic: Topic::Messages, partitions }];
    drop(open(directory.path(), with(3)));
    assert_eq!(open(directory.path(), with(8)).layout(), with(3));
}

#[test]
fn producers_that_append_at_the_same_time_share_the_fsync() {
    let directory = tempdir().unwrap();
    let log = open(directory.path(), vec![TopicLayout { topic: Topic::Messages, partitions: 1 }]);
    let appends = (0..200_u8).map(|count| log.append(Batch { records: vec![message(&[count])], progress: None }));
    let receipts = block_on(futures_util::future::join_all(appends));
    assert!(receipts.iter().all(Result::is_ok));
    let commits = log.shared.commits.load(Ordering::Relaxed);
    assert!(commits < 100, "200 appends under way at once took {commits} commits");
}

#[test]
fn what_was_sequenced_before_closing_is_acknowledged() {
    let directory = tempdir().unwrap();
    let log = Arc::new(open(directory.path(), vec![TopicLayout { topic: Topic::Messages, partitions: 1 }]));
    let producers: Vec<_> = (0..4_u8)
        .map(|producer| {
            let log = log.clone();
            std::thread::spawn(move || {
                (0..200_u8)
                    .take_while(|count| {
                        let batch = Batch { records: vec![message(&[producer, *count])], progress: None };
                        block_on(log.append(batch)).is_ok()
                    })
                    .count()
            })
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(30));
    log.close();
    let acknowledged: usize = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
    drop(log);
    let log = open(directory.path(), vec![TopicLayout { topic: Topic::Messages, partitions: 1 }]);
    let stored = log.bounds(Partition { topic: Topic::Messages, id: 0 }).unwrap().end;
    assert!(stored >= acknowledged as u64, "{acknowledged} were acknowledged, {stored} are stored");
}

/// Journals so small that one is full before what the last held is settled.
#[test]
fn identities_are_known_while_journals_turn_as_fast_as_they_can() {
    let directory = tempdir().unwrap();
    let layout = vec![TopicLayout { topic: Topic::Messages, partitions: 1 }];
    let options = EmbeddedOptions { layout, journal_bytes: 4 * 1024, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(directory.path(), options).unwrap();
    let append = |number: u128| {
        let identity = Some(meshlog_schemas::EventId(Uuid::from_u128(number)));
        let record = NewRecord { identity, ..message(&[7; 500]) };
        block_on(log.append(Batch { records: vec![record], progress: None })).unwrap()[0]
    };
    let append = &append;
    std::thread::scope(|scope| {
        for producer in 0..4_u128 {
            scope.spawn(move || {
                let mut positions = Vec::new();
                for count in 0..1_500 {
                    let receipt = append(producer << 64 | count);
                    assert!(!receipt.duplicate);
                    positions.push(receipt.position);
                    // Some of now, and some of long ago.
                    for back in [0, 3, 7, 20, 60] {
                        let Some(before) = positions.len().checked_sub(back + 1) else { continue };
                        let again = append(producer << 64 | before as u128);
                        assert_eq!(
                            (again.position, again.duplicate),
                            (positions[before], true),
                            "{count}, {back} back"
                        );
                    }
                }
            });
        }
    });
}
