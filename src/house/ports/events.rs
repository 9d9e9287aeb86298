//! Reading the log.
//!
//! Promises: however many follow the log, at most [`READERS`] threads read for them, and each follower holds one batch of
//! at most [`TAIL_LIMIT`]; one that is slow reads later, and that is all.

use std::sync::Arc;

use futures_util::{
    future::select_all,
    stream::{self, StreamExt},
};
use meshlog_connectors::{
    api::EventView,
    ports::{Answer, EventBatch, EventFilter, Events, Gap, ReadLimit, Tail},
    problem::{Code, Problem},
};
use meshlog_pipeline::{Bounds, LogError, Record};
use meshlog_schemas::{Checkpoints, Offset, Partition, Topic};
use tokio::sync::Semaphore;

use super::{blocking, problems};
use crate::house::{
    event_view::{event_view, hide},
    rooms::Rooms,
};

/// How many threads read for pages and tails at once.
const READERS: usize = 8;

/// What a tail reads at once. Small: each of a thousand slow followers may hold this much.
const TAIL_LIMIT: ReadLimit = ReadLimit { events: 128, bytes: 128 * 1024 };

/// How many bytes of events that are not shown are passed over in one turn, so that others have theirs.
const TAIL_SCAN: usize = 4 * 1024 * 1024;

/// The same for a page, whose client can only ask again.
const PAGE_SCAN: usize = 64 * 1024 * 1024;

/// What is read of a partition at once where much of it may not be shown.
const CHUNK: meshlog_pipeline::ReadLimit = meshlog_pipeline::ReadLimit { records: 1024, bytes: 1024 * 1024 };

pub(super) struct EventsPort {
    rooms: Arc<Rooms>,
    turns: Arc<Semaphore>,
}

impl EventsPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self { rooms, turns: Arc::new(Semaphore::new(READERS)) }
    }
}

impl Events for EventsPort {
    fn read(&self, from: Checkpoints, filter: EventFilter, limit: ReadLimit) -> Answer<'_, EventBatch> {
        let wanted = Wanted { places: from.iter().collect(), filter: Arc::new(filter), limit, scan: PAGE_SCAN };
        Box::pin(in_turn(&self.rooms, &self.turns, wanted))
    }

    fn tail(&self, from: Checkpoints, filter: EventFilter) -> Answer<'_, Tail> {
        let (rooms, turns) = (self.rooms.clone(), self.turns.clone());
        let follower = Follower { rooms, turns, filter: Arc::new(filter), from, turn: 0, has_failed: false };
        let tail = stream::unfold(follower, |mut follower| async move {
            let batch = follower.next().await?;
            Some((batch, follower))
        });
        Box::pin(std::future::ready(Ok(tail.boxed() as Tail)))
    }
}

/// Follows partitions from where it stands.
struct Follower {
    rooms: Arc<Rooms>,
    turns: Arc<Semaphore>,
    filter: Arc<EventFilter>,
    from: Checkpoints,
    /// The partition to begin the next batch with, so that a busy one does not starve the others.
    turn: usize,
    has_failed: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<EventBatch, Problem>> {
        if self.has_failed {
            return None;
        }
        while !self.has_news() {
            // Listens before it looks again, so no ring is lost.
            let log = self.rooms.events.log();
            let mut topics: Vec<_> = self.from.iter().map(|(partition, _)| partition.topic).collect();
            topics.dedup();
            let listeners: Vec<_> = topics.iter().map(|topic| log.appended(*topic).listen()).collect();
            if self.has_news() {
                break;
            }
            if listeners.is_empty() || self.rooms.events.log().stopped().is_some() {
                return None;
            }
            select_all(listeners).await;
        }
        let mut places: Vec<_> = self.from.iter().collect();
        places.rotate_left(self.turn);
        self.turn = (self.turn + 1) % places.len().max(1);
        let wanted = Wanted { places, filter: self.filter.clone(), limit: TAIL_LIMIT, scan: TAIL_SCAN };
        let batch = in_turn(&self.rooms, &self.turns, wanted).await;
        match &batch {
            Ok(batch) => self.from.clone_from(&batch.next),
            Err(_) => self.has_failed = true,
        }
        Some(batch)
    }

    /// Whether anything stands behind the places. Looks into memory only: a ring wakes every follower of the topic, and
    /// most of them have nothing to read.
    fn has_news(&self) -> bool {
        // What cannot be looked at is left to the reading, which says why.
        let mut places = self.from.iter();
        places
            .any(|(partition, next)| self.rooms.events.log().bounds(partition).map_or(true, |bounds| bounds.end > next))
    }
}

/// What is to be read at once.
struct Wanted {
    /// The partitions, in this order, each from its offset on.
    places: Vec<(Partition, Offset)>,
    filter: Arc<EventFilter>,
    /// How much is to be shown.
    limit: ReadLimit,
    /// How many bytes may be looked through.
    scan: usize,
}

/// Reads when one of the readers is free.
async fn in_turn(rooms: &Arc<Rooms>, turns: &Arc<Semaphore>, wanted: Wanted) -> Result<EventBatch, Problem> {
    // Invariant: the semaphore is never closed.
    let turn = turns.clone().acquire_owned().await.expect("turns are never closed");
    blocking(rooms, move |rooms| {
        // Held by the thread: a client that leaves does not end what was begun.
        let _turn = turn;
        read(rooms, wanted)
    })
    .await
}

