//! Damage: a data file that is not what was written.

use std::fs;

use super::*;

const FILE: &str = "data.mdb";

/// The data file of a store that was closed in good order.
fn data_file() -> Vec<u8> {
    let directory = fresh_directory();
    let vectors = clustered(300, 10, 64);
    let items: Vec<_> = (0..).zip(&vectors).map(|(id, vector)| item(id, "a", vector)).collect();
    for batch in items.chunks(50) {
        apply(&open(directory.path(), 64), batch);
    }
    fs::read(directory.path().join(FILE)).expect("the store wrote it")
}

fn try_open(file: &[u8]) -> Result<u64, crate::StoreError> {
    let directory = fresh_directory();
    fs::write(directory.path().join(FILE), file).expect("the directory is writable");
    VectorStore::open(directory.path(), 64)?.count()
}

#[test]
fn an_undamaged_copy_opens() {
    assert_eq!(try_open(&data_file()).expect("undamaged"), 300);
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_says_what_to_do() {
    let file = data_file();
    for length in [1, 100, 4_095, 4_096, 8_191, 8_192, 20_000, file.len() / 2, file.len() - 4_096, file.len() - 1] {
        let error = try_open(&file[..length]).expect_err("cut");
        assert!(error.to_string().contains("delete the directory"), "cut to {length}: {error}");
    }
}

/// LMDB makes a file before it writes to it, so an empty one is what a crash leaves of a store that never was.
#[test]
fn an_empty_file_is_a_new_store_without_checkpoints() {
    assert_eq!(try_open(&[]).expect("new"), 0);
}

#[test]
fn a_file_of_something_else_is_an_error() {
    let file = data_file();
    assert!(try_open(&vec![0xff; file.len()]).is_err());
    assert!(try_open(&vec![0; file.len()]).is_err());
}

#[test]
fn lost_pages_are_an_error() {
    let mut file = data_file();
    file[8_192..].fill(0);
    assert!(try_open(&file).is_err());
}
