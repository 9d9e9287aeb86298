//! Tokens: a text as words, signs and the entities given, and its sentences.
//!
//! Owns: where words and sentences begin and end, and which stretches nobody asserts: code, quotations, brackets.
//! Promises: ranges lie on character boundaries; each byte is looked at a bounded number of times.
//! Never: decides what a sentence says.

use std::ops::Range;

use crate::knowledge::{entities::EntityMention, times::TimeMention};

/// The longest stretch between single quotation marks, in bytes; its end is looked for no farther.
const LONGEST_SINGLE: usize = 200;

/// What a token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Word,
    Number,
    Sign,
    /// "'s": a genitive, "is" or "has".
    Possessive,
    Break,
    /// An entity, by its place in the list given.
    Entity(usize),
    /// What nobody asserts: code, a quotation, a remark in square brackets.
    Gap,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'t> {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) shape: Shape,
    /// In small letters; contractions are taken apart ("do", "n't"). The sign itself for signs; empty for gaps.
    pub(super) word: &'t str,
    /// Whether nothing stands between it and the token before.
    pub(super) glued: bool,
    /// The time mention that it is a part of.
    pub(super) time: Option<usize>,
}

impl Token<'_> {
    pub(super) fn is_spoken(&self) -> bool {
        matches!(self.shape, Shape::Word | Shape::Number | Shape::Entity(_))
    }
}

/// All tokens of a text, in order. `lower` is the text in small ASCII letters.
pub(super) fn tokens_in<'t>(
    text: &str,
    lower: &'t str,
    entities: &[EntityMention],
    times: &[TimeMention],
) -> Vec<Token<'t>> {
    let tokens = Vec::with_capacity(text.len() / 4 + 2);
    let mut scanner =
        Scanner { text, lower, entities, times, tokens, at: 0, glued: false, entity: 0, time: 0, unclosed: 0 };
    while scanner.at < text.len() {
        scanner.step();
    }
    scanner.tokens
}

struct Scanner<'a, 't> {
    text: &'a str,
    lower: &'t str,
    entities: &'a [EntityMention],
    times: &'a [TimeMention],
    tokens: Vec<Token<'t>>,
    at: usize,
    glued: bool,
    /// The next entity and the next time that can begin.
    entity: usize,
    time: usize,
    /// Up to here no bracket closes.
    unclosed: usize,
}

