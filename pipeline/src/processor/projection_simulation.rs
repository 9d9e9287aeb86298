//! The simulation of projections: feed, reading ahead, applying and retention, with any order of things and any crash, all
//! of it decided by a seed.
//!
//! What stands between log and store is the real [`Feed`] and [`apply_batch`]. Reading ahead is what [`crate::ReadAhead`]
//! does, without its thread: a copy of the feed reads on, and what it has read waits or is dropped. The store is a model that
//! keeps its contract and no more: after a loss of power it stands at any earlier commit.
//!
//! `MESHLOG_SIM_SEEDS=100000 cargo test simulation` runs more seeds; `MESHLOG_SIM_SEED=17` runs one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use meshlog_schemas::{
    Checkpoints, Digest, Event, EventId, Headers, MessageAccepted, Offset, Partition, Position, Topic, Trust,
};
use pollster::block_on;

use super::{Projection, ProjectionError, apply_batch, schedule::mix};
use crate::{
    Batch, ClearSealer, EventLog, Feed, FeedBatch, Log, MemoryLog, NewEvent, NewRecord, ReadLimit, StoredEvent,
    TopicLayout,
};

const PARTITIONS: u32 = 2;
/// Batches that wait for the follower at the most.
const WAITING: usize = 2;

/// What one commit leaves in the store.
#[derive(Debug, Clone, Default, PartialEq)]
struct Content {
    applied: Vec<Position>,
    checkpoints: Checkpoints,
}

/// A store that keeps every commit, so that a loss of power can set it back.
struct Store {
    commits: Mutex<Vec<Content>>,
    fails: Mutex<bool>,
}

impl Store {
    fn content(&self) -> Content {
        self.commits.lock().unwrap().last().cloned().unwrap()
    }
}

impl Projection for Store {
    fn inputs(&self) -> &[Topic] {
        &[Topic::Messages]
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.content().checkpoints)
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        if std::mem::take(&mut *self.fails.lock().unwrap()) {
            return Err(ProjectionError("the disk is full".into()));
        }
        let mut content = self.content();
        content.applied.extend(events.iter().map(|event| event.position));
        content.checkpoints = checkpoints.clone();
        self.commits.lock().unwrap().push(content);
        Ok(())
    }

    fn digest_telling(&self, _fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(Digest::default())
    }
}

/// The follower; gone after a crash.
struct Follower {
    feed: Feed,
    /// The copy that reads ahead, and what it has read.
    ahead: Option<(Feed, VecDeque<FeedBatch>)>,
}

