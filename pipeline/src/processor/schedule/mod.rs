//! The schedule of a stage: which event is processed when, what becomes of it, and what is written down.
//!
//! Owns: every decision of the stage runtime, as a plain state machine. It is told what was read, what handlers
//! answered, what the log took and what time it is; it answers what to read, what to process, what to commit and when
//! to wake it. So a test can drive it through any order of things and any crash; see `simulation`.
//! Never: a clock, a thread, a random number, the log or the stage.
//!
//! The rules:
//! - **Keys.** Events of one key are processed in order, a run of them in one lane at a time; other keys flow past.
//! - **Retries.** A failure that may pass waits with growing, jittered pauses. How often an event was tried is durable
//!   before it is tried again.
//! - **Dead letters are sequenced.** Behind a parked event, later events of its key are parked too, unprocessed, so
//!   the checkpoint moves on. See [`Parking`] for redrive and discard.
//! - **Done out of order.** The checkpoint is the low-water mark; what is done above it stands in the [`Note`].
//! - **Crashes are counted.** After an end that was not in order, a start is written down before it is made, until
//!   everything that may have been at work is past ([`Settings::span`] bounds it). What is found written down runs
//!   alone; started [`Settings::most_starts`] times without an end, it is parked. Without a crash this costs nothing.
//! - **Bounded.** What is held and what is at work stay within bounds of events and bytes; a full window reads nothing.

mod backoff;
mod keys;
mod note;
mod parking;
mod ranges;
mod ready;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod window;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use meshlog_schemas::{Checkpoints, Offset, Partition, Position};

pub use self::{
    backoff::Backoff,
    parking::{FailureClass, Parked},
    window::Load,
};
use self::{
    keys::{Keys, Retry, Slot},
    ready::Ready,
    window::Window,
};
pub(crate) use self::{
    note::{Note, NoteError, Tries},
    parking::{Change, ChangeKind, Parking},
    ranges::Ranges,
};
use super::Priority;
use crate::record::ReadLimit;

/// About what a parked event takes in memory while it is tried again; its size is not known before it is read.
const PARKED_BYTES: usize = 4 * 1024;

/// Bounds and counts of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How many threads process events of different keys. 0: as many as the stage asks for.
    pub lanes: usize,
    /// What is held in memory at the most.
    pub window: Load,
    /// How far above the checkpoint of a partition events may be processed.
    pub span: u64,
    /// What a handler is given at once.
    pub batch: Load,
    /// What is at work, or waits to be committed, for each lane.
    pub at_work: Load,
    /// How often an event is tried.
    pub most_attempts: u32,
    /// How often an event may take the process down.
    pub most_starts: u32,
    /// How long retries wait.
    pub backoff: Backoff,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: 0,
            window: Load { events: 4_096, bytes: 8 * 1024 * 1024 },
            span: 4_096,
            // Small, so that results do not come late; large enough that a model works at full speed.
            batch: Load { events: 32, bytes: 1024 * 1024 },
            at_work: Load { events: 64, bytes: 2 * 1024 * 1024 },
            most_attempts: 5,
            most_starts: 3,
            backoff: Backoff::default(),
        }
    }
}

impl Settings {
    /// What may be at work in all lanes together.
    pub(crate) fn most_at_work(&self) -> Load {
        let lanes = self.lanes.max(1);
        Load { events: self.at_work.events * lanes, bytes: self.at_work.bytes * lanes }
    }
}

/// How a schedule comes to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// The process started; the log ends here now.
    Process {
        /// The end of each partition.
        ends: Checkpoints,
    },
    /// The worker was restarted within the process, so no handler took it down.
    Worker {
        /// What [`Schedule::careful`] said when the process started.
        careful: Checkpoints,
    },
}

/// An entry as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) position: Position,
    pub(crate) key: Arc<str>,
    pub(crate) priority: Priority,
    pub(crate) bytes: usize,
    pub(crate) content: Content,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Readable,
    /// It cannot be read, because of this.
    Unreadable(String),
    /// It was erased on purpose, which is no failure.
    Erased,
}

