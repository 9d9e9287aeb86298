//! Ends: what a fact or an insight leads to, so that both are nodes like any other.
//!
//! Owns: which these are. A fact leads to its subject and its object, to the messages that state it, and to the facts that took
//! its place or whose place it took; an insight to the messages that it is from, and to what its text names.
//! Never: keeps anything; all of it follows from what is stored when it is asked for.

use uuid::Uuid;

use super::{
    facts::{FactAnswer, FactEnd, Source},
    insights::InsightAnswer,
    snapshot::Snapshot,
};
use crate::StoreError;

/// Something that a fact or an insight leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tie {
    /// How: `subject`, `object`, `source`, `corrects`, `corrected-by`, `closes`, `closed-by` or `names`.
    pub relation: &'static str,
    /// To what.
    pub to: Tied,
}

/// What something leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tied {
    /// An entity; without a kind, a phrase, which is no node.
    Entity(FactEnd),
    /// A fact.
    Fact(Uuid),
    /// A message.
    Message(Uuid),
}

impl Tie {
    /// The entity that it leads to, if it is one.
    pub fn entity(&self) -> Option<&FactEnd> {
        match &self.to {
            Tied::Entity(end) => Some(end).filter(|end| end.kind.is_some()),
            _ => None,
        }
    }
}

impl Snapshot<'_> {
    /// What a fact or an insight leads to; nothing where the id is that of neither.
    pub(super) fn ties(&self, space: &str, id: Uuid) -> Result<Vec<Tie>, StoreError> {
        if let Some(fact) = self.fact(space, id)? {
            return self.ties_of_fact(space, fact);
        }
        let insight = self.insight(space, id)?;
        insight.map_or(Ok(Vec::new()), |insight| self.ties_of_insight(space, &insight))
    }

    fn ties_of_fact(&self, space: &str, fact: FactAnswer) -> Result<Vec<Tie>, StoreError> {
        let closed = self.closed_by(&fact)?;
        let ends = [("subject", fact.subject), ("object", fact.object)];
        let mut ties: Vec<Tie> = ends.map(|(relation, end)| Tie { relation, to: Tied::Entity(end) }).into();
        let mut facts = Vec::new();
        for source in fact.sources {
            match source {
                Source::Message { message_id, .. } => {
                    ties.push(Tie { relation: "source", to: Tied::Message(message_id) })
                }
                Source::Correction { corrects, .. } => facts.push(("corrects", corrects)),
            }
        }
        facts.extend(fact.corrected_by.into_iter().map(|id| ("corrected-by", id)));
        facts.extend(fact.closed_by.map(|id| ("closed-by", id)));
        facts.extend(closed.into_iter().map(|id| ("closes", id)));
        for (relation, id) in facts {
            // What is forgotten still corrects or is corrected, and is no node any more.
            if self.fact(space, id)?.is_some() {
                ties.push(Tie { relation, to: Tied::Fact(id) });
            }
        }
        Ok(ties)
    }

    pub(super) fn ties_of_insight(&self, space: &str, insight: &InsightAnswer) -> Result<Vec<Tie>, StoreError> {
        let mut ties = Vec::new();
        for (id, row) in self.named_in(space, &insight.text)? {
            let end = FactEnd { id, kind: Some(row.kind), name: row.name().to_owned() };
            ties.push(Tie { relation: "names", to: Tied::Entity(end) });
        }
        let sources = insight.sources.iter().map(|id| Tie { relation: "source", to: Tied::Message(*id) });
        ties.extend(sources);
        Ok(ties)
    }
}
