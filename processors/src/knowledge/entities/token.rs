//! Tokens: a text as words, numbers, signs and literals, each with what its place says about its capital.
//!
//! Owns: where words begin and end, which stretches are code, where sentences begin, which lines are headings.
//! Promises: every token's range lies on character boundaries; each byte is looked at a bounded number of times.
//! Never: decides what is an entity, but for literals, which their own form tells.

use super::{
    lexicon::{self, Class},
    literal::{self, Literal},
};

/// The longest stretch in single backticks, in bytes; the mark that ends it is looked for no farther.
const LONGEST_CODE: usize = 120;
/// The longest stretch between spaces that is looked at as a whole, in bytes.
const LONGEST_CHUNK: usize = 2048;

/// Words that stay small in a heading.
const HEADING_SMALL: [&str; 22] = [
    "a", "an", "the", "and", "or", "of", "for", "to", "in", "on", "at", "by", "with", "from", "vs", "as", "into",
    "your", "is", "nor", "but", "per",
];

/// What a token is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Word,
    /// Figures, with their commas and points.
    Number,
    Sign(char),
    /// "'s".
    Possessive,
    Break,
    /// Told by its own form.
    Literal(Literal),
    /// Code that is no single symbol.
    Gap,
}

/// A piece of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) shape: Shape,
    pub(super) class: Class,
    /// Whether nothing stands between it and the token before.
    pub(super) glued: bool,
    /// Whether its place explains a capital: the start of a sentence, a quotation or a list item.
    pub(super) opens: bool,
    pub(super) capital: bool,
    /// Whether it stands in a heading or a shouted line, where capitals tell nothing.
    pub(super) loud: bool,
}

impl Token {
    pub(super) fn is_word(&self) -> bool {
        self.shape == Shape::Word
    }

    pub(super) fn is_sign(&self, sign: char) -> bool {
        self.shape == Shape::Sign(sign)
    }
}

/// All tokens of a text, in order.
pub(super) fn tokens_in(text: &str) -> Vec<Token> {
    let mut scanner = Scanner {
        text,
        at: 0,
        tokens: Vec::with_capacity(text.len() / 5 + 1),
        glued: false,
        opens: true,
        chunk: 0,
        segment: 0,
    };
    while scanner.at < text.len() {
        scanner.step();
    }
    scanner.end_segment();
    scanner.tokens
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
    glued: bool,
    opens: bool,
    /// How far stretches between spaces have been looked at.
    chunk: usize,
    /// The first token of the stretch that is a heading or not.
    segment: usize,
}

