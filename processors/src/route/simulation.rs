//! The simulation of routing: the router below a model of its runtime that keeps the contract of [`Stage`] and nothing more.
//! Which keys go first, in what runs, what happens in between, and when the process ends, is decided by a seed.
//!
//! `MESHLOG_SIM_SEEDS=100000 cargo test simulation` runs more seeds; `MESHLOG_SIM_SEED=17` runs one.

use std::collections::{BTreeMap, BTreeSet};

use meshlog_pipeline::NewEvent;
use meshlog_schemas::{EventId, SubscriptionRemoved};

use super::{tests::subscription, *};
use crate::{
    seeds::{Chance, for_each_seed},
    testing::{message, stored},
};

const SUBSCRIBERS: [&str; 4] = ["Ada", "Bob", "Cy", "Di"];
const THREADS: [&str; 3] = ["t", "u", "v"];

fn below(chance: &mut Chance, bound: usize) -> usize {
    chance.below(bound as u64) as usize
}

fn pick<T: Copy>(chance: &mut Chance, from: &[T]) -> T {
    from[below(chance, from.len())]
}

/// What survives the end of the process, and what is expected of it.
#[derive(Default)]
struct Log {
    messages: Vec<StoredEvent>,
    registry: Vec<StoredEvent>,
    /// By the position of its cause, as committed.
    deliveries: Vec<(u64, NewEvent)>,
    /// How far the router has come; committed together with what it derived.
    checkpoint: usize,
    /// For each message, the subscriptions that stood when it was appended.
    stood: Vec<SubscriptionTable>,
    /// For each message, those that it may be delivered to: they stood then, or at some time before it was processed.
    may: Vec<BTreeMap<EventId, SubscriptionAdded>>,
}

impl Log {
    fn table(&self) -> SubscriptionTable {
        let mut table = SubscriptionTable::default();
        self.registry.iter().for_each(|event| table.observe(event));
        table
    }

    /// Somebody subscribes, no longer does, or says something.
    fn append(&mut self, chance: &mut Chance) {
        match below(chance, 6) {
            0 | 1 => {
                let thread = [None, Some(pick(chance, &THREADS))][below(chance, 2)];
                let author = [None, Some(pick(chance, &SUBSCRIBERS))][below(chance, 2)];
                let added = subscription(pick(chance, &SUBSCRIBERS), thread, author);
                let unprocessed = &mut self.may[self.checkpoint..];
                unprocessed.iter_mut().for_each(|may| drop(may.insert(added.subscription_id, added.clone())));
                self.registry.push(stored(self.registry.len() as u64, Event::SubscriptionAdded(added)));
            }
            2 => {
                let table = self.table();
                let ids: Vec<EventId> = table.iter().map(|standing| standing.subscription_id).collect();
                if ids.is_empty() {
                    return;
                }
                let removed = SubscriptionRemoved { subscription_id: pick(chance, &ids) };
                self.registry.push(stored(self.registry.len() as u64, Event::SubscriptionRemoved(removed)));
                // Those not processed yet may be delivered to it or not.
                for stood in &mut self.stood[self.checkpoint..] {
                    stood.observe(self.registry.last().expect("it was pushed"));
                }
            }
            _ => {
                let said = message("main", pick(chance, &THREADS), pick(chance, &SUBSCRIBERS), "hello");
                self.messages.push(stored(self.messages.len() as u64, said));
                let table = self.table();
                self.may.push(table.iter().map(|standing| (standing.subscription_id, standing.clone())).collect());
                self.stood.push(table);
            }
        }
    }

    fn check(&self) {
        let mut ids = BTreeSet::new();
        let mut told: Vec<BTreeSet<EventId>> = vec![BTreeSet::new(); self.messages.len()];
        let mut last: BTreeMap<(String, EventId), u64> = BTreeMap::new();
        for (cause, delivery) in &self.deliveries {
            assert!(ids.insert(delivery.envelope.id), "one delivery is there twice");
            let Event::MessageRouted(routed) = &delivery.event else { panic!("{delivery:?}") };
            let message = &self.messages[*cause as usize];
            assert_eq!(routed.message_id, message.envelope.id);
            assert!(told[*cause as usize].insert(routed.subscription_id), "message {cause} is told twice");
            let before = last.insert((message.key.clone(), routed.subscription_id), *cause);
            assert!(before < Some(*cause), "a thread is told out of order");
        }
        for (at, told) in told.iter().enumerate().take(self.checkpoint) {
            let Event::MessageAccepted(message) = &self.messages[at].event else { panic!("no message") };
            for subscription in self.stood[at].matching(message) {
                let id = subscription.subscription_id;
                assert!(told.contains(&id), "{} is not told of message {at}", subscription.subscriber);
            }
            assert!(told.iter().all(|id| self.may[at].contains_key(id)), "message {at} is told to strangers");
        }
        assert!(
            told[self.checkpoint..].iter().all(BTreeSet::is_empty),
            "something is derived of what is not processed"
        );
    }
}

/// One life of the process, to its end, sudden or not; answers whether everything was processed.
fn live(log: &mut Log, chance: &mut Chance) -> bool {
    let router = Router::default();
    let mut shown = 0;
    loop {
        for _ in 0..below(chance, 4) {
            log.append(chance);
        }
        let end = (log.checkpoint + below(chance, 6)).min(log.messages.len());
        let window = log.checkpoint..end;
        // More is said and subscribed between the read of the input and that of the table.
        for _ in 0..below(chance, 3) {
            log.append(chance);
        }
        log.registry[shown..].iter().for_each(|event| router.observe(event));
        shown = log.registry.len();
        let mut keys: BTreeMap<&str, Vec<StoredEvent>> = BTreeMap::new();
        for event in &log.messages[window.clone()] {
            keys.entry(&event.key).or_default().push(event.clone());
        }
        let mut waiting: Vec<Vec<StoredEvent>> = keys.into_values().collect();
        let mut derived = Vec::new();
        while !waiting.is_empty() {
            if below(chance, 12) == 0 {
                return false;
            }
            // A run of one key's events; what fails for another reason is handed in again, and only then counts.
            let key = below(chance, waiting.len());
            let length = 1 + below(chance, waiting[key].len());
            let run: Vec<_> = waiting[key].drain(..length).collect();
            if waiting[key].is_empty() {
                waiting.swap_remove(key);
            }
            for _ in 0..below(chance, 2) {
                router.process(&run).expect("it routes");
            }
            derived.extend(router.process(&run).expect("it routes").into_iter().map(
                |Derived { cause, index, event }| {
                    let cause = &run[cause];
                    (cause.position.offset, NewEvent::derived(&cause.envelope, router.name(), &index, event))
                },
            ));
        }
        // All or nothing; the process may end before it, or after it and before anybody knows.
        if below(chance, 12) == 0 {
            return false;
        }
        derived.sort_by_key(|(cause, _)| *cause);
        log.deliveries.extend(derived);
        log.checkpoint = window.end;
        if below(chance, 12) == 0 {
            return false;
        }
        if log.messages.len() > 40 && log.checkpoint == log.messages.len() {
            return true;
        }
    }
}

#[test]
fn a_simulated_router_tells_everybody_once_and_in_order() {
    for_each_seed(1_000, |seed| {
        let (mut log, mut chance) = (Log::default(), Chance(seed));
        while !live(&mut log, &mut chance) {
            log.check();
        }
        log.check();
    });
}
