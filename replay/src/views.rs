//! The keeper of all views: opens them, keeps them up to date, rebuilds, switches, goes back and verifies them.
//!
//! Owns: the directory of all views as long as it lives, against other processes too; the rebuilds and their turns.
//! Never: leaves a projection without a view while the process runs.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use meshlog_pipeline::{EventLog, Feed, Progress, Status, now_micros, work_in_background};
use meshlog_schemas::{Digest, Topic};

use crate::{
    ReplayError, ReplaySettings,
    directory::{Building, Roster},
    kept::{Lease, View},
    rebuild::{Phase, Purpose, Rebuild, RebuildStatus},
    slots::Slots,
    verify::Verdict,
    view::ViewSpec,
    work::{self, Site},
};

/// How many ended rebuilds are remembered.
const REMEMBERED_REBUILDS: usize = 32;

/// The file by which one process keeps the views.
const LOCK: &str = "LOCK";

/// All views of a data directory. Dropping it stops them.
pub struct Views {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

/// What is known of a view at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewStatus {
    /// The projection's name.
    pub name: &'static str,
    /// The name of the view that serves.
    pub version: String,
    /// Every view that is there, with the one that serves first.
    pub versions: Vec<VersionStatus>,
    /// Whether what serves is of another version than this program and its model make.
    pub is_outdated: bool,
    /// The topics it reads.
    pub inputs: Vec<Topic>,
    /// How the projection fares.
    pub status: Status,
    /// Whether it is being rebuilt.
    pub is_rebuilding: bool,
    /// Events on the log that it has not applied yet.
    pub lag_events: u64,
    /// The age of the oldest of them, in microseconds.
    pub lag_micros: i64,
}

/// One of a projection's views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionStatus {
    /// Its name.
    pub name: String,
    /// What it is there for.
    pub state: VersionState,
    /// What its files take.
    pub bytes: u64,
}

/// What a view is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// It answers queries.
    Serving,
    /// It did before, and can again.
    Kept,
    /// A rebuild fills it.
    Building,
    /// A rebuild that was paused has filled some of it.
    Paused,
}

impl VersionState {
    /// The word shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            VersionState::Serving => "serving",
            VersionState::Kept => "kept",
            VersionState::Building => "building",
            VersionState::Paused => "paused",
        }
    }
}

struct Shared {
    events: EventLog,
    views: Vec<View>,
    rebuilds: Mutex<Vec<Arc<Rebuild>>>,
    settings: ReplaySettings,
    slots: Slots,
    stopping: AtomicBool,
    /// Held as long as the views are.
    _lock: File,
}

impl Views {
    /// Opens the views below `root` and starts to keep them up to date.
    ///
    /// A projection whose view is of another version than this program makes is served from it, if the program can open it, and a new
    /// one is built beside it. Without a view that can be opened, a new one serves while it is filled from the start of the log. A rebuild
    /// that the end of the process cut off goes on.
    ///
    /// # Errors
    /// Another process keeps the views, a directory cannot be used, or a new view cannot be made.
    pub fn open(
        root: &Path,
        events: EventLog,
        specs: Vec<ViewSpec>,
        settings: ReplaySettings,
    ) -> Result<Self, ReplayError> {
        let _lock = lock(root)?;
        // Side by side: a store that is slow to open holds up none of the others.
        let views = thread::scope(|scope| {
            let opening: Vec<_> = specs
                .into_iter()
                .map(|spec| {
                    let thread = thread::Builder::new().name(format!("open-{}", spec.name));
                    let opened = thread.spawn_scoped(scope, || View::open(root, &events, spec));
                    opened.map_err(|cause| ReplayError::Directory { path: root.to_owned(), action: "opened", cause })
                })
                .collect();
            let opened =
                opening.into_iter().map(|view| view?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            opened.collect::<Result<Vec<_>, _>>()
        })?;
        let slots = Slots::new(settings.at_once);
        let (rebuilds, stopping) = (Mutex::default(), AtomicBool::new(false));
        let views = Self {
            shared: Arc::new(Shared { events, views, rebuilds, settings, slots, stopping, _lock }),
            workers: Mutex::default(),
        };
        views.take_up()?;
        Ok(views)
    }

    /// Goes on with what was cut off, and builds what is outdated.
    fn take_up(&self) -> Result<(), ReplayError> {
        for view in &self.shared.views {
            let Roster { building, is_held, .. } = view.roster();
            let is_cut_off = building.as_ref().is_some_and(|building| !building.is_paused);
            let is_due = view.is_outdated() && !is_held && building.is_none_or(|building| !building.is_paused);
            if is_cut_off || is_due {
                let purpose = if view.is_outdated() { Purpose::Upgrade } else { Purpose::Rebuild };
                tracing::info!(
                    projection = view.spec.name,
                    purpose = purpose.name(),
                    "a view is built beside the old one"
                );
                self.start(view.spec.name, purpose, |_| Ok(()))?;
            }
        }
        Ok(())
    }

    /// What is known of every view.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn statuses(&self) -> Result<Vec<ViewStatus>, ReplayError> {
        self.shared.views.iter().map(|view| self.shared.status(view)).collect()
    }

