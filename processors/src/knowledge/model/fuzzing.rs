//! What must hold for any answer of a model that was to take notes.

use super::answer::{MOST_NOTES, Notes};

/// Reads bytes as an answer.
pub fn model_notes(bytes: &[u8]) {
    let Some(notes) = Notes::read(&String::from_utf8_lossy(bytes)) else { return };
    assert!(notes.names.len() <= MOST_NOTES && notes.facts.len() <= MOST_NOTES);
    let confidences = notes.facts.iter().filter_map(|fact| fact.confidence);
    assert!(confidences.into_iter().all(|sure| sure.is_finite() && sure >= 0.0));
}
