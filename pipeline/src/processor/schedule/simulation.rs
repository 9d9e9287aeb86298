//! The simulation: the schedule against a model of log, stage and operator, with any order of things and any crash,
//! all of it decided by a seed.
//!
//! `MESHLOG_SIM_SEEDS=100000 cargo test simulation` runs more seeds; `MESHLOG_SIM_SEED=17` runs one.

use std::collections::{BTreeMap, BTreeSet};

use meshlog_schemas::Topic;

use super::{backoff::mix, *};

const MESSAGES: Topic = Topic::Messages;

/// What the model stage does with an event, until the cause is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Fine,
    /// Fails this many times.
    Fails(u32),
    Permanent,
    /// Cannot be done now, this many times; no try is counted.
    Later(u32),
    /// Takes the process down.
    Aborts,
    Unreadable,
    Erased,
    /// What is derived of it is more than the log takes.
    TooLarge,
    /// The stage does not want it.
    Foreign,
}

#[derive(Debug, Clone)]
struct Record {
    key: Arc<str>,
    nature: Nature,
    priority: Priority,
    bytes: usize,
}

/// What survives a crash.
#[derive(Debug, Default)]
struct Durable {
    partitions: Vec<Vec<Record>>,
    /// What stands before was taken away by retention.
    starts: Checkpoints,
    checkpoints: Checkpoints,
    note: String,
    letters: Vec<Change>,
    /// Derived events, in the order of the log.
    effects: Vec<Position>,
}

/// The model process; gone after a crash.
struct Process {
    schedule: Schedule,
    letters_read: usize,
    at_work: Vec<Work>,
    /// Failures that the schedule was told of, or found in its note.
    failures: BTreeMap<Position, u32>,
}

struct Simulation {
    seed: u64,
    draws: u64,
    settings: Settings,
    log: Durable,
    process: Option<Process>,
    is_mended: bool,
    now: Duration,
    /// What the process found to watch at its start.
    watched: Watched,
    /// How often an event took the process down.
    aborts: BTreeMap<Position, u32>,
    failures: BTreeMap<Position, u32>,
    /// How often an event was left for later.
    postponed: BTreeMap<Position, u32>,
    discarded: BTreeSet<Position>,
    /// Whether faults are injected; off when the run settles.
    is_rough: bool,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut simulation = Self {
            seed,
            draws: 0,
            settings: Settings::default(),
            log: Durable::default(),
            process: None,
            is_mended: false,
            now: Duration::from_secs(1_000),
            watched: Watched::default(),
            aborts: BTreeMap::new(),
            failures: BTreeMap::new(),
            postponed: BTreeMap::new(),
            discarded: BTreeSet::new(),
            is_rough: true,
        };
        let mut below = |bound: u64| simulation.below(bound) as usize;
        let window = Load { events: 2 + below(30), bytes: 500 + below(4_000) };
        let batch = Load { events: 1 + below(6), bytes: 100 + below(500) };
        let at_work = Load { events: 1 + below(12), bytes: 100 + below(20_000) };
        let (lanes, span, partitions) = (1 + below(3), 2 + below(40) as u64, 1 + below(3));
        let later = Duration::from_millis(300);
        simulation.settings = Settings { lanes, window, span, batch, at_work, later, ..Settings::default() };
        simulation.log.partitions = vec![Vec::new(); partitions];
        simulation
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        mix(self.seed ^ mix(self.draws))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    fn partition(id: usize) -> Partition {
        Partition { topic: MESSAGES, id: id as u32 }
    }

    fn partitions(&self) -> Vec<Partition> {
        (0..self.log.partitions.len()).map(Self::partition).collect()
    }

    fn ends(&self) -> Checkpoints {
        let ends = self.log.partitions.iter().enumerate();
        ends.map(|(id, records)| (Self::partition(id), records.len() as u64)).collect()
    }

    fn record(&self, position: Position) -> &Record {
        &self.log.partitions[position.partition.id as usize][position.offset as usize]
    }

