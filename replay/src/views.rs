//! The keeper of all views: opens them, keeps them up to date, rebuilds, switches and verifies them.
//!
//! Owns: the lease of each projection (one rebuild or verification at a time), and that exactly one view of each
//! serves.
//! Never: leaves a projection without a view while the process runs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use meshlog_pipeline::{EventLog, Feed, Gap, Progress, ProjectionRunner, Status, now_micros, work_in_background};
use meshlog_schemas::{Checkpoints, Digest, Topic};

use crate::{
    ReplayError,
    course::{Course, Fault, Step},
    directory::ViewDirectory,
    reaper::retire,
    rebuild::{Phase, Rebuild, RebuildStatus, built_from_in_words, catch_up, count, ends, note_gaps},
    verify::Verdict,
    view::{Opened, ViewSpec},
};

/// How many ended rebuilds are remembered.
const REMEMBERED_REBUILDS: usize = 32;

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

struct Shared {
    events: EventLog,
    views: Vec<View>,
    rebuilds: Mutex<Vec<Arc<Rebuild>>>,
    stopping: AtomicBool,
}

struct View {
    spec: ViewSpec,
    directory: Arc<ViewDirectory>,
    progress: Arc<Progress>,
    /// Taken by a rebuild or a verification.
    leased: AtomicBool,
    inputs: Vec<Topic>,
    /// The name of the view that serves; apart from `live`, so that looking does not wait for a digest or a switch.
    name: Mutex<String>,
    live: Mutex<Live>,
}

/// The view that serves.
struct Live {
    opened: Opened,
    /// `None` while it is held still, and after stopping.
    runner: Option<ProjectionRunner>,
}

/// A lease on a projection; given back on drop.
struct Lease<'a>(&'a View);

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.0.leased.store(false, Ordering::Release);
    }
}

impl Views {
    /// Opens the views below `root` and starts to keep them up to date.
    ///
    /// A projection without a view, with one of another version, or with one that cannot be opened gets a new one,
    /// which is filled from the start of the log; queries see it fill.
    ///
    /// # Errors
    /// A directory cannot be used, or a new view cannot be made.
    pub fn open(root: &Path, events: EventLog, specs: Vec<ViewSpec>) -> Result<Self, ReplayError> {
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
            let opened = opening.into_iter().map(|view| view?.join().unwrap_or_else(|panic| resume_unwind(panic)));
            opened.collect::<Result<_, _>>()
        })?;
        let shared = Shared { events, views, rebuilds: Mutex::new(Vec::new()), stopping: AtomicBool::new(false) };
        Ok(Self { shared: Arc::new(shared), workers: Mutex::new(Vec::new()) })
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

    /// The digest of the view that serves. It is held still for as long as that takes; queries go on.
    ///
    /// # Errors
    /// There is no such projection, or its store cannot be read.
    pub fn digest(&self, name: &str) -> Result<Digest, ReplayError> {
        let view = self.shared.view(name)?;
        let mut live = view.live();
        live.hold();
        let digest = live.opened.projection.digest();
        view.go_on(&self.shared, &mut live)?;
        Ok(digest?)
    }

    /// Starts to rebuild a projection in the background.
    ///
    /// # Errors
    /// There is no such projection, or it is being rebuilt or verified already.
    pub fn start_rebuild(&self, name: &str) -> Result<RebuildStatus, ReplayError> {
        let view = self.shared.view(name)?;
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(ReplayError::Cancelled);
        }
        workers.retain(|worker| !worker.is_finished());
        let lease = view.lease()?;
        let id = uuid::Uuid::now_v7().to_string();
        let rebuild = Arc::new(Rebuild::new(id, name.to_owned()));
        self.shared.remember(rebuild.clone());
        // The worker takes the lease over.
        std::mem::forget(lease);
        let (shared, name, started) = (self.shared.clone(), name.to_owned(), rebuild.clone());
        let worker = std::thread::Builder::new().name(format!("rebuild-{name}")).spawn(move || {
            work_in_background();
            if let Ok(view) = shared.view(&name) {
                shared.run_rebuild(view, &started, Lease(view));
            }
        });
        match worker {
            Ok(worker) => workers.push(worker),
            Err(cause) => {
                drop(Lease(view));
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

    /// Asks a rebuild to end; it does at the next batch. `None` if there is none of this id.
    pub fn cancel_rebuild(&self, id: &str) -> Option<RebuildStatus> {
        let rebuilds = self.shared.rebuilds();
        let rebuild = rebuilds.iter().find(|rebuild| rebuild.status().id == id)?;
        rebuild.cancel();
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
        let verdict = self.shared.verify_in(view, &scratch, cancelled);
        // The verdict counts; a scratch that cannot be removed now is swept at the next start.
        if let Err(error) = view.directory.remove(&scratch) {
            tracing::warn!(%error, "a scratch view stays on disk until the next start");
        }
        verdict
    }

    /// Finishes the batches under way, cancels rebuilds, and ends. Queries go on. Safe to call twice.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.rebuilds().iter().for_each(|rebuild| rebuild.cancel());
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
        let (version, inputs) = (view.name().clone(), view.inputs.clone());
        let (lag_events, lag_micros) = Feed::lag(&self.events, &inputs, &status.checkpoints, now_micros())?;
        let is_rebuilding = self.rebuilds().iter().any(|rebuild| {
            let status = rebuild.status();
            status.projection == view.spec.name && !status.phase.is_over()
        });
        Ok(ViewStatus { name: view.spec.name, version, inputs, status, is_rebuilding, lag_events, lag_micros })
    }

    fn run_rebuild(&self, view: &View, rebuild: &Rebuild, _lease: Lease<'_>) {
        let mut work = Work { shared: self, view, rebuild, name: None, new: None, live: None, differs: None };
        let mut course = Course::new();
        let phase = loop {
            let step = course.step();
            if let Step::Over(phase) = step {
                break phase;
            }
            let result = catch_unwind(AssertUnwindSafe(|| work.carry_out(step)));
            let result = result.unwrap_or(Err(ReplayError::Broken(view.spec.name)));
            if let Err(error) = &result {
                if step == Step::Discard {
                    tracing::warn!(%error, "an unfinished view stays on disk until the next start");
                } else {
                    rebuild.update(|status| status.note = Some(error.to_string()));
                }
            }
            course.answer(result.map_err(|error| match error {
                ReplayError::Cancelled => Fault::Cancelled,
                _ => Fault::Failed,
            }));
        };
        drop(work);
        rebuild.update(|status| {
            status.phase = phase;
            status.eta_seconds = None;
        });
    }

    fn verify_in(&self, view: &View, scratch: &str, cancelled: &dyn Fn() -> bool) -> Result<Verdict, ReplayError> {
        let rebuilt = (view.spec.open)(&view.directory.path(scratch))?;
        let mut built_from = Checkpoints::default();
        let mut go_on = |_, gaps: &[Gap]| {
            note_gaps(&mut built_from, gaps);
            let ends = cancelled() || self.stopping.load(Ordering::Acquire);
            if ends { Err(ReplayError::Cancelled) } else { Ok(()) }
        };
        // Most of the way while the view goes on; only the rest with it held still.
        let ahead = view.live().opened.projection.checkpoints()?;
        catch_up(&self.events, &rebuilt.projection, Some(&ahead), &mut go_on)?;
        let mut live = view.live();
        live.hold();
        let compared = compare(&self.events, &live.opened, &rebuilt, &mut go_on);
        view.go_on(self, &mut live)?;
        let (live, rebuilt) = compared?;
        Ok(Verdict { projection: view.spec.name.to_owned(), live, rebuilt, built_from })
    }
}

