//! Phrases: what can stand as the object of a fact.
//!
//! Owns: where a noun, an activity or an action ends, and which of them mean nothing outside of their text.
//! Promises: looks at a bounded number of tokens; gives nothing rather than a part of a phrase.
//! Never: takes a pronoun or what a pronoun points at.

use super::{
    EntityKind, FactEnd,
    lexicon::{self, Class},
    reader::Reader,
    token::Shape,
};

/// The most words of a noun with what describes it.
const LONGEST_NOUN: usize = 6;
/// The most words of an activity ("reading about old maps").
const LONGEST_ACTIVITY: usize = 7;
/// The most words of what was decided.
const LONGEST_ACTION: usize = 12;

/// A phrase, and the first token behind it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) end: FactEnd,
    /// The last word, in small letters.
    pub(super) head: String,
    pub(super) next: usize,
}

impl Object {
    pub(super) fn is_plain(&self) -> bool {
        self.end.kind.is_none()
    }
}

impl Reader<'_> {
    /// The tokens from `from` to before `next` as an object.
    pub(super) fn object(&self, from: usize, next: usize) -> Object {
        let name = self.name(from, next);
        let kind = match self.tokens[from].shape {
            Shape::Entity(at) if next == from + 1 => Some(self.entities[at].kind),
            _ => None,
        };
        let name = match self.tokens[from].shape {
            Shape::Entity(at) if next == from + 1 && kind != Some(EntityKind::Quantity) => {
                self.entities[at].name.clone()
            }
            _ => name,
        };
        Object { end: FactEnd { kind, name }, head: self.tokens[next - 1].word.to_owned(), next }
    }

    fn name(&self, from: usize, next: usize) -> String {
        let text = &self.text[self.tokens[from].start..self.tokens[next - 1].end];
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Behind "a", "the", "my" and the like.
    pub(super) fn behind_article(&self, at: usize) -> usize {
        at + usize::from(matches!(self.word(at), "a" | "an" | "the" | "my" | "our" | "some"))
    }

    /// An entity of one of these kinds.
    pub(super) fn entity(&self, at: usize, kinds: &[EntityKind]) -> Option<Object> {
        let Shape::Entity(entity) = self.token(at)?.shape else { return None };
        kinds.contains(&self.entities[entity].kind).then(|| self.object(at, at + 1))
    }

    /// Whether a phrase can end before a token.
    pub(super) fn ends_phrase(&self, at: usize) -> bool {
        self.token(at).is_none_or(|token| {
            token.time.is_some()
                || !(token.is_spoken() || token.shape == Shape::Sign && token.glued && matches!(token.word, "/" | "&"))
                || token.shape == Shape::Word && lexicon::class(token.word).is(Class::END)
        })
    }

    /// A noun with what stands before it, without its article.
    pub(super) fn noun(&self, at: usize) -> Option<Object> {
        let from = self.behind_article(at);
        if self.ends_phrase(from) || lexicon::class(self.word(from)).is(Class::POINTING) {
            return None;
        }
        let mut next = from;
        while !self.ends_phrase(next) {
            next += 1;
            if next - from > LONGEST_NOUN {
                return None;
            }
        }
        let genitive = self.token(next).is_some_and(|token| token.shape == Shape::Possessive);
        (!genitive).then(|| self.object(from, next))
    }

    /// What somebody likes: things without an article, an activity or an entity. Nothing where more follows that
    /// would narrow it.
    pub(super) fn taste(&self, at: usize) -> Option<Object> {
        if self.token(at)?.time.is_some() {
            return None;
        }
        if self.word(at).len() > 4 && self.word(at).ends_with("ing") && self.token(at)?.shape == Shape::Word {
            return self.activity(at);
        }
        // "the beach", whichever it is.
        if self.word(at) == "the" && lexicon::class(self.word(at + 1)).is(Class::SCENE) && self.ends_phrase(at + 2) {
            let narrowed =
                matches!(self.word(at + 2), "in" | "of" | "that" | "you" | "on" | "we" | "i" | "at" | "from");
            return (!narrowed).then(|| self.object(at + 1, at + 2));
        }
        let known = self.entity(at, &[EntityKind::Person]).is_some();
        let class = lexicon::class(self.word(at));
        if known || class.is(Class::POINTING | Class::KIN_ADJECTIVE) && !matches!(self.word(at), "good" | "new") {
            return None;
        }
        if matches!(self.word(at), "the" | "my" | "our" | "an" | "a" | "some" | "when" | "seeing") {
            return None;
        }
        let object = self.noun(at)?;
        let narrowed = matches!(
            self.word(object.next),
            "from"
                | "in"
                | "about"
                | "by"
                | "like"
                | "that"
                | "which"
                | "who"
                | "to"
                | "where"
                | "how"
                | "with"
                | "for"
                | "on"
                | "at"
                | "is"
                | "are"
                | "was"
                | "as"
                | "it"
                | "you"
                | "can"
                | "will"
        );
        let praised = lexicon::class(&object.head).is(Class::VAGUE);
        let adjective = object.head.ends_with("ly");
        (!narrowed && !praised && !adjective).then_some(object)
    }

    /// "reading old maps".
    pub(super) fn activity(&self, at: usize) -> Option<Object> {
        if matches!(
            self.word(at),
            "being" | "seeing" | "having" | "knowing" | "hearing" | "something" | "everything" | "nothing" | "anything"
        ) {
            return None;
        }
        self.action(at, LONGEST_ACTIVITY)
    }

    /// "use SQLite for the cache".
    pub(super) fn decision(&self, at: usize) -> Option<Object> {
        self.action(at, LONGEST_ACTION)
    }

    fn action(&self, at: usize, longest: usize) -> Option<Object> {
        if !self.token(at)?.is_spoken() {
            return None;
        }
        let mut next = at;
        while let Some(token) = self.token(next) {
            let bound = matches!(
                token.word,
                "and"
                    | "but"
                    | "so"
                    | "because"
                    | "cause"
                    | "since"
                    | "when"
                    | "while"
                    | "which"
                    | "that"
                    | "if"
                    | "though"
                    | "although"
                    | "after"
                    | "before"
                    | "until"
                    | "plus"
                    | "or"
                    | "too"
                    | "now"
                    | "again"
                    | "anymore"
                    | "lately"
                    | "over"
                    | "instead"
                    | "rather"
                    | "where"
                    | "who"
                    | "whenever"
                    | "once"
                    | "as"
                    | "than"
                    | "also"
                    | "even"
                    | "today"
                    | "i"
                    | "lol"
                    | "haha"
                    | "then"
            );
            if matches!(token.word, "that" | "which" | "who" | "where" | "i") || self.is_joined(next) {
                return None;
            }
            let stops = !(token.is_spoken() || token.shape == Shape::Possessive && next > at);
            if (stops || bound) && token.time.is_none() || token.time.is_some() && longest == LONGEST_ACTIVITY {
                break;
            }
            let newest = longest == LONGEST_ACTIVITY && token.word == "new";
            let points = newest || lexicon::class(token.word).is(Class::ELSEWHERE);
            if points || next - at >= longest {
                return None;
            }
            next += 1;
        }
        // "to meet in | May"
        while next > at && lexicon::class(self.word(next - 1)).is(Class::END) {
            next -= 1;
        }
        while next > at && matches!(self.word(next - 1), "the" | "a" | "of" | "my") {
            next -= 1;
        }
        (next > at).then(|| self.object(at, next))
    }

    /// Whether a word behind a comma begins something else.
    fn opens_clause(&self, at: usize) -> bool {
        let class = lexicon::class(self.word(at));
        class.is(Class::END | Class::BEFORE_SUBJECT | Class::ADVERB | Class::POINTING)
            || self.token(at).is_some_and(|token| token.time.is_some())
    }

    /// One or more of what `item` finds, parted by commas and "and".
    pub(super) fn list(&self, at: usize, item: impl Fn(&Self, usize) -> Option<Object>) -> Vec<Object> {
        let mut found: Vec<Object> = item(self, at).into_iter().collect();
        let mut joined = false;
        while let Some(last) = found.last() {
            let mut next = last.next;
            if found.len() > 8 || !matches!(self.word(next), "," | "and" | "or" | "&") {
                break;
            }
            next += 1;
            joined |= self.word(last.next) != ",";
            if matches!(self.word(next), "and" | "or") {
                joined = true;
                next += 1;
            }
            let more = item(self, next).filter(|more| {
                let short = !more.is_plain() || more.next - next <= 2;
                let closed = self.token(more.next).is_none_or(|token| {
                    !token.is_spoken()
                        || matches!(token.word, "and" | "or" | "too" | "but" | "so" | "because" | "in" | "now")
                });
                short
                    && closed
                    && super::verb::verb(self.word(next)).is_none_or(|(_, form)| form == super::verb::Form::Ing)
            });
            match more {
                Some(more) => found.push(more),
                None => {
                    // "a safe, inviting place": the comma stands within a phrase.
                    let last = self.word(last.next) == "," && last.is_plain();
                    if last
                        && self.token(next).is_some_and(|token| token.shape == Shape::Word)
                        && !self.opens_clause(next)
                    {
                        found.pop();
                    }
                    break;
                }
            }
        }
        // "simple, small tools": commas alone part adjectives rather than things.
        if found.len() > 1 && !joined {
            found.retain(|object| !object.is_plain());
        }
        found
    }
}
