//! Writing: what each change does to the tables.
//!
//! Owns: the meaning of changes, but for those that forget (see `forgetting`).
//! Promises: after all changes the rows say what the changes that count say, in whatever order these came: each row is a sum
//! over messages and corrections, or the last word of one that keeps its order.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    change::{Change, Correction, Merged, Parted, Reading},
    contribution::Contribution,
    edge::{Edge, Listed},
    id::{Place, list_id},
    keys,
    pending::Pending,
    row::{FactRow, LinkRow, MessageRow},
    tables::Table,
};
use crate::{StoreError, knowledge::entities::EntityKind};

/// In the timeline: a message.
const IN_A_MESSAGE: u8 = 0;
/// In the timeline: a correction.
pub(super) const IN_A_CORRECTION: u8 = 1;

/// The list of all facts of a space.
pub(super) fn all_facts(space: &str) -> Uuid {
    list_id("facts", &[space.as_bytes()])
}

/// The list of a relation's facts.
pub(super) fn facts_of_relation(space: &str, relation: &str) -> Uuid {
    list_id("facts of relation", &[space.as_bytes(), relation.as_bytes()])
}

/// The list of facts about a subject.
pub(super) fn facts_about(subject: Uuid) -> Uuid {
    list_id("facts about", &[subject.as_bytes()])
}

/// The list of facts that lead to an object.
pub(super) fn facts_to(object: Uuid) -> Uuid {
    list_id("facts to", &[object.as_bytes()])
}

