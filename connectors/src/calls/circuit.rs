//! Circuits: when a provider that keeps failing is left alone, and when it is tried again.
//!
//! Owns: the state of one provider. After [`FAILURES`] failures one behind the other it is left alone for a pause, which doubles
//! each time up to [`LONGEST_PAUSE`]; then one call tries it, and decides.
//! Never: asks the clock; `now` is given.

use std::time::{Duration, Instant};

/// How many failures, one behind the other, open a circuit.
pub(super) const FAILURES: u32 = 5;
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
    Closed { failures: u32 },
    /// It is left alone until then.
    Open { until: Instant },
    /// One call tries it.
    Trying,
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
        Self { state: State::Closed { failures: 0 }, pause: FIRST_PAUSE }
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
        self.state = match (&self.state, health) {
            (State::Closed { .. } | State::Trying, Health::Well) => {
                self.pause = FIRST_PAUSE;
                State::Closed { failures: 0 }
            }
            (State::Closed { failures }, Health::Ill) if failures + 1 < FAILURES => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, Health::Ill) => State::Open { until: now + self.pause },
            (State::Trying, Health::Ill) => {
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                State::Open { until: now + self.pause }
            }
            // The next one may try.
            (State::Trying, Health::Unknown) => State::Open { until: now },
            // Of calls that were under way when it opened.
            (State::Open { until }, _) => State::Open { until: *until },
            (State::Closed { failures }, Health::Unknown) => State::Closed { failures: *failures },
        };
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
