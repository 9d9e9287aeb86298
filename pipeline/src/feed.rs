//! The feed: events of several partitions in batches, from a checkpoint on.
//!
//! Owns: the reading side of every processor: which partitions, how much at once, where to go on. Live processors,
//! rebuilds and verification read through the same feed, so they cannot differ.
//! Never: waits, and never moves a checkpoint by itself past what it handed out.

use meshlog_schemas::{Checkpoints, Partition, Topic};

use crate::{
    events::{Entry, EventLog},
    log::LogError,
    record::ReadLimit,
};

/// What one step of a processor takes at the most.
pub const BATCH_LIMIT: ReadLimit = ReadLimit { records: 2_000, bytes: 8 * 1024 * 1024 };

/// Reads the events of `inputs` from a checkpoint on.
#[derive(Clone)]
pub struct Feed {
    events: EventLog,
    partitions: Vec<Partition>,
    checkpoints: Checkpoints,
    /// The partition to begin the next batch with, so that a busy one does not starve the others.
    turn: usize,
}

/// Entries in order within each partition, and the checkpoints that hold once they are applied.
pub struct FeedBatch {
    /// What the offsets hold.
    pub entries: Vec<Entry>,
    /// Where to go on after them.
    pub checkpoints: Checkpoints,
}

impl Feed {
    /// A feed of all partitions of the topics, going on at `checkpoints`.
    pub fn new(events: EventLog, inputs: &[Topic], checkpoints: Checkpoints) -> Self {
        let partitions = inputs.iter().flat_map(|topic| events.partitions(*topic)).collect();
        Self { events, partitions, checkpoints, turn: 0 }
    }

    /// The next entries, or none at the end. With `until`, nothing at or behind those offsets is read.
    ///
    /// The feed goes on behind them at the next call; a caller that could not apply them makes a new feed.
    ///
    /// # Errors
    /// As [`crate::Log::read`], once no other partition has anything left: one damaged record does not keep the events
    /// of other partitions from flowing.
    pub fn next(&mut self, limit: ReadLimit, until: Option<&Checkpoints>) -> Result<FeedBatch, LogError> {
        let mut entries = Vec::new();
        let mut bytes_left = limit.bytes;
        let mut failure = None;
        for step in 0..self.partitions.len() {
            let partition = self.partitions[(self.turn + step) % self.partitions.len()];
            let from = self.checkpoints.next(partition);
            let mut records = limit.records - entries.len();
            if let Some(until) = until {
                let left = until.next(partition).saturating_sub(from);
                records = records.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
            if records == 0 || bytes_left == 0 {
                continue;
            }
            let read = match self.events.read(partition, from, ReadLimit { records, bytes: bytes_left }) {
                Ok(read) => read,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            self.checkpoints.advance(partition, from + read.len() as u64);
            bytes_left = bytes_left.saturating_sub(read.iter().map(weight).sum());
            entries.extend(read);
        }
        self.turn = (self.turn + 1) % self.partitions.len().max(1);
        if let Some(failure) = failure.filter(|_| entries.is_empty()) {
            return Err(failure);
        }
        Ok(FeedBatch { entries, checkpoints: self.checkpoints.clone() })
    }

    /// Where the feed goes on.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Goes on behind a batch that a copy of this feed has read.
    pub(crate) fn handed_out(&mut self, batch: &FeedBatch) {
        self.checkpoints.clone_from(&batch.checkpoints);
    }

    /// How many events lie between the checkpoints and `until`; without it, the end.
    pub(crate) fn behind(&self, until: Option<&Checkpoints>) -> Result<u64, LogError> {
        let behind = |&partition: &Partition| {
            let end = self.events.log().bounds(partition)?.end;
            let end = until.map_or(end, |until| until.next(partition).min(end));
            Ok(end.saturating_sub(self.checkpoints.next(partition)))
        };
        self.partitions.iter().map(behind).sum()
    }

    /// How many events lie between the checkpoints and the end, and the age of the oldest in microseconds before
    /// `now` (0 where there is none).
    ///
    /// # Errors
    /// As [`crate::Log::read`].
    pub fn lag(events: &EventLog, inputs: &[Topic], at: &Checkpoints, now: i64) -> Result<(u64, i64), LogError> {
        let mut lag = 0;
        let mut age = 0;
        for partition in inputs.iter().flat_map(|topic| events.partitions(*topic)) {
            let behind = events.log().bounds(partition)?.end.saturating_sub(at.next(partition));
            if behind > 0 {
                let oldest = events.log().read(partition, at.next(partition), ReadLimit { records: 1, bytes: 0 });
                // Where the oldest cannot be read its age is not known, but the count is.
                age = oldest.iter().flatten().next().map_or(age, |record| age.max(now - record.appended_at));
            }
            lag += behind;
        }
        Ok((lag, age))
    }
}

/// About how much memory an entry takes beside its fixed part, in bytes.
pub(crate) fn weight(entry: &Entry) -> usize {
    use meshlog_schemas::Event;
    match entry {
        Ok(stored) => match &stored.event {
            Event::MessageAccepted(body) => body.text.len() + 256,
            Event::TextEmbedded(body) => body.vector.len() + 256,
            _ => 512,
        },
        Err(_) => 512,
    }
}
