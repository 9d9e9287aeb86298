//! Stretches: which parts of a question may be names.
//!
//! Never: reads a list of names: what the graph knows under a name is a name.

use std::ops::Range;

/// A name has so many words at most.
const NAME_WORDS: usize = 3;
/// So many words of a text are looked at.
const WORDS: usize = 60;
/// Words that are no names and say little; a question is full of them.
const COMMON: &str = " a about after all also am an and any are as ask at be been before but by can could did do does for from \
    get give go had has have he her him his how i if in into is it its just like make me more most my no not now of on one or \
    our out over please say she should so some tell than that the their them then there these they this to up us was we were \
    what when where which while who why will with would you your ";

/// A part of a text that may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Its words, one space between each two.
    pub name: String,
    /// Which words these are.
    pub words: Range<usize>,
}

/// The words of a text, without signs at their ends.
pub fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).take(WORDS).collect()
}

/// Whether a word is no name and says little.
pub fn is_common(word: &str) -> bool {
    COMMON.contains(&format!(" {} ", word.to_lowercase()))
}

/// Stretches that may be names, the longest first: none begins or ends with a common word.
pub fn stretches(words: &[&str]) -> Vec<Stretch> {
    let lengths = (1..=NAME_WORDS.min(words.len())).rev();
    let all = lengths.flat_map(|length| (0..=words.len() - length).map(move |begin| begin..begin + length));
    let may_be_names = all.filter(|range| !is_common(words[range.start]) && !is_common(words[range.end - 1]));
    may_be_names.map(|range| Stretch { name: words[range.clone()].join(" "), words: range }).collect()
}

fn bare(word: &str) -> &str {
    let word = word.trim_matches(|character: char| !character.is_alphanumeric() && !"+#".contains(character));
    word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_without_common_words_at_their_ends_may_be_names() {
        let words = words("Ada: where does Bob's Bank of Oslo keep it?");
        let found: Vec<_> = stretches(&words).into_iter().map(|stretch| stretch.name).collect();
        assert_eq!(found, ["Bank of Oslo", "Bob Bank", "Oslo keep", "Ada", "Bob", "Bank", "Oslo", "keep"]);
        assert!(stretches(&[]).is_empty());
    }
}
