//! The Kafka engine against a real broker, which `scripts/with-kafka.sh` starts and names in MESHLOG_TEST_KAFKA.

use std::{env, sync::Arc};

use meshlog_schemas::{EventId, Headers, Partition};
use pollster::block_on;
use uuid::Uuid;

use super::*;
use crate::{
    conformance,
    record::{NewRecord, ProcessorProgress, Receipt},
    room::Capacity,
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

/// A log that follows nothing before somebody listens, in which no record has an identity.
fn unfollowing(options: &KafkaOptions) -> KafkaLog {
    KafkaLog::open(layout(), &KafkaOptions { once: BTreeSet::new(), ..options.clone() }).unwrap()
}

#[test]
fn what_nobody_listens_to_is_read_all_the_same_and_followed_once_somebody_does() {
    use event_listener::Listener as _;
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    let (here, there) = (unfollowing(&options), unfollowing(&options));
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let own = append(&here, vec![record("k", "own", None)])[0].position;
    assert_eq!(here.read(own.partition, 0, all).unwrap()[0].body, b"own"[..], "acknowledged means readable");

    append(&there, vec![record("k", "from there", None)]);
    here.synchronize(Topic::Messages).unwrap();
    assert_eq!(here.bounds(own.partition).unwrap().end, 2, "what was acknowledged to others before");
    let bodies = |from| here.read(own.partition, from, all).unwrap().into_iter().map(|record| record.body);
    assert!(bodies(0).eq([&b"own"[..], b"from there"]));

    let rung = here.appended(Topic::Messages).listen();
    assert!(rung.wait_timeout(Duration::from_secs(20)).is_some(), "once it is followed");
    let rung = here.appended(Topic::Messages).listen();
    append(&there, vec![record("k", "later", None)]);
    assert!(rung.wait_timeout(Duration::from_secs(20)).is_some(), "and with every append");
    while here.bounds(own.partition).unwrap().end < 3 {
        here.appended(Topic::Messages).listen().wait_timeout(Duration::from_secs(1));
    }
    assert!(bodies(1).eq([&b"from there"[..], b"later"]));
}

#[test]
fn an_identity_for_a_topic_whose_identities_are_not_known_is_refused() {
    let Some(broker) = broker() else { return };
    let log = unfollowing(&options(&broker));
    let batch = Batch { records: vec![record("k", "once", Some(1))], progress: None };
    assert_eq!(block_on(log.append(batch)), Err(AppendError::NoTopic(Topic::Messages)));
}

#[test]
fn progress_that_another_process_made_is_known_at_once() {
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    let (here, there) = (unfollowing(&options), unfollowing(&options));
    let partition = Partition { topic: Topic::Messages, id: 1 };
    for next in 1..=20 {
        let progress = ProcessorProgress {
            processor: "stage".to_owned(),
            checkpoints: [(partition, next)].into_iter().collect(),
            note: Some(next.to_string()),
        };
        block_on(there.append(Batch { records: Vec::new(), progress: Some(progress) })).unwrap();
        let known = here.progress("stage").unwrap();
        assert_eq!((known.checkpoints.next(partition), known.note), (next, next.to_string()));
    }
    assert_eq!(here.processors(), ["stage"]);
}

/// Remembers what it is told, and finds out whether two members ever have one partition at once.
#[derive(Default)]
struct Owned {
    has: Mutex<BTreeSet<Partition>>,
    others: Mutex<Vec<Arc<Owned>>>,
}

impl Share for Owned {
    fn tend(&self, partitions: &BTreeSet<Partition>) {
        for other in lock(&self.others).iter() {
            assert!(lock(&other.has).is_disjoint(partitions), "two members have one partition");
        }
        lock(&self.has).clone_from(partitions);
    }

    fn give_up(&self, partitions: &BTreeSet<Partition>) {
        lock(&self.has).retain(|partition| !partitions.contains(partition));
    }

    fn checkpoints(&self) -> meshlog_schemas::Checkpoints {
        lock(&self.has).iter().map(|partition| (*partition, 1)).collect()
    }
}

#[test]
fn members_share_the_partitions_and_those_of_one_that_leaves_go_to_the_others() {
    let Some(broker) = broker() else { return };
    let options = options(&broker);
    let logs = [(); 2].map(|()| unfollowing(&options));
    let shares = [(); 2].map(|()| Arc::new(Owned::default()));
    lock(&shares[0].others).push(shares[1].clone());
    lock(&shares[1].others).push(shares[0].clone());
    let mut members: Vec<_> = logs
        .iter()
        .zip(&shares)
        .map(|(log, share)| log.join("stage", Topic::Messages, share.clone()).unwrap())
        .collect();
    let has = |member: usize| lock(&shares[member].has).len();
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait = |is_so: &dyn Fn() -> bool, what: &str| {
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}: {} and {}", has(0), has(1));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(&|| has(0) + has(1) == 3 && has(0).min(has(1)) == 1, "three partitions are shared by two members");
    members[0].leave();
    assert_eq!(has(0), 0, "who has left has nothing");
    wait(&|| has(1) == 3, "the other has everything");
}

#[test]
fn conforms_across_restarts_with_an_index_of_identities() {
    let Some(broker) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = KafkaOptions { identities: Some(folder.path().to_owned()), ..options(&broker) };
    let layout = vec![
        TopicLayout { topic: Topic::Messages, partitions: 3 },
        TopicLayout { topic: Topic::Embeddings, partitions: 1 },
    ];
    conformance::check_durable(|| Arc::new(KafkaLog::open(layout.clone(), &options).unwrap()));
}

#[test]
fn an_index_of_identities_spares_reading_and_one_of_other_topics_is_not_believed() {
    let Some(broker) = broker() else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = KafkaOptions { identities: Some(folder.path().to_owned()), ..options(&broker) };
    let once = |log: &KafkaLog, id| append(log, vec![record("k", "same", Some(id))])[0];
    let log = KafkaLog::open(layout(), &options).unwrap();
    let first: Vec<_> = (0..50).map(|id| once(&log, id)).collect();
    drop(log);
    let log = KafkaLog::open(layout(), &options).unwrap();
    assert!(log.shared.appends.taken().lock().slots.is_empty(), "nothing was read again");
    for (id, first) in (0..50).zip(&first) {
        assert_eq!(once(&log, id), Receipt { position: first.position, duplicate: true });
    }
    assert!(!once(&log, 50).duplicate);
    drop(log);
    let others = KafkaOptions { prefix: format!("{}others.", options.prefix), ..options };
    let log = KafkaLog::open(layout(), &others).unwrap();
    assert!((0..50).all(|id| !once(&log, id).duplicate), "on other topics they are new");
}

/// A message accepted, with the ordering key of its event.
fn message(text: &str) -> crate::NewEvent {
    let event = meshlog_schemas::Event::MessageAccepted(meshlog_schemas::MessageAccepted {
        source_id: None,
        space: "ada".into(),
        thread: "t".into(),
        author: "Ada".into(),
        role: "user".into(),
        sent_at: 1,
        text: text.into(),
    });
    crate::NewEvent::first(EventId::fresh(), "/test", meshlog_schemas::Trust::Client, event)
}

#[test]
fn bodies_of_both_forms_are_read_and_only_without_a_registry_one_of_them_is_not() {
    use crate::{ClearSealer, EventLog, UnreadableCause};
    let Some(broker) = broker() else { return };
    let Ok(registry) = env::var("MESHLOG_TEST_REGISTRY") else {
        return eprintln!("left out: MESHLOG_TEST_REGISTRY names no registry; run scripts/with-registry.sh cargo test");
    };
    let without = options(&broker);
    let ours = KafkaOptions { registry: Some(registry), ..without.clone() };
    let confluents = KafkaOptions { body_format: BodyFormat::Confluent, ..ours.clone() };
    let open = |options| Arc::new(KafkaLog::open(layout(), options).unwrap());
    let (without, ours, confluents) = (open(&without), open(&ours), open(&confluents));
    let events = |log: &Arc<KafkaLog>| EventLog::new(log.clone(), Arc::new(ClearSealer));
    let sent = [message("in our form"), message("in Confluent's")];
    let first = block_on(events(&ours).append(vec![sent[0].clone()], None)).unwrap()[0].position;
    let second = block_on(events(&confluents).append(vec![sent[1].clone()], None)).unwrap()[0].position;
    assert_eq!((second.partition, second.offset), (first.partition, first.offset + 1));

    let both = ReadLimit { records: 2, bytes: usize::MAX };
    for log in [&ours, &confluents] {
        log.synchronize(Topic::Messages).unwrap();
        let read = events(log).read(first.partition, first.offset, both).unwrap();
        for (entry, sent) in read.into_iter().zip(&sent) {
            let entry = entry.unwrap();
            assert_eq!((&entry.envelope, &entry.event), (&sent.envelope, &sent.event));
        }
        let records = log.read(first.partition, first.offset, both).unwrap();
        for (record, sent) in records.iter().zip(&sent) {
            assert_eq!(record.body, meshlog_schemas::encode(&sent.event).unwrap(), "to the byte");
            assert_eq!(record.headers, sent.envelope.to_headers());
        }
    }

    without.synchronize(Topic::Messages).unwrap();
    let raw = without.read(first.partition, first.offset, both).unwrap();
    let (id, datum) = meshlog_schemas::split_confluent(&raw[1].body).unwrap();
    assert_eq!(datum, &meshlog_schemas::encode(&sent[1].event).unwrap()[10..], "only the prefix is another");
    assert_eq!(raw[1].headers.get("content-type"), Some(&b"application/avro"[..]));
    let read = events(&without).read(first.partition, first.offset, both).unwrap();
    assert_eq!(read[0].as_ref().unwrap().event, sent[0].event);
    let unreadable = read[1].as_ref().unwrap_err();
    assert_eq!(unreadable.cause, UnreadableCause::Body(meshlog_schemas::DecodeError::UnresolvedSchemaId(id)));
}

#[test]
fn a_body_that_is_sealed_or_foreign_goes_as_it_is_whatever_it_begins_with() {
    let Some(broker) = broker() else { return };
    let Ok(registry) = env::var("MESHLOG_TEST_REGISTRY") else {
        return eprintln!("left out: MESHLOG_TEST_REGISTRY names no registry; run scripts/with-registry.sh cargo test");
    };
    let options = KafkaOptions { registry: Some(registry), body_format: BodyFormat::Confluent, ..options(&broker) };
    let log = KafkaLog::open(layout(), &options).unwrap();
    let event = meshlog_schemas::encode(&message("x").event).unwrap();
    let sealed = Headers::from_iter([(crate::SEAL_HEADER, "key"), ("content-type", "application/avro")]);
    let record = |headers: &Headers, body: &[u8]| NewRecord {
        headers: headers.clone(),
        body: body.to_vec().into(),
        ..record("k", "", None)
    };
    let sent = vec![
        record(&sealed, &event),
        record(&sealed, b"\0\0\0\0\x01sealed"),
        record(&Headers::default(), b""),
        record(&Headers::default(), b"\0"),
        record(&Headers::default(), b"\0\0\0"),
        record(&Headers::default(), b"\0\xff\xff\xff\xfe foreign"),
        record(&Headers::default(), &event[..9]),
        record(&Headers::default(), b"\xc3\x01a schema of others"),
    ];
    let first = append(&log, sent.clone())[0].position;
    let all = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let read = log.read(first.partition, first.offset, all).unwrap();
    assert_eq!(read.len(), sent.len());
    for (read, sent) in read.iter().zip(&sent) {
        assert_eq!((&read.body, &read.headers), (&sent.body, &sent.headers));
    }
}

#[test]
fn confluents_form_needs_a_registry() {
    let options = KafkaOptions { body_format: BodyFormat::Confluent, ..KafkaOptions::default() };
    let error = KafkaLog::open(layout(), &options).err().unwrap().to_string();
    assert!(error.contains("no schema registry is configured"), "{error}");
}
