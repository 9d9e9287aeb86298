//! The store: documents in, one commit at a time.
//!
//! Owns: the index directory, the only writer to it, and the view that searches share.
//! Promises: what `apply` was given is durable and visible when it returns, and not at all if it fails. Nothing is added to a
//! damaged index: what opening reads is checked before, all other files by a [`Check`] that `apply` waits for.
//! Never: reads the log or asks the clock.

use std::{
    borrow::Cow,
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

use meshlog_pipeline::start_in_background;
use meshlog_schemas::{Checkpoints, Digest, Position};
use tantivy::{
    Directory, Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError,
    directory::MmapDirectory,
    indexer::{IndexWriterOptions, LogMergePolicy},
    schema::Schema,
};
use uuid::Uuid;

use super::{
    analysis::document_terms,
    cause::{Cause, reading},
    check::{Check, damage, refuse_marked},
    commit::Commit,
    layout::{Fields, thread_key},
    record::{Record, fingerprint},
    removals::Removals,
    search::{self, TextHits, TextQuery},
    turns::place_behind,
    view::{Snapshot, View},
};
use crate::{Facets, Forgetting, Forgotten, StoreError, message::is_blank};

/// Bytes of postings the writer gathers before it flushes a segment; 15 MB is the least the index takes.
const WRITER_MEMORY: usize = 20_000_000;

/// The most that it gathers while it is filled and nobody asks it.
const FILLING_MEMORY: usize = 200_000_000;

/// Segments up to this many documents are merged as if they were of one size. Live commits are small: a larger number
/// would rewrite too much with every eighth of them, a smaller one would leave too many segments to search.
const SMALL_SEGMENT: u32 = 1_000;

/// The share of replaced documents above which a segment is rewritten without them.
const TOLERATED_DELETES: f32 = 0.3;

/// How the names of a segment's columns and of its deleted documents end.
const COLUMNS_FILE: &str = "fast";
const DELETIONS_FILE: &str = "del";

/// A message as the projection hands it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextDocument {
    /// The message's id. A document with the same id is replaced, unless it stands behind this one on the log.
    pub message_id: Uuid,
    /// What filters see of the message. Its author and time are searchable as well.
    pub facets: Facets,
    /// Where in the log the message stands.
    pub position: Position,
    /// What was said. A message that says nothing is found by nothing: it is taken out.
    pub text: String,
}

/// Finds messages by their words. One writer and any number of searches may use it at once.
///
/// Dropping it waits until no thread of it uses the directory any more.
pub struct TextStore {
    directory: PathBuf,
    index: Index,
    fields: Fields,
    reader: IndexReader,
    /// `None` after a failed `apply`, until the next one opens it anew. Taken before the view, never after it.
    writer: Mutex<Option<IndexWriter>>,
    view: RwLock<View>,
    check: Check,
    /// Bytes of postings that the writer gathers.
    memory: usize,
}

