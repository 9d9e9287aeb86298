//! Picking: which events are processed next, and when their start must be durable first.

use std::{sync::Arc, time::Duration};

use meshlog_schemas::Position;

use super::{Load, PARKED_BYTES, Schedule, Task, Work};

impl Schedule {
    /// The next work for a lane, if any may begin.
    pub(crate) fn next_work(&mut self, now: Duration) -> Option<Work> {
        while let Some(work) = self.pick(now) {
            self.grant(work);
        }
        while self.granted.front().is_some_and(|(version, _)| *version <= self.durable) {
            let (_, work) = self.granted.pop_front()?;
            let is_gone = |task: &Task| task.is_parked && self.parking.get(&task.key, task.position).is_none();
            if !work.tasks.iter().any(is_gone) {
                return Some(work);
            }
            // It was discarded before it began. A parked event is always work of its own.
            self.finish(work, Ok(()), now);
        }
        None
    }

    fn grant(&mut self, mut work: Work) {
        let is_careful = |task: &Task| {
            task.is_parked || task.position.offset < self.careful.next(task.position.partition) || work.is_exclusive
        };
        work.is_noted = work.tasks.iter().any(is_careful);
        if work.is_noted {
            work.tasks.iter().for_each(|task| self.tries.entry(task.position).or_default().started += 1);
        }
        if work.is_noted || self.running_since.is_none() {
            self.version += 1;
        }
        let running_since = *self.running_since.get_or_insert(self.version);
        self.works += 1;
        self.is_exclusive = work.is_exclusive;
        work.tasks.iter().for_each(|task| self.at_work.add(task.bytes));
        let needed = if work.is_noted { self.version } else { running_since };
        self.granted.push_back((needed, work));
    }

    fn pick(&mut self, now: Duration) -> Option<Work> {
        self.wake(now);
        let begun = *self.begun.get_or_insert(now);
        self.calm_until = None;
        let lanes = self.settings.lanes.max(1);
        if self.is_ending || self.is_exclusive || self.works >= 2 * lanes {
            return None;
        }
        let mut work = Work::default();
        let mut size = Load::default();
        for _ in 0..self.ready.len().div_ceil(lanes) {
            let Some((place, key)) = self.ready.peek().map(|(place, key)| (place, key.clone())) else { break };
            let (position, bytes, is_parked, is_alone) = self.head(&key);
            if self.doomed.remove(&position) {
                self.ready.remove(place);
                self.ready.picked();
                self.park_crashed(&key, position, is_parked);
                continue;
            }
            let is_suspect = self.suspects.contains(&position);
            if (is_suspect || is_alone) && !work.tasks.is_empty() || is_suspect && self.works > 0 {
                break;
            }
            if is_suspect {
                let started = self.tries.get(&position).map_or(0, |tries| tries.started);
                let calm_until = begun + self.settings.calm * started;
                if now < calm_until {
                    self.calm_until = Some(calm_until);
                    break;
                }
            }
            if !self.has_room(size, bytes) {
                break;
            }
            self.ready.remove(place);
            self.ready.picked();
            if is_parked || is_suspect || is_alone {
                self.keys.begin(&key, position, is_parked);
                self.suspects.remove(&position);
                let tasks = vec![Task { position, key, is_parked, bytes }];
                return Some(Work { tasks, is_noted: false, is_exclusive: is_suspect });
            }
            self.take_run(&key, &mut work, &mut size);
        }
        (!work.tasks.is_empty()).then_some(work)
    }

    /// The event of a ready key that is next: position, size, whether it is parked, whether it must run by itself.
    fn head(&mut self, key: &Arc<str>) -> (Position, usize, bool, bool) {
        match (self.parking.queue(key), self.keys.entry(key).queue.front()) {
            (Some(queue), _) => (queue.head().position, PARKED_BYTES, true, true),
            (None, Some(slot)) => (slot.position, slot.bytes, false, slot.is_alone),
            // Invariant: a key is ready only with a head.
            (None, None) => unreachable!("a ready key has a head"),
        }
    }

    /// Takes events of one key that follow each other, as many as fit.
    fn take_run(&mut self, key: &Arc<str>, work: &mut Work, size: &mut Load) {
        loop {
            let state = self.keys.entry(key);
            let Some(slot) = state.queue.get(state.busy) else { return };
            let (position, bytes) = (slot.position, slot.bytes);
            let stands_apart = slot.is_alone || slot.error.is_some();
            let is_known = self.suspects.contains(&position) || self.doomed.contains(&position);
            if stands_apart || is_known || !self.has_room(*size, bytes) {
                return;
            }
            self.keys.begin(key, position, false);
            size.add(bytes);
            work.tasks.push(Task { position, key: key.clone(), is_parked: false, bytes });
        }
    }

    /// Whether one more event fits into a batch of this size and into what may be at work.
    fn has_room(&self, size: Load, bytes: usize) -> bool {
        let all = Load { events: self.at_work.events + size.events, bytes: self.at_work.bytes + size.bytes };
        size.has_room(bytes, self.settings.batch) && all.has_room(bytes, self.settings.most_at_work())
    }

    /// Moves keys whose retry is due, and whose failures are durable, to the ready ones.
    fn wake(&mut self, now: Duration) {
        let due: Vec<_> = self.sleeping.range(..=(now, u64::MAX)).map(|(_, key)| key.clone()).collect();
        for key in due {
            let state = self.keys.entry(&key);
            if state.retry.is_some_and(|retry| retry.version <= self.durable) {
                state.retry = None;
                self.settle(&key);
            }
        }
    }
}
