//! History: what held when, of all that was said about one subject and one relation.
//!
//! Owns: which statement ends which. Nothing is ever dropped: what was ended stays, with what ended it.
//! Promises: any order in gives the same out; a statement given twice counts once; each statement is in the output
//! once; for a functional relation, periods of objects that exclude each other never overlap.
//! Never: ends what a rule does not end for certain.
//!
//! The rules, in which a statement is newer that was said later, or by the greater key at the same time; what is told
//! of a later day ("from May I work at X", told as a fact) counts as said on that day:
//! - Only what is asserted holds. A plan, a wish and a possibility hold for no time and end nothing.
//! - A statement holds from the time that its words name, else from when it was said, until its words say or a newer
//!   one ends it.
//! - A newer denial ends what affirms the same object, and the reverse, whatever the relation.
//! - In a functional relation, a newer object ends the one before, if the two exclude each other (see
//!   [`Relation::excludes`]).
//! - It ends it at the time that its words name, else when it was said; but never before the older one was
//!   said: until then it was believed. What was corrected at once so held for no time, and stays visible.
//! - The same object said again ends nothing, and each saying keeps its own source.
//! - What is told as over (its words end it by the time it was said) holds in its own period. It ends no other object;
//!   without a beginning of its own it ends what affirms the same object, if that was said before the end ("I live in
//!   Oslo", then "I used to live in Oslo"); an episode ("I lived in Oslo in 2019") may not have been the last, and
//!   ends nothing. Where newer or surer periods of others lie in it, it gives way to them. Without a word for its
//!   beginning it has no length: it held at some time before.

use std::collections::BTreeMap;

use super::{Modality, Polarity, Relation};
use crate::Micros;

/// One statement about a subject and a relation that are given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Assertion<K> {
    /// What identifies it; of two said at the same time, the greater counts as newer.
    pub fact_id: K,
    /// The object, normalised: equal objects are one.
    pub object: String,
    /// Whether it is said to hold.
    pub polarity: Polarity,
    /// Whether it is told as true.
    pub modality: Modality,
    /// When it was said.
    pub said_at: Micros,
    /// Since when, as its words say.
    pub valid_from: Option<Micros>,
    /// Until when, as its words say.
    pub valid_until: Option<Micros>,
}

impl<K> Assertion<K> {
    /// When it begins to count: when it was said, or later, where it tells of what begins later.
    fn takes_effect_at(&self) -> Micros {
        self.valid_from.map_or(self.said_at, |from| from.max(self.said_at))
    }
}

/// When a statement held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held<K> {
    /// The statement.
    pub fact: K,
    /// When it began to hold. A period without length (`until` is `from`) says that it held at no known time.
    pub from: Micros,
    /// When it ceased to (exclusive); none while it holds.
    pub until: Option<Micros>,
    /// The newer statement that ended it; none where its own words did.
    pub closed_by: Option<K>,
}

/// What held when, of all statements about one subject and one relation, in the order in which they take effect.
pub fn history<K: Ord + Copy>(relation: Relation, assertions: &[Assertion<K>]) -> Vec<Held<K>> {
    let mut sorted: Vec<&Assertion<K>> = assertions.iter().collect();
    sorted.sort();
    sorted.dedup_by_key(|assertion| assertion.fact_id);
    sorted.sort_by_key(|assertion| (assertion.takes_effect_at(), assertion.fact_id));
    if relation.is_functional() {
        return timeline_of(relation, &sorted);
    }
    // Objects of a relation that holds of many have nothing to do with each other, and there can be thousands.
    let mut groups: BTreeMap<&str, (Vec<usize>, Vec<&Assertion<K>>)> = BTreeMap::new();
    for (place, assertion) in sorted.iter().enumerate() {
        let (places, group) = groups.entry(&assertion.object).or_default();
        places.push(place);
        group.push(assertion);
    }
    let mut placed: Vec<(usize, Held<K>)> = Vec::with_capacity(sorted.len());
    for (places, group) in groups.values() {
        placed.extend(places.iter().copied().zip(timeline_of(relation, group)));
    }
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, held)| held).collect()
}

/// What held when, of statements in the order in which they take effect.
fn timeline_of<K: Ord + Copy>(relation: Relation, sorted: &[&Assertion<K>]) -> Vec<Held<K>> {
    let mut timeline =
        Timeline { relation, assertions: sorted, held: Vec::new(), open: Vec::new(), ended: BTreeMap::new() };
    let mut over = Vec::new();
    for (at, assertion) in sorted.iter().enumerate() {
        timeline.held.push(at_no_time(assertion));
        if assertion.modality != Modality::Asserted {
            continue;
        }
        if assertion.valid_until.is_some_and(|until| until <= assertion.takes_effect_at()) {
            over.push(at);
            timeline.end_same(at);
        } else {
            timeline.add(at);
        }
    }
    timeline.add_over(&over);
    timeline.held
}

