//! Retention: for how long the messages of a space are remembered, and what is past its time.
//!
//! Owns: the fold of what was set for each space, and up to when its messages are past their time.
//! Promises: what is due follows from the log and the time alone, and so does the id of the event that says so: several
//! nodes that look in the same hour write one.
//! Never: asks a clock; forgets anything itself; says that what was forgotten is remembered again.

use std::collections::{BTreeMap, HashMap};

use meshlog_pipeline::{NewEvent, StoredEvent};
use meshlog_schemas::{Event, EventId, MemoryForgotten, RetentionSet, Topic, Trust};

use crate::{Micros, Table};

const HOUR: Micros = 3_600_000_000;
const DAY: Micros = 24 * HOUR;
/// Who forgets what is past its time, and why.
const AUTHOR: &str = "meshlog";
const REASON: &str = "retention";
/// What such an event says is forgotten: messages, and nothing that people wrote into the memory themselves.
const SCOPE: &str = "messages";

/// How long each space remembers, and up to when it has forgotten for that reason.
#[derive(Debug, Clone, Default)]
pub struct RetentionTable {
    set: BTreeMap<String, RetentionSet>,
    forgotten: HashMap<String, Micros>,
}

impl Table for RetentionTable {
    const TOPIC: Topic = Topic::Memory;

    fn observe(&mut self, event: &StoredEvent) {
        match &event.event {
            Event::RetentionSet(set) => {
                self.set.insert(set.space.clone(), set.clone());
            }
            Event::MemoryForgotten(forgotten) if forgotten.scope == SCOPE => {
                let until = self.forgotten.entry(forgotten.space.clone()).or_insert(forgotten.until);
                *until = forgotten.until.max(*until);
            }
            _ => {}
        }
    }
}

impl RetentionTable {
    /// What was set last, in the order of the spaces' names.
    pub fn iter(&self) -> impl Iterator<Item = &RetentionSet> {
        self.set.values()
    }

    /// What is to be written at `now`: an event for each space of which more is past its time than was said.
    pub fn due(&self, now: Micros) -> Vec<NewEvent> {
        let due = self.set.values().filter_map(|set| {
            let until = past(set.keep_days?, now)?;
            let is_news = self.forgotten.get(&set.space).is_none_or(|known| *known < until);
            is_news.then(|| forgotten(&set.space, until, now))
        });
        due.collect()
    }
}

/// Up to when messages are past their time at `now`: to the hour, so that a message is kept for an hour more at the most.
/// `None` for a number of days that means nothing.
fn past(keep_days: i32, now: Micros) -> Option<Micros> {
    let kept = Micros::from(keep_days).checked_mul(DAY).filter(|kept| *kept > 0)?;
    let until = now.checked_sub(kept)?;
    until.checked_sub(until.rem_euclid(HOUR))
}

/// The event that what was taken in before `until` is forgotten.
fn forgotten(space: &str, until: Micros, now: Micros) -> NewEvent {
    // In a name space of its own: a message of the same name is another thing.
    let id = EventId::of_source(space, &format!("meshlog.retention/{until}"));
    let event = Event::MemoryForgotten(MemoryForgotten {
        space: space.to_owned(),
        scope: SCOPE.to_owned(),
        target: space.to_owned(),
        until,
        author: AUTHOR.to_owned(),
        reason: REASON.to_owned(),
        forgotten_at: now,
    });
    NewEvent::first(id, "/retention", Trust::System, event).once()
}

/// What is past its time at `now` with a retention that is only being set; nothing where it is for ever.
pub fn past_its_time(set: &RetentionSet, now: Micros) -> Option<NewEvent> {
    past(set.keep_days?, now).map(|until| forgotten(&set.space, until, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::stored;

    /// 2024-05-01T10:20:00Z.
    const NOW: Micros = 1_714_558_800_000_000;

    fn set(space: &str, keep_days: Option<i32>) -> RetentionSet {
        RetentionSet { space: space.into(), keep_days, author: "Ada".into(), reason: String::new(), set_at: NOW }
    }

    fn table(sets: impl IntoIterator<Item = RetentionSet>) -> RetentionTable {
        let mut table = RetentionTable::default();
        sets.into_iter().for_each(|set| table.observe(&stored(0, Event::RetentionSet(set))));
        table
    }

    fn untils(events: &[NewEvent]) -> Vec<(&str, Micros)> {
        let until = |event: &'_ NewEvent| match &event.event {
            Event::MemoryForgotten(body) => Some(body.until),
            _ => None,
        };
        events.iter().map(|event| (event.envelope.space.as_deref().unwrap(), until(event).unwrap())).collect()
    }

    #[test]
    fn what_is_past_its_time_is_due_once_an_hour() {
        let mut table = table([set("a", Some(90)), set("b", None), set("c", Some(1))]);
        let hour = NOW - NOW % HOUR;
        let due = table.due(NOW);
        assert_eq!(untils(&due), [("a", hour - 90 * DAY), ("c", hour - DAY)]);
        let again = table.due(NOW + 60_000_000);
        assert_eq!(again[0].envelope.id, due[0].envelope.id, "several nodes write the same");
        assert!(due.iter().all(|event| event.once));
        due.into_iter().for_each(|event| table.observe(&stored(0, event.event)));
        assert!(table.due(hour + HOUR - 1).is_empty());
        assert_eq!(untils(&table.due(hour + HOUR)), [("a", hour + HOUR - 90 * DAY), ("c", hour + HOUR - DAY)]);
    }

    #[test]
    fn the_last_that_was_set_counts_and_a_clock_that_goes_back_changes_nothing() {
        let mut table = table([set("a", Some(1)), set("a", Some(2))]);
        let hour = NOW - NOW % HOUR;
        let due = table.due(NOW);
        assert_eq!(untils(&due), [("a", hour - 2 * DAY)]);
        due.into_iter().for_each(|event| table.observe(&stored(0, event.event)));
        assert!(table.due(NOW - DAY).is_empty());
        table.observe(&stored(0, Event::RetentionSet(set("a", None))));
        assert!(table.due(NOW + 400 * DAY).is_empty(), "for ever");
        assert_eq!(table.iter().count(), 1);
    }

    #[test]
    fn days_that_mean_nothing_forget_nothing() {
        let sets = [0, -1, i32::MIN].map(|days| set(&days.to_string(), Some(days)));
        assert!(table(sets).due(NOW).is_empty());
        assert!(past_its_time(&set("a", Some(i32::MAX)), NOW).is_none());
        assert!(past_its_time(&set("a", Some(36_500)), Micros::MIN).is_none());
        assert!(past_its_time(&set("a", Some(36_500)), NOW).is_some());
    }
}