    /// Every projection with the topics it reads and how far it has come.
    pub fn inputs(&self) -> Vec<(&'static str, Vec<Topic>, &Progress)> {
        self.shared.views.iter().map(|view| (view.spec.name, view.inputs.clone(), &*view.progress)).collect()
    }

    /// How far a projection has come, to wait for.
    ///
    /// # Errors
    /// There is no such projection.
    pub fn progress(&self, name: &str) -> Result<&Arc<Progress>, ReplayError> {
        Ok(&self.shared.view(name)?.progress)
    }

    /// The digest of the view that serves. Queries and events go on meanwhile.
    ///
    /// # Errors
    /// There is no such projection, or its store cannot be read.
    pub fn digest(&self, name: &str) -> Result<Digest, ReplayError> {
        let projection = self.shared.view(name)?.live().opened.projection.clone();
        Ok(projection.digest()?)
    }

    /// Starts to rebuild a projection in the background, or goes on with a rebuild that was paused. When others are at work, it waits for
    /// its turn.
    ///
    /// # Errors
    /// There is no such projection, or it is being rebuilt or verified already.
    pub fn start_rebuild(&self, name: &str) -> Result<RebuildStatus, ReplayError> {
        self.start(name, Purpose::Rebuild, |_| Ok(()))
    }

    /// Starts to go back to the view that served before: it is brought to the end of the log and exchanged with the one that serves, which
    /// is kept then.
    ///
    /// # Errors
    /// There is no such projection, none that served before is kept, or it is being rebuilt or verified.
    pub fn start_rollback(&self, name: &str) -> Result<RebuildStatus, ReplayError> {
        self.start(name, Purpose::Rollback, |view| match view.roster().kept {
            Some(_) => Ok(()),
            None => Err(ReplayError::NothingKept(name.to_owned())),
        })
    }

    /// Removes a view that is kept or was paused.
    ///
    /// # Errors
    /// There is no such projection or version, it serves, or the projection is being rebuilt or verified.
    pub fn drop_version(&self, name: &str, version: &str) -> Result<(), ReplayError> {
        let view = self.shared.view(name)?;
        let _lease = view.lease()?;
        let mut roster = view.roster();
        let not_dropped = |cause| {
            let (name, version) = (name.to_owned(), version.to_owned());
            Err(ReplayError::NotDropped { name, version, cause })
        };
        if version == roster.serving {
            return not_dropped("it serves; go back to another one first");
        }
        if !roster.has(version) {
            return not_dropped("there is no such version");
        }
        roster.kept.take_if(|kept| kept == version);
        roster.building.take_if(|building| building.name == version);
        view.set_roster(roster)?;
        view.remove(version);
        Ok(())
    }

    fn start(
        &self,
        name: &str,
        purpose: Purpose,
        is_possible: impl FnOnce(&View) -> Result<(), ReplayError>,
    ) -> Result<RebuildStatus, ReplayError> {
        let view = self.shared.view(name)?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.is_stopping() {
            return Err(ReplayError::Cancelled);
        }
        workers.retain(|worker| !worker.is_finished());
        let lease = view.lease()?;
        is_possible(view)?;
        let id = uuid::Uuid::now_v7().to_string();
        let rebuild = Arc::new(Rebuild::new(id, name.to_owned(), purpose));
        self.shared.remember(rebuild.clone());
        // The worker takes the lease over.
        std::mem::forget(lease);
        let (shared, name, started) = (self.shared.clone(), name.to_owned(), rebuild.clone());
        let worker = thread::Builder::new().name(format!("rebuild-{name}")).spawn(move || {
            work_in_background();
            if let Ok(view) = shared.view(&name) {
                shared.run_rebuild(view, &started, purpose, Lease(view));
            }
        });
        match worker {
            Ok(worker) => workers.push(worker),
            Err(cause) => {
                drop(Lease(view));
                rebuild.end(Phase::Failed);
                let path = view.directory.path("");
                return Err(ReplayError::Directory { path, action: "rebuilt", cause });
            }
        }
        Ok(rebuild.status())
    }

    /// The rebuilds since the process started, the newest first.
    pub fn rebuilds(&self) -> Vec<RebuildStatus> {
        self.shared.rebuilds().iter().rev().map(|rebuild| rebuild.status()).collect()
    }

    /// Asks a rebuild to end; it does at the next batch, and what it built is removed. `None` if there is none of this id.
    pub fn cancel_rebuild(&self, id: &str) -> Option<RebuildStatus> {
        self.ask(id, Rebuild::cancel)
    }

    /// Asks a rebuild to end so that it can be gone on with, by [`Views::start_rebuild`] and after a restart too. `None` if there is none of
    /// this id.
    pub fn pause_rebuild(&self, id: &str) -> Option<RebuildStatus> {
        self.ask(id, Rebuild::pause)
    }

    fn ask(&self, id: &str, what: fn(&Rebuild)) -> Option<RebuildStatus> {
        let rebuilds = self.shared.rebuilds();
        let rebuild = rebuilds.iter().find(|rebuild| rebuild.status().id == id)?;
        what(rebuild);
        Some(rebuild.status())
    }

