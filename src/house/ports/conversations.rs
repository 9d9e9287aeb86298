//! Threads and messages.

use std::sync::Arc;

use meshlog_connectors::{
    api::{Edited, Message, Order, Page, SpokenTime, Thread, Timestamp},
    ports::{Answer, Conversations, PageRequest},
    problem::Problem,
};
use meshlog_pipeline::partition_of;
use meshlog_processors::{
    Micros, PageLimit,
    knowledge::times::{Anchor, NamedDate, times_in},
    threads::{Edit, MessageRow, ThreadRow, ThreadStore},
};
use meshlog_schemas::{EventId, PartitionId, Topic, thread_key};
use time::UtcOffset;

use super::{bad_cursor, blocking, from_cursor, named_dates::named_dates, problems, stores, summary_store, to_cursor};
use crate::house::rooms::Rooms;

pub(super) struct ConversationsPort(Arc<Rooms>);

impl ConversationsPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Conversations for ConversationsPort {
    fn threads(&self, space: String, page: PageRequest) -> Answer<'_, Page<Thread>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let cursor = cursor(&page, &space, None)?;
            let threads = stores(rooms)?.threads;
            let found = threads.threads(&space, limit(&page), cursor.as_deref()).map_err(problems::from_store)?;
            let summaries = summary_store(rooms)?;
            let mut items = Vec::with_capacity(found.items.len());
            for row in found.items {
                // Those in the archive are in its list; so a piece can have fewer than were asked for.
                if !summaries.is_archived(&space, &row.thread).map_err(problems::from_store)? {
                    items.push(thread(row));
                }
            }
            Ok(Page { items, next: found.next.as_deref().map(to_cursor) })
        }))
    }

    fn messages(
        &self,
        space: String,
        thread: String,
        order: Order,
        page: PageRequest,
    ) -> Answer<'_, Option<Page<Message>>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let cursor = cursor(&page, &space, Some(&thread))?;
            let threads = stores(rooms)?.threads;
            if threads.thread(&space, &thread).map_err(problems::from_store)?.is_none() {
                return Ok(None);
            }
            let order = match order {
                Order::Oldest => meshlog_processors::Order::OldestFirst,
                Order::Newest => meshlog_processors::Order::NewestFirst,
            };
            let found = threads.messages(&space, &thread, order, limit(&page), cursor.as_deref());
            let found = found.map_err(problems::from_store)?;
            Ok(Some(Page {
                items: found.items.into_iter().map(|(row, text)| message(rooms, row, text)).collect(),
                next: found.next.as_deref().map(to_cursor),
            }))
        }))
    }

    fn message(&self, id: String) -> Answer<'_, Option<Message>> {
        Box::pin(blocking(&self.0, move |rooms| {
            // What is no id of ours names no message.
            let Ok(EventId(id)) = id.parse() else { return Ok(None) };
            let threads = stores(rooms)?.threads;
            let Some(row) = threads.message(id).map_err(problems::from_store)? else { return Ok(None) };
            let text = threads.text(id).map_err(problems::from_store)?.unwrap_or_default();
            Ok(Some(message(rooms, row, text)))
        }))
    }

    fn partition_of(&self, space: &str, thread: &str) -> PartitionId {
        // Invariant: the log numbers partitions with 32 bits.
        let partitions = self.0.events.partitions(Topic::Messages).len() as u32;
        partition_of(Topic::Messages, thread_key(space, thread).as_bytes(), partitions).id
    }

    fn cursor_of(&self, thread: &Thread) -> String {
        to_cursor(&ThreadStore::cursor_of(&thread.space, thread.last_at.micros(), &thread.thread_id))
    }
}

fn cursor(page: &PageRequest, space: &str, thread: Option<&str>) -> Result<Option<Vec<u8>>, Problem> {
    let Some(cursor) = page.cursor.as_deref().map(from_cursor).transpose()? else { return Ok(None) };
    if ThreadStore::is_cursor_of(space, thread, &cursor) { Ok(Some(cursor)) } else { Err(bad_cursor()) }
}

fn limit(page: &PageRequest) -> PageLimit {
    PageLimit { items: page.items, bytes: page.bytes }
}

fn thread(row: ThreadRow) -> Thread {
    Thread {
        thread_id: row.thread,
        space: row.space,
        messages: row.messages,
        authors: row.authors.into_iter().collect(),
        first_at: Timestamp::from_micros(row.first_at),
        last_at: Timestamp::from_micros(row.last_at),
        position: row.position.into(),
    }
}

pub(super) fn message(rooms: &Rooms, row: MessageRow, text: String) -> Message {
    let named = named_dates(rooms, &row.facets.space, &row.facets.author, &text);
    Message {
        times: spoken_times(&text, row.facets.sent_at, named),
        message_id: row.message_id.to_string(),
        source_id: row.source_id,
        space: row.facets.space,
        thread_id: row.facets.thread,
        author: row.facets.author,
        role: row.facets.role,
        sent_at: Timestamp::from_micros(row.facets.sent_at),
        accepted_at: Timestamp::from_micros(row.facets.accepted_at),
        text,
        edited: row.edit.map(edited),
        position: row.position.into(),
    }
}

fn edited(edit: Edit) -> Edited {
    Edited { kind: edit.kind, at: Timestamp::from_micros(edit.at), by: edit.editor, reason: edit.reason }
}

/// The times that a text speaks of. They are kept nowhere, since they follow from the text, when it was said and what is known of who
/// said it. Days are those of
/// UTC: the log does not have the sender's zone.
fn spoken_times(text: &str, said_at: Micros, named: Vec<NamedDate>) -> Vec<SpokenTime> {
    let mentions = times_in(text, &Anchor { named, ..Anchor::new(said_at, UtcOffset::UTC) });
    let spoken = mentions.into_iter().map(|mention| SpokenTime {
        text: text[mention.text].to_owned(),
        start: Timestamp::from_micros(mention.start),
        end: Timestamp::from_micros(mention.end),
        grain: mention.grain.name().to_owned(),
        bound: mention.bound.name().to_owned(),
    });
    spoken.collect()
}
