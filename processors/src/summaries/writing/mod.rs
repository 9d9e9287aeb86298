//! Writing: a model sums up stretches of threads.
//!
//! Owns: which stretch is next, what the model is told, how its answers are read, and what of them is believed.
//! Promises: a stretch is summed up once as it is; the summary is an event, and a replay asks nobody. Each sentence names the
//! messages that say so, and has no number that was not told. No answer panics.
//! Never: tells a model what the store does not remember; waits for a provider longer than for one call; writes to the log.
//!
//! The way of a stretch: the store says what is due and what of it is told (`unwritten`); the `prompt` quotes it; the `answer` is
//! read as far as it can be, and of its sentences those are taken that fit what was told.

mod answer;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod prompt;

use std::{collections::HashSet, sync::Arc};

use meshlog_schemas::{EventId, SentenceWritten, ThreadSummarised};

use super::{Stretch, SummaryStore, Told, Unwritten};
use crate::{
    Micros, StoreError,
    asking::{Answerer, NoAnswer, Question, request::Manner},
};

/// Counts up when the model is told something else, so that an answer on the log is not one to another question.
const VERSION: u32 = 1;
/// So many stretches are known to have failed at the most.
const MOST_FAILED: usize = 1_000;

/// What is summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The model's name.
    pub model: String,
    /// The spaces; empty: all.
    pub spaces: Vec<String>,
    /// How long nothing is to be taken into a thread before its last turns are summed up, in microseconds.
    pub quiet: Micros,
}

/// Has a model sum up threads, stretch by stretch.
pub struct Writer {
    sums: Sums,
    model: Arc<dyn Answerer>,
    /// Where it was looked last.
    cursor: Vec<u8>,
    /// The stretches for which the provider failed. They come again when nothing else is due: of one that it always fails for the
    /// others need not wait.
    failed: HashSet<EventId>,
    /// Whether the provider does not take a request with a schema.
    is_plain: bool,
}

/// A summary, and the id of its event: the same for the same stretch as it was.
pub type Summarised = (EventId, ThreadSummarised);

/// There is no summary.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is to be tried later: a budget is used up, or a limit is reached.
    #[error("{0}")]
    Later(String),
    /// The provider failed.
    #[error("{0}")]
    Failed(String),
}

impl Writer {
    /// A writer that asks `model`.
    pub fn new(sums: Sums, model: Arc<dyn Answerer>) -> Self {
        Self { sums, model, cursor: Vec::new(), failed: HashSet::new(), is_plain: false }
    }

    /// Sums up a stretch that is due; `None` where none is. The store has to have read all that the log had at `now`: by this
    /// time it is known what the model cannot have been told.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn write(&mut self, store: &SummaryStore, now: Micros) -> Result<Option<Summarised>, WriteError> {
        let Sums { spaces, quiet, .. } = &self.sums;
        let is_wanted = |space: &str| spaces.is_empty() || spaces.iter().any(|wanted| wanted == space);
        let waits = |unwritten: &Unwritten| self.failed.contains(&id_of(unwritten));
        let found = store.unwritten(now.saturating_sub(*quiet), is_wanted, waits, &mut self.cursor)?;
        let Some(unwritten) = found else {
            if self.cursor.is_empty() {
                self.failed.clear();
            }
            return Ok(None);
        };
        let id = id_of(&unwritten);
        let sentences = self.sentences(id, &unwritten);
        if let Err(WriteError::Failed(_)) = &sentences {
            if self.failed.len() >= MOST_FAILED {
                self.failed.clear();
            }
            self.failed.insert(id);
        }
        let sentences = sentences?;
        // Invariant: numbers of turns and offsets are far below the largest that a log can hold.
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let Stretch { level, from, until, first, turns, edited } = unwritten.stretch;
        let summarised = ThreadSummarised {
            space: unwritten.space,
            thread: unwritten.thread,
            level: level.into(),
            from: number(from),
            until: number(until),
            first_offset: number(first),
            turns: number(turns),
            edited_offset: edited.map(number),
            model: self.sums.model.clone(),
            told_at: now,
            sentences,
        };
        Ok(Some((id, summarised)))
    }

    /// What the model wrote; nothing where its answer was none twice, or nobody will ever answer.
    fn sentences(&mut self, id: EventId, unwritten: &Unwritten) -> Result<Vec<SentenceWritten>, WriteError> {
        if unwritten.told.is_empty() {
            return Ok(Vec::new());
        }
        for is_again in [false, true] {
            let answer = match self.ask(id, unwritten, is_again) {
                Err(NoAnswer::Unsuitable(reason)) if !std::mem::replace(&mut self.is_plain, true) => {
                    tracing::info!(
                        reason,
                        "the provider is asked for summaries without a schema of the answer from now on"
                    );
                    self.ask(id, unwritten, is_again)
                }
                answer => answer,
            };
            match answer {
                Ok(answer) => {
                    let sentences = answer::read(&answer, &unwritten.told);
                    if !sentences.is_empty() {
                        return Ok(sentences);
                    }
                }
                Err(NoAnswer::Later(reason)) => return Err(WriteError::Later(reason)),
                Err(NoAnswer::Failed(reason)) => return Err(WriteError::Failed(reason)),
                Err(NoAnswer::Unsuitable(reason) | NoAnswer::Refused(reason)) => {
                    let Unwritten { space, thread, .. } = unwritten;
                    tracing::warn!(
                        space,
                        thread,
                        reason,
                        "the model does not sum up a stretch; it stays in the words that were said"
                    );
                    return Ok(Vec::new());
                }
            }
        }
        let Unwritten { space, thread, .. } = unwritten;
        tracing::warn!(space, thread, "the model gave no summary twice; the stretch stays in the words that were said");
        Ok(Vec::new())
    }

    fn ask(&self, id: EventId, unwritten: &Unwritten, is_again: bool) -> Result<String, NoAnswer> {
        let manner = Manner { is_plain: self.is_plain, is_again };
        let asked = format!("{} {VERSION} {is_again} {}", self.sums.model, self.is_plain);
        self.model.ask(&Question {
            id: EventId::derived(id, "summaries", &asked),
            space: &unwritten.space,
            thread: &unwritten.thread,
            body: prompt::request(&self.sums.model, &unwritten.told, manner),
        })
    }
}

