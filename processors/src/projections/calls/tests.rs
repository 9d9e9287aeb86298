use std::collections::{BTreeMap, BTreeSet};

use meshlog_schemas::{CallRequested, Partition};
use tempfile::tempdir;
use uuid::Uuid;

use super::*;
use crate::{
    Page, PageLimit,
    calls::{CallRow, CallSelection, Dimension, Group, GroupName, MICROS_PER_DAY, OPEN, Tally, Usage, UsageQuery},
    seeds::{Chance, for_each_seed},
    testing::{attempt_failed, attempt_started, call_requested, call_settled, stored},
};

const PARTITIONS: u32 = 3;
const EVERYTHING: [Dimension; 6] =
    [Dimension::Day, Dimension::Space, Dimension::Provider, Dimension::Model, Dimension::Key, Dimension::Kind];
const ALL: PageLimit = PageLimit { items: usize::MAX, bytes: usize::MAX };
const SOME: PageLimit = PageLimit { items: 3, bytes: usize::MAX };

fn one_of<'a>(chance: &mut Chance, names: &[&'a str]) -> &'a str {
    names[chance.below(names.len() as u64) as usize]
}

fn number(chance: &mut Chance) -> i64 {
    match chance.below(20) {
        0 => i64::MAX - 3,
        1 => -7,
        _ => chance.below(1_000) as i64,
    }
}

/// What happens to a call, in order. Retention took the first of it from some.
fn life(chance: &mut Chance, id: u64) -> (CallRequested, Vec<Event>) {
    let call = CallRequested {
        space: one_of(chance, &["s", "home", ""]).to_owned(),
        thread: (chance.below(3) > 0).then(|| one_of(chance, &["t", "u", "home"]).to_owned()),
        key_label: one_of(chance, &["laptop", ""]).to_owned(),
        kind: one_of(chance, &["chat", "embeddings"]).to_owned(),
        ..call_requested(u128::from(id) << 64)
    };
    let mut events = vec![Event::CallRequested(call.clone())];
    for attempt in 1..=chance.below(3) as i32 {
        events.push(Event::AttemptStarted(attempt_started(&call, attempt)));
        if chance.below(2) == 0 {
            events.push(Event::AttemptFailed(attempt_failed(&call, attempt)));
        }
    }
    // A second end, such as of a node that was taken for dead, says something else.
    for _ in 0..chance.below(3) {
        let at = chance.below(5) as i64 * MICROS_PER_DAY / 2 - MICROS_PER_DAY;
        events.push(Event::CallSettled(Box::new(CallSettled {
            outcome: one_of(chance, &["completed", "truncated", "failed", "cancelled", "interrupted", "exploded"])
                .to_owned(),
            attempts: chance.below(4) as i32 - 1,
            provider: one_of(chance, &["acme", "umbra", ""]).to_owned(),
            model: one_of(chance, &["small", "large"]).to_owned(),
            usage_source: one_of(chance, &["reported", "estimated", "none"]).to_owned(),
            input_tokens: number(chance),
            cache_write_tokens: number(chance),
            cache_read_tokens: number(chance),
            output_tokens: number(chance),
            reasoning_tokens: number(chance),
            cost_nanos: if chance.below(3) == 0 { -1 } else { number(chance) },
            ..call_settled(&call, at)
        })));
    }
    if chance.below(4) == 0 && events.len() > 1 {
        events.remove(0);
    }
    (call, events)
}

/// The partitions of a log: each call's events in order, between those of other calls, and some of them twice.
fn log(chance: &mut Chance, calls: u64) -> Vec<Vec<StoredEvent>> {
    let mut lives = vec![Vec::new(); PARTITIONS as usize];
    for id in 1..=calls {
        let (call, events) = life(chance, id);
        let key = Event::CallRequested(call).ordering_key();
        let partition = key.bytes().map(u32::from).sum::<u32>() % PARTITIONS;
        lives[partition as usize].push(events);
    }
    lives.into_iter().zip(0..).map(|(lives, partition)| written(chance, lives, partition)).collect()
}