impl<'t> Scanner<'_, 't> {
    fn step(&mut self) {
        if self.takes_entity() {
            return;
        }
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return };
        match first {
            '\n' => self.push(self.at + 1, Shape::Break),
            _ if first.is_whitespace() => {
                self.at += first.len_utf8();
                self.glued = false;
            }
            '>' if self.opens_line() => {
                let length = rest.find('\n').unwrap_or(rest.len());
                self.push(self.at + length, Shape::Gap);
            }
            '`' if rest.starts_with("```") => {
                let length = rest[3..].find("```").map_or(rest.len(), |length| length + 6);
                self.push(self.at + length, Shape::Gap);
            }
            '`' => self.marked('`', first.len_utf8()),
            '"' => self.marked('"', 1),
            '“' => self.marked('”', first.len_utf8()),
            '[' => self.marked(']', 1),
            '\'' | '‘' if !self.glued => self.single(first),
            '\'' | '’' if !self.genitive(first) => self.sign(first),
            '\'' | '’' => {}
            _ if first.is_alphanumeric() => self.word(),
            _ => self.sign(first),
        }
    }

    fn opens_line(&self) -> bool {
        self.tokens.last().is_none_or(|token| token.shape == Shape::Break)
    }

    fn push(&mut self, end: usize, shape: Shape) {
        let word = match shape {
            Shape::Gap | Shape::Break => "",
            _ => &self.lower[self.at..end],
        };
        self.push_as(end, shape, word);
    }

    fn push_as(&mut self, end: usize, shape: Shape, word: &'t str) {
        while self.times.get(self.time).is_some_and(|time| time.text.end <= self.at) {
            self.time += 1;
        }
        let time = self.times.get(self.time).filter(|time| time.text.start <= self.at).map(|_| self.time);
        self.tokens.push(Token { start: self.at, end, shape, word, glued: self.glued, time });
        self.at = end;
        self.glued = shape != Shape::Break;
    }

    /// The entity that begins here becomes one token.
    fn takes_entity(&mut self) -> bool {
        while self.entities.get(self.entity).is_some_and(|entity| entity.text.start < self.at) {
            self.entity += 1;
        }
        let Some(range) = self.entities.get(self.entity).map(|entity| entity.text.clone()) else { return false };
        if range.start != self.at || range.is_empty() || self.text.get(range.clone()).is_none() {
            return false;
        }
        self.push(range.end, Shape::Entity(self.entity));
        true
    }

    fn next_entity(&self) -> usize {
        let later = self.entities.get(self.entity).map_or(self.text.len(), |entity| entity.text.start);
        if later > self.at && self.text.is_char_boundary(later) { later } else { self.text.len() }
    }

    fn sign(&mut self, sign: char) {
        // Marks for bold and italic type say nothing.
        if matches!(sign, '*' | '_' | '`') {
            self.at += sign.len_utf8();
            self.glued = false;
            return;
        }
        self.push(self.at + sign.len_utf8(), Shape::Sign);
    }

    /// "'s" behind an entity.
    fn genitive(&mut self, mark: char) -> bool {
        let rest = &self.lower[self.at + mark.len_utf8()..];
        let named = self.tokens.last().is_some_and(|token| matches!(token.shape, Shape::Entity(_)));
        let ends = rest.chars().nth(1).is_none_or(|next| !next.is_alphanumeric());
        if !named || !rest.starts_with('s') || !ends {
            return false;
        }
        self.push_as(self.at + mark.len_utf8() + 1, Shape::Possessive, "'s");
        true
    }

    /// A stretch up to a mark in the same line: a gap, or the one entity that it holds.
    fn marked(&mut self, close: char, width: usize) {
        let from = self.at + width;
        if close == ']' && from < self.unclosed {
            return self.push(from, Shape::Sign);
        }
        let stop = self.text[from..].find([close, '\n']);
        let Some(length) = stop.filter(|length| self.text[from + length..].starts_with(close)) else {
            let line = stop.map_or(self.text.len(), |length| from + length);
            if close == ']' {
                self.unclosed = line;
                return self.push(from, Shape::Sign);
            }
            // What is opened and never closed lasts to the end of its line.
            return self.push(line, Shape::Gap);
        };
        let end = from + length + close.len_utf8();
        while self.entities.get(self.entity).is_some_and(|entity| entity.text.start < from) {
            self.entity += 1;
        }
        let entity = self.entities.get(self.entity).map(|entity| entity.text.clone());
        if close != ']' && entity.is_some_and(|range| range == (from..from + length)) && length > 0 {
            self.at = from;
            self.push(from + length, Shape::Entity(self.entity));
            self.at = end;
            return;
        }
        self.push(end, Shape::Gap);
    }

    /// 'I am here': a quotation where a mark behind a letter closes it.
    fn single(&mut self, open: char) {
        let from = self.at + open.len_utf8();
        let rest = &self.text[from..];
        let mut before = ' ';
        for (length, sign) in rest.char_indices().take_while(|(length, sign)| *length < LONGEST_SINGLE && *sign != '\n')
        {
            let next = rest[length + sign.len_utf8()..].chars().next();
            let closes = matches!(sign, '\'' | '’') && !before.is_whitespace();
            if closes && next.is_none_or(|next| !next.is_alphanumeric()) {
                return self.push(from + length + sign.len_utf8(), Shape::Gap);
            }
            before = sign;
        }
        self.push(from, Shape::Sign);
    }

    fn word(&mut self) {
        let limit = self.next_entity();
        let bytes = self.text.as_bytes();
        let mut end = self.at;
        let mut figures = true;
        while end < limit {
            let Some(sign) = self.text[end..].chars().next() else { break };
            let width = sign.len_utf8();
            let beside = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
            let joins = match sign {
                '-' => end > self.at && beside(end + 1) && bytes[end - 1].is_ascii_alphanumeric(),
                '.' | ',' => {
                    end > self.at
                        && bytes[end - 1].is_ascii_digit()
                        && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)
                }
                _ => sign.is_alphanumeric() || matches!(sign, '\u{300}'..='\u{36f}'),
            };
            if !joins {
                break;
            }
            figures &= sign.is_ascii_digit() || matches!(sign, '-' | '.' | ',');
            end += width;
        }
        if end == self.at {
            // An entity begins inside of a character: its range is none.
            end = self.at + self.text[self.at..].chars().next().map_or(1, char::len_utf8);
        }
        if figures {
            return self.push(end, Shape::Number);
        }
        if end < limit && self.contracted(end, limit) {
            return;
        }
        self.plain(end);
    }

    /// Words written without their apostrophe are taken apart too.
    fn plain(&mut self, end: usize) {
        let start = self.at;
        let (head, tail, cut) = match &self.lower[start..end] {
            "im" => ("i", "'m", 1),
            "ive" => ("i", "'ve", 1),
            "dont" => ("do", "n't", 2),
            "doesnt" => ("does", "n't", 4),
            "didnt" => ("did", "n't", 3),
            "cant" => ("can", "n't", 2),
            "isnt" => ("is", "n't", 2),
            "wont" => ("will", "n't", 2),
            "cannot" => ("can", "not", 3),
            _ => return self.push(end, Shape::Word),
        };
        self.push_as(start + cut, Shape::Word, head);
        self.push_as(end, Shape::Word, tail);
    }

    /// "don't", "I'm", "Ana's".
    fn contracted(&mut self, end: usize, limit: usize) -> bool {
        let Some(mark) = self.text[end..].chars().next().filter(|sign| matches!(sign, '\'' | '’')) else {
            return false;
        };
        let from = end + mark.len_utf8();
        let rest = self.lower.get(from..limit).unwrap_or_default();
        let tail = &rest[..rest.find(|sign: char| !sign.is_alphanumeric()).unwrap_or(rest.len())];
        let whole = &self.lower[self.at..end];
        let tail_end = from + tail.len();
        let canonical = match tail {
            "t" if whole.ends_with('n') => {
                match whole {
                    "can" => self.push_as(end, Shape::Word, "can"),
                    "won" => self.push_as(end, Shape::Word, "will"),
                    _ if whole.len() > 1 => self.push(end - 1, Shape::Word),
                    _ => return false,
                }
                self.push_as(tail_end, Shape::Word, "n't");
                return true;
            }
            "m" => "'m",
            "re" => "'re",
            "ve" => "'ve",
            "ll" => "'ll",
            "d" => "'d",
            "s" => {
                self.push(end, Shape::Word);
                self.push_as(tail_end, Shape::Possessive, "'s");
                return true;
            }
            _ => return false,
        };
        self.push(end, Shape::Word);
        self.push_as(tail_end, Shape::Word, canonical);
        true
    }
}

