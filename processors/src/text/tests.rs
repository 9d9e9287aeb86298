//! Behaviour of the store as a whole.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::{TextDocument, TextHits, TextQuery, TextStore};
use crate::{Facets, Filter, message::is_blank};

mod damage;
mod forgetting;
mod oracle;

const PARTITION: Partition = Partition { topic: Topic::Messages, id: 0 };

/// 8 May 2023, 13:56 UTC.
const A_DAY_IN_MAY: i64 = 1_683_554_160_000_000;

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory can be made")
}

fn open(directory: &Path) -> TextStore {
    TextStore::open(directory).expect("the store opens")
}

fn document(number: u128, space: &str, thread: &str, text: &str) -> TextDocument {
    TextDocument {
        message_id: Uuid::from_u128(number),
        facets: Facets {
            space: space.into(),
            thread: thread.into(),
            author: "user".into(),
            role: "user".into(),
            sent_at: A_DAY_IN_MAY,
            accepted_at: A_DAY_IN_MAY,
        },
        position: Position { partition: PARTITION, offset: u64::try_from(number).expect("test numbers are small") },
        text: text.into(),
    }
}

/// The lines of one thread as messages from `first` on.
fn thread_of(first: u128, space: &str, thread: &str, lines: &[&str]) -> Vec<TextDocument> {
    (first..).zip(lines).map(|(number, line)| document(number, space, thread, line)).collect()
}

fn read_to(next: u64) -> Checkpoints {
    Checkpoints::from_iter([(PARTITION, next)])
}

fn apply(store: &TextStore, documents: &[TextDocument]) {
    store.apply(documents, &Checkpoints::default()).expect("the documents are applied");
}

fn search_with(store: &TextStore, text: &str, filter: &Filter) -> TextHits {
    store.search(&TextQuery { text, filter, limit: 10 }).expect("the search succeeds")
}

fn search(store: &TextStore, text: &str) -> TextHits {
    search_with(store, text, &Filter::default())
}

fn numbers(hits: &TextHits) -> Vec<u128> {
    hits.hits.iter().map(|hit| hit.message_id.as_u128()).collect()
}

fn digest(store: &TextStore) -> String {
    store.digest().expect("the digest is computed").to_string()
}

/// The index's files whose names end so.
fn files(directory: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the directory is read");
    let paths = entries.map(|entry| entry.expect("the directory is read").path());
    paths.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

fn in_space(space: &str) -> Filter {
    Filter { spaces: vec![space.into()], ..Filter::default() }
}

/// A conversation in which every fifth turn or so is about something else.
fn conversation() -> Vec<TextDocument> {
    let mut documents = thread_of(
        1,
        "main",
        "boats",
        &[
            "The harbour was quiet this morning.",
            "Did you finish painting the old boat?",
            "Yes, in green.",
            "Lovely. Let us eat now.",
            "I would like soup and bread.",
            "There is no soup, only bread.",
            "Bread it is.",
        ],
    );
    documents.extend(thread_of(100, "main", "garden", &["Tomatoes need sun.", "Mine are still green.", "Patience!"]));
    documents
}

#[test]
fn the_message_with_the_words_comes_first_and_says_which() {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &conversation());
    let hits = search(&store, "Who painted the boat?");
    assert_eq!(numbers(&hits)[0], 2);
    assert_eq!(hits.hits[0].own_terms, ["paint", "boat"]);
    assert_eq!(hits.best, hits.hits[0].score);
    assert!(hits.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
}

#[test]
fn the_window_lifts_the_answer_beside_the_question() {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &conversation());
    // 3 and 101 both say "green" once, and 101 in fewer words than stand around 3; but 3 answers what 2 asks of the boat.
    let hits = search(&store, "green boat");
    let found = numbers(&hits);
    assert_eq!(found[..2], [2, 3]);
    assert!(found.contains(&101));
    // 4 has none of the words and 5 is out of reach of the boat, within reach of the colour.
    let neighbour = hits.hits.iter().find(|hit| hit.message_id.as_u128() == 4).expect("neighbours are candidates");
    assert!(neighbour.own_terms.is_empty());
    assert!(!found.contains(&6));
}

