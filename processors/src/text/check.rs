//! Checks: whether the files of an index are as they were written.
//!
//! Owns: the checksums of files that are not read when a store opens, which are computed in the background while it serves,
//! and the mark that a damaged index bears.
//! Promises: an index that was found damaged is refused from then on; a check that is dropped ends at the next file and uses
//! none when the drop returns.
//! Never: changes the index. Nothing else may either until the check has ended: a merge would write damage into new files
//! and give them right checksums, and the index library would take the process down when it deletes by damaged terms.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use meshlog_pipeline::work_in_background;

use super::cause::{Cause, REBUILD, reading};

/// The file beside an index that names the one that was found damaged.
const MARK: &str = "damaged";

/// A check under way, or its outcome.
pub(crate) struct Check {
    /// Why the index may not be used. Set when the check has ended, unless it was dropped before.
    outcome: Arc<OnceLock<Result<(), String>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Refuses an index that an earlier check found damaged.
pub(crate) fn refuse_marked(directory: &Path) -> Result<(), Cause> {
    match fs::read_to_string(directory.join(MARK)) {
        Ok(file) => Err(Cause(damage(&file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says that a file is damaged, and what to do.
pub(crate) fn damage(file: &str) -> String {
    format!("the file {file} does not have the content it was written with; {REBUILD}")
}

impl Check {
    /// Starts to check files of the index in `directory`. `is_sound` says of each whether it is as it was written.
    pub(crate) fn start(
        directory: &Path,
        files: Vec<PathBuf>,
        is_sound: impl Fn(&Path) -> Result<bool, Cause> + Send + 'static,
    ) -> Result<Self, Cause> {
        let (outcome, stopping) = (Arc::new(OnceLock::new()), Arc::new(AtomicBool::new(false)));
        let work = {
            let (directory, outcome, stopping) = (directory.to_owned(), outcome.clone(), stopping.clone());
            move || {
                work_in_background();
                if let Some(found) = check(&directory, &files, &is_sound, &stopping) {
                    let _ = outcome.set(found);
                }
            }
        };
        let thread = std::thread::Builder::new().name("text-check".to_owned()).spawn(work)?;
        Ok(Self { outcome, stopping, thread: Some(thread) })
    }

    /// Why the index may not be used, as far as that is known.
    pub(crate) fn so_far(&self) -> Result<(), Cause> {
        self.outcome.get().cloned().unwrap_or(Ok(())).map_err(Cause)
    }

    /// Waits until every file was checked. Why the index may not be used.
    pub(crate) fn to_the_end(&self) -> Result<(), Cause> {
        self.outcome.wait().clone().map_err(Cause)
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It catches what may panic in it.
            let _ = thread.join();
        }
    }
}

/// `None` if it was stopped.
fn check(
    directory: &Path,
    files: &[PathBuf],
    is_sound: impl Fn(&Path) -> Result<bool, Cause>,
    stopping: &AtomicBool,
) -> Option<Result<(), String>> {
    for file in files {
        if stopping.load(Ordering::Acquire) {
            return None;
        }
        match reading(|| is_sound(file)) {
            Ok(true) => {}
            Ok(false) => {
                let file = file.display().to_string();
                tracing::error!(directory = %directory.display(), "the text store is damaged: {}", damage(&file));
                if let Err(error) = fs::write(directory.join(MARK), &file) {
                    tracing::warn!(%error, directory = %directory.display(), "a damaged text store could not be marked");
                }
                return Some(Err(damage(&file)));
            }
            // It may be readable next time, so it is no reason to build the index anew.
            Err(Cause(cause)) => return Some(Err(format!("the file {} cannot be checked: {cause}", file.display()))),
        }
    }
    Some(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use tempfile::TempDir;

    use super::*;

    fn files() -> Vec<PathBuf> {
        ["a.term", "b.idx", "c.store"].map(PathBuf::from).to_vec()
    }

    #[test]
    fn a_damaged_file_is_named_and_marks_the_index() {
        let directory = TempDir::new().unwrap();
        assert!(refuse_marked(directory.path()).is_ok());
        let check = Check::start(directory.path(), files(), |file| Ok(file != Path::new("b.idx"))).unwrap();
        let Cause(found) = check.to_the_end().unwrap_err();
        assert!(found.contains("b.idx") && found.contains("meshlog replay rebuild text"), "{found}");
        assert_eq!(check.so_far().unwrap_err().0, found);
        assert_eq!(refuse_marked(directory.path()).unwrap_err().0, found);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_marks_nothing() {
        let directory = TempDir::new().unwrap();
        for panics in [false, true] {
            let check = Check::start(directory.path(), files(), move |_| {
                assert!(!panics, "the length is beyond the end");
                Err(Cause("too many open files".to_owned()))
            });
            let check = check.unwrap();
            let Cause(found) = check.to_the_end().unwrap_err();
            assert!(found.contains("a.term"), "{found}");
            assert!(refuse_marked(directory.path()).is_ok());
        }
    }

    #[test]
    fn nothing_is_held_against_an_index_before_something_was_found() {
        let directory = TempDir::new().unwrap();
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let check = Check::start(directory.path(), files(), move |_| {
            wait.lock().unwrap().recv().unwrap();
            Ok(true)
        });
        let check = check.unwrap();
        assert!(check.so_far().is_ok());
        files().iter().for_each(|_| go_on.send(()).unwrap());
        assert!(check.to_the_end().is_ok() && check.so_far().is_ok());
    }

    #[test]
    fn a_check_that_is_dropped_ends_at_the_next_file() {
        let directory = TempDir::new().unwrap();
        let (begun, begins) = mpsc::channel();
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let check = Check::start(directory.path(), files(), move |file| {
            begun.send(file.to_owned()).unwrap();
            wait.lock().unwrap().recv().unwrap();
            Ok(true)
        });
        let check = check.unwrap();
        assert_eq!(begins.recv().unwrap(), Path::new("a.term"));
        check.stopping.store(true, Ordering::Release);
        go_on.send(()).unwrap();
        drop(check);
        // Its thread has ended, and with it what would have sent another file.
        assert!(begins.recv().is_err());
    }
}
