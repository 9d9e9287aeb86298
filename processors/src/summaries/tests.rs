//! The store against what it promises: over random orders, batches, restarts and repetitions.

mod written;

use std::collections::{BTreeMap, BTreeSet};

use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
use tempfile::tempdir;
use uuid::Uuid;

use super::{
    Archived, Budget, DayTally, List, News, Said, Statistics, Summary, SummaryStore, Tally, ThreadLast,
    statistics::day_of, words,
};
use crate::{
    Facets, Forgetting, Forgotten, Micros, Page, PageLimit, Scope,
    seeds::{Chance, for_each_seed},
};

const LIMIT: PageLimit = PageLimit { items: 3, bytes: usize::MAX };
const DAY: Micros = 86_400_000_000;
const SPACES: [&str; 2] = ["s", "s2"];
const THREADS: [&str; 4] = ["t0", "t1", "t2", "t3"];
const AUTHORS: [&str; 3] = ["ada", "bob", "bot"];
const TEXTS: [&str; 8] = [
    "Hello!",
    "Where do you live?",
    "I moved to Oslo in May. The rent is 900 euros.",
    "We decided to use Kafka for the orders of shop",
    "let x = [1, 2];",
    "Thanks a lot!",
    "東京に三年住んでいます。猫が二匹います。",
    "",
];

fn said(offset: u64, space: &str, thread: &str, author: &str, sent_at: Micros, text: &'static str) -> Said<'static> {
    Said {
        message_id: Uuid::from_u128(u128::from(offset) + 1),
        facets: Facets {
            space: space.into(),
            thread: thread.into(),
            author: author.into(),
            role: if author == "bot" { "assistant" } else { "user" }.into(),
            sent_at,
            accepted_at: offset as Micros,
        },
        position: Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset },
        text,
        is_edit: false,
    }
}

/// Everything that comes in a run, in the order in which it was made.
#[derive(Default)]
struct Course {
    said: Vec<Said<'static>>,
    forgettings: Vec<Forgetting>,
    archived: Vec<Archived>,
}

impl Course {
    fn random(chance: &mut Chance) -> Self {
        let mut pick = |names: &[&'static str]| names[chance.below(names.len() as u64) as usize];
        let names: Vec<_> =
            (0..400).map(|_| (pick(&SPACES[..]), pick(&THREADS), pick(&AUTHORS), pick(&TEXTS))).collect();
        let count = [3, 60, 400][chance.below(3) as usize];
        // Most in one thread, so that blocks are finished.
        let is_long = chance.below(2) == 0;
        let mut course = Self::default();
        for (offset, (space, thread, author, text)) in names.iter().take(count).enumerate() {
            let (space, thread) = if is_long && offset % 8 != 0 { ("s", "t0") } else { (*space, *thread) };
            let sent_at = chance.below(3 * DAY as u64) as Micros - DAY;
            course.said.push(said(offset as u64, space, thread, author, sent_at, text));
        }
        for _ in 0..chance.below(40) {
            let offset = course.said.len() as u64;
            let edited = course.said[chance.below(count as u64) as usize].clone();
            let position = Position { offset, ..edited.position };
            let text = TEXTS[chance.below(TEXTS.len() as u64) as usize];
            course.said.push(Said { position, text, is_edit: true, ..edited });
        }
        for _ in 0..chance.below(8) {
            let (space, thread, author, _) = names[chance.below(400) as usize];
            let scope = match chance.below(8) {
                0 => Scope::Space,
                1 | 2 => Scope::Thread(thread.into()),
                3 | 4 => Scope::Author(author.into()),
                _ => Scope::Message(Uuid::from_u128(u128::from(chance.below(count as u64)) + 1)),
            };
            course.forgettings.push(Forgetting {
                space: space.into(),
                scope,
                until: chance.below(count as u64 + 9) as Micros,
            });
        }
        for _ in 0..chance.below(9) {
            let (space, thread, ..) = names[chance.below(400) as usize];
            let at = chance.below(count as u64 + 9) as Micros / 4 * 4;
            let is_archived = chance.below(3) > 0;
            course.archived.push(Archived { space: space.into(), thread: thread.into(), is_archived, at });
        }
        course
    }

    /// All of it at once.
    fn news(&self) -> News<'_> {
        News { said: &self.said, forgettings: &self.forgettings, archived: &self.archived, written: &[] }
    }

