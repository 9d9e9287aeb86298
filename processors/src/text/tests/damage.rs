//! Files that are missing, or not as they were written: an error that names the file, and never a wrong answer that stays.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{
    super::TextQuery, TextStore, apply, conversation, digest, directory, document, files, open, read_to, search,
};
use crate::{Filter, StoreError};

/// A closed store with two segments, one of which has a replaced document.
fn closed_store() -> (TempDir, String) {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &conversation());
    store.apply(&[document(3, "main", "boats", "Yes, in blue.")], &read_to(11)).expect("the document is applied");
    let expected = digest(&store);
    drop(store);
    (directory, expected)
}

#[test]
fn a_missing_file_is_an_error() {
    for end in ["term", "idx", "store", "fast", "del"] {
        let (directory, _) = closed_store();
        let found = files(directory.path(), end);
        assert!(!found.is_empty(), "{end}");
        fs::remove_file(&found[0]).expect("the file is removed");
        assert!(TextStore::open(directory.path()).is_err(), "{end}");
    }
}

/// Puts a file with other content in its place. A new one, as mapped memory of an earlier attempt must not change under it.
fn replace_file(path: &Path, content: &[u8]) {
    fs::remove_file(path).expect("the file is removed");
    fs::write(path, content).expect("the file is written");
}

fn with_bit_flipped(content: &[u8], place: usize) -> Vec<u8> {
    let mut damaged = content.to_vec();
    damaged[place] ^= 1 << (place % 8);
    damaged
}

/// Whether an error names the file and says what to do.
fn names(refused: &StoreError, path: &Path) -> bool {
    let name = path.file_name().expect("it is a file").to_string_lossy();
    refused.cause.contains(&*name) && refused.cause.contains("meshlog replay rebuild text")
}

#[test]
fn damage_in_a_file_that_opening_reads_is_an_error_then() {
    for end in ["fast", "del"] {
        let (directory, expected) = closed_store();
        let path = &files(directory.path(), end)[0];
        let content = fs::read(path).expect("the file is read");
        replace_file(path, &with_bit_flipped(&content, 0));
        let Err(refused) = TextStore::open(directory.path()) else {
            panic!("a store opened with a damaged {end} file");
        };
        assert!(names(&refused, path), "{refused}");
        replace_file(path, &content);
        assert_eq!(digest(&open(directory.path())), expected, "{end}");
    }
}

#[test]
fn damage_in_other_files_is_named_by_everything_that_is_asked_and_by_the_next_opening() {
    for end in ["term", "idx", "store"] {
        let (directory, _) = closed_store();
        let path = &files(directory.path(), end)[0];
        let content = fs::read(path).expect("the file is read");
        replace_file(path, &with_bit_flipped(&content, 0));
        let store = open(directory.path());
        let refused = store.apply(&conversation(), &read_to(20)).expect_err("nothing is added to a damaged index");
        assert!(names(&refused, path), "{refused}");
        assert!(names(&store.digest().expect_err("there is no digest of a damaged index"), path));
        let query = TextQuery { text: "boat", filter: &Filter::default(), limit: 1 };
        assert!(names(&store.search(&query).expect_err("a damaged index is not searched"), path));
        drop(store);
        // Also where the file happens to look sound again: what else is damaged is not known.
        replace_file(path, &content);
        let Err(refused) = TextStore::open(directory.path()) else {
            panic!("a store opened that was found damaged");
        };
        assert!(names(&refused, path), "{refused}");
    }
}

#[test]
fn a_damaged_file_is_an_error_or_does_no_harm() {
    let (directory, expected) = closed_store();
    for path in files(directory.path(), "") {
        let content = fs::read(&path).expect("the file is read");
        let step = (content.len() / 150).max(1);
        for place in (0..content.len()).step_by(step) {
            check_damaged(&path, &with_bit_flipped(&content, place), directory.path(), &expected);
        }
        check_damaged(&path, &content[..content.len() / 2], directory.path(), &expected);
        check_damaged(&path, b"", directory.path(), &expected);
        fs::write(&path, &content).expect("the file is written");
    }
    assert_eq!(digest(&open(directory.path())), expected);
}

fn check_damaged(path: &Path, content: &[u8], directory: &Path, expected: &str) {
    replace_file(path, content);
    let Ok(store) = TextStore::open(directory) else {
        return;
    };
    // While the check goes on, any answer will do, but there must be one.
    let query = TextQuery { text: "green boat", filter: &Filter::default(), limit: 10 };
    let _ = store.search(&query);
    match store.digest() {
        Ok(digest) => {
            assert_eq!(digest.to_string(), expected, "{}", path.display());
            assert_eq!(store.checkpoints(), read_to(11), "{}", path.display());
            search(&store, "green boat");
        }
        Err(refused) => {
            assert!(names(&refused, path), "{}: {refused}", path.display());
            fs::remove_file(directory.join("damaged")).expect("the index is marked");
        }
    }
}
