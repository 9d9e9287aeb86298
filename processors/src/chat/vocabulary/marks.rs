//! Marks: tokens that are found in a text as they stand, before it is split further.

use std::collections::{BTreeSet, HashMap};

use super::super::ChatError;
use super::{Kind, Token};

/// Finds marks. Where two begin at the same place, the longer one counts.
pub(super) struct Marks {
    by_text: HashMap<String, u32>,
    /// Lengths that marks have in bytes, by the byte they begin with; the longest first.
    lengths: HashMap<u8, Vec<usize>>,
}

impl Marks {
    /// The control tokens and those that are always whole.
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut by_text = HashMap::new();
        let mut lengths: HashMap<u8, BTreeSet<usize>> = HashMap::new();
        for (id, token) in (0..).zip(tokens) {
            let Some(first) = token.text.bytes().next() else {
                continue;
            };
            if matches!(token.kind, Kind::Control | Kind::Whole) {
                by_text.entry(token.text.clone()).or_insert(id);
                lengths.entry(first).or_default().insert(token.text.len());
            }
        }
        let lengths =
            lengths.into_iter().map(|(first, lengths)| (first, lengths.into_iter().rev().collect())).collect();
        Self { by_text, lengths }
    }

    /// The tokens of a text: marks as they stand, and what lies between them as `split` makes of it.
    ///
    /// # Errors
    /// Those of `split`.
    pub(super) fn split(
        &self,
        text: &str,
        split: impl Fn(&str) -> Result<Vec<u32>, ChatError>,
    ) -> Result<Vec<u32>, ChatError> {
        let mut tokens = Vec::new();
        let (mut plain, mut at) = (0, 0);
        while at < text.len() {
            let Some((length, mark)) = self.at(text, at) else {
                at += 1;
                continue;
            };
            if plain < at {
                tokens.extend(split(&text[plain..at])?);
            }
            tokens.push(mark);
            at += length;
            plain = at;
        }
        if plain < text.len() {
            tokens.extend(split(&text[plain..])?);
        }
        Ok(tokens)
    }

    fn at(&self, text: &str, at: usize) -> Option<(usize, u32)> {
        let lengths = self.lengths.get(&text.as_bytes()[at])?;
        // `get` is nothing inside a character, so a mark is never found there.
        lengths.iter().find_map(|length| {
            let mark = self.by_text.get(text.get(at..at.checked_add(*length)?)?)?;
            Some((*length, *mark))
        })
    }
}
