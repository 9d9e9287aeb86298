//! The bound on what a fjall database holds in memory.
//!
//! A table that is full is sealed by a worker of the database, which then writes it to the disk. It is the same worker that
//! compacts, and while it is at a long compaction the tables grow without bound: those of the threads view to 850 MB in five
//! minutes of import. A second worker would only seal and write, but would also turn in circles as long as there is something
//! to compact. So there is one, and who writes waits for it here.
//!
//! Owns: when a batch waits, and how long.
//! Never: refuses a batch. One that has waited long enough is written: if the worker is no more, the write says so.

use std::{
    thread,
    time::{Duration, Instant},
};

use fjall::{AbstractTree, Keyspace};

/// While tables hold this many bytes that are not on their way to the disk, the next batch waits. In memory they take about three
/// times as much.
const MOST: u64 = 64 * 1024 * 1024;

/// A batch waits no longer than this.
const LONGEST: Duration = Duration::from_secs(5);

/// To be called before each batch that is written to `tables` of one database: waits while too much of them is unsealed.
pub fn wait_for_sealing<'a>(tables: impl IntoIterator<Item = &'a Keyspace>) {
    wait(&tables.into_iter().collect::<Vec<_>>(), MOST, LONGEST);
}

fn wait(tables: &[&Keyspace], most: u64, longest: Duration) {
    let unsealed = || tables.iter().map(|table| table.tree.active_memtable().size()).sum::<u64>();
    let begun = Instant::now();
    while unsealed() > most && begun.elapsed() < longest {
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use fjall::{Database, KeyspaceCreateOptions};

    use super::*;

    const FOREVER: Duration = Duration::from_secs(600);

    #[test]
    fn a_batch_waits_until_enough_is_sealed() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::builder(directory.path()).worker_threads(1).open().unwrap();
        // Tables that nobody seals by himself.
        let table = |name| database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(1 << 30));
        let tables = [table("a").unwrap(), table("b").unwrap()];
        let both = [&tables[0], &tables[1]];
        wait(&both, 0, FOREVER);
        for table in &tables {
            table.insert("key", vec![7; 10_000]).unwrap();
        }
        wait(&both, 30_000, FOREVER);
        let is_sealed = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                is_sealed.store(true, Ordering::SeqCst);
                tables[1].rotate_memtable().unwrap();
            });
            // Each holds less, both together more.
            wait(&both, 15_000, FOREVER);
            assert!(is_sealed.load(Ordering::SeqCst), "it did not wait");
        });
    }

    #[test]
    fn a_batch_does_not_wait_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::builder(directory.path()).worker_threads(1).open().unwrap();
        let table = database.keyspace("a", KeyspaceCreateOptions::default).unwrap();
        table.insert("key", "value").unwrap();
        wait(&[&table], 0, Duration::from_millis(20));
    }
}
