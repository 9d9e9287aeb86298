//! One projection's views in a process: the one that serves, and what is known of the others.
//!
//! Owns: the lease (one rebuild, verification or change of the roster at a time), the roster, and which view is opened at a start.
//! Never: leaves the projection without a view that serves.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use meshlog_pipeline::{EventLog, Progress, ProjectionRunner};
use meshlog_schemas::Topic;

use crate::{
    ReplayError,
    directory::{Roster, ViewDirectory},
    rebuild::ends,
    view::{Opened, Opening, ViewSpec},
};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So long a view that no longer serves may still be read by queries that were begun before.
const LONGEST_QUERY: Duration = Duration::from_secs(60);

/// One projection's views.
pub(crate) struct View {
    pub(crate) spec: ViewSpec,
    pub(crate) directory: ViewDirectory,
    pub(crate) progress: Arc<Progress>,
    /// Taken by a rebuild or a verification.
    leased: AtomicBool,
    pub(crate) inputs: Vec<Topic>,
    /// Apart from `live`, so that looking does not wait for a switch.
    roster: Mutex<Roster>,
    live: Mutex<Live>,
    /// Views that no longer serve and may still be read, with a way to ask.
    resting: Mutex<Vec<Resting>>,
}

type Resting = (String, Box<dyn Fn() -> bool + Send>);

/// The view that serves.
pub(crate) struct Live {
    pub(crate) opened: Opened,
    /// `None` while it is held still, and after stopping.
    runner: Option<ProjectionRunner>,
}

impl Live {
    /// Finishes the batch under way and holds the projection still.
    pub(crate) fn hold(&mut self) {
        self.runner = None;
    }
}

/// A lease on a projection; given back on drop.
pub(crate) struct Lease<'a>(pub(crate) &'a View);

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.0.leased.store(false, Ordering::Release);
    }
}

impl View {
    /// Opens the view that serves and keeps it up to date.
    ///
    /// That is the one that served last, if this program can serve it, of whatever version; without one, a new one, which fills while it
    /// serves.
    pub(crate) fn open(root: &Path, events: &EventLog, spec: ViewSpec) -> Result<Self, ReplayError> {
        let directory = ViewDirectory::open(root.join(spec.name))?;
        let (roster, mut opened) = open_serving(&directory, &spec, events)?;
        std::mem::replace(&mut opened.publish, Box::new(|| ()))();
        let progress = Arc::new(Progress::default());
        let runner = ProjectionRunner::start(spec.name, events.clone(), opened.projection.clone(), progress.clone())?;
        Ok(Self {
            inputs: opened.projection.inputs().to_vec(),
            live: Mutex::new(Live { opened, runner: Some(runner) }),
            leased: AtomicBool::new(false),
            roster: Mutex::new(roster),
            resting: Mutex::default(),
            spec,
            directory,
            progress,
        })
    }

    /// Which views there are.
    pub(crate) fn roster(&self) -> Roster {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says which views there are, first on the disk. Only with a lease.
    pub(crate) fn set_roster(&self, roster: Roster) -> Result<(), ReplayError> {
        self.directory.set_roster(&roster)?;
        *self.roster.lock().unwrap_or_else(PoisonError::into_inner) = roster;
        Ok(())
    }

    /// Whether what serves is of the version that this program and its model make.
    pub(crate) fn is_outdated(&self) -> bool {
        ViewDirectory::version_of(&self.roster().serving) != self.spec.version
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lease(&self) -> Result<Lease<'_>, ReplayError> {
        match self.leased.swap(true, Ordering::AcqRel) {
            false => Ok(Lease(self)),
            true => Err(ReplayError::Busy(self.spec.name.to_owned())),
        }
    }

    pub(crate) fn is_leased(&self) -> bool {
        self.leased.load(Ordering::Acquire)
    }

    /// Opens one of its views, or makes a new one, once queries have let go of it.
    pub(crate) fn open_view(&self, name: &str, memory: Option<usize>) -> Result<Opened, ReplayError> {
        let mut waited = Duration::ZERO;
        while self.is_resting(name) && waited < LONGEST_QUERY {
            thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        open(&self.directory, &self.spec, name, memory)
    }

    /// Lets a view rest that no longer serves. Its files are closed once the last query has let go of it.
    pub(crate) fn rest(&self, name: String, old: Opened) {
        let Opened { projection, is_in_use, publish } = old;
        drop((projection, publish));
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|(_, is_in_use)| is_in_use());
        resting.push((name, is_in_use));
    }

    /// Removes a view that is no longer in the roster. What cannot be removed now is swept at the next start.
    pub(crate) fn remove(&self, name: &str) {
        // A store may be closing its files still, so a first attempt may find the directory not empty.
        let removed = (0..50).any(|attempt| {
            if attempt > 0 {
                thread::sleep(LOOK_EVERY);
            }
            !self.is_resting(name) && self.directory.remove(name).is_ok()
        });
        if !removed {
            tracing::warn!(name, "a view that is not needed any more stays on disk until the next start");
        }
    }

    fn is_resting(&self, name: &str) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.iter().any(|(resting, is_in_use)| resting == name && is_in_use())
    }

    /// Lets the projection run again after [`Live::hold`], unless everything is stopping.
    pub(crate) fn go_on(&self, events: &EventLog, is_stopping: bool, live: &mut Live) -> Result<(), ReplayError> {
        if !is_stopping {
            let projection = live.opened.projection.clone();
            let (name, progress) = (self.spec.name, self.progress.clone());
            live.runner = Some(ProjectionRunner::start(name, events.clone(), projection, progress)?);
        }
        Ok(())
    }
}

fn open(directory: &ViewDirectory, spec: &ViewSpec, name: &str, memory: Option<usize>) -> Result<Opened, ReplayError> {
    let version = ViewDirectory::version_of(name);
    Ok((spec.open)(Opening { path: &directory.path(name), version, memory })?)
}

/// Whether a log that was restored from a backup ends before what the view has applied: such a view holds events that are gone, and
/// would pass over those that take their places.
pub(crate) fn is_ahead(events: &EventLog, opened: &Opened) -> Result<bool, ReplayError> {
    Ok(!ends(events, opened.projection.inputs())?.covers(&opened.projection.checkpoints()?))
}

/// Opens the view that serves, or makes a new one if there is none that this program can use.
fn open_serving(
    directory: &ViewDirectory,
    spec: &ViewSpec,
    events: &EventLog,
) -> Result<(Roster, Opened), ReplayError> {
    if let Some(roster) = directory.roster()? {
        match open(directory, spec, &roster.serving, None) {
            Ok(opened) if is_ahead(events, &opened)? => {
                tracing::warn!(projection = spec.name, "the view is ahead of the log and is built anew");
            }
            Ok(opened) => {
                directory.sweep(&roster)?;
                return Ok((roster, opened));
            }
            Err(error) => tracing::warn!(projection = spec.name, %error, "the view is built anew from the log"),
        }
    }
    let roster = Roster::of(directory.new_name(&spec.version)?);
    let opened = open(directory, spec, &roster.serving, None)?;
    directory.set_roster(&roster)?;
    directory.sweep(&roster)?;
    Ok((roster, opened))
}
