//! What is forgotten, compared with a store that never saw it.

use std::{collections::BTreeMap, path::Path};

use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use tempfile::tempdir;
use uuid::Uuid;

use super::{Edit, MessageRow, ThreadStore};
use crate::{
    Facets, Forgetting, Forgotten, Micros, Order, PageLimit, Scope,
    seeds::{Chance, for_each_seed},
};

const LIMIT: PageLimit = PageLimit { items: 3, bytes: usize::MAX };
const SPACES: [&str; 2] = ["s", "s2"];
const THREADS: [&str; 3] = ["t", "u", "v"];

/// The message of a number, always the same.
fn message(number: u64) -> (MessageRow, String) {
    let mut chance = Chance(number);
    let row = MessageRow {
        message_id: Uuid::from_u64_pair(chance.next(), number),
        source_id: None,
        facets: Facets {
            space: SPACES[chance.below(2) as usize].into(),
            thread: THREADS[chance.below(3) as usize].into(),
            author: format!("a{}", chance.below(3)),
            role: "user".into(),
            sent_at: chance.below(50) as Micros,
            accepted_at: number as Micros,
        },
        only_asks: false,
        position: Position {
            partition: Partition { topic: Topic::Messages, id: chance.below(2) as u32 },
            offset: number,
        },
        edit: None,
    };
    (row, format!("text {number}"))
}

fn any_forgetting(chance: &mut Chance, messages: u64) -> Forgetting {
    let scope = match chance.below(8) {
        0..3 => Scope::Message(message(chance.below(messages)).0.message_id),
        3..6 => Scope::Thread(THREADS[chance.below(3) as usize].into()),
        6 => Scope::Author(format!("a{}", chance.below(3))),
        _ => Scope::Space,
    };
    Forgetting { space: SPACES[chance.below(2) as usize].into(), scope, until: chance.below(messages + 9) as Micros }
}

/// What a message says since an edit of this number.
fn edited(number: u64, of: &MessageRow) -> (MessageRow, String) {
    let position = Position { offset: number, ..of.position };
    let edit = Edit { kind: "edited".into(), editor: "Eve".into(), reason: String::new(), at: 7, position };
    (
        MessageRow { position, edit: Some(edit), only_asks: number.is_multiple_of(2), ..of.clone() },
        format!("edit {number}"),
    )
}

fn apply(store: &ThreadStore, messages: &[(MessageRow, String)], forgettings: &[Forgetting]) {
    let rows: Vec<_> = messages.iter().map(|(row, text)| (row.clone(), text.as_str())).collect();
    store.apply_and_forget(&rows, forgettings, &Checkpoints::default()).unwrap();
}

/// Everything that can be asked, in words.
fn answers(store: &ThreadStore, messages: &[(MessageRow, String)]) -> Vec<String> {
    let mut answers = vec![store.digest().unwrap().to_string()];
    for (row, _) in messages {
        answers.push(format!("{:?} {:?}", store.message(row.message_id).unwrap(), store.text(row.message_id).unwrap()));
    }
    for space in SPACES {
        let mut cursor = None;
        loop {
            let page = store.threads(space, LIMIT, cursor.as_deref()).unwrap();
            answers.push(format!("{page:?}"));
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }
        for thread in THREADS {
            answers.push(format!("{:?}", store.thread(space, thread).unwrap()));
            for order in [Order::OldestFirst, Order::NewestFirst] {
                let mut cursor = None;
                loop {
                    let page = store.messages(space, thread, order, LIMIT, cursor.as_deref()).unwrap();
                    answers.push(format!("{page:?}"));
                    let Some(next) = page.next else { break };
                    cursor = Some(next);
                }
            }
        }
    }
    answers
}

fn answers_of(messages: &[(MessageRow, String)], asked: &[(MessageRow, String)]) -> Vec<String> {
    let directory = tempdir().unwrap();
    let store = ThreadStore::open(directory.path()).unwrap();
    apply(&store, messages, &[]);
    answers(&store, asked)
}

