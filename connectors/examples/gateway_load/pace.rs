//! The pace of an open loop: calls are due at even times, whatever became of those before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// Tells when calls are due. A thread keeps the time, because the timer of the runtime is a millisecond coarse.
#[derive(Debug)]
pub(crate) struct Pace {
    begin: Instant,
    interval: Duration,
    total: u64,
    given: AtomicU64,
    due: Arc<Semaphore>,
    is_over: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Pace {
    /// Begins now, with so many calls a second.
    pub(crate) fn start(rate: f64, lasting: Duration) -> Self {
        let (begin, interval) = (Instant::now(), Duration::from_secs_f64(1.0 / rate));
        let total = (lasting.as_secs_f64() * rate) as u64;
        let (due, is_over) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
        let keeper = {
            let (due, is_over) = (due.clone(), is_over.clone());
            thread::spawn(move || {
                for number in 0..total {
                    thread::sleep(at(begin, interval, number).saturating_duration_since(Instant::now()));
                    if is_over.load(Relaxed) {
                        return;
                    }
                    due.add_permits(1);
                }
            })
        };
        Self { begin, interval, total, given: AtomicU64::new(0), due, is_over, keeper: Some(keeper) }
    }

    /// Waits for the next call to be due, and tells its number and when it was; `None` once all were.
    pub(crate) async fn next(&self) -> Option<(u64, Instant)> {
        let number = self.given.fetch_add(1, Relaxed);
        if number >= self.total {
            return None;
        }
        self.due.acquire().await.ok()?.forget();
        Some((number, at(self.begin, self.interval, number)))
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        if let Some(keeper) = self.keeper.take() {
            // It holds nothing that a panic could leave broken.
            let _ = keeper.join();
        }
    }
}

fn at(begin: Instant, interval: Duration, number: u64) -> Instant {
    begin + interval.mul_f64(number as f64)
}
