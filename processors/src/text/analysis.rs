//! Analysis: from text to the terms that are indexed and asked for.
//!
//! Owns: what a word is, which words carry no meaning, and what a message is found by besides its text.
//! Promises: documents and queries go through the same steps; no text fails; a term holds letters and digits only.
//! Never: parses query syntax. A change here changes every stored term, so it needs a new [`super::FORMAT`].
//!
//! A word is a run of letters and digits, lower-cased, without accents, cut at [`LONGEST_WORD`] characters and stemmed as
//! English (which leaves most other languages alone). `'s`, `'ll`, `'ve`, `'re`, `'d` and `'m` fall off, and words in `n't`
//! are dropped: "Caroline's" becomes `carolin`, "don't" nothing. Scripts that put no spaces between words (Chinese,
//! Japanese, Korean, Thai and their neighbours) give every character and every pair of adjacent ones, which finds words
//! of any length without a dictionary.

use std::{ops::Range, sync::LazyLock};

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, Stemmer, StopWordFilter, TextAnalyzer, Token, TokenStream, Tokenizer,
};
use time::OffsetDateTime;

use crate::{Facets, Micros};

/// Characters after which a word is cut: long enough for a SHA-256 in hexadecimal.
const LONGEST_WORD: usize = 64;

/// How often each of the author's names counts as if it stood in the text.
const AUTHOR_WEIGHT: usize = 2;

/// English words that say nothing about what a message is about. "May" is missing on purpose: it is a month.
const STOP_WORDS: &str = "\
    a about am an and any are as at be been being but by can could did do does doing done for from had has have having he \
    her here hers herself him himself his how i if in into is it its itself just me mine my myself no nor not of on or our \
    ours ourselves shall she should so some such than that the their theirs them themselves then there these they this \
    those to too us very was we were what when where which who whom whose why will with would you your yours yourself \
    yourselves arent cant couldnt didnt doesnt dont hadnt hasnt havent im isnt ive lets shouldnt thats theres theyre wasnt \
    werent whats wont wouldnt youre youve";

/// A term with the place it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// The stem, as it is indexed.
    pub(crate) stem: String,
    /// The bytes of the text that it stands for.
    pub(crate) range: Range<usize>,
}

/// The terms of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentTerms {
    /// Every occurrence, in the order of the text, then the author's names and the date.
    pub(crate) terms: Vec<String>,
    /// How many of them come from the text.
    pub(crate) content: u32,
}

/// The words of a text in order, repetitions included.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut analyzer = ANALYZER.clone();
    let mut stream = analyzer.token_stream(text);
    let mut words = Vec::new();
    while let Some(token) = stream.next() {
        words.push(Word { stem: token.text.clone(), range: token.offset_from..token.offset_to });
    }
    words
}

/// The stems of a text in order, repetitions included.
pub(crate) fn stems(text: &str) -> Vec<String> {
    let mut analyzer = ANALYZER.clone();
    let mut stream = analyzer.token_stream(text);
    let mut stems = Vec::new();
    while let Some(token) = stream.next() {
        stems.push(token.text.clone());
    }
    stems
}

/// What a message is found by: its words, its author's names and the date it was sent.
pub(crate) fn document_terms(facets: &Facets, text: &str) -> DocumentTerms {
    let mut terms = stems(text);
    let content = u32::try_from(terms.len()).unwrap_or(u32::MAX);
    let names = author_terms(facets);
    for _ in 0..AUTHOR_WEIGHT {
        terms.extend(names.iter().cloned());
    }
    terms.extend(date_terms(facets.sent_at));
    DocumentTerms { terms, content }
}

/// The author's names. An author who is called as the role ("user") has none: the word would only look like the topic.
fn author_terms(facets: &Facets) -> Vec<String> {
    if facets.author.eq_ignore_ascii_case(&facets.role) {
        return Vec::new();
    }
    stems(&facets.author)
}

/// Year, month and day in UTC, as a question would name them. None for times that no calendar covers.
fn date_terms(sent_at: Micros) -> Vec<String> {
    let Ok(date) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(sent_at) * 1_000) else {
        return Vec::new();
    };
    stems(&format!("{} {} {}", date.year(), date.month(), date.day()))
}

static ANALYZER: LazyLock<TextAnalyzer> = LazyLock::new(|| {
    TextAnalyzer::builder(WordTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(StopWordFilter::remove(STOP_WORDS.split_whitespace().map(str::to_owned)))
        .filter(Stemmer::new(Language::English))
        .build()
});

/// Splits text into words as the module describes them; lower case, stop words and stems are later steps.
#[derive(Clone, Default)]
struct WordTokenizer {
    token: Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream { text, next: 0, pair: None, token: &mut self.token }
    }
}

struct WordStream<'a> {
    text: &'a str,
    /// Where the unread text begins.
    next: usize,
    /// Two adjacent characters of an unspaced script that are still to be given, after the first of them alone.
    pair: Option<Range<usize>>,
    token: &'a mut Token,
}

