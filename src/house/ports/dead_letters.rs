//! Dead letters, from the topic that holds them.

use std::sync::{Arc, Mutex, PoisonError};

use meshlog_connectors::{
    api::{DeadLetter, DeadLetterId, DeadLetterSelection, DeadLetterView, EventView, Page, Timestamp},
    ports::{Answer, DeadLetters, PageRequest, Redrive},
    problem::{Code, Problem},
};
use meshlog_pipeline::{BATCH_LIMIT, Feed, LogError, NewEvent, ReadLimit};
use meshlog_schemas::{Checkpoints, DeadLetterDiscarded, Event, EventId, Position, RedriveRequested, Topic, Trust};

use super::{blocking, problems};
use crate::house::{
    event_view::event_view,
    parked::{Letter, Parked},
    rooms::Rooms,
};

const SOURCE: &str = "/gateway/http";

/// How many redrives are appended at once.
const REDRIVES: usize = 1000;

pub(super) struct DeadLettersPort {
    rooms: Arc<Rooms>,
    parked: Arc<Mutex<(Feed, Parked)>>,
}

impl DeadLettersPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        let feed = Feed::new(rooms.events.clone(), &[Topic::DeadLetters], Checkpoints::default());
        Self { rooms, parked: Arc::new(Mutex::new((feed, Parked::default()))) }
    }

    /// Looks at what is parked now.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Rooms, &Parked) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let parked = self.parked.clone();
        blocking(&self.rooms, move |rooms| {
            // A fold that panicked half-way is taken up where its feed stands; events are whole.
            let mut parked = parked.lock().unwrap_or_else(PoisonError::into_inner);
            let (feed, parked) = &mut *parked;
            loop {
                let batch = feed.next(BATCH_LIMIT, None).map_err(problems::from_log)?;
                if batch.entries.is_empty() {
                    return look(rooms, parked);
                }
                batch.entries.iter().flatten().for_each(|event| parked.observe(event));
            }
        })
        .await
    }

    async fn append(&self, events: Vec<Event>) -> Result<Position, Problem> {
        let new = |event| NewEvent::first(EventId::fresh(), SOURCE, Trust::Client, event);
        let events = events.into_iter().map(new).collect();
        let receipts = self.rooms.events.append(events, None).await.map_err(problems::from_publish)?;
        let last = receipts.last().ok_or_else(|| Problem::internal("the log gave no receipt"))?;
        Ok(last.position)
    }
}

impl DeadLetters for DeadLettersPort {
    fn list(&self, selection: DeadLetterSelection, page: PageRequest) -> Answer<'_, Page<DeadLetter>> {
        Box::pin(async move {
            let from = page.cursor.as_deref().map(from_cursor).transpose()?;
            let mut found = self
                .look(move |_, parked| {
                    let mut found: Vec<_> =
                        parked.letters().map(|letter| (letter.first, view(parked, letter))).collect();
                    found.retain(|(first, view)| from.is_none_or(|from| *first >= from) && selection.holds(view));
                    found.sort_by_key(|(first, _)| *first);
                    Ok(found)
                })
                .await?;
            let next = found.get(page.items).map(|(first, _)| to_cursor(*first));
            found.truncate(page.items);
            Ok(Page { items: found.into_iter().map(|(_, view)| view).collect(), next })
        })
    }

    fn get(&self, id: DeadLetterId) -> Answer<'_, Option<DeadLetterView>> {
        Box::pin(self.look(move |rooms, parked| {
            let Some(letter) = parked.get(&id) else { return Ok(None) };
            let (dead_letter, event) = (view(parked, letter), event_at(rooms, id.position)?);
            Ok(Some(DeadLetterView { dead_letter, event }))
        }))
    }

    fn redrive(&self, id: DeadLetterId) -> Answer<'_, Option<Redrive>> {
        Box::pin(async move {
            let found =
                self.look(move |_, parked| Ok(parked.get(&id).map(|letter| head_or_request(parked, letter)))).await?;
            match found {
                None => Ok(None),
                Some(Err(head)) => Ok(Some(Redrive::Waits(head))),
                Some(Ok(request)) => Ok(Some(Redrive::Requested(self.append(vec![request]).await?))),
            }
        })
    }

    fn redrive_all(&self, selection: DeadLetterSelection) -> Answer<'_, u64> {
        Box::pin(async move {
            let requests: Vec<_> = self
                .look(move |_, parked| {
                    let selected = parked.letters().filter(|letter| selection.holds(&view(parked, letter)));
                    Ok(selected.filter_map(|letter| head_or_request(parked, letter).ok()).collect())
                })
                .await?;
            for chunk in requests.chunks(REDRIVES) {
                self.append(chunk.to_vec()).await?;
            }
            Ok(requests.len() as u64)
        })
    }

    fn discard(&self, id: DeadLetterId, author: String, reason: String) -> Answer<'_, Option<Position>> {
        Box::pin(async move {
            let discarded = self
                .look(move |_, parked| {
                    Ok(parked.get(&id).map(|letter| {
                        let failed = &letter.failed;
                        Event::DeadLetterDiscarded(DeadLetterDiscarded {
                            processor: failed.processor.clone(),
                            topic: failed.topic.clone(),
                            partition: failed.partition,
                            offset: failed.offset,
                            key: failed.key.clone(),
                            author,
                            reason,
                        })
                    }))
                })
                .await?;
            match discarded {
                Some(event) => self.append(vec![event]).await.map(Some),
                None => Ok(None),
            }
        })
    }
}

