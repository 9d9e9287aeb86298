//! What rebuilds may take of the machine.

/// Bounds for all rebuilds of a process together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplaySettings {
    /// Memory that they allocate, in bytes; pages of files, which the system takes back when it needs them, are not in it.
    pub memory: usize,
    /// How many are at work at a time; the others wait.
    pub at_once: usize,
}

impl ReplaySettings {
    /// The least memory that a rebuild can do with, in bytes.
    pub const LEAST_MEMORY: usize = 64 << 20;

    /// What one of them may allocate.
    pub(crate) fn share(&self) -> usize {
        (self.memory / self.at_once.max(1)).max(Self::LEAST_MEMORY)
    }
}

impl Default for ReplaySettings {
    /// 512 MiB, two at a time.
    fn default() -> Self {
        Self { memory: 512 << 20, at_once: 2 }
    }
}
