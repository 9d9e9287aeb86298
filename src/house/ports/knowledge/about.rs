//! Facts that bear on a text: about what it names, by the words that they share.
//!
//! Owns: which stretches of a text may be names, and the order of facts.
//! Never: reads a list of names: what the graph knows under a name is a name.

use std::collections::BTreeMap;

use meshlog_processors::{
    Micros, PageLimit, StoreError,
    graph::{FactAnswer, FactFilter, GraphStore, entity_id, phrase_id},
    knowledge::entities::EntityKind,
};
use uuid::Uuid;

use super::held;

/// A name has so many words at most.
const NAME_WORDS: usize = 3;
/// So many words of a text are looked at.
const WORDS: usize = 60;
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
/// Words that are no names and say little; a question is full of them.
const COMMON: &str = " a about after all also am an and any are as ask at be been before but by can could did do does for from \
    get give go had has have he her him his how i if in into is it its just like make me more most my no not now of on one or \
    our out over please say she should so some tell than that the their them then there these they this to up us was we were \
    what when where which while who why will with would you your ";

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
    for name in names(&words) {
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

/// The words of a text, without signs at their ends.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).take(WORDS).collect()
}

fn bare(word: &str) -> &str {
    let word = word.trim_matches(|character: char| !character.is_alphanumeric() && !"+#".contains(character));
    word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word)
}

fn is_common(word: &str) -> bool {
    COMMON.contains(&format!(" {} ", word.to_lowercase()))
}

/// Stretches that may be names: none begins or ends with a common word.
fn names(words: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for begin in 0..words.len() {
        for length in 1..=NAME_WORDS.min(words.len() - begin) {
            let stretch = &words[begin..begin + length];
            if !is_common(stretch[0]) && !is_common(stretch[length - 1]) {
                names.push(stretch.join(" "));
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names
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
    fn stretches_without_common_words_at_their_ends_may_be_names() {
        let found = names(&words("Ada: where does Bob's Bank of Oslo keep it?"));
        assert_eq!(found, ["Ada", "Bank", "Bank of Oslo", "Bob", "Bob Bank", "Oslo", "Oslo keep", "keep"]);
    }

    #[test]
    fn forms_of_a_word_are_one_and_short_words_have_none() {
        assert!(same("works", "work") && same("worked", "works") && same("cat", "cat"));
        assert!(!same("cat", "cats") && !same("work", "worth") && !same("", "a"));
    }
}