/// The request to redrive a dead letter, or the one that it waits behind.
fn head_or_request(parked: &Parked, letter: &Letter) -> Result<Event, DeadLetterId> {
    let head = parked.head(letter);
    if head.id != letter.id {
        return Err(head.id.clone());
    }
    let failed = &letter.failed;
    Ok(Event::RedriveRequested(RedriveRequested {
        processor: failed.processor.clone(),
        topic: failed.topic.clone(),
        partition: failed.partition,
        offset: failed.offset,
        key: failed.key.clone(),
    }))
}

fn view(parked: &Parked, letter: &Letter) -> DeadLetter {
    let (head, failed) = (parked.head(letter), &letter.failed);
    let is_head = head.id == letter.id;
    DeadLetter {
        id: letter.id.to_string(),
        processor: failed.processor.clone(),
        position: letter.id.position.into(),
        key: failed.key.clone(),
        event_id: failed.event_id.clone(),
        event_type: failed.event_type.clone(),
        class: failed.class.clone(),
        error: failed.error.clone(),
        attempts: u32::try_from(failed.attempts).unwrap_or_default(),
        // Failures of the first version were written without a time.
        failed_at: (failed.failed_at > 0).then(|| Timestamp::from_micros(failed.failed_at)),
        waits_behind: (!is_head).then_some(head.id.position.offset),
        waiting: if is_head { parked.waiting(letter) } else { 0 },
    }
}

/// The event at a position; `None` when it has been removed.
fn event_at(rooms: &Rooms, position: Position) -> Result<Option<EventView>, Problem> {
    let limit = ReadLimit { records: 1, bytes: 1 };
    match rooms.events.read(position.partition, position.offset, limit) {
        Ok(entries) => Ok(entries.into_iter().next().map(event_view)),
        Err(LogError::OutOfRange { .. } | LogError::NoPartition(_)) => Ok(None),
        Err(error) => Err(problems::from_log(error)),
    }
}

/// A cursor as text: the place of the first report of a dead letter, which stands on one topic.
fn to_cursor(first: Position) -> String {
    format!("{}-{}", first.partition.id, first.offset)
}

fn from_cursor(cursor: &str) -> Result<Position, Problem> {
    let parsed = cursor.split_once('-').and_then(|(id, offset)| {
        let partition = meshlog_schemas::Partition { topic: Topic::DeadLetters, id: id.parse().ok()? };
        Some(Position { partition, offset: offset.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        Problem::new(Code::BadCursor, "the cursor was not given out by this list", "begin again without a cursor")
    })
}
