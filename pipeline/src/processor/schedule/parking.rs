//! Parking: which events of one processor are dead letters, by key, in order.
//!
//! Owns: the fold over the dead-letters topic. It is the same fold for the runner, which acts on it, and for those who
//! list dead letters, so both see the same queues.
//! Never: holds more of an event than where it stands; the rest is read from the log.
//!
//! A key's queue begins with the event that failed; the events behind it wait. A queue is *driven* when its head is to
//! be processed: a person asked, or what it waited for is settled.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use meshlog_schemas::Position;

/// Why an event is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// It cannot be read.
    Unreadable,
    /// The stage said that it never can be processed.
    Permanent,
    /// It failed as often as it may be tried.
    Exhausted,
    /// The program ended while it was at work on it, as often as it may be started.
    Crashed,
    /// It waits behind an earlier event of its key.
    Waiting,
}

impl FailureClass {
    /// All of them.
    pub const ALL: [FailureClass; 5] = [
        FailureClass::Unreadable,
        FailureClass::Permanent,
        FailureClass::Exhausted,
        FailureClass::Crashed,
        FailureClass::Waiting,
    ];

    /// The word written in the dead letter.
    pub const fn name(self) -> &'static str {
        match self {
            FailureClass::Unreadable => "unreadable",
            FailureClass::Permanent => "permanent",
            FailureClass::Exhausted => "exhausted",
            FailureClass::Crashed => "crashed",
            FailureClass::Waiting => "waiting",
        }
    }

    /// The class with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// A parked event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// Where the event stands.
    pub position: Position,
    /// Why it is parked.
    pub class: FailureClass,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked first; microseconds since the epoch.
    pub since: i64,
    /// Where its newest dead letter stands.
    pub letter: Position,
}

/// What a record on the dead-letters topic says of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Arc<str>,
    pub(crate) position: Position,
    pub(crate) kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// The processor could not process it, or holds it back.
    Failed { class: FailureClass, attempts: u32, at: i64, letter: Position },
    /// A person asks to try again.
    RedriveRequested,
    /// The processor has processed it after all.
    Redriven,
    /// A person lets it go.
    Discarded,
}

/// The parked events of one key; never empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    parked: BTreeMap<Position, Parked>,
    driven: bool,
}

impl Queue {
    /// The event that the others wait behind.
    pub(crate) fn head(&self) -> &Parked {
        // Invariant: a queue is removed with its last event.
        self.parked.values().next().expect("a queue holds an event")
    }

    /// Whether the head is to be processed now.
    pub(crate) fn is_driven(&self) -> bool {
        self.driven
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Parked> {
        self.parked.values()
    }
}

/// The dead letters of one processor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parking {
    queues: HashMap<Arc<str>, Queue>,
    /// Events that were let go while the processor may have been at work on them: should it fail after all, they stay
    /// gone.
    discarded: BTreeSet<Position>,
    count: usize,
}

impl Parking {
    /// The queue of a key, if it has parked events.
    pub(crate) fn queue(&self, key: &str) -> Option<&Queue> {
        self.queues.get(key)
    }

