//! Views: one commit as searches see it.
//!
//! Owns: the pairing of an index snapshot with the turns that belong to it, and reading both from disk.
//! Promises: a view that loads is whole: every live document was read, and there are as many as the commit says.
//! Never: changes the index.

use std::path::Path;

use tantivy::{DocSet, Index, IndexReader, Searcher, SegmentReader, TERMINATED, schema::IndexRecordOption};
use uuid::Uuid;

use super::{
    cause::Cause,
    columns::{self, BLOCK, Block, Column, Numbers, blocks},
    commit::Commit,
    layout::{Fields, THREAD_KEY},
    names::{Names, ReadNames, Union, UnitedNames},
    record::{ORDINAL, Record, SPEAKER, THREAD, TURN_NUMBERS},
    turns::{Load, Turns},
};
use crate::Forgotten;

/// One commit.
pub(crate) struct View {
    pub(crate) snapshot: Snapshot,
    pub(crate) turns: Turns,
    pub(crate) commit: Commit,
    /// Everything that is forgotten.
    pub(crate) forgotten: Forgotten,
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
    /// Reads the last commit, which takes about a tenth of a microsecond a message.
    ///
    /// # Errors
    /// When a file cannot be read, or what was read is not what the commit says.
    pub(crate) fn load(directory: &Path, index: &Index, reader: &IndexReader) -> Result<Self, Cause> {
        let payload = index.load_metas()?.payload;
        let commit = Commit::from_payload(payload.as_deref())?;
        let forgotten = commit.forgettings.read(directory)?;
        let snapshot = Snapshot::newest(reader)?;
        let (mut threads, mut speakers) = (Union::default(), Union::default());
        let mut segments = Vec::new();
        for segment in snapshot.searcher.segment_readers() {
            segments.push(SegmentTurns {
                segment,
                threads: threads.add(Names::open(segment, THREAD)?)?,
                speakers: speakers.add(Names::open(segment, SPEAKER)?)?,
            });
        }
        let mut load = Load::new(threads.len(), &speakers);
        for segment in &segments {
            segment.make_places(&threads, &mut load)?;
        }
        load.make_room();
        let mut documents = 0;
        for segment in &segments {
            documents += segment.put_turns(&threads, &speakers, &mut load)?;
        }
        if documents != commit.documents || documents != snapshot.searcher.num_docs() {
            return Err(Cause(format!(
                "it holds {documents} documents where its last commit says {}",
                commit.documents
            )));
        }
        Ok(Self { snapshot, turns: load.into_turns(&threads)?, commit, forgotten })
    }
}

/// A segment whose turns are loaded.
struct SegmentTurns<'a> {
    segment: &'a SegmentReader,
    threads: UnitedNames,
    speakers: UnitedNames,
}

impl SegmentTurns<'_> {
    /// Makes the places of all live documents.
    fn make_places(&self, threads: &Union, load: &mut Load<'_>) -> Result<(), Cause> {
        let ordinals = Numbers::open(self.segment, &[ORDINAL])?;
        let (mut thread, mut block) = ([0; BLOCK], Block::new());
        for documents in blocks(self.segment) {
            self.threads.numbers(threads, &documents, &mut thread)?;
            ordinals.read(&documents, &mut block);
            for (at, document) in documents.enumerate() {
                if !self.segment.is_deleted(document) {
                    let [ordinal] = block.get(at);
                    load.make_place(thread[at], u32::try_from(ordinal)?);
                }
            }
        }
        Ok(())
    }

    /// Puts the turns of all live documents into their places. Returns how many there are.
    fn put_turns(&self, threads: &Union, speakers: &Union, load: &mut Load<'_>) -> Result<u64, Cause> {
        let columns = Numbers::open(self.segment, &TURN_NUMBERS)?;
        let (mut thread, mut speaker, mut block) = ([0; BLOCK], [0; BLOCK], Block::new());
        let mut count = 0;
        for documents in blocks(self.segment) {
            self.threads.numbers(threads, &documents, &mut thread)?;
            self.speakers.numbers(speakers, &documents, &mut speaker)?;
            columns.read(&documents, &mut block);
            for (at, document) in documents.enumerate() {
                if !self.segment.is_deleted(document) {
                    load.put(thread[at], speaker[at], block.get(at))?;
                    count += 1;
                }
            }
        }
        Ok(count)
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
            let names = [ReadNames::read(thread)?, ReadNames::read(speaker)?, ReadNames::read(partition)?];
            let (mut numbers, mut block) = ([[0; BLOCK]; Record::NAMES.len()], Block::new());
            for documents in blocks(segment) {
                columns.read(&documents, &mut block);
                for (names, numbers) in names.iter().zip(&mut numbers) {
                    names.numbers(&documents, numbers);
                }
                for (at, document) in documents.enumerate() {
                    if !segment.is_deleted(document) {
                        let pair = |column: usize| names[column].pair(document, numbers[column][at]);
                        visit(Record::from_columns(block.get(at), [pair(0)?, pair(1)?, pair(2)?])?);
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
