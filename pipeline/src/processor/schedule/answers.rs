//! Answers: what becomes of events that a lane has processed, or failed to.

use std::{sync::Arc, time::Duration};

use meshlog_schemas::Position;

use super::{End, Failure, FailureClass, Letter, Outcome, Schedule, Task, Verdict, Work, backoff, keys::Retry};

impl Schedule {
    /// Takes in what a lane answered for its work.
    pub(crate) fn finish(&mut self, work: Work, answer: Result<(), Failure>, now: Duration) {
        self.works -= 1;
        self.is_exclusive &= !work.is_exclusive;
        if work.is_noted {
            self.version += 1;
            work.tasks.iter().for_each(|task| {
                self.tries.entry(task.position).and_modify(|tries| tries.started = tries.started.saturating_sub(1));
            });
        }
        let is_single = work.tasks.len() == 1;
        for task in work.tasks {
            match &answer {
                Ok(()) => self.succeed(task),
                Err(failure) => {
                    self.at_work.remove(task.bytes);
                    if failure.verdict == Verdict::Later {
                        self.postpone(&task.key, task.position, task.is_parked, now);
                    } else if is_single {
                        self.fail(&task.key, task.position, task.is_parked, failure, now);
                    } else {
                        self.keys.entry(&task.key).put_back_alone(task.position);
                    }
                    self.settle(&task.key);
                }
            }
        }
    }

    fn succeed(&mut self, task: Task) {
        let Task { position, key, is_parked, bytes } = task;
        let end = match self.parking.get(&key, position) {
            Some(parked) if is_parked => {
                let failed = self.tries.get(&position).map_or(0, |tries| tries.failed);
                End::Redriven { attempts: parked.attempts + failed + 1 }
            }
            _ if is_parked => return self.drop_redrive(&key, position, bytes),
            _ => End::Done,
        };
        self.outcomes.push_back(Outcome { position, key, end, bytes });
    }

    /// It was discarded while it was at work: nothing of it counts.
    fn drop_redrive(&mut self, key: &Arc<str>, position: Position, bytes: usize) {
        self.at_work.remove(bytes);
        self.forget(position);
        self.keys.entry(key).redriving = None;
        self.settle(key);
    }

    /// An event is put back as it was, to be picked again later. Of several of one key the first has the others wait.
    fn postpone(&mut self, key: &Arc<str>, position: Position, is_parked: bool, now: Duration) {
        let (at, version) = (now + self.settings.later, self.durable);
        let is_discarded = is_parked && self.parking.get(key, position).is_none();
        let state = self.keys.entry(key);
        state.put_back(position);
        if is_discarded {
            return self.forget(position);
        }
        state.retry.get_or_insert(Retry { position, at, version });
    }

    pub(super) fn forget(&mut self, position: Position) {
        if self.tries.remove(&position).is_some() {
            self.version += 1;
        }
    }

    /// An event failed by itself: it waits for the next try, or is parked.
    pub(super) fn fail(
        &mut self,
        key: &Arc<str>,
        position: Position,
        is_parked: bool,
        failure: &Failure,
        now: Duration,
    ) {
        if is_parked && self.parking.get(key, position).is_none() {
            self.keys.entry(key).redriving = None;
            return self.forget(position);
        }
        let tries = self.tries.entry(position).or_default();
        tries.failed += 1;
        let failed = tries.failed;
        self.version += 1;
        let class = match failure.verdict {
            Verdict::Never => FailureClass::Permanent,
            _ if failed >= self.settings.most_attempts => FailureClass::Exhausted,
            _ => {
                let chance = backoff::chance(self.seed, position, failed);
                let at = now + self.settings.backoff.pause(failed, chance);
                let state = self.keys.entry(key);
                state.put_back(position);
                state.retry = Some(Retry { position, at, version: self.version });
                return;
            }
        };
        self.park(key, position, is_parked, class, failure.error.clone());
    }

    pub(super) fn park_crashed(&mut self, key: &Arc<str>, position: Position, is_parked: bool) {
        let starts = self.tries.get(&position).map_or(0, |tries| tries.started);
        let error = format!("the program ended {starts} times while it was at work on this event");
        self.keys.begin(key, position, is_parked);
        self.park(key, position, is_parked, FailureClass::Crashed, error);
        self.settle(key);
    }

    /// Makes an event that is busy a dead letter.
    fn park(&mut self, key: &Arc<str>, position: Position, is_parked: bool, class: FailureClass, error: String) {
        let tries = self.tries.get(&position).copied().unwrap_or_default();
        let before = self.parking.get(key, position).filter(|_| is_parked).map_or(0, |parked| parked.attempts);
        let attempts = before + tries.failed + tries.started;
        let letter = Letter { class, error, attempts, head: None };
        let end = if is_parked { End::FailedAgain(letter) } else { End::Parked(letter) };
        if !is_parked {
            self.keys.entry(key).unseen += 1;
        }
        self.outcomes.push_back(Outcome { position, key: key.clone(), end, bytes: 0 });
    }
}
