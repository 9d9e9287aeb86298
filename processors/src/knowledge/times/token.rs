//! Tokens: a text as words, numbers and signs.
//!
//! Owns: where words begin and end, what is glued to what, and which stretches hold no words (code, addresses, paths).
//! Promises: every token's range lies on character boundaries; each byte is looked at a bounded number of times.
//! Never: leaves out a token; a stretch without words is one unknown token, so that nothing is read across it.

use super::lexicon::{self, LONGEST, Meridiem, Tense, Word};

/// Stands for all signs beyond ASCII that have no like in it.
const OTHER_SIGN: u8 = 0;

/// A word, number or sign, and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) word: Word,
    /// Whether nothing stands between it and the token before.
    pub(super) glued: bool,
    /// Whether it begins with a capital letter.
    pub(super) capital: bool,
}

/// All tokens of a text, in order.
pub(super) fn tokens_in(text: &str) -> Vec<Token> {
    let mut scanner = Scanner {
        text,
        at: 0,
        tokens: Vec::with_capacity(text.len() / 5 + 1),
        glued: false,
        chunk: 0,
        fences: [true; 2],
    };
    while scanner.at < text.len() {
        scanner.step();
    }
    scanner.tokens
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
    glued: bool,
    /// How far stretches between spaces have been looked at.
    chunk: usize,
    /// Whether a closing "`" and a closing "```" can still be ahead; asked once in vain, it is not asked again.
    fences: [bool; 2],
}

