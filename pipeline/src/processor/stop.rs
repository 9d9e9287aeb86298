//! Stopping: telling a worker thread to end, and waking it if it sleeps.
//!
//! Owns: the flag and the bell. A worker checks the flag between two steps, so a step under way is finished.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use event_listener::Listener as _;
use futures_util::future::select_all;

use crate::signal::Signal;

/// A request to end that every worker of a processor looks at.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    bell: Signal,
}

impl Stop {
    /// Asks to end. Cannot be taken back.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Sleeps, but not longer than until asked.
    pub fn sleep(&self, duration: Duration) {
        let listener = self.bell.listen();
        if !self.is_asked() {
            listener.wait_timeout(duration);
        }
    }

    /// Listens to `signals` and to the bell, then asks `is_idle`; sleeps until one rings if it is.
    ///
    /// Listening first and looking second is what keeps a ring in between from being lost.
    pub fn sleep_while_idle(&self, signals: &[&Signal], is_idle: impl FnOnce() -> bool) {
        let mut listeners: Vec<_> = signals.iter().map(|signal| signal.listen()).collect();
        listeners.push(self.bell.listen());
        if !self.is_asked() && is_idle() {
            pollster::block_on(select_all(listeners));
        }
    }
}