impl Scanner<'_> {
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return };
        match first {
            '\n' => {
                self.end_segment();
                self.push(self.at + 1, Shape::Break);
                self.glued = false;
                self.opens = true;
            }
            _ if first.is_whitespace() => {
                self.at += first.len_utf8();
                self.glued = false;
            }
            '`' => self.code(),
            _ if self.at >= self.chunk && self.takes_literal() => {}
            '\'' | '’' => self.apostrophe(first),
            '0'..='9' => self.number(),
            _ if first.is_alphanumeric() => self.word(),
            _ => self.sign(first),
        }
    }

    fn push(&mut self, end: usize, shape: Shape) {
        let spelled = &self.text[self.at..end];
        let (capital, class) = match shape {
            Shape::Word => (spelled.starts_with(char::is_uppercase), lexicon::class(spelled)),
            _ => (false, Class::default()),
        };
        let token =
            Token { start: self.at, end, shape, class, glued: self.glued, opens: self.opens, capital, loud: false };
        self.tokens.push(token);
        self.at = end;
        self.glued = true;
        if !matches!(shape, Shape::Sign(_) | Shape::Break) {
            self.opens = false;
        }
    }

    /// Marks the words since the last end as loud where nearly all of them are capitalised.
    fn end_segment(&mut self) {
        let segment = &mut self.tokens[self.segment..];
        let (mut words, mut long, mut small, mut shouted) = (0, 0, 0, 0);
        for token in segment.iter().filter(|token| token.is_word()) {
            let spelled = &self.text[token.start..token.end];
            words += 1;
            long += usize::from(spelled.len() > 3);
            // Small words of grammar stay small in headings.
            small += usize::from(!token.capital && !HEADING_SMALL.contains(&spelled));
            shouted += usize::from(spelled.len() > 1 && !spelled.contains(char::is_lowercase));
        }
        let heading = segment.first().is_some_and(|token| token.is_sign('#'));
        let loud = heading || words >= 3 && (long >= 2 && small == 0 || shouted * 2 > words && shouted >= 3);
        segment.iter_mut().for_each(|token| token.loud = loud);
        self.segment = self.tokens.len();
    }

    fn sign(&mut self, sign: char) {
        let before = self.tokens.last().copied();
        let end = self.at + sign.len_utf8();
        self.push(end, Shape::Sign(sign));
        match sign {
            '.' => {
                let before = before.filter(|token| token.end + 1 == end);
                let short = before.is_some_and(|token| {
                    let initial = token.is_word() && token.capital && token.end - token.start == 1;
                    initial || token.class.is(Class::TITLE) || matches!(&self.text[token.start..token.end], "St" | "Mt")
                });
                let spaced = self.text[end..].chars().next().is_none_or(|next| !next.is_alphanumeric());
                self.opens |= spaced && !short;
            }
            ',' | '-' | '–' | '&' | '/' | '\'' | '@' | '%' | '$' | '+' | '=' | '_' => {}
            _ => self.opens = true,
        }
        if self.opens && matches!(sign, '.' | '!' | '?' | ':' | '|' | '*' | '"' | '“' | '”') {
            self.end_segment();
        }
    }

    fn number(&mut self) {
        let bytes = self.text.as_bytes();
        let mut end = self.at;
        while end < bytes.len() {
            let more = match bytes[end] {
                b'0'..=b'9' => true,
                b'.' | b',' => bytes.get(end + 1).is_some_and(u8::is_ascii_digit),
                _ => false,
            };
            if !more {
                break;
            }
            end += 1;
        }
        self.push(end, Shape::Number);
    }

    fn word(&mut self) {
        let run = |from: usize| {
            let rest = &self.text[from..];
            // Marks that stand after their letter belong to it.
            let ends = |sign: char| !sign.is_alphanumeric() && !matches!(sign, '\u{300}'..='\u{36f}');
            from + rest.find(ends).unwrap_or(rest.len())
        };
        let mut end = run(self.at);
        // "don't" and "O'Brien" are words; "Anna's" is a word and a suffix.
        if let Some(mark) = self.text[end..].chars().next().filter(|sign| matches!(sign, '\'' | '’')) {
            let from = end + mark.len_utf8();
            let tail = run(from);
            let whole = end - self.at == 1 && self.text[from..].starts_with(char::is_uppercase);
            if whole || matches!(&self.text[from..tail], "t" | "m" | "ll" | "d" | "re" | "ve") {
                end = tail;
            }
        }
        self.push(end, Shape::Word);
    }

    fn apostrophe(&mut self, mark: char) {
        let from = self.at + mark.len_utf8();
        let rest = &self.text[from..];
        let ends = rest.chars().nth(1).is_none_or(|next| !next.is_alphanumeric());
        if self.glued && rest.starts_with(['s', 'S']) && ends {
            return self.push(from + 1, Shape::Possessive);
        }
        self.push(from, Shape::Sign('\''));
    }

    /// "`name`", or a fenced block, which lasts to the end of the text where nothing closes it.
    fn code(&mut self) {
        if self.text[self.at..].starts_with("```") {
            let from = self.at + 3;
            let end = self.text[from..].find("```").map_or(self.text.len(), |length| from + length + 3);
            self.push(end, Shape::Gap);
            self.opens = true;
            return;
        }
        let from = self.at + 1;
        let window = &self.text.as_bytes()[from..self.text.len().min(from + LONGEST_CODE)];
        let length = window.iter().position(|&byte| byte == b'`' || byte == b'\n');
        let Some(length) = length.filter(|&length| window[length] == b'`') else {
            return self.push(from, Shape::Sign('`'));
        };
        let inside = &self.text[from..from + length];
        self.push(from, Shape::Sign('`'));
        if !inside.is_empty() {
            self.push(from + length, literal::quoted_code(inside).map_or(Shape::Gap, Shape::Literal));
        }
        self.push(from + length + 1, Shape::Sign('`'));
        self.opens = false;
    }

    /// Takes a stretch between spaces, without the signs around it, as one token where its form tells what it is.
    fn takes_literal(&mut self) -> bool {
        let bytes = &self.text.as_bytes()[self.at..];
        let length = bytes.iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len());
        let chunk = &self.text[self.at..self.at + length];
        let lead = chunk.len() - chunk.trim_start_matches(['(', '[', '{', '<', '"', '\'', '“', '*', '‘']).len();
        if lead > 0 && chunk.len() > lead {
            // All at once, or a long row of them would be gone through again for each.
            for sign in chunk[..lead].chars() {
                match sign {
                    '\'' => self.apostrophe(sign),
                    _ => self.sign(sign),
                }
            }
            return true;
        }
        self.chunk = self.at + length;
        if length > LONGEST_CHUNK {
            return false;
        }
        if let Some(start) = literal::link_in(chunk) {
            // "guide](https://...": the words before are read as words.
            self.chunk = self.at + start;
            if start > 0 {
                return false;
            }
        }
        let Some((length, literal)) = literal::literal_at(chunk) else { return false };
        self.push(self.at + length, Shape::Literal(literal));
        true
    }
}
