//! Dead letters, from the fold that the runners act on.

use std::{collections::HashMap, sync::Arc};

use meshlog_connectors::{
    api::{DeadLetter, DeadLetterId, DeadLetterSelection, DeadLetterView, EventView, Page, Timestamp},
    ports::{Answer, DeadLetters, PageRequest, Redrive},
    problem::{Code, Problem},
};
use meshlog_pipeline::{self as pipeline, LogError, NewEvent, ReadLimit};
use meshlog_schemas::Position;

use super::{blocking, events::hide_from, problems};
use crate::house::{event_view::event_view, rooms::Rooms};

const SOURCE: &str = "/gateway/http";

/// How many redrives are appended at once.
const REDRIVES: usize = 1000;

pub(super) struct DeadLettersPort {
    rooms: Arc<Rooms>,
    parked: Arc<pipeline::DeadLetterView>,
}

impl DeadLettersPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        let parked = Arc::new(pipeline::DeadLetterView::new(rooms.events.clone()));
        Self { rooms, parked }
    }

    /// Looks at what is parked now.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Rooms, &pipeline::DeadLetterView) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let parked = self.parked.clone();
        blocking(&self.rooms, move |rooms| look(rooms, &parked)).await
    }

    /// The parked event of this id.
    async fn one(&self, id: DeadLetterId) -> Result<Option<pipeline::DeadLetter>, Problem> {
        let get = move |parked: &pipeline::DeadLetters| parked.get(&id.processor, id.position);
        self.look(move |_, parked| parked.look(get).map_err(problems::from_log)).await
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Position, Problem> {
        let receipts = self.rooms.events.append(events, None).await.map_err(problems::from_publish)?;
        let last = receipts.last().ok_or_else(|| Problem::internal("the log gave no receipt"))?;
        Ok(last.position)
    }
}

impl DeadLetters for DeadLettersPort {
    fn list(&self, selection: DeadLetterSelection, page: PageRequest) -> Answer<'_, Page<DeadLetter>> {
        Box::pin(self.look(move |_, parked| {
            let from = page.cursor.as_deref().map(from_cursor).transpose()?;
            let (all, waiting) = selected(parked, &selection)?;
            let mut found: Vec<_> =
                all.into_iter().map(|letter| ((letter.parked.since, named(&letter)), letter)).collect();
            found.retain(|(place, _)| from.as_ref().is_none_or(|from| place >= from));
            found.sort_by(|(one, _), (other, _)| one.cmp(other));
            let next = found.get(page.items).map(|((since, id), _)| format!("{since}-{id}"));
            found.truncate(page.items);
            let items = found.iter().map(|(_, letter)| view(parked, letter, &waiting)).collect::<Result<_, _>>()?;
            Ok(Page { items, next })
        }))
    }

    fn get(&self, id: DeadLetterId) -> Answer<'_, Option<DeadLetterView>> {
        Box::pin(self.look(move |rooms, parked| {
            let (all, waiting) = selected(parked, &DeadLetterSelection::default())?;
            let Some(letter) = all.iter().find(|letter| named(letter) == id) else { return Ok(None) };
            let (dead_letter, event) = (view(parked, letter, &waiting)?, event_at(rooms, id.position)?);
            Ok(Some(DeadLetterView { dead_letter, event }))
        }))
    }

    fn redrive(&self, id: DeadLetterId) -> Answer<'_, Option<Redrive>> {
        Box::pin(async move {
            let Some(letter) = self.one(id).await? else { return Ok(None) };
            if letter.head != letter.parked.position {
                return Ok(Some(Redrive::Waits(DeadLetterId { processor: letter.processor, position: letter.head })));
            }
            Ok(Some(Redrive::Requested(self.append(vec![request(&letter)]).await?)))
        })
    }

    fn redrive_all(&self, selection: DeadLetterSelection) -> Answer<'_, u64> {
        Box::pin(async move {
            let (letters, _) = self.look(move |_, parked| selected(parked, &selection)).await?;
            let heads: Vec<_> = letters.iter().filter(|letter| letter.head == letter.parked.position).collect();
            for chunk in heads.chunks(REDRIVES) {
                self.append(chunk.iter().map(|letter| request(letter)).collect()).await?;
            }
            Ok(heads.len() as u64)
        })
    }

    fn discard(&self, id: DeadLetterId, author: String, reason: String) -> Answer<'_, Option<Position>> {
        Box::pin(async move {
            let Some(letter) = self.one(id).await? else { return Ok(None) };
            let (processor, position, key) = (&letter.processor, letter.parked.position, &letter.key);
            let event = pipeline::dead_letter_discarded(SOURCE, processor, position, key, &author, &reason);
            self.append(vec![event]).await.map(Some)
        })
    }
}

