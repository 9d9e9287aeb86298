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
//! - **Later is no failure.** What cannot be done now for a reason that is not the event's own is put back as it was, and
//!   picked again after [`Settings::later`]; its key waits for it, and nothing is counted or written down.
//! - **Dead letters are sequenced.** Behind a parked event, later events of its key are parked too, unprocessed, so
//!   the checkpoint moves on. See [`Parking`] for redrive and discard.
//! - **Done out of order.** The checkpoint is the low-water mark; what is done above it stands in the [`Note`].
//! - **Crashes are counted.** After an end that was not in order, a start is written down before it is made, until
//!   everything that may have been at work is past ([`Settings::span`] bounds it). What is found written down runs
//!   alone; started [`Settings::most_starts`] times without an end, it is parked. Without a crash this costs nothing.
//! - **Passed over.** What the stage does not want is done as it is read. That is written down with the next commit that there
//!   is for something else, or before there are [`Settings::span`] such events: until then a crash has them read again.
//! - **Bounded.** What is held and what is at work stay within bounds of events and bytes; a full window reads nothing.

mod answers;
mod backoff;
mod committing;
mod keys;
mod note;
mod parking;
mod picking;
mod ranges;
mod ready;
mod settings;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod window;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use meshlog_schemas::{Checkpoints, Offset, Partition, Position};

#[cfg(test)]
pub(super) use self::backoff::mix;
#[cfg(any(test, feature = "fuzzing"))]
pub use self::note::stage_note;
pub use self::{
    backoff::Backoff,
    parking::{FailureClass, Parked},
    settings::Settings,
    window::Load,
};
use self::{
    committing::Pending,
    keys::{Keys, Slot},
    ready::Ready,
    window::Window,
};
pub(crate) use self::{
    note::{Note, NoteError, Tries},
    parking::{Change, ChangeKind, Parking},
    ranges::Ranges,
    words::{Arrival, Commit, Content, End, Failure, Letter, Offered, Outcome, Start, Task, Verdict, Watched, Work},
};
use super::Priority;
use crate::record::ReadLimit;

/// About what a parked event takes in memory while it is tried again; its size is not known before it is read.
const PARKED_BYTES: usize = 4 * 1024;

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
    /// When something was first to be picked, and until when the next suspect waits.
    begun: Option<Duration>,
    calm_until: Option<Duration>,
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
                // What is done or passed over and not written down, and what is written down as done, may lie in between.
                let reach = |window: &Window| window.low + window.done.len() + 2 * settings.span;
                let limit = |window: &Window, end: Offset| end.min(reach(window));
                windows.iter().map(|(partition, window)| (*partition, limit(window, ends.next(*partition)))).collect()
            }
            Start::Process { .. } => Checkpoints::default(),
            Start::Worker { watched } => {
                let is_doomed = |position: &Position| {
                    watched.doomed.contains(position) && note.tries[position].started >= settings.most_starts
                };
                doomed.extend(suspects.extract_if(.., |position| is_doomed(position)));
                watched.careful
            }
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
            begun: None,
            calm_until: None,
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
            let span = self.settings.span.saturating_sub(window.open());
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

    /// Passes over the next entry of a partition, which the stage does not want. Not while a commit is under way.
    pub(crate) fn pass(&mut self, position: Position) -> Offered {
        debug_assert!(self.pending.is_none(), "a commit is under way");
        let Some(window) = self.windows.get_mut(&position.partition) else { return Offered::Full };
        if position.offset != window.next || window.passed >= self.settings.span {
            return Offered::Full;
        }
        window.next += 1;
        if !window.done.contains(position.offset) {
            window.done.insert(position.offset, window.next);
            window.passed += 1;
        }
        if window.passed >= self.settings.span {
            self.version += 1;
        }
        Offered::Passed
    }

    /// Whether events were passed over since the last commit.
    pub(crate) fn has_passed(&self) -> bool {
        self.windows.values().any(|window| window.passed > 0)
    }

    /// What was passed over is to be written down now.
    pub(crate) fn note_passed(&mut self) {
        self.version += u64::from(self.has_passed());
    }

    /// Below which offsets everything is done or passed over, written down or not.
    pub(crate) fn reached(&self) -> Checkpoints {
        let reached = |window: &Window| window.done.clone().absorb(window.low);
        self.windows.iter().map(|(partition, window)| (*partition, reached(window))).collect()
    }

    /// What was to be read of a partition next is gone, up to `start`: it is passed over, and a commit says so. Not while
    /// a commit is under way.
    pub(crate) fn miss(&mut self, partition: Partition, start: Offset) {
        debug_assert!(self.pending.is_none(), "a commit is under way");
        let Some(window) = self.windows.get_mut(&partition).filter(|window| window.next < start) else { return };
        // A dead letter is done with here, but may be redriven: what is known of its tries stays.
        let is_gone = |position: &Position| {
            let is_unread = (window.next..start).contains(&position.offset);
            position.partition == partition && is_unread && !window.done.contains(position.offset)
        };
        self.tries.retain(|position, _| !is_gone(position));
        self.suspects.retain(|position| !is_gone(position));
        self.doomed.retain(|position| !is_gone(position));
        window.done.insert(window.next, start);
        window.next = start;
        self.version += 1;
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

    /// When to look again if nothing else happens before.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let sleeping = self.sleeping.keys().next().map(|(at, _)| *at);
        sleeping.into_iter().chain(self.calm_until).min()
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

    /// Whether events that may have been at work when the process ended are not done yet.
    fn is_careful(&self) -> bool {
        let is_past = |(partition, limit)| self.windows.get(&partition).is_none_or(|window| window.low >= limit);
        !self.careful.iter().all(is_past)
    }

    /// What is watched, as long as nothing was picked.
    pub(crate) fn watched(&self) -> Watched {
        Watched { careful: self.careful.clone(), doomed: self.doomed.clone() }
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
