//! What is forgotten, compared with a store that never saw it.

use std::{fs, path::Path};

use meshlog_schemas::Checkpoints;
use uuid::Uuid;

use super::{
    TextDocument, TextHits, TextStore, digest, directory, document, in_space, open, read_to, search, search_with,
};
use crate::{
    Filter, Forgetting, Forgotten, Micros, Scope,
    seeds::{Chance, for_each_seed},
};

const WORDS: [&str; 8] = ["boat", "green", "soup", "bread", "harbour", "paint", "2023", "the"];
const SPACES: [&str; 2] = ["a", "b"];
const THREADS: [&str; 3] = ["x", "y", "z"];

fn any_text(chance: &mut Chance) -> String {
    let most = if chance.below(10) == 0 { 90 } else { 8 };
    (0..chance.below(most)).map(|_| WORDS[chance.below(8) as usize]).collect::<Vec<_>>().join(" ")
}

/// The message of a number. Its text may come anew, all else is always the same.
fn message(number: u64, chance: &mut Chance) -> TextDocument {
    let mut facets = Chance(number);
    let (space, thread) = (SPACES[facets.below(2) as usize], THREADS[facets.below(3) as usize]);
    let mut document = document(u128::from(number), space, thread, &any_text(chance));
    document.facets.author = ["Ada", "Bob", "user"][facets.below(3) as usize].into();
    document.facets.accepted_at = number as Micros;
    document
}

fn any_forgetting(chance: &mut Chance, messages: u64) -> Forgetting {
    let scope = match chance.below(8) {
        0..3 => Scope::Message(Uuid::from_u128(u128::from(chance.below(messages)))),
        3..6 => Scope::Thread(THREADS[chance.below(3) as usize].into()),
        6 => Scope::Author(["Ada", "Bob", "user"][chance.below(3) as usize].into()),
        _ => Scope::Space,
    };
    Forgetting { space: SPACES[chance.below(2) as usize].into(), scope, until: chance.below(messages + 9) as Micros }
}

fn apply(store: &TextStore, documents: &[TextDocument], forgettings: &[Forgetting]) {
    store.apply_and_forget(documents, forgettings, &Checkpoints::default()).expect("the documents are applied");
}

/// Everything that can be asked.
fn answers(store: &TextStore) -> (String, u64, Vec<TextHits>) {
    let mut hits = Vec::new();
    for words in WORDS.windows(2) {
        let text = words.join(" ");
        hits.push(store.search(&super::TextQuery { text: &text, filter: &Filter::default(), limit: 1_000 }).unwrap());
        hits.push(search(store, &text));
        hits.push(search_with(store, &text, &in_space("a")));
        hits.push(search_with(store, &text, &Filter { authors: vec!["ada".into()], ..Filter::default() }));
    }
    (digest(store), store.document_count(), hits)
}

#[test]
fn what_is_forgotten_was_never_there_whatever_comes_first() {
    for_each_seed(40, |seed| {
        let mut chance = Chance(seed);
        let count = 1 + chance.below(80);
        let mut documents: Vec<_> = (0..count).map(|number| message(number, &mut chance)).collect();
        for _ in 0..chance.below(6) {
            let again = chance.below(count);
            documents.push(message(again, &mut chance));
        }
        let forgettings: Vec<_> = (0..chance.below(6)).map(|_| any_forgetting(&mut chance, count)).collect();

        let path = directory();
        let mut store = open(path.path());
        let (mut documents_left, mut forgettings_left) = (documents.as_slice(), forgettings.as_slice());
        while !documents_left.is_empty() || !forgettings_left.is_empty() {
            let (some, rest) = documents_left.split_at(chance.below(40).min(documents_left.len() as u64) as usize);
            documents_left = rest;
            let (few, rest) = forgettings_left.split_at(chance.below(3).min(forgettings_left.len() as u64) as usize);
            forgettings_left = rest;
            for _ in 0..=chance.below(2) {
                apply(&store, some, few);
            }
            match chance.below(6) {
                0 => {
                    drop(store);
                    store = open(path.path());
                }
                1 => assert!(store.sweep().is_ok()),
                _ => {}
            }
        }
        let mut forgotten = Forgotten::default();
        for forgetting in &forgettings {
            forgotten.add(forgetting);
        }
        let kept: Vec<_> =
            documents.iter().filter(|one| !forgotten.covers(one.message_id, &one.facets)).cloned().collect();
        let other = directory();
        let other = open(other.path());
        apply(&other, &kept, &[]);
        let expected = answers(&other);
        assert_eq!(answers(&store), expected);
        apply(&store, &documents, &forgettings);
        assert_eq!(answers(&store), expected, "when all comes again");
        drop(store);
        let store = open(path.path());
        assert_eq!(answers(&store), expected, "after a restart");
        while store.sweep().unwrap() {}
        assert_eq!(answers(&store), expected, "when none of it lies on the disk");
    });
}

