//! What every engine must show: the contract of [`Log`], checked from outside.
//!
//! Owns: the one suite. An engine's own tests call [`check`], and [`check_durable`] where it survives a restart.
//! Never: looks inside an engine.

use std::{
    sync::{Arc, Barrier},
    time::Duration,
};

use meshlog_schemas::{Checkpoints, EventId, Headers, Partition, Position, Topic};
use pollster::block_on;

use crate::{
    log::{AppendError, Log, LogError},
    record::{Batch, NewRecord, ProcessorProgress, ReadLimit, Record, StoredProgress, TopicLayout, partition_of},
};

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

/// Runs the suite; `open` makes a new empty log each time.
pub(crate) fn check(open: impl Fn(Vec<TopicLayout>) -> Arc<dyn Log>) {
    let open = || open(layout());
    offsets_are_dense_and_ordered(&*open());
    reads_are_exact(&*open());
    a_read_never_waits_and_names_what_is_out_of_range(&*open());
    an_identity_is_stored_once(&*open());
    an_identity_counts_per_topic(&*open());
    progress_advances_with_its_records(&*open());
    concurrent_producers_lose_nothing(open());
    a_tail_wakes_up(open());
    no_read_sees_beyond_the_end(open());
    an_append_that_tells_is_an_append(&*open());
    a_closed_log_refuses_and_still_reads(&*open());
}

/// Runs the part of the suite that needs a restart; `open` opens the same log again.
pub(crate) fn check_durable(open: impl Fn() -> Arc<dyn Log>) {
    let log = open();
    let first = append(&*log, vec![record("a", b"1"), identified("b", b"2", 7)]);
    let read = partition_of(Topic::Messages, b"a", 3);
    let progress = Checkpoints::from_iter([(read, 1)]);
    let noted = ProcessorProgress { note: Some("half".to_owned()), ..advance("stage", progress.clone()) };
    block_on(log.append(Batch { records: vec![], progress: Some(noted) })).unwrap();
    let before = everything(&*log);
    log.close();
    drop(log);

    let log = open();
    assert_eq!(everything(&*log), before, "a restart changes no record");
    let kept = StoredProgress { checkpoints: progress, note: "half".to_owned() };
    assert_eq!(log.progress("stage").unwrap(), kept, "progress survives");
    let again = block_on(log.append(Batch { records: vec![identified("b", b"2", 7)], progress: None })).unwrap();
    assert!(again[0].duplicate, "identities survive");
    assert_eq!(again[0].position, first[1]);
    let next = append(&*log, vec![record("a", b"3")]);
    assert_eq!(next[0].partition, first[0].partition);
    assert_eq!(next[0].offset, log.bounds(next[0].partition).unwrap().end - 1, "offsets go on where they ended");
}

fn layout() -> Vec<TopicLayout> {
    vec![TopicLayout { topic: Topic::Messages, partitions: 3 }, TopicLayout { topic: Topic::Embeddings, partitions: 1 }]
}

fn record(key: &str, body: &[u8]) -> NewRecord {
    NewRecord {
        topic: Topic::Messages,
        key: key.as_bytes().to_vec().into(),
        headers: Headers::from_iter([("ce_id", body)]),
        body: body.to_vec().into(),
        identity: None,
    }
}

fn identified(key: &str, body: &[u8], id: u128) -> NewRecord {
    NewRecord { identity: Some(EventId(uuid::Uuid::from_u128(id))), ..record(key, body) }
}

fn advance(processor: &str, checkpoints: Checkpoints) -> ProcessorProgress {
    ProcessorProgress { processor: processor.to_owned(), checkpoints, note: None }
}

fn append(log: &dyn Log, records: Vec<NewRecord>) -> Vec<Position> {
    let receipts = block_on(log.append(Batch { records, progress: None })).unwrap();
    receipts.into_iter().map(|receipt| receipt.position).collect()
}

fn everything(log: &dyn Log) -> Vec<Record> {
    let partitions = log
        .layout()
        .to_vec()
        .into_iter()
        .flat_map(|layout| (0..layout.partitions).map(move |id| Partition { topic: layout.topic, id }));
    partitions.flat_map(|partition| log.read(partition, 0, ALL).unwrap()).collect()
}

