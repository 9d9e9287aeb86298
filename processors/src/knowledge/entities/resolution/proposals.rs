//! Proposals: which merges the names of a scope speak for.
//!
//! Owns: the rules of aliases (known names, first names, surnames, acronyms) and the bar for similarity.
//! Never: merges what could be two: a first name that two people have, two known names, names that differ in a figure.

use std::collections::{BTreeMap, HashMap};

use super::{
    super::{EntityKind, gazetteer},
    Entities, EntityKey, Merge, Reason, normalised, similarity,
};

/// The least similarity that proposes a merge.
const LEAST_SIMILARITY: f32 = 0.94;
/// Shorter names, in characters, are never merged by similarity: one letter makes another name of them.
const SHORTEST_SIMILAR: usize = 4;
/// Longer names, in bytes, are not compared.
const LONGEST_SIMILAR: usize = 64;
/// How many names of one kind that begin alike are compared with each other; more are compared with these only.
const MOST_COMPARED: usize = 256;
/// The most letters of an acronym.
const LONGEST_ACRONYM: usize = 6;

/// The best merge of each entity that has one, in order of the entities.
pub(super) fn of(entities: &Entities) -> Vec<Merge> {
    let parts = Parts::of(entities);
    let mut best: BTreeMap<&EntityKey, Merge> = BTreeMap::new();
    for key in entities.canonicals() {
        let told = known_alias(entities, key).or_else(|| parts.name(key)).or_else(|| acronym(entities, &parts, key));
        if let Some(merge) = told {
            best.insert(key, merge);
        }
    }
    for (from, merge) in similar(entities) {
        best.entry(from).or_insert(merge);
    }
    best.into_values().collect()
}

/// What names of several words can be called by; None where two names share it.
#[derive(Default)]
struct Parts<'e> {
    first: HashMap<&'e str, Option<&'e EntityKey>>,
    last: HashMap<&'e str, Option<&'e EntityKey>>,
    initials: HashMap<(EntityKind, String), Option<&'e EntityKey>>,
}

impl<'e> Parts<'e> {
    fn of(entities: &'e Entities) -> Parts<'e> {
        let mut parts = Parts::default();
        for key in entities.canonicals() {
            let Some((first, _)) = key.key.split_once(' ') else { continue };
            let last = key.key.rsplit(' ').next().unwrap_or(first);
            let only = |slot: &mut Option<&EntityKey>| *slot = None;
            if key.kind == EntityKind::Person {
                parts.first.entry(first).and_modify(only).or_insert(Some(key));
                parts.last.entry(last).and_modify(only).or_insert(Some(key));
            } else {
                let words = key.key.split(' ').filter(|word| !matches!(*word, "of" | "the" | "and" | "for"));
                let initials: String = words.filter_map(|word| word.chars().next()).collect();
                parts.initials.entry((key.kind, initials)).and_modify(only).or_insert(Some(key));
            }
        }
        parts
    }

    fn name(&self, key: &EntityKey) -> Option<Merge> {
        if key.kind != EntityKind::Person || key.key.contains(' ') {
            return None;
        }
        if let Some(owner) = self.first.get(key.key.as_str()) {
            return owner.map(|into| merge(key, into, Reason::FirstName, 0.9));
        }
        let owner = self.last.get(key.key.as_str()).copied().flatten();
        owner.map(|into| merge(key, into, Reason::Surname, 0.8))
    }
}

fn merge(from: &EntityKey, into: &EntityKey, reason: Reason, score: f32) -> Merge {
    Merge { from: from.clone(), into: into.clone(), reason, score }
}

fn known_alias(entities: &Entities, key: &EntityKey) -> Option<Merge> {
    let chief = gazetteer::chief_name(&entities.name(key)?.to_lowercase())?;
    let into = EntityKey { kind: key.kind, key: normalised(key.kind, chief) };
    let known = into != *key && entities.spellings.contains_key(&into) && entities.canonical(&into) != key;
    known.then(|| merge(key, &into, Reason::KnownAlias, 1.0))
}

fn acronym(entities: &Entities, parts: &Parts<'_>, key: &EntityKey) -> Option<Merge> {
    let name = entities.name(key)?;
    let letters = name.chars().filter(|letter| *letter != '.');
    let acronym = letters.clone().all(char::is_uppercase) && (2..=LONGEST_ACRONYM).contains(&letters.count());
    if !acronym || key.kind == EntityKind::Person {
        return None;
    }
    let into = parts.initials.get(&(key.kind, key.key.clone())).copied().flatten()?;
    Some(merge(key, into, Reason::Acronym, 0.85))
}

/// Pairs of one kind that are spelled nearly alike, the less used with the more used.
fn similar(entities: &Entities) -> Vec<(&EntityKey, Merge)> {
    let mut groups: BTreeMap<(EntityKind, String), Vec<&EntityKey>> = BTreeMap::new();
    for key in entities.canonicals().filter(|key| can_be_misspelled(key)) {
        let beginning: String = key.key.chars().take(2).collect();
        groups.entry((key.kind, beginning)).or_default().push(key);
    }
    let mut merges = Vec::new();
    for group in groups.values() {
        for (at, one) in group.iter().enumerate() {
            for other in group[..at.min(MOST_COMPARED)].iter() {
                if let Some(merge) = alike(entities, one, other) {
                    merges.push(merge);
                }
            }
        }
    }
    // The most alike first, so that an entity's first merge is its best one.
    merges.sort_by(|one, other| other.1.score.total_cmp(&one.1.score));
    merges
}

fn can_be_misspelled(key: &EntityKey) -> bool {
    use EntityKind::{Organisation, Person, Place, Product};
    let long = key.key.chars().count() >= SHORTEST_SIMILAR && key.key.len() <= LONGEST_SIMILAR;
    // "Maria" and "Mario" are two; of a name of two words, one letter is a slip.
    let own = key.kind != Person || key.key.contains(' ');
    long && own && matches!(key.kind, Person | Organisation | Place | Product)
}

fn alike<'e>(entities: &Entities, one: &'e EntityKey, other: &'e EntityKey) -> Option<(&'e EntityKey, Merge)> {
    let figures = |key: &EntityKey| key.key.chars().filter(char::is_ascii_digit).collect::<String>();
    let known = |key: &EntityKey| entities.name(key).is_some_and(gazetteer::is_known);
    if figures(one) != figures(other) || known(one) && known(other) {
        return None;
    }
    // "Maria Ortiz" and "Mario Ortiz": people's words are compared one by one, as long as both have first names.
    if one.kind == EntityKind::Person && both_first_names(one, other) {
        return None;
    }
    let score = similarity::jaro_winkler(&one.key, &other.key);
    if score < LEAST_SIMILARITY {
        return None;
    }
    let rank = |key: &EntityKey| (known(key), entities.uses(key));
    let (from, into) = if rank(one) > rank(other) { (other, one) } else { (one, other) };
    Some((from, merge(from, into, Reason::Similarity, score)))
}

/// Whether both begin with a known first name, and with another one.
fn both_first_names(one: &EntityKey, other: &EntityKey) -> bool {
    let first = |key: &EntityKey| key.key.split(' ').next().unwrap_or("").to_owned();
    let (one, other) = (first(one), first(other));
    one != other && gazetteer::first_name(&one).is_some() && gazetteer::first_name(&other).is_some()
}
