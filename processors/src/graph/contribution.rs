//! Contributions: what a message adds to the graph, given everything that was read in it.
//!
//! Promises: it depends on the readings alone, so what a message added can be taken back without having been kept.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{
    id::Place,
    row::{MessageRow, Statement},
};
use crate::Facets;

/// Of a message, so many names are mentioned with one another: a list of 200 names says little of each pair.
const PAIRED: usize = 12;

/// What a message adds.
pub(super) struct Contribution<'a> {
    pub(super) facets: &'a Facets,
    /// Whom it mentions, in the order of their first mention, with how often each spelling is used.
    pub(super) mentioned: Vec<(Place, BTreeMap<&'a str, i64>)>,
    /// What is in the message as a mention or as an end of a fact.
    pub(super) present: Vec<Uuid>,
    /// What it states; of two readings that found the same, the surer one's, or the first family's.
    pub(super) statements: BTreeMap<Uuid, Statement>,
}

impl<'a> Contribution<'a> {
    /// What these readings add; `None` where nothing is found in them.
    pub(super) fn of(row: &'a MessageRow) -> Option<Self> {
        let facets = &row.readings.values().find(|reading| !reading.is_empty())?.facets;
        let space = facets.space.as_str();
        // Two families that find the same name at the same place have found it once.
        let mut found = BTreeMap::new();
        for mention in row.readings.values().flat_map(|reading| &reading.mentions) {
            let Some(place) = Place::of_entity(space, mention.kind, &mention.name) else { continue };
            let name = mention.name.as_str();
            let kept = found.entry((mention.start, mention.end, place.id)).or_insert((place, name));
            kept.1 = kept.1.min(name);
        }
        let mut mentioned: Vec<(Place, BTreeMap<&str, i64>)> = Vec::new();
        for (place, name) in found.into_values() {
            let known = mentioned.iter().position(|(known, _)| known.id == place.id);
            let at = known.unwrap_or_else(|| {
                mentioned.push((place, BTreeMap::new()));
                mentioned.len() - 1
            });
            *mentioned[at].1.entry(name).or_default() += 1;
        }
        let mut present: Vec<Uuid> = mentioned.iter().map(|(place, _)| place.id).collect();
        let mut statements: BTreeMap<Uuid, Statement> = BTreeMap::new();
        for reading in row.readings.values() {
            for fact in &reading.facts {
                let statement = statements.entry(fact.fact_id).or_insert_with(|| Statement {
                    thread: facets.thread.clone(),
                    author: facets.author.clone(),
                    sent_at: facets.sent_at,
                    fact: fact.clone(),
                    found_by: BTreeSet::new(),
                });
                statement.found_by.insert(reading.extractor.clone());
                if statement.fact.confidence < fact.confidence {
                    statement.fact = fact.clone();
                }
            }
        }
        present.extend(ends_of(space, &statements).map(|(place, _)| place.id));
        present.sort_unstable();
        present.dedup();
        Some(Self { facets, mentioned, present, statements })
    }

    /// The entities that are ends of what it states, each as often as it is one, with their spelling.
    pub(super) fn ends(&self) -> impl Iterator<Item = (Place, &str)> {
        ends_of(&self.facets.space, &self.statements)
    }

    /// The names that are mentioned with one another, each two once.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Place, &Place)> {
        let paired = &self.mentioned[..self.mentioned.len().min(PAIRED)];
        paired
            .iter()
            .enumerate()
            .flat_map(move |(at, (one, _))| paired[at + 1..].iter().map(move |(other, _)| (one, other)))
    }
}

fn ends_of<'s>(space: &'s str, statements: &'s BTreeMap<Uuid, Statement>) -> impl Iterator<Item = (Place, &'s str)> {
    let ends = statements.values().flat_map(|statement| [&statement.fact.subject, &statement.fact.object]);
    ends.map(move |end| (Place::of_end(space, end), end.name.as_str())).filter(|(place, _)| place.kind.is_some())
}