/// The id of a stretch's summary.
fn id_of(unwritten: &Unwritten) -> EventId {
    let Unwritten { space, thread, stretch, .. } = unwritten;
    let Stretch { level, from, until, first, turns, edited } = stretch;
    // Lengths before names, so that no two stretches are written alike.
    let of = format!("{}/{thread}/{level}/{from}/{until}/{first}/{turns}/{edited:?}", thread.len());
    EventId::derived(EventId::of_source("meshlog.summaries", space), "summaries", &of)
}

impl Told {
    fn is_empty(&self) -> bool {
        match self {
            Told::Turns(turns) => turns.iter().all(|turn| turn.text.trim().is_empty()),
            Told::Sentences(sentences) => sentences.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Checkpoints, Partition, Position, Topic};
    use tempfile::{TempDir, tempdir};
    use uuid::Uuid;

    use super::{
        super::{News, Said, Written},
        *,
    };
    use crate::{Facets, testing::Scripted};

    struct Given {
        _directory: TempDir,
        store: SummaryStore,
        model: Arc<Scripted>,
        writer: Writer,
    }

    /// A thread of four turns, and a writer.
    fn given(answers: &[Result<&str, NoAnswer>]) -> Given {
        let directory = tempdir().unwrap();
        let store = SummaryStore::open(directory.path()).unwrap();
        let said: Vec<_> = (0..4).map(said).collect();
        store.apply(&News { said: &said, ..News::default() }, &Checkpoints::default()).unwrap();
        let model = Arc::new(Scripted::new(answers));
        let sums = Sums { model: "p/m".into(), spaces: vec!["s".into()], quiet: 100 };
        Given { writer: Writer::new(sums, model.clone()), _directory: directory, store, model }
    }

    fn said(offset: u64) -> Said<'static> {
        Said {
            message_id: Uuid::from_u128(u128::from(offset) + 1),
            facets: Facets {
                space: "s".into(),
                thread: "t".into(),
                author: "Ada".into(),
                role: "user".into(),
                sent_at: 0,
                accepted_at: offset as Micros,
            },
            position: Position { partition: Partition { topic: Topic::Messages, id: 0 }, offset: offset + 5 },
            text: "I moved to Oslo in May.",
            is_edit: false,
        }
    }

    const OSLO: &str = r#"{"sentences": [{"text": "Ada moved to Oslo.", "from": [2]}]}"#;

    impl Given {
        fn write(&mut self) -> Option<Summarised> {
            self.writer.write(&self.store, 104).unwrap()
        }

        fn ids(&self) -> Vec<EventId> {
            self.model.asked().into_iter().map(|(id, _)| id).collect()
        }
    }

    #[test]
    fn a_quiet_thread_is_summed_up_and_its_summary_names_what_it_was_made_of() {
        let mut given = given(&[Ok(OSLO)]);
        assert_eq!(given.writer.write(&given.store, 103).unwrap(), None, "something was taken in since");
        let (id, event) = given.write().unwrap();
        assert_eq!((event.space.as_str(), event.thread.as_str(), event.model.as_str()), ("s", "t", "p/m"));
        assert_eq!((event.level, event.from, event.until, event.turns), (0, 0, 4, 4));
        assert_eq!((event.first_offset, event.edited_offset, event.told_at), (5, None, 104));
        let source = EventId(Uuid::from_u128(2));
        assert_eq!(event.sentences, [SentenceWritten { text: "Ada moved to Oslo.".into(), sources: vec![source] }]);
        // Another process that looks at the same writes the same event, and asks the same question.
        let mut other = super::tests::given(&[Ok(OSLO)]);
        assert_eq!((other.write().unwrap().0, other.ids()), (id, given.ids()));
    }