/// What became of an entry that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is held until an outcome names it.
    Held,
    /// There is nothing to do for it.
    Passed,
    /// There is no room for it now, nor for any behind it.
    Full,
}

/// One event to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) position: Position,
    pub(crate) key: Arc<str>,
    /// Whether it is a dead letter, to be read from the log again.
    pub(crate) is_parked: bool,
    bytes: usize,
}

/// Events to process at once, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) tasks: Vec<Task>,
    /// Whether its start was written down.
    is_noted: bool,
    /// Whether nothing else may be at work.
    is_exclusive: bool,
}

/// Why events were not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) error: String,
    /// Whether trying again cannot help.
    pub(crate) is_final: bool,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) position: Position,
    pub(crate) key: Arc<str>,
    pub(crate) end: End,
    bytes: usize,
}

/// The ways an event ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It was processed: append what was derived.
    Done,
    /// There is nothing to process.
    Skipped,
    /// It becomes a dead letter.
    Parked(Letter),
    /// A dead letter was processed after all: append what was derived, and say so.
    Redriven {
        /// How often it was tried in all.
        attempts: u32,
    },
    /// A dead letter was tried again in vain.
    FailedAgain(Letter),
}

/// What a dead letter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) class: FailureClass,
    pub(crate) error: String,
    pub(crate) attempts: u32,
    /// The offset of the event it waits behind.
    pub(crate) head: Option<Offset>,
}

/// What is to be appended in one atomic batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) note: String,
}

struct Pending {
    commit: Commit,
    windows: Vec<(Partition, Offset, Ranges)>,
    version: u64,
}

/// The state machine. See the module.
pub(crate) struct Schedule {
    settings: Settings,
    seed: u64,
    windows: BTreeMap<Partition, Window>,
    /// What may be held of one partition.
    share: Load,
    keys: Keys,
    ready: Ready,
    /// Keys that wait for a retry, by its time.
    sleeping: BTreeMap<(Duration, u64), Arc<str>>,
    parking: Parking,
    tries: BTreeMap<Position, Tries>,
    /// Below these offsets starts are written down.
    careful: Checkpoints,
    /// Found written down at the start: each runs alone.
    suspects: BTreeSet<Position>,
    /// Suspects that may not be started any more.
    doomed: BTreeSet<Position>,
    outcomes: VecDeque<Outcome>,
    pending: Option<Pending>,
    /// Outcomes to commit one at a time, since the log refused them together.
    singly: usize,
    /// Work that waits until its start is durable, with the version of the note that says so.
    granted: VecDeque<(u64, Work)>,
    /// Counts changes of the note, and which of them are durable.
    version: u64,
    durable: u64,
    /// The version that says handlers may be at work, once one may.
    running_since: Option<u64>,
    is_ending: bool,
    at_work: Load,
    works: usize,
    is_exclusive: bool,
    arrivals: u64,
}

impl Schedule {
    /// Begins where `checkpoints` and `note` say. The dead letters must be shown before anything is picked.
    pub(crate) fn new(
        settings: Settings,
        seed: u64,
        partitions: &[Partition],
        checkpoints: &Checkpoints,
        mut note: Note,
        start: Start,
    ) -> Self {
        let mut done = |partition: &Partition| note.done.remove(partition).unwrap_or_default();
        let windows: BTreeMap<Partition, Window> = partitions
            .iter()
            .map(|partition| (*partition, Window::new(checkpoints.next(*partition), done(partition))))
            .collect();
        let mut suspects: BTreeSet<Position> =
            note.tries.iter().filter(|(_, tries)| tries.started > 0).map(|(position, _)| *position).collect();
        let mut doomed = BTreeSet::new();
        let careful = match start {
            Start::Process { ends } if note.running => {
                doomed.extend(suspects.extract_if(.., |position| note.tries[position].started >= settings.most_starts));
                let limit = |window: &Window, end: Offset| end.min(window.low + settings.span);
                windows.iter().map(|(partition, window)| (*partition, limit(window, ends.next(*partition)))).collect()
            }
            Start::Process { .. } => Checkpoints::default(),
            Start::Worker { careful } => careful,
        };
        let count = windows.len().max(1);
        let share = Load { events: (settings.window.events / count).max(1), bytes: settings.window.bytes / count };
        Self {
            settings,
            seed,
            windows,
            share,
            keys: Keys::default(),
            ready: Ready::default(),
            sleeping: BTreeMap::new(),
            parking: Parking::default(),
            tries: note.tries,
            careful,
            suspects,
            doomed,
            outcomes: VecDeque::new(),
            pending: None,
            singly: 0,
            granted: VecDeque::new(),
            version: 0,
            durable: 0,
            // It stands there already if the last end was not in order.
            running_since: note.running.then_some(0),
            is_ending: false,
            at_work: Load::default(),
            works: 0,
            is_exclusive: false,
            arrivals: 0,
        }
    }