    /// All queues with their keys, in no order.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&Arc<str>, &Queue)> {
        self.queues.iter()
    }

    /// The parked event at a position.
    pub(crate) fn get(&self, key: &str, position: Position) -> Option<&Parked> {
        self.queues.get(key)?.parked.get(&position)
    }

    /// Whether nothing would be lost with it: it remembers no event that was let go.
    pub(crate) fn is_forgetful(&self) -> bool {
        self.discarded.is_empty()
    }

    /// How many events are parked.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// When the event was parked that has been so for longest. Heads are the oldest of their queues.
    pub(crate) fn oldest(&self) -> Option<i64> {
        self.queues.values().map(|queue| queue.head().since).min()
    }

    /// Folds in a record of the topic. What is not parked cannot be redriven or discarded; asking is harmless.
    pub(crate) fn apply(&mut self, change: &Change) {
        let position = change.position;
        match change.kind {
            ChangeKind::Failed { class, attempts, at, letter } => {
                if self.discarded.remove(&position) {
                    return;
                }
                let queue = self.queues.entry(change.key.clone()).or_default();
                // What it waits for was settled in the meantime.
                queue.driven |= queue.parked.is_empty() && class == FailureClass::Waiting;
                let since = queue.parked.get(&position).map(|parked| parked.since);
                let parked = Parked { position, class, attempts, since: since.unwrap_or(at), letter };
                queue.parked.insert(position, parked);
                match since {
                    // It was tried again in vain: the queue stands until somebody asks again.
                    Some(_) => queue.driven = false,
                    None => self.count += 1,
                }
            }
            ChangeKind::RedriveRequested => {
                if let Some(queue) = self.queues.get_mut(&change.key)
                    && queue.parked.contains_key(&position)
                {
                    queue.driven = true;
                }
            }
            ChangeKind::Redriven => {
                self.discarded.remove(&position);
                self.remove(&change.key, position);
            }
            ChangeKind::Discarded => {
                let Some(queue) = self.queues.get_mut(&change.key) else { return };
                if queue.head().position == position {
                    if queue.driven {
                        self.discarded.insert(position);
                    }
                    queue.driven = true;
                }
                self.remove(&change.key, position);
            }
        }
    }

    fn remove(&mut self, key: &str, position: Position) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        if queue.parked.remove(&position).is_some() {
            self.count -= 1;
        }
        if queue.parked.is_empty() {
            self.queues.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};

    use super::*;

    fn at(offset: u64) -> Position {
        Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset }
    }

    fn apply(parking: &mut Parking, offset: u64, kind: ChangeKind) {
        parking.apply(&Change { key: "k".into(), position: at(offset), kind });
    }

    fn failed(class: FailureClass) -> ChangeKind {
        ChangeKind::Failed { class, attempts: 1, at: 7, letter: at(99) }
    }

    fn parked(parking: &Parking) -> Vec<u64> {
        parking.queue("k").map(|queue| queue.iter().map(|parked| parked.position.offset).collect()).unwrap_or_default()
    }

    fn is_driven(parking: &Parking) -> bool {
        parking.queue("k").is_some_and(Queue::is_driven)
    }

    #[test]
    fn a_redrive_goes_on_through_the_queue_by_itself() {
        let mut parking = Parking::default();
        apply(&mut parking, 3, failed(FailureClass::Permanent));
        apply(&mut parking, 5, failed(FailureClass::Waiting));
        assert!(!is_driven(&parking));
        apply(&mut parking, 5, ChangeKind::RedriveRequested);
        assert!(is_driven(&parking), "to ask for one that waits is to ask for its head");
        apply(&mut parking, 3, ChangeKind::Redriven);
        assert_eq!((parked(&parking), is_driven(&parking)), (vec![5], true));
        apply(&mut parking, 5, ChangeKind::Redriven);
        assert!(parking.queue("k").is_none());
        assert_eq!(parking.count(), 0);
    }

    #[test]
    fn a_redrive_that_fails_leaves_the_queue_standing() {
        let mut parking = Parking::default();
        apply(&mut parking, 3, failed(FailureClass::Permanent));
        apply(&mut parking, 3, ChangeKind::RedriveRequested);
        apply(&mut parking, 3, failed(FailureClass::Permanent));
        assert_eq!((parked(&parking), is_driven(&parking), parking.count()), (vec![3], false, 1));
    }

    #[test]
    fn discarding_the_head_lets_the_next_run_and_discarding_another_does_not() {
        let mut parking = Parking::default();
        apply(&mut parking, 3, failed(FailureClass::Permanent));
        apply(&mut parking, 5, failed(FailureClass::Waiting));
        apply(&mut parking, 6, failed(FailureClass::Waiting));
        apply(&mut parking, 5, ChangeKind::Discarded);
        assert_eq!((parked(&parking), is_driven(&parking)), (vec![3, 6], false));
        apply(&mut parking, 3, ChangeKind::Discarded);
        assert_eq!((parked(&parking), is_driven(&parking)), (vec![6], true));
    }

    #[test]
    fn one_that_fails_after_it_was_discarded_stays_gone() {
        let mut parking = Parking::default();
        apply(&mut parking, 3, failed(FailureClass::Permanent));
        apply(&mut parking, 3, ChangeKind::RedriveRequested);
        apply(&mut parking, 3, ChangeKind::Discarded);
        apply(&mut parking, 3, failed(FailureClass::Exhausted));
        assert!(parked(&parking).is_empty());
    }

    #[test]
    fn one_that_waits_for_what_is_settled_is_driven() {
        let mut parking = Parking::default();
        apply(&mut parking, 5, failed(FailureClass::Waiting));
        assert!(is_driven(&parking));
    }

    #[test]
    fn asking_for_what_is_not_parked_changes_nothing() {
        let mut parking = Parking::default();
        apply(&mut parking, 3, failed(FailureClass::Permanent));
        for kind in [ChangeKind::RedriveRequested, ChangeKind::Redriven, ChangeKind::Discarded] {
            apply(&mut parking, 4, kind);
        }
        assert_eq!((parked(&parking), is_driven(&parking)), (vec![3], false));
    }
}
