//! What is forgotten, compared with a store that never saw it.

use std::collections::BTreeMap;

use super::*;
use crate::{
    Forgetting, Forgotten, Scope,
    seeds::{Chance, for_each_seed},
};

const DIMENSIONS: usize = 4;

/// Elements are small whole numbers, so that every order of additions gives the same bits and ties are frequent.
fn any_vector(chance: &mut Chance) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| chance.below(7) as f32 - 3.0).collect()
}

/// A message says always the same of itself; its vector may come anew.
fn any_item(chance: &mut Chance) -> VectorItem {
    let number = chance.below(60);
    let mut facets = Chance(number);
    VectorItem {
        message_id: Uuid::from_u128(u128::from(number)),
        facets: Facets {
            space: format!("s{}", facets.below(2)),
            thread: format!("t{}", facets.below(3)),
            author: format!("a{}", facets.below(3)),
            role: "user".into(),
            sent_at: 1,
            accepted_at: facets.below(10) as i64,
        },
        vector: any_vector(chance),
    }
}

fn any_forgetting(chance: &mut Chance) -> Forgetting {
    let scope = match chance.below(8) {
        0..4 => Scope::Message(Uuid::from_u128(u128::from(chance.below(60)))),
        4 | 5 => Scope::Thread(format!("t{}", chance.below(3))),
        6 => Scope::Author(format!("a{}", chance.below(3))),
        _ => Scope::Space,
    };
    Forgetting { space: format!("s{}", chance.below(2)), scope, until: chance.below(8) as i64 }
}

#[test]
fn what_is_forgotten_was_never_there_whatever_comes_first() {
    for_each_seed(60, |seed| {
        let mut chance = Chance(seed);
        let items: Vec<_> = (0..chance.below(150)).map(|_| any_item(&mut chance)).collect();
        let forgettings: Vec<_> = (0..chance.below(5)).map(|_| any_forgetting(&mut chance)).collect();
        let options = if chance.below(2) == 0 { small_limits() } else { VectorOptions::default() };
        let options = VectorOptions { largest_file: 256 << 20, ..options };

        let directory = fresh_directory();
        let mut store = open_with(directory.path(), DIMENSIONS, options.clone());
        let (mut items_left, mut forgettings_left) = (items.as_slice(), forgettings.as_slice());
        while !items_left.is_empty() || !forgettings_left.is_empty() {
            let (some, rest) = items_left.split_at(chance.below(40).min(items_left.len() as u64) as usize);
            items_left = rest;
            let (few, rest) = forgettings_left.split_at(chance.below(2).min(forgettings_left.len() as u64) as usize);
            forgettings_left = rest;
            for _ in 0..=chance.below(2) {
                store.apply_and_forget(some, few, &Checkpoints::default()).expect("valid items are applied");
            }
            match chance.below(4) {
                0 => {
                    drop(store);
                    store = open_with(directory.path(), DIMENSIONS, options.clone());
                }
                1 => assert!(store.sweep().is_ok()),
                _ => {}
            }
        }
        store.apply_and_forget(&[], &forgettings, &Checkpoints::default()).expect("forgettings may come again");

        let mut forgotten = Forgotten::default();
        for forgetting in &forgettings {
            forgotten.add(forgetting);
        }
        let latest: BTreeMap<_, _> = items.iter().map(|item| (item.message_id, item)).collect();
        let kept: Vec<_> =
            latest.values().filter(|item| !forgotten.covers(item.message_id, &item.facets)).copied().cloned().collect();
        check(&store, &kept, &latest.into_keys().collect::<Vec<_>>(), &mut chance);
    });
}

/// The store answers as one that has these items and never had others.
fn check(store: &VectorStore, kept: &[VectorItem], messages: &[Uuid], chance: &mut Chance) {
    let directory = fresh_directory();
    let other = open(directory.path(), DIMENSIONS);
    apply(&other, kept);
    assert_eq!(store.digest().unwrap(), other.digest().unwrap());
    assert_eq!(store.count().unwrap(), kept.len() as u64);
    for _ in 0..4 {
        let vector = any_vector(chance);
        assert_eq!(store.cosines(&vector, messages).unwrap(), other.cosines(&vector, messages).unwrap());
        let mut filter = Filter::default();
        if chance.below(2) == 0 {
            filter.spaces = vec![format!("s{}", chance.below(2))];
        }
        if chance.below(3) == 0 {
            filter.authors = vec![format!("a{}", chance.below(3))];
        }
        let limit = chance.below(20) as usize;
        assert_eq!(search(store, &vector, &filter, limit).hits, search(&other, &vector, &filter, limit).hits);
    }
}

#[test]
fn a_large_thread_is_gone_at_once_and_its_rows_follow_in_steps() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, small_limits());
    let mut items: Vec<_> = (0..500).map(|number| item(number, "s", &[1.0, number as f32, 2.0, 0.0])).collect();
    items[7].facets.thread = "kept".into();
    apply(&store, &items);
    let forgetting = Forgetting { space: "s".into(), scope: Scope::Thread("thread".into()), until: i64::MAX };
    store.apply_and_forget(&[], &[forgetting], &Checkpoints::default()).unwrap();
    let check = |rows: u64| {
        for filter in [Filter::default(), in_space("s")] {
            assert_eq!(ids(&search(&store, &items[0].vector, &filter, 10)), [7]);
        }
        assert_eq!(store.count().unwrap(), 1);
        assert_eq!(store.numbering().forgotten.len(), rows, "rows that are still to be removed");
    };
    check(492);
    apply(&store, &items[..2]);
    check(485);
    while store.sweep().unwrap() {}
    check(0);
}