fn written(chance: &mut Chance, mut lives: Vec<Vec<Event>>, partition: u32) -> Vec<StoredEvent> {
    let mut events: Vec<StoredEvent> = Vec::new();
    lives.retain(|life| !life.is_empty());
    while !lives.is_empty() {
        let at = chance.below(lives.len() as u64) as usize;
        let event = lives[at].remove(0);
        lives.retain(|life| !life.is_empty());
        let mut event = stored(events.len() as u64, event);
        event.position.partition.id = partition;
        event.envelope.time = chance.below(1_000) as i64;
        events.push(event);
        if chance.below(4) == 0 {
            let again = events[chance.below(events.len() as u64) as usize].clone();
            let position = Position { offset: events.len() as u64, ..again.position };
            events.push(StoredEvent { position, ..again });
        }
    }
    events
}

/// Applies a log in batches of any size that take from the partitions in any turn, some of them again after a restart.
fn filled(chance: &mut Chance, log: &[Vec<StoredEvent>], path: &Path) -> CallProjection {
    let mut projection = CallProjection::open(path, None).unwrap();
    let mut next = vec![0; log.len()];
    loop {
        let mut batch = Vec::new();
        for _ in 0..=chance.below(20) {
            let partition = chance.below(log.len() as u64) as usize;
            if let Some(event) = log[partition].get(next[partition]) {
                batch.push(event.clone());
                next[partition] += 1;
            }
        }
        let checkpoints: Checkpoints = (0..).zip(&next).map(|(id, next)| (partition(id), *next as u64)).collect();
        projection.apply(&batch, &checkpoints).unwrap();
        if chance.below(8) == 0 {
            drop(projection);
            projection = CallProjection::open(path, None).unwrap();
            assert_eq!(projection.checkpoints().unwrap(), checkpoints, "data and checkpoints survive together");
            projection.apply(&batch, &checkpoints).unwrap();
        }
        if next.iter().zip(log).all(|(next, events)| *next == events.len()) {
            return projection;
        }
    }
}

fn partition(id: u32) -> Partition {
    Partition { topic: Topic::Calls, id }
}

/// The first end of each call, and the sums of all of them.
fn sums(log: &[Vec<StoredEvent>]) -> BTreeMap<Vec<GroupName>, Tally> {
    let mut ended = BTreeSet::new();
    let mut sums = BTreeMap::<_, Tally>::new();
    for event in log.iter().flatten() {
        let Event::CallSettled(end) = &event.event else { continue };
        if !ended.insert(end.call_id) {
            continue;
        }
        let name = |name: &String| GroupName::Name(name.clone());
        let day = GroupName::Day(end.requested_at.div_euclid(MICROS_PER_DAY));
        let names =
            vec![day, name(&end.space), name(&end.provider), name(&end.model), name(&end.key_label), name(&end.kind)];
        let is = |outcome: &str| i64::from(end.outcome == outcome);
        let of_source = |source: &str| i64::from(end.usage_source == source);
        sums.entry(names).or_default().add(&Tally {
            calls: 1,
            completed: is("completed"),
            truncated: is("truncated"),
            failed: is("failed"),
            cancelled: is("cancelled"),
            interrupted: is("interrupted"),
            attempts: i64::from(end.attempts.max(0)),
            input_tokens: end.input_tokens.max(0),
            cache_write_tokens: end.cache_write_tokens.max(0),
            cache_read_tokens: end.cache_read_tokens.max(0),
            output_tokens: end.output_tokens.max(0),
            reasoning_tokens: end.reasoning_tokens.max(0),
            cost_nanos: end.cost_nanos.max(0),
            unpriced: i64::from(end.cost_nanos < 0),
            estimated: of_source("estimated"),
            without_usage: of_source("none"),
        });
    }
    sums
}

fn usage(store: &CallStore, query: &UsageQuery) -> Usage {
    store.usage(query, usize::MAX).unwrap().unwrap()
}