#[test]
fn the_window_ends_with_the_thread() {
    let directory = directory();
    let store = open(directory.path());
    apply(
        &store,
        &[document(1, "main", "a", "boat"), document(2, "main", "b", "soup"), document(3, "main", "a", "bread")],
    );
    assert_eq!(numbers(&search(&store, "boat")), [1, 3]);
}

#[test]
fn authors_and_dates_are_found_too() {
    let directory = directory();
    let store = open(directory.path());
    let mut by_ada = document(1, "main", "a", "good morning");
    by_ada.facets.author = "Ada".into();
    let mut in_june = document(2, "main", "b", "good morning");
    in_june.facets.sent_at += 31 * 86_400_000_000;
    apply(&store, &[by_ada, in_june]);
    assert_eq!(numbers(&search(&store, "Ada")), [1]);
    assert_eq!(numbers(&search(&store, "What happened in June?")), [2]);
    assert_eq!(numbers(&search(&store, "may 2023")), [1, 2]);
}

#[test]
fn spaces_share_neither_messages_nor_statistics() {
    let (alone, together) = (directory(), directory());
    let (alone, together) = (open(alone.path()), open(together.path()));
    apply(&alone, &conversation());
    apply(&together, &conversation());
    let noise: Vec<_> =
        (0..50).map(|number| document(1_000 + number, "other", "boats", "boat boat boat painted green")).collect();
    apply(&together, &noise);
    let expected = search_with(&alone, "green boat", &in_space("main"));
    assert_eq!(search_with(&together, "green boat", &in_space("main")), expected);
    assert_eq!(search_with(&together, "soup", &in_space("other")), TextHits::default());
    assert_eq!(search_with(&together, "boat", &in_space("nowhere")), TextHits::default());
    let everywhere = numbers(&search(&together, "boat soup"));
    assert!(everywhere.iter().any(|number| *number >= 1_000) && everywhere.iter().any(|number| *number < 1_000));
}

#[test]
fn hits_fulfil_the_filter_and_others_still_lend_their_words() {
    let directory = directory();
    let store = open(directory.path());
    let mut documents = conversation();
    for (hour, document) in (0..).zip(&mut documents) {
        document.facets.sent_at += hour * 3_600_000_000;
        document.facets.accepted_at += hour * 3_600_000_000;
        document.facets.author = if hour % 2 == 0 { "Ada" } else { "Bob" }.into();
    }
    apply(&store, &documents);
    let at = |hour: i64| Some(A_DAY_IN_MAY + hour * 3_600_000_000);
    let found = |filter: Filter| numbers(&search_with(&store, "boat green", &filter));
    let filters = [
        Filter { threads: vec!["garden".into()], ..Filter::default() },
        Filter { authors: vec!["ada".into()], ..Filter::default() },
        Filter { after: at(2), ..Filter::default() },
        Filter { before: at(2), ..Filter::default() },
        Filter { as_of: at(2), ..Filter::default() },
        Filter { after: at(2), before: at(4), authors: vec!["Bob".into()], ..Filter::default() },
    ];
    for filter in filters {
        let hits = found(filter.clone());
        let everything = numbers(&search(&store, "boat green"));
        let expected: Vec<u128> = everything
            .into_iter()
            .filter(|number| {
                let document = documents.iter().find(|document| document.message_id.as_u128() == *number);
                filter.accepts(&document.expect("a hit is one of the documents").facets)
            })
            .collect();
        assert_eq!(hits, expected, "{filter:?}");
        assert!(!hits.is_empty(), "{filter:?}");
    }
}

#[test]
fn a_filter_leaves_no_better_hit_out_however_small_the_limit() {
    let directory = directory();
    let store = open(directory.path());
    let mut documents: Vec<_> =
        (0..300).map(|number| document(number, "main", &format!("t{number}"), "boat boat boat")).collect();
    documents.push(document(999, "main", "wanted", "a boat among many other words of no importance"));
    apply(&store, &documents);
    let filter = Filter { threads: vec!["wanted".into()], ..Filter::default() };
    let hits = store.search(&TextQuery { text: "boat", filter: &filter, limit: 1 }).expect("the search succeeds");
    assert_eq!(numbers(&hits), [999]);
}

