//! Committing: what is appended together, and what follows when it is durable or refused.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshlog_schemas::{Offset, Partition};

use super::{Commit, End, Failure, Note, Outcome, Ranges, Schedule};

/// A commit under way.
pub(super) struct Pending {
    commit: Commit,
    windows: Vec<(Partition, Offset, Ranges)>,
    version: u64,
}

impl Schedule {
    /// What is to be appended now, if anything. One commit is under way at a time: it ends with [`Self::committed`] or
    /// [`Self::refused`].
    pub(crate) fn commit(&mut self) -> Option<Commit> {
        if self.pending.is_some() || (self.outcomes.is_empty() && self.version == self.durable) {
            return None;
        }
        let count = if self.singly > 0 { 1 } else { self.outcomes.len() };
        let outcomes: Vec<Outcome> = self.outcomes.drain(..count.min(self.outcomes.len())).collect();
        let mut windows: BTreeMap<Partition, (Offset, Ranges)> =
            self.windows.iter().map(|(partition, window)| (*partition, (window.low, window.done.clone()))).collect();
        let mut tries = self.tries.clone();
        for outcome in &outcomes {
            tries.remove(&outcome.position);
            let is_in_window = matches!(outcome.end, End::Done | End::Skipped | End::Parked(_));
            if let Some((_, done)) = windows.get_mut(&outcome.position.partition).filter(|_| is_in_window) {
                done.insert(outcome.position.offset, outcome.position.offset + 1);
            }
        }
        windows.values_mut().for_each(|(low, done)| *low = done.absorb(*low));
        let checkpoints = windows.iter().map(|(partition, (low, _))| (*partition, *low)).collect();
        let done = windows.iter().map(|(partition, (_, done))| (*partition, done.clone())).collect();
        let note = Note { running: self.running_since.is_some(), done, tries }.to_text();
        let windows = windows.into_iter().map(|(partition, (low, done))| (partition, low, done)).collect();
        let commit = Commit { outcomes, checkpoints, note };
        self.pending = Some(Pending { commit: commit.clone(), windows, version: self.version });
        Some(commit)
    }

    /// The commit under way is durable.
    pub(crate) fn committed(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        self.durable = pending.version;
        self.singly = self.singly.saturating_sub(1);
        for (partition, low, done) in pending.windows {
            if let Some(window) = self.windows.get_mut(&partition) {
                (window.low, window.done) = (low, done);
                window.next = window.next.max(low);
                window.passed = 0;
            }
        }
        for outcome in pending.commit.outcomes {
            self.tries.remove(&outcome.position);
            if matches!(outcome.end, End::Done | End::Redriven { .. }) {
                self.at_work.remove(outcome.bytes);
            }
            let window = self.windows.get_mut(&outcome.position.partition);
            match (outcome.end, window) {
                (End::Skipped, Some(window)) => window.held.remove(outcome.bytes),
                (End::Done | End::Parked(_), Some(window)) => {
                    let bytes = self.keys.entry(&outcome.key).pop();
                    window.held.remove(bytes);
                }
                _ => {}
            }
            self.settle(&outcome.key);
        }
    }

    /// The log does not take the commit under way. Together with others an outcome is tried by itself; alone, the
    /// event has failed.
    ///
    /// # Errors
    /// It holds a dead letter alone, which the log must take: the failure is given back.
    pub(crate) fn refused(&mut self, failure: Failure, now: Duration) -> Result<(), Failure> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let mut outcomes = pending.commit.outcomes;
        if outcomes.len() > 1 {
            self.singly = outcomes.len();
            outcomes.into_iter().rev().for_each(|outcome| self.outcomes.push_front(outcome));
            return Ok(());
        }
        let Some(outcome) = outcomes.pop() else { return Err(failure) };
        self.singly = self.singly.saturating_sub(1);
        let is_parked = match outcome.end {
            End::Done => false,
            End::Redriven { .. } => true,
            _ => return Err(failure),
        };
        self.at_work.remove(outcome.bytes);
        if !is_parked {
            self.withdraw(&outcome.key);
        }
        self.fail(&outcome.key, outcome.position, is_parked, &failure, now);
        self.settle(&outcome.key);
        Ok(())
    }

    /// Takes back the outcomes of the events behind one that the log refused: they must not overtake it.
    fn withdraw(&mut self, key: &Arc<str>) {
        let at_work = &mut self.at_work;
        let singly = &mut self.singly;
        let state = self.keys.entry(key);
        self.outcomes.retain(|outcome| {
            let is_behind = outcome.key == *key && outcome.end == End::Done;
            if is_behind {
                at_work.remove(outcome.bytes);
                state.busy -= 1;
                *singly = singly.saturating_sub(1);
            }
            !is_behind
        });
    }
}
