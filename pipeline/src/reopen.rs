//! Going on after a failed write: a fjall database that is closed and opened again in place.
//!
//! After one write or flush has failed, and a full disk is enough for that, fjall takes no more of them until its database is
//! opened anew. Reads go on. So the old one is kept until there is space again, and only then replaced.
//!
//! Owns: when the database is replaced, that nobody reads meanwhile, and that nothing of the old one can write any more when
//! the new one is opened.
//! Never: judges what the new one holds. It may stand at another write than the last that succeeded; whoever wrote, knows.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

/// Free space without which a database is not opened again: what it writes at once when it is, and some of what comes then.
const ROOM: u64 = 16 * 1024 * 1024;
/// How long the threads of a database that was closed may take to end.
const LONGEST_END: Duration = Duration::from_secs(10);

/// How a database is opened.
type Open<T> = Box<dyn Fn() -> io::Result<T> + Send + Sync>;

/// A fjall database (with its keyspaces, `T`) in a directory.
pub struct Reopenable<T> {
    directory: PathBuf,
    open: Open<T>,
    /// The database, or why it could not be opened again. What is read must not outlive the lock: the files below it go.
    database: RwLock<Result<T, String>>,
    has_failed: AtomicBool,
    is_awaited: AtomicBool,
}

/// The database was closed after a failed write, and could not be opened again yet.
#[derive(Debug, thiserror::Error)]
#[error("after a failed write it could not be opened again, which is tried on: {0}")]
pub struct Closed(String);

impl<T> Reopenable<T> {
    /// Takes `database`, which is open in `directory`, and how it is opened again.
    pub fn new(directory: &Path, database: T, open: impl Fn() -> io::Result<T> + Send + Sync + 'static) -> Self {
        Self {
            directory: directory.to_owned(),
            open: Box::new(open),
            database: RwLock::new(Ok(database)),
            has_failed: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
        }
    }

    /// Reads. Waits for the moment that opening again takes.
    ///
    /// # Errors
    /// It could not be opened again.
    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> Result<R, Closed> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map(read).map_err(|cause| Closed(cause.clone()))
    }

    /// Writes, and remembers if that failed. Then nothing should be written before [`Reopenable::recover`].
    ///
    /// # Errors
    /// It could not be opened again.
    pub fn write<R, E>(&self, write: impl FnOnce(&T) -> Result<R, E>) -> Result<Result<R, E>, Closed> {
        let written = self.read(write)?;
        if written.is_err() {
            self.has_failed.store(true, Ordering::Release);
        }
        Ok(written)
    }

    /// Whether a write has failed since it was opened.
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Whether it could not be opened again after a failure, and cannot be read.
    pub fn is_closed(&self) -> bool {
        self.read(|_| ()).is_err()
    }

    /// Whether it waits to be opened again for a read to end: a long one should break off.
    pub fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::Relaxed)
    }

    /// Opens it again, if a write has failed and there is space.
    ///
    /// # Errors
    /// There is not enough space, and the old one can still be read; or it could not be opened.
    pub fn recover(&self) -> io::Result<()> {
        if !self.has_failed() {
            return Ok(());
        }
        make_sure_of_room(&self.directory)?;
        self.is_awaited.store(true, Ordering::Relaxed);
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        self.is_awaited.store(false, Ordering::Relaxed);
        // Another thread may have done it meanwhile.
        if self.has_failed() { self.replace(database) } else { Ok(()) }
    }

    fn replace(&self, mut database: RwLockWriteGuard<'_, Result<T, String>>) -> io::Result<()> {
        // Closes the old one: fjall then waits for its threads.
        *database = Err("it was given up".to_owned());
        match wait_for_the_end(&self.directory).and_then(|()| (self.open)()) {
            Ok(opened) => {
                *database = Ok(opened);
                self.has_failed.store(false, Ordering::Release);
                tracing::info!(path = %self.directory.display(), "opened again after a failed write");
                Ok(())
            }
            Err(error) => {
                *database = Err(error.to_string());
                tracing::warn!(path = %self.directory.display(), %error, "could not be opened again after a failed write");
                Err(error)
            }
        }
    }
}

