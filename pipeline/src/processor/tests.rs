use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use meshlog_schemas::{Checkpoints, Digest, Event, EventId, MessageRouted, Partition, SubscriptionAdded, Topic, Trust};
use pollster::block_on;

use super::{
    testing::{in_memory, message},
    *,
};
use crate::{
    ClearSealer, EmbeddedLog, EmbeddedOptions, EventLog, MemoryLog, NewEvent, NewRecord, ReadLimit, StoredEvent,
    default_layout,
};

fn text(event: &StoredEvent) -> &str {
    match &event.event {
        Event::MessageAccepted(body) => &body.text,
        other => panic!("no message: {other:?}"),
    }
}

fn all(events: &EventLog, topic: Topic) -> Vec<StoredEvent> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let partitions = events.partitions(topic);
    partitions.into_iter().flat_map(|partition| events.read(partition, 0, limit).unwrap()).map(Result::unwrap).collect()
}

fn ends(events: &EventLog, topic: Topic) -> Checkpoints {
    let partitions = events.partitions(topic).into_iter();
    partitions.map(|partition| (partition, events.log().bounds(partition).unwrap().end)).collect()
}

fn wait(progress: &Progress, target: &Checkpoints) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let waiting = async { tokio::time::timeout(Duration::from_secs(30), progress.reaches(target)).await };
    runtime.block_on(waiting).expect("the processor gets there");
}

/// Routes every message to "r"; "poison" fails for good, "flaky" fails twice.
#[derive(Default)]
struct Echo {
    failures: AtomicU32,
    subscribers: Mutex<Vec<String>>,
}

impl Stage for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn tables(&self) -> &[Topic] {
        &[Topic::Registry]
    }

    fn observe(&self, event: &StoredEvent) {
        if let Event::SubscriptionAdded(body) = &event.event {
            self.subscribers.lock().unwrap().push(body.subscriber.clone());
        }
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        if events.iter().any(|event| text(event) == "poison") {
            return Err(StageError::Permanent("it is poison".into()));
        }
        if events.iter().any(|event| text(event) == "flaky") && self.failures.load(Ordering::Relaxed) < 3 {
            self.failures.fetch_add(1, Ordering::Relaxed);
            return Err(StageError::Retriable("not now".into()));
        }
        let subscribers = self.subscribers.lock().unwrap();
        let recipient = subscribers.first().map_or("r", |first| first);
        let routed = |event: &StoredEvent| {
            Event::MessageRouted(MessageRouted {
                message_id: event.envelope.id,
                recipient: recipient.to_owned(),
                subscription_id: event.envelope.id,
                space: "main".into(),
                thread: text(event).into(),
            })
        };
        let derived = events.iter().enumerate();
        Ok(derived.map(|(cause, event)| Derived { cause, index: "0".into(), event: routed(event) }).collect())
    }
}

#[test]
fn a_stage_derives_one_event_for_each_and_dead_letters_the_one_it_cannot() {
    let events = in_memory();
    for (thread, text) in [("t", "a"), ("p", "poison"), ("t", "flaky"), ("t", "b")] {
        block_on(events.append(vec![message(thread, text)], None)).unwrap();
    }
    let runner = StageRunner::start(events.clone(), Box::new(Echo::default())).unwrap();
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let routed: Vec<_> = all(&events, Topic::Deliveries);
    let threads: Vec<_> = routed
        .iter()
        .map(|event| match &event.event {
            Event::MessageRouted(body) => body.thread.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(threads, ["a", "flaky", "b"]);
    let letters = all(&events, Topic::DeadLetters);
    assert_eq!(letters.len(), 1);
    let Event::EventFailed(letter) = &letters[0].event else { panic!("a dead letter") };
    assert_eq!(
        (letter.class.as_str(), letter.error.as_str(), letter.key.as_str()),
        ("permanent", "it is poison", "main/p")
    );
    assert_eq!(letters[0].key, "main/p", "a dead letter keeps the ordering key");
    assert_eq!(runner.progress().status().skipped, 1);
}

#[test]
fn a_record_that_is_no_event_becomes_a_dead_letter() {
    let events = in_memory();
    let junk = NewRecord {
        topic: Topic::Messages,
        key: b"k"[..].into(),
        headers: meshlog_schemas::Headers::default(),
        body: b"junk"[..].into(),
        identity: None,
    };
    block_on(events.log().append(crate::Batch { records: vec![junk], progress: None })).unwrap();
    let runner = StageRunner::start(events.clone(), Box::new(Echo::default())).unwrap();
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let letters = all(&events, Topic::DeadLetters);
    let Event::EventFailed(letter) = &letters[0].event else { panic!("a dead letter") };
    assert_eq!(letter.class, "unreadable");
    assert!(letter.error.contains("ce_specversion"), "{}", letter.error);
}

#[test]
fn a_table_entry_acknowledged_before_a_message_is_seen_before_it() {
    for _ in 0..20 {
        let events = in_memory();
        let runner = StageRunner::start(events.clone(), Box::new(Echo::default())).unwrap();
        let added = Event::SubscriptionAdded(SubscriptionAdded {
            subscription_id: EventId::fresh(),
            subscriber: "ada".into(),
            space: "main".into(),
            thread: None,
            author: None,
        });
        block_on(events.append(vec![NewEvent::first(EventId::fresh(), "/test", Trust::Client, added)], None)).unwrap();
        block_on(events.append(vec![message("t", "a")], None)).unwrap();
        wait(runner.progress(), &ends(&events, Topic::Messages));
        let Event::MessageRouted(body) = &all(&events, Topic::Deliveries)[0].event else { panic!("routed") };
        assert_eq!(body.recipient, "ada");
    }
}

#[test]
fn a_stage_that_is_stopped_at_any_moment_derives_each_event_once() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let log = EmbeddedLog::open(directory.path(), EmbeddedOptions::default()).unwrap();
        EventLog::new(Arc::new(log), Arc::new(ClearSealer))
    };
    let mut count = 0;
    for round in 0..6 {
        let events = open();
        let mut runner = StageRunner::start(events.clone(), Box::new(Echo::default())).unwrap();
        for _ in 0..30 {
            block_on(events.append(vec![message(&format!("t{}", count % 5), &count.to_string())], None)).unwrap();
            count += 1;
        }
        std::thread::sleep(Duration::from_millis(round * 3));
        runner.stop();
        drop(runner);
        events.log().close();
    }
    let events = open();
    let runner = StageRunner::start(events.clone(), Box::new(Echo::default())).unwrap();
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let mut ids: Vec<_> = all(&events, Topic::Deliveries).iter().map(|event| event.envelope.id).collect();
    assert_eq!(ids.len(), count);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "no derived id twice");
}

