//! The stage runtime on the in-memory log, with real threads. Every order of things is tried in the simulation; here,
//! that the threads carry it out.

mod aborts;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use meshlog_schemas::{Checkpoints, Envelope, Event, EventFailed, Headers, MessageRouted, Position, Topic};
use pollster::block_on;

use super::{
    schedule::Note,
    testing::{in_memory, message},
    *,
};
use crate::{
    ClearSealer, EventLog, Log, MemoryLog, ReadLimit, Record, Signal, StoredEvent,
    log::{AppendError, Appending, LogError},
    record::{Batch, Bounds, StoredProgress, TopicLayout, default_layout},
};

fn say(events: &EventLog, thread: &str, text: &str) -> Position {
    block_on(events.append(vec![message(thread, text)], None)).unwrap()[0].position
}

fn text(event: &StoredEvent) -> &str {
    match &event.event {
        Event::MessageAccepted(body) => &body.text,
        other => panic!("no message: {other:?}"),
    }
}

fn all(events: &EventLog, topic: Topic) -> Vec<StoredEvent> {
    let limit = ReadLimit { records: usize::MAX, bytes: usize::MAX };
    let partitions = events.partitions(topic).into_iter();
    partitions.flat_map(|partition| events.read(partition, 0, limit).unwrap()).map(Result::unwrap).collect()
}

/// What was derived, as the texts it came from.
fn derived(events: &EventLog) -> Vec<String> {
    let text = |event: StoredEvent| match event.event {
        Event::MessageRouted(body) => body.thread,
        other => panic!("{other:?}"),
    };
    all(events, Topic::Deliveries).into_iter().map(text).collect()
}

fn letters(events: &EventLog) -> Vec<EventFailed> {
    let failed = |event: StoredEvent| match event.event {
        Event::EventFailed(body) => Some(body),
        _ => None,
    };
    all(events, Topic::DeadLetters).into_iter().filter_map(failed).collect()
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

/// Waits on the topic's signal until it holds what is asked for.
fn wait_until(events: &EventLog, topic: Topic, is_there: impl Fn() -> bool) {
    use event_listener::Listener as _;
    loop {
        let appended = events.log().appended(topic).listen();
        if is_there() {
            return;
        }
        assert!(appended.wait_timeout(Duration::from_secs(30)).is_some(), "it does not come");
    }
}

type Handler = Box<dyn Fn(&[StoredEvent]) -> Result<(), StageError> + Send + Sync>;

/// Routes every message, named by its text; what else happens is up to the test.
struct Scripted {
    lanes: usize,
    steps_back: bool,
    handler: Handler,
}

impl Scripted {
    fn start(events: &EventLog, lanes: usize, handler: Handler) -> StageRunner {
        Self::start_with(events, Settings { lanes, backoff: soon(), ..Settings::default() }, handler)
    }

    fn start_with(events: &EventLog, settings: Settings, handler: Handler) -> StageRunner {
        let stage = Box::new(Scripted { lanes: settings.lanes, steps_back: false, handler });
        StageRunner::start_with(events.clone(), stage, settings).unwrap()
    }
}

fn soon() -> Backoff {
    Backoff { shortest: Duration::from_millis(1), longest: Duration::from_millis(5) }
}

impl Stage for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn steps_back(&self) -> bool {
        self.steps_back
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        (self.handler)(events)?;
        let routed = |event: &StoredEvent| {
            Event::MessageRouted(MessageRouted {
                message_id: event.envelope.id,
                recipient: "r".into(),
                subscription_id: event.envelope.id,
                space: "main".into(),
                thread: text(event).into(),
            })
        };
        let derived = events.iter().enumerate();
        Ok(derived.map(|(cause, event)| Derived { cause, index: "0".into(), event: routed(event) }).collect())
    }
}

/// Refuses for good what begins with "bad", as long as it is broken.
fn picky(is_broken: Arc<AtomicBool>) -> Handler {
    Box::new(move |events| {
        let is_bad = |event: &StoredEvent| text(event).starts_with("bad") && is_broken.load(Ordering::Relaxed);
        if events.iter().any(is_bad) { Err(StageError::Permanent("it is bad".into())) } else { Ok(()) }
    })
}

