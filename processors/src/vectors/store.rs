//! The store: vectors of messages in one directory.
//!
//! Owns: the operations that others call, each in one transaction, and their errors.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use meshlog_schemas::{Checkpoints, Digest};
use rayon::{ThreadPool, ThreadPoolBuilder};
use uuid::Uuid;

use super::{
    VectorHits, VectorItem, VectorOptions, VectorQuery,
    cause::Cause,
    cosine::cosine,
    environment::Environment,
    record::{StoredVector, blank_facets, decode_facets_into},
    search::Search,
    tables::{Tables, missing},
    write::{Batch, validate},
};
use crate::{Forgetting, Forgotten, StoreError};

/// An open store. It can be shared between threads: any number of them read while one writes, and each read sees the
/// state of the last finished [`apply`](VectorStore::apply). Every call blocks on the disk; keep it off async threads.
///
/// Dropping the store closes it; its directory can then be deleted, or opened again.
pub struct VectorStore {
    directory: PathBuf,
    options: VectorOptions,
    tables: Tables,
    environment: Environment,
    threads: ThreadPool,
    /// What is forgotten as of the last commit. Held while a batch is applied.
    forgotten: Mutex<Forgotten>,
}

impl VectorStore {
    /// Opens the store in `directory` with default options, creating it when missing.
    ///
    /// # Errors
    ///
    /// See [`VectorStore::open_with`].
    pub fn open(directory: &Path, dimensions: usize) -> Result<Self, StoreError> {
        Self::open_with(directory, dimensions, VectorOptions::default())
    }

    /// Opens the store in `directory` for vectors of `dimensions` elements, creating it when missing.
    ///
    /// # Errors
    ///
    /// If the directory cannot be written; if it is already open in this process; if it holds vectors of other
    /// dimensions, or of another layout, or a damaged or truncated file: delete it and rebuild from the log.
    pub fn open_with(directory: &Path, dimensions: usize, options: VectorOptions) -> Result<Self, StoreError> {
        Self::try_open(directory, dimensions, options).map_err(|cause| cause.during("open", directory))
    }

    fn try_open(directory: &Path, dimensions: usize, options: VectorOptions) -> Result<Self, Cause> {
        let environment = Environment::open(directory, &options)?;
        let tables = Tables::open(&environment, dimensions)?;
        let threads = ThreadPoolBuilder::new()
            .thread_name(|number| format!("vector-scan-{number}"))
            .build()
            .map_err(|error| Cause::refused(error.to_string()))?;
        let forgotten = Mutex::new(tables.forgotten(&*environment.read()?)?);
        Ok(Self { directory: directory.to_owned(), options, tables, environment, threads, forgotten })
    }

