//! The stage group: a stage on those partitions of its input that this process has at the moment.
//!
//! Owns: one runner a partition, each with a stage of its own: what a stage keeps of its tables begins empty with each.
//! Never: decides which partitions it has; it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use meshlog_schemas::{Checkpoints, Partition};

use super::{Progress, Stage, StageRunner};
use crate::{events::EventLog, kafka::Share, lock::lock};

/// How long it waits after a partition could not be begun.
const PAUSE: Duration = Duration::from_secs(1);

/// A stage on some partitions.
pub struct StageGroup {
    events: EventLog,
    make: Box<dyn Fn() -> Box<dyn Stage> + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    runners: BTreeMap<Partition, StageRunner>,
    /// Not before this is a partition begun again.
    not_before: Option<Instant>,
}

impl StageGroup {
    /// A stage on no partition yet; `make` makes it.
    pub fn new(events: EventLog, make: impl Fn() -> Box<dyn Stage> + Send + Sync + 'static) -> Self {
        Self { events, make: Box::new(make), state: Mutex::default() }
    }

    /// The partitions that it has, and how each fares.
    pub fn progress(&self) -> Vec<(Partition, Arc<Progress>)> {
        let state = lock(&self.state);
        state.runners.iter().map(|(partition, runner)| (*partition, runner.progress().clone())).collect()
    }
}

impl Share for StageGroup {
    fn tend(&self, partitions: &BTreeSet<Partition>) {
        let mut state = lock(&self.state);
        let missing: Vec<_> =
            partitions.iter().filter(|partition| !state.runners.contains_key(partition)).copied().collect();
        if missing.is_empty() || state.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        for partition in missing {
            match StageRunner::start_on(partition, self.events.clone(), (self.make)()) {
                Ok(runner) => drop(state.runners.insert(partition, runner)),
                Err(error) => {
                    tracing::warn!(%partition, %error, "a partition cannot be begun now and is tried again");
                    state.not_before = Some(Instant::now() + PAUSE);
                    return;
                }
            }
        }
    }

    fn give_up(&self, partitions: &BTreeSet<Partition>) {
        let mut ending: Vec<_> = {
            let mut state = lock(&self.state);
            partitions.iter().filter_map(|partition| state.runners.remove(partition)).collect()
        };
        // All at once, so that it takes as long as the longest.
        ending.iter().for_each(StageRunner::ask_to_stop);
        ending.iter_mut().for_each(StageRunner::stop);
    }

    fn checkpoints(&self) -> Checkpoints {
        let mut all = Checkpoints::default();
        for (_, progress) in self.progress() {
            progress.status().checkpoints.iter().for_each(|(partition, next)| all.advance(partition, next));
        }
        all
    }
}
