//! What the module promises of the ranking, computed message by message.

use std::collections::HashMap;

use super::TextDocument;
use crate::{
    message::is_blank,
    text::analysis::{document_terms, stems},
};

struct Message<'a> {
    document: &'a TextDocument,
    terms: HashMap<String, f64>,
    length: f64,
    lending: f64,
}

pub(super) fn scores(documents: &[TextDocument], space: &str, query: &str) -> HashMap<u128, f64> {
    let is_found = |document: &&TextDocument| document.facets.space == space && !is_blank(&document.text);
    let messages: Vec<Message<'_>> = documents.iter().filter(is_found).map(read).collect();
    let windows: Vec<Vec<(f64, &Message<'_>)>> = messages.iter().map(|message| window(&messages, message)).collect();
    let lengths: Vec<f64> =
        windows.iter().map(|window| window.iter().map(|(share, message)| share * message.length).sum()).collect();
    let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
    let mut terms = stems(query);
    terms.sort_unstable();
    terms.dedup();
    let mut scores = HashMap::new();
    for ((message, window), length) in messages.iter().zip(&windows).zip(&lengths) {
        let score: f64 = terms.iter().map(|term| part(&messages, window, length / mean, term)).sum();
        if score > 0.0 {
            scores.insert(message.document.message_id.as_u128(), score);
        }
    }
    scores
}

fn read(document: &TextDocument) -> Message<'_> {
    let read = document_terms(&document.facets, &document.text);
    let mut terms = HashMap::new();
    let length = read.terms.len() as f64;
    for term in read.terms {
        *terms.entry(term).or_insert(0.0) += 1.0;
    }
    Message { document, terms, length, lending: (40.0 / f64::from(read.content.max(1))).min(1.0) }
}

fn window<'m, 'd>(messages: &'m [Message<'d>], message: &'m Message<'d>) -> Vec<(f64, &'m Message<'d>)> {
    let thread: Vec<&Message<'_>> =
        messages.iter().filter(|other| other.document.facets.thread == message.document.facets.thread).collect();
    let place = thread.iter().position(|other| std::ptr::eq(*other, message)).expect("it is in its thread");
    let shares = [1.0, 0.5, 0.25];
    let near = thread.iter().enumerate().filter(|(other, _)| other.abs_diff(place) <= 2);
    near.map(|(other, neighbour)| {
        let lending = if other == place { 1.0 } else { neighbour.lending };
        (shares[other.abs_diff(place)] * lending, *neighbour)
    })
    .collect()
}

fn part(messages: &[Message<'_>], window: &[(f64, &Message<'_>)], length: f64, term: &str) -> f64 {
    let of = |message: &Message<'_>| message.terms.get(term).copied().unwrap_or(0.0);
    let having = messages.iter().filter(|message| of(message) > 0.0).count() as f64;
    let frequency: f64 = window.iter().map(|(share, message)| share * of(message)).sum();
    let rarity = (1.0 + (messages.len() as f64 - having + 0.5) / (having + 0.5)).ln();
    rarity * frequency * 1.9 / (frequency + 0.9 * (0.25 + 0.75 * length))
}
