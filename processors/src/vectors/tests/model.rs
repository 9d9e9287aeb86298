//! Any history of batches, compared with a map from message to item.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DIMENSIONS: usize = 4;

/// Elements are small whole numbers, so that every order of additions gives the same bits and ties are frequent.
fn any_vector() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-3i8..=3).prop_map(f32::from), DIMENSIONS)
}

fn any_item() -> impl Strategy<Value = VectorItem> {
    (0u128..40, 0..3, 0..3, 0..3, -2i64..3, 0i64..3, any_vector()).prop_map(
        |(id, space, thread, author, sent_at, accepted_at, vector)| VectorItem {
            message_id: Uuid::from_u128(id),
            facets: Facets {
                space: format!("space {space}"),
                thread: format!("thread {thread}"),
                author: format!("Author {author}"),
                role: "user".to_owned(),
                sent_at,
                accepted_at,
            },
            vector,
        },
    )
}

fn any_filter() -> impl Strategy<Value = Filter> {
    (
        prop::collection::vec((0..4).prop_map(|number| format!("space {number}")), 0..3),
        prop::collection::vec((0..3).prop_map(|number| format!("thread {number}")), 0..2),
        prop::collection::vec((0..3).prop_map(|number| format!("author {number}")), 0..2),
        prop::option::of(-2i64..3),
        prop::option::of(-2i64..3),
        prop::option::of(0i64..3),
    )
        .prop_map(|(spaces, threads, authors, after, before, as_of)| Filter {
            spaces,
            threads,
            authors,
            after,
            before,
            as_of,
        })
}

fn apply_in_batches(store: &VectorStore, items: &[VectorItem], batch: usize) {
    items.chunks(batch).for_each(|items| apply(store, items));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// So few items are all scored, so with or without their codes the answer is the one by definition.
    #[test]
    fn search_agrees_with_a_naive_scan_after_any_history(
        history in prop::collection::vec(any_item(), 1..120),
        batch in 1usize..40,
        queries in prop::collection::vec((any_vector(), any_filter(), 0usize..12), 1..6),
    ) {
        let (plain_directory, coded_directory) = (fresh_directory(), fresh_directory());
        let plain = open(plain_directory.path(), DIMENSIONS);
        let coded = open_with(coded_directory.path(), DIMENSIONS, small_limits());
        apply_in_batches(&plain, &history, batch);
        apply_in_batches(&coded, &history, batch);

        let model: BTreeMap<_, _> = history.iter().map(|item| (item.message_id, item)).collect();
        prop_assert_eq!(plain.count().expect("readable"), model.len() as u64);
        for (vector, filter, limit) in &queries {
            let expected = naive(model.values().copied(), vector, filter, *limit);
            let all = naive(model.values().copied(), vector, filter, usize::MAX);
            for store in [&plain, &coded] {
                let answer = search(store, vector, filter, *limit);
                let hits: Vec<_> = answer.hits.iter().map(|(id, cosine)| (id.as_u128(), *cosine)).collect();
                prop_assert_eq!(&hits, &expected);
                prop_assert_eq!(answer.highest, all.first().map_or(0.0, |(_, cosine)| *cosine));
                if answer.exact {
                    prop_assert_eq!(answer.considered, all.len());
                    prop_assert_eq!(answer.lowest, all.last().map_or(0.0, |(_, cosine)| *cosine));
                }
            }
            prop_assert!(search(&plain, vector, filter, *limit).exact);
        }
    }

    #[test]
    fn the_digest_depends_on_neither_batches_nor_repetition_nor_the_options(
        history in prop::collection::vec(any_item(), 1..80),
        batch in 1usize..30,
    ) {
        let (plain_directory, coded_directory) = (fresh_directory(), fresh_directory());
        let plain = open(plain_directory.path(), DIMENSIONS);
        let coded = open_with(coded_directory.path(), DIMENSIONS, small_limits());
        apply(&plain, &history);
        apply_in_batches(&coded, &history, batch);
        let digest = plain.digest().expect("readable");
        prop_assert_eq!(coded.digest().expect("readable"), digest);

        let latest: BTreeMap<_, _> = history.into_iter().map(|item| (item.message_id, item)).collect();
        apply(&coded, &latest.into_values().collect::<Vec<_>>());
        prop_assert_eq!(coded.digest().expect("readable"), digest);
    }

    #[test]
    fn the_digest_changes_with_any_field(original in any_item(), other in any_item()) {
        let digest_of = |item: &VectorItem| {
            let directory = fresh_directory();
            let store = open(directory.path(), DIMENSIONS);
            apply(&store, std::slice::from_ref(item));
            store.digest().expect("readable")
        };
        let digest = digest_of(&original);
        prop_assert_eq!(digest_of(&other) == digest, other == original);
        let mut changed = original;
        changed.facets.role = "tool".to_owned();
        prop_assert_ne!(digest_of(&changed), digest);
    }
}
