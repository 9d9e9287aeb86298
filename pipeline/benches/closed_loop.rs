//! Closed-loop producers, and what they reach: for every benchmark of an engine.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use meshlog_pipeline::{Batch, Log, NewRecord};
use meshlog_schemas::{Headers, Topic};

/// Latencies in milliseconds, and records a second.
#[allow(dead_code, reason = "each benchmark shows some of them")]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    /// Records per commit.
    pub(crate) group: f64,
}

impl Run {
    /// Of latencies in microseconds.
    pub(crate) fn new(mut latencies: Vec<u32>, took: Duration) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
            latencies.get(index).map_or(0.0, |micros| f64::from(*micros) / 1e3)
        };
        Self {
            rate: latencies.len() as f64 / took.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
            group: 1.0,
        }
    }
}

/// The run of median rate.
pub(crate) fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    runs[runs.len() / 2]
}

/// Capital letters in no order, which compress little: what Kafka's own tools send.
pub(crate) fn letters(seed: usize, bytes: usize) -> bytes::Bytes {
    let mut state = seed as u64 + 1;
    let letter = || {
        // Knuth's MMIX constants.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        b'A' + ((state >> 33) % 26) as u8
    };
    std::iter::repeat_with(letter).take(bytes).collect()
}

/// A record of one of sixteen keys of a producer.
pub(crate) fn record(producer: usize, count: u64, body: &bytes::Bytes) -> NewRecord {
    NewRecord {
        topic: Topic::Messages,
        key: format!("key-{producer}-{}", count % 16).into(),
        headers: Headers::default(),
        body: body.clone(),
        identity: None,
    }
}

/// One thread a processor.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get());
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().expect("a runtime starts")
}

/// One closed loop; answers what each append took, in microseconds.
pub(crate) async fn produce(log: Arc<impl Log>, producer: usize, end: Instant, bytes: usize) -> Vec<u32> {
    let body = letters(producer, bytes);
    let mut latencies = Vec::with_capacity(100_000);
    let mut begun = Instant::now();
    while begun < end {
        let record = record(producer, latencies.len() as u64, &body);
        log.append(Batch { records: vec![record], progress: None }).await.expect("the log takes it");
        latencies.push(begun.elapsed().as_micros() as u32);
        begun = Instant::now();
    }
    latencies
}
