//! Indexed: waiting until recall finds what was imported.
//!
//! Only the server knows what recall asks. So the last message of each partition is sent once more, as a duplicate that
//! adds nothing, with the request to be answered when everything up to it is indexed.

use std::{
    thread,
    time::{Duration, Instant},
};

use meshlog_connectors::api::{ProcessorView, ProcessorsView, WaitLevel};

use super::{Client, Failure, Progress, Unit, sender::LastLines};
use crate::cli::{output::one_line, patience::Patience};

/// How long the server is asked to wait at a time, in milliseconds: as often the bar moves.
const STEP_MILLISECONDS: u32 = 500;
/// The shortest time between two requests, for a server that answers at once without having come there.
const PAUSE: Duration = Duration::from_millis(50);
/// How long nothing may move before the wait is given up.
const STANDSTILL_LIMIT: Duration = Duration::from_secs(120);

/// Waits until everything up to these lines is indexed.
///
/// # Errors
/// When nothing moves for two minutes, or the server stays away.
pub(super) fn wait(client: &Client, json: bool, last_lines: &LastLines) -> Result<(), Failure> {
    let body = last_lines.body();
    if body.is_empty() {
        return Ok(());
    }
    let query = [("wait", WaitLevel::Indexed.to_string()), ("timeout_ms", STEP_MILLISECONDS.to_string())];
    let progress = Progress::new(json, Some(0), Unit::Count("events"));
    let mut patience = Patience::default();
    let mut standstill = Standstill::begin();
    let mut most = 0;
    loop {
        match client.send_lines(&query, &body) {
            Ok(answer) if answer.reached == Some(WaitLevel::Indexed) => return Ok(()),
            Ok(_) => patience.reset(),
            Err(failure) => patience.wait(failure)?,
        }
        let processors = processors(client)?;
        standstill.look(&processors, Instant::now())?;
        let (lag, name) = slowest(&processors);
        most = most.max(lag);
        progress.set_total(most);
        progress.show(most - lag, format!("indexing: {name} has {lag} to go"));
        thread::sleep(PAUSE);
    }
}

/// The processors, or none when the server cannot say at the moment; the next request tells whether it is gone.
fn processors(client: &Client) -> Result<Vec<ProcessorView>, Failure> {
    match client.get::<ProcessorsView>("/v1/processors", &[]) {
        Ok(view) => Ok(view.processors),
        Err(Failure::Unreachable { .. } | Failure::Refused(_)) => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// The greatest lag, and whose it is.
fn slowest(processors: &[ProcessorView]) -> (u64, String) {
    let slowest = processors.iter().max_by_key(|processor| processor.lag_events);
    slowest.map_or((0, "the server".to_owned()), |processor| (processor.lag_events, one_line(&processor.name)))
}

/// Notices that nothing moves any more.
struct Standstill {
    since: Instant,
    reached: Vec<u64>,
}

impl Standstill {
    fn begin() -> Self {
        Self { since: Instant::now(), reached: Vec::new() }
    }

    fn look(&mut self, processors: &[ProcessorView], now: Instant) -> Result<(), Failure> {
        let reached = reached(processors);
        if reached != self.reached {
            *self = Self { since: now, reached };
            return Ok(());
        }
        if now.duration_since(self.since) < STANDSTILL_LIMIT { Ok(()) } else { Err(stuck(processors)) }
    }
}

/// How far each processor has come in each partition.
fn reached(processors: &[ProcessorView]) -> Vec<u64> {
    processors.iter().flat_map(|processor| &processor.checkpoint).map(|checkpoint| checkpoint.next).collect()
}

fn stuck(processors: &[ProcessorView]) -> Failure {
    let behind = processors.iter().filter(|processor| processor.lag_events > 0 || processor.last_error.is_some());
    let behind: Vec<_> = behind
        .map(|processor| {
            let error = processor.last_error.as_deref().unwrap_or("no error is known");
            one_line(&format!("{} ({}, {} to go): {error}", processor.name, processor.state, processor.lag_events))
        })
        .collect();
    let behind = if behind.is_empty() { "no processor says that it is behind".to_owned() } else { behind.join("; ") };
    let seconds = STANDSTILL_LIMIT.as_secs();
    Failure::local(
        format!("everything was sent and is durable, but indexing has not moved for {seconds} s: {behind}"),
        "\"meshlog doctor\" looks for what is wrong; indexing goes on by itself once the cause is gone",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn processor(next: u64, lag: u64, error: Option<&str>) -> ProcessorView {
        let view = json!({"name": "embed", "kind": "stage", "state": "running", "inputs": ["messages"],
            "checkpoint": [{"topic": "messages", "partition": 0, "next": next}],
            "lag_events": lag, "lag_seconds": 1.0, "last_error": error, "processed": 1});
        serde_json::from_value(view).expect("it is a processor")
    }

    #[test]
    fn a_standstill_is_given_up_with_the_last_error() {
        let begin = Instant::now();
        let stands = [processor(5, 3, Some("the model is gone"))];
        let mut standstill = Standstill { since: begin, reached: reached(&stands) };
        standstill.look(&stands, begin + STANDSTILL_LIMIT / 2).expect("it may still move");
        let failure = standstill.look(&stands, begin + STANDSTILL_LIMIT).expect_err("nothing has moved");
        assert!(failure.to_string().contains("the model is gone"), "{failure}");
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn what_moves_is_waited_for() {
        let begin = Instant::now();
        let mut standstill = Standstill { since: begin, reached: reached(&[processor(5, 3, None)]) };
        let later = begin + 2 * STANDSTILL_LIMIT;
        standstill.look(&[processor(6, 2, None)], later).expect("it has moved");
        standstill.look(&[processor(6, 2, None)], later + STANDSTILL_LIMIT / 2).expect("it has moved lately");
    }

    #[test]
    fn the_slowest_processor_is_shown() {
        assert_eq!(slowest(&[processor(1, 2, None), processor(1, 9, None)]).0, 9);
        assert_eq!(slowest(&[]).0, 0);
    }
}
