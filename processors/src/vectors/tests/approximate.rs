//! Large stores: what is found by codes of what an exact search would find.

use super::*;

const DIMENSIONS: usize = 64;

/// Scores about a tenth of the messages for a query.
fn coded() -> VectorOptions {
    VectorOptions { exact_limit: 500, least_scored: 500, largest_file: 256 << 20, ..VectorOptions::default() }
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
        assert!(!answer.exact, "the codes were to be asked");
        let expected = naive(items, query, filter, 10);
        found += expected.iter().filter(|(id, _)| ids(&answer).contains(id)).count();
    }
    found as f64 / (10 * queries.len()) as f64
}

#[test]
fn the_codes_find_nearly_all_of_the_ten_nearest() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, coded());
    let mut vectors = clustered(5_050, 100, DIMENSIONS);
    let queries = vectors.split_off(5_000);
    let items = corpus(&vectors);
    for batch in items.chunks(777) {
        apply(&store, batch);
    }
    let mut by_author = in_space("large");
    by_author.authors = vec!["Ada".to_owned()];
    for filter in [Filter::default(), in_space("large"), in_space("small"), by_author] {
        let recall = recall_at_10(&store, &items, &queries, &filter);
        assert!(recall >= 0.95, "recall at 10 is {recall} for {filter:?}");
    }
    assert!(search(&store, &queries[0], &Filter::default(), 10).considered < 600, "that was no approximate search");
}

#[test]
fn scores_are_exact_cosines_and_the_lowest_is_nearly_the_lowest_of_all() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, coded());
    let vectors = clustered(3_000, 20, DIMENSIONS);
    let items = corpus(&vectors);
    apply(&store, &items);
    let answer = search(&store, &vectors[5], &Filter::default(), 10);
    assert!(!answer.exact);
    let messages: Vec<_> = answer.hits.iter().map(|(message_id, _)| *message_id).collect();
    let cosines = store.cosines(&vectors[5], &messages).expect("a valid query");
    assert_eq!(cosines, answer.hits.iter().map(|(_, cosine)| Some(*cosine)).collect::<Vec<_>>());
    assert_eq!(answer.highest, answer.hits[0].1);
    let lowest = naive(&items, &vectors[5], &Filter::default(), usize::MAX).last().expect("there are some").1;
    assert!(answer.lowest - lowest < 0.1, "{} instead of {lowest}", answer.lowest);
}

#[test]
fn a_space_that_is_small_enough_is_searched_exactly() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, VectorOptions { exact_limit: 1_000, ..coded() });
    let vectors = clustered(3_000, 20, DIMENSIONS);
    let items = corpus(&vectors);
    apply(&store, &items);
    let answer = search(&store, &vectors[5], &in_space("small"), 10);
    assert!(answer.exact);
    assert_eq!(answer.considered, 1_000);
    let expected: Vec<_> = naive(&items, &vectors[5], &in_space("small"), 10).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids(&answer), expected);
}

#[test]
fn a_limit_beyond_the_store_gives_everything() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, coded());
    let vectors = clustered(1_000, 20, DIMENSIONS);
    apply(&store, &corpus(&vectors));
    for limit in [1_000, usize::MAX] {
        let answer = search(&store, &vectors[0], &Filter::default(), limit);
        assert!(answer.exact);
        assert_eq!(answer.hits.len(), 1_000);
    }
}

#[test]
fn messages_are_found_at_once_and_after_a_restart() {
    let directory = fresh_directory();
    let mut vectors = clustered(2_100, 20, DIMENSIONS);
    let late = vectors.split_off(2_000);
    let store = open_with(directory.path(), DIMENSIONS, coded());
    apply(&store, &corpus(&vectors));
    let find = |store: &VectorStore, id, vector| {
        let answer = search(store, vector, &Filter::default(), 1);
        assert!(!answer.exact);
        assert_eq!(ids(&answer), [id]);
    };
    for (id, vector) in (10_000..).zip(&late) {
        apply(&store, &[item(id, "large", vector)]);
        find(&store, id, vector);
    }
    drop(store);
    let store = open_with(directory.path(), DIMENSIONS, coded());
    for (id, vector) in (10_000..).zip(&late) {
        find(&store, id, vector);
    }
}

#[test]
fn a_changed_vector_counts_at_once_and_the_old_one_no_longer() {
    let directory = fresh_directory();
    let store = open_with(directory.path(), DIMENSIONS, coded());
    let vectors = clustered(2_000, 20, DIMENSIONS);
    apply(&store, &corpus(&vectors));
    let [mut first, mut second] = [[0.0; DIMENSIONS]; 2];
    (first[0], second[1]) = (1.0, 1.0);
    apply(&store, &[item(7, "large", &first)]);
    apply(&store, &corpus(&clustered(2_500, 20, DIMENSIONS))[2_000..]);
    apply(&store, &[item(7, "large", &second)]);
    let answer = search(&store, &second, &Filter::default(), 1);
    assert!(!answer.exact);
    assert_eq!(answer.hits, [(Uuid::from_u128(7), 1.0)]);
    let mut all = search(&store, &first, &Filter::default(), 200).hits;
    all.retain(|(message_id, _)| message_id.as_u128() == 7);
    assert!(all.iter().all(|(_, cosine)| *cosine == 0.0), "found by the vector it no longer has: {all:?}");
}

#[test]
fn two_stores_fed_alike_answer_alike() {
    let (one_directory, other_directory) = (fresh_directory(), fresh_directory());
    let vectors = clustered(2_050, 20, DIMENSIONS);
    let items = corpus(&vectors[..2_000]);
    let [one, other] = [(&one_directory, 2_000), (&other_directory, 31)].map(|(directory, batch)| {
        let store = open_with(directory.path(), DIMENSIONS, VectorOptions { least_scored: 50, ..coded() });
        items.chunks(batch).for_each(|items| apply(&store, items));
        store
    });
    for query in &vectors[2_000..] {
        let answer = search(&one, query, &Filter::default(), 2);
        assert!(!answer.exact);
        assert_eq!(answer, search(&other, query, &Filter::default(), 2));
    }
}