fn an_append_that_tells_is_an_append(log: &dyn Log) {
    let (written, told) = tokio::sync::oneshot::channel();
    let appending = log.append_telling(Batch { records: vec![record("a", b"1")], progress: None }, written);
    let receipts = block_on(appending).unwrap();
    // By then it was told, or never will be.
    let _ = block_on(told);
    let behind = append(log, vec![record("a", b"2")]);
    assert_eq!(behind[0].offset, receipts[0].position.offset + 1);
    let bodies: Vec<_> = everything(log).into_iter().map(|record| record.body).collect();
    assert_eq!(bodies, [&b"1"[..], b"2"]);

    // Whoever has been told need not wait any longer, and what comes after stands behind it.
    let (written, told) = tokio::sync::oneshot::channel();
    let mut appending = log.append_telling(Batch { records: vec![record("a", b"3")], progress: None }, written);
    block_on(async {
        tokio::select! {
            Ok(()) = told => {}
            appended = &mut appending => drop(appended.unwrap()),
        }
    });
    drop(appending);
    let behind = append(log, vec![record("a", b"4")]);
    assert_eq!(behind[0].offset, receipts[0].position.offset + 3);
}

fn offsets_are_dense_and_ordered(log: &dyn Log) {
    for round in 0..10_u8 {
        append(log, vec![record("a", &[round, 0]), record("b", &[round, 1]), record("a", &[round, 2])]);
    }
    for layout in log.layout().to_vec() {
        for id in 0..layout.partitions {
            let records = log.read(Partition { topic: layout.topic, id }, 0, ALL).unwrap();
            let offsets: Vec<_> = records.iter().map(|record| record.position.offset).collect();
            assert_eq!(offsets, (0..records.len() as u64).collect::<Vec<_>>());
            assert!(records.is_sorted_by_key(|record| record.appended_at));
        }
    }
    let bodies: Vec<_> = log
        .read(partition_of(Topic::Messages, b"a", 3), 0, ALL)
        .unwrap()
        .into_iter()
        .filter(|record| record.key == b"a"[..])
        .map(|record| record.body)
        .collect();
    let expected: Vec<_> = (0..10_u8).flat_map(|round| [vec![round, 0], vec![round, 2]]).collect();
    assert_eq!(bodies, expected, "order within a key is the order of appending");
}

fn reads_are_exact(log: &dyn Log) {
    let large = vec![7; 300_000];
    let positions = append(log, vec![record("k", b""), record("k", &large), record("k", b"x")]);
    let partition = positions[0].partition;
    let read = log.read(partition, 0, ALL).unwrap();
    assert_eq!(read.iter().map(|record| record.body.len()).collect::<Vec<_>>(), [0, 300_000, 1]);
    assert_eq!(read[2].headers, Headers::from_iter([("ce_id", "x")]));
    assert_eq!(read[2].key, &b"k"[..]);
    let two = log.read(partition, 1, ReadLimit { records: 1, bytes: usize::MAX }).unwrap();
    assert_eq!((two.len(), two[0].position.offset), (1, 1));
    let one = log.read(partition, 1, ReadLimit { records: 9, bytes: 1 }).unwrap();
    assert_eq!(one.len(), 1, "at least one record is returned, however large");
    let none = log.read(partition, 0, ReadLimit { records: 0, bytes: usize::MAX }).unwrap();
    assert!(none.is_empty());
}

fn a_read_never_waits_and_names_what_is_out_of_range(log: &dyn Log) {
    let partition = append(log, vec![record("k", b"1")])[0].partition;
    assert!(log.read(partition, 1, ALL).unwrap().is_empty(), "the end is a place to read from");
    let beyond = log.read(partition, 2, ALL).unwrap_err();
    assert!(matches!(beyond, LogError::OutOfRange { from: 2, start: 0, end: 1, .. }), "{beyond}");
    let nowhere = Partition { topic: Topic::Messages, id: 99 };
    assert!(matches!(log.read(nowhere, 0, ALL), Err(LogError::NoPartition(_))));
    assert!(matches!(log.bounds(nowhere), Err(LogError::NoPartition(_))));
    let absent = NewRecord { topic: Topic::Registry, ..record("k", b"1") };
    let refused = block_on(log.append(Batch { records: vec![absent], progress: None }));
    assert!(matches!(refused, Err(AppendError::NoTopic(Topic::Registry))));
    assert!(block_on(log.append(Batch::default())).unwrap().is_empty());
}

fn an_identity_is_stored_once(log: &dyn Log) {
    let batch = vec![identified("k", b"1", 1), record("k", b"2"), identified("other", b"3", 1)];
    let receipts = block_on(log.append(Batch { records: batch, progress: None })).unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.duplicate).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(receipts[2].position, receipts[0].position);
    let again = block_on(log.append(Batch { records: vec![identified("k", b"9", 1)], progress: None })).unwrap();
    assert!(again[0].duplicate);
    assert_eq!(everything(log).len(), 2);
}