#[test]
fn behind_a_dead_letter_its_key_waits_and_other_keys_flow() {
    let events = in_memory();
    let is_broken = Arc::new(AtomicBool::new(true));
    let head = say(&events, "a", "bad");
    say(&events, "a", "second");
    say(&events, "b", "other");
    let runner = Scripted::start(&events, 1, picky(is_broken));
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert_eq!(derived(&events), ["other"]);
    let letters = letters(&events);
    let classes: Vec<_> = letters.iter().map(|letter| (letter.class.as_str(), letter.head_offset)).collect();
    assert_eq!(classes, [("permanent", -1), ("waiting", head.offset as i64)]);
    assert!(letters.iter().all(|letter| letter.failed_at > 0));
    let status = runner.progress().status();
    assert_eq!((status.parked, status.last_error_position), (2, Some(head)));
    assert_eq!(status.oldest_parked_at, Some(letters[0].failed_at));
}

#[test]
fn a_redrive_processes_the_parked_event_and_those_behind_it_in_order() {
    let events = in_memory();
    let is_broken = Arc::new(AtomicBool::new(true));
    let head = say(&events, "a", "bad");
    say(&events, "a", "second");
    let mut runner = Scripted::start(&events, 1, picky(is_broken.clone()));
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let redrive = || block_on(events.append(vec![redrive_requested("/test", "scripted", head, "main/a")], None));

    redrive().unwrap();
    wait_until(&events, Topic::DeadLetters, || letters(&events).len() == 3);
    assert_eq!(letters(&events)[2].attempts, 2, "the attempts add up");

    is_broken.store(false, Ordering::Relaxed);
    redrive().unwrap();
    wait_until(&events, Topic::Deliveries, || derived(&events).len() == 2);
    say(&events, "a", "third");
    wait_until(&events, Topic::Deliveries, || derived(&events).len() == 3);
    assert_eq!(derived(&events), ["bad", "second", "third"]);
    runner.stop();
    let view = DeadLetterView::new(events);
    assert!(view.look(|letters| letters.list(None, None, 10)).unwrap().is_empty());
}

#[test]
fn a_discard_lets_the_events_behind_it_go_on_also_after_a_restart() {
    let events = in_memory();
    let head = say(&events, "a", "bad");
    say(&events, "a", "second");
    let mut runner = Scripted::start(&events, 1, picky(Arc::new(AtomicBool::new(true))));
    wait(runner.progress(), &ends(&events, Topic::Messages));
    runner.stop();
    let discarded = dead_letter_discarded("/test", "scripted", head, "main/a", "ada", "nobody needs it");
    block_on(events.append(vec![discarded], None)).unwrap();
    let _runner = Scripted::start(&events, 1, picky(Arc::new(AtomicBool::new(true))));
    wait_until(&events, Topic::Deliveries, || derived(&events) == ["second"]);
}

#[test]
fn a_panic_is_a_failure_of_the_event_and_the_stage_goes_on() {
    let events = in_memory();
    say(&events, "a", "boom");
    say(&events, "b", "fine");
    let handler: Handler = Box::new(|events| match events.iter().any(|event| text(event) == "boom") {
        true => panic!("no such luck"),
        false => Ok(()),
    });
    let runner = Scripted::start(&events, 1, handler);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert_eq!(derived(&events), ["fine"]);
    let letter = &letters(&events)[0];
    assert_eq!((letter.class.as_str(), letter.attempts), ("exhausted", 5));
    assert!(letter.error.contains("no such luck"), "{}", letter.error);
    assert_eq!(runner.progress().status().restarts, 0);
}

#[test]
fn lanes_work_beside_each_other_and_each_key_stays_in_order() {
    let events = in_memory();
    for count in 0..300 {
        say(&events, &format!("t{}", count % 7), &format!("{} {count}", count % 7));
    }
    // Two handlers meet: neither ends before the other has begun.
    let meeting = Arc::new((std::sync::Barrier::new(2), AtomicUsize::new(0)));
    let handler: Handler = Box::new(move |_| {
        if meeting.1.fetch_add(1, Ordering::Relaxed) < 2 {
            meeting.0.wait();
        }
        Ok(())
    });
    let runner = Scripted::start(&events, 3, handler);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    let derived = derived(&events);
    assert_eq!(derived.len(), 300);
    for text in derived {
        let (key, count) = text.split_once(' ').unwrap();
        let count: u32 = count.parse().unwrap();
        assert!(last.insert(key.to_owned(), count).is_none_or(|before| before < count), "{text} is late");
    }
}

