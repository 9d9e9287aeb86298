use std::collections::BTreeMap;

use meshlog_schemas::{Checkpoints, Partition, Topic};
use proptest::{collection::vec, prelude::*};
use tempfile::tempdir;

use super::{Keyspace, Keyspaces, SMALL_CACHE};

fn open(path: &std::path::Path, gather: Option<usize>) -> (Keyspaces, Keyspace) {
    let keyspaces = Keyspaces::open("test", path, SMALL_CACHE, gather).unwrap();
    let rows = keyspaces.keyspace("rows").unwrap();
    (keyspaces, rows)
}

fn at(offset: u64) -> Checkpoints {
    [(Partition { topic: Topic::Messages, id: 0 }, offset)].into_iter().collect()
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn read(entries: impl Iterator<Item = fjall::Result<(fjall::Slice, fjall::Slice)>>) -> Rows {
    entries.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

/// The rows of a model whose keys begin with `first`, in order.
fn beginning(model: &BTreeMap<Vec<u8>, Vec<u8>>, first: u8) -> Rows {
    let rows = model.iter().filter(|(key, _)| key[0] == first);
    rows.map(|(key, value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn who_writes_sees_what_is_gathered_and_what_is_stored_as_one(
        batches in vec(vec((0_u8..4, any::<u8>(), proptest::option::of(any::<u8>())), 0..90), 1..7),
        memory in prop_oneof![Just(0), Just(8_000), Just(1 << 20)],
        settled_after in 0_usize..8,
    ) {
        let directory = tempdir().unwrap();
        let (keyspaces, rows) = open(directory.path(), Some(memory));
        let mut model = BTreeMap::new();
        for (number, changes) in batches.iter().enumerate() {
            let mut batch = keyspaces.batch([&rows]);
            for (first, second, value) in changes {
                let key = vec![*first, *second];
                match value {
                    Some(value) => {
                        batch.insert(&rows, key.clone(), [*value]);
                        model.insert(key, vec![*value]);
                    }
                    None => {
                        batch.remove(&rows, key.clone());
                        model.remove(&key);
                    }
                }
            }
            keyspaces.commit(batch, &at(number as u64)).unwrap();
            if number == settled_after {
                keyspaces.settle().unwrap();
            }
            let expected = beginning(&model, 2);
            prop_assert_eq!(read(rows.prefix(&[2])), expected.clone());
            prop_assert_eq!(read(rows.prefix_backwards(&[2])), expected.into_iter().rev().collect::<Rows>());
            prop_assert_eq!(read(rows.range(..)), model.clone().into_iter().collect::<Rows>());
            for (first, second, _) in changes {
                let key = [*first, *second];
                let found = rows.get(key).unwrap().map(|value| value.to_vec());
                prop_assert_eq!(&found, &model.get(&key[..]).cloned());
                prop_assert_eq!(rows.contains_key(key).unwrap(), found.is_some());
            }
            prop_assert_eq!(keyspaces.checkpoints().unwrap(), at(number as u64));
        }
        keyspaces.settle().unwrap();
        drop((keyspaces, rows));
        let (keyspaces, rows) = open(directory.path(), None);
        prop_assert_eq!(read(rows.range(..)), model.into_iter().collect::<Rows>());
        prop_assert_eq!(keyspaces.checkpoints().unwrap(), at(batches.len() as u64 - 1));
    }
}

#[test]
fn what_is_gathered_and_not_written_is_lost_together_with_its_checkpoints() {
    let directory = tempdir().unwrap();
    let (keyspaces, rows) = open(directory.path(), Some(1 << 20));
    let mut batch = keyspaces.batch([&rows]);
    batch.insert(&rows, "a", "1");
    keyspaces.commit(batch, &at(1)).unwrap();
    drop((keyspaces, rows));
    let (keyspaces, rows) = open(directory.path(), None);
    assert_eq!(keyspaces.checkpoints().unwrap(), Checkpoints::default());
    assert_eq!(rows.get("a").unwrap(), None);
}

#[test]
fn a_store_that_was_cut_off_while_it_wrote_what_it_gathered_begins_empty() {
    let directory = tempdir().unwrap();
    let (keyspaces, rows) = open(directory.path(), Some(0));
    let mut batch = keyspaces.batch([&rows]);
    batch.insert(&rows, "a", "1");
    keyspaces.commit(batch, &at(1)).unwrap();
    assert_eq!(rows.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    keyspaces.mark_filling().unwrap();
    drop((keyspaces, rows));
    let (keyspaces, rows) = open(directory.path(), None);
    assert_eq!(keyspaces.checkpoints().unwrap(), Checkpoints::default());
    assert_eq!(rows.get("a").unwrap(), None);
    drop((keyspaces, rows));
    open(directory.path(), Some(0));
}
