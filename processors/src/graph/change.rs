//! Changes: what the store is told.
//!
//! Owns: their types, and which readings replace one another.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::kind::KindName;
use crate::{Facets, Forgetting, Micros, knowledge::entities::EntityKind};

/// Something that the store is to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A message was read.
    Read(Reading),
    /// Two names stand for one thing. The last word on `from` counts, this or [`Change::Parted`].
    Merged(Merged),
    /// Two names do not stand for one thing after all.
    Parted(Parted),
    /// Somebody wants something to be remembered. Pinned again, it is what it is now.
    Pinned(Insight),
    /// A fact is wrong, and this is right.
    Corrected(Correction),
    /// Messages are to be in no answer any more.
    Forgotten(Forgetting),
    /// A fact is to be in no answer any more.
    FactForgotten(FactForgotten),
    /// An insight is to be in no answer any more.
    InsightForgotten(InsightForgotten),
}

/// What an extractor found in a message. It replaces what one of the same family found in it; where it found nothing, that is
/// all it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The message.
    pub message_id: Uuid,
    /// Space, thread, author, role and times of the message.
    pub facets: Facets,
    /// Who read it, with its version. What stands before the first ":" or "-" is its family.
    pub extractor: String,
    /// Whom and what it names.
    pub mentions: Vec<Mention>,
    /// What it states.
    pub facts: Vec<Fact>,
}

impl Reading {
    /// The extractor without its version: "patterns" of "patterns-1", "model" of "model:x".
    pub(super) fn family(&self) -> &str {
        self.extractor.split([':', '-']).next().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mentions.is_empty() && self.facts.is_empty()
    }
}

/// A name in a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mention {
    /// Where it begins in the text, in bytes.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// What is named.
    #[serde(with = "KindName")]
    pub kind: EntityKind,
    /// The name, as this mention tells it.
    pub name: String,
    /// How sure the extractor is, in thousandths.
    pub confidence: u16,
}

/// What a fact is about, or what its relation leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct End {
    /// What it is; `None` for a plain phrase.
    #[serde(with = "super::kind::optional", default)]
    pub kind: Option<EntityKind>,
    /// Its name, or the phrase.
    pub name: String,
}

/// A statement in a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fact {
    /// The fact's id: the same when the same message is read to say the same again.
    pub fact_id: Uuid,
    /// Where it begins in the text, in bytes.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Whom or what it is about.
    pub subject: End,
    /// What is said of it, such as "works-at".
    pub relation: String,
    /// What the relation leads to.
    pub object: End,
    /// "affirmed" or "denied".
    pub polarity: String,
    /// "asserted", "planned", "wished" or "possible".
    pub modality: String,
    /// Since when, as the words say.
    pub valid_from: Option<Micros>,
    /// Until when, as the words say.
    pub valid_until: Option<Micros>,
    /// How sure the extractor is, in thousandths.
    pub confidence: u16,
}

/// Two names stand for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The space.
    pub space: String,
    /// What both are.
    pub kind: EntityKind,
    /// The name that is no longer one of its own.
    pub from: String,
    /// The name that it is.
    pub into: String,
    /// Why.
    pub reason: String,
    /// How sure that is, in thousandths.
    pub confidence: u16,
    /// Who merged them; empty where a stage did.
    pub author: String,
    /// When.
    pub at: Micros,
}

/// Two names do not stand for one thing after all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parted {
    /// The space.
    pub space: String,
    /// What both are.
    pub kind: EntityKind,
    /// The name that was merged. Whatever it was merged into, it is one of its own again.
    pub from: String,
    /// The name that it was merged into.
    pub into: String,
    /// Why.
    pub reason: String,
    /// Who parted them; empty where a stage did.
    pub author: String,
    /// When.
    pub at: Micros,
}

/// What somebody wants to be remembered, in these words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insight {
    /// The insight.
    pub insight_id: Uuid,
    /// The space that remembers it.
    pub space: String,
    /// The thread that it is for; `None`: all of the space.
    pub thread: Option<String>,
    /// What is to be remembered.
    pub text: String,
    /// The messages that it is from.
    pub sources: Vec<Uuid>,
    /// Who pinned it.
    pub author: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: Micros,
}

/// A fact is wrong, and this is right.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Correction {
    /// When. Of two corrections with one id, the later counts.
    pub at: Micros,
    /// The id of what is right.
    pub fact_id: Uuid,
    /// The fact that is wrong.
    pub corrects: Uuid,
    /// The space.
    pub space: String,
    /// Whom or what it is about.
    pub subject: End,
    /// What is said of it.
    pub relation: String,
    /// What the relation leads to.
    pub object: End,
    /// "affirmed" or "denied".
    pub polarity: String,
    /// Since when.
    pub valid_from: Option<Micros>,
    /// Until when.
    pub valid_until: Option<Micros>,
    /// Who corrected it.
    pub author: String,
    /// Why; may be empty.
    pub reason: String,
}

/// A fact is to be in no answer any more, however often it is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactForgotten {
    /// The space.
    pub space: String,
    /// The fact.
    pub fact_id: Uuid,
}

/// An insight is to be in no answer any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsightForgotten {
    /// The space.
    pub space: String,
    /// The insight.
    pub insight_id: Uuid,
    /// Pinned later than this, it is back.
    pub until: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_is_the_extractor_without_its_version() {
        for (extractor, family) in [("patterns-1", "patterns"), ("model:x-2", "model"), ("plain", "plain"), ("", "")] {
            let facets = Facets {
                space: "s".into(),
                thread: "t".into(),
                author: "a".into(),
                role: "user".into(),
                sent_at: 0,
                accepted_at: 0,
            };
            let extractor = extractor.to_owned();
            let reading = Reading { message_id: Uuid::nil(), facets, extractor, mentions: vec![], facts: vec![] };
            assert_eq!(reading.family(), family);
        }
    }
}
