use meshlog_schemas::Topic;

use super::*;

const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };
const NOW: Duration = Duration::ZERO;

fn at(offset: u64) -> Position {
    Position { partition: PARTITION, offset }
}

fn schedule(settings: Settings) -> Schedule {
    let start = Start::Process { ends: Checkpoints::default() };
    Schedule::new(settings, 7, &[PARTITION], &Checkpoints::default(), Note::default(), start)
}

fn offer(schedule: &mut Schedule, offset: u64, key: &str, priority: Priority) -> Offered {
    let content = Content::Readable;
    schedule.offer(Arrival { position: at(offset), key: key.into(), priority, bytes: 100, content })
}

fn offer_all(schedule: &mut Schedule, offsets: std::ops::Range<u64>, key: impl Fn(u64) -> String) {
    for offset in offsets {
        assert_eq!(offer(schedule, offset, &key(offset), Priority::Normal), Offered::Held);
    }
}

fn commit(schedule: &mut Schedule) -> Option<Commit> {
    let commit = schedule.commit();
    schedule.committed();
    commit
}

fn failure(is_final: bool) -> Failure {
    Failure { error: "no".into(), verdict: if is_final { Verdict::Never } else { Verdict::Again } }
}

/// The next work; the first of a schedule waits for the note.
fn next(schedule: &mut Schedule) -> Option<Work> {
    let work = schedule.next_work(NOW);
    work.or_else(|| {
        commit(schedule);
        schedule.next_work(NOW)
    })
}

fn offsets(work: &Work) -> Vec<u64> {
    work.tasks.iter().map(|task| task.position.offset).collect()
}

#[test]
fn under_a_flood_of_urgent_events_a_low_one_still_has_its_turn() {
    let mut schedule = schedule(Settings { batch: Load { events: 1, bytes: 1_000 }, ..Settings::default() });
    offer(&mut schedule, 0, "low", Priority::Low);
    let mut order = Vec::new();
    for offset in 1..40 {
        // Two urgent events for every one that is processed: they never run out.
        offer(&mut schedule, offset * 2 - 1, &format!("a{offset}"), Priority::High);
        offer(&mut schedule, offset * 2, &format!("b{offset}"), Priority::High);
        let work = next(&mut schedule).unwrap();
        order.extend(offsets(&work));
        schedule.finish(work, Ok(()), NOW);
        commit(&mut schedule);
    }
    assert_eq!(order[..3], [1, 2, 3], "the urgent ones go first");
    let turn = order.iter().position(|offset| *offset == 0);
    assert!(turn.is_some_and(|turn| turn < 16), "{order:?}");
}

#[test]
fn a_full_window_reads_nothing_until_something_is_committed() {
    let mut schedule = schedule(Settings { window: Load { events: 3, bytes: 10_000 }, ..Settings::default() });
    for offset in 0..3 {
        assert_eq!(offer(&mut schedule, offset, "k", Priority::Normal), Offered::Held);
    }
    assert!(schedule.wanted().is_empty());
    assert_eq!(offer(&mut schedule, 3, "k", Priority::Normal), Offered::Full);
    let work = next(&mut schedule).unwrap();
    schedule.finish(work, Ok(()), NOW);
    assert!(schedule.wanted().is_empty(), "what is not committed is held");
    commit(&mut schedule);
    assert_eq!(schedule.wanted()[0].2.records, 3);
}

#[test]
fn a_batch_that_fails_is_tried_one_by_one_and_only_the_one_at_fault_is_counted() {
    let mut schedule = schedule(Settings::default());
    offer_all(&mut schedule, 0..3, |offset| format!("k{offset}"));
    let work = next(&mut schedule).unwrap();
    assert_eq!(offsets(&work), [0, 1, 2]);
    schedule.finish(work, Err(failure(false)), NOW);
    let alone: Vec<Work> = (0..2).map(|_| next(&mut schedule).unwrap()).collect();
    assert_eq!(alone.iter().map(offsets).collect::<Vec<_>>(), [[0], [1]]);
    let mut alone = alone.into_iter();
    schedule.finish(alone.next().unwrap(), Ok(()), NOW);
    schedule.finish(alone.next().unwrap(), Err(failure(false)), NOW);
    let commit = commit(&mut schedule).unwrap();
    assert_eq!(commit.note, "running\ntried 0/1 1 0\n");
    assert_eq!(commit.checkpoints.next(PARTITION), 1);
}

