//! What rebuilds may take of the machine, as people set it.

use meshlog_replay::ReplaySettings;

use super::keep;

/// Bounds for rebuilds of projections.
#[derive(Debug, clap::Args)]
pub(super) struct RebuildLimits {
    /// The memory that rebuilds of projections may allocate together (64MB each at the least)
    #[arg(long, env = "MESHLOG_REBUILD_MEMORY", default_value = "512MB", value_name = "SIZE", value_parser = keep::size)]
    rebuild_memory: u64,

    /// How many projections are rebuilt at a time; the others wait
    #[arg(long, env = "MESHLOG_REBUILDS", default_value_t = 2, value_name = "NUMBER",
        value_parser = clap::value_parser!(u64).range(1..=64))]
    rebuilds: u64,
}

impl RebuildLimits {
    pub(super) fn settings(&self) -> ReplaySettings {
        // What does not fit an address cannot be allocated anyway.
        let memory = usize::try_from(self.rebuild_memory).unwrap_or(usize::MAX);
        ReplaySettings { memory, at_once: self.rebuilds as usize }
    }
}
