//! Words: how many a text has, and the terms by which two sentences are compared.
//!
//! Promises: no text fails; the same terms on every machine, for they are stored; a term is a hash, no word.
//! Never: shares its terms with the text index, which may change its own at any time.

use std::{collections::HashSet, sync::LazyLock};

/// English words that say nothing about what a sentence is about. Other languages do without: a word that stands
/// everywhere weighs alike in all sentences.
static EMPTY_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "a about after all also am an and any are as at be because been before being but by can could d did do does \
     doing don down each even for from get go got had has have having he her here hers him his how i if in into is \
     it its just let like ll m may me might mine more most much must my no nor not now of off oh ok okay on only or \
     other our ours out over own re really s same shall she should so some such t than that the their them then \
     there these they thing this those to too up us ve very was way we well were what when where which while who \
     whom whose why will with would yeah yes you your yours yup"
        .split_whitespace()
        .collect()
});

/// The most terms by which a sentence is compared; those that stand first.
const MOST_TERMS: usize = 24;

/// A run of letters and digits; in scripts without spaces, one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// The word as it stands.
    pub(super) text: &'a str,
    /// Where it begins.
    pub(super) start: usize,
    /// Whether it is a character of a script without spaces.
    pub(super) is_unspaced: bool,
}

/// The words of a text in order.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next + text[next..].find(is_letter)?;
        let first = text[start..].chars().next()?;
        let is_unspaced = is_unspaced(first);
        let end = match is_unspaced {
            true => start + first.len_utf8(),
            false => {
                let rest = &text[start..];
                start + rest.find(|c| !is_letter(c) || self::is_unspaced(c)).unwrap_or(rest.len())
            }
        };
        next = end;
        Some(Word { text: &text[start..end], start, is_unspaced })
    })
}

/// How many words a text has.
pub(super) fn count(text: &str) -> u64 {
    words(text).count() as u64
}

/// The terms of a sentence: its words without those that say nothing, lower-cased and without English endings; pairs of
/// characters in scripts without spaces. In order, each once.
pub(super) fn terms(sentence: &str) -> Vec<u32> {
    let mut terms = Vec::new();
    let mut before: Option<Word<'_>> = None;
    for word in words(sentence) {
        if word.is_unspaced {
            let pair = before.filter(|before| before.is_unspaced && before.start + before.text.len() == word.start);
            if let Some(before) = pair {
                terms.push(hash(&sentence[before.start..word.start + word.text.len()]));
            }
        } else {
            let lower = word.text.to_lowercase();
            if !is_empty_word(&lower) {
                terms.push(hash(stem(&lower)));
            }
        }
        before = Some(word);
        if terms.len() == MOST_TERMS {
            break;
        }
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// Whether a word, in lower case, says nothing about what a sentence is about.
pub(super) fn is_empty_word(lower: &str) -> bool {
    EMPTY_WORDS.contains(lower)
}

/// About how many tokens a model makes of a text: four letters of the Latin script are one, two of another alphabet, and every
/// character of a script without spaces.
pub(super) fn tokens(text: &str) -> u64 {
    let quarters = |c: char| match c {
        _ if c.is_ascii() => 1,
        _ if is_unspaced(c) => 4,
        _ => 2,
    };
    text.chars().map(quarters).sum::<u64>().div_ceil(4)
}

/// Without the endings that English puts to nouns and verbs. Rough: it only has to make the same of the same.
fn stem(lower: &str) -> &str {
    if !lower.is_ascii() {
        return lower;
    }
    for ending in ["ings", "ing", "ies", "ed", "es", "ly", "s", "e", "y"] {
        if let Some(stem) = lower.strip_suffix(ending).filter(|stem| stem.len() >= 3) {
            return stem;
        }
    }
    lower
}

/// FNV-1a of 32 bits (Fowler, Noll, Vo).
fn hash(term: &str) -> u32 {
    term.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Letters and digits, and the marks without which words of many scripts would fall apart.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '\u{300}'..='\u{36F}' | '\u{900}'..='\u{DFF}' | '\u{E31}' | '\u{E34}'..='\u{E4E}')
}

/// Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, Han, kana.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{E00}'..='\u{EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_script_are_counted() {
        let cases = [
            ("", 0),
            ("Hello, world!", 2),
            ("v2.0 x", 3),
            ("東京へ", 3),
            ("नमस्ते दुनिया", 2),
            ("Привет мир", 2),
            ("🙂", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn sentences_are_compared_by_what_they_are_about() {
        assert_eq!(terms("The dogs walked"), terms("a dog, walking!"));
        assert!(terms("and so it is").is_empty());
        assert_eq!(terms("東京都").len(), 2);
        assert!(terms(&"word1 word2 ".repeat(1_000)).len() <= MOST_TERMS);
    }

    #[test]
    fn tokens_are_estimated_for_any_script() {
        assert_eq!((tokens(""), tokens("four"), tokens("fives"), tokens("東京"), tokens("мир")), (0, 1, 2, 2, 2));
    }
}