#[test]
fn a_firehose_on_a_slow_stage_stays_within_the_bounds_of_memory() {
    let events = in_memory();
    let text = "x".repeat(1_000);
    for count in 0..40 {
        let messages = (0..50).map(|thread| message(&format!("t{thread}"), &format!("{count} {text}")));
        block_on(events.append(messages.collect(), None)).unwrap();
    }
    let window = Load { events: 200, bytes: 100_000 };
    let (batch, at_work) = (Load { events: 8, bytes: 8_000 }, Load { events: 16, bytes: 16_000 });
    let settings = Settings { lanes: 2, window, batch, at_work, ..Settings::default() };
    let largest = Arc::new(AtomicUsize::new(0));
    let seen = largest.clone();
    let handler: Handler = Box::new(move |events| {
        seen.fetch_max(events.len(), Ordering::Relaxed);
        std::thread::yield_now();
        Ok(())
    });
    let runner = Scripted::start_with(&events, settings, handler);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let status = runner.progress().status();
    assert_eq!(status.processed, 2_000);
    for bounded in [status.held, status.at_work] {
        let Bounded { peak, most, .. } = bounded;
        assert!(peak.events > 0 && peak.events <= most.events && peak.bytes <= most.bytes, "{bounded:?}");
    }
    assert_eq!(status.held.most, window);
    assert!(largest.load(Ordering::Relaxed) <= 8);
}

#[test]
fn an_event_that_took_the_process_down_is_parked_and_counted_over_restarts() {
    let events = in_memory();
    let at = say(&events, "a", "deadly");
    say(&events, "b", "fine");
    // As processes that were killed while they were at work leave it.
    let progress = crate::ProcessorProgress {
        processor: "scripted".into(),
        checkpoints: Checkpoints::default(),
        note: Some(format!("running\ntried {}/{} 1 3\n", at.partition.id, at.offset)),
    };
    block_on(events.append(Vec::new(), Some(progress))).unwrap();
    let handler: Handler = Box::new(|events| {
        assert!(events.iter().all(|event| text(event) != "deadly"), "it is not started again");
        Ok(())
    });
    let runner = Scripted::start(&events, 1, handler);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert_eq!(derived(&events), ["fine"]);
    let letter = &letters(&events)[0];
    assert_eq!((letter.class.as_str(), letter.attempts), ("crashed", 4));
}

#[test]
fn the_note_says_that_handlers_run_and_a_stop_in_order_takes_it_back() {
    let events = in_memory();
    say(&events, "a", "1");
    let note = || events.log().progress("scripted").unwrap().note;
    let log = events.clone();
    let handler: Handler = Box::new(move |_| {
        assert_eq!(log.log().progress("scripted").unwrap().note, "running\n");
        Ok(())
    });
    let mut runner = Scripted::start(&events, 1, handler);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert!(letters(&events).is_empty());
    runner.stop();
    assert_eq!(note(), "");
}

#[test]
fn a_note_that_cannot_be_read_stops_the_stage_visibly() {
    let events = in_memory();
    say(&events, "a", "1");
    let progress = crate::ProcessorProgress {
        processor: "scripted".into(),
        checkpoints: Checkpoints::default(),
        note: Some("from the future".into()),
    };
    block_on(events.append(Vec::new(), Some(progress))).unwrap();
    let mut runner = Scripted::start(&events, 1, Box::new(|_| Ok(())));
    runner.stop();
    assert!(derived(&events).is_empty());
}

/// A log that fails some appends: before or after they took effect.
struct Flaky {
    inner: MemoryLog,
    appends: AtomicUsize,
    is_rough: AtomicBool,
}

impl Log for Flaky {
    fn layout(&self) -> &[TopicLayout] {
        self.inner.layout()
    }

