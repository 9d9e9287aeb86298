//! Recorded answers: what this log has of calls that were completed, found by what was asked.
//!
//! Owns: an index in memory from a request to the places of its answers; the answers stay on the log.
//! Never: an answer that was itself repeated.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use blake3::Hash;
use meshlog_connectors::{
    calls::{OWN_LABEL, record::pieces},
    providers::{
        Kind, Mode,
        replay::{Recorded as Answer, Recordings},
    },
};
use meshlog_pipeline::{EventLog, LogError, ReadLimit};
use meshlog_processors::{Hidden, TableView};
use meshlog_schemas::{CallSettled, Event, EventId, Offset, Partition, Topic};

use super::{REPLAY, scan::scan};

/// Answers on a log, by request.
pub(super) struct Recorded {
    events: EventLog,
    hidden: TableView<Hidden>,
    answers: HashMap<Hash, Vec<(Partition, Offset)>>,
    /// How often each request was answered, so that answers of the same request come in turn.
    turns: Mutex<HashMap<Hash, AtomicUsize>>,
    models: BTreeSet<String>,
}

fn key(kind: &str, mode: &str, body: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in [kind.as_bytes(), mode.as_bytes(), body] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.finalize()
}

impl Recorded {
    /// Reads which answers there are.
    pub(super) fn read(events: EventLog) -> Result<Self, LogError> {
        let (mut answers, mut models) = (HashMap::<Hash, Vec<_>>::new(), BTreeSet::new());
        events.log().synchronize(Topic::Calls)?;
        for partition in events.partitions(Topic::Calls) {
            let bounds = events.log().bounds(partition)?;
            let mut asked: HashMap<EventId, (Hash, String)> = HashMap::new();
            scan(&events, partition, bounds.start, bounds.end, |stored| match stored.event {
                Event::CallRequested(call) => {
                    asked.insert(call.call_id, (key(&call.kind, &call.mode, &call.body), call.model));
                }
                Event::CallSettled(call) => {
                    let request = asked.remove(&call.call_id);
                    let is_whole = || {
                        let kept = call.answer().ok().and_then(|answer| i64::try_from(answer.len()).ok());
                        call.outcome == "completed" && kept == Some(call.response_bytes)
                    };
                    if let Some((key, model)) = request.filter(|_| call.provider != REPLAY && is_whole()) {
                        answers.entry(key).or_default().push((partition, stored.position.offset));
                        models.insert(model);
                    }
                }
                _ => {}
            })?;
        }
        let hidden = TableView::new(events.clone());
        Ok(Self { events, hidden, answers, turns: Mutex::default(), models })
    }

    /// How many answers there are.
    pub(super) fn len(&self) -> usize {
        self.answers.values().map(Vec::len).sum()
    }

    /// The models that were asked.
    pub(super) fn models(&self) -> impl Iterator<Item = String> + '_ {
        self.models.iter().cloned()
    }
}

/// Whether nobody is to be shown what was asked and answered.
fn is_hidden(hidden: &TableView<Hidden>, call: &CallSettled) -> Result<bool, String> {
    let Some(thread) = &call.thread else { return Ok(false) };
    let is_own = call.key_label.starts_with(OWN_LABEL);
    let look = hidden.look(|hidden| {
        hidden.has_call(&call.space, thread, call.requested_at)
            || is_own && hidden.has_quotes(&call.space, call.requested_at)
    });
    look.map_err(|error| error.to_string())
}

impl Recordings for Recorded {
    fn find(&self, kind: Kind, mode: Mode, body: &[u8]) -> Result<Option<Answer>, String> {
        let key = key(kind.name(), mode.name(), body);
        let Some(places) = self.answers.get(&key) else { return Ok(None) };
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(key).or_default().fetch_add(1, Ordering::Relaxed)
        };
        let (partition, offset) = places[turn % places.len()];
        let one = ReadLimit { records: 1, bytes: usize::MAX };
        let found = self.events.read(partition, offset, one).map_err(|error| error.to_string())?;
        let Some(Ok(stored)) = found.into_iter().next() else { return Ok(None) };
        let Event::CallSettled(call) = stored.event else { return Ok(None) };
        if is_hidden(&self.hidden, &call)? {
            return Ok(None);
        }
        let body = call.answer().map_err(|error| error.to_string())?;
        Ok(Some(Answer {
            content_type: call.response_type,
            headers: serde_json::from_str(&call.headers).unwrap_or_default(),
            body,
            pieces: pieces(&call.timings),
        }))
    }
}
