//! Slots: how many calls a provider is asked at once, and who is next when there are more.
//!
//! Owns: the bound on calls under way and the queue before it, which is bounded too. Of several parties that wait each gets a slot
//! in turn, however many calls one of them has.
//! Promises: a slot that is not wanted any more goes to the next; nobody who waits is passed over.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The slots of a provider.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// How many more may wait.
    room: usize,
    /// Parties with calls that wait, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<(u64, oneshot::Sender<()>)>>,
    next: u64,
}

/// The right to ask. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot(Arc<Mutex<State>>);

/// So many wait already that no more may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    /// `slots` at once, and `queue` that wait.
    pub(super) fn new(slots: usize, queue: usize) -> Self {
        let (turns, waiting) = (VecDeque::new(), HashMap::new());
        Self(Arc::new(Mutex::new(State { free: slots, room: queue, turns, waiting, next: 0 })))
    }

    /// A slot, if one is free.
    pub(super) fn try_take(&self) -> Option<Slot> {
        let mut state = lock(&self.0);
        // While some wait there is none, for each that comes back goes to them.
        state.free = state.free.checked_sub(1)?;
        Some(Slot(self.0.clone()))
    }

    /// Waits for a slot. Dropping the future gives the place in the queue up.
    pub(super) async fn take(&self, party: &Arc<str>) -> Result<Slot, QueueFull> {
        let (granted, turn) = oneshot::channel();
        let number = {
            let mut state = lock(&self.0);
            if let Some(free) = state.free.checked_sub(1) {
                state.free = free;
                return Ok(Slot(self.0.clone()));
            }
            state.room = state.room.checked_sub(1).ok_or(QueueFull)?;
            state.next += 1;
            let number = state.next;
            let queue = state.waiting.entry(party.clone()).or_default();
            queue.push_back((number, granted));
            if queue.len() == 1 {
                state.turns.push_back(party.clone());
            }
            number
        };
        let mut place = Place { slots: &self.0, party, number, turn: Some(turn) };
        let granted = match &mut place.turn {
            Some(turn) => turn.await,
            None => return Err(QueueFull),
        };
        place.turn = None;
        // Invariant: who waits is dropped from the queue only by its own future.
        granted.map(|()| Slot(self.0.clone())).map_err(|_| QueueFull)
    }

    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.0).waiting.values().map(VecDeque::len).sum()
    }
}

/// A place in the queue.
struct Place<'a> {
    slots: &'a Arc<Mutex<State>>,
    party: &'a Arc<str>,
    number: u64,
    /// `None` once it has had its turn.
    turn: Option<oneshot::Receiver<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(mut turn) = self.turn.take() else { return };
        let mut state = lock(self.slots);
        let queue = state.waiting.get_mut(self.party);
        let place = queue.as_ref().and_then(|queue| queue.iter().position(|(number, _)| *number == self.number));
        match (queue, place) {
            (Some(queue), Some(place)) => {
                queue.remove(place);
                let is_empty = queue.is_empty();
                state.room += 1;
                if is_empty {
                    state.waiting.remove(self.party);
                    state.turns.retain(|party| party != self.party);
                }
            }
            // It was granted just now, and is passed on.
            _ if turn.try_recv().is_ok() => state.pass_on(),
            _ => {}
        }
    }
}

impl State {
    fn pass_on(&mut self) {
        while let Some(party) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&party) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&party);
            } else {
                self.turns.push_back(party);
            }
            let Some((_, granted)) = next else { continue };
            self.room += 1;
            if granted.send(()).is_ok() {
                return;
            }
        }
        self.free += 1;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.0).pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Result<Slot, QueueFull>> + 'a>>;

    #[tokio::test]
    async fn parties_take_turns_however_many_calls_one_has() {
        let slots = Slots::new(1, 10);
        let (many, few): (Arc<str>, Arc<str>) = ("many".into(), "few".into());
        let first = slots.try_take().expect("one is free");
        let mut waiting: Vec<(&str, Waiting<'_>)> = Vec::new();
        for (name, party) in [("m1", &many), ("m2", &many), ("m3", &many), ("f1", &few), ("f2", &few)] {
            waiting.push((name, Box::pin(slots.take(party))));
            assert!(waiting.last_mut().expect("it was pushed").1.as_mut().now_or_never().is_none());
        }
        drop(first);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let mut ready = None;
            for (index, (_, future)) in waiting.iter_mut().enumerate() {
                if let Some(slot) = future.as_mut().now_or_never() {
                    ready = Some((index, slot.expect("it waited")));
                    break;
                }
            }
            let (index, slot) = ready.expect("somebody has the slot");
            order.push(waiting.remove(index).0);
            drop(slot);
        }
        assert_eq!(order, ["m1", "f1", "m2", "f2", "m3"]);
        assert!(slots.try_take().is_some());
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_who_leaves_it_makes_room() {
        let slots = Slots::new(1, 1);
        let party: Arc<str> = "x".into();
        let held = slots.try_take().expect("one is free");
        let mut waits: Waiting<'_> = Box::pin(slots.take(&party));
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(slots.take(&party).await.unwrap_err(), QueueFull);
        drop(waits);
        assert_eq!(slots.waiting(), 0);
        let mut waits: Waiting<'_> = Box::pin(slots.take(&party));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(held);
        // Granted, and left before it knew.
        drop(waits);
        assert!(slots.try_take().is_some());
    }

    proptest! {
        /// Whatever is taken, given back and given up, no slot is lost and none is made.
        #[test]
        fn no_slot_is_lost(steps in proptest::collection::vec((0_u8..4, any::<proptest::sample::Index>()), 0..120)) {
            const SLOTS: usize = 3;
            let slots = Slots::new(SLOTS, 5);
            let parties: Vec<Arc<str>> = ["a", "b", "c"].map(Into::into).into();
            let (mut held, mut waiting): (Vec<Slot>, Vec<Waiting<'_>>) = (Vec::new(), Vec::new());
            for (step, index) in steps {
                match step {
                    0 | 1 => waiting.push(Box::pin(slots.take(&parties[index.index(3)]))),
                    2 if !held.is_empty() => drop(held.swap_remove(index.index(held.len()))),
                    3 if !waiting.is_empty() => drop(waiting.remove(index.index(waiting.len()))),
                    _ => {}
                }
                let mut still = Vec::new();
                for mut future in waiting {
                    match future.as_mut().now_or_never() {
                        Some(Ok(slot)) => held.push(slot),
                        Some(Err(QueueFull)) => {}
                        None => still.push(future),
                    }
                }
                waiting = still;
                prop_assert!(held.len() <= SLOTS);
                prop_assert!(waiting.is_empty() || held.len() == SLOTS, "nobody waits while there is a slot");
                prop_assert_eq!(slots.waiting(), waiting.len());
            }
            waiting.clear();
            held.clear();
            let all: Vec<_> = std::iter::from_fn(|| slots.try_take()).collect();
            prop_assert_eq!(all.len(), SLOTS);
        }
    }
}