#[test]
fn a_query_without_content_finds_nothing() {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &conversation());
    let none = Filter::default();
    for text in ["", "  ", "what was it", "\u{1f600}", "+-\"(){}[]^~*?:\\/ AND OR", "zebra"] {
        assert_eq!(search(&store, text), TextHits::default(), "{text}");
    }
    let zero = store.search(&TextQuery { text: "boat", filter: &none, limit: 0 }).expect("the search succeeds");
    assert_eq!(zero, TextHits::default());
    assert_eq!(numbers(&search(&store, "\"boat) AND (")), numbers(&search(&store, "boat")));
    search(&store, &"boat word ".repeat(100_000));
    let many_words: String = (0..1_000).map(|number| format!("word{number} ")).collect();
    search(&store, &many_words);
}

#[test]
fn equal_scores_come_in_the_order_of_the_ids() {
    let directory = directory();
    let store = open(directory.path());
    let documents: Vec<_> =
        [5, 3, 9, 1, 7].map(|number| document(number, "main", &format!("t{number}"), "boat")).to_vec();
    apply(&store, &documents);
    let limited = store.search(&TextQuery { text: "boat", filter: &Filter::default(), limit: 3 });
    assert_eq!(numbers(&limited.expect("the search succeeds")), [1, 3, 5]);
}

#[test]
fn a_replaced_message_is_one_document_at_its_old_place() {
    let directory = directory();
    let store = open(directory.path());
    let mut documents = conversation();
    apply(&store, &documents);
    let count = store.document_count();
    documents[1].text = "Did you finish carving the old chair?".into();
    apply(&store, &documents[1..2]);
    assert_eq!(store.document_count(), count);
    assert_eq!(search(&store, "boat"), TextHits::default());
    // Still between 1 and 3: both borrow its new word.
    let mut around = numbers(&search(&store, "chair"));
    around.sort_unstable();
    assert_eq!(around, [1, 2, 3, 4]);
    let rebuilt = self::directory();
    let rebuilt = open(rebuilt.path());
    apply(&rebuilt, &documents);
    assert_eq!(digest(&store), digest(&rebuilt));
    assert_eq!(search(&store, "chair green"), search(&rebuilt, "chair green"));
}

#[test]
fn a_message_may_move_to_another_thread() {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &thread_of(1, "main", "a", &["one", "two", "three"]));
    apply(&store, &[document(2, "main", "b", "two")]);
    assert_eq!(store.document_count(), 3);
    assert_eq!(numbers(&search(&store, "two")), [2]);
    assert_eq!(numbers(&search(&store, "three")), [3, 1]);
    let before = search(&store, "three");
    let expected = digest(&store);
    drop(store);
    let store = open(directory.path());
    assert_eq!((search(&store, "three"), digest(&store)), (before, expected));
}

#[test]
fn applying_again_changes_nothing() {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &conversation());
    let (expected, hits) = (digest(&store), search(&store, "green boat"));
    apply(&store, &conversation());
    apply(&store, &conversation()[3..5]);
    assert_eq!((digest(&store), search(&store, "green boat")), (expected, hits));
}

#[test]
fn restart_keeps_checkpoints_and_places() {
    let directory = directory();
    let documents = conversation();
    let store = open(directory.path());
    store.apply(&documents[..2], &read_to(2)).expect("the documents are applied");
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.checkpoints(), read_to(2));
    assert_eq!(store.document_count(), 2);
    store.apply(&documents[2..], &read_to(10)).expect("the documents are applied");
    store.apply(&[], &read_to(11)).expect("checkpoints may move alone");
    let (expected, hits) = (digest(&store), search(&store, "green boat"));
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.checkpoints(), read_to(11));
    assert_eq!((digest(&store), search(&store, "green boat")), (expected.clone(), hits.clone()));
    let at_once = self::directory();
    let at_once = open(at_once.path());
    apply(&at_once, &documents);
    assert_eq!((digest(&at_once), search(&at_once, "green boat")), (expected, hits));
}

