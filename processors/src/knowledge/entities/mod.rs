//! Entities: whom and what a chat message names.
//!
//! Owns: finding people, organisations, places, products, topics, addresses, code symbols and quantities in free
//! English text ("my sister Ana", "tokio 1.54", "$1,200"), and the key by which names are one.
//! Promises: the same text and speaker give the same mentions; mentions are in order and do not overlap; the text is
//! read once, in time linear in its length; no input panics.
//! Never: asks the clock, a model or a store; takes a capital letter alone for a name. What no list knows, and neither
//! its form nor the words beside it tell, is no mention: a store full of junk is worse than one with gaps.
//!
//! What counts as a mention, where people differ:
//! - Times are not entities (see `times`): no dates, weekdays, months, ages or durations of a second and longer.
//! - A quantity has a unit of measure, a currency or a percent sign. "Two dogs" is a count and no quantity.
//! - Books, films, songs and games are products: where they are known, or quoted beside a word like "reading".
//! - Animals with names are people. "Mom" and "the President" are roles, not names. Languages and peoples are none.
//! - A range does not hold titles ("Mr"), articles and possessive endings; it does hold "@", "#" and a version.
//! - An e-mail address is a [`EntityKind::Url`]; file paths, error codes, flags and tickets are code symbols, and so is
//!   what stands alone in backticks. Fenced code is not read.
//! - Headings in title case and shouted lines give only what the lists know for certain.

mod finder;
mod gazetteer;
mod key;
mod lexicon;
mod literal;
mod people;
mod proper;
mod quantities;
#[cfg(test)]
mod tests;
mod token;
mod works;

use std::ops::Range;

pub(in crate::knowledge) use gazetteer::chief_name;
pub use key::normalised;

/// A name in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityMention {
    /// Where it stands in the text, in bytes, on character boundaries.
    pub text: Range<usize>,
    /// What is named.
    pub kind: EntityKind,
    /// The name as this mention alone tells it: without "@", "#" and version, white space folded to single spaces.
    pub name: String,
    /// How sure the rule that found it is, from 0 to 1; a prior of the rule, not a measured probability.
    pub confidence: f32,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    /// "Ana", "@mira"; animals too.
    Person,
    /// "Siemens", "University of Oslo".
    Organisation,
    /// "Berlin", "Lake Como", "Baker Street".
    Place,
    /// "iPhone", "tokio 1.54"; books, films, songs and games too.
    Product,
    /// "#gardening", "machine learning", "JSON".
    Topic,
    /// `https://example.org`, `ana@example.org`.
    Url,
    /// "`parse`", "snake_case", "src/main.rs", "E0502".
    CodeSymbol,
    /// "3 kg", "$1,200", "15%".
    Quantity,
}

impl EntityKind {
    /// All kinds. Stores number them by their places, so a new one comes last.
    pub const ALL: [EntityKind; 8] = [
        EntityKind::Person,
        EntityKind::Organisation,
        EntityKind::Place,
        EntityKind::Product,
        EntityKind::Topic,
        EntityKind::Url,
        EntityKind::CodeSymbol,
        EntityKind::Quantity,
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<EntityKind> {
        EntityKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            EntityKind::Person => "person",
            EntityKind::Organisation => "organisation",
            EntityKind::Place => "place",
            EntityKind::Product => "product",
            EntityKind::Topic => "topic",
            EntityKind::Url => "url",
            EntityKind::CodeSymbol => "code-symbol",
            EntityKind::Quantity => "quantity",
        }
    }
}

/// Who speaks, and to whom: names that are known without a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Speaker {
    /// The name of the author; a role such as "user" names nobody.
    pub author: String,
    /// The names of all others who take part.
    pub participants: Vec<String>,
}

/// All entities that a text names, in order.
pub fn entities_in(text: &str, speaker: &Speaker) -> Vec<EntityMention> {
    let tokens = token::tokens_in(text);
    finder::Finder::new(text, &tokens, speaker).mentions()
}