    /// What to read next: the partitions with room, from where, and how much.
    pub(crate) fn wanted(&self) -> Vec<(Partition, Offset, ReadLimit)> {
        let wanted = |(partition, window): (&Partition, &Window)| {
            let span = (window.low + self.settings.span).saturating_sub(window.next);
            let records =
                self.share.events.saturating_sub(window.held.events).min(usize::try_from(span).unwrap_or(usize::MAX));
            let bytes = self.share.bytes.saturating_sub(window.held.bytes);
            (records > 0 && bytes > 0).then_some((*partition, window.next, ReadLimit { records, bytes }))
        };
        self.windows.iter().filter_map(wanted).collect()
    }

    /// Takes in the next entry of a partition.
    pub(crate) fn offer(&mut self, arrival: Arrival) -> Offered {
        let Arrival { position, key, priority, bytes, content } = arrival;
        let Some(window) = self.windows.get_mut(&position.partition) else { return Offered::Full };
        let is_done = window.done.contains(position.offset);
        if position.offset != window.next || (!is_done && !window.held.has_room(bytes, self.share)) {
            return Offered::Full;
        }
        window.next += 1;
        if is_done {
            return Offered::Passed;
        }
        window.held.add(bytes);
        self.arrivals += 1;
        if content == Content::Erased {
            self.outcomes.push_back(Outcome { position, key, end: End::Skipped, bytes });
            return Offered::Passed;
        }
        let error = match content {
            Content::Unreadable(error) => Some(error),
            _ => None,
        };
        let slot = Slot { position, priority, arrival: self.arrivals, bytes, is_alone: false, error };
        self.keys.entry(&key).queue.push_back(slot);
        self.settle(&key);
        Offered::Held
    }

    /// Takes in a record of the dead-letters topic about this stage, its own ones too.
    pub(crate) fn observe(&mut self, change: &Change) {
        self.parking.apply(change);
        let state = self.keys.entry(&change.key);
        let is_at_work = state.redriving == Some(change.position);
        match change.kind {
            ChangeKind::Failed { .. } | ChangeKind::Redriven if is_at_work => state.redriving = None,
            ChangeKind::Failed { .. } => state.unseen = state.unseen.saturating_sub(1),
            ChangeKind::Discarded if !is_at_work => {
                self.suspects.remove(&change.position);
                self.doomed.remove(&change.position);
                self.forget(change.position);
            }
            _ => {}
        }
        self.settle(&change.key);
    }

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

