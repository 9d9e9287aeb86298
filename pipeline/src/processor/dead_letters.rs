//! Dead letters: what all processors could not process, for people who list, redrive and discard.
//!
//! Owns: the fold over the dead-letters topic, the same that the runners act on (see [`super::schedule`]), and a view
//! that is brought up to the log's end on every look.
//! Never: keeps what a letter says; that is read from the log when somebody asks.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, PoisonError},
};

use meshlog_schemas::{Checkpoints, Event, EventFailed, Position, Topic};

use super::{
    letters,
    schedule::{Parked, Parking},
};
use crate::{
    events::{EventLog, StoredEvent},
    feed::{BATCH_LIMIT, Feed},
    log::LogError,
    record::ReadLimit,
};

/// A parked event of a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The processor.
    pub processor: String,
    /// The event's ordering key.
    pub key: String,
    /// The event, and where its newest dead letter stands.
    pub parked: Parked,
    /// The event that it waits behind; itself, if it is the first of its key.
    pub head: Position,
    /// Whether the key's events are on their way to be processed again.
    pub is_driven: bool,
}

/// The parked events of one processor, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCount {
    /// The processor.
    pub processor: String,
    /// Parked events.
    pub events: usize,
    /// Keys that stand still because of them.
    pub keys: usize,
    /// When the oldest was parked; microseconds since the epoch.
    pub oldest_at: i64,
}

/// The parked events of all processors: a fold over the dead-letters topic, in memory, by position.
#[derive(Debug, Default)]
pub struct DeadLetters(BTreeMap<String, Shelf>);

/// One processor's parked events.
#[derive(Debug, Default)]
struct Shelf {
    parking: Parking,
    keys: BTreeMap<Position, Arc<str>>,
}

impl DeadLetters {
    /// Folds in an event of the dead-letters topic; others are passed over.
    pub fn observe(&mut self, event: &StoredEvent) {
        let Some((processor, change)) = letters::change(event) else { return };
        let shelf = self.0.entry(processor.to_owned()).or_default();
        shelf.parking.apply(&change);
        match shelf.parking.get(&change.key, change.position) {
            Some(_) => drop(shelf.keys.insert(change.position, change.key)),
            None => drop(shelf.keys.remove(&change.position)),
        }
        if shelf.parking.count() == 0 && shelf.parking.is_forgetful() {
            self.0.remove(processor);
        }
    }

    /// Parked events in the order of processor and position, of one processor or all, those behind `after`.
    pub fn list(&self, processor: Option<&str>, after: Option<(&str, Position)>, limit: usize) -> Vec<DeadLetter> {
        let is_asked_for = |name: &str| {
            processor.is_none_or(|processor| processor == name) && after.is_none_or(|(last, _)| last <= name)
        };
        let shelves = self.0.iter().filter(|(name, _)| is_asked_for(name));
        let letters = shelves.flat_map(|(name, shelf)| {
            let from = match after {
                Some((last, position)) if last == name => Bound::Excluded(position),
                _ => Bound::Unbounded,
            };
            let positions = shelf.keys.range((from, Bound::Unbounded));
            positions.filter_map(|(position, key)| shelf.letter(name, key, *position))
        });
        letters.take(limit).collect()
    }

    /// A processor's parked event at a position.
    pub fn get(&self, processor: &str, position: Position) -> Option<DeadLetter> {
        let shelf = self.0.get(processor)?;
        shelf.letter(processor, shelf.keys.get(&position)?, position)
    }

    /// How much is parked, for each processor that has something parked.
    pub fn counts(&self) -> Vec<ParkedCount> {
        let count = |(name, shelf): (&String, &Shelf)| {
            let oldest_at = shelf.parking.oldest()?;
            let (events, keys) = (shelf.parking.count(), shelf.parking.queues().count());
            Some(ParkedCount { processor: name.clone(), events, keys, oldest_at })
        };
        self.0.iter().filter_map(count).collect()
    }
}

impl Shelf {
    fn letter(&self, processor: &str, key: &str, position: Position) -> Option<DeadLetter> {
        let queue = self.parking.queue(key)?;
        Some(DeadLetter {
            processor: processor.to_owned(),
            key: key.to_owned(),
            parked: *self.parking.get(key, position)?,
            head: queue.head().position,
            is_driven: queue.is_driven(),
        })
    }
}

/// The dead letters as they stand now.
pub struct DeadLetterView {
    events: EventLog,
    state: Mutex<(Feed, DeadLetters)>,
}

impl DeadLetterView {
    /// A view of the dead letters of `events`.
    pub fn new(events: EventLog) -> Self {
        let feed = Feed::new(events.clone(), &[Topic::DeadLetters], Checkpoints::default());
        Self { events, state: Mutex::new((feed, DeadLetters::default())) }
    }

