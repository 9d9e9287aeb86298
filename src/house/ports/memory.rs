//! Writing into the memory.

use std::sync::Arc;

use meshlog_connectors::{
    api::Timestamp,
    ports::{Answer, Memory, MemoryWrite, Stored, Written},
    problem::{Code, Problem},
};
use meshlog_pipeline::{NewEvent, now_micros};
use meshlog_schemas::{
    EntitiesMerged, EntitiesParted, Event, EventId, FactCorrected, InsightPinned, MemoryForgotten, ThreadFiled, Trust,
};

use super::ingest::{SOURCE, append};
use crate::house::rooms::Rooms;

/// Who says that two names are one is as sure as one can be.
const CERTAIN: i32 = 1000;

pub(super) struct MemoryPort(Arc<Rooms>);

impl MemoryPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Memory for MemoryPort {
    fn write(&self, write: MemoryWrite) -> Answer<'_, Stored> {
        Box::pin(async move {
            if !self.0.takes_messages {
                let help = "write to a gateway (\"meshlog gateway\")";
                return Err(Problem::new(Code::NotHere, "this node takes no writes", help));
            }
            let (named, event) = to_event(write, now_micros());
            let id = EventId::fresh();
            let event = NewEvent::first(id, SOURCE, Trust::Client, event);
            let receipts = append(&self.0, vec![event]).await?;
            let receipt = receipts.first().ok_or_else(|| Problem::internal("the log answered for no event"))?;
            let id = named.unwrap_or(id).to_string();
            Ok(Stored { id, position: receipt.position, duplicate: receipt.duplicate })
        })
    }
}

/// The event of a write at `now`, and the id of what it is about, if it has one of its own.
fn to_event(write: MemoryWrite, now: i64) -> (Option<EventId>, Event) {
    let MemoryWrite { space, author, reason, what } = write;
    let micros = |time: Timestamp| time.micros();
    match what {
        Written::Insight { id, thread, text, sources } => {
            // In a name space of its own: a message of the same name is another thing.
            let of_name = |id: String| EventId::of_source(&space, &format!("meshlog.insight/{id}"));
            let insight_id = id.map_or_else(EventId::fresh, of_name);
            let pinned = InsightPinned { insight_id, space, thread, text, sources, author, reason, pinned_at: now };
            (Some(insight_id), Event::InsightPinned(pinned))
        }
        Written::Correction {
            corrects,
            subject_kind,
            subject,
            relation,
            object_kind,
            object,
            polarity,
            valid_from,
            valid_until,
        } => {
            let fact_id = EventId::fresh();
            let corrected = FactCorrected {
                fact_id,
                corrects,
                space,
                subject_kind,
                subject,
                relation,
                object_kind,
                object,
                polarity,
                valid_from: valid_from.map(micros),
                valid_until: valid_until.map(micros),
                author,
                reason,
                corrected_at: now,
            };
            (Some(fact_id), Event::FactCorrected(corrected))
        }
        Written::Forgetting { scope, target, until } => {
            // What is to come is not forgotten: nobody knows it yet.
            let until = until.map_or(now, micros).min(now);
            let (scope, forgotten_at) = (scope.to_owned(), now);
            let forgotten = MemoryForgotten { space, scope, target, until, author, reason, forgotten_at };
            (None, Event::MemoryForgotten(forgotten))
        }
        Written::Filing { thread, is_archived } => {
            let state = if is_archived { "archived" } else { "restored" }.to_owned();
            (None, Event::ThreadFiled(ThreadFiled { space, thread, state, author, reason, filed_at: now }))
        }
        Written::Merge { kind, from, into } => {
            let reason = if reason.is_empty() { "asked".to_owned() } else { reason };
            (
                None,
                Event::EntitiesMerged(EntitiesMerged { space, kind, from, into, reason, confidence: CERTAIN, author }),
            )
        }
        Written::Parting { kind, from, into } => {
            (None, Event::EntitiesParted(EntitiesParted { space, kind, from, into, reason, author }))
        }
    }
}