/// The pages of a list, which together are the list.
fn listed(store: &CallStore, selection: &CallSelection) -> Vec<CallRow> {
    let all = store.calls(selection, ALL, None).unwrap();
    assert_eq!(all.next, None);
    let (mut paged, mut cursor) = (Vec::new(), None);
    loop {
        let Page { items, next } = store.calls(selection, SOME, cursor.as_deref()).unwrap();
        assert!(items.len() <= SOME.items);
        paged.extend(items);
        match next {
            Some(next) => {
                assert!(CallStore::is_cursor_of(selection, &next));
                cursor = Some(next);
            }
            None => break,
        }
    }
    assert_eq!(paged, all.items);
    let cursors: Vec<_> =
        paged.iter().map(|call| CallStore::cursor_of(selection, call.requested_at, call.call_id)).collect();
    assert!(cursors.is_sorted(), "cursors order as the list does");
    assert!(paged.is_sorted_by_key(|call| std::cmp::Reverse((call.requested_at, call.call_id))), "the newest first");
    paged
}

#[test]
fn however_the_log_is_read_the_view_is_the_same_and_its_sums_are_those_of_the_ends() {
    for_each_seed(60, |seed| {
        let mut chance = Chance(seed);
        let calls = 1 + chance.below(40);
        let log = log(&mut chance, calls);
        let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
        let first = filled(&mut chance, &log, one.path());
        let second = filled(&mut chance, &log, other.path());
        assert_eq!(first.digest().unwrap(), second.digest().unwrap());

        let expected = sums(&log);
        let mut total = Tally::default();
        expected.values().for_each(|tally| total.add(tally));
        let by_all = UsageQuery { by: EVERYTHING.to_vec(), ..UsageQuery::default() };
        let groups = expected.iter().map(|(names, tally)| Group { names: names.clone(), tally: *tally }).collect();
        assert_eq!(usage(&first.store, &by_all), Usage { groups, total });

        let ids: BTreeSet<Uuid> =
            log.iter().flatten().filter_map(|event| super::change(event).map(|change| change.call_id)).collect();
        let mut found = BTreeSet::new();
        for space in ["s", "home", "", "elsewhere"] {
            let of_space = CallSelection { space: space.to_owned(), ..CallSelection::default() };
            let all = listed(&first.store, &of_space);
            found.extend(all.iter().map(|call| call.call_id));
            for state in [OPEN, "completed", "interrupted", "exploded"] {
                let wanted = CallSelection { state: Some(state.to_owned()), ..of_space.clone() };
                let is_wanted = |call: &&CallRow| call.state == state;
                assert_eq!(listed(&first.store, &wanted), all.iter().filter(is_wanted).cloned().collect::<Vec<_>>());
                let wanted = CallSelection { thread: Some("home".to_owned()), ..wanted };
                let is_wanted = |call: &&CallRow| is_wanted(call) && call.thread.as_deref() == Some("home");
                assert_eq!(listed(&first.store, &wanted), all.iter().filter(is_wanted).cloned().collect::<Vec<_>>());
            }
        }
        assert_eq!(found, ids, "every call stands in the list of its space");
    });
}

fn applied(events: Vec<Event>) -> (tempfile::TempDir, CallProjection) {
    let directory = tempdir().unwrap();
    let projection = CallProjection::open(directory.path(), None).unwrap();
    let events: Vec<_> = events.into_iter().zip(0..).map(|(event, offset)| stored(offset, event)).collect();
    let next = events.len() as u64;
    projection.apply(&events, &Checkpoints::from_iter([(partition(0), next)])).unwrap();
    (directory, projection)
}

