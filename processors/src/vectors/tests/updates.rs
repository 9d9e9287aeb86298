//! Applying: what a batch changes, what it leaves alone, and what survives a restart.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;

#[test]
fn a_message_that_moves_to_another_space_is_found_only_there() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    apply(&store, &[item(1, "old", &[1.0, 0.0]), item(2, "old", &[0.0, 1.0])]);
    apply(&store, &[item(1, "new", &[1.0, 0.0])]);
    assert_eq!(ids(&search(&store, &[1.0, 0.0], &in_space("old"), 10)), [2]);
    assert_eq!(ids(&search(&store, &[1.0, 0.0], &in_space("new"), 10)), [1]);
    assert_eq!(store.count().expect("readable"), 2);
}

#[test]
fn the_last_of_several_items_for_one_message_wins_within_a_batch() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    apply(&store, &[item(1, "a", &[1.0, 0.0]), item(1, "b", &[0.0, 1.0])]);
    assert_eq!(search(&store, &[0.0, 1.0], &Filter::default(), 10).hits, [(Uuid::from_u128(1), 1.0)]);
    assert!(search(&store, &[0.0, 1.0], &in_space("a"), 10).hits.is_empty());
}

#[test]
fn spaces_do_not_see_each_other_whatever_their_names() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    let names = ["", "a", "A", "a/b", &"long ".repeat(1_000), "ß"];
    let items: Vec<_> = (0u8..).zip(names).map(|(id, name)| item(id.into(), name, &[1.0, 0.0])).collect();
    apply(&store, &items);
    for (id, name) in (0u128..).zip(names) {
        assert_eq!(ids(&search(&store, &[1.0, 0.0], &in_space(name), 10)), [id], "space {name:?}");
    }
    assert!(search(&store, &[1.0, 0.0], &in_space("unknown"), 10).hits.is_empty());
}

#[test]
fn cosines_are_those_of_the_search_and_none_for_unknown_messages() {
    let directory = fresh_directory();
    let store = open(directory.path(), 3);
    apply(&store, &[item(1, "a", &[1.0, 2.0, 3.0]), item(2, "a", &[-1.0, 0.5, 0.0])]);
    let query = unit(&[0.3, 0.2, -0.9]);
    let hits = search(&store, &query, &Filter::default(), 10).hits;
    let messages: Vec<_> = hits.iter().map(|(message_id, _)| *message_id).collect();
    let cosines = store.cosines(&query, &messages).expect("a valid query");
    assert_eq!(cosines, hits.iter().map(|(_, cosine)| Some(*cosine)).collect::<Vec<_>>());
    assert_eq!(store.cosines(&query, &[Uuid::from_u128(3)]).expect("a valid query"), [None]);
}

#[test]
fn restart_keeps_items_and_checkpoints() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    store.apply(&[item(1, "a", &[1.0, 0.0])], &read_to(41)).expect("valid");
    let digest = store.digest().expect("readable");
    drop(store);
    let store = open(directory.path(), 2);
    assert_eq!(store.checkpoints().expect("readable"), read_to(41));
    assert_eq!(store.digest().expect("readable"), digest);
}

#[test]
fn checkpoints_advance_without_items_and_never_move_back() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    store.apply(&[], &read_to(41)).expect("valid");
    store.apply(&[], &read_to(7)).expect("valid");
    assert_eq!(store.checkpoints().expect("readable"), read_to(41));
}

/// Checks that a batch is refused with a reason, and that nothing of it stays.
fn check_refused(store: &VectorStore, items: &[VectorItem], reason: &str) {
    let (digest, checkpoints) = (store.digest().expect("readable"), store.checkpoints().expect("readable"));
    let error = store.apply(items, &read_to(1_000)).expect_err("the batch is refused");
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(store.digest().expect("readable"), digest);
    assert_eq!(store.checkpoints().expect("readable"), checkpoints);
}

