//! The keeper: the thread that does what appends need not wait for.
//!
//! Owns: syncing segments in small steps; turning the journal (segments durable, identities flushed, manifest replaced, the
//! old journal made ready to be written again); syncing by the clock where that is the promise; retention.
//! Never: acknowledges anything, and never takes away a journal before what it holds is durable elsewhere.

use std::{
    collections::BTreeSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{Durability, Shared, disk::File, journal::Journal, manifest::Manifest, retention};

/// How long it waits before it tries again on a full disk.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// What the writer and the keeper share.
pub(super) struct Keeper {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    turn: Option<Turn>,
    /// From the moment that the writer goes on in the next journal until what the last one held is durable elsewhere. So
    /// long there is no further turn.
    is_turning: bool,
    /// The journal to go on in.
    next: Option<Journal>,
    /// The number of the journal that is written, and its file.
    current: Option<(u64, Arc<dyn File>)>,
    slots: BTreeSet<u32>,
    /// Why the last attempt found no space.
    full: Option<String>,
    is_closed: bool,
    thread: Option<JoinHandle<()>>,
}

struct Turn {
    manifest: Manifest,
    old: Journal,
}

impl Keeper {
    /// Starts the thread. `old` are journals that are no longer needed.
    pub(super) fn start(
        shared: Arc<Shared>,
        manifest: Manifest,
        current: &Journal,
        old: Vec<u64>,
    ) -> std::io::Result<Arc<Self>> {
        let state = State { current: Some((current.sequence, current.file().clone())), ..State::default() };
        let keeper = Arc::new(Self { state: Mutex::new(state), bell: Condvar::new() });
        let work = Work { keeper: keeper.clone(), shared, manifest, old, retention_at: Instant::now() };
        let thread = std::thread::Builder::new().name("log-keeper".to_owned()).spawn(move || {
            let (shared, keeper) = (work.shared.clone(), work.keeper.clone());
            shared.guard("keeper", || work.run());
            // The writer may wait for a journal that will not come.
            keeper.state().is_closed = true;
            keeper.bell.notify_all();
        })?;
        keeper.state().thread = Some(thread);
        Ok(keeper)
    }

    /// Asks for the sync of a partition's newest segment.
    pub(super) fn sync_soon(&self, slot: u32) {
        if self.state().slots.insert(slot) {
            self.bell.notify_all();
        }
    }

    /// The journal to go on in, if it is ready; with `must` it waits for it. The error says why there is none: a full disk,
    /// or the log has stopped.
    pub(super) fn next_journal(&self, must: bool) -> Result<Option<Journal>, String> {
        let mut state = self.state();
        loop {
            if let Some(next) = state.next.take() {
                // At once: otherwise the same journal would be prepared again below the writer.
                state.current = Some((next.sequence, next.file().clone()));
                state.is_turning = true;
                return Ok(Some(next));
            }
            if !must {
                return Ok(None);
            }
            if state.is_closed {
                return Err("it was closed".to_owned());
            }
            if let Some(reason) = &state.full {
                return Err(reason.clone());
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hands over the journal that was left. `manifest` is true of the moment of leaving.
    pub(super) fn begin_turn(&self, manifest: Manifest, old: Journal) {
        self.state().turn = Some(Turn { manifest, old });
        self.bell.notify_all();
    }

    /// Ends the thread after what it is doing.
    pub(super) fn close(&self) {
        let thread = {
            let mut state = self.state();
            state.is_closed = true;
            state.thread.take()
        };
        self.bell.notify_all();
        if let Some(thread) = thread {
            // A keeper that panicked has at worst left work for the next start.
            let _ = thread.join();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Work {
    keeper: Arc<Keeper>,
    shared: Arc<Shared>,
    /// The manifest on disk.
    manifest: Manifest,
    /// Journals to be written again, or taken away.
    old: Vec<u64>,
    retention_at: Instant,
}

/// What to do next.
enum Task {
    Turn(Box<Turn>),
    PrepareNext(u64),
    Sync(BTreeSet<u32>),
    SyncJournal(Arc<dyn File>),
    Retention,
    End,
}

impl Work {
    fn run(mut self) {
        let mut last_sync = Instant::now();
        loop {
            let done = match self.wait(&mut last_sync) {
                Task::End => return,
                Task::Turn(turn) => self.turn(*turn),
                Task::PrepareNext(sequence) => self.prepare_next(sequence),
                Task::Sync(slots) => self.sync(&slots),
                Task::SyncJournal(file) => file.sync().map_err(|error| Failure::of("sync the journal", &error)),
                Task::Retention => self.retain(),
            };
            match done {
                Ok(()) => self.keeper.state().full = None,
                Err(Failure::Full(reason)) => {
                    self.keeper.state().full = Some(reason);
                    std::thread::sleep(FULL_PAUSE);
                }
                Err(Failure::Broken(reason)) => {
                    self.shared.stop(&reason);
                    self.keeper.state().is_closed = true;
                }
            }
            self.keeper.bell.notify_all();
        }
    }

    fn wait(&self, last_sync: &mut Instant) -> Task {
        let mut state = self.keeper.state();
        loop {
            if state.is_closed {
                return Task::End;
            }
            let now = Instant::now();
            if let Durability::Interval(interval) = self.shared.options.durability
                && now >= *last_sync + interval
                && let Some((_, file)) = &state.current
            {
                *last_sync = now;
                return Task::SyncJournal(file.clone());
            }
            if let Some(turn) = state.turn.take() {
                return Task::Turn(Box::new(turn));
            }
            if !state.is_turning
                && let (None, Some((sequence, _))) = (&state.next, &state.current)
            {
                return Task::PrepareNext(sequence + 1);
            }
            if !state.slots.is_empty() {
                return Task::Sync(std::mem::take(&mut state.slots));
            }
            if now >= self.retention_at {
                return Task::Retention;
            }
            let mut pause = self.retention_at - now;
            if let Durability::Interval(interval) = self.shared.options.durability {
                pause = pause.min((*last_sync + interval).saturating_duration_since(now));
            }
            let woken = self.keeper.bell.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
            state = woken.0;
        }
    }

    /// Makes what the old journal holds durable elsewhere, and says so.
    fn turn(&mut self, turn: Turn) -> Result<(), Failure> {
        let mut manifest = turn.manifest.clone();
        retention::keep_starts(&mut manifest, &self.manifest);
        if let Err(error) = self.shared.settle(&manifest) {
            // It may be tried again; until then the old journal is still needed.
            self.keeper.state().turn = Some(turn);
            return Err(Failure::of("turn the journal", &error));
        }
        self.manifest = manifest;
        self.old.push(turn.old.sequence);
        self.keeper.state().is_turning = false;
        Ok(())
    }

    fn prepare_next(&mut self, sequence: u64) -> Result<(), Failure> {
        let shared = &self.shared;
        let old = self.old.pop();
        for surplus in self.old.drain(..) {
            let path = super::journal::path(&shared.root, surplus);
            shared.disk.remove(&path).map_err(|error| Failure::of("remove an old journal", &error))?;
        }
        let bytes = shared.options.journal_bytes;
        let next = Journal::prepare(&*shared.disk, &shared.root, shared.log, sequence, bytes, old)
            .map_err(|error| Failure::of("prepare the next journal", &error))?;
        self.keeper.state().next = Some(next);
        Ok(())
    }

    fn sync(&self, slots: &BTreeSet<u32>) -> Result<(), Failure> {
        for slot in slots {
            let partition = &self.shared.partitions[*slot as usize];
            for segment in partition.all().iter().rev().take(2) {
                segment.sync().map_err(|error| Failure::of(&format!("sync {}", segment.path().display()), &error))?;
            }
        }
        Ok(())
    }

    fn retain(&mut self) -> Result<(), Failure> {
        self.retention_at = Instant::now() + self.shared.options.retention_check;
        let Some(manifest) = retention::due(&self.shared, &self.manifest) else { return Ok(()) };
        manifest
            .write(&*self.shared.disk, &self.shared.root)
            .map_err(|error| Failure::of("write the manifest", &error))?;
        retention::remove(&self.shared, &manifest).map_err(|error| Failure::of("remove old segments", &error))?;
        self.manifest = manifest;
        Ok(())
    }
}

enum Failure {
    /// There is no space; it is tried again.
    Full(String),
    /// For good.
    Broken(String),
}

impl Failure {
    fn of(action: &str, error: &std::io::Error) -> Self {
        let reason = format!("it could not {action}: {error}");
        if super::disk::is_full(error) { Failure::Full(reason) } else { Failure::Broken(reason) }
    }
}