#[test]
fn a_row_says_what_was_asked_what_was_tried_and_how_it_ended() {
    let call = call_requested(7);
    let (_directory, projection) = applied(vec![
        Event::CallRequested(call.clone()),
        Event::AttemptStarted(attempt_started(&call, 1)),
        Event::AttemptFailed(attempt_failed(&call, 1)),
        Event::AttemptStarted(attempt_started(&call, 2)),
    ]);
    let row = projection.store.call(call.call_id.0).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.requested_at, row.settled.as_ref()), (OPEN, 1_000, None));
    let request = row.request.clone().unwrap();
    assert_eq!((request.mode.as_str(), request.owner.as_str(), request.position.offset), ("whole", "node-1", 0));
    let tried: Vec<_> = row.attempts.iter().map(|attempt| (attempt.number, attempt.started_at)).collect();
    assert_eq!(tried, [(1, Some(1_001)), (2, Some(1_003))]);
    let failure = row.attempts[0].failure.as_ref().unwrap();
    assert_eq!((failure.failed_at, failure.class.as_str(), failure.status), (1_002, "rate_limited", 429));
    assert_eq!(row.attempts[1].failure, None);

    let end = stored(4, Event::CallSettled(Box::new(call_settled(&call, 900))));
    projection.apply(&[end], &Checkpoints::from_iter([(partition(0), 5)])).unwrap();
    let row = projection.store.call(call.call_id.0).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.requested_at), ("completed", 900), "the end knows when it was requested");
    let settled = row.settled.unwrap();
    assert_eq!((settled.position.offset, settled.cost_nanos, settled.finish_reason.as_str()), (4, 1_250, "stop"));
}

#[test]
fn a_call_whose_request_was_removed_is_listed_and_counted_all_the_same() {
    let call = call_requested(7);
    let (_directory, projection) = applied(vec![
        Event::AttemptFailed(attempt_failed(&call, 3)),
        Event::CallSettled(Box::new(call_settled(&call, 900))),
    ]);
    let row = projection.store.call(call.call_id.0).unwrap().unwrap();
    assert_eq!((row.request, row.model.as_str(), row.kind.as_str()), (None, "small", "chat"));
    assert_eq!((row.attempts[0].number, row.attempts[0].started_at), (3, None));
    assert_eq!(usage(&projection.store, &UsageQuery::default()).total.calls, 1);
}

#[test]
fn usage_is_grouped_and_filtered_as_asked() {
    let end = |number: u128, provider: &str, model: &str, day: i64| {
        let call = CallRequested { thread: None, ..call_requested(number) };
        let end = call_settled(&call, day * MICROS_PER_DAY + 5);
        Event::CallSettled(Box::new(CallSettled { provider: provider.into(), model: model.into(), ..end }))
    };
    let (_directory, projection) = applied(vec![
        end(1, "acme", "small", 10),
        end(2, "acme", "large", 10),
        end(3, "umbra", "small", 11),
        end(4, "acme", "small", 12),
    ]);
    let by = |by: &[Dimension], query: UsageQuery| -> Vec<(Vec<GroupName>, i64)> {
        let found = usage(&projection.store, &UsageQuery { by: by.to_vec(), ..query });
        assert_eq!(found.total.calls, found.groups.iter().map(|group| group.tally.calls).sum::<i64>());
        found.groups.into_iter().map(|group| (group.names, group.tally.calls)).collect()
    };
    let name = |name: &str| GroupName::Name(name.to_owned());
    let models = by(&[Dimension::Model], UsageQuery::default());
    assert_eq!(models, [(vec![name("large")], 1), (vec![name("small")], 3)]);
    let (small, acme) = (Some("small".to_owned()), Some("acme".to_owned()));
    let days = UsageQuery { model: small, from_day: Some(11), to_day: Some(12), ..UsageQuery::default() };
    let found = by(&[Dimension::Day, Dimension::Provider], days);
    let expected = [(vec![GroupName::Day(11), name("umbra")], 1), (vec![GroupName::Day(12), name("acme")], 1)];
    assert_eq!(found, expected);
    assert_eq!(by(&[], UsageQuery { provider: acme, ..UsageQuery::default() }), [(vec![], 3)]);
    assert_eq!(by(&[], UsageQuery { from_day: Some(13), ..UsageQuery::default() }), []);
    assert_eq!(by(&[], UsageQuery { from_day: Some(12), to_day: Some(10), ..UsageQuery::default() }), []);
    let query = UsageQuery { by: vec![Dimension::Day], ..UsageQuery::default() };
    assert_eq!(projection.store.usage(&query, 2).unwrap(), None, "more groups than are wanted");
}
