//! Stopping: telling a worker thread to end, and waking it if it sleeps.
//!
//! Owns: the flag and the bell. A worker checks the flag between two steps, so a step under way is finished.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake},
    thread::Thread,
    time::{Duration, Instant},
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

    /// Listens to `signals` and to the bell, then asks `is_idle`; sleeps until one rings if it is, but not longer than
    /// `longest`.
    ///
    /// Listening first and looking second is what keeps a ring in between from being lost.
    pub fn sleep_while_idle(&self, signals: &[&Signal], longest: Option<Duration>, is_idle: impl FnOnce() -> bool) {
        let mut listeners: Vec<_> = signals.iter().map(|signal| signal.listen()).collect();
        listeners.push(self.bell.listen());
        if !self.is_asked() && is_idle() {
            wait(select_all(listeners), longest);
        }
    }
}

/// Waits until the future is ready, but not longer than `longest`.
fn wait(future: impl Future, longest: Option<Duration>) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let began = Instant::now();
    while future.as_mut().poll(&mut context).is_pending() {
        match longest.map(|longest| longest.checked_sub(began.elapsed())) {
            None => std::thread::park(),
            Some(Some(left)) => std::thread::park_timeout(left),
            Some(None) => return,
        }
    }
}
