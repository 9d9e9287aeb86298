//! Export: all nodes and edges of a space.

use std::{collections::HashMap, ops::ControlFlow};

use uuid::Uuid;

use super::{
    change::Insight, facts::FactAnswer, insights::InsightAnswer, judging::Judgements, keys, neighbours::Bond,
    nodes::Entity, snapshot::Snapshot, tables::Table, write::all_facts,
};
use crate::StoreError;

/// A part of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// A node.
    Entity(Entity),
    /// An edge: two entities, the smaller id first, and in how many messages both are mentioned.
    Together(Uuid, Uuid, u64),
    /// A node, and an edge from its subject to its object.
    Fact(FactAnswer),
    /// A node, and the entities that its text names.
    Insight(InsightAnswer, Vec<Uuid>),
}

impl Snapshot<'_> {
    /// Gives all entities, each with its edges to greater ids, then facts, the newest first, then insights; until `give` breaks
    /// off. Takes memory for the edges of one entity.
    pub(super) fn export(
        &self,
        space: &str,
        mut give: impl FnMut(Exported) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        for row in self.rows(Table::Entities, &keys::space(space)) {
            let id = keys::last_id(&row?.0).ok_or_else(|| self.damaged())?;
            let members = self.links.members(id);
            if !self.speaks_for(space, id, &members)? {
                continue;
            }
            let entity = self.entity(space, id)?.ok_or_else(|| self.damaged())?;
            if give(Exported::Entity(entity))?.is_break() {
                return Ok(());
            }
            let mut bonds: HashMap<Uuid, Bond> = HashMap::new();
            self.mentioned_with(&members, usize::MAX, &mut bonds)?;
            let mut bonds: Vec<_> = bonds.into_iter().filter(|(other, _)| *other > members[0]).collect();
            bonds.sort_unstable_by_key(|(other, _)| *other);
            for (other, bond) in bonds {
                let messages = self.messages_of(&bond)?;
                if give(Exported::Together(members[0], other, messages))?.is_break() {
                    return Ok(());
                }
            }
        }
        let mut judgements = Judgements::default();
        for candidate in self.listed(vec![all_facts(space)], None) {
            let candidate = candidate?;
            let group = self.judged(&mut judgements, &candidate)?;
            let judged = group.get(&candidate.fact_id()).ok_or_else(|| self.damaged())?;
            let fact = self.answer(space, candidate.fact_id(), judged)?.ok_or_else(|| self.damaged())?;
            if give(Exported::Fact(fact))?.is_break() {
                return Ok(());
            }
        }
        for row in self.rows(Table::Insights, &keys::space(space)) {
            let stored: Insight = self.tables.keyspaces().read_json(&row?.1)?;
            let insight = self.insight(space, stored.insight_id)?.ok_or_else(|| self.damaged())?;
            let ties = self.ties_of_insight(space, &insight)?;
            let named = ties.iter().filter_map(|tie| Some(tie.entity()?.id)).collect();
            if give(Exported::Insight(insight, named))?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether a name is the one at which its node is given: the smallest that has a row.
    fn speaks_for(&self, space: &str, id: Uuid, members: &[Uuid]) -> Result<bool, StoreError> {
        for member in members.iter().filter(|member| **member < id) {
            if self.get(Table::Entities, &keys::in_space(space, *member))?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
