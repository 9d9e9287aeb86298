//! The selection: which recalled turns come into a context.
//!
//! Owns: their value for the tokens that they take, and cutting a long one to the passage that answers.

use super::{
    Count,
    prompt::{self, Quote},
};
use crate::api::RecallResult;

/// A turn that answers this much worse than the best one only takes room.
const LEAST_SCORE: f64 = 0.4;
/// A turn longer than this part of the room is cut to the passage that answers best, of eight.
const LONGEST_SHARE: u64 = 3;
/// What each turn takes beside its text; it keeps the shortest turns from being taken for their shortness.
const FRAME_TOKENS: u64 = 24;

/// Turns for `room` tokens, the one with the most value for its tokens first.
pub(super) fn choose(results: Vec<RecallResult>, room: u64, count: Count<'_>) -> Vec<Quote> {
    let best = results.first().map_or(0.0, |result| result.score);
    let mut candidates: Vec<(f64, u64, Quote)> = results
        .into_iter()
        .filter(|result| result.score >= best * LEAST_SCORE)
        .map(|result| {
            let score = result.score;
            let (quote, tokens) = quoted(result, room, count);
            (score / (tokens + FRAME_TOKENS) as f64, tokens, quote)
        })
        .collect();
    candidates.sort_by(|(left, ..), (right, ..)| right.total_cmp(left));
    let mut left = room;
    let mut chosen = Vec::new();
    for (_, tokens, quote) in candidates {
        if let Some(rest) = left.checked_sub(tokens) {
            left = rest;
            chosen.push(quote);
        }
    }
    chosen
}

/// The same turns in the order in which they were said.
pub(super) fn in_order(chosen: &[Quote]) -> Vec<Quote> {
    let mut quotes = chosen.to_vec();
    quotes.sort_by_key(Quote::place);
    quotes
}

fn quoted(result: RecallResult, room: u64, count: Count<'_>) -> (Quote, u64) {
    let RecallResult { message, snippet, highlights, score, .. } = result;
    let whole = Quote::recalled(message, None, score);
    let tokens = prompt::quote_tokens(&whole, count);
    if tokens <= room * LONGEST_SHARE / 8 {
        return (whole, tokens);
    }
    let passage = whole.with_passage(unmarked(&snippet, &highlights));
    let tokens = prompt::quote_tokens(&passage, count);
    (passage, tokens)
}

/// A snippet without the marks around its matches.
fn unmarked(snippet: &str, highlights: &[[u64; 2]]) -> String {
    const MARK: &str = "**";
    let mut text = String::with_capacity(snippet.len());
    let mut rest = 0;
    for [start, end] in highlights {
        let place = |place: u64| usize::try_from(place).ok();
        let (Some(start), Some(end)) = (place(*start), place(*end)) else { return snippet.to_owned() };
        let before = start.checked_sub(MARK.len()).and_then(|start| snippet.get(rest..start));
        let (Some(before), Some(matched)) = (before, snippet.get(start..end)) else { return snippet.to_owned() };
        text.push_str(before);
        text.push_str(matched);
        rest = end + MARK.len();
    }
    text.push_str(snippet.get(rest..).unwrap_or_default());
    text
}