    /// Looks at the dead letters; every acknowledged one is there.
    ///
    /// # Errors
    /// The topic cannot be read.
    pub fn look<T>(&self, look: impl FnOnce(&DeadLetters) -> T) -> Result<T, LogError> {
        // A fold that panicked half-way is taken up where its feed stands; events are whole.
        self.events.log().synchronize(Topic::DeadLetters)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (feed, letters) = &mut *state;
        loop {
            let batch = feed.next(BATCH_LIMIT, None)?;
            if batch.is_empty() {
                return Ok(look(letters));
            }
            batch.entries.iter().flatten().for_each(|event| letters.observe(event));
        }
    }

    /// What the newest letter of a parked event says: its error, id and type. `None` if it cannot be read.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn read(&self, letter: &DeadLetter) -> Result<Option<EventFailed>, LogError> {
        let Position { partition, offset } = letter.parked.letter;
        let entry = self.events.read(partition, offset, ReadLimit { records: 1, bytes: usize::MAX })?.pop();
        Ok(match entry {
            Some(Ok(StoredEvent { event: Event::EventFailed(body), .. })) => Some(body),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{EventId, Partition, Trust};
    use pollster::block_on;

    use super::*;
    use crate::{
        ClearSealer, MemoryLog, NewEvent, default_layout,
        processor::{FailureClass, dead_letter_discarded, redrive_requested},
    };

    fn at(offset: u64) -> Position {
        Position { partition: Partition { topic: Topic::Messages, id: 2 }, offset }
    }

    fn failed(processor: &str, offset: i64, key: &str, class: &str) -> NewEvent {
        let event = Event::EventFailed(EventFailed {
            processor: processor.into(),
            topic: "messages".into(),
            partition: 2,
            offset,
            key: key.into(),
            event_id: String::new(),
            event_type: String::new(),
            class: class.into(),
            error: format!("error of {offset}"),
            attempts: 5,
            failed_at: 1_000 + offset,
            head_offset: -1,
        });
        NewEvent::first(EventId::fresh(), "/test", Trust::System, event)
    }

    fn view(letters: Vec<NewEvent>) -> DeadLetterView {
        let events = EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer));
        block_on(events.append(letters, None)).unwrap();
        DeadLetterView::new(events)
    }

    #[test]
    fn letters_are_listed_in_pages_by_processor_and_position() {
        let view = view(vec![
            failed("route", 9, "b", "permanent"),
            failed("embed", 7, "a", "exhausted"),
            failed("embed", 3, "c", "crashed"),
            failed("embed", 8, "a", "waiting"),
        ]);
        view.look(|letters| {
            let first = letters.list(None, None, 2);
            let offsets: Vec<_> = first.iter().map(|letter| letter.parked.position.offset).collect();
            assert_eq!(offsets, [3, 7]);
            let after = (first[1].processor.as_str(), first[1].parked.position);
            let rest = letters.list(None, Some(after), 10);
            let names: Vec<_> =
                rest.iter().map(|letter| (letter.processor.as_str(), letter.parked.position.offset)).collect();
            assert_eq!(names, [("embed", 8), ("route", 9)]);
            assert_eq!((rest[0].head, rest[0].parked.class), (at(7), FailureClass::Waiting));
            assert_eq!(letters.list(Some("route"), None, 10).len(), 1);
            let counts = letters.counts();
            assert_eq!((counts[0].events, counts[0].keys, counts[0].oldest_at), (3, 2, 1_003));
        })
        .unwrap();
    }

    #[test]
    fn a_letter_says_what_went_wrong() {
        let view = view(vec![failed("embed", 7, "a", "exhausted")]);
        let letter = view.look(|letters| letters.get("embed", at(7))).unwrap().unwrap();
        assert_eq!(view.read(&letter).unwrap().unwrap().error, "error of 7");
    }

    #[test]
    fn what_is_discarded_is_gone_and_what_waited_is_driven() {
        let view = view(vec![failed("embed", 7, "a", "permanent"), failed("embed", 8, "a", "waiting")]);
        let append = |event| drop(block_on(view.events.append(vec![event], None)).unwrap());
        append(redrive_requested("/test", "embed", at(8), "a"));
        assert!(view.look(|letters| letters.get("embed", at(7))).unwrap().unwrap().is_driven);
        append(dead_letter_discarded("/test", "embed", at(7), "a", "ada", "it is a duplicate"));
        assert_eq!(view.look(|letters| letters.get("embed", at(7))).unwrap(), None);
        let next = view.look(|letters| letters.get("embed", at(8))).unwrap().unwrap();
        assert_eq!((next.head, next.is_driven), (at(8), true));
    }

    #[test]
    fn a_letter_with_an_impossible_position_is_passed_over() {
        let view = view(vec![failed("embed", -7, "a", "permanent")]);
        assert!(view.look(|letters| letters.list(None, None, 10)).unwrap().is_empty());
    }
}