impl Pending<'_> {
    /// Takes in a change.
    pub(super) fn take(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Read(reading) => self.read(reading),
            Change::Merged(merged) => {
                let Merged { space, kind, from, into, reason, confidence, author, at } = merged;
                self.set_link(space, *kind, [from, into], |row| LinkRow {
                    reason: reason.clone(),
                    confidence: *confidence,
                    author: author.clone(),
                    at: *at,
                    ..row
                })
            }
            Change::Parted(parted) => {
                let Parted { space, kind, from, into, reason, author, at } = parted;
                self.set_link(space, *kind, [from, into], |row| LinkRow {
                    reason: reason.clone(),
                    author: author.clone(),
                    at: *at,
                    is_parted: true,
                    ..row
                })
            }
            Change::Pinned(insight) => self.pin(insight),
            Change::Corrected(correction) => self.correct(correction),
            Change::Forgotten(forgetting) => self.forget(forgetting),
            Change::FactForgotten(forgotten) => self.forget_fact(forgotten),
            Change::InsightForgotten(forgotten) => self.forget_insight(forgotten),
        }
    }

    fn read(&mut self, reading: &Reading) -> Result<(), StoreError> {
        let id = reading.message_id;
        let before: MessageRow = self.get_json(Table::Messages, id.as_bytes())?.unwrap_or_default();
        let mut now = before.clone();
        let family = reading.family();
        let had_one = before.readings.contains_key(family);
        if reading.is_empty() && !had_one {
            return Ok(());
        }
        if self.tables.forgotten().covers(id, &reading.facets) {
            now.readings.remove(family);
            self.bury(&reading.facets.space, id);
        } else {
            let reading = self.without_forgotten_facts(reading)?;
            now.readings.insert(family.to_owned(), reading);
        }
        self.change_message(id, &before, &now)
    }

    /// Replaces what was read in a message, and everything that follows from it.
    pub(super) fn change_message(&mut self, id: Uuid, before: &MessageRow, now: &MessageRow) -> Result<(), StoreError> {
        if before == now {
            return Ok(());
        }
        self.list_message(id, before, -1);
        self.list_message(id, now, 1);
        let key = id.as_bytes().to_vec();
        match now.readings.is_empty() {
            true => self.remove(Table::Messages, key),
            false => self.put_json(Table::Messages, key, now)?,
        }
        let (before, now) = (Contribution::of(before), Contribution::of(now));
        for (contribution, sign) in [(&before, -1), (&now, 1)] {
            contribution.iter().try_for_each(|contribution| self.count(id, contribution, sign))?;
        }
        self.change_statements(id, before.as_ref(), now.as_ref())
    }

    /// Puts a message where forgettings find it, or takes it away.
    fn list_message(&mut self, id: Uuid, row: &MessageRow, sign: i64) {
        for reading in row.readings.values() {
            let facets = &reading.facets;
            let (thread, author) = (facets.thread.as_str(), facets.author.as_str());
            self.count_row(sign, Table::Threads, keys::of_named(&facets.space, thread, id), Vec::new());
            self.count_row(sign, Table::Authors, keys::of_named(&facets.space, author, id), Vec::new());
        }
    }

    /// Counts what a message adds, or takes it back.
    fn count(&mut self, id: Uuid, contribution: &Contribution<'_>, sign: i64) -> Result<(), StoreError> {
        let space = contribution.facets.space.as_str();
        let place = keys::place(contribution.facets.sent_at, id);
        let mut mentions = 0;
        for (entity, spellings) in &contribution.mentioned {
            let Some(kind) = entity.kind else { continue };
            let row = self.entity(space, entity.id, kind, &entity.key)?;
            for (spelling, uses) in spellings {
                row.count_spelling(spelling, sign * uses);
                row.mentions += sign * uses;
                mentions += uses;
            }
        }
        for (entity, spelling) in contribution.ends() {
            self.count_end(space, &entity, spelling, sign)?;
        }
        for entity in &contribution.present {
            let key = keys::joined(&[entity.as_bytes(), &place]);
            self.count_row(sign, Table::Timeline, key, vec![IN_A_MESSAGE]);
        }
        for (one, other) in contribution.pairs() {
            self.count_pair(space, one, other, sign)?;
            let key = keys::joined(&[&keys::pair(one.id, other.id), &place]);
            self.count_row(sign, Table::Together, key, Vec::new());
        }
        let counts = self.counts(space)?;
        counts.messages += sign;
        counts.mentions += sign * mentions;
        Ok(())
    }

    /// Changes the facts that a message stated, or states now.
    fn change_statements(
        &mut self,
        id: Uuid,
        before: Option<&Contribution<'_>>,
        now: Option<&Contribution<'_>>,
    ) -> Result<(), StoreError> {
        // A fact of the old readings stands in their space, which is that of the new ones unless a message moved.
        for (old, sign) in [(before, -1), (now, 1)] {
            let Some(contribution) = old else { continue };
            let other = if sign < 0 { now } else { before };
            for (fact_id, statement) in &contribution.statements {
                let same_space = other.filter(|other| other.facets.space == contribution.facets.space);
                if same_space.and_then(|other| other.statements.get(fact_id)) == Some(statement) {
                    continue;
                }
                self.change_fact(&contribution.facets.space, *fact_id, |row| match sign {
                    1.. => _ = row.statements.insert(id, statement.clone()),
                    _ => _ = row.statements.remove(&id),
                })?;
            }
        }
        Ok(())
    }

    /// Changes a fact, and everything that follows from it.
    pub(super) fn change_fact(
        &mut self,
        space: &str,
        id: Uuid,
        change: impl FnOnce(&mut FactRow),
    ) -> Result<(), StoreError> {
        let key = keys::in_space(space, id);
        let before: FactRow = self.get_json(Table::Facts, &key)?.unwrap_or_default();
        let mut now = before.clone();
        change(&mut now);
        if before == now {
            return Ok(());
        }
        self.place_fact(space, id, &before, -1)?;
        self.place_fact(space, id, &now, 1)?;
        match now == FactRow::default() {
            true => self.remove(Table::Facts, key),
            false => self.put_json(Table::Facts, key, &now)?,
        }
        Ok(())
    }

    /// Puts a fact in all lists, or takes it out of them.
    fn place_fact(&mut self, space: &str, id: Uuid, row: &FactRow, sign: i64) -> Result<(), StoreError> {
        let Some((fact, said_at)) = row.said() else { return Ok(()) };
        let (subject, object) = (Place::of_end(space, &fact.subject), Place::of_end(space, &fact.object));
        let place = keys::place(said_at, id);
        let edge = Edge::new(&fact, &object, row).to_bytes();
        let key = keys::joined(&[&keys::group(subject.id, &fact.relation), &place]);
        self.count_row(sign, Table::Statements, key, edge);
        let lists =
            [all_facts(space), facts_of_relation(space, &fact.relation), facts_about(subject.id), facts_to(object.id)];
        let listed = Listed { subject: subject.id, subject_kind: subject.kind, relation: fact.relation.clone() };
        let listed = listed.to_bytes();
        for list in lists {
            let key = keys::joined(&[list.as_bytes(), &keys::turned(place)]);
            self.count_row(sign, Table::FactLists, key, listed.clone());
        }
        if row.correction.is_some() {
            for (end, at) in [(&fact.subject, subject), (&fact.object, object)] {
                self.count_end(space, &at, &end.name, sign)?;
                if at.kind.is_some() {
                    let key = keys::joined(&[at.id.as_bytes(), &place]);
                    self.count_row(sign, Table::Timeline, key, vec![IN_A_CORRECTION]);
                }
            }
            self.count_row(sign, Table::Corrections, keys::in_space(space, id), Vec::new());
        }
        self.counts(space)?.facts += sign;
        Ok(())
    }

    /// Counts an entity as an end of a fact, if it is one.
    fn count_end(&mut self, space: &str, end: &Place, spelling: &str, sign: i64) -> Result<(), StoreError> {
        let Some(kind) = end.kind else { return Ok(()) };
        let entity = self.entity(space, end.id, kind, &end.key)?;
        entity.count_spelling(spelling, sign);
        entity.facts += sign;
        Ok(())
    }

    /// Takes in the last word on a name.
    fn set_link(
        &mut self,
        space: &str,
        kind: EntityKind,
        [from, into]: [&String; 2],
        tell: impl FnOnce(LinkRow) -> LinkRow,
    ) -> Result<(), StoreError> {
        let ends = [from, into].map(|name| Place::of_entity(space, kind, name));
        let [Some(source), Some(target)] = ends else { return Ok(()) };
        let row = tell(LinkRow {
            from: source.id,
            from_key: source.key,
            into: target.id,
            into_key: target.key,
            name: from.clone(),
            reason: String::new(),
            confidence: 0,
            author: String::new(),
            at: 0,
            is_parted: false,
        });
        let key = keys::in_space(space, row.from);
        let before: Option<LinkRow> = self.get_json(Table::Links, &key)?;
        let is_merged = |row: &LinkRow| i64::from(!row.is_parted && row.from != row.into);
        self.counts(space)?.merged += is_merged(&row) - before.as_ref().map_or(0, is_merged);
        self.link(&row);
        self.put_json(Table::Links, key, &row)
    }

    /// Takes in a correction. That the other fact is wrong holds whatever becomes of what is right.
    fn correct(&mut self, correction: &Correction) -> Result<(), StoreError> {
        let Correction { space, fact_id, corrects, .. } = correction;
        self.change_fact(space, *corrects, |row| _ = row.corrected_by.insert(*fact_id))?;
        if self.is_fact_forgotten(space, *fact_id)?
            || self.tables.forgotten().covers_written(*fact_id, &correction.facets())
        {
            return Ok(());
        }
        self.change_fact(space, *fact_id, |row| {
            if row.correction.as_ref().is_none_or(|stored| stored < correction) {
                row.correction = Some(correction.clone());
            }
        })
    }

    /// The reading without facts that are forgotten.
    fn without_forgotten_facts(&self, reading: &Reading) -> Result<Reading, StoreError> {
        let mut kept = Reading { facts: Vec::new(), ..reading.clone() };
        for fact in &reading.facts {
            if !self.is_fact_forgotten(&reading.facets.space, fact.fact_id)? {
                kept.facts.push(fact.clone());
            }
        }
        Ok(kept)
    }

    /// The ids of the messages that state a fact.
    pub(super) fn messages_of_fact(&self, space: &str, id: Uuid) -> Result<BTreeSet<Uuid>, StoreError> {
        let row: FactRow = self.get_json(Table::Facts, &keys::in_space(space, id))?.unwrap_or_default();
        Ok(row.statements.into_keys().collect())
    }
}
