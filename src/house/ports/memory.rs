//! Writing into the memory.

use std::sync::Arc;

use meshlog_connectors::{
    api::{Page, SpaceRetention, Timestamp},
    ports::{Answer, Memory, MemoryWrite, PageRequest, Stored, Written},
    problem::{Code, Problem},
};
use meshlog_pipeline::{NewEvent, now_micros};
use meshlog_processors::{RetentionTable, past_its_time};
use meshlog_schemas::{
    EntitiesMerged, EntitiesParted, Event, EventId, FactCorrected, InsightPinned, MemoryForgotten, MessageEdited,
    RetentionSet, ThreadFiled, Trust,
};

use super::{
    blocking, from_cursor,
    ingest::{SOURCE, append},
    problems, to_cursor,
};
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
            let now = now_micros();
            let (named, events) = to_events(write, now)?;
            // With it what is past its time already, so that who waits for the one has waited for the other.
            let of_retention = events.iter().find_map(|event| match event {
                Event::RetentionSet(set) => past_its_time(set, now),
                _ => None,
            });
            let new = |event| NewEvent::first(EventId::fresh(), SOURCE, Trust::Client, event);
            let events: Vec<NewEvent> = events.into_iter().map(new).collect();
            let id = named.or(events.last().map(|event| event.envelope.id));
            let receipts = append(&self.0, events.into_iter().chain(of_retention).collect()).await?;
            // The last of the partition that the last lies on: what was there before lies earlier.
            let partition = receipts.last().map(|receipt| receipt.position.partition);
            let beside = receipts.iter().filter(|receipt| Some(receipt.position.partition) == partition);
            let last = beside.max_by_key(|receipt| receipt.position.offset);
            let (receipt, id) = last.zip(id).ok_or_else(|| Problem::internal("the log answered for no event"))?;
            Ok(Stored { id: id.to_string(), position: receipt.position, duplicate: receipt.duplicate })
        })
    }

    fn retention(&self, space: Option<String>, page: PageRequest) -> Answer<'_, Page<SpaceRetention>> {
        Box::pin(async move {
            let from = page.cursor.as_deref().map(from_cursor).transpose()?.unwrap_or_default();
            let is_asked = move |set: &RetentionSet| {
                space.as_ref().is_none_or(|space| *space == set.space) && set.space.as_bytes() >= from.as_slice()
            };
            let wanted = page.items;
            let mut sets = blocking(&self.0, move |rooms| {
                let some = |table: &RetentionTable| -> Vec<RetentionSet> {
                    table.iter().filter(|set| is_asked(set)).take(wanted + 1).cloned().collect()
                };
                rooms.retention.look(some).map_err(problems::from_log)
            })
            .await?;
            let next = sets.get(wanted).map(|set| to_cursor(set.space.as_bytes()));
            sets.truncate(wanted);
            Ok(Page { items: sets.into_iter().map(view).collect(), next })
        })
    }
}

/// The events of a write at `now`, the last of which is the write itself, and the id of what it is about, if it has one of its own.
/// What hides something stands before that: on a log that could show the one without the other, the hiding comes first.
fn to_events(write: MemoryWrite, now: i64) -> Result<(Option<EventId>, Vec<Event>), Problem> {
    let MemoryWrite { space, author, reason, what } = write;
    let micros = |time: Timestamp| time.micros();
    let forgotten = |scope: &str, target: String, until: i64| {
        let (space, author, reason) = (space.clone(), author.clone(), reason.clone());
        let scope = scope.to_owned();
        Event::MemoryForgotten(MemoryForgotten { space, scope, target, until, author, reason, forgotten_at: now })
    };
    let (id, event) = match what {
        Written::Edit { message, text, is_redacted } => {
            let message_id = message.message_id.parse().map_err(|_| {
                Problem::internal(format!(
                    "the message was given with the id \"{}\", which is none",
                    message.message_id
                ))
            })?;
            let hidden = is_redacted.then(|| {
                let wording = forgotten("wording", message.message_id.clone(), now);
                [wording, forgotten("calls", message.thread_id.clone(), now)]
            });
            let edited = MessageEdited {
                message_id,
                source_id: message.source_id,
                space,
                thread: message.thread_id,
                author: message.author,
                role: message.role,
                sent_at: message.sent_at.micros(),
                accepted_at: message.accepted_at.micros(),
                text,
                kind: if is_redacted { "redacted" } else { "edited" }.to_owned(),
                editor: author,
                reason,
                edited_at: now,
            };
            let edited = Event::MessageEdited(Box::new(edited));
            return Ok((None, hidden.into_iter().flatten().chain([edited]).collect()));
        }
        Written::Forgetting { scope, target, until, thread } => {
            // What is to come is not forgotten: nobody knows it yet.
            let until = until.map_or(now, micros).min(now);
            let hidden = thread.map(|thread| forgotten("calls", thread, now));
            return Ok((None, hidden.into_iter().chain([forgotten(scope, target, until)]).collect()));
        }
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
        Written::Filing { thread, is_archived } => {
            let state = if is_archived { "archived" } else { "restored" }.to_owned();
            (None, Event::ThreadFiled(ThreadFiled { space, thread, state, author, reason, filed_at: now }))
        }
        Written::Retention { keep_days } => {
            let keep_days = keep_days.map(i32::from);
            (None, Event::RetentionSet(RetentionSet { space, keep_days, author, reason, set_at: now }))
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
    };
    Ok((id, vec![event]))
}

fn view(set: RetentionSet) -> SpaceRetention {
    SpaceRetention {
        space: set.space,
        // Another writer may have set days that mean nothing; they forget nothing.
        keep_days: set.keep_days.and_then(|days| u16::try_from(days).ok()).filter(|days| *days > 0),
        author: set.author,
        reason: set.reason,
        set_at: Timestamp::from_micros(set.set_at),
    }
}