/// Keeps texts in memory; fails as often as asked.
#[derive(Default)]
struct Texts {
    kept: Mutex<(Vec<String>, Checkpoints)>,
    failures: AtomicU32,
}

impl Projection for Texts {
    fn inputs(&self) -> &[Topic] {
        &[Topic::Messages]
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.kept.lock().unwrap().1.clone())
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Err(ProjectionError("the disk is full".into()));
        }
        let mut kept = self.kept.lock().unwrap();
        kept.0.extend(events.iter().map(|event| text(event).to_owned()));
        kept.1 = checkpoints.clone();
        Ok(())
    }

    fn digest_telling(&self, _fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        let mut digest = Digest::default();
        self.kept.lock().unwrap().0.iter().for_each(|text| digest.add(&[text.as_bytes()]));
        Ok(digest)
    }
}

#[test]
fn a_projection_whose_store_fails_skips_nothing_and_says_what_failed() {
    let events = in_memory();
    let texts = Arc::new(Texts::default());
    texts.failures.store(2, Ordering::Relaxed);
    let progress = Arc::new(Progress::default());
    let mut runner = ProjectionRunner::start("texts", events.clone(), texts.clone(), progress.clone()).unwrap();
    for text in ["a", "b", "c"] {
        block_on(events.append(vec![message("t", text)], None)).unwrap();
    }
    wait(&progress, &ends(&events, Topic::Messages));
    assert_eq!(texts.kept.lock().unwrap().0, ["a", "b", "c"]);
    assert_eq!(progress.status().last_error.as_deref(), Some("the disk is full"));
    runner.stop();
    assert_eq!(progress.status().condition, Condition::Stopped);
}

#[test]
fn any_interleaving_of_partitions_gives_the_same_digest() {
    let events = in_memory();
    for count in 0..50 {
        block_on(events.append(vec![message(&format!("t{}", count % 7), &count.to_string())], None)).unwrap();
    }
    let digest = |records| {
        let texts = Texts::default();
        let mut feed = crate::Feed::new(events.clone(), texts.inputs(), Checkpoints::default());
        loop {
            let batch = feed.next(ReadLimit { records, bytes: usize::MAX }, None).unwrap();
            if batch.is_empty() {
                return texts.digest().unwrap();
            }
            assert_eq!(apply_batch(&texts, batch).unwrap(), 0);
        }
    };
    assert_eq!(digest(1), digest(2_000));
    assert_eq!(digest(3), digest(7));
}

/// A partition of messages with events, whose first `gone` retention has taken away.
fn retained(gone: u64, kept: u64) -> (Arc<MemoryLog>, EventLog, Partition) {
    let log = Arc::new(MemoryLog::new(default_layout()));
    let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
    let mut partition = None;
    for count in 0..gone + kept {
        let receipts = block_on(events.append(vec![message("t", &count.to_string())], None)).unwrap();
        partition = Some(receipts[0].position.partition);
    }
    let partition = partition.unwrap();
    log.forget_before(partition, gone);
    (log, events, partition)
}

