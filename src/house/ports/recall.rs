//! Recall.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use meshlog_connectors::{
    api::{Calibration, RecallRequest, RecallResponse, RecallResult, Timestamp, mark_matches},
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

    fn merge(&self, request: &RecallRequest, answers: Vec<RecallResponse>) -> Result<RecallResponse, Problem> {
        let unexplained = || {
            let detail = "a query node answered without the signals that its results have to be ranked by";
            Problem::new(Code::Unavailable, detail, "run all query nodes with the same version of Meshlog")
        };
        let mut calibration = recall::Calibration::default();
        let (mut candidates, mut as_of) = (Vec::new(), BTreeMap::new());
        for answer in answers {
            calibration = calibration.and(answer.calibration.map(raw).ok_or_else(unexplained)?);
            as_of.extend(answer.as_of);
            for result in answer.results {
                let signal = |name: &str| result.signals.as_ref()?.get(name).map(|value| *value as f32);
                candidates.push((recall::Signals::from_listed(signal).ok_or_else(unexplained)?, result));
            }
        }
        let weights = reading(&self.rooms)?.recall.weights();
        let limit = request.limit as usize;
        let ranked = weights.rank(&calibration, candidates, |result| &result.message.message_id, limit);
        let results = ranked.into_iter().map(|ranked| RecallResult {
            score: f64::from(ranked.score),
            signals: request.explain.then(|| listed(&ranked.signals)),
            ..ranked.candidate
        });
        let calibration = request.explain.then(|| view(calibration));
        Ok(RecallResponse { results: results.collect(), as_of, took_ms: 0.0, calibration })
    }
}

fn view(calibration: recall::Calibration) -> Calibration {
    let (lowest, highest) = calibration.cosines.unzip();
    let best_text = calibration.best_text.into();
    Calibration { best_text, lowest: lowest.map(f64::from), highest: highest.map(f64::from) }
}

fn raw(view: Calibration) -> recall::Calibration {
    let cosines = view.lowest.zip(view.highest).map(|(lowest, highest)| (lowest as f32, highest as f32));
    recall::Calibration { best_text: view.best_text as f32, cosines }
}

fn listed(signals: &recall::Signals) -> BTreeMap<String, f64> {
    signals.listed().into_iter().map(|(name, value)| (name.to_owned(), f64::from(value))).collect()
}

fn answer(rooms: &Rooms, request: RecallRequest, started: Instant) -> Result<RecallResponse, Problem> {
    let as_of = as_of(rooms, request.entities)?;
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
        entities: request.entities,
    };
    let found = reading(rooms)?.recall.recall(&stores(rooms)?, &query).map_err(problems::from_recall)?;
    let calibration = request.explain.then(|| view(found.calibration));
    let results = found.answers.into_iter().map(|answer| result(rooms, answer, request.explain)).collect();
    Ok(RecallResponse { results, as_of, took_ms: started.elapsed().as_secs_f64() * 1e3, calibration })
}

/// What the answer can see at the least: for each partition the lowest offset that a view has applied.
fn as_of(rooms: &Rooms, entities: bool) -> Result<BTreeMap<String, u64>, Problem> {
    let mut lowest: BTreeMap<String, u64> = BTreeMap::new();
    let views = [("threads", Topic::Messages), ("text", Topic::Messages), ("vectors", Topic::Embeddings)];
    for (view, input) in views.into_iter().chain(entities.then_some(("graph", Topic::Knowledge))) {
        let applied = reading(rooms)?.views.progress(view).map_err(problems::from_replay)?.status().checkpoints;
        for partition in reading(rooms)?.events.partitions(input) {
            let next = applied.next(partition);
            let entry = lowest.entry(partition.to_string()).or_insert(next);
            *entry = next.min(*entry);
        }
    }
    Ok(lowest)
}

fn result(rooms: &Rooms, answer: recall::Answer, explain: bool) -> RecallResult {
    let (snippet, highlights) = mark_matches(&answer.snippet.text, &answer.snippet.highlights);
    let signals = explain.then(|| listed(&answer.signals));
    RecallResult {
        message: message(rooms, answer.row, answer.text),
        snippet,
        highlights,
        score: f64::from(answer.score),
        signals,
    }
}
