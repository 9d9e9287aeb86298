//! Facts: what is stated, by whom, and whether it holds.
//!
//! Owns: which facts are an answer, and their order: the newest said first, then by id.
//! Promises: what holds is decided when it is asked, over all statements about one subject in one relation under any of the
//! subject's names. A fact that is corrected, too unsure, or not asserted ends no other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use rayon::prelude::*;
use uuid::Uuid;

use super::{
    cursor::{ListMark, optional},
    edge::{Edge, Listed},
    id::Place,
    keys,
    merge::Merge,
    row::FactRow,
    snapshot::Snapshot,
    tables::Table,
    validity::{ANSWERS_FROM, Assertion, Held, history, is_of_many},
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
    place: keys::Place,
    pub(super) listed: Listed,
}

/// Facts in order.
type Candidates<'s> = Box<dyn Iterator<Item = Result<Candidate, StoreError>> + 's>;

/// What is said of a fact by all that was said about its subject in its relation.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) standing: Standing,
    pub(super) held: Option<Held>,
    /// The node or phrase that its object is now.
    pub(super) object: Uuid,
    pub(super) object_kind: Option<EntityKind>,
    pub(super) is_denied: bool,
}

/// Judgements, by the subject that they are about and its relation; made once for a question.
#[derive(Default)]
pub(super) struct Judgements {
    groups: HashMap<(Uuid, String), Group>,
}

impl Judgements {
    /// Forgets what was judged, where with so many more it would be too much.
    fn make_room(&mut self, more: usize) {
        if self.groups.len() + more > GROUPS {
            self.groups.clear();
        }
    }
}

/// So many facts of a list are looked at together.
const AT_ONCE: usize = 16;
/// From so many judgements on they are made on several threads.
const WORTH_THREADS: usize = 4;
/// For so many older statements of a group it is looked what was said of the same object; then all of the group is judged.
const MOST_OBJECTS: u8 = 2;
/// So many groups are held at once.
const GROUPS: usize = 10_000;
/// Of all that was said of a subject in a relation, the newest so many statements are judged, as long as a question is about one
/// of them: what ends a statement is newer, but for what was said to begin later.
const NEWEST: usize = 128;

/// Judged statements of one subject in one relation.
#[derive(Debug, Clone)]
pub(super) struct Group {
    judged: Rc<HashMap<Uuid, Judged>>,
    is_whole: bool,
    /// For how many of its older statements only what is said of the same object was judged.
    objects: u8,
}

/// Judgements of statements, and whether they are of all that there are.
type Judgement = (HashMap<Uuid, Judged>, bool);

impl Group {
    fn new((judged, is_whole): Judgement) -> Self {
        Self { judged: Rc::new(judged), is_whole, objects: 0 }
    }

    pub(super) fn get(&self, fact_id: &Uuid) -> Option<&Judged> {
        self.judged.get(fact_id)
    }

    fn answers(&self, candidate: &Candidate) -> bool {
        self.is_whole || self.judged.contains_key(&candidate.fact_id())
    }

