//! The Kafka engine against a real broker, which `scripts/with-kafka.sh` starts and names in MESHLOG_TEST_KAFKA.

use std::{env, sync::Arc};

use meshlog_schemas::{EventId, Headers, Partition};
use pollster::block_on;
use uuid::Uuid;

use super::*;
use crate::{
    conformance,
    record::{NewRecord, Receipt},
};

/// The broker, or `None` where there is none, which is said.
fn broker() -> Option<String> {
    let broker = env::var("MESHLOG_TEST_KAFKA").ok();
    if broker.is_none() {
        eprintln!("left out: MESHLOG_TEST_KAFKA names no broker; run scripts/with-kafka.sh cargo test");
    }
    broker
}

/// Options for topics that no other test has.
fn options(brokers: &str) -> KafkaOptions {
    let prefix = format!("test.{}.", Uuid::now_v7().simple());
    // Small, so that older records are fetched again.
    KafkaOptions { brokers: brokers.to_owned(), prefix, tail_bytes: 2000, ..KafkaOptions::default() }
}

fn layout() -> Vec<TopicLayout> {
    vec![TopicLayout { topic: Topic::Messages, partitions: 3 }]
}

fn record(key: &str, body: &str, id: Option<u128>) -> NewRecord {
    NewRecord {
        topic: Topic::Messages,
        key: key.as_bytes().to_vec().into(),
        headers: Headers::from_iter([("ce_id", body)]),
        body: body.as_bytes().to_vec().into(),
        identity: id.map(|id| EventId(Uuid::from_u128(id))),
    }
}

fn append(log: &KafkaLog, records: Vec<NewRecord>) -> Vec<Receipt> {
    block_on(log.append(Batch { records, progress: None })).unwrap()
}

#[test]
fn conforms() {
    let Some(broker) = broker() else { return };
    conformance::check(|layout| Arc::new(KafkaLog::open(layout, &options(&broker)).unwrap()));
}

#[test]
fn conforms_across_restarts() {
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    let layout = vec![
        TopicLayout { topic: Topic::Messages, partitions: 3 },
        TopicLayout { topic: Topic::Embeddings, partitions: 1 },
    ];
    conformance::check_durable(|| Arc::new(KafkaLog::open(layout.clone(), &options).unwrap()));
}

#[test]
fn of_an_identity_that_two_processes_append_at_once_one_is_the_first_for_both() {
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    let logs = [(); 2].map(|()| KafkaLog::open(layout(), &options).unwrap());
    let append_all = |log: &KafkaLog| -> Vec<Receipt> {
        (0..200).map(|id| append(log, vec![record("k", "same", Some(id))])[0]).collect()
    };
    let answers = std::thread::scope(|scope| {
        let running = logs.each_ref().map(|log| scope.spawn(move || append_all(log)));
        running.map(|thread| thread.join().unwrap())
    });
    for (here, there) in answers[0].iter().zip(&answers[1]) {
        assert_eq!(here.position, there.position);
        assert!(here.duplicate != there.duplicate, "one of them is the first");
    }
    let third = KafkaLog::open(layout(), &options).unwrap();
    for (later, first) in append_all(&third).iter().zip(&answers[0]) {
        assert_eq!((later.position, later.duplicate), (first.position, true), "and for who comes later");
    }
}

#[test]
fn what_another_process_appends_is_rung_and_read() {
    use event_listener::Listener as _;
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    let (here, there) = (KafkaLog::open(layout(), &options).unwrap(), KafkaLog::open(layout(), &options).unwrap());
    let rung = here.appended(Topic::Messages).listen();
    let position = append(&there, vec![record("k", "from there", None)])[0].position;
    assert!(rung.wait_timeout(Duration::from_secs(20)).is_some());
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    assert_eq!(here.read(position.partition, position.offset, all).unwrap()[0].body, b"from there"[..]);
}

#[test]
fn a_topic_that_is_not_as_configured_is_named_and_left_as_it_is() {
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    drop(KafkaLog::open(layout(), &options).unwrap());
    let wider = vec![TopicLayout { topic: Topic::Messages, partitions: 4 }];
    let error = KafkaLog::open(wider, &options).err().unwrap().to_string();
    assert!(
        error.contains(&options.topic_name(Topic::Messages)) && error.contains("3 partitions instead of 4"),
        "{error}"
    );
    let retention =
        BTreeMap::from([(Topic::Messages, Retention { max_bytes: Some(3_000_000), ..Retention::default() })]);
    let error = KafkaLog::open(layout(), &KafkaOptions { retention, ..options.clone() }).err().unwrap().to_string();
    assert!(error.contains("retention.bytes is -1 instead of 1000000"), "{error}");
    KafkaLog::open(layout(), &options).unwrap();
}