    /// How far the events behind the stored items have been read.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn checkpoints(&self) -> Result<Checkpoints, StoreError> {
        self.attempt("read its checkpoints", || self.tables.checkpoints(&*self.environment.read()?))
    }

    /// Inserts items, replacing those of the same message or, where there is no vector, removing them, and advances the checkpoints, all in one transaction: when
    /// this returns, everything is durable and visible to every search that begins; on an error, nothing has changed.
    ///
    /// Calling it again with the same items changes nothing. Checkpoints never move back; partitions that are not given
    /// keep theirs.
    ///
    /// # Errors
    ///
    /// If a vector has other dimensions than the store, or an element that is no finite number (the message is named),
    /// or the store cannot be written.
    pub fn apply(&self, items: &[VectorItem], checkpoints: &Checkpoints) -> Result<(), StoreError> {
        self.apply_and_forget(items, &[], checkpoints)
    }

    /// As [`VectorStore::apply`], and forgets: what is covered by a forgetting, of this call or of any before, is in no
    /// answer and not taken in, whichever comes first. A message whose newest item is covered is forgotten whole. Its rows
    /// are removed by this and later calls, a bounded number by each, or by [`VectorStore::sweep`].
    ///
    /// # Errors
    ///
    /// As for [`VectorStore::apply`].
    pub fn apply_and_forget(
        &self,
        items: &[VectorItem],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<(), StoreError> {
        self.attempt("apply a batch", || self.try_apply(items, forgettings, checkpoints).map(drop))
    }

    /// Removes some of the rows of forgotten messages. Whether there are more.
    ///
    /// # Errors
    ///
    /// If the store cannot be written; nothing has changed then.
    pub fn sweep(&self) -> Result<bool, StoreError> {
        self.attempt("remove what is forgotten", || self.try_apply(&[], &[], &Checkpoints::default()))
    }

    /// Whether rows of forgotten messages remain.
    fn try_apply(
        &self,
        items: &[VectorItem],
        forgettings: &[Forgetting],
        checkpoints: &Checkpoints,
    ) -> Result<bool, Cause> {
        items.iter().try_for_each(|item| validate(item, self.tables.dimensions))?;
        let mut known = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let mut forgotten = Cow::Borrowed(&*known);
        for forgetting in forgettings {
            forgotten.to_mut().add(forgetting);
        }
        let mut writing = self.environment.write()?;
        let transaction = &mut writing.transaction;
        let mut numbering = self.tables.numbering(transaction)?;
        if !items.is_empty() || !forgettings.is_empty() || !numbering.forgotten.is_empty() {
            let mut batch = Batch::new(&self.tables, transaction, &mut numbering);
            batch.forget(forgettings)?;
            for item in items {
                match item.vector.is_empty() || forgotten.covers(item.message_id, &item.facets) {
                    true => batch.forget_message(item.message_id, |_| true)?,
                    false => batch.upsert(item)?,
                }
            }
            batch.sweep()?;
            batch.finish()?;
            self.tables.put_numbering(transaction, &numbering)?;
        }
        let mut advanced = self.tables.checkpoints(transaction)?;
        checkpoints.iter().for_each(|(partition, next)| advanced.advance(partition, next));
        self.tables.put_checkpoints(transaction, &advanced)?;
        writing.commit()?;
        if let Cow::Owned(forgotten) = forgotten {
            *known = forgotten;
        }
        Ok(!numbering.forgotten.is_empty())
    }

    /// A digest of the messages with their facets and vectors. Stores that were fed the same items agree on it, in
    /// whatever batches, and whether or not they have an index. Reads everything.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        self.digest_telling(&|| ())
    }

    /// As there; `fixed` is called once what is digested is fixed.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, StoreError> {
        self.attempt("compute its digest", || self.try_digest(fixed))
    }

    fn try_digest(&self, fixed: &dyn Fn()) -> Result<Digest, Cause> {
        let transaction = self.environment.read()?;
        fixed();
        let forgotten = self.tables.numbering(&transaction)?.forgotten;
        let mut digest = Digest::default();
        let mut facets = blank_facets();
        for entry in self.tables.items.iter(&transaction)? {
            let (number, bytes) = entry?;
            if forgotten.contains(number) {
                continue;
            }
            let item = StoredVector::decode(bytes, self.tables.dimensions)?;
            let bytes = self.tables.facets.get(&transaction, &number)?.ok_or_else(|| missing(number))?;
            decode_facets_into(bytes, &mut facets)?;
            digest.add(&[
                item.message_id.as_bytes(),
                facets.space.as_bytes(),
                facets.thread.as_bytes(),
                facets.author.as_bytes(),
                facets.role.as_bytes(),
                &facets.sent_at.to_le_bytes(),
                item.elements,
            ]);
        }
        Ok(digest)
    }

    /// How many messages have a vector.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.attempt("count its items", || {
            let transaction = self.environment.read()?;
            Ok(self.tables.items.len(&transaction)? - self.tables.numbering(&transaction)?.forgotten.len())
        })
    }

    /// The messages nearest to a vector, of those that pass a filter. The module doc says when the answer is exact.
    ///
    /// # Errors
    ///
    /// If the query's vector has other dimensions than the store, or an element that is no finite number, or the store
    /// cannot be read.
    pub fn search(&self, query: &VectorQuery<'_>) -> Result<VectorHits, StoreError> {
        self.attempt("search", || {
            self.validate_query(query.vector)?;
            let transaction = self.environment.read()?;
            let search = Search {
                tables: &self.tables,
                transaction: &transaction,
                options: &self.options,
                threads: &self.threads,
            };
            search.nearest(query)
        })
    }

    /// The exact cosine of a vector with each of these messages, in their order; `None` where a message has no vector.
    ///
    /// # Errors
    ///
    /// As for [`VectorStore::search`].
    pub fn cosines(&self, query: &[f32], messages: &[Uuid]) -> Result<Vec<Option<f32>>, StoreError> {
        self.attempt("compute cosines", || {
            self.validate_query(query)?;
            let transaction = self.environment.read()?;
            let forgotten = self.tables.numbering(&transaction)?.forgotten;
            let cosine_of = |message: &Uuid| match self.tables.number_of(&transaction, *message)? {
                None => Ok(None),
                Some(number) if forgotten.contains(number) => Ok(None),
                Some(number) => Ok(Some(cosine(query, self.tables.vector(&transaction, number)?.elements))),
            };
            messages.iter().map(cosine_of).collect()
        })
    }

    fn validate_query(&self, vector: &[f32]) -> Result<(), Cause> {
        if vector.len() != self.tables.dimensions {
            let (given, stored) = (vector.len(), self.tables.dimensions);
            return Err(Cause::refused(format!("the query's vector has {given} dimensions of {stored}")));
        }
        match vector.iter().position(|element| !element.is_finite()) {
            Some(element) => {
                Err(Cause::refused(format!("element {element} of the query's vector is {}", vector[element])))
            }
            None => Ok(()),
        }
    }

    fn attempt<T>(&self, action: &'static str, work: impl FnOnce() -> Result<T, Cause>) -> Result<T, StoreError> {
        work().map_err(|cause| cause.during(action, &self.directory))
    }
}

#[cfg(test)]
impl VectorStore {
    /// Which numbers are in use, and which rows are still to be removed.
    pub(super) fn numbering(&self) -> super::tables::Numbering {
        let transaction = self.environment.read().expect("readable");
        self.tables.numbering(&transaction).expect("readable")
    }
}
