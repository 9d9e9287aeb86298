//! Keys: the events of each ordering key that are held, in order.
//!
//! Owns: what of a key's events is busy, that is at work or on its way to the log.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use meshlog_schemas::{Offset, Position};

use super::{End, FailureClass, Letter, Outcome, ready::Place};
use crate::processor::Priority;

/// A held event.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) position: Position,
    pub(super) priority: Priority,
    pub(super) arrival: u64,
    pub(super) bytes: usize,
    /// Whether it is processed by itself, since a batch with it failed.
    pub(super) is_alone: bool,
    /// Why it cannot be read.
    pub(super) error: Option<String>,
}

/// When an event is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) position: Position,
    pub(super) at: Duration,
    /// The version of the note that counts the failure; not before it is durable.
    pub(super) version: u64,
}

/// A key with held or parked events.
#[derive(Debug, Default)]
pub(super) struct KeyState {
    /// Held events in order.
    pub(super) queue: VecDeque<Slot>,
    /// How many of the first ones are busy. A key is free for the next run once what it had is committed.
    pub(super) busy: usize,
    /// Own dead letters that were made and not yet read back from the topic. Until then the queue of the key is not
    /// known, and it stands still.
    pub(super) unseen: usize,
    /// The parked event that is at work, or whose end has not been read back.
    pub(super) redriving: Option<Position>,
    /// The head that was first found to be driven, and when: under this number it is ready.
    pub(super) driven: Option<(Position, u64)>,
    pub(super) retry: Option<Retry>,
    pub(super) place: Option<Place>,
    pub(super) nap: Option<(Duration, u64)>,
}

impl KeyState {
    /// Every event that is not busy becomes a dead letter behind `head`.
    pub(super) fn hold_back(&mut self, head: Offset, key: &Arc<str>, outcomes: &mut VecDeque<Outcome>) {
        while self.busy < self.queue.len() {
            let letter = Letter {
                class: FailureClass::Waiting,
                error: format!("it waits behind offset {head}"),
                attempts: 0,
                head: Some(head),
            };
            self.let_go(key, letter, outcomes);
        }
    }

    /// The first event that is not busy becomes a dead letter.
    pub(super) fn let_go(&mut self, key: &Arc<str>, letter: Letter, outcomes: &mut VecDeque<Outcome>) {
        let Some(slot) = self.queue.get(self.busy) else { return };
        outcomes.push_back(Outcome { position: slot.position, key: key.clone(), end: End::Parked(letter), bytes: 0 });
        self.busy += 1;
        self.unseen += 1;
    }

    /// An event that was busy is not, and is tried again.
    pub(super) fn put_back(&mut self, position: Position) {
        if self.redriving == Some(position) {
            self.redriving = None;
        } else {
            self.busy -= 1;
        }
    }

    /// As [`Self::put_back`], and next time it is processed by itself.
    pub(super) fn put_back_alone(&mut self, position: Position) {
        self.put_back(position);
        if let Some(slot) = self.queue.iter_mut().find(|slot| slot.position == position) {
            slot.is_alone = true;
        }
    }

    /// The first event is done; answers its size.
    pub(super) fn pop(&mut self) -> usize {
        self.busy -= 1;
        self.queue.pop_front().map_or(0, |slot| slot.bytes)
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.unseen == 0
            && self.redriving.is_none()
            && self.place.is_none()
            && self.nap.is_none()
    }
}

/// All keys with held or parked events.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<Arc<str>, KeyState>);

impl Keys {
    /// The state of a key, which is made if there is none.
    pub(super) fn entry(&mut self, key: &Arc<str>) -> &mut KeyState {
        if !self.0.contains_key(key) {
            self.0.insert(key.clone(), KeyState::default());
        }
        // Invariant: it was just put there.
        self.0.get_mut(key).expect("the key is there")
    }

    /// Marks the next event of a key as busy; it must be `position`.
    pub(super) fn begin(&mut self, key: &Arc<str>, position: Position, is_parked: bool) {
        let state = self.entry(key);
        state.place = None;
        if is_parked {
            state.redriving = Some(position);
        } else {
            state.busy += 1;
        }
    }

    /// Forgets a key of which nothing is held.
    pub(super) fn tidy(&mut self, key: &Arc<str>) {
        if self.0.get(key).is_some_and(KeyState::is_idle) {
            self.0.remove(key);
        }
    }
}