#[test]
fn what_is_forgotten_was_never_there_whatever_comes_first() {
    for_each_seed(60, |seed| {
        let mut chance = Chance(seed);
        let mut messages: Vec<_> = (0..1 + chance.below(60)).map(message).collect();
        let count = messages.len() as u64;
        for number in count..count + chance.below(30) {
            let edit = edited(number, &messages[chance.below(count) as usize].0);
            messages.push(edit);
        }
        let forgettings: Vec<_> = (0..chance.below(6)).map(|_| any_forgetting(&mut chance, count)).collect();

        let directory = tempdir().unwrap();
        let mut store = ThreadStore::open(directory.path()).unwrap();
        let (mut messages_left, mut forgettings_left) = (messages.as_slice(), forgettings.as_slice());
        while !messages_left.is_empty() || !forgettings_left.is_empty() {
            let (some, rest) = messages_left.split_at(chance.below(30).min(messages_left.len() as u64) as usize);
            messages_left = rest;
            let (few, rest) = forgettings_left.split_at(chance.below(3).min(forgettings_left.len() as u64) as usize);
            forgettings_left = rest;
            for _ in 0..=chance.below(2) {
                apply(&store, some, few);
            }
            match chance.below(5) {
                0 => {
                    drop(store);
                    store = ThreadStore::open(directory.path()).unwrap();
                }
                1 => assert!(store.sweep().is_ok()),
                _ => {}
            }
        }
        let mut forgotten = Forgotten::default();
        for forgetting in &forgettings {
            forgotten.add(forgetting);
        }
        // With the edits alone that a message had last, the answers are the same.
        let mut last = BTreeMap::new();
        for (row, _) in &messages {
            last.insert(row.message_id, row.position);
        }
        let counts = |row: &MessageRow| row.edit.is_none() || last[&row.message_id] == row.position;
        let kept: Vec<_> = messages
            .iter()
            .filter(|(row, _)| counts(row) && !forgotten.covers(row.message_id, &row.facets))
            .cloned()
            .collect();
        let expected = answers_of(&kept, &messages);
        assert_eq!(answers(&store, &messages), expected, "while some of it may lie in the tables");
        apply(&store, &messages, &forgettings);
        assert_eq!(answers(&store, &messages), expected, "when all comes again");
        while store.sweep().unwrap() {}
        assert_eq!(answers(&store, &messages), expected, "when none of it lies in the tables");
    });
}

/// Whether bytes lie in a file of the store.
fn lies_in_files(directory: &Path, bytes: &[u8]) -> bool {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().any(|path| match path.is_dir() {
        true => lies_in_files(&path, bytes),
        false => std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes),
    })
}

#[test]
fn a_forgotten_text_leaves_the_tables_files() {
    let directory = tempdir().unwrap();
    let store = ThreadStore::open(directory.path()).unwrap();
    let mut messages: Vec<_> = (0..40).map(message).collect();
    for (row, text) in &mut messages {
        // What does not compress, so that it can be found.
        let mut chance = Chance(row.position.offset);
        *text = (0..20).map(|_| format!("{:016x}", chance.next())).collect();
    }
    apply(&store, &messages, &[]);
    let tables = directory.path().join("keyspaces");
    // A text that was edited away leaves them too.
    let (row, _) = &messages[38];
    apply(&store, &[edited(90, row)], &[]);
    assert_eq!(store.text(row.message_id).unwrap().as_deref(), Some("edit 90"));
    while store.sweep().unwrap() {}
    assert!(!lies_in_files(&tables, &messages[38].1.as_bytes()[..100]));
    let forgettings = SPACES.map(|space| Forgetting { space: space.into(), scope: Scope::Space, until: 30 });
    apply(&store, &[], &forgettings);
    while store.sweep().unwrap() {}
    assert!(lies_in_files(&tables, &messages[35].1.as_bytes()[..100]), "this one is not forgotten");
    assert!(!lies_in_files(&tables, &messages[5].1.as_bytes()[..100]));
    assert!(!store.sweep().unwrap(), "all is done");
}
