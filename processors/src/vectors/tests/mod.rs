//! What a vector store promises, seen from outside.

mod approximate;
mod damage;
mod forgetting;
mod model;
mod updates;

use std::path::Path;

use meshlog_schemas::{Checkpoints, Partition, Topic};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::{VectorHits, VectorItem, VectorOptions, VectorQuery, VectorStore};
use crate::{Facets, Filter};

/// Limits so small that a few messages are searched by their codes, of which all are scored.
fn small_limits() -> VectorOptions {
    VectorOptions { exact_limit: 8, largest_file: 256 << 20, ..VectorOptions::default() }
}

fn open(directory: &Path, dimensions: usize) -> VectorStore {
    open_with(directory, dimensions, VectorOptions { largest_file: 256 << 20, ..VectorOptions::default() })
}

fn open_with(directory: &Path, dimensions: usize, options: VectorOptions) -> VectorStore {
    VectorStore::open_with(directory, dimensions, options).expect("a store in a fresh directory opens")
}

fn fresh_directory() -> tempfile::TempDir {
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

/// Unit vectors around `centres` random points, as texts about that many subjects would have: the cosine of two around
/// the same point is about 0.6, of others about 0.
fn clustered(count: usize, centres: usize, dimensions: usize) -> Vec<Vec<f32>> {
    const DISTANCE_FROM_CENTRE: f32 = 0.8;
    let mut random = StdRng::seed_from_u64(7);
    // The variance of a number drawn evenly from a range of width 1 is 1/12.
    let width = DISTANCE_FROM_CENTRE * (12.0 / dimensions as f32).sqrt();
    let mut point_near = |centre: &[f32]| -> Vec<f32> {
        unit(&centre.iter().map(|element| element + width * (random.random::<f32>() - 0.5)).collect::<Vec<_>>())
    };
    let centres: Vec<_> = (0..centres).map(|_| point_near(&vec![0.0; dimensions])).collect();
    (0..count).map(|number| point_near(&centres[number % centres.len()])).collect()
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
