//! Similarity: how nearly alike two names are spelled.
//!
//! Owns: the Jaro-Winkler similarity (Winkler 1990): shared letters at near places, with more weight on the beginning.
//! Never: decides what similarity is enough.

/// How many letters at the beginning weigh more, and how much each.
const PREFIX: usize = 4;
const PREFIX_WEIGHT: f32 = 0.1;

/// From 0, nothing in common, to 1, the same.
pub fn jaro_winkler(one: &str, other: &str) -> f32 {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let jaro = jaro(&one, &other);
    let prefix = one.iter().zip(&other).take(PREFIX).take_while(|(one, other)| one == other).count();
    jaro + prefix as f32 * PREFIX_WEIGHT * (1.0 - jaro)
}

fn jaro(one: &[char], other: &[char]) -> f32 {
    if one.is_empty() || other.is_empty() {
        return if one.len() == other.len() { 1.0 } else { 0.0 };
    }
    let reach = (one.len().max(other.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; other.len()];
    let mut shared = Vec::new();
    for (at, letter) in one.iter().enumerate() {
        let from = at.saturating_sub(reach);
        let to = (at + reach + 1).min(other.len());
        if let Some(place) = (from..to).find(|&place| !taken[place] && other[place] == *letter) {
            taken[place] = true;
            shared.push(*letter);
        }
    }
    if shared.is_empty() {
        return 0.0;
    }
    let again = other.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let moved = shared.iter().zip(again).filter(|(one, other)| one != other).count() / 2;
    let count = shared.len() as f32;
    (count / one.len() as f32 + count / other.len() as f32 + (count - moved as f32) / count) / 3.0
}