/// A rebuild at work: carries out the steps of its [`Course`].
struct Work<'a> {
    shared: &'a Shared,
    view: &'a View,
    rebuild: &'a Rebuild,
    /// The new view's name, and the view until it serves.
    name: Option<String>,
    new: Option<Opened>,
    /// Held from catching up on.
    live: Option<MutexGuard<'a, Live>>,
    differs: Option<String>,
}

impl Work<'_> {
    fn carry_out(&mut self, step: Step) -> Result<(), ReplayError> {
        match step {
            Step::Fill => self.fill(),
            Step::CatchUp => self.catch_up(),
            Step::Compare => self.compare(),
            Step::Name => self.view.directory.set_current(self.name.as_deref().unwrap_or_default()),
            Step::NameOld => self.view.directory.set_current(&self.view.name().clone()),
            Step::Exchange => {
                self.exchange();
                Ok(())
            }
            Step::Discard => {
                self.new = None;
                self.name.take().map_or(Ok(()), |name| self.view.directory.remove(&name))
            }
            Step::GoOn => self.live.take().map_or(Ok(()), |mut live| self.view.go_on(self.shared, &mut live)),
            Step::Over(_) => Ok(()),
        }
    }

    fn fill(&mut self) -> Result<(), ReplayError> {
        let name = self.view.directory.new_name(&self.view.spec.version)?;
        let path = self.view.directory.path(&name);
        self.name = Some(name);
        let new = self.new.insert((self.view.spec.open)(&path)?);
        let (events, inputs) = (&self.shared.events, new.projection.inputs());
        let counted = |applied, gaps: &[Gap]| self.rebuild.counted(applied, gaps, count(events, inputs)?);
        catch_up(events, &new.projection, None, counted)
    }

    fn catch_up(&mut self) -> Result<(), ReplayError> {
        self.rebuild.update(|status| status.phase = Phase::Switching);
        let live = self.live.insert(self.view.live());
        live.hold();
        let Some(new) = &self.new else { return Ok(()) };
        let (events, inputs) = (&self.shared.events, new.projection.inputs());
        let end = ends(events, inputs)?;
        let counted = |applied, gaps: &[Gap]| self.rebuild.counted(applied, gaps, count(events, inputs)?);
        catch_up(events, &new.projection, Some(&end), counted)?;
        // The old view may fail: being rebuilt is what it is for. Then there is nothing to compare with.
        if let Err(error) = catch_up(events, &live.opened.projection, Some(&end), |_, _| Ok(())) {
            self.differs = Some(format!("the view that was replaced could not be compared: {error}"));
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), ReplayError> {
        let (Some(new), Some(live)) = (&self.new, &self.live) else { return Ok(()) };
        if self.differs.is_none() {
            let rebuilt = new.projection.digest()?;
            self.differs = match live.opened.projection.digest() {
                Ok(old) if old == rebuilt => None,
                Ok(_) => Some("the view that was replaced differed from the log".to_owned()),
                Err(error) => Some(format!("the view that was replaced could not be compared: {error}")),
            };
        }
        self.rebuild.counted(0, &[], count(&self.shared.events, new.projection.inputs())?)
    }

    fn exchange(&mut self) {
        let (Some(mut new), Some(name), Some(live)) = (self.new.take(), self.name.take(), &mut self.live) else {
            return;
        };
        std::mem::replace(&mut new.publish, Box::new(|| ()))();
        let old = std::mem::replace(&mut live.opened, new);
        let old_name = std::mem::replace(&mut *self.view.name(), name);
        retire(self.view.directory.clone(), old_name, old);
        let differs = self.differs.take();
        self.rebuild.update(|status| {
            let starts = built_from_in_words(&status.built_from);
            status.note = [starts, differs].into_iter().flatten().reduce(|one, other| format!("{one}; {other}"));
        });
    }
}

