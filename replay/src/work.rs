//! A rebuild at work: carries out the steps of its [`Course`].
//!
//! Owns: what each step does to the directory and to what serves.
//! Never: decides what follows a step; the course does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        MutexGuard,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use meshlog_pipeline::{EventLog, Gap, Projection, ProjectionError, work_in_background};
use meshlog_schemas::{Checkpoints, Digest};

use crate::{
    ReplayError,
    course::{Course, Fault, Step},
    directory::{Building, Roster, ViewDirectory},
    kept::{Live, View, is_ahead},
    rebuild::{Phase, Purpose, Rebuild, built_from_in_words, catch_up, count, count_before, ends, note_gaps},
    verify::Verdict,
    view::{Opened, Opening},
};

/// What a rebuild works with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) events: &'a EventLog,
    pub(crate) view: &'a View,
    pub(crate) is_stopping: &'a AtomicBool,
    /// What it may allocate, in bytes.
    pub(crate) memory: usize,
}

impl Site<'_> {
    /// Of what it may allocate, what is read and not applied yet; the rest is the store's.
    fn reading(&self) -> usize {
        self.memory / 4
    }

    fn go_on(&self, live: &mut Live) -> Result<(), ReplayError> {
        self.view.go_on(self.events, self.is_stopping.load(Ordering::Acquire), live)
    }
}

/// Carries a rebuild out; how it ended.
pub(crate) fn run(site: Site<'_>, rebuild: &Rebuild, purpose: Purpose) -> Phase {
    let mut work = Work { site, rebuild, purpose, before: site.view.roster(), name: None, new: None, live: None };
    let mut course = Course::new();
    loop {
        let step = course.step();
        if let Step::Over(phase) = step {
            return phase;
        }
        let result = catch_unwind(AssertUnwindSafe(|| work.carry_out(step)));
        let result = result.unwrap_or(Err(ReplayError::Broken(site.view.spec.name)));
        if let Err(error) = &result {
            match step {
                Step::Discard | Step::Leave => {
                    tracing::warn!(%error, "an unfinished view stays on disk until the next start")
                }
                _ => rebuild.update(|status| status.note = Some(error.to_string())),
            }
        }
        course.answer(result.map_err(|error| match error {
            ReplayError::Cancelled => Fault::Cancelled,
            ReplayError::Paused => Fault::Paused,
            _ => Fault::Failed,
        }));
    }
}

struct Work<'a> {
    site: Site<'a>,
    rebuild: &'a Rebuild,
    purpose: Purpose,
    /// The roster as it was, but for what is built.
    before: Roster,
    /// The new view's name, and the view until it serves.
    name: Option<String>,
    new: Option<Opened>,
    /// Held from catching up on.
    live: Option<MutexGuard<'a, Live>>,
}

