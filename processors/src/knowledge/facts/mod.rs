//! Facts: what a chat message says of somebody or something, and what held when.
//!
//! Owns: reading relations from English text ("my sister Ana works at Siemens"), given the entities and the times found
//! in the same text, and telling from all that was said of one subject and relation what held when (see [`history`]).
//! Promises: the same text, speaker and mentions give the same facts, in the order of their places; the text is read
//! once, in time linear in its length; no input panics.
//! Never: asks the clock, a model or a store; guesses whom a pronoun means; takes a part of a phrase for the whole.
//! What no rule knows for certain is no fact: a store full of junk is worse than one with gaps.
//!
//! The relations; of those that are functional, another object ends the one before:
//!
//! | Name | Functional | Example, and what it says |
//! |---|---|---|
//! | works-at | yes | "I joined Siemens in May" |
//! | works-as | no | "I'm a nurse": one can be several things |
//! | lives-in | yes | "I moved to Oslo": from then on |
//! | from | no | "I grew up in Norway", "I was born in Oslo": both can be said |
//! | studies | no | "I'm studying biology", "I'm taking a pottery class" |
//! | studies-at | yes | "I graduated from Yale University": it is over |
//! | volunteers-at | no | "I volunteer at a shelter" |
//! | plays | no | "I play the violin", "we play chess": instruments and sports |
//! | diet | yes | "I'm vegan"; "gluten-free" goes with it and ends nothing |
//! | eats | no | "I don't eat meat", "I don't drink coffee": told where it is denied |
//! | allergic-to | no | "I'm allergic to peanuts", "I'm lactose intolerant" |
//! | likes | no | "I love hiking", "my favourite colour is green"; "I don't like jazz" denies it |
//! | dislikes | no | "I hate mushrooms", "I can't stand small talk" |
//! | prefers | no | "I prefer tea over coffee": the object is tea |
//! | owns | no | "I have two cats", "I sold my car": animals, vehicles, devices, homes; a firm of one's own |
//! | pet | no | "my dog Rex": the object is Rex |
//! | uses | no | "we use Rust", "we switched from MySQL to PostgreSQL": two facts |
//! | version | yes | "we are on Postgres 16": the subject is Postgres, the object 16 |
//! | name | no | "my name is Ada", "call me Max" |
//! | birthday | yes | "my birthday is on 3 May": the object is the date as it stands |
//! | age | yes | "I'm 34 years old": the object is 34 |
//! | contact | no | "my email is ada@example.org" |
//! | speaks | no | "I'm fluent in Italian" |
//! | spouse, partner | yes | "my husband Peter": the object is the husband of the subject; so are all kin |
//! | parent, child, sibling, relative | no | "my mother Helen", "I have two kids", "Ana's brother Tom" |
//! | friend, colleague | no | "my friend Ana", "my boss is Henrik" |
//! | member-of | no | "I joined a book club" |
//! | decided | no | "we decided to use SQLite": the object is what was decided |
//! | deadline | yes | "the deadline for the report is 15 March": the subject is the report |
//! | visits | no | "I'm going to visit Rome", "I went to Athens in 2018" |
//!
//! What is a fact, where people differ:
//! - "I", "we", "my" and "our" are the author; "we" is a little less sure. "You" is the only other who takes part;
//!   where there are more, or where the name is a role, it is nobody. "He" and "she" are the only other person named
//!   before in the message; where there are two, or none, there is no fact. Everybody else has to be named.
//! - A sentence tells up to where it begins to ask or to suppose ("if", "imagine"). Questions, quotations, code,
//!   remarks in square brackets, what others are said to have said, and texts that an assistant shall work on
//!   tell nothing. "Would", "could" and "should" tell nothing, but for "would love to", which is a wish.
//! - "I used to" and a past tense tell what is over: [`FactMention::valid_until`] is the end of the time said, at the
//!   latest the message's own. "I joined", "I left" and "I visited" have the beginning of the time they name as
//!   [`FactMention::valid_from`]. "I was working at X when" and "I loved the film" say nothing that lasts.
//! - The present tense takes no time from "today" or "on Mondays", only from "since" and "until".
//! - What is about to happen ("I'm moving to Rome") is planned. "I didn't join X" is no denial,
//!   for it may be of that day only; "I have never been to X" is. A denial says that something does not hold from then
//!   on, or that it ceased to.
//! - Likings are of things in general, an activity or a name: "I love hiking", not "I love your idea", "the view",
//!   "it".
//! - The object is what stands in the text without its article; a phrase that does not end where a phrase can, or
//!   that a pronoun opens, is left out.
//!
//! Confidence is a prior of the rule (a name that was found .8 to .9, a plain phrase .7 to .8), lowered by: "you", "he"
//! and "she" (x .8), "his" and "her" (x .75), "we", "our" and a subject taken over from the verb before (x .95), a
//! subject left out at the head of a sentence ("Joined a gym!", x .9), a tool named beside what is built ("building an
//! app using Rust", x .85), "kinda" and "sometimes" (x .8), a perfect without "since" or "for" (x .6), a joke (x .5).
//! Below [`ANSWERS_FROM`] a fact is kept out of answers.

