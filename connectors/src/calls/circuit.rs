//! Circuits: when a provider that keeps failing is left alone, and when it is tried again.
//!
//! Owns: the state of one provider. After [`FAILURES`] failures one behind the other, where at least half of what came lately were
//! failures, it is left alone for a pause, which doubles each time up to [`LONGEST_PAUSE`]; then one call tries it, and decides.
//! Failures in a row alone say little where many ask at once: while a limit holds all others back, those that hang come to
//! their ends one behind the other.
//! Never: asks the clock; `now` is given.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many failures, one behind the other, open a circuit.
pub(super) const FAILURES: usize = 5;
/// What counts as lately: so many ends of attempts, and none that is older.
const LATELY: usize = 20;
const LATELY_FOR: Duration = Duration::from_secs(60);
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The state of a provider.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    pause: Duration,
}

#[derive(Debug)]
enum State {
    /// It is asked.
    Closed { lately: Lately },
    /// It is left alone until then.
    Open { until: Instant },
    /// One call tries it.
    Trying,
}

/// The last ends of attempts: when, and whether each was a failure.
#[derive(Debug, Default)]
struct Lately(VecDeque<(Instant, bool)>);

impl Lately {
    fn push(&mut self, now: Instant, is_failure: bool) {
        while self.0.len() >= LATELY || self.0.front().is_some_and(|(at, _)| *at + LATELY_FOR < now) {
            self.0.pop_front();
        }
        self.0.push_back((now, is_failure));
    }

    fn is_ill(&self) -> bool {
        let failures = || self.0.iter().rev().map(|(_, is_failure)| *is_failure);
        self.0.len() >= FAILURES
            && failures().take(FAILURES).all(|is_failure| is_failure)
            && failures().filter(|is_failure| *is_failure).count() * 2 >= self.0.len()
    }
}

/// Whether a provider may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may. What came of it is to be told to [`Circuit::record`], whatever it was.
    Granted,
    /// Not before that long.
    Refused(Duration),
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It works.
    Well,
    /// It does not.
    Ill,
    /// That cannot be told: the caller left, or the request was at fault.
    Unknown,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed { lately: Lately::default() }, pause: FIRST_PAUSE }
    }
}

impl Circuit {
    /// Whether it may be asked now.
    pub(super) fn permit(&mut self, now: Instant) -> Permission {
        match self.state {
            State::Closed { .. } => Permission::Granted,
            State::Open { until } if now < until => Permission::Refused(until - now),
            State::Open { .. } => {
                self.state = State::Trying;
                Permission::Granted
            }
            State::Trying => Permission::Refused(self.pause),
        }
    }

    /// Takes in what came of asking.
    pub(super) fn record(&mut self, health: Health, now: Instant) {
        match (&mut self.state, health) {
            (State::Closed { lately }, Health::Well | Health::Ill) => {
                lately.push(now, health == Health::Ill);
                if lately.is_ill() {
                    self.state = State::Open { until: now + self.pause };
                }
            }
            (State::Trying, Health::Well) => *self = Self::default(),
            (State::Trying, Health::Ill) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.state = State::Open { until: now + self.pause };
            }
            // The next one may try.
            (State::Trying, Health::Unknown) => self.state = State::Open { until: now },
            // Of calls that were under way when it opened, or nothing that can be told.
            (State::Open { .. }, _) | (State::Closed { .. }, Health::Unknown) => {}
        }
    }

    /// Its state in a word.
    pub(super) fn name(&self) -> &'static str {
        match self.state {
            State::Closed { .. } => "closed",
            State::Open { .. } => "open",
            State::Trying => "half-open",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_call_tries_it_after_the_pause() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for _ in 0..FAILURES - 1 {
            circuit.record(Health::Ill, start);
        }
        circuit.record(Health::Well, start);
        for _ in 0..FAILURES {
            assert_eq!(circuit.permit(start), Permission::Granted);
            circuit.record(Health::Ill, start);
        }
        assert_eq!(circuit.permit(start), Permission::Refused(FIRST_PAUSE));
        let later = start + FIRST_PAUSE;
        assert_eq!(circuit.permit(later), Permission::Granted);
        assert!(matches!(circuit.permit(later), Permission::Refused(_)), "one at a time");
        circuit.record(Health::Ill, later);
        assert_eq!(circuit.permit(later), Permission::Refused(FIRST_PAUSE * 2));
        let later = later + FIRST_PAUSE * 2;
        assert_eq!(circuit.permit(later), Permission::Granted);
        circuit.record(Health::Well, later);
        assert_eq!((circuit.permit(later), circuit.name()), (Permission::Granted, "closed"));
    }

    #[test]
    fn failures_in_a_row_among_many_that_went_well_do_not_open_it() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        (0..LATELY).for_each(|_| circuit.record(Health::Well, start));
        (0..LATELY / 2 - 1).for_each(|_| circuit.record(Health::Ill, start));
        assert_eq!(circuit.name(), "closed");
        circuit.record(Health::Ill, start);
        assert_eq!(circuit.name(), "open", "half of the last ones");
    }

    #[test]
    fn what_went_well_long_ago_does_not_count() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        (0..LATELY).for_each(|_| circuit.record(Health::Well, start));
        let later = start + LATELY_FOR + Duration::from_secs(1);
        (0..FAILURES).for_each(|_| circuit.record(Health::Ill, later));
        assert_eq!(circuit.name(), "open");
    }

    #[test]
    fn a_try_that_shows_nothing_lets_the_next_one_try() {
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        (0..FAILURES).for_each(|_| circuit.record(Health::Ill, start));
        let later = start + FIRST_PAUSE;
        assert_eq!(circuit.permit(later), Permission::Granted);
        circuit.record(Health::Unknown, later);
        assert_eq!(circuit.permit(later), Permission::Granted);
    }

    proptest! {
        /// Whatever happens, a provider is tried again within the longest pause once those who ask it have said what came of it.
        #[test]
        fn nobody_is_left_alone_for_ever(steps in proptest::collection::vec((0_u8..3, 0_u64..90), 0..60)) {
            let (mut circuit, mut now) = (Circuit::default(), Instant::now());
            for (step, seconds) in steps {
                now += Duration::from_secs(seconds);
                if circuit.permit(now) == Permission::Granted {
                    circuit.record([Health::Well, Health::Ill, Health::Unknown][usize::from(step)], now);
                }
            }
            prop_assert_eq!(circuit.permit(now + LONGEST_PAUSE), Permission::Granted);
        }
    }
}
