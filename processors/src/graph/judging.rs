//! Judging: whether a fact holds, by what else was said of its subject in its relation.
//!
//! Owns: which statements are looked at to judge one, and on how many threads.
//! Promises: a statement is judged by all newer ones that can end it; of what was said long before it and begins later, it may
//! miss some.
//! Never: decides what ends what; that are the rules of [`history`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use rayon::prelude::*;
use uuid::Uuid;

use super::{
    edge::Edge,
    facts::{Candidate, Standing},
    keys,
    snapshot::{Row, Snapshot},
    tables::Table,
    validity::{ANSWERS_FROM, Assertion, Held, history, is_of_many},
};
use crate::{Micros, StoreError, knowledge::entities::EntityKind};

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

/// From so many judgements on they are made on several threads.
const WORTH_THREADS: usize = 4;
/// So many statements before an older one, and at first as many after it, are judged with it.
const AROUND: usize = if cfg!(test) { 4 } else { 64 };
/// So many older statements of a group are judged each by itself; then all of the group is.
const MOST_OLDER: u8 = 2;
/// So many groups are held at once.
const GROUPS: usize = 10_000;
/// Of all that was said of a subject in a relation, the newest so many statements are judged, as long as a question is about one
/// of them: what ends a statement is newer, but for what was said to begin later.
const NEWEST: usize = if cfg!(test) { 3 } else { 128 };

/// Judged statements of one subject in one relation.
#[derive(Debug, Clone)]
pub(super) struct Group {
    judged: Rc<HashMap<Uuid, Judged>>,
    is_whole: bool,
    /// How many of its older statements were judged each by itself.
    older: u8,
}

/// Judgements of statements, and whether they are of all that there are.
type Judgement = (HashMap<Uuid, Judged>, bool);

impl Group {
    fn new((judged, is_whole): Judgement) -> Self {
        Self { judged: Rc::new(judged), is_whole, older: 0 }
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
            self.older = self.older.saturating_add(1);
        }
    }
}

