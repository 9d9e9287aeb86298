//! Views: one commit as searches see it.
//!
//! Owns: the pairing of an index snapshot with the turns that belong to it, and reading both from disk.
//! Promises: a view that loads is whole: every live document was read, and there are as many as the commit says.
//! Never: changes the index.

use std::ops::Range;

use tantivy::{DocId, DocSet, Index, IndexReader, Searcher, SegmentReader, TERMINATED, schema::IndexRecordOption};
use uuid::Uuid;

use super::{
    cause::Cause,
    columns::{self, BLOCK, Block, Column, Numbers, blocks},
    commit::Commit,
    layout::{Fields, THREAD_KEY},
    names::{Names, Resolved},
    record::{ORDINAL, Record, SPEAKER, THREAD, TURN_NUMBERS},
    turns::{Load, ThreadNumber, Turns},
};

/// One commit.
pub(crate) struct View {
    pub(crate) snapshot: Snapshot,
    pub(crate) turns: Turns,
    pub(crate) commit: Commit,
}

/// The documents of one commit.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) searcher: Searcher,
    /// The columns of each segment, in the searcher's order.
    pub(crate) columns: Vec<Columns>,
}

/// Where a segment's documents stand in their threads.
#[derive(Clone)]
pub(crate) struct Columns {
    pub(crate) threads: Column,
    pub(crate) ordinals: Column,
}

impl View {
    /// Reads the last commit: for each message it takes about the time of one access to memory that was not in the cache.
    ///
    /// # Errors
    /// When a file cannot be read, or what was read is not what the commit says.
    pub(crate) fn load(index: &Index, reader: &IndexReader) -> Result<Self, Cause> {
        let payload = index.load_metas()?.payload;
        let commit = Commit::from_payload(payload.as_deref())?;
        let snapshot = Snapshot::newest(reader)?;
        let mut load = Load::default();
        let mut segments = Vec::new();
        for segment in snapshot.searcher.segment_readers() {
            segments.push(SegmentTurns::make_places(segment, &mut load)?);
        }
        load.make_room();
        let mut documents = 0;
        for segment in &mut segments {
            documents += segment.put_turns(&mut load)?;
        }
        if documents != commit.documents || documents != snapshot.searcher.num_docs() {
            return Err(Cause(format!(
                "it holds {documents} documents where its last commit says {}",
                commit.documents
            )));
        }
        Ok(Self { snapshot, turns: load.into_turns()?, commit })
    }
}

/// A segment whose turns are loaded.
struct SegmentTurns<'a> {
    segment: &'a SegmentReader,
    threads: Resolved<ThreadNumber>,
    keys: Numbers<1>,
}

impl<'a> SegmentTurns<'a> {
    /// Makes the places of all live documents, so that no thread has to be moved once turns lie in it.
    fn make_places(segment: &'a SegmentReader, load: &mut Load) -> Result<Self, Cause> {
        let threads = Resolved::read(Names::open(segment, THREAD)?)?;
        let keys = Numbers::open(segment, &[THREAD_KEY])?;
        let mut turns = Self { segment, threads, keys };
        let ordinals = Numbers::open(segment, &[ORDINAL])?;
        let (mut threads, mut block) = (Vec::new(), Block::new());
        for documents in blocks(segment) {
            turns.threads_of(&documents, load, &mut threads)?;
            ordinals.read(&documents, &mut block);
            for (at, document) in documents.enumerate() {
                if !segment.is_deleted(document) {
                    let [ordinal] = block.get(at);
                    load.make_place(threads[at], u32::try_from(ordinal)?);
                }
            }
        }
        turns.threads.forget_names();
        Ok(turns)
    }