impl Scanner<'_> {
    fn step(&mut self) {
        let byte = self.text.as_bytes()[self.at];
        match byte {
            b'\n' => {
                self.glued = false;
                self.push(self.at + 1, Word::LineBreak);
                self.glued = false;
            }
            _ if byte.is_ascii_whitespace() => {
                self.at += 1;
                self.glued = false;
            }
            _ if self.at >= self.chunk && self.skips_chunk() => {}
            b'0'..=b'9' => self.number(),
            b'`' => self.code(),
            b'\'' => self.apostrophe(1),
            _ if byte.is_ascii_alphabetic() => self.word(),
            _ if byte.is_ascii() => self.push(self.at + 1, Word::Sign(byte)),
            _ => self.beyond_ascii(),
        }
    }

    fn push(&mut self, end: usize, word: Word) {
        let capital = self.text.as_bytes()[self.at].is_ascii_uppercase();
        self.tokens.push(Token { start: self.at, end, word, glued: self.glued, capital });
        self.at = end;
        self.glued = true;
    }

    /// Takes addresses and paths as one unknown token. Called once for each stretch between spaces.
    fn skips_chunk(&mut self) -> bool {
        let bytes = &self.text.as_bytes()[self.at..];
        let length = bytes.iter().position(u8::is_ascii_whitespace).unwrap_or(bytes.len());
        let chunk = &bytes[..length];
        self.chunk = self.at + length;
        let opaque = matches!(chunk[0], b'/' | b'#' | b'@' | b'$')
            || chunk.iter().any(|byte| matches!(byte, b'@' | b'\\' | b'='))
            || chunk.get(1..length - 1).is_some_and(|inner| inner.contains(&b'_'))
            || chunk.windows(3).any(|three| three == b"://");
        // A token must end on a character boundary; ASCII white space and the end of the text both are.
        if opaque {
            self.push(self.chunk, Word::Unknown);
        }
        opaque
    }

    fn run(&self, from: usize, belongs: fn(&u8) -> bool) -> usize {
        let bytes = &self.text.as_bytes()[from..];
        from + bytes.iter().position(|byte| !belongs(byte)).unwrap_or(bytes.len())
    }

    /// "2023", "7th", "90s"; letters that mean something else become a token of their own.
    fn number(&mut self) {
        let digits_end = self.run(self.at, u8::is_ascii_digit);
        let digits = &self.text[self.at..digits_end];
        let (Ok(value), 1..=9) = (digits.parse(), digits.len()) else { return self.push(digits_end, Word::Unknown) };
        let length = digits.len() as u8;
        let tail_end = self.run(digits_end, u8::is_ascii_alphabetic);
        match &self.text[digits_end..tail_end] {
            "st" | "nd" | "rd" | "th" | "ST" | "ND" | "RD" | "TH" => self.push(tail_end, Word::Ordinal(value)),
            "s" => self.push(tail_end, Word::Decade(value, length)),
            _ => self.push(digits_end, Word::Number(value, length)),
        }
    }

    fn word(&mut self) {
        let mut end = self.run(self.at, u8::is_ascii_alphabetic);
        // "naïve" is one word, and not the word "na".
        if self.text[end..].chars().next().is_some_and(|next| !next.is_ascii() && next.is_alphabetic()) {
            return self.beyond_ascii();
        }
        // "don't" and "o'clock" are words; "Monday's" is a word and a suffix.
        if let Some(length) = apostrophe_at(&self.text[end..]) {
            let tail = self.run(end + length, u8::is_ascii_alphabetic);
            if matches!(&self.text[end + length..tail], "t" | "clock" | "T" | "Clock") {
                end = tail;
            }
        }
        let word = match self.class(end) {
            // "the extended deadline", "to be finished by": no past.
            Word::Tense(Tense::Past) if self.follows_article() && self.text[..end].ends_with("ed") => Word::Unknown,
            word => word,
        };
        self.push(end, word);
    }

    fn follows_article(&self) -> bool {
        let last = self.tokens.last().map(|token| token.word);
        matches!(last, Some(Word::The | Word::Article | Word::Possessor | Word::Being))
    }

    fn class(&self, end: usize) -> Word {
        let spelled = &self.text[self.at..end];
        let mut lower = [0; LONGEST];
        let mut length = 0;
        for byte in spelled.bytes() {
            // The first byte of a typographic apostrophe stands for it, the other two are left out.
            let byte = match byte {
                0xE2 => b'\'',
                0x80.. => continue,
                _ => byte.to_ascii_lowercase(),
            };
            let Some(slot) = lower.get_mut(length) else { return Word::Unknown };
            *slot = byte;
            length += 1;
        }
        std::str::from_utf8(&lower[..length]).map_or(Word::Unknown, lexicon::word)
    }

    /// "'s", "'ll", or a bare apostrophe as in "'98".
    fn apostrophe(&mut self, length: usize) {
        let tail = self.run(self.at + length, u8::is_ascii_alphabetic);
        match &self.text[self.at + length..tail] {
            "s" | "S" if self.glued => self.push(tail, Word::Possessive),
            "ll" | "LL" if self.glued => self.push(tail, Word::Tense(Tense::Future)),
            "d" | "re" | "ve" | "m" if self.glued => self.push(tail, Word::Function),
            _ => self.push(self.at + length, Word::Sign(b'\'')),
        }
    }

    fn beyond_ascii(&mut self) {
        let rest = &self.text[self.at..];
        if let Some(length) = apostrophe_at(rest) {
            return self.apostrophe(length);
        }
        let Some(first) = rest.chars().next() else { return };
        match first {
            '–' | '—' => self.push(self.at + first.len_utf8(), Word::Sign(b'-')),
            '“' | '”' => self.push(self.at + first.len_utf8(), Word::Sign(b'"')),
            '…' => self.push(self.at + first.len_utf8(), Word::Sign(b'.')),
            _ if first.is_whitespace() => {
                self.at += first.len_utf8();
                self.glued = false;
            }
            _ if first.is_alphanumeric() => {
                let length = rest.find(|next: char| !next.is_alphanumeric()).unwrap_or(rest.len());
                self.push(self.at + length, Word::Unknown);
            }
            _ => self.push(self.at + first.len_utf8(), Word::Sign(OTHER_SIGN)),
        }
    }

    /// A stretch in backticks is code. A backtick without a second one is a sign.
    fn code(&mut self) {
        let rest = &self.text[self.at..];
        for (index, fence) in ["```", "`"].into_iter().enumerate() {
            if !self.fences[index] || !rest.starts_with(fence) {
                continue;
            }
            match rest[fence.len()..].find(fence) {
                Some(length) => return self.push(self.at + length + 2 * fence.len(), Word::Unknown),
                None => self.fences[index] = false,
            }
        }
        self.push(self.at + 1, Word::Sign(b'`'));
    }
}

/// The length of the apostrophe that a text begins with.
fn apostrophe_at(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'\'', ..] => Some(1),
        _ => text.starts_with('’').then_some('’'.len_utf8()),
    }
}

/// "p.m." as it is written with stops: the class of its first letter.
pub(super) fn dotted_meridiem(letter: &str) -> Option<Meridiem> {
    match letter {
        "a" | "A" => Some(Meridiem::Am),
        "p" | "P" => Some(Meridiem::Pm),
        _ => None,
    }
}
