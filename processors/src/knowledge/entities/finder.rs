//! Finder: goes through a text's tokens once and takes at each the mention that the best rule finds.
//!
//! Owns: the order of the rules, and what the known names need beside them to count.
//! Promises: every rule looks at a bounded number of tokens, so the whole stays linear.
//! Never: goes back; what one mention has taken, no other can have.

use std::ops::Range;

use super::{
    EntityKind, EntityMention, Speaker, gazetteer,
    gazetteer::Entry,
    lexicon::Class,
    people::{self, Participant},
    proper, quantities,
    token::{Shape, Token},
    works,
};

/// What a rule has found at a token.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The first token behind it.
    pub(super) next: usize,
    /// The range, where it is not that of the tokens.
    pub(super) text: Range<usize>,
    pub(super) kind: EntityKind,
    pub(super) confidence: f32,
    /// How many bytes of the range are its name; the rest is a version.
    pub(super) named: usize,
}

/// A text as the rules see it.
pub(super) struct Finder<'t> {
    pub(super) text: &'t str,
    pub(super) tokens: &'t [Token],
    pub(super) participants: Vec<Participant>,
    /// Whether the writer uses no capitals at all.
    pub(super) small: bool,
}

impl<'t> Finder<'t> {
    pub(super) fn new(text: &'t str, tokens: &'t [Token], speaker: &Speaker) -> Finder<'t> {
        let small = !tokens.iter().any(|token| token.capital);
        Finder { text, tokens, participants: people::participants(speaker), small }
    }

    pub(super) fn mentions(&self) -> Vec<EntityMention> {
        let mut mentions = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let Some(found) = self.found_at(at) else {
                at += 1;
                continue;
            };
            at = found.next.max(at + 1);
            mentions.push(self.mention(found));
        }
        mentions
    }

    fn mention(&self, found: Found) -> EntityMention {
        let spelled = &self.text[found.text.start..found.text.start + found.named];
        let bare = match found.kind {
            EntityKind::Person => spelled.trim_start_matches('@'),
            EntityKind::Topic => spelled.trim_start_matches('#'),
            _ => spelled,
        };
        let name = bare.split_whitespace().collect::<Vec<_>>().join(" ");
        EntityMention { text: found.text, kind: found.kind, name, confidence: found.confidence }
    }

    fn found_at(&self, at: usize) -> Option<Found> {
        let token = &self.tokens[at];
        match token.shape {
            Shape::Literal(literal) => {
                let known = if literal.weak { self.known(at) } else { None };
                known.or_else(|| Some(self.found(at, at + 1, literal.kind, literal.confidence)))
            }
            Shape::Number => quantities::quantity_at(self, at),
            Shape::Sign('$' | '€' | '£' | '₹' | '¥') => quantities::money_at(self, at),
            Shape::Sign('"' | '“' | '\'') => works::title_at(self, at),
            Shape::Word => self.word(at),
            _ => None,
        }
    }

    fn word(&self, at: usize) -> Option<Found> {
        let token = &self.tokens[at];
        // "foo-bar": what is glued behind a small part is a part of that word.
        if token.glued && at > 0 && matches!(self.tokens[at - 1].shape, Shape::Word | Shape::Sign('@' | '_' | '=')) {
            return None;
        }
        if let Some(found) = people::participant_at(self, at) {
            return Some(found);
        }
        if let Some(found) = quantities::spelled_at(self, at) {
            return Some(found);
        }
        let form = proper::by_form(self, at);
        let known = self.known(at);
        let best = match (form, known) {
            (Some(form), Some(known)) if known.next >= form.next => Some(known),
            (Some(form), _) => Some(form),
            (None, known) => known,
        };
        // A longer name of a person begins like a known name ("Paris Jackson"), and is told by what is beside it.
        best.or_else(|| people::person_at(self, at))
            .or_else(|| proper::by_context(self, at))
            .or_else(|| works::versioned(self, at))
    }

    /// A name of the gazetteer, where nothing speaks against it.
    fn known(&self, at: usize) -> Option<Found> {
        let lower = self.spelled(at).to_lowercase();
        let entry = gazetteer::name_at(self.text, &self.tokens[at..], &lower, self.small)?;
        let next = at + entry.len();
        if !self.is_meant(entry, at, next, &lower) {
            return None;
        }
        if let Some(found) = works::model_of(self, at, next) {
            return Some(found);
        }
        let confidence = if entry.ambiguous { 0.75 } else { 0.9 };
        let mut found = self.found(at, next, entry.kind, confidence);
        if entry.kind == EntityKind::Product {
            works::take_version(self, &mut found, entry.numbered);
        }
        Some(found)
    }

    fn is_meant(&self, entry: &Entry, at: usize, next: usize, lower: &str) -> bool {
        let token = &self.tokens[at];
        let follower = self.tokens.get(next);
        // "Berlinale" is another word, "Java_Home" another thing; "Berlin-based" is about Berlin.
        let glued = follower.is_some_and(|token| token.glued && matches!(token.shape, Shape::Word | Shape::Sign('_')));
        if glued {
            return false;
        }
        let person = gazetteer::first_name(lower);
        let somewhere = self.before(at).is_some_and(|before| before.class.is(Class::WHERE));
        if entry.kind == EntityKind::Place && person.is_some() && entry.len() == 1 {
            let human = people::is_addressed_or_acts(self, at);
            if !somewhere && (person == Some(false) || human) {
                return false;
            }
        }
        let runs_on = follower.is_some_and(|token| self.is_unexplained_capital(token));
        if entry.kind == EntityKind::Place && runs_on && !self.begins_known(next) {
            return false;
        }
        if !entry.ambiguous || entry.len() > 1 {
            return true;
        }
        if token.loud {
            return false;
        }
        let versioned = follower.is_some_and(|token| token.shape == Shape::Number && !token.glued);
        if token.opens {
            return versioned && entry.kind == EntityKind::Product || self.acts(next);
        }
        let inside = at > 0 && self.is_unexplained_capital(&self.tokens[at - 1]) && !self.begins_known(at - 1);
        !inside && (!runs_on || self.begins_known(next))
    }

    /// Whether a verb follows that a bare noun or an imperative does not have.
    fn acts(&self, next: usize) -> bool {
        self.tokens.get(next).filter(|token| token.is_word() && !token.capital).is_some_and(|token| {
            let verb = &self.text[token.start..token.end];
            verb.ends_with("ed") && verb.len() > 4
                || matches!(verb, "has" | "had" | "does" | "doesn't" | "didn't" | "announced" | "won't" | "keeps")
        })
    }

    fn begins_known(&self, at: usize) -> bool {
        let lower = self.spelled(at).to_lowercase();
        gazetteer::first_name(&lower).is_some()
            || gazetteer::name_at(self.text, &self.tokens[at..], &lower, false).is_some()
    }

    /// Whether a word has a capital that neither its place nor its being an ordinary word explains.
    pub(super) fn is_unexplained_capital(&self, token: &Token) -> bool {
        token.is_word() && token.capital && !token.opens && !token.class.is(Class::COMMON) && !token.loud
    }

    pub(super) fn found(&self, at: usize, next: usize, kind: EntityKind, confidence: f32) -> Found {
        let text = self.tokens[at].start..self.tokens[next - 1].end;
        Found { next, named: text.len(), text, kind, confidence }
    }

    pub(super) fn spelled(&self, at: usize) -> &'t str {
        let token = &self.tokens[at];
        &self.text[token.start..token.end]
    }

    /// The token before, if it is a word.
    pub(super) fn before(&self, at: usize) -> Option<&'t Token> {
        at.checked_sub(1).and_then(|at| self.tokens.get(at)).filter(|token| token.is_word())
    }

    pub(super) fn class_before(&self, at: usize, back: usize) -> Class {
        let token = at.checked_sub(back).and_then(|at| self.tokens.get(at));
        token.map(|token| token.class).unwrap_or_default()
    }
}
