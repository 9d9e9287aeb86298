//! The events of calls onto the log, and a note of which calls of this node are open.
//!
//! Owns: the note, kept on the log as the progress of a processor of this node's name: before its checkpoints no call of this node
//! is open. So after a crash only what lies behind them has to be read.
//! Promises: a call is noted as open before its request is appended, so the note never passes it.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Mutex, MutexGuard, PoisonError},
};

use meshlog_connectors::{
    ports::{Answer, CallEntry, CallLog},
    problem::{Code, Problem},
};
use meshlog_pipeline::{EventLog, NewEvent, ProcessorProgress, Written, now_micros, partition_of};
use meshlog_schemas::{Checkpoints, Event, EventId, Partition, Topic};
use tokio::sync::oneshot;

use crate::house::ports::problems;

/// Who says what of a call for which somebody waits.
pub(super) const WAITING: &str = "/gateway/calls";
/// Who says what of a call that Meshlog makes for itself.
pub(in crate::house) const OWN: &str = "/meshlog/calls";
/// Who requests a call for which nobody waits.
const BACKGROUND: &str = "/gateway/calls/background";

/// The way of calls' events to the log.
pub(in crate::house) struct CallLogPort {
    events: EventLog,
    owner: String,
    /// The calls of this node that are not settled: from where on their request stands on the log.
    open: Mutex<HashMap<EventId, (Partition, u64)>>,
    noted: Mutex<Checkpoints>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name under which the note of a node is kept.
pub(super) fn note_of(owner: &str) -> String {
    format!("calls@{owner}")
}

impl CallLogPort {
    pub(super) fn new(events: EventLog, owner: &str) -> Self {
        Self { events, owner: owner.to_owned(), open: Mutex::default(), noted: Mutex::default() }
    }

    /// Notes how far there is no open call, if that has moved.
    pub(in crate::house) async fn note_open(&self) {
        let Some(checkpoints) = self.none_open_before() else { return };
        if *lock(&self.noted) == checkpoints {
            return;
        }
        let progress =
            ProcessorProgress { processor: note_of(&self.owner), checkpoints: checkpoints.clone(), note: None };
        match self.events.append(Vec::new(), Some(progress)).await {
            Ok(_) => *lock(&self.noted) = checkpoints,
            // The next start has more to read, and nothing is lost.
            Err(error) => tracing::debug!(%error, "the note of open calls was not appended"),
        }
    }

    /// Offsets before which no call of this node is open.
    fn none_open_before(&self) -> Option<Checkpoints> {
        // The ends first: a call that is noted as open later stands at or behind them.
        let bounds = |partition: Partition| Some((partition, self.events.log().bounds(partition).ok()?.end));
        let ends: Vec<_> = self.partitions().map(bounds).collect::<Option<_>>()?;
        let open = lock(&self.open);
        let first_open = |partition: Partition, end: u64| {
            open.values().filter(|(of, _)| *of == partition).map(|(_, from)| *from).fold(end, u64::min)
        };
        Some(ends.into_iter().map(|(partition, end)| (partition, first_open(partition, end))).collect())
    }

    fn partitions(&self) -> impl Iterator<Item = Partition> {
        self.events.partitions(Topic::Calls).into_iter()
    }

    fn note_begin(&self, event: &Event) {
        let Event::CallRequested(call) = event else { return };
        if call.owner != self.owner {
            return;
        }
        let count = u32::try_from(self.partitions().count()).unwrap_or(1);
        let partition = partition_of(Topic::Calls, event.ordering_key().as_bytes(), count);
        // Where the end cannot be had the note just does not move on.
        let from = self.events.log().bounds(partition).map_or(0, |bounds| bounds.end);
        lock(&self.open).insert(call.call_id, (partition, from));
    }

    fn note_end(&self, entries: &[EventId]) {
        let mut open = lock(&self.open);
        entries.iter().for_each(|call| {
            open.remove(call);
        });
    }
}

fn to_event(entry: CallEntry) -> NewEvent {
    let is_background = matches!(&entry.event, Event::CallRequested(call) if call.owner.is_empty());
    let source = match entry.is_own {
        true => OWN,
        false if is_background => BACKGROUND,
        false => WAITING,
    };
    let mut new = NewEvent::first(entry.id, source, entry.trust, entry.event);
    new.envelope.causation = entry.cause;
    new.envelope.correlation = entry.cause;
    new
}

impl CallLogPort {
    /// Appends, and tells `written` once the entries would survive the end of this process, if anybody is to be told.
    async fn append_telling(&self, entries: Vec<CallEntry>, written: Option<Written>) -> Result<(), Problem> {
        if let Some(reason) = self.events.log().trouble() {
            let detail = format!("the log does not answer ({reason}); the model was not called");
            return Err(Problem::new(Code::Unavailable, detail, "send it again in a moment").retry_after(2));
        }
        entries.iter().for_each(|entry| self.note_begin(&entry.event));
        let of = |wanted: fn(&Event) -> Option<EventId>| -> Vec<_> {
            entries.iter().filter_map(|entry| wanted(&entry.event)).collect()
        };
        let settled = of(|event| match event {
            Event::CallSettled(call) => Some(call.call_id),
            _ => None,
        });
        let requested = of(|event| match event {
            Event::CallRequested(call) => Some(call.call_id),
            _ => None,
        });
        let events = entries.into_iter().map(to_event).collect();
        let appended = match written {
            Some(written) => self.events.append_telling(events, written).await,
            None => self.events.append(events, None).await,
        };
        if let Err(error) = appended {
            // What was not taken is no call. A log that stopped meanwhile takes no note either, so the next start finds it.
            self.note_end(&requested);
            return Err(problems::from_publish(error));
        }
        self.note_end(&settled);
        Ok(())
    }
}

impl CallLog for CallLogPort {
    fn append(&self, entries: Vec<CallEntry>) -> Answer<'_, ()> {
        Box::pin(self.append_telling(entries, None))
    }

    fn begin<'a>(&'a self, entries: Vec<CallEntry>) -> Answer<'a, Answer<'a, ()>> {
        Box::pin(async move {
            let (written, told) = oneshot::channel();
            let mut appended: Answer<'a, ()> = Box::pin(self.append_telling(entries, Some(written)));
            tokio::select! {
                biased;
                result = &mut appended => result.map(|()| Box::pin(ready(Ok(()))) as Answer<'a, ()>),
                // A log that has no such moment tells nobody, and is waited for.
                Ok(()) = told => Ok(appended),
            }
        })
    }

    fn now(&self) -> i64 {
        now_micros()
    }
}
