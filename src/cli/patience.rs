//! Patience: how long a server that went away or is busy is tried again.
//!
//! Promises: pauses double up to a limit, a pause that the server asks for is kept, and all of it ends after a fixed time
//! without success.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::Failure;

/// How long a server that does not answer is tried again.
pub(super) const LIMIT: Duration = Duration::from_secs(60);
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The statuses of a server that may take the same request later: busy or starting, and with a full disk.
const BUSY: [u16; 2] = [503, 507];
/// The fact of a problem with which a server asks for a pause, in seconds.
const RETRY_AFTER: &str = "retry_after_seconds";

/// Tries that followed one another without success.
#[derive(Debug, Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    pauses: u32,
}

impl Patience {
    /// Waits before the next try.
    ///
    /// # Errors
    /// The failure itself, when trying again cannot help or has been done long enough.
    pub(super) fn wait(&mut self, failure: Failure) -> Result<(), Failure> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(pause) = self.pause(&failure, since.elapsed()) else { return Err(failure) };
        self.pauses += 1;
        thread::sleep(pause);
        Ok(())
    }

    /// A try has succeeded.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// How long to wait before the next try, if one is worth it.
    fn pause(&self, failure: &Failure, waited: Duration) -> Option<Duration> {
        let asked = match failure {
            Failure::Unreachable { .. } => None,
            Failure::Refused(problem) if BUSY.contains(&problem.status) => {
                problem.facts.get(RETRY_AFTER).and_then(serde_json::Value::as_u64).map(Duration::from_secs)
            }
            _ => return None,
        };
        let left = LIMIT.checked_sub(waited)?;
        let pause = asked.unwrap_or_else(|| FIRST_PAUSE.saturating_mul(1 << self.pauses.min(8)).min(LONGEST_PAUSE));
        (pause <= left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use meshlog_connectors::problem::{Code, Problem};

    use super::*;

    fn refused(problem: Problem) -> Failure {
        Failure::Refused(Box::new(problem.details().clone()))
    }

    fn check(failure: Failure, pauses: u32, waited_seconds: u64, expected_milliseconds: Option<u64>) {
        let patience = Patience { since: None, pauses };
        let pause = patience.pause(&failure, Duration::from_secs(waited_seconds));
        assert_eq!(pause, expected_milliseconds.map(Duration::from_millis), "{failure:?}");
    }

    #[test]
    fn pauses_double_and_end_after_a_minute() {
        let gone = || Failure::Unreachable { url: String::new(), reason: String::new() };
        check(gone(), 0, 0, Some(200));
        check(gone(), 2, 1, Some(800));
        check(gone(), 200, 30, Some(5000));
        check(gone(), 200, 58, None);
        check(gone(), 200, 61, None);
    }

    #[test]
    fn a_busy_server_is_given_the_time_it_asks_for() {
        let busy = Problem::new(Code::LogFull, "no room", "free some");
        check(refused(busy.clone().retry_after(7)), 0, 0, Some(7000));
        check(refused(busy.clone().retry_after(90)), 0, 0, None);
        check(refused(busy), 1, 0, Some(400));
        check(refused(Problem::new(Code::StorageFull, "no room", "free some").retry_after(5)), 0, 0, Some(5000));
    }

    #[test]
    fn what_the_server_refuses_for_good_is_not_tried_again() {
        check(refused(Problem::new(Code::InvalidField, "x", "y")), 0, 0, None);
        check(refused(Problem::internal("x")), 0, 0, None);
    }
}
