//! Which identities are taken: the newest in memory, the older ones in an index on disk beside how far it goes.
//!
//! ```text
//!   topic   0 ............ checkpoint | .......... read to
//!           in the index              | in memory, with those whose first record is still on its way
//! ```
//!
//! Owns: both, and that a start reads only what is behind the index's checkpoints. The index belongs to one cluster and the
//! topics that it was made from; one that belongs to others, or that is damaged, is made again from the records. While it
//! cannot be written, for which a full disk is enough, identities stay in memory.
//! Never: answers an append.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use meshlog_schemas::{EventId, Offset, Partition, Position, Topic};

use super::appends::Slot;
use crate::{
    identity_index::{IdentityIndex, remove},
    lock::lock,
    log::LogError,
    reopen::{Closed, Reopenable},
};

/// After how many records that were read the index is written.
const FLUSH_AT: usize = 50_000;

/// A record's identity, which counts on its topic.
pub(super) type Identity = (Topic, EventId);

/// Where the reading of a partition stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Behind the last record that was read.
    pub(super) next: Offset,
    /// When that record was appended; microseconds since the epoch. By this it is known again.
    pub(super) appended_at: i64,
}

/// The identities that are taken.
pub(super) struct Taken {
    state: Mutex<State>,
    index: Option<Index>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) slots: HashMap<Identity, Slot>,
    /// How many records were read since the index was written last; of no more are identities held here.
    unwritten: usize,
    marks: Marks,
}

type Marks = BTreeMap<Partition, Mark>;

struct Index {
    entries: Reopenable<IdentityIndex>,
    /// What the index is of.
    of: String,
    /// How far it went when it was written last.
    written: Arc<Mutex<Marks>>,
}

impl Taken {
    /// All in memory.
    pub(super) fn in_memory() -> Self {
        Self { state: Mutex::default(), index: None }
    }