#[test]
fn a_feed_hands_out_what_is_gone_as_a_gap_once_and_goes_on_behind_it() {
    let (log, events, partition) = retained(5, 3);
    let mut feed = crate::Feed::new(events.clone(), &[Topic::Messages], Checkpoints::from_iter([(partition, 2)]));
    assert_eq!(crate::Feed::lag(&events, &[Topic::Messages], feed.checkpoints(), 0).unwrap().0, 3);
    let batch = feed.next(crate::BATCH_LIMIT, None).unwrap();
    assert_eq!(batch.gaps, [crate::Gap { partition, first: 2, last: 4 }]);
    assert_eq!(batch.entries.iter().flatten().map(text).collect::<Vec<_>>(), ["5", "6", "7"]);
    assert!(feed.next(crate::BATCH_LIMIT, None).unwrap().is_empty());

    let mut feed = crate::Feed::new(events.clone(), &[Topic::Messages], Checkpoints::default());
    let until = Checkpoints::from_iter([(partition, 4)]);
    let batch = feed.next(crate::BATCH_LIMIT, Some(&until)).unwrap();
    assert_eq!((batch.gaps[0].last, batch.entries.len(), batch.checkpoints.next(partition)), (3, 0, 4));

    log.forget_before(partition, 8);
    let batch = feed.next(crate::BATCH_LIMIT, None).unwrap();
    assert!(batch.entries.is_empty() && !batch.is_empty(), "a gap alone is not the end");
    assert!(feed.next(crate::BATCH_LIMIT, None).unwrap().is_empty());
}

#[test]
fn a_projection_goes_on_behind_what_retention_took_away_and_says_what_it_missed() {
    let (log, events, partition) = retained(5, 3);
    let texts = Arc::new(Texts::default());
    let progress = Arc::new(Progress::default());
    let mut runner = ProjectionRunner::start("texts", events.clone(), texts.clone(), progress.clone()).unwrap();
    wait(&progress, &ends(&events, Topic::Messages));
    assert_eq!(texts.kept.lock().unwrap().0, ["5", "6", "7"]);
    assert_eq!(progress.status().missed, 5);
    let error = progress.status().last_error.unwrap();
    assert!(error.contains(&format!("{partition} offsets 0 to 4")), "{error}");
    assert_eq!(progress.health(&events, &events.partitions(Topic::Messages), 0, 1).unwrap().lag_events(), 0);
    runner.stop();

    // Nothing is missed twice, also when all that is left was taken away.
    block_on(events.append(vec![message("t", "8")], None)).unwrap();
    log.forget_before(partition, 9);
    let progress = Arc::new(Progress::default());
    let _runner = ProjectionRunner::start("texts", events.clone(), texts.clone(), progress.clone()).unwrap();
    wait(&progress, &ends(&events, Topic::Messages));
    assert_eq!((progress.status().missed, texts.kept.lock().unwrap().0.len()), (1, 3));
}

#[test]
fn a_stage_goes_on_behind_what_retention_took_away_and_says_what_it_missed() {
    let (_, events, partition) = retained(5, 3);
    let runner = StageRunner::start(events.clone(), Box::new(Echo::default())).unwrap();
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert_eq!(all(&events, Topic::Deliveries).len(), 3);
    assert_eq!(runner.progress().status().missed, 5);
    assert_eq!(events.log().progress("echo").unwrap().checkpoints.next(partition), 8, "it does not come back");
}

#[test]
fn on_a_log_with_retention_a_late_projection_gets_all_that_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let retention = crate::Retention { max_bytes: Some(0), ..crate::Retention::default() };
    let options = EmbeddedOptions {
        segment_bytes: 64 * 1024,
        journal_bytes: 256 * 1024,
        retention: [(Topic::Messages, retention)].into(),
        retention_check: Duration::from_millis(5),
        ..EmbeddedOptions::default()
    };
    let log = Arc::new(EmbeddedLog::open(directory.path(), options).unwrap());
    log.set_readers(Arc::new(Vec::new));
    let events = EventLog::new(log, Arc::new(ClearSealer));
    let mut partition = None;
    let long = "x".repeat(4_000);
    // Old segments go when the keeper has turned the journal and looks again; until then there is more to append.
    let start = (0..20_000).find_map(|count| {
        let receipts = block_on(events.append(vec![message("t", &format!("{count} {long}"))], None)).unwrap();
        let of = *partition.get_or_insert(receipts[0].position.partition);
        Some(events.log().bounds(of).unwrap().start).filter(|start| *start > 0)
    });
    assert!(start.is_some(), "retention takes something away");
    let texts = Arc::new(Texts::default());
    let progress = Arc::new(Progress::default());
    let mut runner = ProjectionRunner::start("texts", events.clone(), texts.clone(), progress.clone()).unwrap();
    let ends = ends(&events, Topic::Messages);
    wait(&progress, &ends);
    runner.stop();
    let missed = progress.status().missed;
    assert!(missed >= start.unwrap());
    let kept = texts.kept.lock().unwrap();
    let first: u64 = kept.0[0].split(' ').next().unwrap().parse().unwrap();
    assert_eq!((first, missed + kept.0.len() as u64), (missed, ends.next(partition.unwrap())));
}
