//! Summaries, statistics and the archive.

use std::sync::Arc;

use meshlog_connectors::{
    api::{Day, DayTally, NamedTally, Page, Statistics, SummarySentence, Tally, ThreadLast, ThreadSummary, Timestamp},
    ports::{Answer, PageRequest, Summaries},
    problem::Problem,
};
use meshlog_processors::{
    PageLimit,
    summaries::{self, Budget, List, SummaryStore},
};

use super::{bad_cursor, blocking, from_cursor, problems, summary_store, to_cursor};
use crate::house::rooms::Rooms;

/// So many days are told, the last.
const DAYS: usize = 1_000;

pub(super) struct SummariesPort(Arc<Rooms>);

impl SummariesPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Summaries for SummariesPort {
    fn summary(&self, space: String, thread: String, budget_tokens: u32) -> Answer<'_, ThreadSummary> {
        Box::pin(blocking(&self.0, move |rooms| {
            let store = summary_store(rooms)?;
            let found = store.summary(&space, &thread, Budget::Tokens(budget_tokens)).map_err(problems::from_store)?;
            Ok(ThreadSummary {
                sentences: found.sentences.into_iter().filter_map(sentence).collect(),
                turns: found.turns,
                through: found.through.map(Into::into),
                archived: store.is_archived(&space, &thread).map_err(problems::from_store)?,
            })
        }))
    }

    fn statistics(&self, space: String, thread: Option<String>) -> Answer<'_, Statistics> {
        Box::pin(blocking(&self.0, move |rooms| statistics(&*summary_store(rooms)?, &space, thread.as_deref())))
    }

    fn filed(&self, space: String, quiet_since: Option<Timestamp>, page: PageRequest) -> Answer<'_, Page<ThreadLast>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let list = if quiet_since.is_some() { List::Quiet } else { List::Archived };
            let cursor = page.cursor.as_deref().map(from_cursor).transpose()?;
            if cursor.as_ref().is_some_and(|cursor| !SummaryStore::is_cursor_of(&space, list, cursor)) {
                return Err(bad_cursor());
            }
            let (store, limit) = (summary_store(rooms)?, PageLimit { items: page.items, bytes: page.bytes });
            let found = match quiet_since {
                Some(before) => store.quiet(&space, before.micros(), limit, cursor.as_deref()),
                None => store.archived(&space, limit, cursor.as_deref()),
            };
            let found = found.map_err(problems::from_store)?;
            let last = |last: summaries::ThreadLast| ThreadLast {
                thread_id: last.thread,
                last_at: Timestamp::from_micros(last.last_at),
            };
            let next = found.next.as_deref().map(to_cursor);
            Ok(Page { items: found.items.into_iter().map(last).collect(), next })
        }))
    }

    fn cursor_of(&self, space: &str, is_archived: bool, thread: &ThreadLast) -> String {
        let last = summaries::ThreadLast { thread: thread.thread_id.clone(), last_at: thread.last_at.micros() };
        to_cursor(&SummaryStore::cursor_of(space, is_archived, &last))
    }
}

fn sentence(sentence: summaries::Sentence) -> Option<SummarySentence> {
    let is_said = sentence.model.is_none();
    let place = |place: usize| is_said.then_some(place as u64);
    let sources = sentence.sources.iter().map(|source| source.message_id.to_string()).collect();
    let first = sentence.sources.into_iter().next()?;
    Some(SummarySentence {
        text: sentence.text,
        model: sentence.model,
        message_id: first.message_id.to_string(),
        sources,
        start: place(sentence.range.start),
        end: place(sentence.range.end),
        author: first.author,
        role: first.role,
        sent_at: Timestamp::from_micros(first.sent_at),
    })
}

fn statistics(store: &SummaryStore, space: &str, thread: Option<&str>) -> Result<Statistics, Problem> {
    let found = match thread {
        Some(thread) => store.thread_statistics(space, thread),
        None => store.space_statistics(space),
    };
    let Some(found) = found.map_err(problems::from_store)? else { return Ok(Statistics::default()) };
    let first_day = found.first_at.div_euclid(MICROS_A_DAY).max(found.last_at.div_euclid(MICROS_A_DAY) - LONGEST);
    let limit = PageLimit { items: usize::MAX, bytes: usize::MAX };
    let days = store.days(space, thread, first_day..=i64::MAX, limit, None).map_err(problems::from_store)?.items;
    let days = days.into_iter().map(|day| DayTally { day: Day::from_number(day.day), tally: tally(day.tally) });
    let mut days: Vec<_> = days.collect();
    days.drain(..days.len().saturating_sub(DAYS));
    let named = |tallies: Vec<(String, summaries::Tally)>| {
        tallies.into_iter().map(|(name, of)| NamedTally { name, tally: tally(of) }).collect()
    };
    Ok(Statistics {
        total: tally(found.total),
        roles: named(found.roles),
        authors: named(found.authors),
        further_authors: found.further_authors,
        days,
        first_at: Some(Timestamp::from_micros(found.first_at)),
        last_at: Some(Timestamp::from_micros(found.last_at)),
    })
}

const MICROS_A_DAY: i64 = 86_400_000_000;
/// Days further back are not looked at: a hundred years.
const LONGEST: i64 = 36_525;

fn tally(tally: summaries::Tally) -> Tally {
    Tally { messages: tally.messages, words: tally.words, bytes: tally.bytes }
}