impl WordStream<'_> {
    fn emit(&mut self, range: Range<usize>) {
        self.token.text.clear();
        let letters = self.text[range.clone()].chars().filter(|character| !is_accent(*character));
        self.token.text.extend(letters.take(LONGEST_WORD));
        self.token.offset_from = range.start;
        self.token.offset_to = range.end;
        self.token.position = self.token.position.wrapping_add(1);
    }

    /// The character of an unspaced script that starts at `start`, and its pair with the next one, if there is one.
    fn read_unspaced(&mut self, start: usize, character: char) {
        self.next = start + character.len_utf8();
        let following = self.text[self.next..].chars().next().filter(|next| is_unspaced(*next));
        self.pair = following.map(|next| start..self.next + next.len_utf8());
        self.emit(start..self.next);
    }

    /// The end of the run of letters and digits that starts at `start`.
    fn run_end(&self, start: usize) -> usize {
        let run = &self.text[start..];
        start + run.find(|character| !is_word_part(character)).unwrap_or(run.len())
    }

    /// What follows an apostrophe at `end`: its bytes, if it is a run of letters.
    fn after_apostrophe(&self, end: usize) -> Option<Range<usize>> {
        let apostrophe = self.text[end..].chars().next().filter(|character| is_apostrophe(*character))?;
        let start = end + apostrophe.len_utf8();
        let suffix_end = self.run_end(start);
        (suffix_end > start).then_some(start..suffix_end)
    }

    /// Reads one spaced word. `false` if it is a negated auxiliary ("don't"), which says nothing.
    fn read_spaced(&mut self, start: usize) -> bool {
        let end = self.run_end(start);
        self.next = end;
        if let Some(suffix) = self.after_apostrophe(end) {
            let letters = self.text[suffix.clone()].to_ascii_lowercase();
            if letters == "t" && self.text[start..end].ends_with(['n', 'N']) {
                self.next = suffix.end;
                return false;
            }
            if matches!(letters.as_str(), "s" | "ll" | "ve" | "re" | "d" | "m") {
                self.next = suffix.end;
            }
        }
        self.emit(start..end);
        true
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        if let Some(pair) = self.pair.take() {
            self.emit(pair);
            return true;
        }
        while let Some(skipped) = self.text[self.next..].find(char::is_alphanumeric) {
            let start = self.next + skipped;
            let character = self.text[start..].chars().next().expect("a character was found at this byte");
            if is_unspaced(character) {
                self.read_unspaced(start, character);
                return true;
            }
            if self.read_spaced(start) {
                return true;
            }
        }
        false
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

fn is_word_part(character: char) -> bool {
    is_accent(character) || (character.is_alphanumeric() && !is_unspaced(character))
}

fn is_apostrophe(character: char) -> bool {
    matches!(character, '\'' | '\u{2019}' | '\u{02bc}' | '\u{ff07}')
}

/// Combining accents, which decomposed text carries apart from their letter.
fn is_accent(character: char) -> bool {
    matches!(character, '\u{0300}'..='\u{036f}')
}

/// Letters of scripts that put no spaces between words, or (Korean) put whole phrases between spaces.
fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{0e00}'..='\u{0eff}' // Thai, Lao
        | '\u{1000}'..='\u{109f}' // Burmese
        | '\u{1780}'..='\u{17ff}' // Khmer
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' // Han
        | '\u{ac00}'..='\u{d7af}' | '\u{1100}'..='\u{11ff}' // Hangul
        | '\u{ff66}'..='\u{ff9f}' // half-width kana
        | '\u{20000}'..='\u{3ffff}') // Han, rare
        && character.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(stems(text), expected, "{text}");
    }

    #[test]
    fn words_are_lowered_stemmed_and_freed_of_stop_words() {
        check("The kids were PAINTING two sunrises", &["kid", "paint", "two", "sunris"]);
    }

    #[test]
    fn apostrophes_leave_no_stray_letters() {
        check("Caroline's don't won\u{2019}t we'll I'm James'", &["carolin", "jame"]);
        check("O'Brien l'amour", &["o", "brien", "l", "amour"]);
    }

    #[test]
    fn accents_do_not_matter() {
        check("café cafe\u{301} CAFE", &["cafe", "cafe", "cafe"]);
    }

    #[test]
    fn unspaced_scripts_give_characters_and_pairs() {
        check("東京都 ok", &["東", "東京", "京", "京都", "都", "ok"]);
    }

    #[test]
    fn other_alphabets_are_words() {
        check("Привет, мир", &["привет", "мир"]);
    }

    #[test]
    fn a_very_long_word_is_cut() {
        let stems = stems(&"7".repeat(1_000));
        assert_eq!(stems, ["7".repeat(LONGEST_WORD)]);
    }

    #[test]
    fn a_document_is_found_by_author_and_date() {
        let facets = Facets {
            space: "main".into(),
            thread: "t".into(),
            author: "Ada Lovelace".into(),
            role: "user".into(),
            sent_at: 1_683_554_160_000_000,
            accepted_at: 0,
        };
        let document = document_terms(&facets, "hello there");
        assert_eq!(document.content, 1);
        assert_eq!(document.terms, ["hello", "ada", "lovelac", "ada", "lovelac", "2023", "may", "8"]);
        let nameless = Facets { author: "User".into(), sent_at: Micros::MAX, ..facets };
        assert_eq!(document_terms(&nameless, "hello").terms, ["hello"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_terms_of_letters_and_digits_at_places_inside_it(text in any::<String>()) {
            for word in words(&text) {
                prop_assert!(text.get(word.range.clone()).is_some_and(|source| !source.is_empty()));
                prop_assert!(!word.stem.is_empty() && !word.stem.contains(['\0', ' ']));
            }
        }
    }
}
