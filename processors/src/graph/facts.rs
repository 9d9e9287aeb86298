//! Facts: what is stated, by whom, and whether it holds.
//!
//! Owns: which facts are an answer, and their order: the newest said first, then by id.
//! Promises: what holds is decided when it is asked, over all statements about one subject in one relation under any of the
//! subject's names. A fact that is corrected, too unsure, or not asserted ends no other.

use uuid::Uuid;

use super::{
    cursor::{ListMark, optional},
    edge::Listed,
    id::Place,
    judging::{Judged, Judgements},
    keys,
    merge::Merge,
    row::FactRow,
    snapshot::Snapshot,
    tables::Table,
    write::{all_facts, facts_about, facts_of_relation, facts_to},
};
use crate::{Micros, Page, PageLimit, StoreError, knowledge::entities::EntityKind};

/// Which facts. An absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactFilter {
    /// The space.
    pub space: String,
    /// About this: an entity (see [`entity_id`](super::entity_id)) or a phrase (see [`phrase_id`](super::phrase_id)).
    pub subject: Option<Uuid>,
    /// Leading to this.
    pub object: Option<Uuid>,
    /// About this or leading to it; with neither of the two above.
    pub either: Option<Uuid>,
    /// In this relation.
    pub relation: Option<String>,
    /// That hold at this time.
    pub at: Option<Micros>,
    /// Which of them.
    pub include: Include,
}

/// Which facts are answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    /// Those that hold: at the time asked for, or, as no clock is asked, without an end.
    #[default]
    Current,
    /// Also what is over, corrected, unsure, planned, wished or possible. Where a time is asked for, of what holds at some time
    /// that which holds then, and of the rest that which was said by then.
    All,
}

/// What has become of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It holds without an end.
    Holds,
    /// It has an end: by its words, or by another fact.
    Ended,
    /// It is planned, wished or possible.
    NotAsserted,
    /// Who found it was too unsure.
    Unsure,
    /// Somebody said that it is wrong.
    Corrected,
}

/// A fact with what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactAnswer {
    /// The fact.
    pub fact_id: Uuid,
    /// Whom or what it is about.
    pub subject: FactEnd,
    /// What is said of it.
    pub relation: String,
    /// What the relation leads to.
    pub object: FactEnd,
    /// "affirmed" or "denied".
    pub polarity: String,
    /// "asserted", "planned", "wished" or "possible".
    pub modality: String,
    /// How sure who found it was, in thousandths.
    pub confidence: u16,
    /// When it was said.
    pub said_at: Micros,
    /// What has become of it.
    pub standing: Standing,
    /// Since when it holds; `None` where it holds at no time.
    pub from: Option<Micros>,
    /// Until when it holds.
    pub until: Option<Micros>,
    /// The fact that ended it.
    pub closed_by: Option<Uuid>,
    /// The corrections that say it is wrong.
    pub corrected_by: Vec<Uuid>,
    /// Where it is from; never empty.
    pub sources: Vec<Source>,
}

/// An end of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactEnd {
    /// The node that it is now, or what stands for the phrase.
    pub id: Uuid,
    /// What it is; `None`: a plain phrase, which is no node.
    pub kind: Option<EntityKind>,
    /// The name or phrase as it was said.
    pub name: String,
}

/// Where a fact is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A message.
    Message {
        /// The message.
        message_id: Uuid,
        /// Where in its text, in bytes.
        start: u32,
        /// Up to where.
        end: u32,
        /// Its thread.
        thread: String,
        /// Who said it.
        author: String,
        /// When.
        sent_at: Micros,
        /// The extractors that found the fact in it.
        found_by: Vec<String>,
    },
    /// Somebody who corrected another fact.
    Correction {
        /// The fact that is wrong.
        corrects: Uuid,
        /// Who corrected it.
        author: String,
        /// Why.
        reason: String,
        /// When.
        at: Micros,
    },
}

/// A fact of a list, in the list's order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) place: keys::Place,
    pub(super) listed: Listed,
}

/// Facts in order.
type Candidates<'s> = Box<dyn Iterator<Item = Result<Candidate, StoreError>> + 's>;

