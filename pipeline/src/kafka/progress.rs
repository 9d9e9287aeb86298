//! How far the processors are: of the messages on the topic of progress, the last one about each.
//!
//! Owns: what is known of that from what was read and from what was delivered, and what this process has under way.
//! Never: writes to the topic.

use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use meshlog_schemas::{Checkpoints, Offset};

use crate::{
    lock::lock,
    processor::stage_of,
    record::{ProcessorProgress, StoredProgress},
    signal::Signal,
};

/// The progress of all processors, here and elsewhere, as far as this process knows by now.
#[derive(Default)]
pub(super) struct KnownProgress {
    read: Mutex<Read>,
    /// Notified when more of the topic was read.
    moved: Condvar,
    changed: Signal,
    /// What was sent last of a processor's progress, while any of it is under way, and how often.
    sent: Mutex<HashMap<String, (usize, StoredProgress)>>,
}

#[derive(Default)]
struct Read {
    /// With the offset of the message that said it.
    of: HashMap<String, (i64, StoredProgress)>,
    /// Behind the last message that was read.
    next: Offset,
}

impl KnownProgress {
    /// That of a processor.
    pub(super) fn of(&self, processor: &str) -> StoredProgress {
        lock(&self.read).of.get(processor).map(|(_, stored)| stored.clone()).unwrap_or_default()
    }

    /// How far a stage is, by all who have its partitions.
    pub(super) fn stage(&self, stage: &str) -> Checkpoints {
        let mut all = Checkpoints::default();
        for (name, (_, stored)) in &lock(&self.read).of {
            if stage_of(name) == stage {
                stored.checkpoints.iter().for_each(|(partition, next)| all.advance(partition, next));
            }
        }
        all
    }

    /// The names of all that have made progress, in their order.
    pub(super) fn processors(&self) -> Vec<String> {
        let mut names: Vec<String> = lock(&self.read).of.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Rung when a processor has made progress.
    pub(super) fn changed(&self) -> &Signal {
        &self.changed
    }

    /// All that is to be said of a processor with this progress: a message takes the place of those before, also of one that
    /// is still under way. To be followed by [`has_arrived`](Self::has_arrived).
    pub(super) fn to_send(&self, progress: ProcessorProgress) -> StoredProgress {
        let known = self.of(&progress.processor);
        let mut sent = lock(&self.sent);
        let (under_way, stored) = sent.entry(progress.processor.clone()).or_insert_with(|| (0, known.clone()));
        *under_way += 1;
        known.checkpoints.iter().for_each(|(partition, next)| stored.checkpoints.advance(partition, next));
        stored.merge(progress);
        stored.clone()
    }

    /// One of the messages about a processor's progress is under way no more.
    pub(super) fn has_arrived(&self, processor: &str) {
        let mut sent = lock(&self.sent);
        if let Some((under_way, _)) = sent.get_mut(processor) {
            *under_way -= 1;
            if *under_way == 0 {
                sent.remove(processor);
            }
        }
    }

    /// A message about a processor's progress stands at `offset`. The last one counts; deliveries and the follower come by
    /// the same one, and not in one order.
    pub(super) fn learn(&self, processor: String, offset: i64, mut stored: StoredProgress) {
        let mut read = lock(&self.read);
        let (last, known) = read.of.entry(processor).or_insert_with(|| (-1, StoredProgress::default()));
        if offset > *last {
            known.checkpoints.iter().for_each(|(partition, next)| stored.checkpoints.advance(partition, next));
            (*last, *known) = (offset, stored);
        }
        drop(read);
        self.changed.ring();
    }

    /// The topic was read up to `next`.
    pub(super) fn is_read_to(&self, next: Offset) {
        let mut read = lock(&self.read);
        read.next = read.next.max(next);
        self.moved.notify_all();
    }

    /// Waits until the topic is read up to `end`.
    ///
    /// # Errors
    /// It is not in time; how far it is read then.
    pub(super) fn wait_until_read_to(&self, end: Offset, patience: Duration) -> Result<(), Offset> {
        let deadline = Instant::now() + patience;
        let mut read = lock(&self.read);
        while read.next < end {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(read.next);
            }
            read = self.moved.wait_timeout(read, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};

    use super::*;

    const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };

    fn at(next: Offset) -> ProcessorProgress {
        let mut checkpoints = Checkpoints::default();
        checkpoints.advance(PARTITION, next);
        ProcessorProgress { processor: "route/0".to_owned(), checkpoints, note: None }
    }

    #[test]
    fn what_is_sent_holds_what_is_still_under_way() {
        let progress = KnownProgress::default();
        let first = progress.to_send(at(7));
        let second = progress.to_send(at(5));
        assert_eq!((first.checkpoints.next(PARTITION), second.checkpoints.next(PARTITION)), (7, 7));
        progress.has_arrived("route/0");
        progress.has_arrived("route/0");
        assert_eq!(progress.to_send(at(3)).checkpoints.next(PARTITION), 3, "nothing of it is known but what was sent");
    }

    #[test]
    fn the_last_message_counts_in_whatever_order_they_are_learnt() {
        let progress = KnownProgress::default();
        let (first, second) = (progress.to_send(at(7)), progress.to_send(at(9)));
        progress.learn("route/0".to_owned(), 1, second);
        progress.learn("route/0".to_owned(), 0, first);
        assert_eq!(progress.of("route/0").checkpoints.next(PARTITION), 9);
        assert_eq!((progress.stage("route").next(PARTITION), progress.processors()), (9, vec!["route/0".to_owned()]));
    }
}
