//! The writer: the one thread that gives offsets and commits.
//!
//! Owns: the next offset of every partition. It takes all requests that wait, commits them in one atomic batch with
//! one fsync, and only then moves the watermarks and answers: group commit. While it waits for the disk the next group
//! gathers, so groups grow with load and a lone producer never waits for company.
//! Never: acknowledges before the fsync has returned, or writes again after one has failed (what the file then holds is
//! unknown).

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

use fjall::PersistMode;
use meshlog_schemas::{Checkpoints, EventId, Offset, Partition, Position, Topic};
use tokio::sync::{mpsc::UnboundedReceiver, oneshot};

use super::{Shared, ends::EndsFile, frame};
use crate::{
    clock::now_micros,
    log::AppendError,
    record::{Batch, NewRecord, ProcessorProgress, Receipt, StoredProgress, partition_of},
    room::Permit,
};

/// A group is committed once it holds this much, so that one large group does not keep the first producer waiting.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// One batch on its way to the disk.
pub(super) struct Request {
    pub(super) batch: Batch,
    /// Held until the batch is answered, so that the room counts what is under way too.
    pub(super) permit: Option<Permit>,
    pub(super) reply: Option<oneshot::Sender<Result<Vec<Receipt>, AppendError>>>,
}

impl Request {
    /// Asks the writer to end after what was queued before.
    pub(super) fn close() -> Self {
        Self { batch: Batch::default(), permit: None, reply: None }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    requests: UnboundedReceiver<Request>,
    ends: EndsFile,
    next: HashMap<Partition, Offset>,
    last_appended_at: i64,
    /// Set by the first failed commit, for good.
    failed: Option<String>,
}

/// What one group adds, before it is committed.
#[derive(Default)]
struct Group {
    receipts: Vec<Vec<Receipt>>,
    identities: HashMap<(Topic, EventId), Position>,
    progress: HashMap<String, StoredProgress>,
    ends: HashMap<Partition, Offset>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, requests: UnboundedReceiver<Request>, ends: EndsFile) -> Self {
        let mut next = HashMap::new();
        let mut last_appended_at = 0;
        for topic in &shared.layout {
            for (id, end) in (0..).zip(&shared.topics[&topic.topic].ends) {
                let partition = Partition { topic: topic.topic, id };
                let end = end.load(Ordering::Acquire);
                next.insert(partition, end);
                last_appended_at = last_appended_at.max(shared.last_appended_at(partition, end));
            }
        }
        Self { shared, requests, ends, next, last_appended_at, failed: None }
    }