/// How many events wait behind each head.
type Waiting = HashMap<DeadLetterId, u64>;

/// What is selected of everything that is parked.
fn selected(
    parked: &pipeline::DeadLetterView,
    selection: &DeadLetterSelection,
) -> Result<(Vec<pipeline::DeadLetter>, Waiting), Problem> {
    let all = |parked: &pipeline::DeadLetters| parked.list(selection.processor.as_deref(), None, usize::MAX);
    let mut letters = parked.look(all).map_err(problems::from_log)?;
    let mut waiting = Waiting::new();
    for letter in letters.iter().filter(|letter| letter.head != letter.parked.position) {
        let head = DeadLetterId { processor: letter.processor.clone(), position: letter.head };
        *waiting.entry(head).or_default() += 1;
    }
    let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
    letters.retain(|letter| {
        is(&selection.topic, letter.parked.position.partition.topic.name())
            && is(&selection.key, &letter.key)
            && is(&selection.class, letter.parked.class.name())
    });
    Ok((letters, waiting))
}

fn named(letter: &pipeline::DeadLetter) -> DeadLetterId {
    DeadLetterId { processor: letter.processor.clone(), position: letter.parked.position }
}

fn request(letter: &pipeline::DeadLetter) -> NewEvent {
    pipeline::redrive_requested(SOURCE, &letter.processor, letter.parked.position, &letter.key)
}

fn view(
    parked: &pipeline::DeadLetterView,
    letter: &pipeline::DeadLetter,
    waiting: &Waiting,
) -> Result<DeadLetter, Problem> {
    let id = named(letter);
    let said = parked.read(letter).map_err(problems::from_log)?;
    let (event_id, event_type, error) = match said {
        Some(said) => (said.event_id, said.event_type, said.error),
        None => (String::new(), String::new(), "the dead letter itself cannot be read".to_owned()),
    };
    let state = &letter.parked;
    Ok(DeadLetter {
        id: id.to_string(),
        processor: letter.processor.clone(),
        position: state.position.into(),
        key: letter.key.clone(),
        event_id,
        event_type,
        class: state.class.name().to_owned(),
        error,
        attempts: state.attempts,
        // Failures of the first version were written without a time.
        failed_at: (state.since > 0).then(|| Timestamp::from_micros(state.since)),
        waits_behind: (letter.head != state.position).then_some(letter.head.offset),
        waiting: waiting.get(&id).copied().unwrap_or_default(),
    })
}

/// The event at a position; `None` when it has been removed.
fn event_at(rooms: &Rooms, position: Position) -> Result<Option<EventView>, Problem> {
    let limit = ReadLimit { records: 1, bytes: 1 };
    match rooms.events.read(position.partition, position.offset, limit) {
        Ok(entries) => {
            let mut shown: Vec<EventView> = entries.into_iter().take(1).map(event_view).collect();
            hide_from(rooms, &mut shown)?;
            Ok(shown.pop())
        }
        Err(LogError::OutOfRange { .. } | LogError::NoPartition(_)) => Ok(None),
        Err(error) => Err(problems::from_log(error)),
    }
}

fn from_cursor(cursor: &str) -> Result<(i64, DeadLetterId), Problem> {
    let parsed = cursor.split_once('-').and_then(|(since, id)| Some((since.parse().ok()?, id.parse().ok()?)));
    parsed.ok_or_else(|| {
        Problem::new(Code::BadCursor, "the cursor was not given out by this list", "begin again without a cursor")
    })
}