    fn produce(&mut self) {
        let partition = self.below(self.log.partitions.len() as u64) as usize;
        let nature = match self.below(40) {
            0 | 1 => Nature::Fails(1 + self.below(7) as u32),
            2 => Nature::Permanent,
            3 => Nature::Aborts,
            4 => Nature::Unreadable,
            5 => Nature::Erased,
            6 => Nature::TooLarge,
            7..14 => Nature::Foreign,
            14 | 15 => Nature::Later(1 + self.below(9) as u32),
            _ => Nature::Fine,
        };
        let key = format!("{partition}/{}", self.below(5)).into();
        let priority = [Priority::High, Priority::Normal, Priority::Low][self.below(3) as usize];
        let largest = if self.below(20) == 0 { 2_000 } else { 100 };
        let bytes = 1 + self.below(largest) as usize;
        self.log.partitions[partition].push(Record { key, nature, priority, bytes });
    }

    fn start_process(&mut self, start: Start) {
        let note = self.note();
        let failures = note.tries.iter().map(|(position, tries)| (*position, tries.failed)).collect();
        let (settings, checkpoints) = (self.settings, &self.log.checkpoints);
        let schedule = Schedule::new(settings, self.seed, &self.partitions(), checkpoints, note, start);
        self.process = Some(Process { schedule, letters_read: 0, at_work: Vec::new(), failures });
        self.follow_letters();
    }

    fn note(&self) -> Note {
        Note::from_text(&self.log.note, MESSAGES).expect("its own note")
    }

    fn restart_worker(&mut self) {
        let watched = self.watched.clone();
        self.start_process(Start::Worker { watched });
    }