mod copula;
pub mod history;
mod kin;
mod learning;
mod lexicon;
mod phrase;
mod reader;
mod relation;
mod rules;
mod tastes;
#[cfg(test)]
mod tests;
mod things;
mod token;
mod told;
mod travel;
mod validity;
mod verb;
mod work;

use std::ops::Range;

use super::{
    entities::{EntityKind, EntityMention, Speaker},
    times::TimeMention,
};
use crate::Micros;

pub use relation::Relation;

/// Facts less sure than this are kept out of answers.
pub const ANSWERS_FROM: f32 = 0.6;

/// A statement found in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct FactMention {
    /// The clause, from its subject to its object or to the time it names, in bytes, on character boundaries.
    pub text: Range<usize>,
    /// Of whom or what something is said.
    pub subject: FactEnd,
    /// What is said.
    pub relation: Relation,
    /// Whom or what it is said with.
    pub object: FactEnd,
    /// Whether it is said to hold.
    pub polarity: Polarity,
    /// Whether it is told as true.
    pub modality: Modality,
    /// Since when it holds (or does not, if denied), where the words say so.
    pub valid_from: Option<Micros>,
    /// Until when, where the words say so; not after the message for what is told as over.
    pub valid_until: Option<Micros>,
    /// How sure the rule that found it is, from 0 to 1; a prior of the rule, not a measured probability.
    pub confidence: f32,
}

/// A subject or an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FactEnd {
    /// What it is, if it is an entity; none for a phrase ("vegetarian", "software engineer").
    pub kind: Option<EntityKind>,
    /// The name as it stands, white space folded to single spaces.
    pub name: String,
}

/// Whether a relation is said to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Polarity {
    /// "I work at X".
    Affirmed,
    /// "I no longer work at X", "I left X".
    Denied,
}

impl Polarity {
    /// The name in events and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Polarity::Affirmed => "affirmed",
            Polarity::Denied => "denied",
        }
    }
}

/// Whether a statement is told as true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Modality {
    /// "I work at X".
    Asserted,
    /// "I'll start at X in May".
    Planned,
    /// "I want to work at X".
    Wished,
    /// "I might join X".
    Possible,
}

impl Modality {
    /// The name in events and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Modality::Asserted => "asserted",
            Modality::Planned => "planned",
            Modality::Wished => "wished",
            Modality::Possible => "possible",
        }
    }
}

/// All facts that a text tells, in the order of their places. `at` is when it was said; the mentions are those found in
/// the same text.
pub fn facts_in(
    text: &str,
    speaker: &Speaker,
    at: Micros,
    entities: &[EntityMention],
    times: &[TimeMention],
) -> Vec<FactMention> {
    let lower = text.to_ascii_lowercase();
    let tokens = token::tokens_in(text, &lower, entities, times);
    reader::Reader::new(text, &tokens, speaker, at, entities, times).facts()
}
