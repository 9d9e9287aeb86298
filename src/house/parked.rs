//! Parked: the dead letters that nobody has settled yet, for those who look at them.
//!
//! Owns: the fold over the topic `dead-letters` with all that people want to see. It keeps the queues that the processor
//! keeps: those of one processor and key stand in the order of the log, and the first is what the others wait behind.
//! Never: settles anything. That is the processor's, which reads the same topic.

use std::collections::{BTreeMap, BTreeSet};

use meshlog_connectors::api::DeadLetterId;
use meshlog_pipeline::StoredEvent;
use meshlog_schemas::{Event, EventFailed, Partition, Position};

/// A dead letter as it was last reported.
#[derive(Debug)]
pub(super) struct Letter {
    /// Names it.
    pub(super) id: DeadLetterId,
    /// What the processor wrote.
    pub(super) failed: EventFailed,
    /// Where the first report of it stands.
    pub(super) first: Position,
}

/// Everything that is parked.
#[derive(Debug, Default)]
pub(super) struct Parked {
    /// By processor and ordering key. Invariant: no queue is empty.
    queues: BTreeMap<(String, String), Queue>,
    /// The ordering key of each dead letter.
    keys: BTreeMap<DeadLetterId, String>,
    /// Discarded while the processor may have been at work on them: should they fail after all, they stay gone.
    discarded: BTreeSet<DeadLetterId>,
}

/// The dead letters of one processor and key.
#[derive(Debug, Default)]
struct Queue {
    letters: BTreeMap<Position, Letter>,
    /// Whether the processor is to try the first of them.
    is_driven: bool,
}

impl Parked {
    /// Folds in what the topic says. Foreign reports that name no position are passed over.
    pub(super) fn observe(&mut self, event: &StoredEvent) {
        match &event.event {
            Event::EventFailed(failed) => {
                let Some(id) = named(&failed.processor, &failed.topic, failed.partition, failed.offset) else { return };
                self.failed(id, failed, event.position);
            }
            Event::RedriveRequested(asked) => {
                if let Some(queue) = self.queues.get_mut(&(asked.processor.clone(), asked.key.clone())) {
                    queue.is_driven = true;
                }
            }
            Event::DeadLetterRedriven(done) => {
                let Some(id) = named(&done.processor, &done.topic, done.partition, done.offset) else { return };
                self.discarded.remove(&id);
                self.remove(&id);
            }
            Event::DeadLetterDiscarded(done) => {
                let Some(id) = named(&done.processor, &done.topic, done.partition, done.offset) else { return };
                self.discard(&id);
            }
            _ => {}
        }
    }

    /// All of them, in no order that means anything.
    pub(super) fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.queues.values().flat_map(|queue| queue.letters.values())
    }

    /// The dead letter of this id.
    pub(super) fn get(&self, id: &DeadLetterId) -> Option<&Letter> {
        let key = self.keys.get(id)?;
        self.queues.get(&(id.processor.clone(), key.clone()))?.letters.get(&id.position)
    }

    /// What the letter waits behind; itself when it is the first.
    pub(super) fn head<'a>(&'a self, letter: &'a Letter) -> &'a Letter {
        self.queue(letter).and_then(|queue| queue.letters.values().next()).unwrap_or(letter)
    }

    /// How many wait behind the letter, if it is the first.
    pub(super) fn waiting(&self, letter: &Letter) -> u64 {
        self.queue(letter).map_or(0, |queue| queue.letters.len() as u64 - 1)
    }

    fn queue(&self, letter: &Letter) -> Option<&Queue> {
        self.queues.get(&(letter.id.processor.clone(), letter.failed.key.clone()))
    }

    fn failed(&mut self, id: DeadLetterId, failed: &EventFailed, at: Position) {
        if self.discarded.remove(&id) {
            return;
        }
        let queue = self.queues.entry((id.processor.clone(), failed.key.clone())).or_default();
        // It waits for what was settled in the meantime.
        queue.is_driven |= queue.letters.is_empty() && failed.class == "waiting";
        let known = queue.letters.get(&id.position).map(|letter| letter.first);
        if known.is_some() {
            // It was tried again in vain.
            queue.is_driven = false;
        }
        self.keys.insert(id.clone(), failed.key.clone());
        let letter = Letter { id: id.clone(), failed: failed.clone(), first: known.unwrap_or(at) };
        queue.letters.insert(id.position, letter);
    }

    fn discard(&mut self, id: &DeadLetterId) {
        let Some(letter) = self.get(id) else { return };
        let is_head = self.head(letter).id == *id;
        let key = (id.processor.clone(), letter.failed.key.clone());
        if let Some(queue) = self.queues.get_mut(&key).filter(|_| is_head) {
            if queue.is_driven {
                self.discarded.insert(id.clone());
            }
            queue.is_driven = true;
        }
        self.remove(id);
    }

    fn remove(&mut self, id: &DeadLetterId) {
        let Some(key) = self.keys.remove(id) else { return };
        let key = (id.processor.clone(), key);
        let Some(queue) = self.queues.get_mut(&key) else { return };
        queue.letters.remove(&id.position);
        if queue.letters.is_empty() {
            self.queues.remove(&key);
        }
    }
}