#[test]
fn the_digest_shows_a_missing_or_changed_message() {
    let digest_of = |documents: &[TextDocument]| {
        let directory = directory();
        let store = open(directory.path());
        apply(&store, documents);
        digest(&store)
    };
    let all = conversation();
    let complete = digest_of(&all);
    assert_ne!(digest_of(&all[1..]), complete);
    let changes: [fn(&mut TextDocument); 4] = [
        |document| document.text.push_str(" indeed"),
        |document| document.facets.author.push('x'),
        |document| document.facets.sent_at += 1,
        |document| document.position.offset += 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = all.clone();
        change(&mut changed[4]);
        assert_ne!(digest_of(&changed), complete, "change {number}");
    }
}

#[test]
fn one_store_at_a_time_may_have_a_directory() {
    let directory = directory();
    let first = open(directory.path());
    let Err(refused) = TextStore::open(directory.path()) else {
        panic!("a second store opened the directory");
    };
    assert_eq!((refused.store, refused.action, refused.path.as_path()), ("text", "open", directory.path()));
    drop(first);
    open(directory.path());
}

#[test]
fn any_text_survives() {
    let directory = directory();
    let store = open(directory.path());
    let texts = [
        "\u{1f600}\u{200d}\u{1f680} party \u{0}\u{1}\u{7f}\u{feff}",
        "",
        "\u{202e}right to left \u{645}\u{631}\u{62d}\u{628}\u{627}",
        &"long ".repeat(200_000),
        &"x".repeat(1_000_000),
        "東京都に住んでいます",
    ];
    apply(&store, &thread_of(1, "spa\0ce", "thr\nead", &texts));
    assert_eq!(store.document_count(), 5, "what says nothing is found by nothing");
    let own = |query: &str| -> Vec<u128> {
        let hits = search(&store, query).hits;
        hits.iter().filter(|hit| !hit.own_terms.is_empty()).map(|hit| hit.message_id.as_u128()).collect()
    };
    assert_eq!(own("party"), [1]);
    assert_eq!(own("\u{645}\u{631}\u{62d}\u{628}\u{627}"), [3]);
    assert_eq!(own("LONG"), [4]);
    assert_eq!(own("東京"), [6]);
    let expected = digest(&store);
    drop(store);
    assert_eq!(digest(&open(directory.path())), expected);
}

#[test]
fn a_very_long_space_is_a_space_like_any_other() {
    let directory = directory();
    let store = open(directory.path());
    let space = "s".repeat(100_000);
    apply(&store, &[document(1, &space, "t", "boat"), document(2, &space[1..], "t", "boat")]);
    assert_eq!(numbers(&search_with(&store, "boat", &in_space(&space))), [1]);
}

#[test]
fn names_of_any_length_and_content_stay_apart_through_merges_and_restarts() {
    // The index keeps a value of up to 60,000 bytes in one piece, and a pair has four bytes more than its names.
    let long = [59_995, 59_996, 59_997, 65_535, 65_536, 120_000, 200_001].map(|length| "n".repeat(length));
    let short = ["", "\0", "\0\0", "a", "a\0", "\u{1f600}", "n"].map(str::to_owned);
    let names: Vec<String> = long.into_iter().chain(short).collect();
    let mut documents = Vec::new();
    for (number, name) in (0..).step_by(4).zip(&names) {
        let mut named = [number, number + 1, number + 2, number + 3].map(|id| document(id, "main", "t", "a boat"));
        named[0].facets.space.clone_from(name);
        named[1].facets.thread.clone_from(name);
        named[2].facets.author.clone_from(name);
        named[3].facets.role.clone_from(name);
        documents.extend(named);
    }
    let (one, other) = (directory(), directory());
    let at_once = open(one.path());
    apply(&at_once, &documents);
    let mut singly = open(other.path());
    documents.iter().for_each(|document| apply(&singly, std::slice::from_ref(document)));
    // Replaced documents are read one by one, and segments with them are merged value by value.
    documents.iter().step_by(3).for_each(|document| apply(&singly, std::slice::from_ref(document)));
    drop(singly);
    singly = open(other.path());
    assert_eq!(digest(&singly), digest(&at_once));
    for (number, name) in (0..).step_by(4).zip(&names) {
        let in_thread = Filter { threads: vec![name.clone()], spaces: vec!["main".into()], ..Filter::default() };
        assert_eq!(numbers(&search_with(&singly, "boat", &in_space(name))), [number], "{} bytes", name.len());
        assert_eq!(numbers(&search_with(&singly, "boat", &in_thread)), [number + 1], "{} bytes", name.len());
    }
    let mut changed = documents[24].clone();
    changed.facets.space.replace_range(200_000.., "m");
    apply(&singly, &[changed]);
    assert_ne!(digest(&singly), digest(&at_once), "the last of 200,001 bytes counts");
}

