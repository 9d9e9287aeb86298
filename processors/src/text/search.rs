//! Search: windowed BM25.
//!
//! Owns: the ranking of messages for a query, space by space.
//! Promises: exact scores. Equal content gives equal hits, whatever its commits and segments are; hits fulfil the filter.
//! Never: lets one space's messages count in the statistics of another.
//!
//! A turn of a conversation often answers what the turn before it names. So a message has, besides its own terms, half of
//! those of its neighbours in the thread and a quarter of those one further ([`super::turns::WINDOW`]), and becomes a
//! candidate through them alone. Document frequencies count own terms only. With tf and length taken over the window:
//!
//! ```text
//! score = sum over terms of ln(1 + (N - df + .5) / (df + .5)) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean))
//! ```

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use tantivy::{DocSet, TERMINATED, postings::Postings, schema::IndexRecordOption};
use uuid::Uuid;

use super::{
    analysis::stems,
    cause::Cause,
    layout::{Fields, space_prefix},
    turns::{REACH, Space, Thread, Turn, Turns, WINDOW},
    view::{Snapshot, View},
};
use crate::{Facets, Filter};

/// How fast repetitions of a term stop counting. Conversations repeat little; values from .6 to 1.6 rank alike.
const K1: f64 = 0.9;

/// How much length counts against a message. Short turns rank alike from .4 to .9; where an assistant's long answers
/// stand beside a user's short statements, values below .7 lose the statements.
const B: f64 = 0.75;

/// Terms of a query that are looked up; a longer text is searched for by its first ones.
const LONGEST_QUERY: usize = 128;

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub struct TextQuery<'a> {
    /// Free text. There is no syntax, so nothing in it can be wrong.
    pub text: &'a str,
    /// Which messages may be hits. Neighbours that may not still count in the window of those that may.
    pub filter: &'a Filter,
    /// The most hits to return.
    pub limit: usize,
}

/// A message that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct TextHit {
    /// Its id.
    pub message_id: Uuid,
    /// Its windowed BM25 score: above 0, without upper bound, comparable within one query only.
    pub score: f32,
    /// The stems of the query that the message itself has, in the query's order. Empty if only its neighbours have any.
    pub own_terms: Vec<String>,
}

/// The answer to a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextHits {
    /// Best first; equal scores in the order of the message ids.
    pub hits: Vec<TextHit>,
    /// The best hit's score, or 0 without hits.
    pub best: f32,
}

/// Ranks the messages of a view.
pub(crate) fn search(view: &View, fields: &Fields, query: &TextQuery<'_>) -> Result<TextHits, Cause> {
    let terms = query_terms(query.text);
    if terms.is_empty() || query.limit == 0 {
        return Ok(TextHits::default());
    }
    let mut best = Best::new(query.limit);
    for (name, space) in view.turns.spaces() {
        if query.filter.accepts_space(name) {
            let matches = Matches::read(&view.snapshot, fields, name, space, &terms)?;
            let gate = Gate::new(query.filter, &view.turns, name);
            rank(space, &matches, gate, &mut best);
        }
    }
    Ok(best.into_hits(&terms))
}

/// The distinct stems of a query, in its order.
fn query_terms(text: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for stem in stems(text) {
        if terms.len() == LONGEST_QUERY {
            break;
        }
        if !terms.contains(&stem) {
            terms.push(stem);
        }
    }
    terms
}

/// One term in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    thread: u32,
    place: u32,
    /// The term's number in the query.
    term: u32,
    frequency: u32,
}

/// Where the query's terms occur in one space.
struct Matches {
    /// Sorted by thread, place and term.
    all: Vec<Match>,
    /// The weight of each term.
    rarity: Vec<f64>,
}

