//! The writer: the one thread that gives offsets and commits.
//!
//! Owns: the next offset of every partition, and the journal. It takes all batches that wait, writes them to the journal as
//! one group with one sync, and only then moves the ends and answers: group commit. It copies the group to the segments
//! while the producers that were answered make their next batches; so long readers see it in memory.
//! While it waits for the disk the next group gathers, so groups grow with load; and producers that were answered together
//! are given a moment to come back together (never longer than a part of a sync), so that two half groups do not
//! take turns. A lone producer never waits for company.
//! Never: acknowledges before the sync has returned, or writes again after one has failed (what the disk then holds is
//! unknown).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use meshlog_schemas::{Offset, Position, Topic};

use super::{
    Durability, Shared,
    disk::is_full,
    frame,
    identities::Known,
    journal::{self, Journal, Section},
    keeper::Keeper,
    partition::Pending,
    queue::Request,
    segment,
};
use crate::{
    clock::now_micros,
    log::AppendError,
    record::{Receipt, StoredProgress},
};

/// A group is committed once it holds this much, so that one large group does not keep the first producer waiting.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// The journal may grow to this many times its size while the keeper is busy; then appends wait.
const JOURNAL_STRETCH: u64 = 4;
/// Segments are synced in steps of about this much, so that no sync of the journal waits behind a large one.
const SEGMENT_SYNC: u64 = 1024 * 1024;

/// The thread that commits.
pub(super) struct Writer {
    shared: Arc<Shared>,
    keeper: Arc<Keeper>,
    journal: Journal,
    /// The number of the next group.
    number: u64,
    /// Per slot: the next offset, and bytes since the last mark.
    next: Vec<Offset>,
    since_mark: Vec<usize>,
    pending: Vec<Pending>,
    /// The group as the journal takes it; kept for its memory.
    bytes: Vec<u8>,
    last_appended_at: i64,
    company: Company,
}

/// What a group brings beside its records.
#[derive(Default)]
struct Group {
    receipts: Vec<Vec<Receipt>>,
    touched: BTreeSet<u32>,
    identities: Known,
    progress: BTreeMap<String, StoredProgress>,
}

/// Why a group was not committed.
enum Refused {
    /// There is no space; nothing was written, and later groups may be taken.
    Full(String),
    /// For good.
    Stopped(String),
}

/// How many producers are likely to come back at once, and how long a sync takes: what group commit adapts to.
struct Company {
    expected: usize,
    sync: Duration,
}

impl Company {
    fn new() -> Self {
        Self { expected: 1, sync: Duration::from_micros(200) }
    }

    fn observe(&mut self, answered: usize, sync: Duration) {
        // Falls slowly and rises at once: a wait for company that does not come is short, a half group costs a sync.
        self.expected = answered.max(self.expected - self.expected.div_ceil(8));
        self.sync = (self.sync * 7 + sync) / 8;
    }

    /// Never longer than half a sync: waiting must cost less than what it saves.
    fn patience(&self) -> Duration {
        (self.sync / 2).min(Duration::from_millis(1))
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, keeper: Arc<Keeper>, journal: Journal, number: u64) -> Self {
        let slots = shared.partitions.len();
        let last = shared.partitions.iter().filter_map(|partition| Some(partition.active()?.extent().last_appended_at));
        Self {
            last_appended_at: last.max().unwrap_or(0),
            next: shared.partitions.iter().map(|partition| partition.bounds().end).collect(),
            since_mark: vec![segment::STRIDE; slots],
            pending: (0..slots).map(|_| Pending::default()).collect(),
            bytes: Vec::new(),
            company: Company::new(),
            shared,
            keeper,
            journal,
            number,
        }
    }

