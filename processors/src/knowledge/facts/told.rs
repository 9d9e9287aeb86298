//! What is told: which sentences assert anything, and up to where.
//!
//! Owns: questions, suppositions, orders to work on a text, and jokes.
//! Never: looks at what a sentence says.

use super::{
    lexicon::{self, Class},
    reader::Reader,
    token::{Sentence, Shape, Token},
};

impl Reader<'_> {
    /// How likely a sentence is a joke is told by its last word.
    pub(super) fn is_joke(&self, sentence: &Sentence) -> bool {
        let tokens = &self.tokens[sentence.tokens.clone()];
        tokens
            .iter()
            .any(|token| matches!(token.word, "lol" | "lmao" | "jk" | "kidding" | "joking" | "😂" | "🤣" | "😜"))
    }

    /// Whether a sentence tells somebody to do something with words.
    pub(super) fn is_order(&self, sentence: &Sentence) -> bool {
        let tokens = &self.tokens[sentence.tokens.clone()];
        let polite = |token: &&Token<'_>| {
            !matches!(
                token.word,
                "please" | "can" | "could" | "you" | "now" | "ok" | "okay" | "so" | "just" | "hey" | "," | "would"
            )
        };
        let mut words = tokens.iter().filter(polite);
        let first = words.next().map_or("", |token| token.word);
        let lets_say = matches!(first, "let" | "lets")
            && tokens
                .iter()
                .take(6)
                .any(|token| matches!(token.word, "say" | "assume" | "suppose" | "pretend" | "imagine"));
        lets_say || lexicon::class(first).is(Class::ORDER)
    }

    /// Whether what follows an order is the text that it speaks of.
    pub(super) fn gives_text(&self, sentence: &Sentence) -> bool {
        self.tokens[sentence.tokens.end - 1].word == ":"
            || self.tokens[sentence.tokens.clone()].iter().take(8).any(|token| {
                matches!(
                    token.word,
                    "story" | "scenario" | "dialogue" | "poem" | "pretend" | "essay" | "letter" | "email" | "bio"
                )
            })
    }

    /// Where a sentence ceases to tell: at a question or a supposition.
    pub(super) fn told_end(&self, sentence: &Sentence) -> usize {
        let range = sentence.tokens.clone();
        let supposed = range.clone().find(|&at| {
            let token = &self.tokens[at];
            let exempli = token.word == "g" && at > range.start + 1 && self.tokens[at - 2].word == "e";
            token.shape == Shape::Word && lexicon::class(token.word).is(Class::SUPPOSED) || exempli
        });
        let end = supposed.unwrap_or(range.end);
        if !sentence.asks {
            return end;
        }
        let question = (range.start..end).find(|&at| self.opens_question(range.start, at, range.end));
        let tag = self.tokens[range.end - 1].word;
        match question {
            Some(at) if !matches!(tag, "right" | "huh" | "no") => at,
            Some(at) if at == range.start => at,
            _ => range.start,
        }
    }

    pub(super) fn opens_question(&self, begin: usize, at: usize, end: usize) -> bool {
        let before = at.checked_sub(1).filter(|_| at > begin).map(|at| &self.tokens[at]);
        let opens = before.is_none_or(|before| {
            !before.is_spoken()
                || matches!(before.word, "and" | "but" | "so" | "or" | "because" | "then" | "now" | "also" | "like")
        });
        if !opens || self.tokens[at].shape != Shape::Word {
            return false;
        }
        let next = self.tokens[..end].get(at + 1);
        match self.tokens[at].word {
            "what" | "how" | "which" | "why" | "where" | "who" | "whose" | "any" | "what's" | "when" => true,
            "do" | "does" | "did" | "is" | "are" | "am" | "was" | "were" | "can" | "could" | "would" | "will"
            | "should" | "have" | "has" | "had" | "may" | "might" | "must" => next.is_some_and(|next| {
                matches!(next.shape, Shape::Entity(_))
                    || matches!(
                        next.word,
                        "i" | "you"
                            | "we"
                            | "they"
                            | "he"
                            | "she"
                            | "it"
                            | "there"
                            | "this"
                            | "that"
                            | "the"
                            | "my"
                            | "your"
                            | "n't"
                            | "anyone"
                            | "anybody"
                            | "someone"
                            | "these"
                            | "those"
                            | "our"
                            | "not"
                    )
            }),
            _ => false,
        }
    }
}
