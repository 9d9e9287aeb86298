//! What a model wrote against what it promises: over random courses, orders, batches and restarts.

use super::{super::score, *};
use crate::summaries::{Stretch, Told, Unwritten, Written};

/// Three logs that are written side by side, each with an order of its own, as those of messages, of memory and of knowledge.
#[derive(Default)]
struct Logs {
    said: Vec<Said<'static>>,
    forgettings: Vec<Forgetting>,
    written: Vec<Written>,
}

/// How much of each was read.
type Read = [usize; 3];

impl Logs {
    fn apply(&self, store: &SummaryStore, from: Read, until: Read) {
        let news = News {
            said: &self.said[from[0]..until[0]],
            forgettings: &self.forgettings[from[1]..until[1]],
            archived: &[],
            written: &self.written[from[2]..until[2]],
        };
        store.apply(&news, &Checkpoints::default()).unwrap();
    }

    fn ends(&self) -> Read {
        [self.said.len(), self.forgettings.len(), self.written.len()]
    }

    /// Adds a message, an edit or a forgetting; nearly all messages in one thread, so that there are blocks of several levels.
    fn go_on(&mut self, chance: &mut Chance) {
        let offset = self.said.len() as u64;
        let text = TEXTS[chance.below(TEXTS.len() as u64) as usize];
        let author = AUTHORS[chance.below(3) as usize];
        match chance.below(24) {
            0 if offset > 0 => {
                let edited = self.said[chance.below(offset) as usize].clone();
                let position = Position { offset, ..edited.position };
                self.said.push(Said { position, text, is_edit: true, ..edited });
            }
            1 => {
                let scope = match chance.below(12) {
                    0 => Scope::Space,
                    1 => Scope::Thread("t0".into()),
                    2 => Scope::Author(author.into()),
                    _ => Scope::Message(Uuid::from_u128(u128::from(chance.below(offset + 5)) + 1)),
                };
                let until = chance.below(offset + 1) as Micros / 8;
                self.forgettings.push(Forgetting { space: "s".into(), scope, until });
            }
            2 => self.said.push(said(offset, "s", "t1", author, 0, text)),
            _ => self.said.push(said(offset, "s", "t0", author, 0, text)),
        }
    }

    /// What a thread's messages say that are remembered, as it is told.
    fn telling(&self) -> BTreeMap<Uuid, String> {
        let course = Course { said: self.said.clone(), forgettings: self.forgettings.clone(), ..Course::default() };
        course.remembered().into_iter().map(|said| (said.message_id, told(said.text, &said.facets.role))).collect()
    }
}

fn told(text: &str, role: &str) -> String {
    let kept = score::best_of(text, role);
    kept.iter().map(|kept| kept.text.trim()).collect::<Vec<_>>().join(" ")
}

/// A summary that has a sentence for each of what it was told, with its words.
fn repeating(unwritten: Unwritten) -> Written {
    let Unwritten { space, thread, stretch, told } = unwritten;
    let sentences = match told {
        Told::Turns(turns) => turns.into_iter().map(|turn| (turn.text, vec![turn.message_id])).collect(),
        Told::Sentences(sentences) => sentences,
    };
    Written { space, thread, stretch, model: "m".into(), sentences }
}

fn due(store: &SummaryStore, quiet_since: Micros) -> Option<Unwritten> {
    let mut cursor = Vec::new();
    for _ in 0..200 {
        let found = store.unwritten(quiet_since, |_| true, |_| false, &mut cursor).unwrap();
        if found.is_some() || cursor.is_empty() {
            return found;
        }
    }
    panic!("it never comes to the end");
}

fn stored() -> (tempfile::TempDir, SummaryStore) {
    let directory = tempdir().unwrap();
    let store = SummaryStore::open(directory.path()).unwrap();
    (directory, store)
}

