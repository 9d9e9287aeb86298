//! A disk in memory that can lose power, run full and fail, for tests.
//!
//! Owns: two states of every file and every name: what a program sees, and what a loss of power is sure to leave. What
//! lies between may be there, be gone or be torn, in any combination: [`SimulatedDisk::lose_power`] chooses by its
//! generator.
//! Never: runs by itself; whoever tests says when what happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Disk, File};
use crate::seeds::Chance;

/// What happens at an operation that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Fault {
    /// The power goes: this and every later operation fails.
    PowerLoss,
    /// The operation fails. A sync that fails may have written something or nothing, and will not be caught up.
    Error,
}

type Inode = u64;

#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    reserved: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// A change of names. Each is atomic, and those of one directory become durable in their order.
#[derive(Debug, Clone)]
enum Naming {
    Create(PathBuf, Inode),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Naming {
    fn directory(&self) -> Option<&Path> {
        let (Naming::Create(path, _) | Naming::Rename(path, _) | Naming::Remove(path)) = self;
        path.parent()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Inode>) {
        match self {
            Naming::Create(path, inode) => drop(names.insert(path.clone(), *inode)),
            Naming::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Naming::Remove(path) => drop(names.remove(path)),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, Inode>,
    durable_names: BTreeMap<PathBuf, Inode>,
    /// What happened to names since their directory was synced, in order.
    pending_names: Vec<Naming>,
    directories: BTreeSet<PathBuf>,
    contents: BTreeMap<Inode, Content>,
    next_inode: Inode,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    is_off: bool,
    /// How many bytes fit.
    space: Option<u64>,
    chance: u64,
}

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub(in crate::embedded) struct SimulatedDisk(Arc<Mutex<State>>);

struct SimulatedFile {
    disk: SimulatedDisk,
    inode: Inode,
}

impl SimulatedDisk {
    pub(in crate::embedded) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { chance: seed, ..State::default() })))
    }

    /// Lets something happen at the operation with this number, counted from now on.
    pub(in crate::embedded) fn plan(&self, operations: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.operations + operations;
        state.faults.insert(at, fault);
    }

    pub(in crate::embedded) fn set_space(&self, space: Option<u64>) {
        self.state().space = space;
    }

    pub(in crate::embedded) fn switch_off(&self) {
        self.state().is_off = true;
    }

    /// The disk as it may be found when the power comes back.
    pub(in crate::embedded) fn lose_power(&self) -> Self {
        let state = self.state();
        let mut chance = Chance(state.chance ^ state.operations);
        let mut found = State { chance: chance.next(), directories: state.directories.clone(), ..State::default() };
        // Of what happened to the names of a directory since it was synced, the first part is there.
        found.names = state.durable_names.clone();
        let directories: BTreeSet<_> = state.pending_names.iter().filter_map(Naming::directory).collect();
        for directory in directories {
            let pending = state.pending_names.iter().filter(|naming| naming.directory() == Some(directory));
            let pending: Vec<_> = pending.collect();
            let kept = chance.below(pending.len() as u64 + 1) as usize;
            pending[..kept].iter().for_each(|naming| naming.apply(&mut found.names));
        }
        for (inode, content) in &state.contents {
            let mut bytes = content.durable.clone();
            for change in &content.pending {
                match (chance.below(3), change) {
                    (0, _) => {}
                    (1, Change::Write(at, written)) => {
                        let torn = chance.below(written.len() as u64 + 1) as usize;
                        apply(&mut bytes, &Change::Write(*at, written[..torn].to_vec()));
                    }
                    _ => apply(&mut bytes, change),
                }
            }
            let content = Content { seen: bytes.clone(), durable: bytes, ..Content::default() };
            found.contents.insert(*inode, content);
        }
        found.durable_names = found.names.clone();
        found.next_inode = state.next_inode;
        Self(Arc::new(Mutex::new(found)))
    }

    /// The disk as it is found when only the process ended: everything that was written is there.
    pub(in crate::embedded) fn kill(&self) -> Self {
        let mut found = self.state().clone();
        found.is_off = false;
        found.faults.clear();
        Self(Arc::new(Mutex::new(found)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation that changes the disk; an error if something is planned for it.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.operations += 1;
        let at = state.operations;
        match state.faults.remove(&at) {
            Some(Fault::PowerLoss) => state.is_off = true,
            Some(Fault::Error) => return Err(io::Error::other("a simulated fault")),
            None => {}
        }
        if state.is_off {
            return Err(io::Error::other("the power is off"));
        }
        Ok(state)
    }
}

impl State {
    fn rename(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.contents[inode].size()).sum()
    }

    fn check_space(&self, more: u64) -> io::Result<()> {
        match self.space {
            Some(space) if more > 0 && self.used() + more > space => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Content {
    fn size(&self) -> u64 {
        self.reserved.max(self.seen.len() as u64)
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, written) => {
            let at = *at as usize;
            let end = at + written.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(written);
        }
        Change::Truncate(length) => bytes.truncate(*length as usize),
    }
}

impl Disk for SimulatedDisk {
    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.change()?.directories.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let entries = state.names.keys().chain(&state.directories).filter(|path| path.parent() == Some(directory));
        let names: BTreeSet<_> =
            entries.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
        Ok(names.into_iter().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let inode = *self.state().names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), inode }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.change()?;
        state.check_space(1)?;
        // Emptying a file is, for a loss of power, as good as a new one in its place.
        let inode = state.next_inode;
        state.next_inode += 1;
        state.contents.insert(inode, Content::default());
        state.rename(Naming::Create(path.to_owned(), inode));
        Ok(Arc::new(SimulatedFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Naming::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Naming::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.change()?;
        let pending = std::mem::take(&mut state.pending_names);
        let (here, elsewhere) = pending.into_iter().partition::<Vec<_>, _>(|naming| naming.directory() == Some(path));
        here.iter().for_each(|naming| naming.apply(&mut state.durable_names));
        state.pending_names = elsewhere;
        Ok(())
    }
}

impl File for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().contents[&self.inode].seen.len() as u64)
    }

    fn read_into(&self, buffer: &mut Vec<u8>, offset: u64, most: usize) -> io::Result<()> {
        let state = self.disk.state();
        let bytes = state.contents[&self.inode].seen.get(offset as usize..).unwrap_or_default();
        buffer.extend_from_slice(&bytes[..bytes.len().min(most)]);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let grown = (offset + bytes.len() as u64).saturating_sub(state.contents[&self.inode].size());
        let checked = state.check_space(grown);
        if let Some(content) = state.contents.get_mut(&self.inode) {
            // A full disk takes a part.
            let taken = if checked.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
            let change = Change::Write(offset, taken.to_vec());
            apply(&mut content.seen, &change);
            content.pending.push(change);
        }
        checked
    }

    fn reserve(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        let grown = (offset + length).saturating_sub(state.contents[&self.inode].size());
        state.check_space(grown)?;
        if let Some(content) = state.contents.get_mut(&self.inode) {
            content.reserved = content.reserved.max(offset + length);
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.change()?;
        if let Some(content) = state.contents.get_mut(&self.inode) {
            apply(&mut content.seen, &Change::Truncate(length));
            content.pending.push(Change::Truncate(length));
            content.reserved = length;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        match self.disk.change() {
            Ok(mut state) => {
                if let Some(content) = state.contents.get_mut(&self.inode) {
                    content.durable = content.seen.clone();
                    content.pending.clear();
                }
                Ok(())
            }
            Err(error) => {
                // What a failed sync has written is unknown, and a later one does not catch it up.
                let mut state = self.disk.state();
                let mut chance = Chance(state.chance ^ state.operations);
                let is_off = state.is_off;
                if let Some(content) = state.contents.get_mut(&self.inode).filter(|_| !is_off) {
                    let pending = std::mem::take(&mut content.pending);
                    let kept = pending.iter().filter(|_| chance.below(2) == 0);
                    kept.for_each(|change| apply(&mut content.durable, change));
                }
                Err(error)
            }
        }
    }
}
