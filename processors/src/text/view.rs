//! Views: one commit as searches see it.
//!
//! Owns: the pairing of an index snapshot with the turns that belong to it, and reading both from disk.
//! Promises: a view that loads is whole: every live document was read, and there are as many as the commit says.
//! Never: changes the index.

use std::sync::Arc;

use tantivy::{
    DocAddress, DocSet, Index, IndexReader, Searcher, SegmentReader, TERMINATED, TantivyDocument,
    columnar::ColumnValues, schema::IndexRecordOption,
};
use uuid::Uuid;

use super::{
    cause::Cause,
    commit::Commit,
    layout::{Fields, ORDINAL, THREAD},
    record::Record,
    turns::Turns,
};

/// Decompressed blocks kept while records are read one after the other.
const RECORD_BLOCKS: usize = 1;

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
    pub(crate) threads: Arc<dyn ColumnValues<u64>>,
    pub(crate) ordinals: Arc<dyn ColumnValues<u64>>,
}

impl View {
    /// Reads the last commit, which takes a few microseconds a message.
    ///
    /// # Errors
    /// When a file cannot be read, or what was read is not what the commit says.
    pub(crate) fn load(index: &Index, reader: &IndexReader, fields: &Fields) -> Result<Self, Cause> {
        let payload = index.load_metas()?.payload;
        let commit = Commit::from_payload(payload.as_deref())?;
        let snapshot = Snapshot::newest(reader)?;
        let mut turns = Turns::default();
        let mut documents = 0;
        snapshot.for_each_record(fields, |record| {
            documents += 1;
            turns.put(&record);
        })?;
        if documents != commit.documents || documents != snapshot.searcher.num_docs() {
            return Err(Cause(format!(
                "it holds {documents} documents where its last commit says {}",
                commit.documents
            )));
        }
        Ok(Self { snapshot, turns, commit })
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
        for (segment_number, segment) in (0..).zip(self.searcher.segment_readers()) {
            let Some(mut postings) =
                segment.inverted_index(fields.id())?.read_postings(&term, IndexRecordOption::Basic)?
            else {
                continue;
            };
            while postings.doc() != TERMINATED {
                if !segment.is_deleted(postings.doc()) {
                    let document = self.searcher.doc(DocAddress::new(segment_number, postings.doc()))?;
                    return Ok(Some(fields.record(&document)?));
                }
                postings.advance();
            }
        }
        Ok(None)
    }

    /// Reads the records of all live documents, segment by segment.
    pub(crate) fn for_each_record(&self, fields: &Fields, mut visit: impl FnMut(Record)) -> Result<(), Cause> {
        for segment in self.searcher.segment_readers() {
            let store = segment.get_store_reader(RECORD_BLOCKS)?;
            for document in store.iter::<TantivyDocument>(segment.alive_bitset()) {
                visit(fields.record(&document?)?);
            }
        }
        Ok(())
    }
}

impl Columns {
    fn open(segment: &SegmentReader) -> Result<Self, Cause> {
        let columns = segment.fast_fields();
        Ok(Self {
            threads: columns.column_first_or_default(THREAD)?,
            ordinals: columns.column_first_or_default(ORDINAL)?,
        })
    }
}
