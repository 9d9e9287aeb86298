//! The environment: the LMDB data file, opened and kept safe to map.
//!
//! Owns: opening and closing, transactions, and the rule that the file covers every page it counts.
//! Promises: a file that was cut short is reported when it is opened. Reading a mapped page beyond the end of the file
//! would end the process (SIGBUS), and LMDB does not check.
//! Never: protects against a file that is cut or overwritten while it is open, or whose pages hold wrong bytes: LMDB
//! keeps no checksums. Such damage is found by comparing digests with a rebuilt store.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use heed::{CommitOrAbort, DatabaseOpener, Env, EnvOpenOptions, OnCommit, RoTxn, RwTxn, WithoutTls};

use super::{VectorOptions, cause::Cause};

/// Named databases in the environment, with some to spare.
const DATABASES: u32 = 8;

/// Searches that can run at one time; more are refused by LMDB. 64 bytes each.
const READERS: u32 = 1_024;

/// An open data file. Dropping it closes the file, and the directory may then be deleted or opened again.
pub(super) struct Environment {
    env: Env<WithoutTls>,
    /// Held from before a write transaction begins until the file covers its pages, so that two writers cannot undo each
    /// other's growth.
    writing: Mutex<()>,
}

impl Environment {
    /// Opens the data file in `directory`, creating both when missing.
    pub(super) fn open(directory: &Path, options: &VectorOptions) -> Result<Self, Cause> {
        fs::create_dir_all(directory)?;
        let mut open = EnvOpenOptions::new().read_txn_without_tls();
        open.map_size(options.largest_file).max_dbs(DATABASES).max_readers(READERS);
        // Safety: the file is mapped, so it must not change under us other than through LMDB. The directory belongs to
        // this store alone, LMDB's lock file keeps a second process from breaking the data, heed refuses a second
        // opening in this process, and the one thing we do to the file ourselves, growing it, invalidates no page.
        #[allow(unsafe_code)]
        let env = unsafe { open.open(directory)? };
        let environment = Self { env, writing: Mutex::new(()) };
        let (length, needed) = (environment.length()?, environment.needed_length()?);
        if length < needed {
            return Err(Cause::damaged(format!("the data file has {length} bytes of at least {needed}")));
        }
        Ok(environment)
    }

    /// Opens databases, creating those that are missing.
    pub(super) fn create_databases<'e, D: OnCommit>(
        &'e self,
        create: impl FnOnce(&DatabaseOpener<'e, WithoutTls>, &mut RwTxn<'e>) -> heed::Result<D>,
    ) -> Result<D::Committed, Cause> {
        let writing = self.write()?;
        let created = self.env.create_databases_and_commit(writing.transaction, |open, transaction| {
            create(open, transaction).map(CommitOrAbort::<D, Infallible>::Commit)
        })?;
        self.cover_pages()?;
        match created {
            CommitOrAbort::Commit(databases) => Ok(databases),
            CommitOrAbort::Abort(never) => match never {},
        }
    }

    /// Begins to read the state as of now. Keep it short: pages freed meanwhile cannot be reused.
    pub(super) fn read(&self) -> Result<RoTxn<'_, WithoutTls>, Cause> {
        Ok(self.env.read_txn()?)
    }

    /// Begins to write, once no other writer is active. Nothing is written unless [`Writing::commit`] is called.
    pub(super) fn write(&self) -> Result<Writing<'_>, Cause> {
        let guard = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Writing { transaction: self.env.write_txn()?, environment: self, _guard: guard })
    }

    fn length(&self) -> Result<u64, Cause> {
        Ok(self.env.real_disk_size()?)
    }

    /// The bytes that hold all pages counted by the last commit.
    fn needed_length(&self) -> Result<u64, Cause> {
        let page = u64::from(self.env.unnamed_database_stat().page_size);
        let pages = self.env.info().last_page_number as u64 + 1;
        pages.checked_mul(page).ok_or_else(|| Cause::damaged(format!("the data file counts {pages} pages")))
    }

    /// Grows the file to the length that [`Environment::open`] insists on. LMDB leaves it shorter when the last pages of
    /// a transaction were allocated and then not needed. After a crash in between, a good file counts as cut: rare, and
    /// it costs a rebuild.
    fn cover_pages(&self) -> Result<(), Cause> {
        let needed = self.needed_length()?;
        if self.length()? < needed {
            let file = self.env.try_clone_inner_file()?;
            file.set_len(needed)?;
            file.sync_all()?;
        }
        Ok(())
    }
}

/// A write transaction; dropping it changes nothing.
pub(super) struct Writing<'e> {
    /// The transaction itself. Commit it through [`Writing::commit`] only.
    pub transaction: RwTxn<'e>,
    environment: &'e Environment,
    _guard: MutexGuard<'e, ()>,
}

impl Writing<'_> {
    /// Makes all of it visible and durable, or none of it.
    pub(super) fn commit(self) -> Result<(), Cause> {
        self.transaction.commit()?;
        self.environment.cover_pages()
    }
}
