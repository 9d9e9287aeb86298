//! The feed: events of several partitions in batches, from a checkpoint on.
//!
//! Owns: the reading side of every processor: which partitions, how much at once, where to go on. Live processors,
//! rebuilds and verification read through the same feed, so they cannot differ.
//! Never: waits, and never moves a checkpoint by itself past what it handed out. What retention has taken away before it
//! was read is handed out as a gap, so nothing is passed over in silence.

use std::fmt;

use meshlog_schemas::{Checkpoints, Offset, Partition, Topic};

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
    /// What there was before them and is gone.
    pub gaps: Vec<Gap>,
    /// Where to go on after them.
    pub checkpoints: Checkpoints,
}

impl FeedBatch {
    /// Whether the feed is at its end: there was nothing to hand out.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gaps.is_empty()
    }
}

/// Offsets that a follower had still to read when retention took them away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where they stood.
    pub partition: Partition,
    /// The first of them.
    pub first: Offset,
    /// The last of them.
    pub last: Offset,
}

impl Gap {
    /// How many events it has.
    pub fn events(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} offsets {} to {}", self.partition, self.first, self.last)
    }
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
        let mut gaps = Vec::new();
        let mut bytes_left = limit.bytes;
        let mut failure = None;
        for step in 0..self.partitions.len() {
            let partition = self.partitions[(self.turn + step) % self.partitions.len()];
            let limit = ReadLimit { records: limit.records - entries.len(), bytes: bytes_left };
            let read = match self.read(partition, limit, until, &mut gaps) {
                Ok(read) => read,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            self.checkpoints.advance(partition, self.checkpoints.next(partition) + read.len() as u64);
            bytes_left = bytes_left.saturating_sub(read.iter().map(weight).sum());
            if entries.is_empty() {
                entries = read;
            } else {
                entries.extend(read);
            }
        }
        self.turn = (self.turn + 1) % self.partitions.len().max(1);
        let batch = FeedBatch { entries, gaps, checkpoints: self.checkpoints.clone() };
        match failure.filter(|_| batch.is_empty()) {
            Some(failure) => Err(failure),
            None => Ok(batch),
        }
    }

    /// What a partition has from the checkpoint on. What is gone by then is passed over, and noted.
    fn read(
        &mut self,
        partition: Partition,
        mut limit: ReadLimit,
        until: Option<&Checkpoints>,
        gaps: &mut Vec<Gap>,
    ) -> Result<Vec<Entry>, LogError> {
        let until = until.map_or(Offset::MAX, |until| until.next(partition));
        loop {
            let from = self.checkpoints.next(partition);
            limit.records = limit.records.min(usize::try_from(until.saturating_sub(from)).unwrap_or(usize::MAX));
            if limit.records == 0 || limit.bytes == 0 {
                return Ok(Vec::new());
            }
            match self.events.read(partition, from, limit) {
                Err(LogError::OutOfRange { start, .. }) if from < start => {
                    let next = start.min(until);
                    gaps.push(Gap { partition, first: from, last: next - 1 });
                    self.checkpoints.advance(partition, next);
                }
                read => return read,
            }
        }
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
            let bounds = self.events.log().bounds(partition)?;
            let end = until.map_or(bounds.end, |until| until.next(partition).min(bounds.end));
            Ok(end.saturating_sub(self.checkpoints.next(partition).max(bounds.start)))
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
            let bounds = events.log().bounds(partition)?;
            let from = at.next(partition).max(bounds.start);
            let behind = bounds.end.saturating_sub(from);
            if behind > 0 {
                let oldest = events.log().read(partition, from, ReadLimit { records: 1, bytes: 0 });
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
            Event::MessageEdited(body) => body.text.len() + 512,
            Event::TextEmbedded(body) => body.vector.len() + 256,
            Event::KnowledgeExtracted(body) => 128 * body.mentions.len() + 384 * body.facts.len() + 512,
            Event::InsightPinned(body) => body.text.len() + 512,
            Event::CallRequested(body) => body.body.len() + 512,
            Event::AttemptFailed(body) => body.body.len() + 512,
            Event::CallSettled(body) => body.response.len() + body.timings.len() + 1024,
            _ => 512,
        },
        Err(_) => 512,
    }
}