#[test]
fn a_batch_with_an_invalid_vector_is_refused_whole_and_names_the_message() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    store.apply(&[item(1, "a", &[1.0, 0.0])], &read_to(5)).expect("valid");
    let good = item(2, "a", &[0.0, 1.0]);
    for vector in [vec![1.0], vec![1.0, 0.0, 0.0], vec![f32::NAN, 0.0], vec![0.0, f32::INFINITY]] {
        let bad = VectorItem { vector, ..item(0xbad, "a", &[1.0, 0.0]) };
        check_refused(&store, &[good.clone(), bad], "00000000-0000-0000-0000-000000000bad");
    }
}

#[test]
fn a_batch_that_the_disk_has_no_room_for_changes_nothing_and_a_smaller_one_still_fits() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), 64, VectorOptions { largest_file: 1 << 20, ..VectorOptions::default() });
    let vectors = clustered(4_000, 10, 64);
    let items: Vec<_> = (0..).zip(&vectors).map(|(id, vector)| item(id, "a", vector)).collect();
    store.apply(&items[..10], &read_to(10)).expect("fits");
    check_refused(&store, &items, "largest size");
    store.apply(&items[10..20], &read_to(20)).expect("fits");
    assert_eq!(store.count().expect("readable"), 20);
    assert_eq!(store.checkpoints().expect("readable"), read_to(20));
}

#[test]
fn a_query_of_other_dimensions_or_without_a_number_is_refused() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    apply(&store, &[item(1, "a", &[1.0, 0.0])]);
    for vector in [&[1.0][..], &[1.0, 0.0, 0.0], &[f32::NAN, 0.0]] {
        assert!(store.search(&VectorQuery { vector, filter: &Filter::default(), limit: 1 }).is_err());
        assert!(store.cosines(vector, &[Uuid::from_u128(1)]).is_err());
    }
}

#[test]
fn searches_during_an_apply_see_whole_batches_only() {
    const BATCH: usize = 25;
    let directory = fresh_directory();
    let store = open_with(directory.path(), 8, small_limits());
    let vectors = clustered(1_000, 10, 8);
    let items: Vec<_> = (0..).zip(&vectors).map(|(id, vector)| item(id, "a", vector)).collect();
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !finished.load(Ordering::Acquire) {
                let answer = search(&store, &vectors[0], &in_space("a"), usize::MAX);
                assert!(answer.considered.is_multiple_of(BATCH), "{} messages", answer.considered);
                assert!(answer.considered >= seen, "a search went back in time");
                seen = answer.considered;
            }
        });
        scope.spawn(|| {
            let mut known = 0;
            while !finished.load(Ordering::Acquire) {
                // By their codes, once there are enough.
                let hits = search(&store, &vectors[0], &in_space("a"), 3).hits.len();
                assert!(hits >= known, "a search went back in time");
                known = hits;
            }
        });
        for batch in items.chunks(BATCH) {
            apply(&store, batch);
        }
        finished.store(true, Ordering::Release);
    });
    assert_eq!(search(&store, &vectors[0], &in_space("a"), usize::MAX).considered, items.len());
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_dropped() {
    let directory = fresh_directory();
    let store = open(directory.path(), 2);
    let error = VectorStore::open(directory.path(), 2).err().expect("already open");
    assert!(error.to_string().contains("already open"), "{error}");
    drop(store);
    assert!(VectorStore::open(directory.path(), 2).is_ok());
}

#[test]
fn other_dimensions_are_refused_until_the_directory_is_deleted() {
    let directory = fresh_directory();
    let path = directory.path().join("vectors");
    apply(&open(&path, 2), &[item(1, "a", &[1.0, 0.0])]);
    let error = VectorStore::open(&path, 3).err().expect("two dimensions are stored");
    assert!(error.to_string().contains("2 dimensions, not 3; delete the directory"), "{error}");
    std::fs::remove_dir_all(&path).expect("no longer in use");
    assert_eq!(open(&path, 3).count().expect("readable"), 0);
}