/// A failure of fjall as an I/O error, so that a full disk is known as one.
///
/// A poisoned database only says that something failed before, perhaps in the background: most likely for lack of space, so
/// that is what it counts as. If it was anything else, the write that is tried again will say so. A locked one is in use, and
/// worth to be tried again too.
pub fn fjall_io_error(error: fjall::Error) -> io::Error {
    let mut kind = match &error {
        fjall::Error::Poisoned | fjall::Error::Locked => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    let mut cause: Option<&dyn Error> = Some(&error);
    while let Some(known) = cause {
        if let Some(io) = known.downcast_ref::<io::Error>() {
            kind = io.kind();
        }
        cause = known.source();
    }
    io::Error::new(kind, error.to_string())
}

/// Reserves some space and gives it back.
fn make_sure_of_room(directory: &Path) -> io::Result<()> {
    let reserve = || {
        let path = directory.join("room");
        let file = fs::File::create(&path)?;
        // At once: the space goes back with the handle, whatever happens.
        fs::remove_file(&path)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
            // Without reservation a full disk shows when it is opened.
            Err(Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    };
    reserve().map_err(|error: io::Error| {
        let path = directory.display();
        let megabytes = ROOM / (1024 * 1024);
        io::Error::new(error.kind(), format!("{path}: it is written again once {megabytes} MB are free: {error}"))
    })
}

/// Waits until the journals of a closed database are closed too.
///
/// fjall waits until its threads are past their work, not until they are gone, and the last one to go may be who writes out
/// what the journal held back when the disk was full. In a database that was opened meanwhile that would be damage.
fn wait_for_the_end(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let begun = Instant::now();
    while has_open_journals(&directory).unwrap_or(begun.elapsed() < Duration::from_secs(1)) {
        if begun.elapsed() > LONGEST_END {
            let path = directory.display();
            return Err(io::Error::new(io::ErrorKind::StorageFull, format!("{path}: its journal is still open")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether this process has a journal open in a directory; an error where the system does not tell.
fn has_open_journals(directory: &Path) -> io::Result<bool> {
    for file in fs::read_dir("/proc/self/fd")? {
        // A file may be closed meanwhile.
        let Ok(path) = fs::read_link(file?.path()) else { continue };
        if path.parent() == Some(directory) && path.extension().is_some_and(|extension| extension == "jnl") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tempfile::tempdir;

    use super::*;

    /// Fails to open again as often as there are errors.
    fn database(directory: &Path, errors: &Arc<Mutex<Vec<io::Error>>>) -> Reopenable<&'static str> {
        let errors = errors.clone();
        Reopenable::new(directory, "first", move || errors.lock().unwrap().pop().map_or(Ok("next"), Err))
    }

    fn fail(database: &Reopenable<&'static str>) {
        database.write(|_| Err::<(), _>("no")).unwrap().unwrap_err();
    }

    #[test]
    fn only_a_failed_write_has_it_opened_again() {
        let directory = tempdir().unwrap();
        let database = database(directory.path(), &Arc::default());
        database.write(|_| Ok::<_, ()>(())).unwrap().unwrap();
        database.recover().unwrap();
        assert_eq!(database.read(|name| *name).unwrap(), "first");
        fail(&database);
        assert_eq!(database.read(|name| *name).unwrap(), "first", "reads go on");
        database.recover().unwrap();
        assert_eq!(database.read(|name| *name).unwrap(), "next");
        assert!(!database.has_failed());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_could_not_be_opened_says_why_and_is_tried_again() {
        let directory = tempdir().unwrap();
        let errors = Arc::new(Mutex::new(vec![io::ErrorKind::StorageFull.into()]));
        let database = database(directory.path(), &errors);
        fail(&database);
        assert_eq!(database.recover().unwrap_err().kind(), io::ErrorKind::StorageFull);
        let closed = database.read(|name| *name).unwrap_err().to_string();
        assert!(closed.contains(&io::Error::from(io::ErrorKind::StorageFull).to_string()), "{closed}");
        database.recover().unwrap();
        assert_eq!(database.read(|name| *name).unwrap(), "next");
    }

    #[test]
    fn a_long_read_is_told_that_it_is_waited_for() {
        let directory = tempdir().unwrap();
        let database = database(directory.path(), &Arc::default());
        fail(&database);
        let (begun, begins) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let database = &database;
            scope.spawn(move || {
                database.read(|_| {
                    begun.send(()).unwrap();
                    while !database.is_awaited() {
                        std::thread::yield_now();
                    }
                })
            });
            begins.recv().unwrap();
            database.recover().unwrap();
        });
        assert!(!database.is_awaited());
        assert_eq!(database.read(|name| *name).unwrap(), "next");
    }

    #[test]
    fn it_is_not_opened_while_a_journal_is_open() {
        let directory = tempdir().unwrap();
        let open = fs::File::create(directory.path().join("0.jnl")).unwrap();
        assert!(has_open_journals(&directory.path().canonicalize().unwrap()).unwrap());
        drop(open);
        assert!(!has_open_journals(&directory.path().canonicalize().unwrap()).unwrap());
    }

    #[test]
    fn a_full_disk_below_fjall_is_known_as_one() {
        let full = fjall::Error::Io(io::ErrorKind::StorageFull.into());
        assert_eq!(fjall_io_error(full).kind(), io::ErrorKind::StorageFull);
        assert_eq!(fjall_io_error(fjall::Error::Poisoned).kind(), io::ErrorKind::StorageFull);
        let fault = fjall::Error::Io(io::ErrorKind::PermissionDenied.into());
        assert_eq!(fjall_io_error(fault).kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fjall_io_error(fjall::Error::Unrecoverable).kind(), io::ErrorKind::Other);
    }
}