fn at_no_time<K: Copy>(assertion: &Assertion<K>) -> Held<K> {
    let from = assertion.valid_from.or(assertion.valid_until).unwrap_or(assertion.said_at);
    Held { fact: assertion.fact_id, from, until: Some(from), closed_by: None }
}

struct Timeline<'a, K> {
    relation: Relation,
    assertions: &'a [&'a Assertion<K>],
    held: Vec<Held<K>>,
    /// What no newer statement has ended, by what is said.
    open: Vec<(&'a str, Polarity, Vec<usize>)>,
    /// When the last period of each object that has been ended was over.
    ended: BTreeMap<(&'a str, Polarity), Micros>,
}

impl<'a, K: Ord + Copy> Timeline<'a, K> {
    /// Adds what holds when it is said; everything added before is older.
    fn add(&mut self, at: usize) {
        let assertion = self.assertions[at];
        let (object, polarity) = (assertion.object.as_str(), assertion.polarity);
        let from = assertion.valid_from.unwrap_or(assertion.said_at);
        let mut kept = Vec::with_capacity(self.open.len() + 1);
        for (other, said, members) in std::mem::take(&mut self.open) {
            if !self.contradict((object, polarity), (other, said)) {
                kept.push((other, said, members));
                continue;
            }
            for member in members {
                self.end(member, from, assertion.fact_id);
            }
        }
        self.open = kept;
        let blocked =
            self.ended.iter().filter(|((other, said), _)| self.contradict((object, polarity), (other, *said)));
        let from = blocked.map(|(_, end)| *end).fold(from, Micros::max);
        let until = assertion.valid_until.map(|until| until.max(from));
        self.held[at] = Held { fact: assertion.fact_id, from, until, closed_by: None };
        match self.open.iter_mut().find(|(other, said, _)| *other == object && *said == polarity) {
            Some((_, _, members)) => members.push(at),
            None => self.open.push((object, polarity, vec![at])),
        }
    }

    /// Ends what affirms the same object, where that was said before the end. An episode ("I worked there in 2018") may
    /// not have been the last.
    fn end_same(&mut self, at: usize) {
        let assertion = self.assertions[at];
        let Some(until) = assertion
            .valid_until
            .filter(|_| assertion.polarity == Polarity::Affirmed && assertion.valid_from.is_none())
        else {
            return;
        };
        for place in 0..self.open.len() {
            let (object, polarity, members) = &mut self.open[place];
            if *object != assertion.object || *polarity != Polarity::Affirmed {
                continue;
            }
            let ended = |&member: &usize| self.assertions[member].takes_effect_at() <= until;
            let (over, lasting): (Vec<usize>, Vec<usize>) = std::mem::take(members).into_iter().partition(ended);
            *members = lasting;
            over.into_iter().for_each(|member| self.end(member, until, assertion.fact_id));
        }
    }

    /// Ends an older statement at `from`, unless its own words end it before, and not before it took effect.
    fn end(&mut self, member: usize, from: Micros, by: K) {
        let older = self.assertions[member];
        let end = from.max(older.takes_effect_at());
        let held = &mut self.held[member];
        let until = match held.until {
            Some(until) if until <= end => until,
            _ => {
                held.until = Some(end);
                held.closed_by = Some(by);
                end
            }
        };
        if until > held.from {
            let ended = self.ended.entry((older.object.as_str(), older.polarity)).or_insert(until);
            *ended = (*ended).max(until);
        }
    }

    fn contradict(&self, one: (&str, Polarity), other: (&str, Polarity)) -> bool {
        if one.0 == other.0 {
            return one.1 != other.1;
        }
        one.1 == Polarity::Affirmed && other.1 == Polarity::Affirmed && self.relation.excludes(one.0, other.0)
    }

    /// Adds what was over when it was said, the newest first, where nothing else lies.
    fn add_over(&mut self, over: &[usize]) {
        let mut placed: Vec<usize> = (0..self.held.len()).filter(|at| self.has_length(*at)).collect();
        for &at in over.iter().rev() {
            let assertion = self.assertions[at];
            let (Some(mut from), Some(mut until)) = (assertion.valid_from, assertion.valid_until) else { continue };
            let said = (assertion.object.as_str(), assertion.polarity);
            let mut others: Vec<(Micros, Micros)> = Vec::new();
            for &other in &placed {
                let told = self.assertions[other];
                if self.contradict(said, (told.object.as_str(), told.polarity)) {
                    others.push((self.held[other].from, self.held[other].until.unwrap_or(Micros::MAX)));
                }
            }
            others.sort_unstable();
            for (begun, ended) in others {
                if begun <= from {
                    from = from.max(ended);
                } else {
                    until = until.min(begun);
                    break;
                }
            }
            if from < until {
                self.held[at] = Held { fact: assertion.fact_id, from, until: Some(until), closed_by: None };
                placed.push(at);
            }
        }
    }

    fn has_length(&self, at: usize) -> bool {
        self.held[at].until.is_none_or(|until| until > self.held[at].from)
    }
}