#[test]
fn in_whatever_order_topics_are_read_a_summary_says_what_is_remembered_alone() {
    for_each_seed(12, |seed| {
        let mut chance = Chance(seed);
        let mut logs = Logs::default();
        let (_directory, writer) = stored();
        let mut read = [0; 3];
        for _ in 0..[40, 150, 320][chance.below(3) as usize] {
            logs.go_on(&mut chance);
            if chance.below(9) == 0 {
                // A writer has read everything that there was; while the model works, more comes.
                logs.apply(&writer, read, logs.ends());
                read = logs.ends();
                let quiet_since = [0, Micros::MAX][chance.below(2) as usize];
                while let Some(unwritten) = due(&writer, quiet_since) {
                    if chance.below(4) == 0 {
                        logs.go_on(&mut chance);
                    }
                    logs.written.push(repeating(unwritten));
                    logs.apply(&writer, read, logs.ends());
                    read = logs.ends();
                }
            }
        }
        logs.apply(&writer, read, logs.ends());

        let (_directory, once) = stored();
        logs.apply(&once, [0; 3], logs.ends());
        let directory = tempdir().unwrap();
        let mut other = SummaryStore::open(directory.path()).unwrap();
        let mut read = [0; 3];
        while read != logs.ends() {
            let mut until = read;
            let topic = chance.below(3) as usize;
            until[topic] = logs.ends()[topic].min(read[topic] + chance.below(60) as usize);
            logs.apply(&other, read, until);
            if chance.below(4) == 0 {
                // After a crash the last comes again.
                logs.apply(&other, read, until);
            }
            read = until;
            if chance.below(20) == 0 {
                drop(other);
                other = SummaryStore::open(directory.path()).unwrap();
            }
        }
        let telling = logs.telling();
        for store in [&writer, &once, &other] {
            assert_eq!(store.digest().unwrap(), writer.digest().unwrap());
            for thread in THREADS {
                let summary = store.summary("s", thread, Budget::Sentences(1_000)).unwrap();
                for sentence in summary.sentences.iter().filter(|sentence| sentence.model.is_some()) {
                    let source = &sentence.sources[0];
                    // One of a level above may have less of a message than the message itself.
                    assert!(telling[&source.message_id].contains(&sentence.text), "{sentence:?}");
                }
            }
        }
    });
}

/// A thread of one author whose messages differ.
fn thread(turns: u64) -> Vec<Said<'static>> {
    let text = |number: u64| -> &'static str { format!("Harbour number {number} has {} boats.", number * 7).leak() };
    (0..turns).map(|number| said(number, "s", "t", "ada", number as Micros, text(number))).collect()
}

fn write(store: &SummaryStore, written: &Written) {
    store.apply(&News { written: std::slice::from_ref(written), ..News::default() }, &Checkpoints::default()).unwrap();
}

fn write_all(store: &SummaryStore, quiet_since: Micros) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    while let Some(unwritten) = due(store, quiet_since) {
        stretches.push(unwritten.stretch);
        let Unwritten { space, thread, stretch, told } = unwritten;
        let source = match told {
            Told::Turns(turns) => turns[0].message_id,
            Told::Sentences(sentences) => sentences[0].1[0],
        };
        let text = format!("level{}from{}until{}", stretch.level, stretch.from, stretch.until);
        let sentences = vec![(text, vec![source])];
        write(store, &Written { space, thread, stretch, model: "m".into(), sentences });
    }
    stretches
}

fn written_texts(store: &SummaryStore) -> Vec<String> {
    let summary = store.summary("s", "t", Budget::Sentences(1_000)).unwrap();
    summary.sentences.into_iter().filter(|sentence| sentence.model.is_some()).map(|sentence| sentence.text).collect()
}

#[test]
fn blocks_are_summed_up_as_they_are_finished_and_the_last_turns_once_it_is_quiet() {
    let (_directory, store) = stored();
    let thread = thread(75);
    apply(&store, &thread[..3]);
    assert_eq!(due(&store, 2), None, "the last was taken in at 2");
    let stretch = Stretch { level: 0, from: 0, until: 3, first: 0, turns: 3, edited: None };
    assert_eq!(write_all(&store, 3), [stretch]);
    apply(&store, &thread[3..4]);
    assert_eq!(due(&store, 99), None, "one more turn is not worth a call");
    assert_eq!(written_texts(&store), ["level0from0until3"]);
    apply(&store, &thread[4..8]);
    assert_eq!(write_all(&store, 0), [Stretch { until: 8, turns: 8, ..stretch }], "what is finished is not waited for");
    assert_eq!(written_texts(&store), ["level0from0until8"]);

    apply(&store, &thread[8..]);
    let levels: Vec<_> = write_all(&store, 0).iter().map(|stretch| (stretch.level, stretch.from)).collect();
    let of_turns = (1..9).map(|number| (0, number * 8));
    assert_eq!(levels, of_turns.chain([(1, 0), (1, 32)]).collect::<Vec<_>>());
    assert_eq!(written_texts(&store), ["level1from0until32", "level1from32until64", "level0from64until72"]);
    assert_eq!(write_all(&store, 99).len(), 1);
    assert_eq!(written_texts(&store).last().unwrap(), "level0from72until75");
    let summary = store.summary("s", "t", Budget::Sentences(1_000)).unwrap();
    assert!(summary.sentences.iter().all(|sentence| sentence.model.is_some()), "nothing is said twice");
}

