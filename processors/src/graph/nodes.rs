//! Nodes: what is known of one.

use uuid::Uuid;

use super::{
    facts::FactAnswer,
    insights::InsightAnswer,
    keys,
    row::{EntityRow, LinkRow},
    snapshot::Snapshot,
    tables::Table,
};
use crate::{Micros, StoreError, knowledge::entities::EntityKind};

/// So many aliases are told.
const ALIASES: usize = 64;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// An entity; of the kind topic, a concept.
    Entity(Entity),
    /// A fact.
    Fact(FactAnswer),
    /// An insight.
    Insight(InsightAnswer),
}

/// An entity with all names that stand for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its id: that of the name into which the others were merged.
    pub id: Uuid,
    /// What it is.
    pub kind: EntityKind,
    /// The spelling used most; of two used alike, the first in order of letters.
    pub name: String,
    /// Spellings with how often each is used, the most used first; the first 64.
    pub aliases: Vec<(String, u64)>,
    /// How often it is mentioned.
    pub mentions: u64,
    /// When the first message was said, or correction written, in which it stands.
    pub first_said: Micros,
    /// When the last one was.
    pub last_said: Micros,
    /// With how many others it is mentioned, as the names say: those that were merged count each.
    pub degree: u64,
    /// How often it is an end of a fact, in messages and corrections.
    pub facts: u64,
    /// The names that were merged into it, also through others.
    pub merged: Vec<MergedName>,
}

/// A name that stands for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedName {
    /// The name's own id.
    pub id: Uuid,
    /// The name, as who merged it gave it.
    pub name: String,
    /// Why.
    pub reason: String,
    /// How sure that is, in thousandths.
    pub confidence: u16,
    /// Who merged it; empty where a stage did.
    pub author: String,
    /// When.
    pub at: Micros,
}

impl Snapshot<'_> {
    /// What an id is a node of.
    pub(super) fn node(&self, space: &str, id: Uuid) -> Result<Option<Node>, StoreError> {
        if let Some(entity) = self.entity(space, id)? {
            return Ok(Some(Node::Entity(entity)));
        }
        if let Some(fact) = self.fact(space, id)? {
            return Ok(Some(Node::Fact(fact)));
        }
        Ok(self.insight(space, id)?.map(Node::Insight))
    }

    /// Those of the ids under which something was said.
    pub(super) fn known(&self, space: &str, ids: impl Iterator<Item = Uuid>) -> Result<Vec<Uuid>, StoreError> {
        let mut known = Vec::new();
        for id in ids {
            if self.links.is_linked(id) || self.get(Table::Entities, &keys::in_space(space, id))?.is_some() {
                known.push(id);
            }
        }
        Ok(known)
    }

    /// All that was said of a node under any name.
    pub(super) fn gathered(&self, space: &str, id: Uuid) -> Result<Option<EntityRow>, StoreError> {
        let mut gathered: Option<EntityRow> = None;
        for member in self.links.members(id) {
            let row: Option<EntityRow> = self.get_json(Table::Entities, &keys::in_space(space, member))?;
            match (row, &mut gathered) {
                (Some(row), Some(sum)) => sum.add(&row),
                (Some(row), None) => gathered = Some(row),
                (None, _) => {}
            }
        }
        Ok(gathered)
    }

    pub(super) fn entity(&self, space: &str, id: Uuid) -> Result<Option<Entity>, StoreError> {
        let Some(row) = self.gathered(space, id)? else { return Ok(None) };
        let members = self.links.members(id);
        let mut merged = Vec::new();
        let (mut first_said, mut last_said) = (Micros::MAX, Micros::MIN);
        for (number, member) in members.iter().enumerate() {
            let mut moments = self.rows(Table::Timeline, member.as_bytes());
            for row in [moments.next(), moments.next_back()].into_iter().flatten() {
                let (at, _) = keys::of_place(keys::last_place(&row?.0).ok_or_else(|| self.damaged())?);
                (first_said, last_said) = (first_said.min(at), last_said.max(at));
            }
            if number == 0 {
                continue;
            }
            let link: LinkRow =
                self.get_json(Table::Links, &keys::in_space(space, *member))?.ok_or_else(|| self.damaged())?;
            let LinkRow { name, reason, confidence, author, at, .. } = link;
            merged.push(MergedName { id: *member, name, reason, confidence, author, at });
        }
        let mut aliases: Vec<_> =
            row.spellings.iter().map(|(name, uses)| (name.clone(), uses.unsigned_abs())).collect();
        aliases.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        aliases.truncate(ALIASES);
        merged.sort_by_key(|name| name.id);
        Ok(Some(Entity {
            id: members[0],
            kind: row.kind,
            name: row.name().to_owned(),
            aliases,
            mentions: row.mentions.unsigned_abs(),
            first_said,
            last_said,
            degree: row.degree.unsigned_abs(),
            facts: row.facts.unsigned_abs(),
            merged,
        }))
    }
}