    fn crash(&mut self) {
        self.process = None;
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    fn follow_letters(&mut self) {
        let Some(process) = &mut self.process else { return };
        self.log.letters[process.letters_read..].iter().for_each(|change| process.schedule.observe(change));
        process.letters_read = self.log.letters.len();
    }

    /// Retention takes away what it may not have read.
    fn retain(&mut self) {
        let partition = Self::partition(self.below(self.log.partitions.len() as u64) as usize);
        let (checkpoint, end) = (self.log.checkpoints.next(partition), self.ends().next(partition));
        let start = (checkpoint + self.below(20)).min(end);
        self.log.starts.advance(partition, start);
    }

    /// Reads some of what is wanted.
    fn read(&mut self) {
        for (partition, from, limit) in self.process().schedule.wanted() {
            let start = self.log.starts.next(partition);
            if from < start {
                self.process().schedule.miss(partition, start);
                continue;
            }
            let count = 1 + self.below(limit.records as u64) as usize;
            let records: Vec<Record> =
                self.log.partitions[partition.id as usize].iter().skip(from as usize).take(count).cloned().collect();
            for (offset, record) in (from..).zip(records) {
                let content = match record.nature {
                    Nature::Unreadable if !self.is_mended => Content::Unreadable("junk".into()),
                    Nature::Erased => Content::Erased,
                    _ => Content::Readable,
                };
                let Record { key, priority, bytes, .. } = record;
                let position = Position { partition, offset };
                if record.nature == Nature::Foreign {
                    if self.process().schedule.pass(position) == Offered::Full {
                        break;
                    }
                    continue;
                }
                let arrival = Arrival { position, key, priority, bytes, content };
                if self.process().schedule.offer(arrival) == Offered::Full {
                    break;
                }
            }
            self.check_bounds();
        }
    }

    fn check_bounds(&mut self) {
        let settings = self.settings;
        let partitions = self.log.partitions.len();
        let largest = 2_000;
        let schedule = &self.process().schedule;
        let (held, at_work) = (schedule.held(), schedule.at_work());
        let alone = largest * partitions;
        assert!(held.events <= settings.window.events.max(partitions), "{held:?} of {:?}", settings.window);
        assert!(held.bytes <= settings.window.bytes + alone, "{held:?} of {:?}", settings.window);
        assert!(at_work.events <= settings.at_work.events * settings.lanes, "{at_work:?} of {:?}", settings.at_work);
        let bound = (settings.at_work.bytes * settings.lanes).max(PARKED_BYTES).max(largest);
        assert!(at_work.bytes <= bound, "{at_work:?} of {:?}", settings.at_work);
    }

    /// Gives work to lanes, as many as are free.
    fn give(&mut self) {
        let now = self.now;
        while self.process().at_work.len() < self.settings.lanes {
            let Some(work) = self.process().schedule.next_work(now) else { break };
            self.check_work(&work);
            self.process().at_work.push(work);
        }
        self.check_bounds();
    }

    /// No key is at work twice; nothing overtakes a parked event, and what was done is not done again.
    fn check_work(&mut self, work: &Work) {
        let done: BTreeSet<Position> = self.log.effects.iter().copied().collect();
        let note = self.note();
        assert!(note.running, "handlers are at work, and no note says so");
        let process = self.process.as_ref().expect("it runs");
        for task in &work.tasks {
            let tries = note.tries.get(&task.position).copied().unwrap_or_default();
            let failed = process.failures.get(&task.position).copied().unwrap_or_default();
            assert_eq!(tries.failed, failed, "the failures of {} are durable before it is tried again", task.position);
            let is_watched =
                task.is_parked || task.position.offset < self.watched.careful.next(task.position.partition);
            let is_past = process
                .schedule
                .watched()
                .careful
                .iter()
                .all(|(partition, limit)| self.log.checkpoints.next(partition) >= limit);
            assert!(tries.started > 0 || !is_watched || is_past, "the start of {} is durable", task.position);
        }
        let busy = process.at_work.iter().flat_map(|work| &work.tasks);
        let busy: BTreeSet<Arc<str>> = busy.map(|task| task.key.clone()).collect();
        for task in &work.tasks {
            assert!(!busy.contains(&task.key), "{} is at work in two lanes", task.key);
            assert!(!done.contains(&task.position), "{} is done", task.position);
            match process.schedule.parking().queue(&task.key) {
                Some(queue) => assert_eq!((queue.head().position, true), (task.position, task.is_parked)),
                None => assert!(!task.is_parked),
            }
        }
        let order: Vec<_> = work.tasks.iter().map(|task| (task.key.clone(), task.position)).collect();
        let is_in_order = |pair: &[(Arc<str>, Position)]| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1;
        assert!(order.windows(2).all(is_in_order), "{order:?}");
    }

    /// One lane comes to its end.
    fn work(&mut self) {
        let lanes = self.process().at_work.len() as u64;
        if lanes == 0 {
            return;
        }
        let lane = self.below(lanes) as usize;
        let work = self.process().at_work.swap_remove(lane);
        let mut answer = Ok(());
        let mut is_later = false;
        for task in &work.tasks {
            let nature = self.record(task.position).nature;
            let failures = self.failures.get(&task.position).copied().unwrap_or_default();
            let fails = |verdict| Err(Failure { error: "it fails".into(), verdict });
            let this = match nature {
                _ if self.is_mended => Ok(()),
                Nature::Aborts => {
                    *self.aborts.entry(task.position).or_default() += 1;
                    return self.crash();
                }
                Nature::Fails(times) if failures < times => fails(Verdict::Again),
                Nature::Later(times) if self.postponed.get(&task.position).is_none_or(|so_far| *so_far < times) => {
                    *self.postponed.entry(task.position).or_default() += 1;
                    is_later = true;
                    answer = fails(Verdict::Later);
                    break;
                }
                Nature::Permanent | Nature::Unreadable => fails(Verdict::Never),
                _ => Ok(()),
            };
            if this.is_err() && work.tasks.len() == 1 {
                *self.failures.entry(task.position).or_default() += 1;
            }
            answer = answer.and(this);
        }
        if let (Err(_), [task], false) = (&answer, work.tasks.as_slice(), is_later) {
            *self.process().failures.entry(task.position).or_default() += 1;
        }
        let now = self.now;
        self.process().schedule.finish(work, answer, now);
    }

    /// Commits what there is; the log may refuse, fail, or crash before or after it took the batch.
    fn commit(&mut self) {
        let Some(commit) = self.process().schedule.commit() else { return };
        let is_too_large = |outcome: &Outcome| {
            let is_effect = matches!(outcome.end, End::Done | End::Redriven { .. });
            is_effect && self.record(outcome.position).nature == Nature::TooLarge && !self.is_mended
        };
        if commit.outcomes.iter().any(is_too_large) {
            let failure = Failure { error: "too large".into(), verdict: Verdict::Never };
            let now = self.now;
            return self.process().schedule.refused(failure, now).expect("only events are refused");
        }
        match if self.is_rough { self.below(40) } else { 9 } {
            0 => return self.crash(),
            1 => {
                self.land(commit);
                return self.crash();
            }
            // The append failed, and the worker begins again within the process.
            2 => return self.restart_worker(),
            3 => {
                self.land(commit);
                return self.restart_worker();
            }
            _ => {}
        }
        self.land(commit);
        self.process().schedule.committed();
        // Its own letters may be read back late, after letters of others.
        if !self.is_rough || self.below(2) == 0 {
            self.follow_letters();
        }
        self.check_bounds();
    }

    fn land(&mut self, commit: Commit) {
        commit.checkpoints.iter().for_each(|(partition, next)| self.log.checkpoints.advance(partition, next));
        self.log.note = commit.note;
        if let Some(process) = &mut self.process {
            process.failures.retain(|position, _| commit.outcomes.iter().all(|outcome| outcome.position != *position));
        }
        for Outcome { position, key, end, .. } in commit.outcomes {
            let letter = |letter: Letter| ChangeKind::Failed {
                class: letter.class,
                attempts: letter.attempts,
                at: 0,
                letter: position,
            };
            let kind = match end {
                End::Skipped => continue,
                End::Done => {
                    self.log.effects.push(position);
                    continue;
                }
                End::Redriven { .. } => {
                    self.log.effects.push(position);
                    ChangeKind::Redriven
                }
                End::Parked(it) | End::FailedAgain(it) => letter(it),
            };
            self.log.letters.push(Change { key, position, kind });
        }
    }

    /// A person redrives or discards something, parked or not.
    fn operate(&mut self) {
        let failed: Vec<(Arc<str>, Position)> =
            self.log.letters.iter().map(|change| (change.key.clone(), change.position)).collect();
        if failed.is_empty() {
            return;
        }
        let (key, position) = failed[self.below(failed.len() as u64) as usize].clone();
        let kind = match self.below(3) {
            0 => ChangeKind::Discarded,
            _ => ChangeKind::RedriveRequested,
        };
        let mut parking = Parking::default();
        self.log.letters.iter().for_each(|change| parking.apply(change));
        if kind == ChangeKind::Discarded && parking.get(&key, position).is_some() {
            self.discarded.insert(position);
        }
        self.log.letters.push(Change { key, position, kind });
    }

    fn stop_in_order(&mut self) {
        self.process().schedule.drain();
        while self.process.is_some() && !self.process().schedule.is_quiet() {
            self.work();
        }
        if self.process.is_none() {
            return;
        }
        self.process().schedule.end();
        self.process().schedule.note_passed();
        while let Some(commit) = self.process().schedule.commit() {
            let is_too_large = |outcome: &Outcome| self.record(outcome.position).nature == Nature::TooLarge;
            if commit.outcomes.iter().any(is_too_large) {
                self.process = None;
                return;
            }
            self.land(commit);
            self.process().schedule.committed();
            self.follow_letters();
        }
        self.process = None;
    }

    fn step(&mut self) {
        if self.process.is_none() {
            let ends = self.ends();
            self.start_process(Start::Process { ends });
            self.watched = self.process().schedule.watched();
            return;
        }
        match self.below(100) {
            0..20 => self.produce(),
            20..40 => self.read(),
            40..55 => self.give(),
            55..75 => self.work(),
            75..90 => self.commit(),
            90..93 => {
                let jump = [10, 150, 5_000][self.below(3) as usize];
                self.now += Duration::from_millis(jump);
            }
            93 => self.now = self.now.saturating_sub(Duration::from_millis(self.below(300))),
            94..97 => self.follow_letters(),
            97 if self.below(3) == 0 => self.process().schedule.note_passed(),
            97 => self.operate(),
            98 if self.below(8) == 0 => self.retain(),
            98 if self.below(4) == 0 => self.crash(),
            99 if self.below(4) == 0 => self.stop_in_order(),
            _ => {}
        }
    }

    /// No more faults: everything that can be done is done, in a bounded number of rounds.
    fn settle(&mut self) {
        self.is_rough = false;
        for _ in 0..3_000 {
            if self.process.is_none() {
                let ends = self.ends();
                self.start_process(Start::Process { ends });
                self.watched = self.process().schedule.watched();
            }
            self.follow_letters();
            self.read();
            self.give();
            while self.process.as_ref().is_some_and(|process| !process.at_work.is_empty()) {
                self.work();
            }
            if self.process.is_none() {
                continue;
            }
            self.process().schedule.note_passed();
            self.commit();
            self.now += Duration::from_millis(200);
            let driven = self.process().schedule.parking().queues().any(|(_, queue)| queue.is_driven());
            if self.log.checkpoints.covers(&self.ends()) && !driven && self.process().schedule.commit().is_none() {
                return;
            }
        }
        panic!("it does not come to rest: {:?} of {:?}", self.log.checkpoints, self.ends());
    }

    fn parked(&mut self) -> BTreeSet<Position> {
        let parking = self.process().schedule.parking();
        parking.queues().flat_map(|(_, queue)| queue.iter()).map(|parked| parked.position).collect()
    }

    /// Every event is done once, parked, discarded or erased; effects of a key are in order; attempts are bounded.
    fn check_outcome(&mut self) {
        let parked = self.parked();
        let effects: BTreeSet<Position> = self.log.effects.iter().copied().collect();
        assert_eq!(effects.len(), self.log.effects.len(), "an event has effects twice");
        let mut newest: BTreeMap<Arc<str>, Position> = BTreeMap::new();
        for position in &self.log.effects {
            let key = self.record(*position).key.clone();
            let before = newest.insert(key, *position);
            assert!(before.is_none_or(|before| before < *position), "{position} behind {before:?}");
        }
        for partition in self.partitions() {
            for offset in 0..self.ends().next(partition) {
                let position = Position { partition, offset };
                let record = self.record(position);
                let is_done = effects.contains(&position);
                let is_gone = self.discarded.contains(&position) || record.nature == Nature::Erased;
                let is_gone = is_gone || offset < self.log.starts.next(partition) || record.nature == Nature::Foreign;
                assert!(!is_done || record.nature != Nature::Foreign, "{position} was not wanted");
                let is_parked = parked.contains(&position);
                assert!(is_done || is_gone || is_parked, "{position} is lost: {record:?}");
                assert!(!(is_done && is_parked), "{position} is done and parked");
            }
        }
    }

    /// No event takes the process down more often than it may: once unseen, and then each start is counted. A redrive
    /// begins a new count.
    fn check_aborts(&self) {
        for (position, aborts) in &self.aborts {
            let told = self.log.letters.iter().filter(|change| change.position == *position).count() as u32;
            let most = (self.settings.most_starts + 1) * (1 + told);
            assert!(*aborts <= most, "{position} took the process down {aborts} times; {most} are the most");
        }
    }
}

fn run(seed: u64) {
    let mut simulation = Simulation::new(seed);
    let steps = 100 + simulation.below(700);
    for _ in 0..steps {
        simulation.step();
    }
    simulation.settle();
    simulation.check_outcome();
    simulation.check_aborts();
    // The causes are mended and everything is redriven: nothing stays behind.
    simulation.is_mended = true;
    let parked: Vec<_> = simulation.parked().into_iter().collect();
    for position in parked {
        let key = simulation.record(position).key.clone();
        simulation.log.letters.push(Change { key, position, kind: ChangeKind::RedriveRequested });
    }
    simulation.settle();
    simulation.check_outcome();
    assert!(simulation.parked().is_empty(), "{:?} stay parked", simulation.parked());
}

#[test]
fn in_any_order_of_things_and_over_any_crash_nothing_is_lost_doubled_or_overtaken() {
    crate::seeds::for_each_seed(2_000, run);
}
