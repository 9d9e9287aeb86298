//! The engine: candidates, what is known of each, and the answer.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    date, question,
    score::{Calibration, Ranked, Signals},
};
use crate::{
    Filter, StoreError,
    embedding::{Encoder, ModelError},
    message::is_blank,
    text::{TextHit, TextQuery, TextStore, snippet},
    threads::{MessageRow, ThreadStore},
    vectors::{VectorQuery, VectorStore},
};

/// How many candidates each store proposes at the least; more when more answers are wanted.
const LEAST_CANDIDATES: usize = 300;
/// How long a snippet is, in characters.
const SNIPPET_CHARACTERS: usize = 240;
/// A question this short is one: longer turns that end with a question mark also tell something.
const SHORT_QUESTION_WORDS: usize = 25;

/// What counts how much. The two scores are each between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of the words' score.
    pub text: f32,
    /// Of the meaning's score.
    pub vector: f32,
    /// Added to a message said when the question's date was; see `date`.
    pub date: f32,
    /// Added to an assistant's message. Below 0: what people said themselves is mostly what they look for.
    pub assistant: f32,
    /// Instead of `assistant` where the question asks for the assistant's own words.
    pub assistant_asked: f32,
    /// Added to a short message that only asks.
    pub question: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { text: 0.5, vector: 0.5, date: 0.5, assistant: -0.4, assistant_asked: -0.1, question: -0.05 }
    }
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RecallQuery {
    /// Free text.
    pub query: String,
    /// The most answers.
    pub limit: usize,
    /// Which messages may be answers.
    pub filter: Filter,
}

/// A message that answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The message, with its position.
    pub row: MessageRow,
    /// What was said.
    pub text: String,
    /// The part of it that fits best, and where in it the query's words are.
    pub snippet: crate::text::Snippet,
    /// The sum of the weighted signals.
    pub score: f32,
    /// Every signal: raw scores, calibrated scores and priors.
    pub signals: Signals,
}

/// What answers a question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    /// The messages, best first; equal scores in the order of message ids.
    pub answers: Vec<Answer>,
    /// What their scores were calibrated by.
    pub calibration: Calibration,
}

/// Recall cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The stores that recall reads, all of views that serve now.
#[derive(Clone)]
pub struct Stores {
    /// Messages by id.
    pub threads: Arc<ThreadStore>,
    /// Messages by words.
    pub text: Arc<TextStore>,
    /// Messages by meaning.
    pub vectors: Arc<VectorStore>,
}

/// Answers questions.
pub struct RecallEngine {
    encoder: Arc<dyn Encoder>,
    weights: Weights,
}

/// A candidate's raw scores.
#[derive(Debug, Clone, Copy, Default)]
struct Candidate {
    text: f32,
    cosine: Option<f32>,
}

impl RecallEngine {
    /// An engine that understands questions with `encoder`, which must be of the model that the vectors are of.
    pub fn new(encoder: Arc<dyn Encoder>, weights: Weights) -> Self {
        Self { encoder, weights }
    }

    /// The weights of its scores.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The messages that answer best. Blocks for as long as it takes.
    ///
    /// # Errors
    /// A store or the model failed.
    pub fn recall(&self, stores: &Stores, query: &RecallQuery) -> Result<Answers, RecallError> {
        let candidates = LEAST_CANDIDATES.max(query.limit * 3);
        let vectors = self.encoder.encode(&[&query.query])?;
        // Invariant: one text gives one vector.
        let Some(vector) = vectors.first() else { return Ok(Answers::default()) };
        let words = stores.text.search(&TextQuery { text: &query.query, filter: &query.filter, limit: candidates })?;
        let near = stores.vectors.search(&VectorQuery { vector, filter: &query.filter, limit: candidates })?;
        let union = union(&words.hits, &near.hits, |missing| stores.vectors.cosines(vector, missing))?;

        let calibration = Calibration {
            best_text: words.best,
            cosines: (near.considered > 0).then_some((near.lowest, near.highest)),
        };
        let asker = Asker {
            dates: date::dates_in(&query.query),
            asks_assistant: question::asks_for_the_assistant(&query.query),
        };
        let mut found = Vec::with_capacity(union.len());
        for (id, candidate) in union {
            // A message that one view knows and another does not yet: it will be an answer in a moment.
            let Some(row) = stores.threads.message(id)? else { continue };
            found.push((self.signals(&row, candidate, &asker), row));
        }
        let ranked = self.weights.rank(&calibration, found, |row: &MessageRow| &row.message_id, query.limit);
        let answers = ranked.into_iter().filter_map(|Ranked { score, signals, candidate: row }| {
            // Forgotten since its row was read, or redacted, which another view does not know yet.
            let text = stores.threads.text(row.message_id).transpose()?;
            if text.as_ref().is_ok_and(|text| is_blank(text)) {
                return None;
            }
            Some(text.map_err(RecallError::from).map(|text| {
                let snippet = snippet(&text, &query.query, SNIPPET_CHARACTERS);
                Answer { row, text, snippet, score, signals }
            }))
        });
        Ok(Answers { answers: answers.collect::<Result<_, RecallError>>()?, calibration })
    }

    /// What is known of a candidate by itself.
    fn signals(&self, row: &MessageRow, candidate: Candidate, asker: &Asker) -> Signals {
        let assistant = match (row.facets.role.as_str(), asker.asks_assistant) {
            ("assistant", true) => self.weights.assistant_asked,
            ("assistant", false) => self.weights.assistant,
            _ => 0.0,
        };
        Signals {
            bm25: candidate.text,
            cosine: candidate.cosine,
            date: self.weights.date * date::nearness(&asker.dates, row.facets.sent_at),
            role: assistant,
            question: if row.only_asks { self.weights.question } else { 0.0 },
            ..Signals::default()
        }
    }
}

/// What the question says about the answers.
struct Asker {
    dates: Vec<date::DateMention>,
    asks_assistant: bool,
}

/// The candidates of both kinds with both scores; a message found by its words alone gets its cosine, too.
fn union(
    words: &[TextHit],
    near: &[(Uuid, f32)],
    cosines: impl FnOnce(&[Uuid]) -> Result<Vec<Option<f32>>, StoreError>,
) -> Result<HashMap<Uuid, Candidate>, StoreError> {
    let mut union: HashMap<Uuid, Candidate> =
        near.iter().map(|&(id, cosine)| (id, Candidate { text: 0.0, cosine: Some(cosine) })).collect();
    let missing: Vec<Uuid> = words.iter().map(|hit| hit.message_id).filter(|id| !union.contains_key(id)).collect();
    for (id, cosine) in missing.iter().zip(cosines(&missing)?) {
        union.insert(*id, Candidate { text: 0.0, cosine });
    }
    for hit in words {
        union.entry(hit.message_id).or_default().text = hit.score;
    }
    Ok(union)
}

/// Whether a text is a short question and nothing else; kept with the message, so that ranking need not read texts.
pub(crate) fn only_asks(text: &str) -> bool {
    text.trim_end().ends_with('?') && text.split_whitespace().nth(SHORT_QUESTION_WORDS).is_none()
}