    /// Commits until the queue is closed and empty; then makes everything durable where it belongs.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        let mut taken = Vec::new();
        while shared.queue.take(&mut taken, self.company.expected, self.company.patience()) {
            let mut waiting = taken.drain(..).peekable();
            while waiting.peek().is_some() {
                let mut bytes = 0;
                let group: Vec<Request> = std::iter::from_fn(|| {
                    let request = waiting.next_if(|next| bytes == 0 || bytes + next.frames.len() <= GROUP_BYTES)?;
                    bytes += request.frames.len() + 1;
                    Some(request)
                })
                .collect();
                self.settle(group);
            }
        }
        self.finish();
    }

    /// Commits a group and answers it.
    fn settle(&mut self, mut requests: Vec<Request>) {
        // What was sequenced before the log was closed is still committed; after a failure nothing is.
        let result = match self.shared.broken() {
            Some(reason) => Err(Refused::Stopped(reason)),
            None => self.commit(&mut requests),
        };
        match result {
            Ok(group) => self.acknowledge(requests, group),
            Err(refused) => self.refuse(requests, refused),
        }
        for pending in &mut self.pending {
            pending.clear(GROUP_BYTES);
        }
        self.bytes.shrink_to(GROUP_BYTES);
    }

    /// Makes a group durable.
    fn commit(&mut self, requests: &mut [Request]) -> Result<Group, Refused> {
        self.turn()?;
        let mut group = Group::default();
        let shared = self.shared.clone();
        for request in &*requests {
            let receipts = self.place(request, &mut group)?;
            group.receipts.push(receipts);
            if let Some(progress) = &request.progress {
                let kept = group.progress.entry(progress.processor.clone());
                kept.or_insert_with(|| shared.progress(&progress.processor)).merge(progress.clone());
            }
        }
        if !group.touched.is_empty() || !group.progress.is_empty() {
            self.write(&group, requests)?;
        }
        self.shared.set_full(None);
        Ok(group)
    }

    /// Shows a durable group to readers, answers its producers, and copies it to the segments.
    fn acknowledge(&mut self, requests: Vec<Request>, group: Group) {
        let shared = self.shared.clone();
        let mut tails = Vec::with_capacity(group.touched.len());
        for slot in group.touched {
            let tail = Arc::new(std::mem::take(&mut self.pending[slot as usize]));
            self.next[slot as usize] = tail.end();
            shared.partitions[slot as usize].publish(tail.clone());
            tails.push((slot, tail));
        }
        for (processor, kept) in group.progress {
            shared.set_progress(processor, kept);
        }
        // First of all: each takes its time to wake up.
        for (request, receipts) in requests.into_iter().zip(group.receipts) {
            drop(request.permit);
            // A producer that no longer listens has lost its receipts, not its records.
            let _ = request.reply.send(Ok(receipts));
        }
        shared.identities.add(group.identities);
        let mut topics = BTreeSet::new();
        for (slot, tail) in tails {
            let partition = &shared.partitions[slot as usize];
            topics.insert(partition.partition.topic);
            if let Err(error) = partition.copy_tail() {
                // What was acknowledged is in the journal: the next start brings it to the segment.
                shared.stop(&format!("it could not write {}: {error}", partition.partition));
            }
            if partition.active().is_some_and(|active| active.unsynced() >= SEGMENT_SYNC) {
                self.keeper.sync_soon(slot);
            }
            // No reader has it any more, but for one who came in just this moment.
            self.pending[slot as usize] = Arc::into_inner(tail).unwrap_or_default();
        }
        topics.iter().for_each(|topic| shared.appended[topic].ring());
    }

    fn refuse(&self, requests: Vec<Request>, refused: Refused) {
        let error = match refused {
            Refused::Full(reason) => {
                self.shared.set_full(Some(&reason));
                AppendError::Full { reason }
            }
            Refused::Stopped(reason) => {
                self.shared.stop(&reason);
                self.shared.stopped_error()
            }
        };
        for request in requests {
            drop(request.permit);
            let _ = request.reply.send(Err(error.clone()));
        }
    }

    /// Gives the records of a batch their positions, but for those whose identity is there already.
    fn place(&mut self, request: &Request, group: &mut Group) -> Result<Vec<Receipt>, Refused> {
        let mut receipts = Vec::with_capacity(request.records.len());
        let mut at = 0;
        for record in &request.records {
            let frame = &request.frames[at..at + record.length as usize];
            at += record.length as usize;
            let slot = record.slot as usize;
            let partition = self.shared.partitions[slot].partition;
            let first = match record.identity {
                Some(id) => self.find(partition.topic, id, group),
                None => Ok(None),
            };
            let first = first.map_err(|error| refused("look up", "an identity", &error))?;
            // A record that is moved here keeps its position, even if it is a copy.
            if let (Some(position), None) = (first, record.given) {
                receipts.push(Receipt { position, duplicate: true });
                continue;
            }
            let pending = &mut self.pending[slot];
            if pending.records == 0 {
                pending.first = self.next[slot];
                group.touched.insert(record.slot);
            }
            let offset = pending.first + u64::from(pending.records);
            let place = pending.frames.len();
            self.since_mark[slot] += frame.len();
            if self.since_mark[slot] >= segment::STRIDE {
                self.since_mark[slot] = 0;
                pending.marks.push((offset, place as u64));
            }
            self.last_appended_at = self.last_appended_at.max(record.given.unwrap_or_else(now_micros));
            let appended_at = record.given.unwrap_or(self.last_appended_at);
            pending.frames.extend_from_slice(frame);
            let header = &mut pending.frames[place..place + frame::HEADER];
            if first.is_some() {
                frame::mark_as_copy(header);
            }
            frame::finish(header, self.shared.tags[slot], offset, appended_at);
            pending.records += 1;
            pending.appended_at = appended_at;
            let position = Position { partition, offset };
            if let (Some(id), None) = (record.identity, first) {
                group.identities.insert((partition.topic, id), position);
            }
            receipts.push(Receipt { position, duplicate: false });
        }
        Ok(receipts)
    }

    fn find(&self, topic: Topic, id: meshlog_schemas::EventId, group: &Group) -> io::Result<Option<Position>> {
        if let Some(position) = group.identities.get(&(topic, id)) {
            return Ok(Some(*position));
        }
        self.shared.identities.find(topic, id)
    }

    /// Writes the group to the journal, tells those who wait for that, and syncs it.
    fn write(&mut self, group: &Group, requests: &mut [Request]) -> Result<(), Refused> {
        let pending = |slot: &u32| &self.pending[*slot as usize];
        let parts: Vec<(Section, &[u8])> = group
            .touched
            .iter()
            .map(|slot| {
                let Pending { frames, first, records, .. } = pending(slot);
                let section = Section { slot: *slot, records: *records, first: *first, bytes: frames.len() as u32 };
                (section, frames.as_slice())
            })
            .collect();
        let Self { bytes, journal, .. } = self;
        journal::encode_group(self.shared.log, journal.sequence, self.number, &parts, &group.progress, bytes);
        // Space first: once the journal holds the group, the segments must be able to take it.
        for slot in &group.touched {
            let partition = &self.shared.partitions[*slot as usize];
            let room = partition.make_room(pending(slot).frames.len() as u64);
            room.map_err(|error| refused("make room in", &partition.partition.to_string(), &error))?;
        }
        let journal = self.journal.path().display().to_string();
        let begun = self.journal.reserve(bytes.len() as u64).and_then(|()| self.journal.write(bytes));
        begun.map_err(|error| refused("write", &journal, &error))?;
        for written in requests.iter_mut().filter_map(|request| request.written.take()) {
            // Who does not listen any more need not know.
            let _ = written.send(());
        }
        let stopped = |action: &str, file: &str, error: &io::Error| {
            Refused::Stopped(format!("it could not {action} {file}: {error}"))
        };
        if self.shared.options.durability == Durability::Always {
            let start = Instant::now();
            self.journal.sync().map_err(|error| stopped("sync", &journal, &error))?;
            self.company.observe(group.receipts.len(), start.elapsed());
        }
        self.number += 1;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.pressure.answered(group.receipts.len(), now_micros());
        Ok(())
    }

    /// Goes on in the next journal if this one is full and the next is ready.
    fn turn(&mut self) -> Result<(), Refused> {
        let bytes = self.journal.bytes();
        if bytes < self.shared.options.journal_bytes && !self.journal.is_outgrown() {
            return Ok(());
        }
        let must = bytes >= self.shared.options.journal_bytes * JOURNAL_STRETCH;
        let next = match self.keeper.next_journal(must) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(reason) if self.shared.broken().is_some() => return Err(Refused::Stopped(reason)),
            Err(reason) => return Err(Refused::Full(reason)),
        };
        let old = std::mem::replace(&mut self.journal, next);
        self.shared.identities.begin_flush();
        self.keeper.begin_turn(self.shared.manifest(self.journal.sequence, self.number), old);
        Ok(())
    }

    /// At the end: everything where it belongs, so that the next start has nothing to bring forward.
    fn finish(self) {
        self.keeper.close();
        if self.shared.broken().is_some() {
            return;
        }
        let settled = self.journal.sync().and_then(|()| {
            self.shared.identities.begin_flush();
            self.shared.settle(&self.shared.manifest(self.journal.sequence, self.number))
        });
        if let Err(error) = settled {
            tracing::warn!(%error, "the log could not be closed tidily; its next start takes longer");
        }
    }
}

/// A failure before anything was made durable: a full disk refuses, everything else stops the log.
fn refused(action: &str, file: &str, error: &io::Error) -> Refused {
    let reason = format!("it could not {action} {file}: {error}");
    if is_full(error) { Refused::Full(reason) } else { Refused::Stopped(reason) }
}