#[test]
fn of_a_forgotten_turn_every_summary_loses_its_words_and_only_those_are_written_again() {
    let (_directory, store) = stored();
    apply(&store, &thread(72));
    write_all(&store, 0);
    let forgetting = Forgetting { space: "s".into(), scope: Scope::Message(Uuid::from_u128(42)), until: 0 };
    forget(&store, &forgetting);
    // Level 1 is gone where the turn was; of its parts all but one hold.
    let left = ["level1from0until32", "level0from32until40", "level0from48until56"];
    assert_eq!(written_texts(&store)[..3], left);
    let again = write_all(&store, 0);
    let stretch = |level, from, until, turns| Stretch { level, from, until, first: 0, turns, edited: None };
    assert_eq!(again, [stretch(0, 40, 48, 7), stretch(1, 32, 64, 31)]);
    assert_eq!(written_texts(&store)[1], "level1from32until64");

    // Each loss costs a call, so there is an end to it.
    let calls: Vec<_> = (43..48)
        .map(|id| {
            forget(&store, &Forgetting { scope: Scope::Message(Uuid::from_u128(id)), ..forgetting.clone() });
            write_all(&store, 0).len()
        })
        .collect();
    assert_eq!(calls, [2, 2, 0, 0, 0]);
    assert!(!written_texts(&store).iter().any(|text| text.contains("from40until48")));

    forget(&store, &Forgetting { scope: Scope::Space, until: 99, ..forgetting });
    assert_eq!((due(&store, 99), written_texts(&store)), (None, Vec::new()));
}

#[test]
fn an_edited_turn_is_summed_up_anew() {
    let (_directory, store) = stored();
    let thread = thread(8);
    apply(&store, &thread);
    write_all(&store, 0);
    let position = Position { offset: 100, ..thread[3].position };
    let edit = Said { position, text: "Harbour number 3 is closed.", is_edit: true, ..thread[3].clone() };
    apply(&store, &[edit]);
    assert_eq!(written_texts(&store), Vec::<String>::new());
    let Some(Unwritten { told: Told::Turns(turns), stretch, .. }) = due(&store, 0) else { panic!("nothing is due") };
    assert_eq!((turns[3].text.as_str(), stretch.edited), ("Harbour number 3 is closed.", Some(100)));
}

#[test]
fn of_a_block_of_which_a_model_gave_nothing_the_next_level_is_told_what_was_said() {
    let (_directory, store) = stored();
    apply(&store, &thread(32));
    while let Some(unwritten) = due(&store, 0).filter(|unwritten| unwritten.stretch.level == 0) {
        write(&store, &Written { sentences: Vec::new(), ..repeating(unwritten) });
    }
    assert_eq!(written_texts(&store), Vec::<String>::new());
    let Some(Unwritten { told: Told::Sentences(sentences), .. }) = due(&store, 0) else { panic!("nothing is due") };
    assert_eq!(sentences.len(), 4 * 6);
    assert!(sentences.iter().all(|(text, sources)| text.starts_with("Harbour") && sources.len() == 1));
}

#[test]
fn what_was_written_of_other_turns_or_of_none_is_nowhere() {
    let (_directory, store) = stored();
    apply(&store, &thread(16));
    apply(&store, &[said(50, "s", "u", "ada", 0, "We moved to Bergen in March.")]);
    let Some(unwritten) = due(&store, 0) else { panic!("nothing is due") };
    let right = repeating(unwritten);
    let stretch = right.stretch;
    let wrong = [
        Stretch { first: 9, ..stretch },
        Stretch { from: 3, ..stretch },
        Stretch { turns: 9, ..stretch },
        Stretch { level: 9, ..stretch },
        Stretch { from: u64::MAX, ..stretch },
        Stretch { until: u64::MAX, ..stretch },
    ];
    for stretch in wrong {
        write(&store, &Written { stretch, ..right.clone() });
    }
    assert_eq!(written_texts(&store), Vec::<String>::new());
    // A source of another thread, and one that is nowhere.
    let sources = |number| vec![Uuid::from_u128(number)];
    let sentences = vec![("a".into(), sources(51)), ("b".into(), sources(900)), ("c".into(), sources(1))];
    write(&store, &Written { sentences, ..right.clone() });
    assert_eq!(written_texts(&store), ["c"]);
    write(&store, &right);
    assert_eq!(written_texts(&store), ["c"], "of two the first counts");
}

#[test]
fn however_many_threads_are_due_each_comes_and_the_latest_come_first() {
    let (_directory, store) = stored();
    let names: Vec<_> = (0..20).map(|number| format!("t{number:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        let of_thread: Vec<_> =
            (0..8).map(|turn| said((number * 8 + turn) as u64, "s", name, "ada", number as Micros, TEXTS[2])).collect();
        apply(&store, &of_thread);
    }
    let (mut cursor, mut order) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        if let Some(unwritten) = store.unwritten(0, |space| space == "s", |_| false, &mut cursor).unwrap() {
            order.push(unwritten.thread.clone());
            write(&store, &repeating(unwritten));
        }
    }
    assert_eq!(order[..3], ["t05", "t11", "t17"], "of those that are looked at");
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 20);
    assert_eq!(store.unwritten(99, |space| space == "other", |_| false, &mut Vec::new()).unwrap(), None);
}