/// So many facts of a list are looked at together.
const AT_ONCE: usize = 16;

impl FactFilter {
    pub(super) fn mark(&self) -> ListMark {
        let Self { space, subject, object, either, relation, at, include } = self;
        let id = |id: &Option<Uuid>| optional(id.as_ref().map(|id| id.as_bytes().as_slice()));
        let at = at.map(i64::to_be_bytes);
        let parts = [
            space.as_bytes(),
            &id(subject),
            &id(object),
            &id(either),
            &optional(relation.as_deref().map(str::as_bytes)),
            &optional(at.as_ref().map(|at| &at[..])),
            &[u8::from(*include == Include::All)],
        ];
        ListMark::new("facts", &parts)
    }

    fn admits(&self, judged: &Judged, said_at: Micros) -> bool {
        match (self.include, &judged.held) {
            (_, Some(held)) => self.include == Include::All && self.at.is_none() || held.holds(self.at),
            (Include::Current, None) => false,
            (Include::All, None) => self.at.is_none_or(|at| said_at <= at),
        }
    }
}

impl Candidate {
    pub(super) fn fact_id(&self) -> Uuid {
        keys::of_place(keys::turned(self.place)).1
    }

    pub(super) fn said_at(&self) -> Micros {
        keys::of_place(keys::turned(self.place)).0
    }
}

