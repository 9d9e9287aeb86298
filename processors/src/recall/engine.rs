//! The engine: candidates, what is known of each, and the answer.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    date, question,
    score::{Calibration, Ranked, Signals},
};
use crate::{
    Filter, StoreError,
    embedding::{Embedding, Encoder, ModelError, Role},
    graph::GraphStore,
    message::is_blank,
    text::{TextHit, TextQuery, TextStore, snippet},
    threads::{MessageRow, ThreadStore},
    vectors::{VectorQuery, VectorStore},
};

/// How many candidates each store proposes at the least; more when more answers are wanted.
const LEAST_CANDIDATES: usize = 300;
/// How many more may be proposed by what they name.
const ENTITY_CANDIDATES: usize = 100;
/// In so many spaces it is looked what the question names.
const ENTITY_SPACES: usize = 16;
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
    /// Of how rare what a message names is that the question names otherwise, where that is asked for.
    pub entities: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            text: 0.5,
            vector: 0.5,
            date: 0.5,
            assistant: -0.4,
            assistant_asked: -0.1,
            question: -0.05,
            entities: 0.1,
        }
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
    /// Whether messages that name what the question names under another name are candidates too, and count for more.
    pub entities: bool,
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
    /// Messages by what they name.
    pub graph: Arc<GraphStore>,
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
    entities: f32,
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
        let read = self.encoder.encode(Role::Query, &[&query.query])?;
        // Invariant: one text gives one vector.
        let Some(Embedding { vector, .. }) = read.first() else { return Ok(Answers::default()) };
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
        let mut known = Vec::with_capacity(union.len());
        for (id, candidate) in union {
            // A message that one view knows and another does not yet: it will be an answer in a moment.
            let Some(row) = stores.threads.message(id)? else { continue };
            known.push((candidate, row));
        }
        if query.entities {
            by_entities(stores, query, vector, &mut known)?;
        }
        let found = known.into_iter().map(|(candidate, row)| (self.signals(&row, candidate, &asker), row));
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
            entities: candidate.entities,
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
        near.iter().map(|&(id, cosine)| (id, Candidate { cosine: Some(cosine), ..Candidate::default() })).collect();
    let missing: Vec<Uuid> = words.iter().map(|hit| hit.message_id).filter(|id| !union.contains_key(id)).collect();
    for (id, cosine) in missing.iter().zip(cosines(&missing)?) {
        union.insert(*id, Candidate { cosine, ..Candidate::default() });
    }
    for hit in words {
        union.entry(hit.message_id).or_default().text = hit.score;
    }
    Ok(union)
}

/// Says of each candidate how rare what it names is that the question names otherwise, and adds messages that neither words nor
/// meaning found: those that say most, then the newest.
fn by_entities(
    stores: &Stores,
    query: &RecallQuery,
    vector: &[f32],
    known: &mut Vec<(Candidate, MessageRow)>,
) -> Result<(), RecallError> {
    // Where no space is asked for, those in which something was found.
    let mut spaces = match query.filter.spaces.as_slice() {
        [] => known.iter().map(|(_, row)| row.facets.space.clone()).collect(),
        asked => asked.to_vec(),
    };
    spaces.sort_unstable();
    spaces.dedup();
    let mut naming = HashMap::new();
    for space in spaces.iter().take(ENTITY_SPACES) {
        naming.extend(stores.graph.naming(space, &query.query)?);
    }
    for (candidate, row) in known.iter_mut() {
        candidate.entities = naming.remove(&row.message_id).map_or(0.0, |named| named.rarity);
    }
    let mut others: Vec<_> = naming.into_iter().filter(|(_, named)| named.rarity > 0.0).collect();
    others.sort_unstable_by(|(one_id, one), (other_id, other)| {
        let by_time = other.sent_at.cmp(&one.sent_at).then_with(|| one_id.cmp(other_id));
        other.rarity.total_cmp(&one.rarity).then(by_time)
    });
    let mut added = Vec::new();
    for (id, named) in others {
        if added.len() == ENTITY_CANDIDATES {
            break;
        }
        // The graph is whole at every node, messages are not; and it knows no filter.
        let row = stores.threads.message(id)?.filter(|row| query.filter.accepts(&row.facets));
        added.extend(row.map(|row| (named.rarity, row)));
    }
    let ids: Vec<Uuid> = added.iter().map(|(_, row)| row.message_id).collect();
    let cosines = stores.vectors.cosines(vector, &ids)?;
    known.extend(added.into_iter().zip(cosines).map(|((entities, row), cosine)| {
        let candidate = Candidate { text: 0.0, cosine, entities };
        (candidate, row)
    }));
    Ok(())
}

/// Whether a text is a short question and nothing else; kept with the message, so that ranking need not read texts.
pub(crate) fn only_asks(text: &str) -> bool {
    text.trim_end().ends_with('?') && text.split_whitespace().nth(SHORT_QUESTION_WORDS).is_none()
}