fn compare(
    events: &EventLog,
    live: &Opened,
    rebuilt: &Opened,
    go_on: impl FnMut(u64, &[Gap]) -> Result<(), ReplayError>,
) -> Result<(Digest, Digest), ReplayError> {
    let at: Checkpoints = live.projection.checkpoints()?;
    catch_up(events, &rebuilt.projection, Some(&at), go_on)?;
    Ok((live.projection.digest()?, rebuilt.projection.digest()?))
}

impl View {
    fn open(root: &Path, events: &EventLog, spec: ViewSpec) -> Result<Self, ReplayError> {
        let directory = Arc::new(ViewDirectory::open(root.join(spec.name))?);
        let (name, mut opened) = open_current(&directory, &spec, events)?;
        std::mem::replace(&mut opened.publish, Box::new(|| ()))();
        let progress = Arc::new(Progress::default());
        let runner = ProjectionRunner::start(spec.name, events.clone(), opened.projection.clone(), progress.clone())?;
        let inputs = opened.projection.inputs().to_vec();
        let live = Mutex::new(Live { opened, runner: Some(runner) });
        let leased = AtomicBool::new(false);
        Ok(Self { spec, directory, progress, leased, inputs, name: Mutex::new(name), live })
    }

    fn name(&self) -> MutexGuard<'_, String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease(&self) -> Result<Lease<'_>, ReplayError> {
        match self.leased.swap(true, Ordering::AcqRel) {
            false => Ok(Lease(self)),
            true => Err(ReplayError::Busy(self.spec.name.to_owned())),
        }
    }

    /// Lets the projection run again after [`Live::hold`], unless everything is stopping.
    fn go_on(&self, shared: &Shared, live: &mut Live) -> Result<(), ReplayError> {
        if !shared.stopping.load(Ordering::Acquire) {
            let projection = live.opened.projection.clone();
            let events = shared.events.clone();
            live.runner = Some(ProjectionRunner::start(self.spec.name, events, projection, self.progress.clone())?);
        }
        Ok(())
    }
}

impl Live {
    /// Finishes the batch under way and holds the projection still.
    fn hold(&mut self) {
        self.runner = None;
    }
}

/// Opens the view that serves, or makes a new one if there is none that this program can use.
fn open_current(
    directory: &ViewDirectory,
    spec: &ViewSpec,
    events: &EventLog,
) -> Result<(String, Opened), ReplayError> {
    let current = directory.current()?.filter(|name| ViewDirectory::is_of_version(name, &spec.version));
    if let Some(name) = current {
        match (spec.open)(&directory.path(&name)) {
            // A log that was restored from a backup may end before what the view has applied: such a view holds events
            // that are gone, and would pass over those that take their places.
            Ok(opened) if !ends(events, opened.projection.inputs())?.covers(&opened.projection.checkpoints()?) => {
                tracing::warn!(projection = spec.name, "the view is ahead of the log and is built anew");
            }
            Ok(opened) => {
                directory.remove_all_but(&name)?;
                return Ok((name, opened));
            }
            Err(error) => tracing::warn!(projection = spec.name, %error, "the view is built anew from the log"),
        }
    }
    let name = directory.new_name(&spec.version)?;
    let opened = (spec.open)(&directory.path(&name))?;
    directory.set_current(&name)?;
    directory.remove_all_but(&name)?;
    Ok((name, opened))
}

#[cfg(test)]
mod tests;
