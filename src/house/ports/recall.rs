//! Recall.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use meshlog_connectors::{
    api::{RecallRequest, RecallResponse, RecallResult, Timestamp, mark_matches},
    ports::{Answer, Recall},
    problem::{Code, Problem},
};
use meshlog_pipeline::{Capacity, Room};
use meshlog_processors::{
    Filter,
    recall::{self, RecallQuery},
};

use meshlog_schemas::Topic;

use super::{blocking, conversations::message, problems, reading, stores};
use crate::house::rooms::Rooms;

/// Questions that may wait or be answered at once; one more is told to come back.
const MOST_QUESTIONS: u32 = 256;
/// What the questions under way may take together, in bytes.
const QUESTION_BYTES: u32 = 16 * 1024 * 1024;
/// Questions that are answered at the same time: each keeps the cores busy by itself.
const AT_ONCE: usize = 2;

pub(super) struct RecallPort {
    rooms: Arc<Rooms>,
    waiting: Room,
    at_once: Arc<tokio::sync::Semaphore>,
}

impl RecallPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        let waiting = Room::new(Capacity { items: MOST_QUESTIONS, bytes: QUESTION_BYTES });
        Self { rooms, waiting, at_once: Arc::new(tokio::sync::Semaphore::new(AT_ONCE)) }
    }
}

impl Recall for RecallPort {
    fn recall(&self, request: RecallRequest) -> Answer<'_, RecallResponse> {
        Box::pin(async move {
            let started = Instant::now();
            let place = self.waiting.try_enter(request.query.len()).ok_or_else(|| {
                Problem::new(Code::Overloaded, "too many questions are under way", "ask again in a moment")
                    .retry_after(1)
            })?;
            // Invariant: the semaphore is never closed.
            let turn = self.at_once.clone().acquire_owned().await;
            blocking(&self.rooms, move |rooms| {
                // Given back when the work is done, not when the client leaves: the work goes on without it.
                let _held = (place, turn);
                answer(rooms, request, started)
            })
            .await
        })
    }
}

fn answer(rooms: &Rooms, request: RecallRequest, started: Instant) -> Result<RecallResponse, Problem> {
    let as_of = as_of(rooms)?;
    let query = RecallQuery {
        query: request.query,
        limit: request.limit as usize,
        filter: Filter {
            spaces: request.spaces,
            threads: request.threads,
            authors: request.authors,
            after: request.after.map(Timestamp::micros),
            before: request.before.map(Timestamp::micros),
            as_of: request.as_of.map(Timestamp::micros),
        },
    };
    let answers = reading(rooms)?.recall.recall(&stores(rooms)?, &query).map_err(problems::from_recall)?;
    let results = answers.into_iter().map(|answer| result(answer, request.explain)).collect();
    Ok(RecallResponse { results, as_of, took_ms: started.elapsed().as_secs_f64() * 1e3 })
}

/// What the answer can see at the least: for each partition the lowest offset that a view has applied.
fn as_of(rooms: &Rooms) -> Result<BTreeMap<String, u64>, Problem> {
    let mut lowest: BTreeMap<String, u64> = BTreeMap::new();
    for (view, input) in [("threads", Topic::Messages), ("text", Topic::Messages), ("vectors", Topic::Embeddings)] {
        let applied = reading(rooms)?.views.progress(view).map_err(problems::from_replay)?.status().checkpoints;
        for partition in rooms.events.partitions(input) {
            let next = applied.next(partition);
            let entry = lowest.entry(partition.to_string()).or_insert(next);
            *entry = next.min(*entry);
        }
    }
    Ok(lowest)
}

fn result(answer: recall::Answer, explain: bool) -> RecallResult {
    let (snippet, highlights) = mark_matches(&answer.snippet.text, &answer.snippet.highlights);
    let signals =
        explain.then(|| answer.signals.iter().map(|(name, value)| ((*name).to_owned(), f64::from(*value))).collect());
    RecallResult {
        message: message(answer.row, answer.text),
        snippet,
        highlights,
        score: f64::from(answer.score),
        signals,
    }
}
