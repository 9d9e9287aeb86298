//! Sentencepiece's pair merging: the way of the `llama` and `gemma` vocabularies.
//!
//! A text begins as its characters. Of all neighbours that are a token together, those with the best score become one,
//! the leftmost first, until none are left. What is no token then is spelt in bytes.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::pieces::{SPACE, byte};
use super::{Kind, Token};

/// Splits texts by the scores of a vocabulary.
pub(super) struct Sentencepiece {
    ids: HashMap<String, u32>,
    scores: Vec<f32>,
    bytes: [Option<u32>; 256],
    unknown: Option<u32>,
}

impl Sentencepiece {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        let mut bytes = [None; 256];
        let mut ids = HashMap::new();
        let mut scores = Vec::with_capacity(tokens.len());
        let mut unknown = None;
        for (id, token) in (0..).zip(tokens) {
            scores.push(token.score);
            match token.kind {
                Kind::Byte => {
                    if let Some(byte) = byte(&token.text) {
                        bytes[usize::from(byte)] = Some(id);
                    }
                }
                Kind::Normal | Kind::Whole => {
                    ids.entry(token.text).or_insert(id);
                }
                Kind::Control if token.text == "<unk>" => unknown = Some(id),
                Kind::Control | Kind::Unused => {}
            }
        }
        Self { ids, scores, bytes, unknown }
    }

    /// The tokens of a text without marks, with a space before it if `pad`.
    pub(super) fn split(&self, text: &str, pad: bool) -> Vec<u32> {
        let mut escaped = String::with_capacity(text.len() + SPACE.len_utf8());
        escaped.extend(pad.then_some(SPACE));
        escaped.extend(text.chars().map(|character| if character == ' ' { SPACE } else { character }));
        let mut merging = Merging::new(self, &escaped);
        merging.run();
        merging.tokens()
    }

    fn spell(&self, text: &str, tokens: &mut Vec<u32>) {
        for byte in text.bytes() {
            tokens.extend(self.bytes[usize::from(byte)].or(self.unknown));
        }
    }
}

/// A run of characters that have become one, or part of the run before it once its length is zero.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    length: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// Two neighbours that are a token together.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both; other than their lengths now when one of them has grown since.
    length: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

/// One text on its way.
struct Merging<'a> {
    model: &'a Sentencepiece,
    text: &'a str,
    symbols: Vec<Symbol>,
    pairs: BinaryHeap<Pair>,
}

impl<'a> Merging<'a> {
    fn new(model: &'a Sentencepiece, text: &'a str) -> Self {
        let count = text.chars().count();
        let symbols = text.char_indices().enumerate().map(|(index, (start, character))| Symbol {
            start,
            length: character.len_utf8(),
            before: index.checked_sub(1),
            after: (index + 1 < count).then_some(index + 1),
        });
        let mut merging = Self { model, text, symbols: symbols.collect(), pairs: BinaryHeap::new() };
        for right in 1..count {
            merging.offer(Some(right - 1), Some(right));
        }
        merging
    }

    fn run(&mut self) {
        while let Some(pair) = self.pairs.pop() {
            let (left, right) = (self.symbols[pair.left], self.symbols[pair.right]);
            if left.length == 0 || right.length == 0 || left.length + right.length != pair.length {
                continue;
            }
            self.symbols[pair.left].length = pair.length;
            self.symbols[pair.left].after = right.after;
            self.symbols[pair.right].length = 0;
            if let Some(after) = right.after {
                self.symbols[after].before = Some(pair.left);
            }
            self.offer(left.before, Some(pair.left));
            self.offer(Some(pair.left), right.after);
        }
    }

    fn offer(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else {
            return;
        };
        let start = self.symbols[left].start;
        let length = self.symbols[left].length + self.symbols[right].length;
        if let Some(id) = self.model.ids.get(&self.text[start..start + length]) {
            self.pairs.push(Pair { score: self.model.scores[*id as usize], left, right, length });
        }
    }

    fn tokens(self) -> Vec<u32> {
        let mut tokens = Vec::new();
        for symbol in self.symbols.iter().filter(|symbol| symbol.length > 0) {
            let text = &self.text[symbol.start..symbol.start + symbol.length];
            match self.model.ids.get(text) {
                Some(id) => tokens.push(*id),
                None => self.model.spell(text, &mut tokens),
            }
        }
        tokens
    }
}
