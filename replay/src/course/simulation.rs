//! The simulation of rebuilds: a course against a model of directory, views and log, with a fault, a cancellation or the end
//! of the process at any step, all of it decided by a seed.
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

#[derive(Default)]
struct Simulation {
    end: u64,
    // What survives a crash.
    current: Option<Name>,
    views: BTreeMap<Name, View>,
    /// How far the view that is named had come while it served: what a restart must not take back.
    seen: u64,
    // What does not.
    serving: Option<Name>,
    is_held: bool,
}

impl Simulation {
    fn new_name(&self) -> Name {
        self.views.keys().max().map_or(1, |newest| newest + 1)
    }

    /// What opening does, in its order; it may be killed on its way.
    fn open(&mut self, chance: &mut Chance) {
        let mut is_killed = || chance.below(6) == 0;
        let current = self.current.filter(|name| self.views.contains_key(name));
        let name = match current {
            Some(name) => name,
            None => {
                assert!(self.current.is_none(), "the view that is named is gone");
                let name = self.new_name();
                self.views.insert(name, 0);
                if is_killed() {
                    return;
                }
                self.current = Some(name);
                name
            }
        };
        if is_killed() {
            return;
        }
        self.views.retain(|view, _| *view == name);
        self.serving = Some(name);
        self.is_held = false;
        assert!(self.views[&name] >= self.seen, "a restart takes back what queries have seen");
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
        if self.current == Some(serving) {
            self.seen = self.views[&serving];
        }
    }

    fn take_effect(&mut self, step: Step, old: Name, new: Name) {
        match step {
            Step::Fill => drop(self.views.insert(new, self.end)),
            Step::CatchUp => {
                self.is_held = true;
                self.views.insert(new, self.end);
                self.views.insert(old, self.end);
            }
            Step::Compare | Step::Over(_) => {}
            Step::Name => self.current = Some(new),
            Step::NameOld => self.current = Some(old),
            Step::Exchange => self.serving = Some(new),
            Step::Discard => drop(self.views.remove(&new)),
            Step::GoOn => self.is_held = false,
        }
    }

    /// A rebuild to its end, or to the end of the process.
    fn rebuild(&mut self, chance: &mut Chance) {
        let old = self.serving.expect("a view serves");
        let (new, before) = (self.new_name(), self.views[&old]);
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
                self.take_effect(step, old, new);
            }
            if matches!(fate, Fate::CrashBefore | Fate::CrashAfter) {
                return self.crash();
            }
            let can_be_cancelled = matches!(step, Step::Fill | Step::CatchUp | Step::Compare);
            course.answer(match fate {
                Fate::Done => Ok(()),
                _ if can_be_cancelled && chance.below(2) == 0 => Err(Fault::Cancelled),
                _ => Err(Fault::Failed),
            });
            self.check();
            self.end += chance.below(3);
            self.project();
        };
        let serving = self.serving.expect("a view serves");
        assert!(end != Phase::Done || serving == new, "it is done and the old view serves");
        assert!(self.views[&serving] >= before, "what serves has not less than before");
        if serving == old {
            assert!(matches!(end, Phase::Cancelled | Phase::Failed));
        } else if chance.below(2) == 0 {
            // The reaper is done with the old view, or the process ends before it is.
            self.views.remove(&old);
        }
    }

    /// One view serves, and it is there; so is the one that would serve after a restart.
    fn check(&self) {
        let serving = self.serving.expect("a view serves");
        assert!(self.views.contains_key(&serving), "what serves is gone");
        let current = self.current.expect("a view is named");
        assert!(self.views.contains_key(&current), "what is named is gone");
    }
}

fn run(seed: u64) {
    let mut chance = Chance(seed);
    let mut simulation = Simulation::default();
    for _ in 0..40 {
        simulation.end += chance.below(5);
        if simulation.serving.is_none() {
            simulation.open(&mut chance);
            if simulation.serving.is_some() {
                assert_eq!(simulation.views.len(), 1, "a start leaves no orphan");
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