    /// The messages in another order, in which those of each thread stand as before.
    fn interleaved(&self, chance: &mut Chance) -> Vec<Said<'static>> {
        let mut threads: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for message in self.said.iter().rev() {
            threads.entry((&message.facets.space, &message.facets.thread)).or_default().push(message.clone());
        }
        let mut threads: Vec<_> = threads.into_values().collect();
        let mut order = Vec::new();
        while !threads.is_empty() {
            let index = chance.below(threads.len() as u64) as usize;
            order.extend(threads[index].pop());
            threads.retain(|thread| !thread.is_empty());
        }
        order
    }

    /// The messages as they were taken in.
    fn messages(&self) -> impl Iterator<Item = &Said<'static>> {
        self.said.iter().filter(|said| !said.is_edit)
    }

    /// What is remembered, in the order of the log, with what it says since its last edit.
    fn remembered(&self) -> Vec<Said<'static>> {
        let mut forgotten = Forgotten::default();
        self.forgettings.iter().for_each(|forgetting| _ = forgotten.add(forgetting));
        let last: BTreeMap<_, _> = self.said.iter().map(|said| (said.message_id, said.text)).collect();
        let kept = self.messages().filter(|message| !forgotten.covers(message.message_id, &message.facets));
        kept.map(|message| Said { text: last[&message.message_id], ..message.clone() }).collect()
    }
}

fn shuffled<T: Clone>(items: &[T], chance: &mut Chance) -> Vec<T> {
    let mut items = items.to_vec();
    for index in (1..items.len()).rev() {
        items.swap(index, chance.below(index as u64 + 1) as usize);
    }
    items
}

fn forget(store: &SummaryStore, forgetting: &Forgetting) {
    let news = News { forgettings: std::slice::from_ref(forgetting), ..News::default() };
    store.apply(&news, &Checkpoints::default()).unwrap();
}

fn apply(store: &SummaryStore, said: &[Said<'_>]) {
    store.apply(&News { said, ..News::default() }, &Checkpoints::default()).unwrap();
}

fn pages<T>(mut page: impl FnMut(Option<&[u8]>) -> Page<T>, list: List<'_>, space: &str) -> Vec<T> {
    let (mut items, mut cursor) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let piece = page(cursor.as_deref());
        assert!(piece.items.len() <= LIMIT.items);
        items.extend(piece.items);
        let Some(next) = piece.next else { return items };
        assert!(SummaryStore::is_cursor_of(space, list, &next));
        cursor = Some(next);
    }
}

/// Everything that a store answers.
#[derive(Debug, PartialEq, Default)]
struct Answers {
    summaries: Vec<Summary>,
    statistics: Vec<Option<Statistics>>,
    days: Vec<Vec<DayTally>>,
    quiet: Vec<Vec<ThreadLast>>,
    archived: Vec<Vec<ThreadLast>>,
    is_archived: Vec<bool>,
}

fn answers(store: &SummaryStore) -> Answers {
    let mut all = Answers::default();
    let days = i64::MIN..=i64::MAX;
    for space in SPACES {
        all.statistics.push(store.space_statistics(space).unwrap());
        let list = |thread| {
            pages(|cursor| store.days(space, thread, days.clone(), LIMIT, cursor).unwrap(), List::Days(thread), space)
        };
        all.days.push(list(None));
        all.quiet.push(pages(|cursor| store.quiet(space, Micros::MAX, LIMIT, cursor).unwrap(), List::Quiet, space));
        all.archived.push(pages(|cursor| store.archived(space, LIMIT, cursor).unwrap(), List::Archived, space));
        for thread in THREADS {
            all.summaries.push(store.summary(space, thread, Budget::Tokens(60)).unwrap());
            all.summaries.push(store.summary(space, thread, Budget::Sentences(300)).unwrap());
            all.statistics.push(store.thread_statistics(space, thread).unwrap());
            all.days.push(list(Some(thread)));
            all.is_archived.push(store.is_archived(space, thread).unwrap());
        }
    }
    all
}

