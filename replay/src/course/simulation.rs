//! The simulation of rebuilds: a course against a model of directory, views and log, with a fault, a cancellation, a pause or the
//! end of the process at any step, all of it decided by a seed.
//!
//! `MESHLOG_SIM_SEEDS=100000 cargo test simulation` runs more seeds; `MESHLOG_SIM_SEED=17` runs one.

use std::collections::BTreeMap;

use super::*;
use crate::seeds::Chance;

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// It fails and has no effect.
    FailsBefore,
    /// It fails and has its effect, or some of it.
    FailsAfter,
    /// The process ends before it, or after its effect.
    CrashBefore,
    CrashAfter,
}

/// The name of a view.
type Name = u64;

/// A view in its directory: how far it has read.
type View = u64;

/// What `CURRENT` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Roster {
    serving: Name,
    kept: Option<Name>,
    /// With whether somebody paused it.
    building: Option<(Name, bool)>,
}

impl Roster {
    fn names(self) -> impl Iterator<Item = Name> {
        [Some(self.serving), self.kept, self.building.map(|(name, _)| name)].into_iter().flatten()
    }
}

#[derive(Default)]
struct Simulation {
    end: u64,
    // What survives a crash.
    roster: Option<Roster>,
    views: BTreeMap<Name, View>,
    /// How far the view that is named had come while it served: what a restart must not take back.
    seen: u64,
    // What does not.
    serving: Option<Name>,
    is_held: bool,
}

/// A rebuild, as the work knows it.
#[derive(Clone, Copy)]
struct Work {
    is_rollback: bool,
    /// Without what is built.
    before: Roster,
    new: Name,
}

impl Simulation {
    fn new_name(&self) -> Name {
        self.views.keys().max().map_or(1, |newest| newest + 1)
    }

    /// What opening does, in its order; it may be killed on its way.
    fn open(&mut self, chance: &mut Chance) {
        let mut is_killed = || chance.below(6) == 0;
        let roster = match self.roster {
            Some(roster) => roster,
            None => {
                let roster = Roster { serving: self.new_name(), ..Roster::default() };
                self.views.insert(roster.serving, 0);
                if is_killed() {
                    return;
                }
                self.roster = Some(roster);
                roster
            }
        };
        if is_killed() {
            return;
        }
        self.views.retain(|view, _| roster.names().any(|name| name == *view));
        self.serving = Some(roster.serving);
        self.is_held = false;
        assert!(self.views[&roster.serving] >= self.seen, "a restart takes back what queries have seen");
    }

    fn crash(&mut self) {
        self.serving = None;
    }

    /// The view that serves is kept up to date.
    fn project(&mut self) {
        let serving = self.serving.expect("a view serves");
        if !self.is_held {
            self.views.insert(serving, self.end);
        }
        // Where CURRENT could not be set right the other view is named, which is whole, and behind.
        if self.roster.is_some_and(|roster| roster.serving == serving) {
            self.seen = self.views[&serving];
        }
    }

    fn take_effect(&mut self, step: Step, work: Work, chance: &mut Chance) {
        let Work { is_rollback, before, new } = work;
        match step {
            Step::Fill => {
                // It may come anywhere.
                let from = self.views.get(&new).copied().unwrap_or_default();
                self.views.insert(new, from + chance.below(self.end - from + 1));
                if !is_rollback {
                    self.roster = Some(Roster { building: Some((new, false)), ..before });
                }
            }
            Step::Compare | Step::Over(_) => {}
            Step::CatchUp => {
                self.is_held = true;
                self.views.insert(new, self.end);
            }
            Step::Name => self.roster = Some(Roster { serving: new, kept: Some(before.serving), building: None }),
            Step::NameOld => self.roster = Some(before),
            Step::Exchange => {
                self.serving = Some(new);
                if let Some(older) = before.kept.filter(|older| *older != new) {
                    self.views.remove(&older);
                }
            }
            Step::Discard if is_rollback => {}
            Step::Discard => {
                self.roster = Some(before);
                self.views.remove(&new);
            }
            Step::Leave if is_rollback => {}
            Step::Leave => self.roster = Some(Roster { building: Some((new, chance.below(2) == 0)), ..before }),
            Step::GoOn => self.is_held = false,
        }
    }