#[test]
fn a_record_too_large_is_refused_and_the_log_goes_on() {
    let Some(broker) = broker() else { return };
    let log = KafkaLog::open(layout(), &options(&broker)).unwrap();
    let large = "x".repeat(MAX_RECORD_BYTES + 1);
    let refused = block_on(log.append(Batch { records: vec![record("k", &large, None)], progress: None }));
    assert!(matches!(refused, Err(AppendError::TooLarge { limit: MAX_RECORD_BYTES, .. })));
    let fits = "x".repeat(MAX_RECORD_BYTES / 2 - 100);
    append(&log, vec![record("k", &fits, None)]);
}

#[test]
fn brokers_that_are_not_there_are_named() {
    let options = KafkaOptions { brokers: "127.0.0.1:9".to_owned(), ..KafkaOptions::default() };
    let error = KafkaLog::open(layout(), &options).err().unwrap().to_string();
    assert!(error.contains("reach the brokers"), "{error}");
}

#[test]
fn what_has_left_the_memory_is_fetched_in_steps() {
    let Some(broker) = broker() else { return };
    let log = KafkaLog::open(layout(), &options(&broker)).unwrap();
    let records = (0..500).map(|count| record("k", &format!("{count:0100}"), None)).collect();
    let partition: Partition = append(&log, records)[0].position.partition;
    let mut next = 0;
    while next < 500 {
        let read = log.read(partition, next, ReadLimit { records: 30, bytes: 3000 }).unwrap();
        for record in &read {
            assert_eq!((record.position.offset, &*record.body), (next, format!("{next:0100}").as_bytes()));
            next += 1;
        }
        assert!(!read.is_empty());
    }
}

#[test]
fn an_offset_that_is_missing_is_named_and_what_stands_before_it_is_read() {
    let partition = Partition { topic: Topic::Messages, id: 1 };
    let at = |offset| Record {
        position: Position { partition, offset },
        appended_at: 0,
        key: Default::default(),
        headers: Headers::default(),
        body: Default::default(),
        identity: None,
    };
    let offsets = |records: Vec<Record>| records.iter().map(|record| record.position.offset).collect::<Vec<_>>();
    let read = |from| up_to_a_gap(partition, from, [3, 4, 6, 7].into_iter().filter(|o| *o >= from).map(at).collect());
    assert_eq!(offsets(read(3).unwrap()), [3, 4]);
    assert_eq!(offsets(read(6).unwrap()), [6, 7]);
    assert!(read(8).unwrap().is_empty());
    let missing = read(5).unwrap_err();
    assert!(matches!(missing, LogError::Corrupt { position, .. } if position == Position { partition, offset: 5 }));
}

/// Stops the broker's process, and lets it go on when dropped.
struct Paused(rustix::process::Pid);

impl Paused {
    fn begin() -> Self {
        let pid = env::var("MESHLOG_TEST_KAFKA_PID").expect("scripts/with-kafka.sh names the process");
        let paused = Self(rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap());
        rustix::process::kill_process(paused.0, rustix::process::Signal::STOP).unwrap();
        // A signal is only sent by then: on a busy machine the process goes on until one of its threads takes it.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !has_stopped(&pid) {
            assert!(Instant::now() < deadline, "the broker {pid} does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
        paused
    }
}

/// Whether every thread of a process stands still.
fn has_stopped(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        // A thread that has ended meanwhile has no file any more. The state stands behind the name, which is in parentheses.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, after)| after.trim_start().starts_with('T'))
    })
}

impl Drop for Paused {
    fn drop(&mut self) {
        rustix::process::kill_process(self.0, rustix::process::Signal::CONT).unwrap();
    }
}

#[test]
fn while_the_broker_stands_still_appends_wait_within_their_bound_and_then_go_on() {
    let Some(broker) = broker() else { return };
    let options = KafkaOptions { capacity: Capacity { items: 3, bytes: 1 << 20 }, ..options(&broker) };
    let log = KafkaLog::open(layout(), &options).unwrap();
    let partition = append(&log, vec![record("k", "first", None)])[0].position.partition;
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let paused = Paused::begin();
        for producer in 0..8 {
            let (log, acknowledged) = (&log, &acknowledged);
            scope.spawn(move || {
                append(log, vec![record("k", &producer.to_string(), None)]);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            });
        }
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(acknowledged.load(Ordering::Relaxed), 0, "nothing is acknowledged that the broker has not");
        let waiting = log.append(Batch { records: vec![record("k", "ninth", None)], progress: None });
        use futures_util::FutureExt as _;
        assert!(waiting.now_or_never().is_none(), "three wait for the broker, the others for room");
        drop(paused);
    });
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let mut bodies: Vec<_> = log.read(partition, 1, all).unwrap().into_iter().map(|record| record.body).collect();
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7"].map(str::as_bytes), "each once");
}