#[test]
fn orders_batches_restarts_and_repetitions_change_nothing() {
    for_each_seed(20, |seed| {
        let mut chance = Chance(seed);
        let course = Course::random(&mut chance);
        let one = tempdir().unwrap();
        let store = SummaryStore::open(one.path()).unwrap();
        store.apply(&course.news(), &Checkpoints::default()).unwrap();
        let other = tempdir().unwrap();
        let mut different = SummaryStore::open(other.path()).unwrap();
        let mut messages = course.interleaved(&mut chance).into_iter().peekable();
        let mut forgettings = shuffled(&course.forgettings, &mut chance);
        let mut archived = shuffled(&course.archived, &mut chance);
        let mut past = Vec::new();
        while messages.peek().is_some() || !forgettings.is_empty() || !archived.is_empty() {
            let most = if chance.below(2) == 0 { 3 } else { 90 };
            let count = chance.below(most) as usize;
            let mut batch: Vec<_> = messages.by_ref().take(count).collect();
            past.extend_from_slice(&batch);
            if chance.below(3) == 0 && !past.is_empty() {
                let from = chance.below(past.len() as u64) as usize;
                batch.extend_from_slice(&past[from..past.len().min(from + 9)]);
            }
            let few: Vec<_> = forgettings.drain(..(chance.below(2) as usize).min(forgettings.len())).collect();
            let some: Vec<_> = archived.drain(..(chance.below(2) as usize).min(archived.len())).collect();
            for _ in 0..1 + chance.below(2) {
                let news = News { said: &batch, forgettings: &few, archived: &some, written: &[] };
                different.apply(&news, &Checkpoints::default()).unwrap();
            }
            if chance.below(8) == 0 {
                drop(different);
                different = SummaryStore::open(other.path()).unwrap();
            }
        }
        assert_eq!(answers(&different), answers(&store));
        assert_eq!(different.digest().unwrap(), store.digest().unwrap());
        check_counts(&store, &course);
        check_archive(&store, &course);
        check_citations(&store, &course);
    });
}

/// Everything that is counted, against counting it anew.
fn check_counts(store: &SummaryStore, course: &Course) {
    let remembered = course.remembered();
    for space in SPACES {
        for thread in THREADS.into_iter().map(Some).chain([None]) {
            let is_here = |said: &&Said<'_>| {
                said.facets.space == space && thread.is_none_or(|thread| thread == said.facets.thread)
            };
            let (mut roles, mut authors, mut days) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            let (mut times, mut total) = (BTreeSet::new(), Tally::default());
            for said in remembered.iter().filter(is_here) {
                let tally = Tally { messages: 1, words: words::count(said.text), bytes: said.text.len() as u64 };
                total.add(tally);
                times.insert(said.facets.sent_at);
                roles.entry(said.facets.role.clone()).or_insert(Tally::default()).add(tally);
                authors.entry(said.facets.author.clone()).or_insert(Tally::default()).add(tally);
                days.entry(day_of(said.facets.sent_at)).or_insert(Tally::default()).add(tally);
            }
            let mut authors: Vec<_> = authors.into_iter().collect();
            authors.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.messages));
            let expected = times.first().zip(times.last()).map(|(first, last)| Statistics {
                total,
                roles: roles.into_iter().collect(),
                authors,
                first_at: *first,
                last_at: *last,
                ..Statistics::default()
            });
            let found = match thread {
                Some(thread) => store.thread_statistics(space, thread).unwrap(),
                None => store.space_statistics(space).unwrap(),
            };
            assert_eq!(found, expected, "{space} {thread:?}");
            let page = PageLimit { items: 99, ..LIMIT };
            let found = store.days(space, thread, 0..=1, page, None).unwrap().items;
            let expected: Vec<_> =
                days.range(0..=1).map(|(day, tally)| DayTally { day: *day, tally: *tally }).collect();
            assert_eq!(found, expected);
        }
    }
}

