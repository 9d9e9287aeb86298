//! The in-memory log, for tests: the contract without a disk.
//!
//! Owns: nothing that outlives it.
//! Never: used where something must survive.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use meshlog_schemas::{EventId, Offset, Partition, Position, Topic};

use crate::{
    clock::now_micros,
    log::{AppendError, Appending, Log, LogError},
    record::{Batch, Bounds, NewRecord, ReadLimit, Receipt, Record, StoredProgress, TopicLayout, partition_of},
    signal::Signal,
};

/// A log that lives as long as the value. See [`Log`] for the contract.
pub struct MemoryLog {
    layout: Vec<TopicLayout>,
    state: Mutex<State>,
    appended: BTreeMap<Topic, Signal>,
}

#[derive(Default)]
struct State {
    /// With those that are forgotten, so that a record's offset is its place.
    records: BTreeMap<Partition, Vec<Record>>,
    starts: BTreeMap<Partition, Offset>,
    identities: HashMap<(Topic, EventId), Position>,
    progress: HashMap<String, StoredProgress>,
    closed: bool,
}

impl State {
    fn start(&self, partition: Partition) -> Offset {
        self.starts.get(&partition).copied().unwrap_or(0)
    }
}

impl MemoryLog {
    /// An empty log with this layout.
    pub fn new(layout: Vec<TopicLayout>) -> Self {
        let mut state = State::default();
        for topic in &layout {
            for id in 0..topic.partitions {
                state.records.insert(Partition { topic: topic.topic, id }, Vec::new());
            }
        }
        let appended = layout.iter().map(|topic| (topic.topic, Signal::default())).collect();
        Self { layout, state: Mutex::new(state), appended }
    }

    /// Takes away what stands before `start`, as retention does.
    pub fn forget_before(&self, partition: Partition, start: Offset) {
        let mut state = self.state();
        let end = state.records.get(&partition).map_or(0, |records| records.len() as Offset);
        let kept = state.starts.entry(partition).or_default();
        *kept = start.min(end).max(*kept);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves at worst a batch that was not acknowledged.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append_now(&self, batch: Batch) -> Result<Vec<Receipt>, AppendError> {
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::Stopped { reason: "it was closed".to_owned() });
        }
        if let Some(record) = batch.records.iter().find(|record| !self.appended.contains_key(&record.topic)) {
            return Err(AppendError::NoTopic(record.topic));
        }
        let mut receipts = Vec::with_capacity(batch.records.len());
        for record in batch.records {
            if let Some(&position) = record.identity.and_then(|id| state.identities.get(&(record.topic, id))) {
                receipts.push(Receipt { position, duplicate: true });
                continue;
            }
            let partitions = self.layout.iter().find(|layout| layout.topic == record.topic).map_or(1, |l| l.partitions);
            let partition = partition_of(record.topic, &record.key, partitions);
            let records = state.records.entry(partition).or_default();
            let position = Position { partition, offset: records.len() as Offset };
            let appended_at = records.last().map_or(0, |last| last.appended_at).max(now_micros());
            let NewRecord { key, headers, body, identity, .. } = record;
            records.push(Record { position, appended_at, key, headers, body, identity });
            if let Some(id) = identity {
                state.identities.insert((record.topic, id), position);
            }
            receipts.push(Receipt { position, duplicate: false });
        }
        if let Some(progress) = batch.progress {
            state.progress.entry(progress.processor.clone()).or_default().merge(progress);
        }
        drop(state);
        for topic in receipts.iter().map(|receipt| receipt.position.partition.topic) {
            self.appended[&topic].ring();
        }
        Ok(receipts)
    }
}

impl Log for MemoryLog {
    fn layout(&self) -> &[TopicLayout] {
        &self.layout
    }

    fn append(&self, batch: Batch) -> Appending<'_> {
        Box::pin(async move { self.append_now(batch) })
    }

    fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
        let state = self.state();
        let records = state.records.get(&partition).ok_or(LogError::NoPartition(partition))?;
        Ok(Bounds { start: state.start(partition), end: records.len() as Offset })
    }

    fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let state = self.state();
        let records = state.records.get(&partition).ok_or(LogError::NoPartition(partition))?;
        let (start, end) = (state.start(partition), records.len() as Offset);
        if from < start || from > end {
            return Err(LogError::OutOfRange { partition, from, start, end });
        }
        let mut bytes = 0;
        Ok(records
            .iter()
            .skip(usize::try_from(from).unwrap_or(usize::MAX))
            .take(limit.records)
            .take_while(|record| {
                let fits = bytes == 0 || bytes < limit.bytes;
                bytes += record.key.len() + record.body.len();
                fits
            })
            .cloned()
            .collect())
    }

    fn appended(&self, topic: Topic) -> &Signal {
        &self.appended[&topic]
    }

    fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
        Ok(self.state().progress.get(processor).cloned().unwrap_or_default())
    }

    fn stopped(&self) -> Option<String> {
        self.state().closed.then(|| "it was closed".to_owned())
    }

    fn close(&self) {
        self.state().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::check(|layout| Arc::new(MemoryLog::new(layout)));
    }
}
