use meshlog_schemas::{Headers, Topic};
use pollster::block_on;
use tempfile::tempdir;

use super::*;
use crate::{conformance, record::NewRecord};

fn open(path: &Path, layout: Vec<TopicLayout>) -> EmbeddedLog {
    EmbeddedLog::open(path, EmbeddedOptions { layout, ..EmbeddedOptions::default() }).unwrap()
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
fn a_damaged_record_is_reported_with_its_position_and_those_before_it_are_read() {
    let directory = tempdir().unwrap();
    let log = open(directory.path(), vec![TopicLayout { topic: Topic::Messages, partitions: 1 }]);
    block_on(log.append(Batch { records: vec![message(b"0"), message(b"1"), message(b"2")], progress: None })).unwrap();
    let partition = Partition { topic: Topic::Messages, id: 0 };
    let damaged = Position { partition, offset: 1 };
    let records = &log.shared.topics[&Topic::Messages].records;
    let mut frame = records.get(frame::storage_key(damaged)).unwrap().unwrap().to_vec();
    *frame.last_mut().unwrap() ^= 1;
    records.insert(frame::storage_key(damaged), frame).unwrap();

    let limit = ReadLimit { records: 10, bytes: usize::MAX };
    assert_eq!(log.read(partition, 0, limit).unwrap().len(), 1);
    let error = log.read(partition, 1, limit).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { position, .. } if position == damaged), "{error}");
    assert_eq!(log.read(partition, 2, limit).unwrap().len(), 1, "what lies behind can still be read");
}

#[test]
fn a_missing_record_is_reported_with_its_position() {
    let directory = tempdir().unwrap();
    let log = open(directory.path(), vec![TopicLayout { topic: Topic::Messages, partitions: 1 }]);
    block_on(log.append(Batch { records: vec![message(b"0"), message(b"1"), message(b"2")], progress: None })).unwrap();
    let partition = Partition { topic: Topic::Messages, id: 0 };
    let records = &log.shared.topics[&Topic::Messages].records;
    records.remove(frame::storage_key(Position { partition, offset: 1 })).unwrap();
    let limit = ReadLimit { records: 10, bytes: usize::MAX };
    assert_eq!(log.read(partition, 0, limit).unwrap().len(), 1);
    assert!(matches!(log.read(partition, 1, limit), Err(LogError::Corrupt { .. })));
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

/// What users of a storage engine saw: it cuts a damaged journal in silence, and everything behind the damage with it.
#[test]
fn a_journal_damaged_anywhere_is_an_error_and_never_a_silent_loss() {
    let directory = tempdir().unwrap();
    let layout = vec![TopicLayout { topic: Topic::Messages, partitions: 1 }];
    let log = open(directory.path(), layout.clone());
    for count in 0..20_u8 {
        block_on(log.append(Batch { records: vec![message(&[count; 50])], progress: None })).unwrap();
    }
    drop(log);
    let copy = tempdir().unwrap();
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let partition = Partition { topic: Topic::Messages, id: 0 };
    let journal = |root: &Path| {
        let mut files: Vec<_> =
            find_files(root).into_iter().filter(|file| file.extension().is_some_and(|e| e == "jnl")).collect();
        files.sort();
        files.pop().unwrap()
    };
    let written = std::fs::read(journal(directory.path())).unwrap();
    let used = written.iter().rposition(|byte| *byte != 0).unwrap();
    let mut noticed = 0;
    for at in (0..used).step_by(37) {
        let root = copy.path().join(at.to_string());
        copy_files(directory.path(), &root);
        let mut bytes = written.clone();
        bytes[at] ^= 0x10;
        std::fs::write(journal(&root), bytes).unwrap();
        // The storage's own reader may even panic on damage; that, too, is no silent loss.
        let opened = std::panic::catch_unwind(|| {
            let options = EmbeddedOptions { layout: layout.clone(), ..EmbeddedOptions::default() };
            EmbeddedLog::open(&root, options).and_then(|log| log.read(partition, 0, all))
        });
        match opened {
            Ok(Ok(records)) => assert_eq!(records.len(), 20, "byte {at}: acknowledged records are gone in silence"),
            Ok(Err(_)) | Err(_) => noticed += 1,
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
    assert!(noticed > 0, "no damage was noticed at all: does this test damage the right file?");
}

#[test]
fn records_that_are_gone_are_named_when_the_log_is_opened() {
    let directory = tempdir().unwrap();
    let layout = vec![TopicLayout { topic: Topic::Messages, partitions: 1 }];
    let log = open(directory.path(), layout.clone());
    let partition = Partition { topic: Topic::Messages, id: 0 };
    block_on(log.append(Batch { records: vec![message(b"0"), message(b"1")], progress: None })).unwrap();
    let last = frame::storage_key(Position { partition, offset: 1 });
    log.shared.topics[&Topic::Messages].records.remove(last).unwrap();
    drop(log);
    let options = EmbeddedOptions { layout, ..EmbeddedOptions::default() };
    let Err(error) = EmbeddedLog::open(directory.path(), options) else { panic!("a loss is refused") };
    assert!(error.to_string().contains("messages/0 ends at 1, but 2 records were acknowledged"), "{error}");
}

fn find_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            files.extend(find_files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

fn copy_files(from: &Path, to: &Path) {
    for file in find_files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}