/// Which threads are quiet and which are in the archive, against finding it anew.
fn check_archive(store: &SummaryStore, course: &Course) {
    let remembered = course.remembered();
    for space in SPACES {
        let (mut quiet, mut archived) = (Vec::new(), Vec::new());
        for thread in THREADS {
            let of_thread = |facets: &Facets| facets.space == space && facets.thread == thread;
            let taken_in =
                course.messages().filter(|said| of_thread(&said.facets)).map(|said| said.facets.accepted_at).max();
            let filed = course.archived.iter().filter(|one| one.space == space && one.thread == thread);
            let filed = filed.map(|one| (one.at, one.is_archived)).max();
            let is_archived =
                filed.is_some_and(|(at, is_archived)| is_archived && taken_in.is_none_or(|taken| taken <= at));
            assert_eq!(store.is_archived(space, thread).unwrap(), is_archived, "{space} {thread}");
            let last = remembered.iter().filter(|said| of_thread(&said.facets)).map(|said| said.facets.sent_at).max();
            let list = if is_archived { &mut archived } else { &mut quiet };
            list.extend(last.map(|last_at| ThreadLast { thread: thread.to_owned(), last_at }));
        }
        quiet.sort_by_key(|thread| thread.last_at);
        archived.sort_by_key(|thread| thread.last_at);
        let page = PageLimit { items: 99, ..LIMIT };
        assert_eq!(store.archived(space, page, None).unwrap().items, archived);
        assert_eq!(store.quiet(space, Micros::MAX, page, None).unwrap().items, quiet);
        quiet.retain(|thread| thread.last_at < DAY);
        assert_eq!(store.quiet(space, DAY, page, None).unwrap().items, quiet);
    }
}

/// Every sentence stands where it says, in a message that is remembered, and all are in the order of the thread.
fn check_citations(store: &SummaryStore, course: &Course) {
    let remembered = course.remembered();
    for space in SPACES {
        for thread in THREADS {
            let summary = store.summary(space, thread, Budget::Sentences(300)).unwrap();
            let mut places = Vec::new();
            for sentence in &summary.sentences {
                let said = remembered.iter().find(|said| said.message_id == sentence.sources[0].message_id).unwrap();
                assert_eq!(&said.text[sentence.range.clone()], sentence.text);
                let (facets, source) = (&said.facets, &sentence.sources[0]);
                assert_eq!(
                    (&facets.author, &facets.role, facets.sent_at),
                    (&source.author, &source.role, source.sent_at)
                );
                places.push((said.position, sentence.range.start));
            }
            assert!(places.is_sorted());
            let of_thread = |facets: &Facets| facets.space == space && facets.thread == thread;
            let turns = remembered.iter().filter(|said| of_thread(&said.facets)).count() as u64;
            assert_eq!(summary.turns, turns);
            let through = course.messages().filter(|said| of_thread(&said.facets)).map(|said| said.position).max();
            assert_eq!(summary.through, through);
        }
    }
}

#[test]
fn a_summary_shows_what_was_stated_and_fillers_only_where_nothing_else_was() {
    let directory = tempdir().unwrap();
    let store = SummaryStore::open(directory.path()).unwrap();
    let shown = || {
        let summary = store.summary("s", "t", Budget::Sentences(9)).unwrap();
        summary.sentences.into_iter().map(|sentence| sentence.text).collect::<Vec<_>>()
    };
    assert!(shown().is_empty());
    apply(&store, &[said(0, "s", "t", "ada", 0, "Hi! Thanks!")]);
    assert_eq!(shown(), ["Hi!"]);
    apply(
        &store,
        &[
            said(1, "s", "t", "ada", 1, "We decided to use Kafka for the orders of the shop."),
            said(
                2,
                "s",
                "t",
                "bot",
                2,
                "Great! Anything else? The Kafka cluster for the orders of the shop needs three brokers.",
            ),
            said(3, "s", "t", "ada", 3, "We decided to use Kafka for the orders of the shop!"),
            said(4, "s", "t", "ada", 4, "ERROR 2024 connection to kafka refused"),
        ],
    );
    assert_eq!(
        shown(),
        [
            "We decided to use Kafka for the orders of the shop.",
            "The Kafka cluster for the orders of the shop needs three brokers.",
        ]
    );
}

