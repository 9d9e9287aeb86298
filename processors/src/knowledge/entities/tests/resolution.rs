//! Which names are merged, and that merges can be undone.

use proptest::prelude::*;

use super::super::{
    EntityKind, EntityMention,
    resolution::{Entities, EntityKey, Merge, MergeError, Reason, jaro_winkler, normalised},
};

fn mention(kind: EntityKind, name: &str) -> EntityMention {
    EntityMention { text: 0..name.len(), kind, name: name.to_owned(), confidence: 0.9 }
}

fn entities(kind: EntityKind, names: &[&str]) -> Entities {
    let mut entities = Entities::default();
    names.iter().for_each(|name| drop(entities.add(&mention(kind, name))));
    entities
}

/// The proposals among names of one kind, as "from > into".
fn check(kind: EntityKind, names: &[&str], expected: &[(&str, Reason)]) {
    let merges = entities(kind, names).proposals();
    let shown: Vec<(String, Reason)> =
        merges.iter().map(|merge| (format!("{} > {}", merge.from.key, merge.into.key), merge.reason)).collect();
    let expected: Vec<(String, Reason)> = expected.iter().map(|(pair, reason)| ((*pair).to_owned(), *reason)).collect();
    assert_eq!(shown, expected, "{names:?}");
}

#[test]
fn keys_fold_what_writers_do_differently() {
    let key = |name| normalised(EntityKind::Place, name);
    assert_eq!(key("São  Paulo"), "sao paulo");
    assert_eq!(key("The U.S."), "us");
    assert_eq!(key("Jean-Luc"), key("jean luc"));
    assert_eq!(key("Zu\u{308}rich"), key("Zürich"));
    assert_ne!(normalised(EntityKind::Product, "C++"), normalised(EntityKind::Product, "C#"));
    assert_ne!(normalised(EntityKind::CodeSymbol, "Map"), normalised(EntityKind::CodeSymbol, "map"));
}

#[test]
fn a_first_name_is_the_one_person_who_has_it() {
    check(EntityKind::Person, &["Ana", "Ana Torres", "Max"], &[("ana > ana torres", Reason::FirstName)]);
    check(EntityKind::Person, &["Torres", "Ana Torres"], &[("torres > ana torres", Reason::Surname)]);
}

#[test]
fn a_first_name_of_two_people_is_neither() {
    check(EntityKind::Person, &["Ana", "Ana Torres", "Ana Vidal"], &[]);
}

#[test]
fn an_acronym_is_the_one_name_with_these_letters() {
    check(EntityKind::Organisation, &["BOS", "Bank of Skellig"], &[]);
    check(EntityKind::Organisation, &["BS", "Bank of Skellig"], &[("bs > bank of skellig", Reason::Acronym)]);
    check(EntityKind::Organisation, &["NYT", "New York Times"], &[("nyt > new york times", Reason::KnownAlias)]);
    check(EntityKind::Place, &["NYC", "New York City"], &[("nyc > new york city", Reason::KnownAlias)]);
}

#[test]
fn a_misspelled_name_is_proposed() {
    let pair = ("kestrell labs > kestrel labs", Reason::Similarity);
    check(EntityKind::Organisation, &["Kestrel Labs", "Kestrel Labs", "Kestrell Labs"], &[pair]);
}

#[test]
fn names_that_are_near_but_two_are_kept_apart() {
    check(EntityKind::Place, &["Austria", "Australia"], &[]);
    check(EntityKind::Person, &["Maria", "Mario"], &[]);
    check(EntityKind::Person, &["Maria Torres", "Mario Torres"], &[]);
    check(EntityKind::Product, &["iPhone 14", "iPhone 15"], &[]);
    check(EntityKind::Organisation, &["Abc", "Abd"], &[]);
    check(EntityKind::CodeSymbol, &["parse_header", "parse_headers"], &[]);
}

