//! What a vector store promises, seen from outside.

mod approximate;
mod damage;
mod model;
mod updates;

use std::path::Path;

use meshlog_schemas::{Checkpoints, Partition, Topic};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::{VectorHits, VectorItem, VectorOptions, VectorQuery, VectorStore};
use crate::{Facets, Filter};

/// Limits small enough that a few dozen messages have an index.
fn small_limits() -> VectorOptions {
    VectorOptions {
        exact_limit: 8,
        least_tail: 3,
        tail_percent: 20,
        trees: 4,
        least_proposals: 4,
        largest_file: 256 << 20,
        ..VectorOptions::default()
    }
}

fn open(dir: &Path, dims: usize) -> VectorStore {
    open_with(dir, dims, VectorOptions { largest_file: 256 << 20, ..VectorOptions::default() })
}

fn open_with(dir: &Path, dims: usize, options: VectorOptions) -> VectorStore {
    VectorStore::open_with(dir, dims, options).expect("a store in a fresh directory opens")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("the system has a directory for temporary files")
}

fn facets(space: &str) -> Facets {
    Facets {
        space: space.to_owned(),
        thread: "thread".to_owned(),
        author: "ada".to_owned(),
        role: "user".to_owned(),
        sent_at: 1,
        accepted_at: 2,
    }
}

fn item(id: u128, space: &str, vector: &[f32]) -> VectorItem {
    VectorItem { message_id: Uuid::from_u128(id), facets: facets(space), vector: unit(vector) }
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|element| element * element).sum::<f32>().sqrt();
    vector.iter().map(|element| element / norm).collect()
}

fn in_space(space: &str) -> Filter {
    Filter { spaces: vec![space.to_owned()], ..Filter::default() }
}

fn read_to(next: u64) -> Checkpoints {
    Checkpoints::from_iter([(Partition { topic: Topic::Embeddings, id: 0 }, next)])
}

fn apply(store: &VectorStore, items: &[VectorItem]) {
    store.apply(items, &Checkpoints::default()).expect("valid items are applied");
}

fn search(store: &VectorStore, vector: &[f32], filter: &Filter, limit: usize) -> VectorHits {
    store.search(&VectorQuery { vector, filter, limit }).expect("a valid query is answered")
}

fn ids(hits: &VectorHits) -> Vec<u128> {
    hits.hits.iter().map(|(message_id, _)| message_id.as_u128()).collect()
}

/// Unit vectors around `centres` random points, as texts about that many subjects would have.
fn clustered(count: usize, centres: usize, dims: usize) -> Vec<Vec<f32>> {
    let mut random = StdRng::seed_from_u64(7);
    let mut point = |spread: f32, around: &[f32]| -> Vec<f32> {
        unit(&around.iter().map(|element| element + spread * (random.random::<f32>() - 0.5)).collect::<Vec<_>>())
    };
    let centres: Vec<_> = (0..centres).map(|_| point(1.0, &vec![0.0; dims])).collect();
    (0..count).map(|number| point(0.5, &centres[number % centres.len()])).collect()
}

/// The answer by definition: every item that passes, scored and sorted.
fn naive<'i>(
    items: impl IntoIterator<Item = &'i VectorItem>,
    vector: &[f32],
    filter: &Filter,
    limit: usize,
) -> Vec<(u128, f32)> {
    let mut scored: Vec<_> = items
        .into_iter()
        .filter(|item| filter.accepts(&item.facets))
        .map(|item| (item.message_id.as_u128(), item.vector.iter().zip(vector).map(|(left, right)| left * right).sum()))
        .collect();
    scored.sort_by(|left: &(u128, f32), right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    scored.truncate(limit);
    scored
}