#[test]
fn searches_see_whole_commits_while_documents_come_in() {
    let directory = directory();
    let store = open(directory.path());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let searching = scope.spawn(|| {
            let mut searches = 0;
            while !done.load(Ordering::Acquire) || searches == 0 {
                let hits = store.search(&TextQuery { text: "boat", filter: &Filter::default(), limit: 1_000 });
                let found = hits.expect("the search succeeds").hits.len();
                assert!(found.is_multiple_of(7), "{found} hits are no whole number of commits");
                searches += 1;
            }
            searches
        });
        for batch in 0..30 {
            let documents: Vec<_> =
                (batch * 7..batch * 7 + 7).map(|number| document(number, "main", "t", "a boat")).collect();
            apply(&store, &documents);
        }
        done.store(true, Ordering::Release);
        assert!(searching.join().expect("the searches succeed") > 0);
    });
    assert_eq!(store.document_count(), 210);
}

#[test]
fn the_last_wording_on_the_log_counts_and_a_blank_one_is_found_by_nothing() {
    let directory = directory();
    let store = open(directory.path());
    let wording = |offset: u64, text: &str| {
        let said = document(2, "main", "boats", text);
        TextDocument { position: Position { offset, ..said.position }, ..said }
    };
    apply(&store, &conversation());
    apply(&store, &[wording(200, "the mast is tall"), wording(201, "the sail is torn")]);
    let found = |query: &str| search(&store, query).hits.iter().filter(|hit| !hit.own_terms.is_empty()).count();
    assert_eq!([found("boat"), found("mast"), found("sail")], [0, 0, 1]);
    let before = digest(&store);
    apply(&store, &[wording(200, "the mast is tall"), wording(2, "the old boat")]);
    assert_eq!(digest(&store), before, "what came before comes again");
    apply(&store, &[wording(202, " ")]);
    assert_eq!((found("sail"), store.document_count()), (0, 9));
    assert!(!numbers(&search(&store, "green paint harbour bread")).contains(&2), "nor by its neighbours' words");
    apply(&store, &[wording(203, "the sail is mended")]);
    assert_eq!((numbers(&search(&store, "mended"))[0], store.document_count()), (2, 10));
}

#[test]
fn many_small_commits_leave_few_segments() {
    let directory = directory();
    let store = open(directory.path());
    for number in 0..100 {
        apply(&store, &[document(number, "main", "t", "a boat")]);
    }
    drop(store);
    let segments = files(directory.path(), "term").len();
    assert!(segments < 20, "{segments} segments");
    assert_eq!(open(directory.path()).document_count(), 100);
}

