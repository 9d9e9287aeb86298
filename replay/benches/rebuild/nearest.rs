//! What the rebuilt vectors find of what an exact search finds, and how long they take.

use std::{fmt, path::Path, time::Instant};

use meshlog_processors::{
    Filter,
    vectors::{VectorOptions, VectorQuery, VectorStore},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::history::{DIMENSIONS, Meanings};

const QUESTIONS: usize = 200;
const WANTED: usize = 10;

/// What was found.
pub(crate) struct Found {
    recall: f64,
    /// Milliseconds of a search, in order.
    times: Vec<f64>,
    exact_times: Vec<f64>,
}

impl Found {
    pub(crate) fn figures(&self) -> String {
        let (p50, p99) = (share(&self.times, 0.5), share(&self.times, 0.99));
        format!("\"recall_at_10\": {:.4}, \"nearest_p50_ms\": {p50:.2}, \"nearest_p99_ms\": {p99:.2}", self.recall)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the ten nearest of all: recall {:.4}, p50 {:.2} ms, p99 {:.2} ms; every one scored: p50 {:.2} ms",
            self.recall,
            share(&self.times, 0.5),
            share(&self.times, 0.99),
            share(&self.exact_times, 0.5),
        )
    }
}

fn share(times: &[f64], share: f64) -> f64 {
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Asks a store, and again with every vector scored.
pub(crate) fn measure(path: &Path) -> Found {
    let mut random = SmallRng::seed_from_u64(2);
    let meanings = Meanings::new(&mut random);
    let mut random = SmallRng::seed_from_u64(3);
    let questions: Vec<Vec<f32>> = (0..QUESTIONS)
        .map(|_| {
            let subject = random.random_range(0..crate::history::SUBJECTS);
            meanings.vector(subject, random.random_range(0..1_000), &mut random)
        })
        .collect();
    let (found, times) = ask(path, VectorOptions::default(), &questions);
    let (expected, exact_times) =
        ask(path, VectorOptions { exact_limit: u64::MAX, ..VectorOptions::default() }, &questions);
    let hits = found.iter().zip(&expected).map(|(found, all)| all.iter().filter(|id| found.contains(id)).count());
    let recall = hits.sum::<usize>() as f64 / expected.iter().map(Vec::len).sum::<usize>() as f64;
    Found { recall, times, exact_times }
}

fn ask(path: &Path, options: VectorOptions, questions: &[Vec<f32>]) -> (Vec<Vec<uuid::Uuid>>, Vec<f64>) {
    let store = VectorStore::open_with(path, DIMENSIONS, options).expect("the store opens again");
    let filter = Filter::default();
    let mut times = Vec::new();
    let found = questions.iter().map(|vector| {
        let began = Instant::now();
        let hits = store.search(&VectorQuery { vector, filter: &filter, limit: WANTED }).expect("it answers").hits;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        hits.into_iter().map(|(id, _)| id).collect()
    });
    let found = found.collect();
    times.sort_by(f64::total_cmp);
    (found, times)
}