    /// When to look again if nothing else happens before.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.sleeping.keys().next().map(|(at, _)| *at)
    }

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
                    if is_single {
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

    fn forget(&mut self, position: Position) {
        if self.tries.remove(&position).is_some() {
            self.version += 1;
        }
    }

    /// An event failed by itself: it waits for the next try, or is parked.
    fn fail(&mut self, key: &Arc<str>, position: Position, is_parked: bool, failure: &Failure, now: Duration) {
        if is_parked && self.parking.get(key, position).is_none() {
            self.keys.entry(key).redriving = None;
            return self.forget(position);
        }
        let tries = self.tries.entry(position).or_default();
        tries.failed += 1;
        let failed = tries.failed;
        self.version += 1;
        let class = match failure.is_final {
            true => FailureClass::Permanent,
            false if failed >= self.settings.most_attempts => FailureClass::Exhausted,
            false => {
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

    fn park_crashed(&mut self, key: &Arc<str>, position: Position, is_parked: bool) {
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

    /// Brings a key to where it belongs after anything about it has changed: ready, sleeping, or neither. Events that
    /// cannot be processed, or stand behind a parked one, become dead letters here.
    fn settle(&mut self, key: &Arc<str>) {
        let state = self.keys.entry(key);
        if let Some(place) = state.place.take() {
            self.ready.remove(place);
        }
        if let Some(nap) = state.nap.take() {
            self.sleeping.remove(&nap);
        }
        let (position, place) = match self.parking.queue(key) {
            Some(queue) => {
                let head = queue.head().position;
                state.hold_back(head.offset, key, &mut self.outcomes);
                if !queue.is_driven() || state.redriving.is_some() {
                    return self.keys.tidy(key);
                }
                let arrival = match state.driven {
                    Some((driven, arrival)) if driven == head => arrival,
                    _ => {
                        self.arrivals += 1;
                        self.arrivals
                    }
                };
                state.driven = Some((head, arrival));
                (head, (Priority::Normal, arrival))
            }
            None if state.busy > 0 || state.unseen > 0 || state.redriving.is_some() => return,
            None => {
                let Some(slot) = state.queue.front() else { return self.keys.tidy(key) };
                if let Some(error) = slot.error.clone() {
                    let letter = Letter { class: FailureClass::Unreadable, error, attempts: 1, head: None };
                    return state.let_go(key, letter, &mut self.outcomes);
                }
                (slot.position, (slot.priority, slot.arrival))
            }
        };
        match state.retry.filter(|retry| retry.position == position) {
            Some(retry) => {
                let nap = (retry.at, place.1);
                state.nap = Some(nap);
                self.sleeping.insert(nap, key.clone());
            }
            None => {
                state.retry = None;
                state.place = Some(place);
                self.ready.insert(place, key.clone());
            }
        }
    }

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

    /// Whether events that may have been at work when the process ended are not done yet.
    fn is_careful(&self) -> bool {
        let is_past = |(partition, limit)| self.windows.get(&partition).is_none_or(|window| window.low >= limit);
        !self.careful.iter().all(is_past)
    }

    /// Below which offsets starts are written down.
    pub(crate) fn careful(&self) -> &Checkpoints {
        &self.careful
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

    /// No more work is given out; what was not begun is taken back.
    pub(crate) fn drain(&mut self) {
        self.is_ending = true;
        for (_, work) in std::mem::take(&mut self.granted) {
            self.works -= 1;
            for task in work.tasks {
                self.at_work.remove(task.bytes);
                if let Some(tries) = self.tries.get_mut(&task.position).filter(|_| work.is_noted) {
                    tries.started = tries.started.saturating_sub(1);
                }
            }
        }
    }

    /// Everything that was at work is finished: the last commit says that the end was in order. Not while the events
    /// of an end that was not are still watched.
    pub(crate) fn end(&mut self) {
        debug_assert!(self.is_quiet() && self.is_ending, "something is still at work");
        if self.is_careful() {
            return;
        }
        if self.running_since.take().is_some() {
            self.version += 1;
        }
    }

    /// Whether nothing is at work in a lane.
    pub(crate) fn is_quiet(&self) -> bool {
        self.works == 0
    }

    /// The dead letters of the stage.
    pub(crate) fn parking(&self) -> &Parking {
        &self.parking
    }

    /// What is held of all partitions.
    pub(crate) fn held(&self) -> Load {
        self.windows.values().fold(Load::default(), |sum, window| Load {
            events: sum.events + window.held.events,
            bytes: sum.bytes + window.held.bytes,
        })
    }

    /// What is at work or waits to be committed.
    pub(crate) fn at_work(&self) -> Load {
        self.at_work
    }

    /// Events that failed and wait to be tried again.
    pub(crate) fn retrying(&self) -> usize {
        self.sleeping.len()
    }
}
