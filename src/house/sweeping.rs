//! Sweeping: what is forgotten also leaves the disk.
//!
//! Owns: the thread that asks the stores for their next step, a bounded one at a time, while they have any.
//! Never: hides anything; that is done when the forgetting is read.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use meshlog_pipeline::work_in_background;
use meshlog_processors::{StoreError, recall::Stores};

use super::serving::Serving;

/// How often it is looked whether there is something to do.
const EVERY: Duration = Duration::from_secs(10);
/// How long the stores are left to others between two steps.
const PAUSE: Duration = Duration::from_millis(50);

/// Sweeps the stores that serve, until it is dropped.
pub(super) struct Sweeper {
    /// Dropped, it wakes and ends the thread.
    _stop: mpsc::Sender<()>,
}

impl Sweeper {
    /// Starts to sweep; without a thread to be had, what is forgotten stays on the disk until rows are merged.
    pub(super) fn start(serving: Arc<Serving>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let sweeping = thread::Builder::new().name("sweep".to_owned()).spawn(move || {
            work_in_background();
            let mut pause = EVERY;
            while stopped.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
                let is_more = serving.stores().is_some_and(|stores| match step(&stores) {
                    Ok(is_more) => is_more,
                    Err(error) => {
                        tracing::warn!(%error, "what is forgotten could not be taken from the disk; it is tried again");
                        false
                    }
                });
                pause = if is_more { PAUSE } else { EVERY };
            }
        });
        if let Err(error) = sweeping {
            tracing::warn!(%error, "nothing sweeps: what is forgotten leaves the disk only as rows are merged");
        }
        Self { _stop: stop }
    }
}

/// One step in each store; whether there is more to do.
fn step(stores: &Stores) -> Result<bool, StoreError> {
    let steps = [stores.threads.sweep()?, stores.text.sweep()?, stores.vectors.sweep()?];
    Ok(steps.contains(&true))
}