    /// Puts the turns of all live documents into their places. Returns how many there are.
    fn put_turns(&mut self, load: &mut Load) -> Result<u64, Cause> {
        let mut speakers = Resolved::read(Names::open(self.segment, SPEAKER)?)?;
        let columns = Numbers::open(self.segment, &TURN_NUMBERS)?;
        let (mut threads, mut numbers, mut block) = (Vec::new(), [0; BLOCK], Block::new());
        let mut count = 0;
        for documents in blocks(self.segment) {
            self.threads_of(&documents, load, &mut threads)?;
            speakers.numbers(&documents, &mut numbers);
            columns.read(&documents, &mut block);
            for (at, document) in documents.enumerate() {
                if !self.segment.is_deleted(document) {
                    let speaker = speakers.get(document, numbers[at], |author, role| load.speaker(author, role))?;
                    load.put(threads[at], speaker, block.get(at))?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }

    /// Fills in the threads of documents; those of deleted ones are meaningless.
    fn threads_of(
        &mut self,
        documents: &Range<DocId>,
        load: &mut Load,
        threads: &mut Vec<ThreadNumber>,
    ) -> Result<(), Cause> {
        let mut numbers = [0; BLOCK];
        self.threads.numbers(documents, &mut numbers);
        threads.clear();
        for (document, number) in documents.clone().zip(numbers) {
            let keys = &self.keys;
            threads.push(if self.segment.is_deleted(document) {
                ThreadNumber::MIN
            } else {
                self.threads.get(document, number, |space, thread| {
                    let [key] = keys.get(document);
                    load.thread(space, thread, key)
                })?
            });
        }
        Ok(())
    }
}

impl Snapshot {
    /// The documents of the last commit.
    pub(crate) fn newest(reader: &IndexReader) -> Result<Self, Cause> {
        reader.reload()?;
        let searcher = reader.searcher();
        let columns = searcher.segment_readers().iter().map(Columns::open).collect::<Result<_, _>>()?;
        Ok(Self { searcher, columns })
    }

    /// The record of a message, if it is here.
    pub(crate) fn find(&self, fields: &Fields, message_id: Uuid) -> Result<Option<Record>, Cause> {
        let term = fields.id_term(message_id);
        for segment in self.searcher.segment_readers() {
            let Some(mut postings) =
                segment.inverted_index(fields.id())?.read_postings(&term, IndexRecordOption::Basic)?
            else {
                continue;
            };
            while postings.doc() != TERMINATED {
                let document = postings.doc();
                if !segment.is_deleted(document) {
                    let [thread, speaker, partition] = open_names(segment)?;
                    let names = [thread.pair(document)?, speaker.pair(document)?, partition.pair(document)?];
                    let numbers = Numbers::open(segment, &Record::NUMBERS)?.get(document);
                    return Ok(Some(Record::from_columns(numbers, names)?));
                }
                postings.advance();
            }
        }
        Ok(None)
    }

    /// Reads the records of all live documents, segment by segment.
    pub(crate) fn for_each_record(&self, mut visit: impl FnMut(Record)) -> Result<(), Cause> {
        for segment in self.searcher.segment_readers() {
            let columns = Numbers::open(segment, &Record::NUMBERS)?;
            let [thread, speaker, partition] = open_names(segment)?;
            let mut names = [Resolved::read(thread)?, Resolved::read(speaker)?, Resolved::read(partition)?];
            let (mut numbers, mut block) = ([[0; BLOCK]; Record::NAMES.len()], Block::new());
            for documents in blocks(segment) {
                columns.read(&documents, &mut block);
                for (names, numbers) in names.iter().zip(&mut numbers) {
                    names.numbers(&documents, numbers);
                }
                for (at, document) in documents.enumerate() {
                    if !segment.is_deleted(document) {
                        let pair = |names: &mut Resolved<_>, numbers: &[u64; BLOCK]| {
                            names.get(document, numbers[at], |one, other| (one.to_owned(), other.to_owned()))
                        };
                        let [thread, speaker, partition] = &mut names;
                        let [threads, speakers, partitions] = &numbers;
                        let names = [pair(thread, threads)?, pair(speaker, speakers)?, pair(partition, partitions)?];
                        visit(Record::from_columns(block.get(at), names)?);
                    }
                }
            }
        }
        Ok(())
    }
}

fn open_names(segment: &SegmentReader) -> Result<[Names; 3], Cause> {
    let [thread, speaker, partition] = Record::NAMES;
    Ok([Names::open(segment, thread)?, Names::open(segment, speaker)?, Names::open(segment, partition)?])
}

impl Columns {
    fn open(segment: &SegmentReader) -> Result<Self, Cause> {
        Ok(Self { threads: columns::open(segment, THREAD_KEY)?, ordinals: columns::open(segment, ORDINAL)? })
    }
}