fn an_identity_counts_per_topic(log: &dyn Log) {
    let elsewhere = NewRecord { topic: Topic::Embeddings, ..identified("k", b"1", 1) };
    let batch = Batch { records: vec![identified("k", b"1", 1), elsewhere], progress: None };
    assert!(block_on(log.append(batch)).unwrap().iter().all(|receipt| !receipt.duplicate));
}

fn progress_advances_with_its_records(log: &dyn Log) {
    let partition = Partition { topic: Topic::Messages, id: 0 };
    let to = |next| Some(advance("stage", Checkpoints::from_iter([(partition, next)])));
    assert_eq!(log.progress("stage").unwrap(), StoredProgress::default());
    block_on(log.append(Batch { records: vec![record("k", b"1")], progress: to(5) })).unwrap();
    assert_eq!(log.progress("stage").unwrap().checkpoints.next(partition), 5);
    block_on(log.append(Batch { records: vec![], progress: to(3) })).unwrap();
    assert_eq!(log.progress("stage").unwrap().checkpoints.next(partition), 5, "progress never moves back");
    assert_eq!(log.progress("other").unwrap(), StoredProgress::default());
    let noting = |note: Option<&str>| {
        let note = note.map(str::to_owned);
        let progress = ProcessorProgress { note, ..advance("stage", Checkpoints::default()) };
        block_on(log.append(Batch { records: vec![], progress: Some(progress) })).unwrap();
        log.progress("stage").unwrap().note
    };
    assert_eq!(noting(Some("a")), "a");
    assert_eq!(noting(None), "a", "no note leaves the last one");
    assert_eq!(noting(Some("")), "", "the last note stands");
}

fn concurrent_producers_lose_nothing(log: Arc<dyn Log>) {
    let start = Arc::new(Barrier::new(8));
    let producers: Vec<_> = (0..8_u8)
        .map(|producer| {
            let (log, start) = (log.clone(), start.clone());
            std::thread::spawn(move || {
                start.wait();
                for count in 0..50_u8 {
                    append(&*log, vec![record(&format!("key-{producer}"), &[producer, count])]);
                }
            })
        })
        .collect();
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    let records = everything(&*log);
    assert_eq!(records.len(), 400);
    for producer in 0..8_u8 {
        let key = format!("key-{producer}").into_bytes();
        let counts: Vec<_> = records.iter().filter(|record| record.key == key).map(|record| record.body[1]).collect();
        assert_eq!(counts, (0..50).collect::<Vec<_>>());
    }
}

fn a_tail_wakes_up(log: Arc<dyn Log>) {
    let partition = partition_of(Topic::Messages, b"k", 3);
    let listener = log.appended(Topic::Messages).listen();
    assert!(log.read(partition, 0, ALL).unwrap().is_empty());
    let producer = {
        let log = log.clone();
        std::thread::spawn(move || append(&*log, vec![record("k", b"1")]))
    };
    use event_listener::Listener as _;
    assert!(listener.wait_timeout(Duration::from_secs(20)).is_some(), "the append rings");
    assert_eq!(log.read(partition, 0, ALL).unwrap().len(), 1, "and what rang can be read");
    producer.join().unwrap();
}

fn no_read_sees_beyond_the_end(log: Arc<dyn Log>) {
    let partition = partition_of(Topic::Messages, b"k", 3);
    let producer = {
        let log = log.clone();
        std::thread::spawn(move || (0..200_u8).for_each(|count| drop(append(&*log, vec![record("k", &[count])]))))
    };
    let mut last = 0;
    while last < 200 {
        let read = log.read(partition, 0, ALL).unwrap().len() as u64;
        let end = log.bounds(partition).unwrap().end;
        assert!(last <= read && read <= end, "the end never goes back, and a read stops at it");
        last = read;
    }
    producer.join().unwrap();
}

fn a_closed_log_refuses_and_still_reads(log: &dyn Log) {
    append(log, vec![record("k", b"1")]);
    assert_eq!(log.stopped(), None);
    log.close();
    log.close();
    let refused = block_on(log.append(Batch { records: vec![record("k", b"2")], progress: None }));
    assert!(matches!(refused, Err(AppendError::Stopped { .. })));
    assert!(log.stopped().is_some());
    assert_eq!(everything(log).len(), 1);
}
