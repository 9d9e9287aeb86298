//! Removing a view that was replaced, once the last query has let go of it.
//!
//! Never: removes what somebody still reads. What is left when the process ends is swept at the next start.

use std::{sync::Arc, thread, time::Duration};

use crate::{directory::ViewDirectory, view::Opened};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const LONGEST_QUERY: Duration = Duration::from_secs(60);

/// Drops the view and removes its directory, in the background.
pub(crate) fn retire(directory: Arc<ViewDirectory>, name: String, old: Opened) {
    let Opened { projection, is_in_use, publish } = old;
    drop((projection, publish));
    let spawned = thread::Builder::new().name("reaper".to_owned()).spawn(move || {
        let mut waited = Duration::ZERO;
        while is_in_use() {
            if waited >= LONGEST_QUERY {
                tracing::warn!(name, "a replaced view is still read and stays on disk until the next start");
                return;
            }
            thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        // The store may be closing its files still, so a first attempt may find the directory not empty.
        let removed = (0..50).find(|_| {
            directory.remove(&name).is_ok() || {
                thread::sleep(LOOK_EVERY);
                false
            }
        });
        if removed.is_none() {
            tracing::warn!(name, "a replaced view stays on disk until the next start");
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "a replaced view stays on disk until the next start");
    }
}