#[test]
fn no_word_of_what_is_forgotten_is_left() {
    let directory = tempdir().unwrap();
    let store = SummaryStore::open(directory.path()).unwrap();
    let never = tempdir().unwrap();
    let other = SummaryStore::open(never.path()).unwrap();
    let messages: Vec<_> = (0..70).map(|offset| said(offset, "s", "t", "ada", offset as Micros, TEXTS[2])).collect();
    let forgetting = Forgetting { space: "s".into(), scope: Scope::Space, until: 99 };
    apply(&store, &messages);
    forget(&store, &forgetting);
    // The same as where no text ever came.
    let silent: Vec<_> = messages.into_iter().map(|said| Said { text: "", ..said }).collect();
    other
        .apply(&News { said: &silent, forgettings: &[forgetting], ..News::default() }, &Checkpoints::default())
        .unwrap();
    assert_eq!(store.digest().unwrap(), other.digest().unwrap());
    assert_eq!(store.space_statistics("s").unwrap(), None);
    assert!(store.summary("s", "t", Budget::Sentences(9)).unwrap().sentences.is_empty());
}

#[test]
fn an_edited_message_is_summed_up_as_if_it_had_been_said_so() {
    let directory = tempdir().unwrap();
    let store = SummaryStore::open(directory.path()).unwrap();
    let message = |offset, text| said(offset, "s", "t0", "ada", offset as Micros, text);
    // The block of the edited message is finished, and so are those that it is folded into.
    let thread: Vec<_> = (0..70).map(|offset| message(offset, if offset == 3 { TEXTS[2] } else { TEXTS[0] })).collect();
    let edit = |offset, text| Said { is_edit: true, text, position: message(offset, "").position, ..thread[3].clone() };
    apply(&store, &thread);
    for (offset, text) in [(70, TEXTS[3]), (71, TEXTS[6]), (72, "")] {
        apply(&store, &[edit(offset, text)]);
        // The older one comes again.
        apply(&store, &[edit(offset - 1, TEXTS[2]), thread[3].clone()]);
        let mut now = thread.clone();
        now[3].text = text;
        let fresh = tempdir().unwrap();
        let so_said = SummaryStore::open(fresh.path()).unwrap();
        apply(&so_said, &now);
        assert_eq!(answers(&store), answers(&so_said), "{text:?}");
    }
    // Who forgets it forgets every wording, and an edit does not bring it back.
    let forgetting = Forgetting { space: "s".into(), scope: Scope::Message(thread[3].message_id), until: 0 };
    forget(&store, &forgetting);
    let digest = store.digest().unwrap();
    apply(&store, &[edit(73, TEXTS[2])]);
    assert_eq!(store.digest().unwrap(), digest);
    assert_eq!(store.thread_statistics("s", "t0").unwrap().unwrap().total.messages, 69);
}

#[test]
fn a_message_of_a_mebibyte_is_taken_in_like_any_other() {
    let directory = tempdir().unwrap();
    let store = SummaryStore::open(directory.path()).unwrap();
    for (offset, pattern) in ["a", "word ", ".", "。", "- x\n", "東", "Dr. ", "{;"].into_iter().enumerate() {
        let text: &'static str = Box::leak(pattern.repeat((1 << 20) / pattern.len()).into_boxed_str());
        let begun = std::time::Instant::now();
        apply(&store, &[said(offset as u64, "s", "t", "ada", 0, text)]);
        assert!(begun.elapsed().as_secs() < 5, "{pattern:?} took {:?}", begun.elapsed());
    }
    assert!(store.summary("s", "t", Budget::Tokens(500)).is_ok());
}

#[test]
fn rows_and_checkpoints_outlive_a_restart() {
    let directory = tempdir().unwrap();
    let store = SummaryStore::open(directory.path()).unwrap();
    let mut checkpoints = Checkpoints::default();
    checkpoints.advance(Partition { topic: Topic::Messages, id: 0 }, 7);
    let one = [said(0, "s", "t", "ada", 0, TEXTS[2])];
    store.apply(&News { said: &one, ..News::default() }, &checkpoints).unwrap();
    let digest = store.digest().unwrap();
    drop(store);
    let store = SummaryStore::open(directory.path()).unwrap();
    assert_eq!(store.digest().unwrap(), digest);
    assert_eq!(store.checkpoints().unwrap(), checkpoints);
}
