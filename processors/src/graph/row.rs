//! Rows: what the store keeps of messages, entities, facts and merges.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    change::{Correction, Fact, Reading},
    kind::KindName,
};
use crate::{Micros, knowledge::entities::EntityKind};

/// The polarity of a fact that says what is not.
pub(super) const DENIED: &str = "denied";
/// The modality of a fact that says what is.
pub(super) const ASSERTED: &str = "asserted";
/// A correction is as sure as can be.
const CERTAIN: u16 = 1_000;

/// A message: what was read in it, by extractor family.
///
/// A reading that found nothing stays where one before it found something, so that the message is known to forgettings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MessageRow {
    pub(super) readings: BTreeMap<String, Reading>,
}

/// All that was said of an entity under one normalised name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntityRow {
    #[serde(with = "KindName")]
    pub(super) kind: EntityKind,
    /// The normalised name.
    pub(super) key: String,
    /// How often each spelling is used, in mentions and as an end of facts. Invariant: none is used less than once; where there
    /// are none, there is no row.
    pub(super) spellings: BTreeMap<String, i64>,
    /// How often it is mentioned.
    pub(super) mentions: i64,
    /// With how many others it is mentioned.
    pub(super) degree: i64,
    /// How often it is an end of a fact.
    pub(super) facts: i64,
}

impl EntityRow {
    pub(super) fn new(kind: EntityKind, key: &str) -> Self {
        Self { kind, key: key.to_owned(), spellings: BTreeMap::new(), mentions: 0, degree: 0, facts: 0 }
    }

    /// Counts uses of a spelling, or takes them back.
    pub(super) fn count_spelling(&mut self, spelling: &str, uses: i64) {
        let count = self.spellings.entry(spelling.to_owned()).or_default();
        *count += uses;
        if *count <= 0 {
            self.spellings.remove(spelling);
        }
    }

    /// The spelling used most; of two used alike, the first in order of letters.
    pub(super) fn name(&self) -> &str {
        let most = self.spellings.iter().max_by(|one, other| one.1.cmp(other.1).then(other.0.cmp(one.0)));
        most.map(|(name, _)| name.as_str()).unwrap_or_default()
    }

    /// Adds what was said under another name of the same node.
    pub(super) fn add(&mut self, other: &EntityRow) {
        other.spellings.iter().for_each(|(spelling, uses)| self.count_spelling(spelling, *uses));
        self.mentions += other.mentions;
        self.degree += other.degree;
        self.facts += other.facts;
    }
}

/// A fact as one message states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Statement {
    pub(super) thread: String,
    pub(super) author: String,
    pub(super) sent_at: Micros,
    pub(super) fact: Fact,
    /// The extractors that found it.
    pub(super) found_by: BTreeSet<String>,
}

/// A fact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FactRow {
    /// By message; as a rule one. The first is what the fact says.
    pub(super) statements: BTreeMap<Uuid, Statement>,
    /// If a person stated it to correct another fact. It counts before all statements.
    pub(super) correction: Option<Correction>,
    /// The corrections that say it is wrong.
    pub(super) corrected_by: BTreeSet<Uuid>,
}

impl FactRow {
    /// What the fact says and when it was said; `None` where it is only known to be wrong.
    pub(super) fn said(&self) -> Option<(Fact, Micros)> {
        if let Some(correction) = &self.correction {
            let fact = Fact {
                fact_id: correction.fact_id,
                start: 0,
                end: 0,
                subject: correction.subject.clone(),
                relation: correction.relation.clone(),
                object: correction.object.clone(),
                polarity: correction.polarity.clone(),
                modality: ASSERTED.to_owned(),
                valid_from: correction.valid_from,
                valid_until: correction.valid_until,
                confidence: CERTAIN,
            };
            return Some((fact, correction.at));
        }
        let statement = self.statements.values().next()?;
        Some((statement.fact.clone(), statement.sent_at))
    }
}

/// The last word on whether a name stands for another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkRow {
    pub(super) from: Uuid,
    pub(super) from_key: String,
    pub(super) into: Uuid,
    pub(super) into_key: String,
    /// The name that was merged, as it was given.
    pub(super) name: String,
    pub(super) reason: String,
    pub(super) confidence: u16,
    pub(super) author: String,
    pub(super) at: Micros,
    pub(super) is_parted: bool,
}

/// How much a space has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages in which something was found.
    pub messages: i64,
    /// Names in them.
    pub mentions: i64,
    /// Entities and concepts by their kind. Merged names count each.
    pub entities: BTreeMap<String, i64>,
    /// Pairs of names that are mentioned with one another.
    pub pairs: i64,
    /// Facts, whatever becomes of them.
    pub facts: i64,
    /// Insights.
    pub insights: i64,
    /// Names that stand for another.
    pub merged: i64,
}
