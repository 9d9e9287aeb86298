//! Facts that bear on a text: about what it names, by the words that they share.
//!
//! Owns: the order of facts.

use std::collections::{BTreeMap, BTreeSet};

use meshlog_processors::{
    Micros, PageLimit, StoreError,
    graph::{FactAnswer, FactFilter, GraphStore, entity_id, phrase_id},
    knowledge::{
        entities::EntityKind,
        stretches::{is_common, stretches, words},
    },
};
use uuid::Uuid;

use super::held;

/// So many facts of each name, the newest.
const FACTS: usize = 20;
/// Words that say the same up to here are taken for one word: "works" and "worked".
const STEM: usize = 4;
/// Names are of one of these kinds.
const KINDS: [EntityKind; 6] = [
    EntityKind::Person,
    EntityKind::Organisation,
    EntityKind::Place,
    EntityKind::Product,
    EntityKind::Topic,
    EntityKind::CodeSymbol,
];

/// The facts that hold at `at` and bear on a text, the best first, at most `most`.
pub(super) fn facts_about(
    store: &GraphStore,
    space: &str,
    text: &str,
    at: Micros,
    most: usize,
) -> Result<Vec<FactAnswer>, StoreError> {
    let words = words(text);
    let mut found: BTreeMap<Uuid, FactAnswer> = BTreeMap::new();
    // A name that stands there twice is looked up once.
    let names: BTreeSet<String> = stretches(&words).into_iter().map(|stretch| stretch.name).collect();
    for name in names {
        let entities = KINDS.into_iter().filter_map(|kind| entity_id(space, kind, &name));
        let mut filters: Vec<FactFilter> = Vec::new();
        for id in store.known(space, entities)? {
            filters.push(FactFilter { subject: Some(id), ..held(space, at) });
            filters.push(FactFilter { object: Some(id), ..held(space, at) });
        }
        filters.push(FactFilter { object: Some(phrase_id(space, &name)), ..held(space, at) });
        for filter in filters {
            let page = store.facts(&filter, PageLimit { items: FACTS, bytes: usize::MAX }, None)?;
            found.extend(page.items.into_iter().map(|fact| (fact.fact_id, fact)));
        }
    }
    let mut ranked: Vec<(usize, FactAnswer)> = found.into_values().map(|fact| (shared(&words, &fact), fact)).collect();
    ranked.sort_by(|(left, one), (right, other)| {
        right.cmp(left).then(other.said_at.cmp(&one.said_at)).then(one.fact_id.cmp(&other.fact_id))
    });
    ranked.truncate(most);
    Ok(ranked.into_iter().map(|(_, fact)| fact).collect())
}

/// How many words of the text are in the fact.
fn shared(words: &[&str], fact: &FactAnswer) -> usize {
    let stated =
        format!("{} {} {}", fact.subject.name, fact.relation.replace('-', " "), fact.object.name).to_lowercase();
    let stated: Vec<&str> = stated.split(|character: char| !character.is_alphanumeric()).collect();
    let is_in = |word: &&&str| {
        let word = word.to_lowercase();
        stated.iter().any(|other| same(&word, other))
    };
    words.iter().filter(|word| !is_common(word)).filter(is_in).count()
}

/// Whether two words are forms of one: their beginnings say so, as far as the shorter one goes.
fn same(one: &str, other: &str) -> bool {
    let shared = one.chars().zip(other.chars()).take_while(|(left, right)| left == right).count();
    let shorter = one.chars().count().min(other.chars().count());
    shorter > 0 && shared >= shorter.min(STEM) && (shorter >= STEM || one.chars().count() == other.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_are_one_and_short_words_have_none() {
        assert!(same("works", "work") && same("worked", "works") && same("cat", "cat"));
        assert!(!same("cat", "cats") && !same("work", "worth") && !same("", "a"));
    }
}