/// A sentence, or a line.
#[derive(Debug, Clone)]
pub(super) struct Sentence {
    pub(super) tokens: Range<usize>,
    pub(super) asks: bool,
}

/// The sentences of a text, in order; the signs that end them belong to none.
pub(super) fn sentences_in(tokens: &[Token<'_>]) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    let mut from = 0;
    for (at, token) in tokens.iter().enumerate() {
        let ends = match token.shape {
            Shape::Break => true,
            Shape::Sign => match token.word {
                "!" | "?" | ";" | "…" => true,
                "." => !tokens.get(at + 1).is_some_and(|next| next.glued && next.is_spoken()) && !is_short(tokens, at),
                _ => false,
            },
            _ => false,
        };
        if !ends {
            continue;
        }
        let asks = token.word == "?"
            || token.word == "!" && tokens.get(at + 1).is_some_and(|next| next.glued && next.word == "?");
        if from < at {
            sentences.push(Sentence { tokens: from..at, asks });
        }
        from = at + 1;
    }
    if from < tokens.len() {
        sentences.push(Sentence { tokens: from..tokens.len(), asks: false });
    }
    sentences
}

fn is_short(tokens: &[Token<'_>], at: usize) -> bool {
    let before = at.checked_sub(1).map_or("", |at| tokens[at].word);
    before == "g" && at > 1 && tokens[at - 2].word == "."
        || matches!(before, "mr" | "mrs" | "ms" | "dr" | "prof" | "st" | "vs" | "jr" | "sr")
}
