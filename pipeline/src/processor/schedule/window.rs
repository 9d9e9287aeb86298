//! The window: the part of one partition that a stage holds in memory.
//!
//! Owns: how far was read, what is done out of order, and the bounds in records, bytes and span.
//!
//! ```text
//!   ... done | low   done   done    held   held | next ...
//!            ^checkpoint    ^above: in the note ^read from here
//! ```

use meshlog_schemas::Offset;

use super::Ranges;

/// A number of events and their size in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Events.
    pub events: usize,
    /// Bytes of memory, about.
    pub bytes: usize,
}

impl Load {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    pub(crate) fn remove(&mut self, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether one more of `bytes` stays within `bound`. One that is larger than the bound is let in alone.
    pub(crate) fn has_room(&self, bytes: usize, bound: Load) -> bool {
        self.events == 0 || (self.events < bound.events && self.bytes + bytes <= bound.bytes)
    }
}

/// The part of one partition that is in memory.
#[derive(Debug, Clone)]
pub(super) struct Window {
    /// Everything before it is done, durably.
    pub(super) low: Offset,
    /// What is done above, durably; and what was passed over.
    pub(super) done: Ranges,
    /// How many of them were passed over since the last commit.
    pub(super) passed: u64,
    /// The next offset to read.
    pub(super) next: Offset,
    /// What is held.
    pub(super) held: Load,
}

impl Window {
    pub(super) fn new(low: Offset, done: Ranges) -> Self {
        let mut window = Self { low, done, passed: 0, next: low, held: Load::default() };
        window.low = window.done.absorb(low);
        window.next = window.low;
        window
    }

    /// How many events that were read are not done.
    pub(super) fn open(&self) -> u64 {
        let done: u64 = self.done.iter().map(|(start, end)| end.min(self.next).saturating_sub(start)).sum();
        (self.next - self.low).saturating_sub(done)
    }
}