fn named(processor: &str, topic: &str, partition: i32, offset: i64) -> Option<DeadLetterId> {
    let partition = Partition { topic: topic.parse().ok()?, id: partition.try_into().ok()? };
    let position = Position { partition, offset: offset.try_into().ok()? };
    Some(DeadLetterId { processor: processor.to_owned(), position })
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{DeadLetterDiscarded, DeadLetterRedriven, RedriveRequested, Topic};

    use super::*;

    fn id(offset: u64) -> DeadLetterId {
        let partition = Partition { topic: Topic::Messages, id: 0 };
        DeadLetterId { processor: "route".into(), position: Position { partition, offset } }
    }

    fn failed(offset: i64, class: &str) -> Event {
        Event::EventFailed(EventFailed {
            processor: "route".into(),
            topic: "messages".into(),
            partition: 0,
            offset,
            key: "k".into(),
            event_id: String::new(),
            event_type: String::new(),
            class: class.into(),
            error: "no".into(),
            attempts: 1,
            failed_at: 1,
            head_offset: -1,
        })
    }

    fn redrive_requested(offset: i64) -> Event {
        let (processor, topic, key) = ("route".into(), "messages".into(), "k".into());
        Event::RedriveRequested(RedriveRequested { processor, topic, partition: 0, offset, key })
    }

    fn redriven(offset: i64) -> Event {
        let (processor, topic, key) = ("route".into(), "messages".into(), "k".into());
        Event::DeadLetterRedriven(DeadLetterRedriven { processor, topic, partition: 0, offset, key, attempts: 2 })
    }

    fn discarded(offset: i64) -> Event {
        let (processor, topic, key) = ("route".into(), "messages".into(), "k".into());
        let (author, reason) = ("Ada".into(), "old".into());
        Event::DeadLetterDiscarded(DeadLetterDiscarded { processor, topic, partition: 0, offset, key, author, reason })
    }

    /// What is parked after these events: offset, what it waits behind, how many wait.
    fn check(events: &[Event], expected: &[(u64, Option<u64>, u64)]) {
        let log = meshlog_pipeline::EventLog::new(
            std::sync::Arc::new(meshlog_pipeline::MemoryLog::new(meshlog_pipeline::default_layout())),
            std::sync::Arc::new(meshlog_pipeline::ClearSealer),
        );
        let new = |event: &Event| {
            meshlog_pipeline::NewEvent::first(
                meshlog_schemas::EventId::fresh(),
                "/test",
                meshlog_schemas::Trust::System,
                event.clone(),
            )
        };
        pollster::block_on(log.append(events.iter().map(new).collect(), None)).expect("the log takes events");
        let mut feed = meshlog_pipeline::Feed::new(log, &[Topic::DeadLetters], meshlog_schemas::Checkpoints::default());
        let mut parked = Parked::default();
        let batch = feed.next(meshlog_pipeline::BATCH_LIMIT, None).expect("the log can be read");
        batch.entries.iter().flatten().for_each(|event| parked.observe(event));
        let found: Vec<_> = parked
            .letters()
            .map(|letter| {
                let head = parked.head(letter).id.position.offset;
                let offset = letter.id.position.offset;
                assert_eq!(parked.get(&letter.id).map(|found| &found.id), Some(&letter.id));
                match head == offset {
                    true => (offset, None, parked.waiting(letter)),
                    false => (offset, Some(head), 0),
                }
            })
            .collect();
        assert_eq!(found, expected);
        assert!(parked.get(&id(99)).is_none());
    }

    #[test]
    fn later_events_of_a_key_wait_behind_the_one_that_failed() {
        let events = [failed(3, "permanent"), failed(5, "waiting"), failed(6, "waiting")];
        check(&events, &[(3, None, 2), (5, Some(3), 0), (6, Some(3), 0)]);
    }

    #[test]
    fn what_is_redriven_or_discarded_is_gone_and_the_next_is_the_head() {
        let mut events = vec![failed(3, "permanent"), failed(5, "waiting"), failed(6, "waiting")];
        events.extend([redrive_requested(3), redriven(3)]);
        check(&events, &[(5, None, 1), (6, Some(5), 0)]);
        events.push(discarded(6));
        check(&events, &[(5, None, 0)]);
        events.push(discarded(5));
        check(&events, &[]);
    }

    #[test]
    fn a_redrive_in_vain_leaves_it_where_it_was() {
        check(&[failed(3, "permanent"), redrive_requested(3), failed(3, "exhausted")], &[(3, None, 0)]);
    }

    #[test]
    fn one_that_fails_after_it_was_discarded_stays_gone() {
        check(&[failed(3, "permanent"), redrive_requested(3), discarded(3), failed(3, "exhausted")], &[]);
        // Without a redrive nothing was at work on it: a failure then is a new one.
        check(&[failed(3, "permanent"), discarded(3), failed(3, "permanent")], &[(3, None, 0)]);
    }

    #[test]
    fn reports_that_name_no_place_are_passed_over() {
        check(&[failed(-1, "permanent"), redriven(7), discarded(8)], &[]);
    }
}