    fn append(&self, batch: Batch) -> Appending<'_> {
        Box::pin(async move {
            let stopped = || AppendError::Stopped { reason: "a test".into() };
            let is_rough = self.is_rough.load(Ordering::Relaxed);
            match self.appends.fetch_add(1, Ordering::Relaxed) % 3 {
                0 if is_rough => Err(stopped()),
                1 if is_rough => self.inner.append(batch).await.and(Err(stopped())),
                _ => self.inner.append(batch).await,
            }
        })
    }

    fn bounds(&self, partition: meshlog_schemas::Partition) -> Result<Bounds, LogError> {
        self.inner.bounds(partition)
    }

    fn read(&self, at: meshlog_schemas::Partition, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        self.inner.read(at, from, limit)
    }

    fn appended(&self, topic: Topic) -> &Signal {
        self.inner.appended(topic)
    }

    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
        self.inner.progress(processor)
    }

    fn stopped(&self) -> Option<String> {
        None
    }

    fn is_pressed(&self) -> bool {
        true
    }

    fn close(&self) {
        self.inner.close();
    }
}

#[test]
fn only_a_stage_that_steps_back_waits_for_what_a_pressed_log_leaves_over() {
    for steps_back in [false, true] {
        let (inner, appends) = (MemoryLog::new(default_layout()), AtomicUsize::new(0));
        let log = Arc::new(Flaky { inner, appends, is_rough: AtomicBool::new(false) });
        let events = EventLog::new(log, Arc::new(ClearSealer));
        say(&events, "a", "first");
        let worked_on = Arc::new(Mutex::new(String::new()));
        let thread = worked_on.clone();
        let handler: Handler = Box::new(move |_| {
            *thread.lock().unwrap() = std::thread::current().name().unwrap_or_default().to_owned();
            Ok(())
        });
        let stage = Box::new(Scripted { lanes: 1, steps_back, handler });
        let runner = StageRunner::start_with(events.clone(), stage, Settings::default()).unwrap();
        wait(runner.progress(), &ends(&events, Topic::Messages));
        let name = worked_on.lock().unwrap().clone();
        assert_eq!(name.starts_with("leftover"), steps_back && cfg!(target_os = "linux"), "on {name}");
    }
}

#[test]
fn a_worker_whose_log_fails_begins_again_and_appends_nothing_twice() {
    let (inner, appends) = (MemoryLog::new(default_layout()), AtomicUsize::new(0));
    let log = Arc::new(Flaky { inner, appends, is_rough: AtomicBool::new(false) });
    let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
    for count in 0..20 {
        say(&events, &format!("t{}", count % 3), if count == 4 { "bad" } else { "fine" });
    }
    log.is_rough.store(true, Ordering::Relaxed);
    let mut runner = Scripted::start(&events, 1, picky(Arc::new(AtomicBool::new(true))));
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert!(runner.progress().status().restarts > 0);
    runner.stop();
    let causes: Vec<_> = all(&events, Topic::Deliveries).iter().map(|event| event.envelope.id).collect();
    let distinct: std::collections::BTreeSet<_> = causes.iter().collect();
    assert_eq!(distinct.len(), causes.len());
    assert_eq!(causes.len() + letters(&events).len(), 20);
}

#[test]
fn a_partition_that_stands_still_is_reported_and_one_at_its_end_is_not() {
    let events = in_memory();
    let held = say(&events, "a", "slow");
    let (begun, go) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(Mutex::new(())));
    let guard = go.lock().unwrap();
    let (begins, waits) = (begun.clone(), go.clone());
    let handler: Handler = Box::new(move |_| {
        begins.wait();
        drop(waits.lock().unwrap());
        Ok(())
    });
    let runner = Scripted::start(&events, 1, handler);
    begun.wait();
    let health = |seconds: i64| {
        let now = crate::now_micros() + seconds * 1_000_000;
        runner.progress().health(&events, &events.partitions(Topic::Messages), now, STALL_AFTER).unwrap()
    };
    assert_eq!(health(10).stalled().count(), 0);
    let stalled = health(40);
    assert_eq!(stalled.stalled().collect::<Vec<_>>(), [held.partition]);
    assert_eq!(stalled.lag_events(), 1);
    assert!(stalled.lag_micros() >= 40_000_000, "{stalled:?}");
    drop(guard);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    let idle = health(3_600);
    assert_eq!((idle.stalled().count(), idle.lag_events(), idle.lag_micros()), (0, 0, 0));
}