#[test]
fn aliases_are_those_of_all_merged() {
    let mut entities = entities(EntityKind::Person, &["Ana", "ana", "Ana Torres"]);
    let merge = entities.proposals().remove(0);
    entities.apply(&merge).unwrap();
    assert_eq!(entities.aliases(&merge.from), ["Ana", "Ana Torres", "ana"]);
    assert_eq!(entities.canonical(&merge.from), &merge.into);
    assert_eq!(entities.apply(&merge), Err(MergeError::Merged(merge.from.clone())));
    let back = Merge { from: merge.into.clone(), into: merge.from.clone(), reason: Reason::Asked, score: 1.0 };
    assert_eq!(entities.apply(&back), Err(MergeError::Circle(merge.into.clone())));
    assert_eq!(entities.undo(&back), Err(MergeError::NotMerged(merge.into)));
}

#[test]
fn similarity_has_its_published_values() {
    for (one, other, expected) in
        [("martha", "marhta", 0.9611), ("dwayne", "duane", 0.84), ("dixon", "dicksonx", 0.8133)]
    {
        assert!((jaro_winkler(one, other) - expected).abs() < 0.0001, "{one} {other}");
    }
    assert_eq!((jaro_winkler("", ""), jaro_winkler("a", "")), (1.0, 0.0));
}

const NAMES: [&str; 8] = ["Ana", "Ana Torres", "Torres", "Bo", "Bo Lind", "Boo Lind", "Lind", "Ana Tores"];

fn key(name: &str) -> EntityKey {
    EntityKey { kind: EntityKind::Person, key: normalised(EntityKind::Person, name) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn undoing_a_merge_gives_back_the_state_before(pairs in prop::collection::vec((0..8usize, 0..8usize), 0..24)) {
        let mut entities = entities(EntityKind::Person, &NAMES);
        let mut applied = Vec::new();
        for (from, into) in pairs {
            let merge = Merge { from: key(NAMES[from]), into: key(NAMES[into]), reason: Reason::Asked, score: 1.0 };
            let before = entities.clone();
            match entities.apply(&merge) {
                Ok(()) => applied.push((before, merge)),
                Err(_) => prop_assert_eq!(&before, &entities),
            }
        }
        while let Some((before, merge)) = applied.pop() {
            entities.undo(&merge).unwrap();
            prop_assert_eq!(&before, &entities);
        }
    }

    #[test]
    fn a_merge_undone_later_might_never_have_been(
        pairs in prop::collection::vec((0..8usize, 0..8usize), 1..24), chosen in 0..24usize,
    ) {
        let merge = |(from, into): (usize, usize)| {
            Merge { from: key(NAMES[from]), into: key(NAMES[into]), reason: Reason::Asked, score: 1.0 }
        };
        let mut all = entities(EntityKind::Person, &NAMES);
        let applied: Vec<Merge> = pairs.into_iter().map(merge).filter(|merge| all.apply(merge).is_ok()).collect();
        prop_assume!(!applied.is_empty());
        let chosen = chosen % applied.len();
        let mut rest = entities(EntityKind::Person, &NAMES);
        for (at, merge) in applied.iter().enumerate() {
            if at != chosen {
                prop_assert!(rest.apply(merge).is_ok());
            }
        }
        all.undo(&applied[chosen]).unwrap();
        prop_assert_eq!(all, rest);
    }

    #[test]
    fn proposals_can_be_applied_and_stay_within_the_rules(
        names in prop::collection::vec("[A-Za-z]{1,5}( [A-Z][a-z]{1,5})?", 0..20),
    ) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let entities = entities(EntityKind::Organisation, &names);
        for merge in entities.proposals() {
            let mut entities = entities.clone();
            prop_assert!(entities.apply(&merge).is_ok());
            prop_assert!(merge.score > 0.0 && merge.score <= 1.0);
            let short = merge.from.key.chars().count() < 4 || merge.into.key.chars().count() < 4;
            prop_assert!(merge.reason != Reason::Similarity || !short);
        }
    }
}