impl Work<'_> {
    fn carry_out(&mut self, step: Step) -> Result<(), ReplayError> {
        match step {
            Step::Fill => self.fill(),
            Step::Compare => self.compare(),
            Step::CatchUp => self.catch_up(),
            Step::Name => self.site.view.set_roster(self.after()),
            Step::NameOld => self.site.view.set_roster(self.before.clone()),
            Step::Exchange => {
                self.exchange();
                Ok(())
            }
            Step::Discard => self.discard(),
            Step::Leave => self.leave(),
            Step::GoOn => self.live.take().map_or(Ok(()), |mut live| self.site.go_on(&mut live)),
            Step::Over(_) => Ok(()),
        }
    }

    /// The roster once the new view serves.
    fn after(&self) -> Roster {
        let serving = self.name.clone().unwrap_or_default();
        let is_older = ViewDirectory::version_of(&serving) != self.site.view.spec.version;
        let is_held = self.purpose == Purpose::Rollback && is_older;
        Roster { kept: Some(self.before.serving.clone()), building: None, is_held, serving }
    }

    fn fill(&mut self) -> Result<(), ReplayError> {
        let Site { events, view, .. } = self.site;
        let (name, new) = match self.purpose {
            Purpose::Rollback => {
                let name = self.before.kept.clone();
                let name = name.ok_or_else(|| ReplayError::NothingKept(view.spec.name.to_owned()))?;
                // Not to be filled: that may end with an empty store, and this one is kept.
                let new = view.open_view(&name, None)?;
                (name, new)
            }
            _ => self.begin()?,
        };
        let inputs = new.projection.inputs();
        let (applied, total) = (count_before(events, inputs, &new.projection.checkpoints()?)?, count(events, inputs)?);
        self.rebuild.update(|status| {
            status.version = Some(name.clone());
            (status.done, status.resumed_from, status.total) = (applied, applied, total);
        });
        self.name = Some(name);
        let new = self.new.insert(new);
        let counted = |applied, gaps: &[Gap]| self.rebuild.counted(applied, gaps, count(events, inputs_of(new))?);
        catch_up(events, &new.projection, None, self.site.reading(), counted)?;
        Ok(new.projection.settle()?)
    }

    /// A new view, or the one that was begun, if this program makes such and the log has all that it has applied.
    fn begin(&mut self) -> Result<(String, Opened), ReplayError> {
        let Site { events, view, memory, .. } = self.site;
        if let Some(Building { name, .. }) = self.before.building.take() {
            if ViewDirectory::version_of(&name) == view.spec.version
                && let Ok(opened) = view.open_view(&name, Some(memory))
                && !is_ahead(events, &opened)?
            {
                let building = Some(Building { name: name.clone(), is_paused: false });
                view.set_roster(Roster { building, ..self.before.clone() })?;
                return Ok((name, opened));
            }
            view.set_roster(self.before.clone())?;
            view.remove(&name);
        }
        let name = view.directory.new_name(&view.spec.version)?;
        let opened = view.open_view(&name, Some(memory))?;
        let building = Some(Building { name: name.clone(), is_paused: false });
        view.set_roster(Roster { building, ..self.before.clone() })?;
        Ok((name, opened))
    }

    /// Compares the digests at the same checkpoints. What goes back, or is of another version, differs by its nature; then the new view is
    /// only read as a whole, so that a damaged one is not switched in.
    fn compare(&mut self) -> Result<(), ReplayError> {
        let Site { events, view, .. } = self.site;
        self.rebuild.update(|status| status.phase = Phase::Verifying);
        let Some(new) = &self.new else { return Ok(()) };
        let is_comparable = self.purpose != Purpose::Rollback && !view.is_outdated();
        if !is_comparable {
            new.projection.digest()?;
            return self.rebuild.go_on();
        }
        let mut live = view.live();
        live.hold();
        let end = ends(events, inputs_of(new))?;
        // The old view may fail: being rebuilt is what it is for. Then there is nothing to compare with.
        let caught_up = catch_up(events, &live.opened.projection, Some(&end), self.site.reading(), |_, _| Ok(()));
        let counted = |applied, gaps: &[Gap]| self.rebuild.counted(applied, gaps, count(events, inputs_of(new))?);
        if let Err(error) = catch_up(events, &new.projection, Some(&end), self.site.reading(), counted) {
            self.site.go_on(&mut live)?;
            return Err(error);
        }
        let old = live.opened.projection.clone();
        let mut gone_on = Ok(());
        let compared = match caught_up {
            Err(error) => {
                gone_on = self.site.go_on(&mut live);
                Err(error)
            }
            Ok(()) => {
                let [old, new] = digests([&*old, &*new.projection], || gone_on = self.site.go_on(&mut live));
                let new = new?;
                old.map(|old| old == new).map_err(ReplayError::from)
            }
        };
        gone_on?;
        self.rebuild.update(|status| {
            status.is_equal = compared.as_ref().ok().copied();
            status.note = match compared {
                Ok(true) => None,
                Ok(false) => Some("the view that was replaced differed from the log".to_owned()),
                Err(cause) => Some(format!("the view that was replaced could not be compared: {cause}")),
            };
        });
        self.rebuild.go_on()
    }

    fn catch_up(&mut self) -> Result<(), ReplayError> {
        let Site { events, view, .. } = self.site;
        let Some(new) = &self.new else { return Ok(()) };
        let mut counted = |applied, gaps: &[Gap]| self.rebuild.counted(applied, gaps, count(events, inputs_of(new))?);
        // What came while they were compared, before the old one is held still.
        catch_up(events, &new.projection, None, self.site.reading(), &mut counted)?;
        self.rebuild.update(|status| status.phase = Phase::Switching);
        let live = self.live.insert(view.live());
        live.hold();
        let end = ends(events, inputs_of(new))?;
        catch_up(events, &new.projection, Some(&end), self.site.reading(), &mut counted)?;
        self.rebuild.counted(0, &[], count(events, inputs_of(new))?)
    }

    fn exchange(&mut self) {
        let (Some(mut new), Some(name), Some(live)) = (self.new.take(), self.name.take(), &mut self.live) else {
            return;
        };
        std::mem::replace(&mut new.publish, Box::new(|| ()))();
        let old = std::mem::replace(&mut live.opened, new);
        let view = self.site.view;
        view.rest(self.before.serving.clone(), old);
        if let Some(older) = self.before.kept.take().filter(|older| *older != name) {
            view.remove(&older);
        }
        self.rebuild.update(|status| {
            let starts = built_from_in_words(&status.built_from);
            let note = status.note.take();
            status.note = [starts, note].into_iter().flatten().reduce(|one, other| format!("{one}; {other}"));
        });
    }

    /// A view that served before stays kept.
    fn discard(&mut self) -> Result<(), ReplayError> {
        self.new = None;
        let Some(name) = self.name.take().filter(|_| self.purpose != Purpose::Rollback) else { return Ok(()) };
        self.site.view.set_roster(self.before.clone())?;
        self.site.view.remove(&name);
        Ok(())
    }

    /// What somebody paused waits for somebody; what everything stopped for goes on by itself at the next start.
    fn leave(&mut self) -> Result<(), ReplayError> {
        let settled = self.new.take().map_or(Ok(()), |new| new.projection.settle());
        settled.unwrap_or_else(|error| tracing::warn!(%error, "a rebuild that stops loses some of its way"));
        let Some(name) = self.name.take().filter(|_| self.purpose != Purpose::Rollback) else { return Ok(()) };
        let is_paused = !self.site.is_stopping.load(Ordering::Acquire);
        let building = Some(Building { name, is_paused });
        self.site.view.set_roster(Roster { building, ..self.before.clone() })
    }
}