    /// Commits group after group until asked to close.
    pub(super) fn run(mut self) {
        let mut open = true;
        while open && let Some(first) = self.requests.blocking_recv() {
            let (group, goes_on) = self.gather(first);
            open = goes_on;
            self.commit_and_answer(group);
        }
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            answer(request, Err(self.shared.stopped_error()));
        }
    }

    /// All that waits now, up to the group's bound, and whether there is more to come.
    fn gather(&mut self, first: Request) -> (Vec<Request>, bool) {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(request) = next {
            if request.reply.is_none() {
                return (group, false);
            }
            bytes += request.batch.size();
            group.push(request);
            if bytes >= GROUP_BYTES {
                break;
            }
            next = self.requests.try_recv().ok();
        }
        (group, true)
    }

    fn commit_and_answer(&mut self, mut requests: Vec<Request>) {
        let batches = requests.iter_mut().map(|request| std::mem::take(&mut request.batch)).collect();
        match self.commit(batches) {
            Ok(receipts) => {
                requests.into_iter().zip(receipts).for_each(|(request, receipts)| answer(request, Ok(receipts)));
            }
            Err(reason) => {
                tracing::error!(reason, "the log takes no more appends");
                self.shared.stop(&reason);
                self.failed.get_or_insert(reason);
                requests.into_iter().for_each(|request| answer(request, Err(self.shared.stopped_error())));
            }
        }
    }

    fn commit(&mut self, batches: Vec<Batch>) -> Result<Vec<Vec<Receipt>>, String> {
        if let Some(reason) = &self.failed {
            return Err(reason.clone());
        }
        let mut storage = self.shared.database.batch().durability(Some(PersistMode::SyncData));
        let mut group = Group::default();
        for batch in batches {
            let mut receipts = Vec::with_capacity(batch.records.len());
            for record in batch.records {
                receipts.push(self.place(record, &mut group, &mut storage)?);
            }
            if let Some(progress) = batch.progress {
                self.advance(progress, &mut group)?;
            }
            group.receipts.push(receipts);
        }
        for (processor, checkpoints) in &group.progress {
            let text = format!("{}\u{0}{}", checkpoints.checkpoints.to_text(), checkpoints.note);
            storage.insert(&self.shared.progress, processor.as_str(), text);
        }
        storage.commit().map_err(|error| format!("a commit to its storage failed: {error}"))?;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.publish(&group);
        Ok(group.receipts)
    }

    /// Gives the record its position, unless one with its identity is there already.
    fn place(
        &mut self,
        record: NewRecord,
        group: &mut Group,
        storage: &mut fjall::OwnedWriteBatch,
    ) -> Result<Receipt, String> {
        let topic = record.topic;
        if let Some(id) = record.identity
            && let Some(position) = self.find(topic, id, group)?
        {
            return Ok(Receipt { position, duplicate: true });
        }
        let store = &self.shared.topics[&topic];
        // Invariant: a topic has far fewer partitions than a u32 counts.
        let partition = partition_of(topic, &record.key, store.ends.len() as u32);
        let offset = group.ends.get(&partition).copied().unwrap_or_else(|| self.next[&partition]);
        let position = Position { partition, offset };
        self.last_appended_at = self.last_appended_at.max(now_micros());
        let frame = frame::encode(&record, position, self.last_appended_at);
        storage.insert(&store.records, frame::storage_key(position), frame);
        if let Some(id) = record.identity {
            storage.insert(&self.shared.identities, identity_key(topic, id), frame::storage_key(position));
            group.identities.insert((topic, id), position);
        }
        group.ends.insert(partition, offset + 1);
        Ok(Receipt { position, duplicate: false })
    }

    fn find(&self, topic: Topic, id: EventId, group: &Group) -> Result<Option<Position>, String> {
        if let Some(position) = group.identities.get(&(topic, id)) {
            return Ok(Some(*position));
        }
        let stored = self
            .shared
            .identities
            .get(identity_key(topic, id))
            .map_err(|error| format!("reading an identity failed: {error}"))?;
        let Some(stored) = stored else { return Ok(None) };
        let (partition, offset) = stored.split_at_checked(4).ok_or("a stored identity is damaged")?;
        let damaged = |_| "a stored identity is damaged".to_owned();
        Ok(Some(Position {
            partition: Partition { topic, id: u32::from_be_bytes(partition.try_into().map_err(damaged)?) },
            offset: u64::from_be_bytes(offset.try_into().map_err(damaged)?),
        }))
    }

    fn advance(&self, progress: ProcessorProgress, group: &mut Group) -> Result<(), String> {
        let kept = match group.progress.entry(progress.processor.clone()) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let stored = stored_progress(&self.shared.progress, entry.key())?;
                entry.insert(stored)
            }
        };
        kept.merge(progress);
        Ok(())
    }

    /// Moves the watermarks and wakes the readers. Only after the commit.
    fn publish(&mut self, group: &Group) {
        let mut topics = BTreeSet::new();
        for (&partition, &end) in &group.ends {
            self.next.insert(partition, end);
            self.shared.topics[&partition.topic].ends[partition.id as usize].store(end, Ordering::Release);
            topics.insert(partition.topic);
        }
        if !topics.is_empty()
            && let Err(error) = self.ends.write(&self.shared.ends())
        {
            // The records are durable; only the check at the next start knows less.
            tracing::warn!(%error, "the ends of the partitions could not be noted");
        }
        topics.iter().for_each(|topic| self.shared.topics[topic].appended.ring());
    }
}

fn identity_key(topic: Topic, id: EventId) -> Vec<u8> {
    [id.0.as_bytes(), topic.name().as_bytes()].concat()
}

fn answer(request: Request, result: Result<Vec<Receipt>, AppendError>) {
    if let Some(reply) = request.reply {
        // A producer that no longer listens has lost its receipts, not its records.
        let _ = reply.send(result);
    }
    drop(request.permit);
}

/// What is kept for a processor: checkpoints as text, NUL, the note.
pub(super) fn stored_progress(keyspace: &fjall::Keyspace, processor: &str) -> Result<StoredProgress, String> {
    let stored = keyspace.get(processor).map_err(|error| error.to_string())?;
    let Some(stored) = stored else { return Ok(StoredProgress::default()) };
    let text = std::str::from_utf8(&stored).ok().and_then(|text| text.split_once('\0'));
    text.and_then(|(checkpoints, note)| {
        Some(StoredProgress { checkpoints: Checkpoints::from_text(checkpoints)?, note: note.to_owned() })
    })
    .ok_or_else(|| format!("what is stored for {processor} is no checkpoint"))
}
