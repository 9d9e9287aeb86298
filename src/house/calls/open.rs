//! Calls that were left open: a server that begins settles those that its predecessor was carrying out when it ended.
//!
//! Promises: they are settled as interrupted before a new call is taken, and never asked again by themselves.

use std::collections::HashMap;

use meshlog_connectors::{
    calls::{Outcome, Record, Request, record::interrupted},
    ports::CallLog,
    providers::{Kind, Summary},
};
use meshlog_pipeline::EventLog;
use meshlog_schemas::{AttemptStarted, CallRequested, Event, EventId, Topic};
use pollster::block_on;

use super::{
    log::{CallLogPort, note_of},
    scan::scan,
};
use crate::house::{HouseError, engine::Engine};

/// A call that has no end yet.
struct Open {
    call: CallRequested,
    requested_at: i64,
    last: Option<AttemptStarted>,
}

/// Settles what was left open; how many calls that were.
pub(super) fn settle(events: &EventLog, engine: &Engine, log: &CallLogPort, owner: &str) -> Result<usize, HouseError> {
    events.log().synchronize(Topic::Calls)?;
    let mut open = left_open(events, engine, owner)?;
    let count = open.len();
    // In the order in which they were requested.
    let mut calls: Vec<_> = open.drain().map(|(_, open)| open).collect();
    calls.sort_by_key(|open| (open.requested_at, open.call.call_id));
    for Open { call, requested_at, last } in calls {
        let kind = if call.kind == Kind::Embeddings.name() { Kind::Embeddings } else { Kind::Chat };
        let Ok(request) = Request::read(kind, call.body.clone()) else { continue };
        let mut record = Record::of_requested(&call, request, requested_at);
        if let Some(last) = &last {
            record.resume(last);
        }
        let settled = record.settled(Outcome::Interrupted, Some(&interrupted()), &Summary::default(), None, log.now());
        block_on(log.append(settled)).map_err(|problem| HouseError::Calls(problem.to_string()))?;
    }
    block_on(log.note_open());
    Ok(count)
}

fn left_open(events: &EventLog, engine: &Engine, owner: &str) -> Result<HashMap<EventId, Open>, HouseError> {
    let noted = events.log().progress(&note_of(owner))?.checkpoints;
    // A log that only one process uses has no calls of others: whoever they were, they are gone.
    let is_ours = |call: &CallRequested| match engine {
        Engine::Embedded(_) => !call.owner.is_empty(),
        Engine::Kafka(_) => call.owner == owner,
    };
    let mut open = HashMap::new();
    for partition in events.partitions(Topic::Calls) {
        let bounds = events.log().bounds(partition)?;
        // On a log of many a node that has no note has no calls.
        let first = match engine {
            Engine::Kafka(_) if noted.iter().next().is_none() => bounds.end,
            _ => noted.next(partition).max(bounds.start),
        };
        scan(events, partition, first, bounds.end, |stored| match stored.event {
            Event::CallRequested(call) if is_ours(&call) => {
                let requested_at = stored.envelope.time;
                open.insert(call.call_id, Open { call, requested_at, last: None });
            }
            Event::AttemptStarted(attempt) => {
                if let Some(open) = open.get_mut(&attempt.call_id) {
                    open.last = Some(attempt);
                }
            }
            Event::CallSettled(call) => {
                open.remove(&call.call_id);
            }
            _ => {}
        })?;
    }
    Ok(open)
}
