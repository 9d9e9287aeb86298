//! Signals: waking those who wait for something to change, without polling.
//!
//! Owns: the one rule that makes waiting safe: listen first, look second, wait third.
//! Never: carries a value. Whoever wakes looks for itself.

use event_listener::{Event, EventListener};

/// Something that can be rung. Rings between `listen` and waiting are not lost.
#[derive(Debug, Default)]
pub struct Signal(Event);

impl Signal {
    /// Begins to listen. Every ring from now on ends the wait, which may be blocking (`wait`) or awaited.
    pub fn listen(&self) -> EventListener {
        self.0.listen()
    }

    /// Wakes all who listen now.
    pub fn ring(&self) {
        self.0.notify(usize::MAX);
    }
}