    /// With the index in `path`, for the topics that `of` names.
    ///
    /// # Errors
    /// The directory cannot be used, or another process uses it.
    pub(super) fn open(path: &Path, of: String) -> Result<Self, LogError> {
        let unusable = |cause: String| LogError::Unusable { path: path.to_owned(), cause };
        std::fs::create_dir_all(path).map_err(|error| unusable(format!("{error}; choose another with --data")))?;
        let index = match Index::open(path, &of) {
            Ok(Some(index)) => index,
            Ok(None) => Index::make_again(path, &of).map_err(unusable)?,
            Err(error) if is_locked(&error) => {
                return Err(unusable(
                    "another process uses it; give each a directory of its own with --data".to_owned(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "the index of identities cannot be used and is made again from the records");
                Index::make_again(path, &of).map_err(unusable)?
            }
        };
        let marks = lock(&index.written).clone();
        Ok(Self { state: Mutex::new(State { marks, ..State::default() }), index: Some(index) })
    }

    /// How far each partition has been read.
    pub(super) fn marks(&self) -> Marks {
        self.lock().marks.clone()
    }

    /// Empties the index, because the records are others than those it was made from.
    pub(super) fn forget(&mut self, path: &Path) -> Result<(), LogError> {
        *self.lock() = State::default();
        // Closed before its files are removed.
        let Some(of) = self.index.take().map(|index| index.of) else { return Ok(()) };
        let made = Index::make_again(path, &of);
        self.index = Some(made.map_err(|cause| LogError::Unusable { path: path.to_owned(), cause })?);
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Where a record stands, by the index.
    ///
    /// # Errors
    /// It cannot be read. While it is closed after a failed write, until there is space again, the disk counts as full.
    pub(super) fn find(&self, (topic, id): Identity) -> io::Result<Option<Position>> {
        let Some(index) = &self.index else { return Ok(None) };
        index.entries.read(|entries| entries.find(topic, id)).map_err(closed)?
    }

    /// Writes to the index what is known, if it is worth it or if it `must`. On failure it stays in memory, and the next time
    /// the index is opened again first.
    ///
    /// # Errors
    /// The index cannot be written.
    pub(super) fn flush(&self, must: bool) -> io::Result<()> {
        let Some(index) = &self.index else { return Ok(()) };
        let (entries, marks, read) = {
            let state = self.lock();
            if state.unwritten == 0 || (!must && state.unwritten < FLUSH_AT) {
                return Ok(());
            }
            let stored = |(identity, slot): (&Identity, &Slot)| {
                // Also one that was read and whose delivery is not told yet: the marks are behind it.
                slot.position().map(|position| (identity.0, identity.1, position))
            };
            (state.slots.iter().filter_map(stored).collect::<Vec<_>>(), state.marks.clone(), state.unwritten)
        };
        index.entries.recover()?;
        let text = index.text(&marks);
        index.entries.write(|index| index.write(entries.iter().copied(), text.as_bytes())).map_err(closed)??;
        *lock(&index.written) = marks;
        let mut state = self.lock();
        state.unwritten -= read;
        for (topic, id, _) in &entries {
            if let Some(Slot::Stored(_)) = state.slots.get(&(*topic, *id)) {
                state.slots.remove(&(*topic, *id));
            }
        }
        Ok(())
    }
}

impl State {
    /// The record of an identity stands on the log.
    pub(super) fn store(&mut self, identity: Identity, position: Position) -> Option<Slot> {
        self.slots.insert(identity, Slot::Stored(position))
    }

    /// A partition has been read so far.
    pub(super) fn passed(&mut self, partition: Partition, mark: Mark) {
        self.marks.insert(partition, mark);
        self.unwritten += 1;
    }
}

impl Index {
    /// Opens the index in `path`; `None` if it is empty, or of something else.
    fn open(path: &Path, of: &str) -> io::Result<Option<Self>> {
        let entries = IdentityIndex::open(path)?;
        Ok(marks(&entries, of).map(|marks| Self::new(path, of, entries, marks)))
    }

    /// An empty one in place of whatever is in `path`.
    fn make_again(path: &Path, of: &str) -> Result<Self, String> {
        remove(path)?;
        let entries = IdentityIndex::open(path).map_err(|error| error.to_string())?;
        Ok(Self::new(path, of, entries, Marks::new()))
    }

    fn new(path: &Path, of: &str, entries: IdentityIndex, marks: Marks) -> Self {
        let written = Arc::new(Mutex::new(marks));
        let open_again = {
            let (path, of, written) = (path.to_owned(), of.to_owned(), written.clone());
            move || {
                let entries = IdentityIndex::open(&path)?;
                let reached = self::marks(&entries, &of).unwrap_or_default();
                let is_there = |(partition, mark): (&Partition, &Mark)| {
                    reached.get(partition).is_some_and(|reached| reached.next >= mark.next)
                };
                // What was let go of in memory must be in it.
                match lock(&written).iter().all(is_there) {
                    true => Ok(entries),
                    false => Err(io::Error::other("entries are missing; after a restart they are read again")),
                }
            }
        };
        Self { entries: Reopenable::new(path, entries, open_again), of: of.to_owned(), written }
    }

    /// What it is of, and a line for each partition: `messages 2 17 1746705360000000`.
    fn text(&self, marks: &Marks) -> String {
        let line = |(partition, mark): (&Partition, &Mark)| {
            format!("\n{} {} {} {}", partition.topic, partition.id, mark.next, mark.appended_at)
        };
        self.of.clone() + &marks.iter().map(line).collect::<String>()
    }
}

/// How far an index goes; `None` if it is empty, or of something else.
fn marks(entries: &IdentityIndex, of: &str) -> Option<Marks> {
    let text = String::from_utf8(entries.state().ok()??).ok()?;
    let mut lines = text.lines();
    (lines.next()? == of).then_some(())?;
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let partition = Partition { topic: words.next()?.parse().ok()?, id: words.next()?.parse().ok()? };
            let mark = Mark { next: words.next()?.parse().ok()?, appended_at: words.next()?.parse().ok()? };
            Some((partition, mark))
        })
        .collect()
}

fn closed(closed: Closed) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, format!("the index of identities: {closed}"))
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("Locked")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::small_disk::{Ballast, on_a_small_disk};

    fn identity(id: u128) -> Identity {
        (Topic::Messages, EventId(Uuid::from_u128(id)))
    }

    fn position(offset: Offset) -> Position {
        Position { partition: Partition { topic: Topic::Messages, id: 1 }, offset }
    }

    fn filled(path: &Path) -> Taken {
        let taken = Taken::open(path, "cluster topics".to_owned()).unwrap();
        for offset in 0..10 {
            let mut state = taken.lock();
            state.store(identity(offset.into()), position(offset));
            state.passed(position(0).partition, Mark { next: offset + 1, appended_at: 7 });
        }
        taken.flush(true).unwrap();
        taken
    }

    #[test]
    fn what_was_flushed_is_found_again_and_held_in_memory_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let taken = filled(folder.path());
        assert!(taken.lock().slots.is_empty());
        drop(taken);
        let taken = Taken::open(folder.path(), "cluster topics".to_owned()).unwrap();
        assert_eq!(taken.find(identity(3)).unwrap(), Some(position(3)));
        assert_eq!(taken.find(identity(10)).unwrap(), None);
        let mark = Mark { next: 10, appended_at: 7 };
        assert_eq!(taken.marks(), BTreeMap::from([(position(0).partition, mark)]));
    }

    #[test]
    fn records_without_identities_are_not_read_again_either() {
        let folder = tempfile::tempdir().unwrap();
        let taken = Taken::open(folder.path(), "cluster topics".to_owned()).unwrap();
        let mark = Mark { next: 5, appended_at: 7 };
        taken.lock().passed(position(0).partition, mark);
        taken.flush(true).unwrap();
        drop(taken);
        let taken = Taken::open(folder.path(), "cluster topics".to_owned()).unwrap();
        assert_eq!(taken.marks(), BTreeMap::from([(position(0).partition, mark)]));
    }

    #[test]
    fn an_index_of_other_topics_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        drop(filled(folder.path()));
        let taken = Taken::open(folder.path(), "another cluster".to_owned()).unwrap();
        assert_eq!((taken.find(identity(3)).unwrap(), taken.marks().len()), (None, 0));
    }

    #[test]
    fn a_full_disk_is_left_behind_without_a_restart() {
        let test = "kafka::taken::tests::a_full_disk_is_left_behind_without_a_restart";
        let Some(disk) = on_a_small_disk(test, 96) else { return };
        let path = disk.join("identities");
        let taken = Taken::open(&path, "cluster topics".to_owned()).unwrap();
        let mut next = 0;
        let mut read = |taken: &Taken| {
            let mut state = taken.lock();
            for _ in 0..20_000 {
                state.store(identity(next.into()), position(next));
                next += 1;
                state.passed(position(0).partition, Mark { next, appended_at: 7 });
            }
        };
        read(&taken);
        taken.flush(true).unwrap();
        for _ in 0..3 {
            let ballast = Ballast::load(&disk, 256 * 1024);
            read(&taken);
            // What fjall holds back it may still take.
            let begun = std::time::Instant::now();
            while taken.flush(true).is_ok() {
                assert!(begun.elapsed() < std::time::Duration::from_secs(60), "the disk is full");
                read(&taken);
            }
            assert!(taken.flush(true).is_err(), "it is not written as long as the disk is full");
            assert_eq!(taken.find(identity(17)).unwrap(), Some(position(17)), "reads go on");
            assert!(!taken.lock().slots.is_empty());
            drop(ballast);
            taken.flush(true).unwrap();
            assert!(taken.lock().slots.is_empty());
        }
        let marks = taken.marks();
        drop(taken);
        let taken = Taken::open(&path, "cluster topics".to_owned()).unwrap();
        assert_eq!(taken.marks(), marks);
        let last = marks[&position(0).partition].next - 1;
        assert_eq!(taken.find(identity(last.into())).unwrap(), Some(position(last)));
    }

    #[test]
    fn two_processes_cannot_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let _first = filled(folder.path());
        let second = Taken::open(folder.path(), "cluster topics".to_owned()).err().unwrap().to_string();
        assert!(second.contains("another process uses it"), "{second}");
    }
}
