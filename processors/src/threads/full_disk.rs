//! A disk that is really full, below the store.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use tempfile::tempdir;
use uuid::Uuid;

use super::{MessageRow, ThreadStore};
use crate::{
    Facets, Order, PageLimit, StoreError,
    seeds::Chance,
    small_disk::{Ballast, on_a_small_disk},
};

const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };
const LIMIT: PageLimit = PageLimit { items: 20, bytes: usize::MAX };
const ROUNDS: u64 = 12;

/// The message at an offset, always the same.
fn message(offset: u64) -> (MessageRow, String) {
    let mut chance = Chance(offset);
    let row = MessageRow {
        message_id: Uuid::from_u128(u128::from(offset) << 64),
        source_id: None,
        facets: Facets {
            space: "s".into(),
            thread: format!("t{}", chance.below(50)),
            author: format!("a{}", chance.below(5)),
            role: "user".into(),
            sent_at: chance.below(1_000_000) as i64,
            accepted_at: 9,
        },
        only_asks: false,
        position: Position { partition: PARTITION, offset },
        edit: None,
    };
    // What does not compress, so that it takes space.
    let text = (0..chance.below(120)).map(|_| format!("{:016x}", chance.next())).collect();
    (row, text)
}

/// Applies what comes next, as a projection's runner does: from the store's checkpoints on.
fn apply_next(store: &ThreadStore, count: u64) -> Result<u64, StoreError> {
    let from = store.checkpoints()?.next(PARTITION);
    let messages: Vec<_> = (from..from + count).map(message).collect();
    let rows: Vec<_> = messages.iter().map(|(row, text)| (row.clone(), text.as_str())).collect();
    store.apply(&rows, &Checkpoints::from_iter([(PARTITION, from + count)]))?;
    Ok(from + count)
}

/// Asks what people ask. Whatever was applied before is there.
fn query(store: &ThreadStore, applied: u64, chance: &mut Chance) {
    let (row, text) = message(chance.below(applied));
    assert_eq!(store.text(row.message_id).unwrap().as_ref(), Some(&text), "{}", row.position.offset);
    let thread = store.thread("s", &row.facets.thread).unwrap().unwrap();
    let page = store.messages("s", &thread.thread, Order::OldestFirst, LIMIT, None).unwrap();
    // More of them may have come meanwhile.
    assert!(page.items.len() as u64 >= thread.messages.min(LIMIT.items as u64));
    assert!(!store.threads("s", LIMIT, None).unwrap().items.is_empty());
}

/// A number of messages: a batch that fjall's buffer holds back whole, or a larger one.
fn some(chance: &mut Chance) -> u64 {
    let most = if chance.below(2) == 0 { 3 } else { 200 };
    1 + chance.below(most)
}

fn digest_of_all(path: &Path, applied: u64) -> meshlog_schemas::Digest {
    let store = ThreadStore::open(path).unwrap();
    while store.checkpoints().unwrap().next(PARTITION) < applied {
        let from = store.checkpoints().unwrap().next(PARTITION);
        apply_next(&store, (applied - from).min(1_000)).unwrap();
    }
    store.digest().unwrap()
}

#[test]
fn a_full_disk_is_left_behind_without_a_restart() {
    let test = "threads::full_disk::a_full_disk_is_left_behind_without_a_restart";
    let Some(disk) = on_a_small_disk(test, 192) else { return };
    let seed = std::env::var("MESHLOG_SIM_SEED").map_or(5, |text| text.parse().unwrap());
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let store = ThreadStore::open(&disk.join("threads")).unwrap();
    let applied = AtomicU64::new(apply_next(&store, 100).unwrap());
    let is_over = AtomicBool::new(false);
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|seed| {
                let (store, applied, is_over) = (&store, &applied, &is_over);
                scope.spawn(move || {
                    let mut chance = Chance(seed);
                    let (mut queries, mut longest) = (0_u64, Duration::ZERO);
                    while !is_over.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        query(store, applied.load(Ordering::Acquire), &mut chance);
                        longest = longest.max(begun.elapsed());
                        queries += 1;
                    }
                    (queries, longest)
                })
            })
            .collect();
        for round in 0..ROUNDS {
            // Now a commit finds the disk full, now what fjall writes in the background.
            let leave = chance.below(8) * chance.below(1024 * 1024);
            let ballast = Ballast::load(&disk, leave);
            let mut failed = 0;
            while failed < 3 {
                match apply_next(&store, some(&mut chance)) {
                    Ok(next) => applied.store(next, Ordering::Release),
                    Err(error) => {
                        failed += 1;
                        failures.push(format!("round {round}: {error}"));
                    }
                }
            }
            let digest = store.digest().unwrap();
            assert_eq!(digest, store.digest().unwrap());
            drop(ballast);
            for _ in 0..20 {
                let begun = Instant::now();
                let next = loop {
                    match apply_next(&store, some(&mut chance)) {
                        Ok(next) => break next,
                        Err(error) => {
                            assert!(begun.elapsed() < Duration::from_secs(60), "there is space, but: {error}");
                            failures.push(format!("round {round}, with space: {error}"));
                        }
                    }
                };
                applied.store(next, Ordering::Release);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            println!("queries and the longest: {:?}", reader.join().unwrap());
        }
    });
    println!("{}", failures.join("\n"));
    let applied = store.checkpoints().unwrap().next(PARTITION);
    let other = tempdir().unwrap();
    let expected = digest_of_all(other.path(), applied);
    assert_eq!(store.digest().unwrap(), expected, "as if the disk had never been full");
    drop(store);
    assert_eq!(ThreadStore::open(&disk.join("threads")).unwrap().digest().unwrap(), expected);
}