impl Matches {
    fn read(snapshot: &Snapshot, fields: &Fields, name: &str, space: &Space, terms: &[String]) -> Result<Self, Cause> {
        let prefix = space_prefix(name);
        let keys: Vec<_> = terms.iter().map(|term| fields.posting_term(&prefix, term)).collect();
        let mut all = Vec::new();
        let mut frequencies = vec![0u64; terms.len()];
        for (segment, columns) in snapshot.searcher.segment_readers().iter().zip(&snapshot.columns) {
            let postings_of = segment.inverted_index(fields.terms)?;
            for (term, key) in (0u32..).zip(&keys) {
                let Some(mut postings) = postings_of.read_postings(key, IndexRecordOption::WithFreqs)? else {
                    continue;
                };
                let before = all.len();
                let mut threads = ThreadNumbers { space, last: None };
                while postings.doc() != TERMINATED {
                    let document = postings.doc();
                    if !segment.is_deleted(document) {
                        let (thread, in_thread) = threads.thread(columns.threads.get_val(document))?;
                        let ordinal = u32::try_from(columns.ordinals.get_val(document))?;
                        let place =
                            in_thread.place(ordinal).ok_or("a posting belongs to a message that no record names")?;
                        all.push(Match { thread, place, term, frequency: postings.term_freq() });
                    }
                    postings.advance();
                }
                frequencies[term as usize] += (all.len() - before) as u64;
            }
        }
        // Postings come in runs that are nearly in order, which a stable sort makes use of.
        all.sort();
        let messages = space.messages();
        let rarity = frequencies.into_iter().map(|frequency| rarity(messages, frequency)).collect();
        Ok(Self { all, rarity })
    }

    /// The matches of each thread with the best score possible in it, most promising thread first.
    fn by_thread(&self, scoring: &Scoring<'_>) -> Vec<(f32, &[Match])> {
        let in_threads = self.all.chunk_by(|one, other| one.thread == other.thread);
        let mut threads: Vec<_> = in_threads.map(|matches| (scoring.bound(matches), matches)).collect();
        threads.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        threads
    }
}

fn rarity(messages: u64, frequency: u64) -> f64 {
    let (messages, frequency) = (messages as f64, frequency as f64);
    (1.0 + (messages - frequency + 0.5) / (frequency + 0.5)).ln()
}

/// Finds threads by their keys. Documents of a thread lie close together, so the last answer is mostly the next one.
struct ThreadNumbers<'a> {
    space: &'a Space,
    last: Option<(u64, u32, &'a Thread)>,
}

impl<'a> ThreadNumbers<'a> {
    fn thread(&mut self, key: u64) -> Result<(u32, &'a Thread), Cause> {
        if let Some((last_key, number, thread)) = self.last
            && last_key == key
        {
            return Ok((number, thread));
        }
        let number = self.space.thread_number(key).ok_or("a posting belongs to a thread that no record names")?;
        let thread = self.space.thread(number);
        self.last = Some((key, number, thread));
        Ok((number, thread))
    }
}

fn rank(space: &Space, matches: &Matches, mut gate: Gate<'_>, best: &mut Best) {
    let scoring = Scoring { rarity: &matches.rarity, mean_length: space.average_window_length() };
    let mut frequencies = vec![0.0; matches.rarity.len()];
    for (bound, in_thread) in matches.by_thread(&scoring) {
        if best.is_out_of_reach(bound) {
            break;
        }
        let thread = space.thread(in_thread[0].thread);
        for_each_candidate(in_thread, |place, nearby| {
            // Most candidates have common terms only: what they could reach at best is cheaper than their score.
            if best.is_out_of_reach(scoring.bound(nearby)) {
                return;
            }
            let Some(turn) = thread.turn(place) else {
                return;
            };
            let own = window_frequencies(thread, place, nearby, &mut frequencies);
            let score = scoring.score(&frequencies, turn.window_length());
            if best.would_take(score, turn.message_id) && gate.accepts(thread, turn) {
                best.take(Ranked { score, message_id: turn.message_id, own });
            }
        });
    }
}

/// Visits every place within reach of a match, once and in order, with the matches within its reach.
fn for_each_candidate(in_thread: &[Match], mut visit: impl FnMut(u32, &[Match])) {
    let mut next = 0;
    let mut window: Range<usize> = 0..0;
    for found in in_thread {
        let last = found.place.saturating_add(REACH);
        for place in found.place.saturating_sub(REACH).max(next)..=last {
            while in_thread[window.start].place + REACH < place {
                window.start += 1;
            }
            while window.end < in_thread.len() && in_thread[window.end].place <= place + REACH {
                window.end += 1;
            }
            visit(place, &in_thread[window.clone()]);
            next = place + 1;
        }
    }
}