struct Simulation {
    seed: u64,
    draws: u64,
    log: Arc<MemoryLog>,
    events: EventLog,
    readable: BTreeMap<Position, bool>,
    store: Store,
    follower: Option<Follower>,
    /// What any follower was told is gone, by partition.
    missed: BTreeMap<Partition, Vec<(Offset, Offset)>>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let layout = vec![TopicLayout { topic: Topic::Messages, partitions: PARTITIONS }];
        let log = Arc::new(MemoryLog::new(layout));
        let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
        let store = Store { commits: Mutex::new(vec![Content::default()]), fails: Mutex::default() };
        let (readable, missed) = (BTreeMap::new(), BTreeMap::new());
        Self { seed, draws: 0, log, events, readable, store, follower: None, missed }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draws += 1;
        mix(self.seed ^ mix(self.draws)) % bound.max(1)
    }

    fn limit(&mut self) -> ReadLimit {
        ReadLimit { records: 1 + self.below(9) as usize, bytes: 1 + self.below(4_000) as usize }
    }

    fn produce(&mut self) {
        for _ in 0..=self.below(6) {
            let thread = format!("t{}", self.below(5));
            let is_readable = self.below(10) > 0;
            let receipts = if is_readable {
                let event = Event::MessageAccepted(MessageAccepted {
                    source_id: None,
                    space: "main".into(),
                    thread,
                    author: "Ada".into(),
                    role: "user".into(),
                    sent_at: 1,
                    text: String::new(),
                });
                let id = EventId::of_source("simulation", &self.draws.to_string());
                block_on(self.events.append(vec![NewEvent::first(id, "/test", Trust::Client, event)], None)).unwrap()
            } else {
                let (key, body) = (thread.into_bytes().into(), b"junk"[..].into());
                let record =
                    NewRecord { topic: Topic::Messages, key, headers: Headers::default(), body, identity: None };
                block_on(self.log.append(Batch { records: vec![record], progress: None })).unwrap()
            };
            self.readable.insert(receipts[0].position, is_readable);
        }
    }

    /// Retention takes away what the store may not have read, or may have to read again.
    fn retain(&mut self) {
        let partition = Partition { topic: Topic::Messages, id: self.below(u64::from(PARTITIONS)) as u32 };
        let start = (self.store.content().checkpoints.next(partition) + self.below(8)).saturating_sub(self.below(8));
        self.log.forget_before(partition, start);
    }

    fn start(&mut self) {
        let feed = Feed::new(self.events.clone(), &[Topic::Messages], self.store.checkpoints().unwrap());
        self.follower = Some(Follower { feed, ahead: None });
    }

    fn read_ahead(&mut self) {
        let limit = self.limit();
        let follower = self.follower.as_mut().unwrap();
        let (feed, waiting) = follower.ahead.get_or_insert_with(|| (follower.feed.clone(), VecDeque::new()));
        if waiting.len() < WAITING {
            let batch = feed.next(limit, None).unwrap();
            if !batch.is_empty() {
                waiting.push_back(batch);
            }
        }
    }

    /// Takes the next batch, from what was read ahead if there is something, and applies it. Answers whether there was one.
    fn apply(&mut self, is_rough: bool) -> bool {
        let (limit, fate) = (self.limit(), if is_rough { self.below(20) } else { 9 });
        let follower = self.follower.as_mut().unwrap();
        let batch = match follower.ahead.as_mut().map(|(_, waiting)| waiting.pop_front()) {
            Some(Some(batch)) => {
                follower.feed.handed_out(&batch);
                batch
            }
            // The reader is at its end.
            _ => {
                follower.ahead = None;
                follower.feed.next(limit, None).unwrap()
            }
        };
        if batch.is_empty() {
            return false;
        }
        for gap in &batch.gaps {
            self.missed.entry(gap.partition).or_default().push((gap.first, gap.last));
        }
        *self.store.fails.lock().unwrap() = fate == 0;
        let was_applied = fate != 1 && apply_batch(&self.store, batch).is_ok();
        if !was_applied || fate == 2 {
            // The store failed, or the process ended before or after the commit.
            self.follower = None;
        }
        true
    }

    fn lose_power(&mut self) {
        self.follower = None;
        let commits = self.store.commits.lock().unwrap().len() as u64;
        let kept = 1 + self.below(commits) as usize;
        self.store.commits.lock().unwrap().truncate(kept);
    }

    fn step(&mut self) {
        match self.below(100) {
            0..25 => self.produce(),
            25..28 => self.retain(),
            28 => self.lose_power(),
            29..31 => self.follower = None,
            _ if self.follower.is_none() => self.start(),
            31..33 => self.follower.as_mut().unwrap().ahead = None,
            33..65 => self.read_ahead(),
            _ => drop(self.apply(true)),
        }
        self.check();
    }

    fn settle(&mut self) {
        if self.follower.is_none() {
            self.start();
        }
        while self.apply(false) {}
        self.check();
        let checkpoints = self.store.content().checkpoints;
        for partition in self.events.partitions(Topic::Messages) {
            assert_eq!(checkpoints.next(partition), self.log.bounds(partition).unwrap().end, "{partition} is read");
        }
    }

    /// The store holds, in order and once, every readable event before its checkpoints that nobody was told is gone.
    fn check(&self) {
        let Content { applied, checkpoints } = self.store.content();
        for partition in self.events.partitions(Topic::Messages) {
            let of_partition = applied.iter().filter(|position| position.partition == partition);
            let applied: Vec<Offset> = of_partition.map(|position| position.offset).collect();
            assert!(applied.windows(2).all(|pair| pair[0] < pair[1]), "in order and once: {applied:?}");
            let missed = self.missed.get(&partition).map(Vec::as_slice).unwrap_or_default();
            for offset in 0..checkpoints.next(partition) {
                let is_there = applied.binary_search(&offset).is_ok();
                let is_readable = self.readable[&Position { partition, offset }];
                let is_told = missed.iter().any(|(first, last)| (*first..=*last).contains(&offset));
                assert!(is_there || !is_readable || is_told, "{partition}/{offset} is passed over in silence");
            }
            let beyond = applied.last().filter(|last| **last >= checkpoints.next(partition));
            assert_eq!(beyond, None, "data and checkpoints move together");
        }
    }
}

fn run(seed: u64) {
    let mut simulation = Simulation::new(seed);
    for _ in 0..20 + simulation.below(120) {
        simulation.step();
    }
    simulation.settle();
}

#[test]
fn over_any_crash_a_projection_holds_every_event_once_in_order_or_was_told_that_it_is_gone() {
    crate::seeds::for_each_seed(2_000, run);
}