#[test]
fn what_is_done_above_the_checkpoint_stands_in_the_note_and_is_not_done_again() {
    let mut first = schedule(Settings { lanes: 2, ..Settings::default() });
    offer_all(&mut first, 0..2, |offset| format!("k{offset}"));
    let slow = next(&mut first).unwrap();
    let quick = next(&mut first).unwrap();
    assert_eq!((offsets(&slow), offsets(&quick)), (vec![0], vec![1]));
    first.finish(quick, Ok(()), NOW);
    let commit = commit(&mut first).unwrap();
    assert_eq!((commit.checkpoints.next(PARTITION), commit.note.as_str()), (0, "running\ndone 0 1-1\n"));

    let note = Note::from_text(&commit.note, Topic::Messages).unwrap();
    let start = Start::Worker { watched: Watched::default() };
    let mut second = Schedule::new(Settings::default(), 7, &[PARTITION], &commit.checkpoints, note, start);
    assert_eq!(offer(&mut second, 0, "k0", Priority::Normal), Offered::Held);
    assert_eq!(offer(&mut second, 1, "k1", Priority::Normal), Offered::Passed);
    assert_eq!(offsets(&second.next_work(NOW).unwrap()), [0]);
}

#[test]
fn when_the_log_refuses_an_event_those_behind_it_do_not_overtake_it() {
    let mut schedule = schedule(Settings::default());
    offer_all(&mut schedule, 0..3, |_| "k".to_owned());
    let work = next(&mut schedule).unwrap();
    schedule.finish(work, Ok(()), NOW);
    assert_eq!(schedule.commit().unwrap().outcomes.len(), 3);
    schedule.refused(failure(true), NOW).unwrap();
    assert_eq!(schedule.commit().unwrap().outcomes.len(), 1, "one at a time, to find which");
    schedule.refused(failure(true), NOW).unwrap();
    let parked = commit(&mut schedule).unwrap();
    assert_eq!(parked.outcomes.len(), 1);
    assert!(matches!(&parked.outcomes[0].end, End::Parked(letter) if letter.class == FailureClass::Permanent));
    assert_eq!(schedule.next_work(NOW), None, "the key waits until its letter has been read back");
}

#[test]
fn after_an_end_out_of_order_a_start_is_durable_before_it_is_made_and_a_suspect_runs_alone() {
    let note = Note::from_text("running\ntried 0/1 0 1\n", Topic::Messages).unwrap();
    let start = Start::Process { ends: Checkpoints::from_iter([(PARTITION, 3)]) };
    let settings = Settings { lanes: 2, ..Settings::default() };
    let mut schedule = Schedule::new(settings, 7, &[PARTITION], &Checkpoints::default(), note, start);
    offer_all(&mut schedule, 0..3, |offset| format!("k{offset}"));
    assert_eq!(schedule.next_work(NOW), None, "first the note");
    let noted = commit(&mut schedule).unwrap();
    assert_eq!(noted.note, "running\ntried 0/0 0 1\ntried 0/1 0 1\n");
    let before = schedule.next_work(NOW).unwrap();
    assert_eq!(offsets(&before), [0]);
    assert_eq!(next(&mut schedule), None, "the suspect waits until nothing else is at work");
    schedule.finish(before, Ok(()), NOW);
    assert_eq!(next(&mut schedule), None, "and until the process has lived for a while");
    let calm = NOW + settings.calm;
    assert_eq!(schedule.wake_at(), Some(calm));
    assert_eq!(schedule.next_work(calm), None, "first the note");
    commit(&mut schedule);
    let alone = schedule.next_work(calm).unwrap();
    assert_eq!(offsets(&alone), [1]);
    assert_eq!(next(&mut schedule), None, "nothing runs beside it");
    schedule.finish(alone, Ok(()), NOW);
    assert_eq!(offsets(&next(&mut schedule).unwrap()), [2]);
}

#[test]
fn what_is_left_for_later_waits_with_its_key_as_it_was_and_no_try_is_counted() {
    let mut schedule = schedule(Settings::default());
    offer_all(&mut schedule, 0..3, |offset| format!("k{}", offset / 2));
    for round in 0..20 {
        let now = Settings::default().later * round;
        let work = schedule.next_work(now).or_else(|| {
            commit(&mut schedule);
            schedule.next_work(now)
        });
        let work = work.unwrap_or_else(|| panic!("round {round}"));
        assert_eq!(offsets(&work), [0, 1, 2], "together as before");
        let later = Failure { error: "not now".into(), verdict: Verdict::Later };
        schedule.finish(work, Err(later), now);
        assert_eq!((schedule.retrying(), schedule.next_work(now + Duration::from_secs(59)).is_none()), (2, true));
    }
    let work = schedule.next_work(Settings::default().later * 20).unwrap();
    schedule.finish(work, Ok(()), NOW);
    let commit = commit(&mut schedule).unwrap();
    assert_eq!((commit.checkpoints.next(PARTITION), commit.note.as_str()), (3, "running\n"));
}
