//! The ledger: what became of the calls that Meshlog made itself, and what they used today.
//!
//! Owns: a table of own calls by id, followed along the log, so that it counts the calls of every process that shares the log, and
//! knows after a restart what was known before.
//! Promises: a look sees every call that was acknowledged. It goes back to the beginning of the day before (UTC): what a crash
//! left is found where the next start is not later than that; what was used today is exact.
//! Never: holds an answer; it says where it stands.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use meshlog_pipeline::{EventLog, LogError, ReadLimit, now_micros};
use meshlog_schemas::{CallSettled, Checkpoints, Envelope, Event, EventId, Offset, Partition, Position, Topic};

use super::{log::OWN, scan::scan_wanted};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What is known of own calls.
pub(super) struct Ledger {
    events: EventLog,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where to go on; `None` before it was begun.
    next: Option<Checkpoints>,
    days: BTreeMap<i64, Day>,
}

/// The calls that were requested on a day.
#[derive(Default)]
struct Day {
    calls: HashMap<EventId, Known>,
    /// Tokens by the label of the calls.
    used: HashMap<String, u64>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It was requested.
    Begun,
    /// It has a whole answer, which stands here.
    Answered(Position),
    /// It ended without.
    Failed,
}

/// What is known now.
pub(super) struct Page<'a>(&'a BTreeMap<i64, Day>);

impl Page<'_> {
    /// What became of a call; `None` where it was not made, or long ago.
    pub(super) fn of(&self, call: EventId) -> Option<Known> {
        self.0.values().rev().find_map(|day| day.calls.get(&call).copied())
    }

    /// The tokens that calls of a label used of those that were requested today.
    pub(super) fn used_today(&self, label: &str) -> u64 {
        let today = self.0.get(&day_of(now_micros()));
        today.and_then(|day| day.used.get(label)).copied().unwrap_or_default()
    }
}

fn day_of(micros: i64) -> i64 {
    micros.div_euclid(MICROS_PER_DAY)
}

impl Ledger {
    pub(super) fn new(events: EventLog) -> Self {
        Self { events, state: Mutex::default() }
    }

    /// Looks at what is known now.
    pub(super) fn look<R>(&self, look: impl FnOnce(&Page<'_>) -> R) -> Result<R, LogError> {
        self.events.log().synchronize(Topic::Calls)?;
        // What is folded in stands by itself, and folded in again says the same of a call; a day's sum is of calls that are new.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first_day = day_of(now_micros()) - 1;
        let mut next = match state.next.take() {
            Some(next) => next,
            None => self.first(first_day)?,
        };
        let State { days, .. } = &mut *state;
        let caught_up = self.catch_up(&mut next, days);
        state.next = Some(next);
        caught_up?;
        state.days.retain(|day, _| *day >= first_day);
        Ok(look(&Page(&state.days)))
    }

    /// Where the events of a day begin.
    fn first(&self, day: i64) -> Result<Checkpoints, LogError> {
        let from = day.saturating_mul(MICROS_PER_DAY);
        self.events
            .partitions(Topic::Calls)
            .into_iter()
            .map(|partition| Ok((partition, self.begin(partition, from)?)))
            .collect()
    }

    /// The first offset of a partition whose record was taken in at `from` or later, by halving.
    fn begin(&self, partition: Partition, from: i64) -> Result<Offset, LogError> {
        let log = self.events.log();
        let bounds = log.bounds(partition)?;
        let (mut low, mut high) = (bounds.start, bounds.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let records = log.read(partition, middle, ReadLimit { records: 1, bytes: 0 })?;
            match records.first() {
                Some(record) if record.appended_at < from => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn catch_up(&self, next: &mut Checkpoints, days: &mut BTreeMap<i64, Day>) -> Result<(), LogError> {
        for partition in self.events.partitions(Topic::Calls) {
            let bounds = self.events.log().bounds(partition)?;
            let from = next.next(partition).max(bounds.start);
            let is_own = |headers: &_| Envelope::source_of(headers) == Some(OWN);
            scan_wanted(&self.events, partition, (from, bounds.end), is_own, |stored| match stored.event {
                Event::CallRequested(call) => {
                    let day = days.entry(day_of(stored.envelope.time)).or_default();
                    day.calls.entry(call.call_id).or_insert(Known::Begun);
                }
                Event::CallSettled(call) => settle(days, &call, stored.position),
                _ => {}
            })?;
            next.advance(partition, bounds.end);
        }
        Ok(())
    }
}

/// The first end of a call counts.
fn settle(days: &mut BTreeMap<i64, Day>, call: &CallSettled, position: Position) {
    let day = days.entry(day_of(call.requested_at)).or_default();
    let known = day.calls.entry(call.call_id).or_insert(Known::Begun);
    if *known != Known::Begun {
        return;
    }
    *known = if call.outcome == "completed" { Known::Answered(position) } else { Known::Failed };
    let tokens =
        [call.input_tokens, call.cache_write_tokens, call.cache_read_tokens, call.output_tokens, call.reasoning_tokens];
    let used = tokens.into_iter().map(|tokens| u64::try_from(tokens).unwrap_or(0)).sum::<u64>();
    let sum = day.used.entry(call.key_label.clone()).or_default();
    *sum = sum.saturating_add(used);
}