impl Snapshot<'_> {
    /// Facts, the newest said first.
    pub(super) fn facts(
        &self,
        filter: &FactFilter,
        limit: PageLimit,
        cursor: Option<&[u8]>,
    ) -> Result<Page<FactAnswer>, StoreError> {
        let mark = filter.mark();
        let object = filter.object.map(|object| self.links.canonical(object));
        let mut judgements = Judgements::default();
        let mut items = Vec::new();
        let wanted = |relation: &str| filter.relation.as_deref().is_none_or(|wanted| wanted == relation);
        let mut candidates = self
            .candidates(filter, mark.place(cursor))
            .filter(|candidate| candidate.as_ref().map_or(true, |candidate| wanted(&candidate.listed.relation)));
        loop {
            let some = candidates.by_ref().take(AT_ONCE).collect::<Result<Vec<_>, _>>()?;
            if some.is_empty() {
                return Ok(Page { items, next: None });
            }
            self.judge_at_once(&mut judgements, &some)?;
            for candidate in some {
                let group = self.judged(&mut judgements, &candidate)?;
                let judged = group.get(&candidate.fact_id()).ok_or_else(|| self.damaged())?;
                if !filter.admits(judged, candidate.said_at()) || object.is_some_and(|object| object != judged.object) {
                    continue;
                }
                if limit.is_reached(items.len(), 0) {
                    return Ok(Page { items, next: Some(mark.cursor(&candidate.place)) });
                }
                items.push(self.answer(&filter.space, candidate.fact_id(), judged)?.ok_or_else(|| self.damaged())?);
            }
        }
    }

    /// A fact, whatever has become of it.
    pub(super) fn fact(&self, space: &str, id: Uuid) -> Result<Option<FactAnswer>, StoreError> {
        let row: Option<FactRow> = self.get_json(Table::Facts, &keys::in_space(space, id))?;
        let Some((fact, _)) = row.and_then(|row| row.said()) else { return Ok(None) };
        let subject = Place::of_end(space, &fact.subject);
        let group = self.judge_all(self.links.canonical(subject.id), &fact.relation)?;
        let judged = group.get(&id).ok_or_else(|| self.damaged())?;
        self.answer(space, id, judged)
    }

    /// The facts that ended because of this one, the oldest id first.
    pub(super) fn closed_by(&self, fact: &FactAnswer) -> Result<Vec<Uuid>, StoreError> {
        let group = self.judge_all(fact.subject.id, &fact.relation)?;
        let is_closed = |judged: &Judged| judged.held.is_some_and(|held| held.closed_by == Some(fact.fact_id));
        let mut closed: Vec<Uuid> = group.iter().filter(|(_, judged)| is_closed(judged)).map(|(id, _)| *id).collect();
        closed.sort_unstable();
        Ok(closed)
    }

    /// The facts among which those of a filter are, in order.
    fn candidates<'s>(&'s self, filter: &FactFilter, from: Option<keys::Place>) -> Candidates<'s> {
        let FactFilter { space, subject, object, either, relation, .. } = filter;
        if let Some(end) = either {
            let lists = self.links.members(*end).into_iter().flat_map(|member| [facts_about(member), facts_to(member)]);
            return self.listed(lists.collect(), from);
        }
        if let (Some(subject), Some(relation)) = (subject, relation) {
            let members = self.links.members(*subject);
            return Box::new(Merge::new(members.into_iter().map(|member| self.group(member, relation, from))));
        }
        let lists: Vec<Uuid> = match (subject, object, relation) {
            (Some(subject), ..) => self.links.members(*subject).into_iter().map(facts_about).collect(),
            (_, Some(object), _) => self.links.members(*object).into_iter().map(facts_to).collect(),
            (.., Some(relation)) => vec![facts_of_relation(space, relation)],
            _ => vec![all_facts(space)],
        };
        self.listed(lists, from)
    }

    /// The facts of several lists in order.
    pub(super) fn listed<'s>(&'s self, lists: Vec<Uuid>, from: Option<keys::Place>) -> Candidates<'s> {
        let from = from.map_or_else(Vec::new, |place| place.to_vec());
        let list = move |list: Uuid| {
            self.rows_from(Table::FactLists, list.as_bytes(), &from).map(|row| {
                let (key, value) = row?;
                let (place, listed) = (keys::last_place(&key), Listed::from_bytes(&value));
                let (place, listed) = place.zip(listed).ok_or_else(|| self.damaged())?;
                Ok(Candidate { place, listed })
            })
        };
        Box::new(Merge::new(lists.into_iter().map(list)))
    }

    /// The facts about a name in one relation, in order.
    fn group<'s>(&'s self, subject: Uuid, relation: &str, from: Option<keys::Place>) -> Candidates<'s> {
        let up_to = from.map_or([u8::MAX; 24], keys::turned);
        let listed = Listed { subject, subject_kind: None, relation: relation.to_owned() };
        Box::new(self.rows_up_to(Table::Statements, &keys::group(subject, relation), &up_to).map(move |row| {
            let place = keys::last_place(&row?.0).ok_or_else(|| self.damaged())?;
            Ok(Candidate { place: keys::turned(place), listed: listed.clone() })
        }))
    }

    pub(super) fn answer(&self, space: &str, id: Uuid, judged: &Judged) -> Result<Option<FactAnswer>, StoreError> {
        let row: Option<FactRow> = self.get_json(Table::Facts, &keys::in_space(space, id))?;
        let Some(row) = row else { return Ok(None) };
        let Some((fact, said_at)) = row.said() else { return Ok(None) };
        let [subject, object] = [&fact.subject, &fact.object].map(|end| {
            let place = Place::of_end(space, end);
            FactEnd { id: self.links.canonical(place.id), kind: place.kind, name: end.name.clone() }
        });
        let correction = row.correction.map(|correction| Source::Correction {
            corrects: correction.corrects,
            author: correction.author,
            reason: correction.reason,
            at: correction.at,
        });
        let messages = row.statements.into_iter().map(|(message_id, statement)| Source::Message {
            message_id,
            start: statement.fact.start,
            end: statement.fact.end,
            thread: statement.thread,
            author: statement.author,
            sent_at: statement.sent_at,
            found_by: statement.found_by.into_iter().collect(),
        });
        Ok(Some(FactAnswer {
            fact_id: id,
            subject,
            relation: fact.relation,
            object,
            polarity: fact.polarity,
            modality: fact.modality,
            confidence: fact.confidence,
            said_at,
            standing: judged.standing,
            from: judged.held.map(|held| held.from),
            until: judged.held.and_then(|held| held.until),
            closed_by: judged.held.and_then(|held| held.closed_by),
            corrected_by: row.corrected_by.into_iter().collect(),
            sources: correction.into_iter().chain(messages).collect(),
        }))
    }
}