impl Snapshot<'_> {
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
            let judge = |key: (Uuid, String)| self.judge_newest(key.0, &key.1).map(|judged| (key, judged));
            let made = searchers.install(|| missing.into_par_iter().map(judge).collect::<Result<Vec<_>, _>>())?;
            judgements.groups.extend(made.into_iter().map(|(key, judged)| (key, Group::new(judged))));
        }
        // Of each group the first that is older; another one is seldom so old too.
        let mut older: HashMap<_, (&Candidate, bool)> = HashMap::new();
        for candidate in candidates {
            let key = self.group_of(candidate);
            if let Some(group) = judgements.groups.get(&key).filter(|group| !group.answers(candidate)) {
                older.entry(key).or_insert((candidate, group.older < MOST_OLDER));
            }
        }
        if older.len() >= WORTH_THREADS {
            let judge = |(key, (candidate, is_one_of_few)): ((Uuid, String), (&Candidate, bool))| {
                self.judge_older(&key, candidate, is_one_of_few).map(|judged| (key, judged))
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
            let group = Group::new(self.judge_newest(key.0, &key.1)?);
            judgements.groups.insert(key.clone(), group);
        }
        let group = judgements.groups.get_mut(&key).ok_or_else(|| self.damaged())?;
        if !group.answers(candidate) {
            group.add(self.judge_older(&key, candidate, group.older < MOST_OLDER)?);
        }
        Ok(group.clone())
    }

    /// The group in which a fact is judged.
    fn group_of(&self, candidate: &Candidate) -> (Uuid, String) {
        (self.links.canonical(candidate.listed.subject), candidate.listed.relation.clone())
    }

    /// Judges an older statement of a group by as few of the others as decide it; where that cannot be told, by all.
    fn judge_older(
        &self,
        (subject, relation): &(Uuid, String),
        candidate: &Candidate,
        is_one_of_few: bool,
    ) -> Result<Judgement, StoreError> {
        if !is_one_of_few {
            return Ok((self.judge_all(*subject, relation)?, true));
        }
        let mut key = keys::group(candidate.listed.subject, relation);
        key.extend_from_slice(&keys::turned(candidate.place));
        let statement = self.get(Table::Statements, &key)?.ok_or_else(|| self.damaged())?;
        if is_of_many(relation) {
            let object = self.object_key(&statement).ok_or_else(|| self.damaged())?;
            return Ok((self.judge_each(*subject, relation, Some(object))?, false));
        }
        let edge = Edge::from_bytes(&statement).ok_or_else(|| self.damaged())?;
        match is_of_now(&edge, candidate.said_at()) {
            true => self.judge_around(*subject, relation, candidate),
            false => Ok((self.judge_all(*subject, relation)?, true)),
        }
    }

    /// Judges a statement in a relation with one object at a time: by what was said just before it, and by what was said after it
    /// up to what ended it. What was said still later takes effect later, too, and ends what was open then.
    fn judge_around(&self, subject: Uuid, relation: &str, candidate: &Candidate) -> Result<Judgement, StoreError> {
        let (at, fact_id) = (keys::turned(candidate.place), candidate.fact_id());
        let mut most = AROUND;
        loop {
            let (mut rows, mut last) = (Vec::new(), None);
            for member in self.links.members(subject) {
                let prefix = keys::group(member, relation);
                let before = self.rows_up_to(Table::Statements, &prefix, &at).take(AROUND);
                rows.extend(before.collect::<Result<Vec<_>, _>>()?);
                let after = self.rows_from(Table::Statements, &prefix, &at).take(most);
                let after = after.collect::<Result<Vec<_>, _>>()?;
                if after.len() == most {
                    let end = after.last().and_then(|(key, _)| keys::last_place(key));
                    last = last.into_iter().chain(end).min();
                }
                rows.extend(after);
            }
            // As far as all names were looked at.
            rows.retain(|(key, _)| last.is_none_or(|last| keys::last_place(key) <= Some(last)));
            let mut judged = self.judge_rows(relation, rows.into_iter().map(Ok), None)?;
            let fact = judged.remove(&fact_id).ok_or_else(|| self.damaged())?;
            if last.is_none() || fact.held.is_none_or(|held| held.closed_by.is_some()) {
                return Ok((HashMap::from([(fact_id, fact)]), false));
            }
            most *= 8;
        }
    }

    /// The name by which objects are one, of a statement's row.
    fn object_key<'r>(&'r self, statement: &'r [u8]) -> Option<&'r str> {
        let (object, key) = Edge::object_of(statement)?;
        let node = self.links.canonical(object);
        Some(if node == object { key } else { self.links.key(node).unwrap_or(key) })
    }

    /// Judges all statements about a subject in a relation.
    pub(super) fn judge_all(&self, subject: Uuid, relation: &str) -> Result<HashMap<Uuid, Judged>, StoreError> {
        self.judge_each(subject, relation, None)
    }

    /// Judges all statements about a subject in a relation, or only those of one object.
    fn judge_each(
        &self,
        subject: Uuid,
        relation: &str,
        of_object: Option<&str>,
    ) -> Result<HashMap<Uuid, Judged>, StoreError> {
        let groups = self.links.members(subject).into_iter().map(|member| keys::group(member, relation));
        let rows = groups.flat_map(|group| self.rows(Table::Statements, &group));
        self.judge_rows(relation, rows, of_object)
    }

    /// Judges the newest statements under each of a subject's names; and whether these are all. Where they are not, those are left out
    /// of which newer ones under another name were not looked at, and those that older ones bear on.
    fn judge_newest(&self, subject: Uuid, relation: &str) -> Result<Judgement, StoreError> {
        let (mut rows, mut first) = (Vec::new(), None);
        for member in self.links.members(subject) {
            let newest = self.rows(Table::Statements, &keys::group(member, relation)).rev().take(NEWEST + 1);
            let mut newest = newest.collect::<Result<Vec<_>, _>>()?;
            if newest.len() > NEWEST {
                newest.pop();
                first = first.max(newest.last().and_then(|(key, _)| keys::last_place(key)));
            }
            rows.extend(newest);
        }
        let mut others = Vec::new();
        if first.is_some() {
            for (key, value) in &rows {
                let place = keys::last_place(key).ok_or_else(|| self.damaged())?;
                let edge = Edge::from_bytes(value).ok_or_else(|| self.damaged())?;
                let (said_at, fact_id) = keys::of_place(place);
                if Some(place) < first || !is_of_now(&edge, said_at) {
                    others.push(fact_id);
                }
            }
        }
        let mut judged = self.judge_rows(relation, rows.into_iter().map(Ok), None)?;
        others.iter().for_each(|fact_id| _ = judged.remove(fact_id));
        Ok((judged, first.is_none()))
    }

    /// Judges statements; one that comes twice counts once.
    fn judge_rows(
        &self,
        relation: &str,
        rows: impl Iterator<Item = Result<Row, StoreError>>,
        of_object: Option<&str>,
    ) -> Result<HashMap<Uuid, Judged>, StoreError> {
        let mut judged = HashMap::new();
        let mut assertions = Vec::new();
        for row in rows {
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
        let held: BTreeMap<Uuid, Held> = history(relation, assertions);
        for (fact_id, held) in held {
            let Some(fact) = judged.get_mut(&fact_id) else { continue };
            fact.held = Some(held);
            if held.until.is_some() {
                fact.standing = Standing::Ended;
            }
        }
        Ok(judged)
    }
}

/// Whether a statement is told of the time at which it was said. One that is told of another, or as over, gives way to what is said
/// of its time, whenever that is.
fn is_of_now(edge: &Edge, said_at: Micros) -> bool {
    edge.valid_from.is_none_or(|from| from == said_at) && edge.valid_until.is_none_or(|until| until > said_at)
}