    /// Adds what an older statement needed.
    fn add(&mut self, (judged, is_whole): Judgement) {
        if is_whole {
            *self = Self::new((judged, true));
        } else {
            Rc::make_mut(&mut self.judged).extend(judged);
            self.objects = self.objects.saturating_add(1);
        }
    }
}

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

    fn said_at(&self) -> Micros {
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
        let (group, _) = self.judge(self.links.canonical(subject.id), &fact.relation, usize::MAX, None)?;
        let judged = group.get(&id).ok_or_else(|| self.damaged())?;
        self.answer(space, id, judged)
    }

    /// The facts that ended because of this one, the oldest id first.
    pub(super) fn closed_by(&self, fact: &FactAnswer) -> Result<Vec<Uuid>, StoreError> {
        let (group, _) = self.judge(fact.subject.id, &fact.relation, usize::MAX, None)?;
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

    /// Makes the judgements that these need, on several threads: those of facts that lead to a name are about as many others,
    /// whose rows lie all over the table.
    pub(super) fn judge_at_once(
        &self,
        judgements: &mut Judgements,
        candidates: &[Candidate],
    ) -> Result<(), StoreError> {
        let searchers = &self.tables.searchers;
        let missing: BTreeSet<_> = candidates.iter().map(|candidate| self.group_of(candidate)).collect();
        let missing: Vec<_> = missing.into_iter().filter(|key| !judgements.groups.contains_key(key)).collect();
        if missing.len() >= WORTH_THREADS {
            judgements.make_room(missing.len());
            let judge = |key: (Uuid, String)| self.judge(key.0, &key.1, NEWEST, None).map(|judged| (key, judged));
            let made = searchers.install(|| missing.into_par_iter().map(judge).collect::<Result<Vec<_>, _>>())?;
            judgements.groups.extend(made.into_iter().map(|(key, judged)| (key, Group::new(judged))));
        }
        // Of each group the first that is older; another one is seldom so old too.
        let mut older: HashMap<_, (&Candidate, bool)> = HashMap::new();
        for candidate in candidates {
            let key = self.group_of(candidate);
            if let Some(group) = judgements.groups.get(&key).filter(|group| !group.answers(candidate)) {
                older.entry(key).or_insert((candidate, group.objects < MOST_OBJECTS));
            }
        }
        if older.len() >= WORTH_THREADS {
            let judge = |(key, (candidate, by_object)): ((Uuid, String), (&Candidate, bool))| {
                self.judge_older(&key, candidate, by_object).map(|judged| (key, judged))
            };
            let made = searchers.install(|| older.into_par_iter().map(judge).collect::<Result<Vec<_>, _>>())?;
            for (key, judged) in made {
                judgements.groups.entry(key).and_modify(|group| group.add(judged));
            }
        }
        Ok(())
    }

    /// What has become of the facts about the subject of this one in its relation, this one among them.
    pub(super) fn judged(&self, judgements: &mut Judgements, candidate: &Candidate) -> Result<Group, StoreError> {
        let key = self.group_of(candidate);
        if !judgements.groups.contains_key(&key) {
            judgements.make_room(1);
            let group = Group::new(self.judge(key.0, &key.1, NEWEST, None)?);
            judgements.groups.insert(key.clone(), group);
        }
        let group = judgements.groups.get_mut(&key).ok_or_else(|| self.damaged())?;
        if !group.answers(candidate) {
            group.add(self.judge_older(&key, candidate, group.objects < MOST_OBJECTS)?);
        }
        Ok(group.clone())
    }

    /// The group in which a fact is judged.
    fn group_of(&self, candidate: &Candidate) -> (Uuid, String) {
        (self.links.canonical(candidate.listed.subject), candidate.listed.relation.clone())
    }

    /// Judges an older statement of a group: by all of the group, or where objects have nothing to do with each other, by what is
    /// said of its own, of which there is little even about somebody of whom there is much.
    fn judge_older(
        &self,
        (subject, relation): &(Uuid, String),
        candidate: &Candidate,
        by_object: bool,
    ) -> Result<Judgement, StoreError> {
        if !by_object || !is_of_many(relation) {
            return self.judge(*subject, relation, usize::MAX, None);
        }
        let mut key = keys::group(candidate.listed.subject, relation);
        key.extend_from_slice(&keys::turned(candidate.place));
        let statement = self.get(Table::Statements, &key)?.ok_or_else(|| self.damaged())?;
        let object = self.object_key(&statement).ok_or_else(|| self.damaged())?;
        let (judged, _) = self.judge(*subject, relation, usize::MAX, Some(object))?;
        Ok((judged, false))
    }

    /// The name by which objects are one, of a statement's row.
    fn object_key<'r>(&'r self, statement: &'r [u8]) -> Option<&'r str> {
        let (object, key) = Edge::object_of(statement)?;
        let node = self.links.canonical(object);
        Some(if node == object { key } else { self.links.key(node).unwrap_or(key) })
    }

    /// Judges the newest statements of each of a subject's names, of all objects or of one alone; and whether these are all.
    fn judge(
        &self,
        subject: Uuid,
        relation: &str,
        newest: usize,
        of_object: Option<&str>,
    ) -> Result<Judgement, StoreError> {
        let mut judged = HashMap::new();
        let mut assertions = Vec::new();
        let mut is_whole = true;
        for member in self.links.members(subject) {
            for (number, row) in self.rows(Table::Statements, &keys::group(member, relation)).rev().enumerate() {
                if number == newest {
                    is_whole = false;
                    break;
                }
                let (key, value) = row?;
                let object_key = self.object_key(&value).ok_or_else(|| self.damaged())?;
                if of_object.is_some_and(|wanted| wanted != object_key) {
                    continue;
                }
                let place = keys::last_place(&key).map(keys::of_place);
                let ((said_at, fact_id), edge) = place.zip(Edge::from_bytes(&value)).ok_or_else(|| self.damaged())?;
                let standing = match &edge {
                    edge if edge.is_corrected => Standing::Corrected,
                    edge if edge.confidence < ANSWERS_FROM => Standing::Unsure,
                    edge if !edge.is_asserted => Standing::NotAsserted,
                    _ => Standing::Holds,
                };
                let Edge { object_kind, is_denied, valid_from, valid_until, .. } = edge;
                let node = self.links.canonical(edge.object);
                judged.insert(fact_id, Judged { standing, held: None, object: node, object_kind, is_denied });
                if standing == Standing::Holds {
                    let object = object_key.to_owned();
                    assertions.push(Assertion { fact_id, object, is_denied, said_at, valid_from, valid_until });
                }
            }
        }
        let held: BTreeMap<Uuid, Held> = history(relation, assertions);
        for (fact_id, held) in held {
            let Some(fact) = judged.get_mut(&fact_id) else { continue };
            fact.held = Some(held);
            if held.until.is_some() {
                fact.standing = Standing::Ended;
            }
        }
        Ok((judged, is_whole))
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