    #[test]
    fn an_answer_that_is_none_is_asked_for_once_more_and_then_the_stretch_stays_as_it_was_said() {
        let mut given = given(&[Ok("Certainly!"), Ok(OSLO), Ok("Hm."), Ok(r#"{"sentences": []}"#)]);
        assert_eq!(given.write().unwrap().1.sentences.len(), 1);
        let (_, event) = given.write().unwrap();
        assert_eq!(event.sentences, []);
        let ids = given.ids();
        assert!(ids[0] != ids[1] && ids[0] == ids[2], "{ids:?}");
        let stretch = Stretch { level: 0, from: 0, until: 4, first: 5, turns: 4, edited: None };
        let written =
            Written { space: "s".into(), thread: "t".into(), stretch, model: "p/m".into(), sentences: vec![] };
        given.store.apply(&News { written: &[written], ..News::default() }, &Checkpoints::default()).unwrap();
        assert_eq!(given.write(), None, "it is not asked again");
    }

    #[test]
    fn each_lack_of_an_answer_is_what_the_writer_says() {
        let later = || NoAnswer::Later("tomorrow".into());
        let failed = || NoAnswer::Failed("it is down".into());
        let mut given = given(&[Err(later()), Err(failed()), Err(NoAnswer::Refused("never".into()))]);
        let written = given.writer.write(&given.store, 104);
        assert!(matches!(written, Err(WriteError::Later(reason)) if reason == "tomorrow"));
        let written = given.writer.write(&given.store, 104);
        assert!(matches!(written, Err(WriteError::Failed(reason)) if reason == "it is down"));
        assert_eq!(given.write(), None);
        assert_eq!(given.write().unwrap().1.sentences, [], "it is known to have been tried");
    }

    #[test]
    fn what_the_provider_fails_for_is_passed_over_until_nothing_else_is_due() {
        let failed = || NoAnswer::Failed("it is down".into());
        let mut given = given(&[Err(failed()), Ok(OSLO), Err(failed()), Ok(OSLO)]);
        let other: Vec<_> = (0..4)
            .map(|offset| {
                let said = said(offset + 10);
                // It has the later turns, and so comes first.
                let facets = Facets { thread: "u".into(), sent_at: 9, accepted_at: 0, ..said.facets };
                Said { facets, ..said }
            })
            .collect();
        given.store.apply(&News { said: &other, ..News::default() }, &Checkpoints::default()).unwrap();
        let mut write = || given.writer.write(&given.store, 104).map(|written| written.map(|(_, event)| event.thread));
        assert!(matches!(write(), Err(WriteError::Failed(_))), "of u");
        assert_eq!(write().unwrap().as_deref(), Some("t"));
        assert!(matches!(write(), Err(WriteError::Failed(_))), "of t, which nobody has taken in");
        assert_eq!(write().unwrap(), None);
        assert_eq!(write().unwrap().as_deref(), Some("u"));
    }

    #[test]
    fn a_provider_that_takes_no_schema_is_asked_without_from_then_on() {
        let unsuitable = || NoAnswer::Unsuitable("no response_format".into());
        let mut given = given(&[Err(unsuitable()), Ok(OSLO), Ok(OSLO), Err(unsuitable())]);
        assert_eq!(given.write().unwrap().1.sentences.len(), 1);
        assert_eq!(given.write().unwrap().1.sentences.len(), 1);
        let asked = given.model.asked();
        let has_schema: Vec<_> = asked.iter().map(|(_, body)| body.get("response_format").is_some()).collect();
        assert_eq!(has_schema, [true, false, false]);
        assert_eq!(given.write().unwrap().1.sentences, [], "then it is the request itself");
    }

    #[test]
    fn what_says_nothing_costs_nothing() {
        let mut given = given(&[]);
        let silent: Vec<_> = (0..4).map(|offset| edit(offset, "")).collect();
        given.store.apply(&News { said: &silent, ..News::default() }, &Checkpoints::default()).unwrap();
        let (_, event) = given.write().unwrap();
        assert_eq!((event.sentences.len(), event.edited_offset), (0, Some(23)));
    }

    fn edit(offset: u64, text: &'static str) -> Said<'static> {
        let said = said(offset);
        Said { position: Position { offset: offset + 20, ..said.position }, text, is_edit: true, ..said }
    }
}
