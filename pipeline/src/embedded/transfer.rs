//! The embedded log, opened to be moved: read with all that it keeps, written by position.
//!
//! What is written goes the way of every append, through the writer, the journal and the index of identities; only its times
//! are given, and a copy of an identity is stored at its place instead of being answered as a duplicate.
//!
//! Owns: the log meanwhile. Its lock keeps everybody else away.
//! Never: writes a record anywhere but at the end of its partition.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    path::Path,
};

use meshlog_schemas::{Offset, Partition, Position};
use pollster::block_on;
use tokio::sync::oneshot;

use super::{
    EmbeddedLog, EmbeddedOptions, frame, manifest,
    queue::{Prepared, Request},
};
use crate::{
    log::{AppendError, Log as _, LogError},
    record::{Batch, Bounds, NewRecord, ProcessorProgress, ReadLimit, Receipt, Record, StoredProgress, TopicLayout},
    transfer::{TransferError, TransferSource, TransferTarget},
};

/// How many batches may wait for the disk, so that the next is laid out while the last is synced.
const UNDER_WAY: usize = 2;

/// An embedded log that is moved to another engine, or from one.
pub struct EmbeddedTransfer {
    log: EmbeddedLog,
    under_way: VecDeque<UnderWay>,
}

/// A batch that is not known to be durable yet.
struct UnderWay {
    first: Position,
    answer: oneshot::Receiver<Result<Vec<Receipt>, AppendError>>,
}

impl EmbeddedTransfer {
    /// Opens the log in `path`, which must be there.
    ///
    /// # Errors
    /// There is none, another process owns it, or it is damaged.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        if !path.join(manifest::NAME).is_file() {
            let cause = "there is no log in it; name the data directory of one".to_owned();
            return Err(LogError::Unusable { path: path.to_owned(), cause });
        }
        Self::open_or_make(path, &[], BTreeMap::new())
    }

    /// Opens the log in `path`, or makes one with these topics, whose partitions begin at `starts` where not at 0.
    ///
    /// # Errors
    /// Another process owns it, it is damaged, or the directory cannot be written.
    pub fn open_or_make(
        path: &Path,
        layout: &[TopicLayout],
        starts: BTreeMap<Partition, Offset>,
    ) -> Result<Self, LogError> {
        let options = EmbeddedOptions { layout: layout.to_vec(), starts, ..EmbeddedOptions::default() };
        Ok(Self { log: EmbeddedLog::open(path, options)?, under_way: VecDeque::new() })
    }

    /// Waits until no more than `most` batches are under way.
    fn await_all_but(&mut self, most: usize) -> Result<(), TransferError> {
        while self.under_way.len() > most {
            let Some(UnderWay { first, answer }) = self.under_way.pop_front() else { break };
            let receipts = answer.blocking_recv().map_err(|_| self.log.shared.stopped_error())??;
            if let Some(receipt) = receipts.first().filter(|receipt| receipt.position != first) {
                return Err(TransferError::Displaced { position: first, given: receipt.position.offset });
            }
        }
        Ok(())
    }

    /// Lays out the frames of records of one partition.
    fn prepare(&self, partition: Partition, records: Vec<Record>) -> Result<(Vec<u8>, Vec<Prepared>), LogError> {
        let slots = self.log.shared.slots.get(&partition.topic).ok_or(LogError::NoPartition(partition))?;
        let slot = *slots.get(partition.id as usize).ok_or(LogError::NoPartition(partition))?;
        let mut frames = Vec::with_capacity(records.iter().map(Record::size).sum());
        let mut prepared = Vec::with_capacity(records.len());
        for Record { appended_at, key, headers, body, identity, .. } in records {
            let before = frames.len();
            frame::begin(&NewRecord { topic: partition.topic, key, headers, body, identity }, &mut frames);
            // Invariant: a batch is far below 4 GiB.
            let length = (frames.len() - before) as u32;
            prepared.push(Prepared { slot, length, identity, given: Some(appended_at) });
        }
        Ok((frames, prepared))
    }
}

impl TransferSource for EmbeddedTransfer {
    fn layout(&self) -> &[TopicLayout] {
        self.log.layout()
    }

    fn bounds(&mut self, partition: Partition) -> Result<Bounds, LogError> {
        self.log.bounds(partition)
    }

    fn read(&mut self, partition: Partition, range: Range<Offset>, bytes: usize) -> Result<Vec<Record>, LogError> {
        let records = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        self.log.read(partition, range.start, ReadLimit { records, bytes })
    }

    fn progress(&mut self) -> Result<BTreeMap<String, StoredProgress>, LogError> {
        Ok(self.log.shared.all_progress())
    }
}

impl TransferTarget for EmbeddedTransfer {
    fn write(&mut self, records: Vec<Record>) -> Result<(), TransferError> {
        let Some(first) = records.first().map(|record| record.position) else { return Ok(()) };
        self.await_all_but(UNDER_WAY - 1)?;
        let size = records.iter().map(Record::size).sum();
        let (frames, records) = self.prepare(first.partition, records)?;
        let shared = &self.log.shared;
        let permit = block_on(shared.room.enter(size)).ok_or_else(|| shared.stopped_error())?;
        let (reply, answer) = oneshot::channel();
        let request = Request { frames, records, progress: None, permit, written: None, reply };
        shared.queue.push(request).map_err(|_| shared.stopped_error())?;
        self.under_way.push_back(UnderWay { first, answer });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TransferError> {
        self.await_all_but(0)
    }

    fn set_progress(&mut self, processor: &str, progress: StoredProgress) -> Result<(), TransferError> {
        let StoredProgress { checkpoints, note } = progress;
        let progress = ProcessorProgress { processor: processor.to_owned(), checkpoints, note: Some(note) };
        block_on(self.log.append(Batch { records: Vec::new(), progress: Some(progress) }))?;
        Ok(())
    }
}
