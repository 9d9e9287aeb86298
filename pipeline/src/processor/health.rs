//! Health: how far a processor is behind, how fast it is, and whether it stands still.
//!
//! Owns: the figures that depend on the moment one asks. They are made of the log's bounds, the checkpoints and the
//! time, so they are true also of a worker that hangs.

use meshlog_schemas::{Checkpoints, Offset, Partition};

use super::{Progress, rate::Rate, watchdog::Watchdog};
use crate::{
    events::EventLog,
    log::LogError,
    record::{Bounds, ReadLimit},
};

/// How a processor fares at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Each partition of its inputs.
    pub partitions: Vec<PartitionHealth>,
    /// Events a second over the last ten seconds.
    pub rate: f64,
    /// Events a second since it was started.
    pub rate_since_start: f64,
}

impl Health {
    /// Events it has not applied yet.
    pub fn lag_events(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.lag_events).sum()
    }

    /// The age of the oldest of them, in microseconds; 0 if there is none.
    pub fn lag_micros(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.lag_micros).max().unwrap_or(0)
    }

    /// The partitions that stand still with events unread.
    pub fn stalled(&self) -> impl Iterator<Item = Partition> + '_ {
        self.partitions.iter().filter(|health| health.is_stalled).map(|health| health.partition)
    }
}

/// How a processor fares on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionHealth {
    /// The partition.
    pub partition: Partition,
    /// The offset that is to be read next.
    pub checkpoint: Offset,
    /// The offset that the next event gets.
    pub end: Offset,
    /// Events between the two that the log still keeps.
    pub lag_events: u64,
    /// The age of the oldest of them, in microseconds; 0 if there is none.
    pub lag_micros: i64,
    /// Whether the checkpoint has stood still for too long with events unread.
    pub is_stalled: bool,
}

impl Progress {
    /// How the processor fares on these partitions at `now` (microseconds since the epoch). A partition that stands
    /// still for `stall_after` microseconds with events unread is stalled; see [`super::STALL_AFTER`].
    ///
    /// # Errors
    /// The bounds of a partition cannot be read.
    pub fn health(
        &self,
        events: &EventLog,
        partitions: &[Partition],
        now: i64,
        stall_after: i64,
    ) -> Result<Health, LogError> {
        let (checkpoints, pulse) = self.pulse();
        let partition = |partition: Partition| -> Result<PartitionHealth, LogError> {
            let (checkpoint, Bounds { start, end }) = (checkpoints.next(partition), events.log().bounds(partition)?);
            // What retention has taken away is not waited for.
            let from = checkpoint.max(start);
            let is_behind = from < end;
            // A log that has trouble may take long to answer, and then the age is not known.
            let can_read = is_behind && events.log().trouble().is_none();
            let oldest = if can_read { taken_in(events, partition, from) } else { None };
            // A record that cannot be read counts as old as the log: damage shows as a stall, not as nothing.
            let waiting_since = can_read.then(|| oldest.unwrap_or(0));
            Ok(PartitionHealth {
                partition,
                checkpoint,
                end,
                lag_events: end.saturating_sub(from),
                lag_micros: oldest.map_or(0, |oldest| lag(oldest, now)),
                is_stalled: pulse.watchdog.is_stalled(partition, waiting_since, now, stall_after),
            })
        };
        let partitions = partitions.iter().copied().map(partition);
        let partitions = partitions.collect::<Result<_, _>>()?;
        let seconds = (now.saturating_sub(pulse.began) as f64 / 1e6).max(1.0);
        Ok(Health { partitions, rate: pulse.rate.per_second(now), rate_since_start: pulse.count as f64 / seconds })
    }
}

/// How long an event that was taken in at `appended_at` has waited. A clock that was set back makes none younger than
/// now.
fn lag(appended_at: i64, now: i64) -> i64 {
    now.saturating_sub(appended_at).max(0)
}

/// When the log took in what stands at an offset, where that can be read.
fn taken_in(events: &EventLog, partition: Partition, offset: Offset) -> Option<i64> {
    let records = events.log().read(partition, offset, ReadLimit { records: 1, bytes: 0 }).ok()?;
    records.first().map(|record| record.appended_at)
}

/// What a processor's moves leave behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse {
    watchdog: Watchdog,
    rate: Rate,
    began: i64,
    count: u64,
}

impl Pulse {
    pub(super) fn begin(&mut self, now: i64) {
        *self = Self { began: now, ..Self::default() };
        self.watchdog.begin(now);
    }

    pub(super) fn advanced(&mut self, before: &Checkpoints, after: &Checkpoints, events: u64, now: i64) {
        self.watchdog.moved(before, after, now);
        self.rate.count(now, events);
        self.count += events;
    }
}