    /// A rebuild or a rollback to its end, or to the end of the process.
    fn rebuild(&mut self, chance: &mut Chance) {
        let old = self.serving.expect("a view serves");
        let roster = self.roster.expect("a view is named");
        if roster.serving != old {
            // CURRENT could not be set right: only a start can tell which it is.
            return;
        }
        let is_rollback = roster.kept.is_some() && chance.below(3) == 0;
        let new = match (is_rollback, roster.building) {
            (true, _) => roster.kept.expect("one is kept"),
            (false, Some((building, _))) => building,
            (false, None) => self.new_name(),
        };
        let work = Work { is_rollback, before: Roster { building: None, ..roster }, new };
        if is_rollback {
            assert!(self.views.contains_key(&new), "what is kept is gone");
        }
        let before = self.views[&old];
        let mut course = Course::new();
        let mut steps = 0;
        let end = loop {
            steps += 1;
            assert!(steps < 20, "it comes to an end");
            let step = course.step();
            if let Step::Over(end) = step {
                break end;
            }
            let fate = match chance.below(24) {
                0 | 1 if step != Step::Exchange => Fate::FailsBefore,
                2 if step != Step::Exchange => Fate::FailsAfter,
                3 => Fate::CrashBefore,
                4 => Fate::CrashAfter,
                _ => Fate::Done,
            };
            if !matches!(fate, Fate::FailsBefore | Fate::CrashBefore) {
                self.take_effect(step, work, chance);
            }
            if matches!(fate, Fate::CrashBefore | Fate::CrashAfter) {
                return self.crash();
            }
            let can_be_ended = matches!(step, Step::Fill | Step::Compare | Step::CatchUp);
            course.answer(match fate {
                Fate::Done => Ok(()),
                _ if can_be_ended && chance.below(3) == 0 => Err(Fault::Cancelled),
                _ if can_be_ended && chance.below(2) == 0 => Err(Fault::Paused),
                _ => Err(Fault::Failed),
            });
            self.check();
            self.end += chance.below(3);
            self.project();
        };
        let serving = self.serving.expect("a view serves");
        assert!(end != Phase::Done || serving == new, "it is done and the old view serves");
        assert!(self.views[&serving] >= before, "what serves has not less than before");
        if serving == new {
            assert_eq!(self.roster.and_then(|roster| roster.kept), Some(old), "what served before can be gone back to");
            assert!(self.views.contains_key(&old));
        }
        if end == Phase::Paused && !is_rollback && self.views.contains_key(&new) {
            // Unless the pause itself failed to be written down.
            let building = self.roster.and_then(|roster| roster.building);
            assert!(building.is_none_or(|(name, _)| name == new), "another one is to be gone on with");
        }
    }

    /// One view serves, and it is there; so are those that are named.
    fn check(&self) {
        let serving = self.serving.expect("a view serves");
        assert!(self.views.contains_key(&serving), "what serves is gone");
        let roster = self.roster.expect("a view is named");
        assert!(self.views.contains_key(&roster.serving), "what is named is gone");
    }
}

fn run(seed: u64) {
    let mut chance = Chance(seed);
    let mut simulation = Simulation::default();
    for _ in 0..40 {
        simulation.end += chance.below(5);
        if simulation.serving.is_none() {
            simulation.open(&mut chance);
            if let (Some(_), Some(roster)) = (simulation.serving, simulation.roster) {
                let is_named = |view: &Name| roster.names().any(|name| name == *view);
                assert!(simulation.views.keys().all(is_named), "a start leaves no orphan");
            }
            continue;
        }
        simulation.project();
        match chance.below(4) {
            0 => simulation.crash(),
            _ => simulation.rebuild(&mut chance),
        }
    }
}

#[test]
fn whatever_fails_or_dies_at_any_step_one_whole_view_serves_and_no_orphan_outlives_a_start() {
    crate::seeds::for_each_seed(2_000, run);
}
