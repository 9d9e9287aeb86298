//! The index: what it finds of what an exact search would.

use super::*;

const DIMENSIONS: usize = 32;

/// An index that looks at about a tenth of the messages for a query.
fn indexing() -> VectorOptions {
    VectorOptions {
        exact_limit: 500,
        least_tail: 200,
        tail_percent: 10,
        trees: 16,
        inspected: 600,
        largest_file: 256 << 20,
        ..VectorOptions::default()
    }
}

/// Two messages in three are in "large", the others in "small".
fn corpus(vectors: &[Vec<f32>]) -> Vec<VectorItem> {
    let space = |id: u128| if id.is_multiple_of(3) { "small" } else { "large" };
    (0..).zip(vectors).map(|(id, vector)| item(id, space(id), vector)).collect()
}

fn recall_at_10(store: &VectorStore, items: &[VectorItem], queries: &[Vec<f32>], filter: &Filter) -> f64 {
    let mut found = 0;
    for query in queries {
        let answer = search(store, query, filter, 10);
        assert!(!answer.exact, "the index was to be asked");
        let expected = naive(items, query, filter, 10);
        found += expected.iter().filter(|(id, _)| ids(&answer).contains(id)).count();
    }
    found as f64 / (10 * queries.len()) as f64
}

#[test]
fn the_index_finds_nearly_all_of_the_ten_nearest() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let mut vectors = clustered(5_050, 100, DIMENSIONS);
    let queries = vectors.split_off(5_000);
    let items = corpus(&vectors);
    for batch in items.chunks(1_000) {
        apply(&store, batch);
    }
    for filter in [Filter::default(), in_space("large")] {
        let recall = recall_at_10(&store, &items, &queries, &filter);
        assert!(recall >= 0.95, "recall at 10 is {recall} for {filter:?}");
    }
    assert!(search(&store, &queries[0], &Filter::default(), 10).considered < 1_000, "that was no approximate search");
}

#[test]
fn scores_of_the_index_are_exact_cosines() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let vectors = clustered(1_000, 20, DIMENSIONS);
    apply(&store, &corpus(&vectors));
    let answer = search(&store, &vectors[5], &Filter::default(), 10);
    assert!(!answer.exact);
    let messages: Vec<_> = answer.hits.iter().map(|(message_id, _)| *message_id).collect();
    let cosines = store.cosines(&vectors[5], &messages).expect("a valid query");
    assert_eq!(cosines, answer.hits.iter().map(|(_, cosine)| Some(*cosine)).collect::<Vec<_>>());
    assert_eq!(answer.highest, answer.hits[0].1);
    assert!(answer.lowest < answer.hits[9].1);
}

#[test]
fn a_space_that_is_a_small_share_of_the_store_is_searched_exactly() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let vectors = clustered(3_000, 20, DIMENSIONS);
    let items = corpus(&vectors);
    apply(&store, &items);
    let answer = search(&store, &vectors[5], &in_space("small"), 10);
    assert!(answer.exact);
    assert_eq!(answer.considered, 1_000);
    let expected: Vec<_> = naive(&items, &vectors[5], &in_space("small"), 10).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids(&answer), expected);
}

/// The index cannot help where nearly everything is wanted; arroy overflowed on the largest limits.
#[test]
fn a_limit_beyond_the_store_gives_everything() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let vectors = clustered(1_000, 20, DIMENSIONS);
    apply(&store, &corpus(&vectors));
    for limit in [1_000, usize::MAX] {
        let answer = search(&store, &vectors[0], &Filter::default(), limit);
        assert!(answer.exact);
        assert_eq!(answer.hits.len(), 1_000);
    }
}

#[test]
fn messages_that_are_not_yet_indexed_are_found_at_once() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let mut vectors = clustered(2_100, 20, DIMENSIONS);
    let late = vectors.split_off(2_000);
    apply(&store, &corpus(&vectors));
    for (id, vector) in (10_000..).zip(&late) {
        apply(&store, &[item(id, "large", vector)]);
        let answer = search(&store, vector, &Filter::default(), 1);
        assert!(!answer.exact);
        assert_eq!(ids(&answer), [id]);
    }
}

/// Checks that message 7 is found by its second vector, and not by its first, in the way given by `then`.
fn check_changed_vector(then: impl Fn(&VectorStore)) {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let vectors = clustered(2_000, 20, DIMENSIONS);
    apply(&store, &corpus(&vectors));
    let [mut first, mut second] = [[0.0; DIMENSIONS]; 2];
    (first[0], second[1]) = (1.0, 1.0);
    apply(&store, &[item(7, "large", &first)]);
    apply(&store, &corpus(&clustered(2_500, 20, DIMENSIONS))[2_000..]);
    apply(&store, &[item(7, "large", &second)]);
    then(&store);
    let answer = search(&store, &second, &Filter::default(), 1);
    assert!(!answer.exact);
    assert_eq!(answer.hits, [(Uuid::from_u128(7), 1.0)]);
    let mut all = search(&store, &first, &Filter::default(), 200).hits;
    all.retain(|(message_id, _)| message_id.as_u128() == 7);
    assert!(all.iter().all(|(_, cosine)| *cosine == 0.0), "found by the vector it no longer has: {all:?}");
}

#[test]
fn a_changed_vector_counts_at_once_and_the_old_one_no_longer() {
    check_changed_vector(|_| ());
}

#[test]
fn a_changed_vector_counts_after_the_index_was_extended() {
    check_changed_vector(|store| {
        let vectors = clustered(3_500, 20, DIMENSIONS);
        apply(store, &corpus(&vectors)[2_500..]);
    });
}

#[test]
fn a_restart_finds_the_index_again() {
    let directory = fresh_directory();
    let vectors = clustered(2_000, 20, DIMENSIONS);
    apply(&open_with(directory.path(), DIMENSIONS, indexing()), &corpus(&vectors));
    let store = open_with(directory.path(), DIMENSIONS, indexing());
    let answer = search(&store, &vectors[3], &Filter::default(), 1);
    assert!(!answer.exact);
    assert_eq!(ids(&answer), [3]);
}

#[test]
fn two_stores_fed_alike_answer_alike() {
    let (one_directory, other_directory) = (fresh_directory(), fresh_directory());
    let vectors = clustered(2_050, 20, DIMENSIONS);
    let items = corpus(&vectors[..2_000]);
    let [one, other] = [&one_directory, &other_directory].map(|directory| {
        let store = open_with(directory.path(), DIMENSIONS, VectorOptions { inspected: 50, ..indexing() });
        apply(&store, &items);
        store
    });
    for query in &vectors[2_000..] {
        let answer = search(&one, query, &Filter::default(), 20);
        assert!(!answer.exact);
        assert_eq!(answer, search(&other, query, &Filter::default(), 20));
    }
}