impl TextStore {
    /// Opens the store in a directory, or makes an empty one there.
    ///
    /// The columns are checked and read, which takes about a tenth of a microsecond a message. All other files are checked in
    /// the background; until that is done, a search of a damaged index may answer wrongly, or fail.
    ///
    /// # Errors
    /// When the directory cannot be used, another store has it open, or the index is of another format, damaged, or was
    /// found damaged since it was last opened. It can be deleted with its directory: a rebuild makes it again from the log.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, None)
    }

    /// As [`TextStore::open`], with the memory that filling it may take, in bytes, where nobody asks it yet.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(directory: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        reading(|| Self::open_or_cause(directory, memory)).map_err(|cause| failure(directory, "open", cause))
    }

    /// How far the projection had read at the last commit.
    pub fn checkpoints(&self) -> Checkpoints {
        self.view().commit.checkpoints.clone()
    }

    /// How many messages the store holds.
    pub fn document_count(&self) -> u64 {
        self.view().commit.documents
    }

    /// Puts documents in, in log order, and replaces those of the same message; `checkpoints` are kept with them.
    ///
    /// All or nothing; durable and visible to searches on return. Applying the same documents again changes nothing. A
    /// replaced message keeps its place in its thread; one that comes with another thread goes to that thread's end.
    ///
    /// After opening, the first call waits until the index is checked.
    ///
    /// # Errors
    /// When the index cannot be written, for example because the disk is full: the store still serves the last commit,
    /// and the call may be repeated. When the index is damaged.
    pub fn apply(&self, documents: &[TextDocument], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.apply_and_forget(documents, &[], checkpoints)
    }

    /// As [`TextStore::apply`], and forgets: what is covered by a forgetting, of this call or of any before, is in no answer
    /// and not taken in, whichever comes first. A message whose newest document is covered is forgotten whole. The postings
    /// leave the disk when their segment is merged, or with [`TextStore::sweep`].
    ///
    /// # Errors
    /// As for [`TextStore::apply`].
    pub fn apply_and_forget(
        &self,
        documents: &[TextDocument],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<(), StoreError> {
        let applied = self.apply_or_cause(documents, forgettings, checkpoints);
        applied.map_err(|cause| failure(&self.directory, "apply documents", cause))
    }

    /// Writes the segment anew that has the fewest messages of those with documents that are forgotten or were replaced,
    /// without these. Whether there are more, or the index is at one of its own accord. Others search and apply meanwhile.
    ///
    /// # Errors
    /// When the index cannot be written: the call may be repeated.
    pub fn sweep(&self) -> Result<bool, StoreError> {
        self.sweep_or_cause().map_err(|cause| failure(&self.directory, "remove what is forgotten", cause))
    }

    /// The digest of the content: every message with its facets, position, place in its thread and terms.
    ///
    /// The same messages give the same digest whatever batches they came in and however the threads' messages were mixed.
    /// After opening, the first call waits until the index is checked, so that a store with a digest is sound as a whole.
    ///
    /// # Errors
    /// When the index cannot be read, or is damaged.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        self.digest_telling(&|| ())
    }

    /// As there; `fixed` is called once what is digested is fixed.
    ///
    /// # Errors
    /// As there.
    pub fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, StoreError> {
        let read = || {
            self.check.to_the_end()?;
            let (snapshot, gaps) = {
                let view = self.view();
                (view.snapshot.clone(), view.turns.gaps())
            };
            fixed();
            let mut digest = Digest::default();
            snapshot.for_each_record(|mut record| {
                // As if those that are forgotten had never been there.
                if !gaps.is_empty()
                    && let Some(gaps) = gaps.get(&thread_key(&record.facets.space, &record.facets.thread))
                {
                    record.ordinal = place_behind(gaps, record.ordinal);
                }
                record.add_to(&mut digest);
            })?;
            Ok(digest)
        };
        reading(read).map_err(|cause| failure(&self.directory, "compute the digest", cause))
    }

    /// The messages that fit the query best.
    ///
    /// # Errors
    /// When the index cannot be read, or was found damaged. No query text is an error.
    pub fn search(&self, query: &TextQuery<'_>) -> Result<TextHits, StoreError> {
        let search = || {
            self.check.so_far()?;
            search::search(&self.view(), &self.fields, query)
        };
        reading(search).map_err(|cause| failure(&self.directory, "search", cause))
    }

    fn open_or_cause(directory: &Path, memory: Option<usize>) -> Result<Self, Cause> {
        let memory = memory.map_or(WRITER_MEMORY, |memory| (memory / 3).clamp(WRITER_MEMORY, FILLING_MEMORY));
        std::fs::create_dir_all(directory)?;
        refuse_marked(directory)?;
        let (schema, fields) = Fields::schema();
        let index = Index::open_or_create(MmapDirectory::open(directory)?, schema.clone())?;
        Fields::register(&index);
        let unread = check_what_is_read(&index, &schema)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let writer = open_writer(&index, memory)?;
        let view = View::load(directory, &index, &reader)?;
        let files = index.directory().clone();
        let check = Check::start(directory, unread, move |file| Ok(files.validate_checksum(file)?))?;
        Ok(Self {
            directory: directory.to_owned(),
            index,
            fields,
            reader,
            writer: Mutex::new(Some(writer)),
            view: RwLock::new(view),
            check,
            memory,
        })
    }

    fn sweep_or_cause(&self) -> Result<bool, Cause> {
        self.check.to_the_end()?;
        let unswept = || -> Result<_, Cause> {
            let segments = self.index.searchable_segment_metas()?;
            Ok(segments.into_iter().filter(|segment| segment.num_deleted_docs() > 0).collect::<Vec<_>>())
        };
        if let Some(segment) = unswept()?.into_iter().min_by_key(|segment| segment.num_docs()) {
            // After a failed `apply`, the next one opens the writer.
            let Some(merge) = self.writer().as_mut().map(|writer| writer.merge(&[segment.id()])) else {
                return Ok(true);
            };
            match merge.wait() {
                // Of its own, the index merges segments of which much is deleted, and so may be at this one.
                Ok(_) | Err(TantivyError::InvalidArgument(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Files that the view still has open are not deleted.
        let writer = self.writer();
        let snapshot = Snapshot::newest(&self.reader)?;
        self.view.write().unwrap_or_else(PoisonError::into_inner).snapshot = snapshot;
        if let Some(writer) = &*writer {
            writer.garbage_collect_files().wait()?;
        }
        Ok(!unswept()?.is_empty())
    }

    fn apply_or_cause(
        &self,
        documents: &[TextDocument],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<(), Cause> {
        self.check.to_the_end()?;
        let mut slot = self.writer();
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => self.recover()?,
        };
        if documents.is_empty() && forgettings.is_empty() && self.view().commit.checkpoints == *checkpoints {
            *slot = Some(writer);
            return Ok(());
        }
        // On an error the writer is dropped, and with it everything that was not committed.
        let changes = self.write(&mut writer, documents, forgettings, checkpoints)?;
        self.show(changes)?;
        *slot = Some(writer);
        Ok(())
    }

    /// After a failure it is unknown whether the last commit happened, so its outcome is read from disk.
    fn recover(&self) -> Result<IndexWriter, Cause> {
        let writer = open_writer(&self.index, self.memory)?;
        let view = View::load(&self.directory, &self.index, &self.reader)?;
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
        Ok(writer)
    }

    fn write(
        &self,
        writer: &mut IndexWriter,
        documents: &[TextDocument],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<Changes, Cause> {
        let view = self.view();
        let mut forgotten = Cow::Borrowed(&view.forgotten);
        // What was known before has been removed, and was not let in again.
        let new: Vec<_> = forgettings.iter().filter(|forgetting| forgotten.to_mut().add(forgetting)).collect();
        let removals = Removals::find(&view, &self.fields, &new)?;
        if removals.len() > 0 {
            writer.delete_query(removals.query())?;
        }
        let mut batch = Batch::new(&view, &self.fields, removals);
        for document in documents {
            let before = batch.before(document.message_id)?;
            if before.as_ref().is_some_and(|before| before.is_behind(document.position)) {
                continue;
            }
            if is_blank(&document.text) || forgotten.covers(document.message_id, &document.facets) {
                if let Some(before) = before {
                    writer.delete_term(self.fields.id_term(document.message_id));
                    batch.note(document.message_id, Some(before), None);
                }
                continue;
            }
            let terms = document_terms(&document.facets, &document.text);
            let ordinal = batch.place(document, before.as_ref());
            let record = Record {
                message_id: document.message_id,
                facets: document.facets.clone(),
                position: document.position,
                ordinal,
                length: u32::try_from(terms.terms.len()).unwrap_or(u32::MAX),
                content: terms.content,
                fingerprint: fingerprint(&terms),
            };
            // A deletion costs a look-up in every segment at commit, so new messages do without.
            if before.is_some() {
                writer.delete_term(self.fields.id_term(document.message_id));
            }
            writer.add_document(self.fields.document(&record, &terms))?;
            batch.note(document.message_id, before, Some(record));
        }
        let extent = view.commit.forgettings.append(&self.directory, &new)?;
        let forgotten = match forgotten {
            Cow::Owned(forgotten) => Some(forgotten),
            Cow::Borrowed(_) => None,
        };
        let documents = view.commit.documents.saturating_add_signed(batch.added) - batch.removals.len();
        let commit = Commit { checkpoints: checkpoints.clone(), documents, forgettings: extent };
        let changes = Changes { removals: batch.removals, records: batch.changes, commit, forgotten };
        let mut prepared = writer.prepare_commit()?;
        prepared.set_payload(&changes.commit.to_payload());
        prepared.commit()?;
        Ok(changes)
    }

    fn show(&self, changes: Changes) -> Result<(), Cause> {
        let snapshot = Snapshot::newest(&self.reader)?;
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.snapshot = snapshot;
        view.commit = changes.commit;
        if let Some(forgotten) = changes.forgotten {
            view.forgotten = forgotten;
        }
        view.turns.remove_all(&changes.removals);
        for change in changes.records {
            if let Some(before) = &change.before
                && change.record.as_ref().is_none_or(|record| !record.is_at_the_place_of(before))
            {
                view.turns.remove(before);
            }
            if let Some(record) = &change.record {
                view.turns.put(record);
            }
        }
        Ok(())
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Option<IndexWriter>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TextStore {
    fn drop(&mut self) {
        let writer = self.writer().take();
        if let Some(Err(error)) = writer.map(IndexWriter::wait_merging_threads) {
            tracing::warn!(%error, directory = %self.directory.display(), "a merge of the text store did not finish");
        }
    }
}

/// What a commit changes in the view.
struct Changes {
    removals: Removals,
    records: Vec<Change>,
    commit: Commit,
    /// Everything that is forgotten, if that changed.
    forgotten: Option<Forgotten>,
}

struct Change {
    /// The message's record until now.
    before: Option<Record>,
    /// The message's record from now on, unless it is forgotten.
    record: Option<Record>,
}

/// The documents of one commit while they are given their places.
struct Batch<'a> {
    view: &'a View,
    fields: &'a Fields,
    /// What is forgotten of the view.
    removals: Removals,
    changes: Vec<Change>,
    /// For each message of the batch, its last change.
    by_message: HashMap<Uuid, usize>,
    /// How many more messages there are than in the view, but for the removals.
    added: i64,
    /// The next ordinal of each thread that the batch adds to.
    next_ordinals: HashMap<(String, String), u32>,
}

impl<'a> Batch<'a> {
    fn new(view: &'a View, fields: &'a Fields, removals: Removals) -> Self {
        Self {
            view,
            fields,
            removals,
            changes: Vec::new(),
            by_message: HashMap::new(),
            added: 0,
            next_ordinals: HashMap::new(),
        }
    }

    /// The message's record until now.
    fn before(&self, message_id: Uuid) -> Result<Option<Record>, Cause> {
        if let Some(change) = self.by_message.get(&message_id) {
            return Ok(self.changes[*change].record.clone());
        }
        let found = self.view.snapshot.find(self.fields, message_id)?;
        Ok(found.filter(|record| !self.removals.contains(record)))
    }

    /// The ordinal of a message from now on, given its record until now.
    fn place(&mut self, document: &TextDocument, before: Option<&Record>) -> u32 {
        let facets = &document.facets;
        if let Some(before) = before
            && before.facets.space == facets.space
            && before.facets.thread == facets.thread
        {
            return before.ordinal;
        }
        let thread = (facets.space.clone(), facets.thread.clone());
        let next = self
            .next_ordinals
            .entry(thread)
            .or_insert_with(|| self.view.turns.next_ordinal(&facets.space, &facets.thread));
        let ordinal = *next;
        *next += 1;
        ordinal
    }

    fn note(&mut self, message_id: Uuid, before: Option<Record>, record: Option<Record>) {
        self.added += i64::from(record.is_some()) - i64::from(before.is_some());
        self.by_message.insert(message_id, self.changes.len());
        self.changes.push(Change { before, record });
    }
}

fn open_writer(index: &Index, memory: usize) -> Result<IndexWriter, Cause> {
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(memory)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer: IndexWriter = start_in_background(|| index.writer_with_options(options))??;
    let mut merges = LogMergePolicy::default();
    merges.set_min_layer_size(SMALL_SEGMENT);
    merges.set_del_docs_ratio_before_merge(TOLERATED_DELETES);
    writer.set_merge_policy(Box::new(merges));
    Ok(writer)
}

/// Refuses an index if a file that opening reads is not as it was written: the index library checks nothing and may panic,
/// and a damaged number could ask for any amount of memory. Returns the files that remain to be checked.
fn check_what_is_read(index: &Index, schema: &Schema) -> Result<Vec<PathBuf>, Cause> {
    if index.schema() != *schema {
        return Err(Cause("its fields are not those of this version".to_owned()));
    }
    let directory = index.directory();
    let mut unread = Vec::new();
    for file in index.load_metas()?.list_segment_files() {
        let is_read = file.extension().is_some_and(|kind| kind == COLUMNS_FILE || kind == DELETIONS_FILE);
        // Segments need not have all kinds of files. Where one is missing, the index library says so.
        let exists = directory.exists(&file)?;
        if exists && !is_read {
            unread.push(file);
        } else if exists && !directory.validate_checksum(&file)? {
            return Err(Cause(damage(&file.display().to_string())));
        }
    }
    Ok(unread)
}

fn failure(directory: &Path, action: &'static str, cause: Cause) -> StoreError {
    StoreError { store: "text", path: directory.to_owned(), action, cause: cause.0 }
}