    /// Builds a projection from the log in a scratch directory and compares it with the view that serves, at the same
    /// checkpoints. Blocks; `cancelled` is asked after every batch.
    ///
    /// # Errors
    /// There is no such projection, it is leased, a store or the log cannot be read, or it was cancelled.
    pub fn verify(&self, name: &str, cancelled: &dyn Fn() -> bool) -> Result<Verdict, ReplayError> {
        let view = self.shared.view(name)?;
        let _lease = view.lease()?;
        let scratch = view.directory.new_name("scratch")?;
        let verdict = work::verify(self.shared.site(view), &scratch, cancelled);
        // The verdict counts; a scratch that cannot be removed now is swept at the next start.
        if let Err(error) = view.directory.remove(&scratch) {
            tracing::warn!(%error, "a scratch view stays on disk until the next start");
        }
        verdict
    }

    /// Finishes the batches under way, lets rebuilds end so that they go on at the next start, and ends. Queries go on. Safe to call twice.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.rebuilds().iter().for_each(|rebuild| rebuild.pause());
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in workers {
            // A rebuild that panicked has left the old view serving.
            let _ = worker.join();
        }
        for view in &self.shared.views {
            view.live().hold();
        }
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn view(&self, name: &str) -> Result<&View, ReplayError> {
        self.views.iter().find(|view| view.spec.name == name).ok_or_else(|| ReplayError::Unknown {
            name: name.to_owned(),
            known: self.views.iter().map(|view| view.spec.name).collect::<Vec<_>>().join(", "),
        })
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn site<'a>(&'a self, view: &'a View) -> Site<'a> {
        Site { events: &self.events, view, is_stopping: &self.stopping, memory: self.settings.share() }
    }

    fn rebuilds(&self) -> MutexGuard<'_, Vec<Arc<Rebuild>>> {
        self.rebuilds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, rebuild: Arc<Rebuild>) {
        let mut rebuilds = self.rebuilds();
        if rebuilds.len() >= REMEMBERED_REBUILDS
            && let Some(oldest) = rebuilds.iter().position(|rebuild| rebuild.status().phase.is_over())
        {
            rebuilds.remove(oldest);
        }
        rebuilds.push(rebuild);
    }

    fn status(&self, view: &View) -> Result<ViewStatus, ReplayError> {
        let status = view.progress.status();
        let (roster, inputs) = (view.roster(), view.inputs.clone());
        let (lag_events, lag_micros) = Feed::lag(&self.events, &inputs, &status.checkpoints, now_micros())?;
        let is_rebuilding = self.rebuilds().iter().any(|rebuild| {
            let status = rebuild.status();
            status.projection == view.spec.name && !status.phase.is_over()
        });
        let version = |name: &str, state| {
            let bytes = view.directory.bytes(name);
            VersionStatus { name: name.to_owned(), state, bytes }
        };
        let mut versions = vec![version(&roster.serving, VersionState::Serving)];
        versions.extend(roster.kept.iter().map(|kept| version(kept, VersionState::Kept)));
        versions.extend(roster.building.iter().map(|Building { name, is_paused }| {
            let state = if *is_paused && !view.is_leased() { VersionState::Paused } else { VersionState::Building };
            version(name, state)
        }));
        Ok(ViewStatus {
            name: view.spec.name,
            version: roster.serving,
            versions,
            is_outdated: view.is_outdated(),
            inputs,
            status,
            is_rebuilding,
            lag_events,
            lag_micros,
        })
    }

    fn run_rebuild(&self, view: &View, rebuild: &Rebuild, purpose: Purpose, lease: Lease<'_>) {
        let slot = self.slots.take(|| rebuild.go_on());
        let phase = match slot {
            Ok(_slot) => {
                rebuild.begin();
                work::run(self.site(view), rebuild, purpose)
            }
            // It has no view yet, but for what an earlier one began.
            Err(ReplayError::Paused) => Phase::Paused,
            Err(_) => {
                if purpose != Purpose::Rollback
                    && let Err(error) = discard_begun(view)
                {
                    tracing::warn!(%error, "an unfinished view stays on disk until the next start");
                }
                Phase::Cancelled
            }
        };
        // Who sees that it is over may begin another.
        drop(lease);
        rebuild.end(phase);
    }
}

/// Removes what an earlier rebuild began.
fn discard_begun(view: &View) -> Result<(), ReplayError> {
    let mut roster = view.roster();
    if let Some(Building { name, .. }) = roster.building.take() {
        view.set_roster(roster)?;
        view.remove(&name);
    }
    Ok(())
}

/// Takes the views below `root` for this process.
fn lock(root: &Path) -> Result<File, ReplayError> {
    let failed = |cause| ReplayError::Directory { path: root.to_owned(), action: "opened", cause };
    fs::create_dir_all(root).map_err(failed)?;
    let file = File::create(root.join(LOCK)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ReplayError::InUse(root.to_owned())),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

#[cfg(test)]
mod tests;