/// Wants what was sent by one source alone, and counts what it is given.
struct Choosy(Arc<AtomicUsize>);

impl Stage for Choosy {
    fn name(&self) -> &str {
        "choosy"
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn wants(&self, headers: &Headers) -> bool {
        Envelope::source_of(headers) == Some("/wanted")
            && Envelope::kind_of(headers) == Some("meshlog.message.accepted")
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        self.0.fetch_add(events.len(), Ordering::Relaxed);
        Ok(Vec::new())
    }
}

#[test]
fn what_a_stage_does_not_want_is_passed_over_without_an_append() {
    let events = in_memory();
    let given = Arc::new(AtomicUsize::new(0));
    let mut runner = StageRunner::start(events.clone(), Box::new(Choosy(given.clone()))).unwrap();
    let stored = || events.log().progress("choosy").unwrap().checkpoints;
    for _ in 0..50 {
        say(&events, "a", "not wanted");
    }
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert_eq!((stored(), given.load(Ordering::Relaxed)), (Checkpoints::default(), 0));

    let mut wanted = message("a", "wanted");
    wanted.envelope.source = "/wanted".to_owned();
    block_on(events.append(vec![message("a", "before"), wanted, message("a", "behind")], None)).unwrap();
    wait(runner.progress(), &ends(&events, Topic::Messages));
    assert_eq!(given.load(Ordering::Relaxed), 1);

    for _ in 0..50 {
        say(&events, "b", "not wanted");
    }
    wait(runner.progress(), &ends(&events, Topic::Messages));
    runner.stop();
    assert!(stored().covers(&ends(&events, Topic::Messages)), "at an end in order it is written down");
}

#[test]
fn an_event_that_takes_long_does_not_keep_what_follows_it_from_being_passed_over() {
    let events = in_memory();
    let (begun, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    struct Slow(Arc<AtomicBool>, Arc<AtomicBool>);
    impl Stage for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn input(&self) -> Topic {
            Topic::Messages
        }
        fn lanes(&self) -> usize {
            2
        }
        fn wants(&self, headers: &Headers) -> bool {
            Envelope::source_of(headers) == Some("/wanted")
        }
        fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
            if events.iter().any(|event| text(event) == "long") {
                self.0.store(true, Ordering::Release);
                while !self.1.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }
            Ok(Vec::new())
        }
    }
    let settings = Settings { span: 8, ..Settings::default() };
    let stage = Box::new(Slow(begun.clone(), go_on.clone()));
    let mut runner = StageRunner::start_with(events.clone(), stage, settings).unwrap();
    let wanted = |thread: &str, text: &str| {
        let mut wanted = message(thread, text);
        wanted.envelope.source = "/wanted".to_owned();
        block_on(events.append(vec![wanted], None)).unwrap()[0].position
    };
    let long = wanted("a", "long");
    let mut last = long;
    // All in one partition, many more than may be open.
    while last.offset < long.offset + 100 {
        last = say(&events, "a", "not wanted");
    }
    let short = (0..).map(|number| format!("b{number}")).find_map(|thread| {
        let position = wanted(&thread, "short");
        (position.partition == long.partition).then_some(position)
    });
    let short = short.unwrap();
    // It is done while the first is at work: the note that stands on the log names it.
    let done = || events.log().progress("slow").unwrap().note;
    wait_until_true(|| {
        let note = Note::from_text(&done(), Topic::Messages).unwrap();
        note.done.get(&short.partition).is_some_and(|done| done.contains(short.offset))
    });
    assert!(begun.load(Ordering::Acquire));
    go_on.store(true, Ordering::Release);
    wait(runner.progress(), &ends(&events, Topic::Messages));
    runner.stop();
}

fn wait_until_true(is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < until, "it does not come");
        std::thread::yield_now();
    }
}