#[test]
fn neighbours_of_what_is_forgotten_become_neighbours() {
    let path = directory();
    let store = open(path.path());
    let lines = ["the boat", "one", "two", "three", "the harbour"];
    apply(&store, &super::thread_of(1, "main", "t", &lines), &[]);
    let forget = [2, 3, 4].map(|number| Forgetting {
        space: "main".into(),
        scope: Scope::Message(Uuid::from_u128(number)),
        until: 0,
    });
    assert_eq!(super::numbers(&search(&store, "boat")), [1, 2, 3]);
    apply(&store, &[], &forget);
    assert_eq!(super::numbers(&search(&store, "boat")), [1, 5]);
    assert_eq!(search(&store, "two"), TextHits::default());
}

#[test]
fn a_commit_that_failed_has_forgotten_nothing() {
    let path = directory();
    let store = open(path.path());
    let documents = super::conversation();
    apply(&store, &documents, &[]);
    let before = answers(&store);
    let meta = path.path().join("meta.json");
    let kept = fs::read(&meta).unwrap();
    fs::remove_file(&meta).unwrap();
    fs::create_dir(&meta).unwrap();
    let forgetting = Forgetting { space: "main".into(), scope: Scope::Space, until: Micros::MAX };
    store.apply_and_forget(&[], std::slice::from_ref(&forgetting), &read_to(3)).unwrap_err();
    assert_eq!(answers(&store), before);
    fs::remove_dir(&meta).unwrap();
    fs::write(&meta, kept).unwrap();
    store.apply_and_forget(&[], &[], &read_to(3)).unwrap();
    assert_eq!(answers(&store), before);
    store.apply_and_forget(&[], &[forgetting], &read_to(4)).unwrap();
    assert_eq!((store.document_count(), search(&store, "boat")), (0, TextHits::default()));
}

/// The bytes of the index's files.
fn bytes_in(directory: &Path) -> u64 {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn what_is_forgotten_leaves_the_disk() {
    let path = directory();
    let store = open(path.path());
    let mut chance = Chance(1);
    let words = |chance: &mut Chance| (0..30).map(|_| format!("w{}", chance.next())).collect::<Vec<_>>().join(" ");
    let documents: Vec<_> = (0..400).map(|number| document(number, "main", "t", &words(&mut chance))).collect();
    apply(&store, &documents, &[]);
    let whole = bytes_in(path.path());
    let forget = documents[100..].iter().map(|document| Forgetting {
        space: "main".into(),
        scope: Scope::Message(document.message_id),
        until: 0,
    });
    apply(&store, &[], &forget.collect::<Vec<_>>());
    while store.sweep().unwrap() {}
    store.sweep().unwrap();
    assert!(super::files(path.path(), "del").is_empty());
    let index = bytes_in(path.path()) - fs::metadata(path.path().join("forgettings")).unwrap().len();
    assert!(index < whole / 3, "{index} of {whole} bytes");
    assert_eq!(store.document_count(), 100);
}