fn read(rooms: &Rooms, wanted: Wanted) -> Result<EventBatch, Problem> {
    let Wanted { places, filter, mut limit, mut scan } = wanted;
    let mut batch = EventBatch { next: places.iter().copied().collect(), ..EventBatch::default() };
    'places: for (partition, from) in &places {
        let partition = known(rooms, *partition)?;
        let mut next = *from;
        while limit.events > 0 && limit.bytes > 0 && scan > 0 {
            let chunk = match *filter == EventFilter::default() {
                true => meshlog_pipeline::ReadLimit { records: limit.events, bytes: limit.bytes },
                false => CHUNK,
            };
            let records = match from_next(rooms, partition, next, chunk) {
                Ok((start, records)) => {
                    if start > next {
                        batch.gaps.push(Gap { partition, from: next, start });
                        batch.next.advance(partition, start);
                        next = start;
                    }
                    records
                }
                // What has been read before the failure is given first; the next reading meets the failure again.
                Err(_) if !batch.events.is_empty() || !batch.gaps.is_empty() => break 'places,
                Err(error) => return Err(problems::from_log(error)),
            };
            if records.is_empty() {
                break;
            }
            for record in records {
                if limit.events == 0 || limit.bytes == 0 {
                    break;
                }
                next = record.position.offset + 1;
                let size = record.key.len() + record.headers.packed().len() + record.body.len();
                scan = scan.saturating_sub(size.max(1));
                if let Some(view) = shown(rooms, &filter, record) {
                    limit.events -= 1;
                    limit.bytes = limit.bytes.saturating_sub(size);
                    batch.events.push(view);
                }
            }
            batch.next.advance(partition, next);
        }
    }
    hide_from(rooms, &mut batch.events)?;
    Ok(batch)
}

/// Takes out of events what is hidden.
pub(super) fn hide_from(rooms: &Rooms, events: &mut [EventView]) -> Result<(), Problem> {
    let done = rooms.hidden.look(|hidden| {
        if !hidden.is_empty() {
            events.iter_mut().for_each(|event| hide(event, hidden));
        }
    });
    done.map_err(problems::from_log)
}

/// Reads from an offset on, or from the first one that is kept if that lies behind; answers where it began.
fn from_next(
    rooms: &Rooms,
    partition: Partition,
    next: Offset,
    limit: meshlog_pipeline::ReadLimit,
) -> Result<(Offset, Vec<Record>), LogError> {
    let Bounds { start, .. } = rooms.events.log().bounds(partition)?;
    let from = next.max(start);
    match rooms.events.log().read(partition, from, limit) {
        // Retention went on between the two looks.
        Err(LogError::OutOfRange { start, .. }) if start > from => {
            Ok((start, rooms.events.log().read(partition, start, limit)?))
        }
        read => Ok((from, read?)),
    }
}

/// The event, if it passes. Its body is opened only if its headers and its key let it pass.
fn shown(rooms: &Rooms, filter: &EventFilter, record: Record) -> Option<EventView> {
    let header = |name| record.headers.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let space = header("ce_space");
    if !filter.admits(space, header("ce_type").unwrap_or_default()) {
        return None;
    }
    let is_keyed_by_thread =
        matches!(record.position.partition.topic, Topic::Messages | Topic::Embeddings | Topic::Knowledge);
    match &filter.thread {
        Some(thread) if is_keyed_by_thread => {
            let of_thread = is_key_of(&record.key, space, thread);
            of_thread.then(|| event_view(rooms.events.entry(record)))
        }
        Some(_) => Some(event_view(rooms.events.entry(record))).filter(|view| filter.passes(view)),
        None => Some(event_view(rooms.events.entry(record))),
    }
}

/// Whether this is the ordering key of the thread in the space.
fn is_key_of(key: &[u8], space: Option<&str>, thread: &str) -> bool {
    let front = key.strip_suffix(thread.as_bytes()).and_then(|front| front.strip_suffix(b"/"));
    front.is_some_and(|front| space.is_none_or(|space| front == space.as_bytes()))
}

fn known(rooms: &Rooms, partition: Partition) -> Result<Partition, Problem> {
    if rooms.events.partitions(partition.topic).contains(&partition) {
        return Ok(partition);
    }
    let detail = format!("there is no partition {partition}");
    Err(Problem::new(Code::UnknownPartition, detail, "GET /v1/topics lists topics and partitions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_told_by_its_key_only_within_its_space() {
        for (key, space, thread, expected) in [
            ("home/roof", Some("home"), "roof", true),
            ("home/roof", Some("home"), "oof", false),
            ("a/b/c", Some("a"), "b/c", true),
            ("a/b/c", Some("a/b"), "b/c", false),
            ("a/b/c", Some("a/b"), "c", true),
            ("roof", Some(""), "roof", false),
            ("home/roof", None, "roof", true),
        ] {
            assert_eq!(is_key_of(key.as_bytes(), space, thread), expected, "{key} {space:?} {thread}");
        }
    }
}