fn inputs_of(opened: &Opened) -> &[meshlog_schemas::Topic] {
    opened.projection.inputs()
}

/// Builds the view in a scratch directory and compares it with the one that serves, at the same checkpoints.
pub(crate) fn verify(site: Site<'_>, scratch: &str, cancelled: &dyn Fn() -> bool) -> Result<Verdict, ReplayError> {
    let Site { events, view, memory, .. } = site;
    let opening = Opening { path: &view.directory.path(scratch), version: &view.spec.version, memory: Some(memory) };
    let rebuilt = (view.spec.open)(opening)?;
    let mut built_from = Checkpoints::default();
    let mut go_on = |_, gaps: &[Gap]| {
        note_gaps(&mut built_from, gaps);
        let ends = cancelled() || site.is_stopping.load(Ordering::Acquire);
        if ends { Err(ReplayError::Cancelled) } else { Ok(()) }
    };
    // Most of the way while the view goes on; only the rest with it held still.
    let ahead = view.live().opened.projection.checkpoints()?;
    catch_up(events, &rebuilt.projection, Some(&ahead), site.reading(), &mut go_on)?;
    rebuilt.projection.settle()?;
    let mut live = view.live();
    live.hold();
    let met = live.opened.projection.checkpoints().map_err(ReplayError::from);
    let met = met.and_then(|at| catch_up(events, &rebuilt.projection, Some(&at), site.reading(), &mut go_on));
    if let Err(error) = met {
        site.go_on(&mut live)?;
        return Err(error);
    }
    let old = live.opened.projection.clone();
    let mut gone_on = Ok(());
    let [live, rebuilt] = digests([&*old, &*rebuilt.projection], || gone_on = site.go_on(&mut live));
    gone_on?;
    Ok(Verdict { projection: view.spec.name.to_owned(), live: live?, rebuilt: rebuilt?, built_from })
}

/// The digests of two views as they are now. `fixed` is called once it is decided what is in them, so that they may go on.
fn digests(views: [&dyn Projection; 2], fixed: impl FnOnce()) -> [Result<Digest, ProjectionError>; 2] {
    thread::scope(|scope| {
        let (told, is_fixed) = mpsc::channel();
        let digesting = views.map(|view| {
            let told = told.clone();
            scope.spawn(move || {
                work_in_background();
                // Nobody may listen any more.
                view.digest_telling(&|| _ = told.send(()))
            })
        });
        drop(told);
        // Each has told, or has failed and let go of its end.
        is_fixed.iter().take(views.len()).for_each(drop);
        fixed();
        let broken = || Err(ProjectionError("the digest broke off; this is a bug".to_owned()));
        digesting.map(|digest| digest.join().unwrap_or_else(|_| broken()))
    })
}