#[test]
fn after_a_failed_commit_the_last_one_is_served_and_the_next_succeeds() {
    let directory = directory();
    let store = open(directory.path());
    apply(&store, &conversation()[..5]);
    let hits = search(&store, "boat");
    // The writer replaces meta.json by renaming, which a directory of that name makes impossible.
    let meta = directory.path().join("meta.json");
    let kept = fs::read(&meta).expect("the file is read");
    fs::remove_file(&meta).expect("the file is removed");
    fs::create_dir(&meta).expect("the directory is made");
    store.apply(&conversation()[5..], &read_to(10)).expect_err("the commit cannot be written");
    assert_eq!(search(&store, "boat"), hits);
    assert_eq!(store.checkpoints(), Checkpoints::default());
    fs::remove_dir(&meta).expect("the directory is removed");
    fs::write(&meta, kept).expect("the file is written");
    store.apply(&conversation()[5..], &read_to(10)).expect("the commit is written");
    let at_once = self::directory();
    let at_once = open(at_once.path());
    apply(&at_once, &conversation());
    assert_eq!(digest(&store), digest(&at_once));
}

fn any_text() -> impl Strategy<Value = String> {
    let words = ["boat", "green", "soup", "bread", "harbour", "paint", "2023", "the"];
    prop_oneof![
        9 => prop::collection::vec(prop::sample::select(words.to_vec()), 0..8).prop_map(|words| words.join(" ")),
        1 => prop::collection::vec(prop::sample::select(words.to_vec()), 60..90).prop_map(|words| words.join(" ")),
        1 => any::<String>(),
    ]
}

fn any_documents() -> impl Strategy<Value = Vec<TextDocument>> {
    let parts = (any_text(), prop::sample::select(vec![("a", "x"), ("a", "y"), ("b", "x")]), 0..3u8);
    prop::collection::vec(parts, 1..40).prop_map(|documents| {
        let numbered = (0..).zip(documents);
        numbered
            .map(|(number, (text, (space, thread), author))| {
                let mut document = document(number, space, thread, &text);
                document.facets.author = ["Ada", "Bob", "user"][usize::from(author)].into();
                document
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn scores_are_exact(documents in any_documents(), query in any_text()) {
        let directory = directory();
        let store = open(directory.path());
        apply(&store, &documents);
        let filter = in_space("a");
        let hits = store.search(&TextQuery { text: &query, filter: &filter, limit: 100 }).expect("the search succeeds");
        let expected = oracle::scores(&documents, "a", &query);
        prop_assert_eq!(hits.hits.len(), expected.len());
        for hit in hits.hits {
            let expected = expected[&hit.message_id.as_u128()];
            prop_assert!((f64::from(hit.score) - expected).abs() < 1e-3 * expected, "{} instead of {expected}", hit.score);
        }
    }

    #[test]
    fn any_split_into_batches_gives_the_same_store(
        documents in any_documents(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any_text()), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        restart in any::<bool>(),
        query in any_text(),
    ) {
        let mut log = documents.clone();
        for (which, text) in edits {
            log.push(TextDocument { text, ..which.get(&documents).clone() });
        }
        let (one, other) = (directory(), directory());
        let at_once = open(one.path());
        apply(&at_once, &log);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len())).chain([0, log.len()]).collect();
        cuts.sort_unstable();
        let mut split = open(other.path());
        for pair in cuts.windows(2) {
            apply(&split, &log[pair[0]..pair[1]]);
            if restart {
                drop(split);
                split = open(other.path());
            }
        }
        let last: HashMap<_, _> = log.iter().map(|document| (document.message_id, &document.text)).collect();
        let said = last.values().filter(|text| !is_blank(text)).count();
        prop_assert_eq!(at_once.document_count(), said as u64);
        prop_assert_eq!(digest(&at_once), digest(&split));
        prop_assert_eq!(search(&at_once, &query), search(&split, &query));
    }

    #[test]
    fn how_threads_are_mixed_does_not_matter(documents in any_documents(), query in any_text()) {
        let (one, other) = (directory(), directory());
        let (mixed, sorted) = (open(one.path()), open(other.path()));
        apply(&mixed, &documents);
        let mut by_thread = documents;
        by_thread.sort_by(|one, other| other.facets.thread.cmp(&one.facets.thread));
        apply(&sorted, &by_thread);
        prop_assert_eq!(digest(&mixed), digest(&sorted));
        prop_assert_eq!(search(&mixed, &query), search(&sorted, &query));
    }
}