/// Fills in how often each term counts for the message at `place`. Returns the terms it has itself, as a bit each.
fn window_frequencies(thread: &Thread, place: u32, nearby: &[Match], frequencies: &mut [f64]) -> u128 {
    frequencies.fill(0.0);
    let mut own = 0;
    for found in nearby {
        let frequency = f64::from(found.frequency);
        if found.place == place {
            own |= 1 << found.term;
            frequencies[found.term as usize] += frequency;
            continue;
        }
        let lending = thread.turn(found.place).map_or(0.0, Turn::lending);
        frequencies[found.term as usize] += weight(place, found.place) * lending * frequency;
    }
    own
}

fn weight(place: u32, neighbour: u32) -> f64 {
    let distance = i64::from(neighbour) - i64::from(place);
    WINDOW.iter().find(|(reach, _)| *reach as i64 == distance).map_or(0.0, |(_, weight)| *weight)
}

struct Scoring<'a> {
    rarity: &'a [f64],
    mean_length: f64,
}

impl Scoring<'_> {
    /// A score that no message with these matches in its window exceeds: each term counts below its rarity * (k1 + 1).
    fn bound(&self, matches: &[Match]) -> f32 {
        let mut seen = 0u128;
        let mut bound = 0.0;
        for found in matches {
            if seen >> found.term & 1 == 0 {
                seen |= 1 << found.term;
                bound += self.rarity[found.term as usize] * (K1 + 1.0);
            }
        }
        // The terms are summed in another order here, so the last digits may differ.
        (bound * (1.0 + 1e-6)) as f32
    }

    fn score(&self, frequencies: &[f64], length: f64) -> f32 {
        let saturation = K1 * (1.0 - B + B * length / self.mean_length);
        let parts = self.rarity.iter().zip(frequencies);
        parts.map(|(rarity, frequency)| rarity * frequency * (K1 + 1.0) / (frequency + saturation)).sum::<f64>() as f32
    }
}

/// Asks the filter about the messages of one space.
struct Gate<'a> {
    filter: &'a Filter,
    turns: &'a Turns,
    /// The facets last asked about, kept because most of the next ones are the same.
    facets: Facets,
}

impl<'a> Gate<'a> {
    fn new(filter: &'a Filter, turns: &'a Turns, space: &str) -> Self {
        let facets = Facets {
            space: space.to_owned(),
            thread: String::new(),
            author: String::new(),
            role: String::new(),
            sent_at: 0,
            accepted_at: 0,
        };
        Self { filter, turns, facets }
    }

    /// The space has been asked about before.
    fn accepts(&mut self, thread: &Thread, turn: &Turn) -> bool {
        if self.filter.is_by_space_only() {
            return true;
        }
        let speaker = self.turns.speaker(turn.speaker);
        self.facets.thread.clone_from(&thread.name);
        self.facets.author.clone_from(&speaker.author);
        self.facets.role.clone_from(&speaker.role);
        self.facets.sent_at = turn.sent_at;
        self.facets.accepted_at = turn.accepted_at;
        self.filter.accepts(&self.facets)
    }
}

/// A scored message. The greater ranks first: by score, then by the smaller id.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    score: f32,
    message_id: Uuid,
    /// The query's terms that it has itself, as a bit each.
    own: u128,
}

impl Ranked {
    fn into_hit(self, terms: &[String]) -> TextHit {
        let own = terms.iter().enumerate().filter(|(bit, _)| self.own >> bit & 1 == 1);
        let own_terms = own.map(|(_, term)| term.clone()).collect();
        TextHit { message_id: self.message_id, score: self.score, own_terms }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.message_id.cmp(&self.message_id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// The best messages so far.
struct Best {
    limit: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Reverse<Ranked>>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    /// Whether a message of this score or less could not be among the best.
    fn is_out_of_reach(&self, bound: f32) -> bool {
        self.heap.len() == self.limit && self.heap.peek().is_some_and(|Reverse(worst)| bound < worst.score)
    }

    fn would_take(&self, score: f32, message_id: Uuid) -> bool {
        let Some(Reverse(worst)) = self.heap.peek() else {
            return true;
        };
        self.heap.len() < self.limit || Ranked { score, message_id, own: 0 } > *worst
    }

    fn take(&mut self, ranked: Ranked) {
        self.heap.push(Reverse(ranked));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }

    fn into_hits(self, terms: &[String]) -> TextHits {
        let ranked = self.heap.into_sorted_vec();
        let best = ranked.first().map_or(0.0, |Reverse(first)| first.score);
        let hits = ranked.into_iter().map(|Reverse(ranked)| ranked.into_hit(terms)).collect();
        TextHits { hits, best }
    }
}
