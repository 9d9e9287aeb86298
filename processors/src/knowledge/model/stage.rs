//! The stage of the model extractor.
//!
//! Owns: which messages are worth a call, and what follows from an answer.
//! Promises: of a message that was read there is one event, also where nothing was found in it, or the answer was none twice: then
//! it is known to have been read. A provider that fails is asked again with growing pauses, and at last the message is a dead
//! letter. What was read when another message of its batch failed is kept for the next try.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use meshlog_pipeline::{Backoff, Derived, EventLog, Load, Stage, StageError, StageSettings, StoredEvent};
use meshlog_schemas::{Event, EventId, KnowledgeExtracted, Topic};

use super::{
    super::{
        entities::EntityMention,
        facts::FactMention,
        stage::{Found, Words, extracted},
    },
    answer::Notes,
    found::{self, each_once, in_order},
    passages::{Passage, packed},
    prompt::{self, Quoted},
};
use crate::{
    Facets, Hidden, Micros, TableView,
    asking::{Answerer, NoAnswer, Question, request::Manner},
    message::Message,
};

/// Counts up when the model is told something else or its answers are read otherwise; then it reads everything again.
const VERSION: u32 = 1;
/// Calls under way at once; each has a thread that waits.
const LANES: usize = 4;
/// What has fewer words or bytes says nothing that is worth a call.
const FEWEST_WORDS: usize = 3;
const FEWEST_BYTES: usize = 12;
/// Messages that were read and are not recorded yet; more are forgotten and read again.
const MOST_KEPT: usize = 1_000;
/// What is read at once. Small: what one call fails for has the others wait.
const BATCH: Load = Load { events: 8, bytes: 64 * 1024 };
/// How often a provider fails for an event until that is a dead letter: after a quarter of an hour at the least.
const MOST_ATTEMPTS: u32 = 12;
const BACKOFF: Backoff = Backoff { shortest: Duration::from_secs(1), longest: Duration::from_secs(300) };

/// What the model reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// The model's name.
    pub model: String,
    /// The spaces; empty: all.
    pub spaces: Vec<String>,
    /// Whose messages, of `user` and `assistant`.
    pub roles: Vec<String>,
    /// What was said since then; `None`: all.
    pub since: Option<Micros>,
}

/// The stage that has a model read messages.
pub struct ModelExtractor {
    reads: Reads,
    extractor: String,
    name: String,
    model: Arc<dyn Answerer>,
    hidden: TableView<Hidden>,
    /// Whether the provider does not take a request with a schema.
    is_plain: AtomicBool,
    /// What was read when another message failed.
    read: Mutex<HashMap<EventId, KnowledgeExtracted>>,
}

/// A message that is to be read.
struct Unread<'a> {
    cause: usize,
    message: Message<'a>,
    patterns: Found,
    mentions: Vec<EntityMention>,
    facts: Vec<FactMention>,
    /// Whether it was forgotten, or this wording of it redacted, before all of it was read.
    is_hidden: bool,
}

impl ModelExtractor {
    /// What its stage's name begins with.
    pub const PREFIX: &str = "extract@model:";

    /// An extractor that asks `model`, of the messages of a whole log.
    pub fn new(reads: Reads, model: Arc<dyn Answerer>, events: EventLog) -> Self {
        let extractor = format!("model:{}@{VERSION}", reads.model);
        Self {
            // A slash would end the name of the stage where its progress is kept.
            name: format!("extract@{}", extractor.replace('/', ":")),
            extractor,
            reads,
            model,
            hidden: TableView::new(events),
            is_plain: AtomicBool::new(false),
            read: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<EventId, KnowledgeExtracted>> {
        // Each entry stands for itself.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is of those that are read at all.
    fn is_to_be_read(&self, message: &Message<'_>) -> bool {
        let Reads { spaces, roles, since, .. } = &self.reads;
        let Facets { role, space, sent_at, .. } = &message.facets;
        Words::of(role).name
            && roles.contains(role)
            && (spaces.is_empty() || spaces.contains(space))
            && since.is_none_or(|since| *sent_at >= since)
    }

    /// Reads the messages call by call; those before the one that failed are whole.
    fn read_all(&self, messages: &mut [Unread<'_>]) -> Result<(), (usize, StageError)> {
        let texts: Vec<_> = messages.iter().map(|unread| (thread(&unread.message), unread.message.text)).collect();
        for call in packed(&texts) {
            let first = call.first().map_or(0, |passage| passage.message);
            self.read_call(messages, call).map_err(|error| (first, error))?;
        }
        Ok(())
    }

    fn read_call(&self, messages: &mut [Unread<'_>], mut call: Vec<Passage>) -> Result<(), StageError> {
        // Just before it is asked: what is forgotten by then is not told.
        for passage in &call {
            let unread = &mut messages[passage.message];
            unread.is_hidden = unread.is_hidden || self.is_hidden(&unread.message)?;
        }
        call.retain(|passage| !messages[passage.message].is_hidden);
        if call.is_empty() {
            return Ok(());
        }
        let Some(notes) = self.notes(messages, &call)? else {
            let ids: Vec<_> = call.iter().map(|passage| messages[passage.message].message.id.to_string()).collect();
            tracing::warn!(
                stage = self.name,
                messages = ids.join(", "),
                "the model gave no notes twice; nothing is taken from it"
            );
            return Ok(());
        };
        let is_only = call.len() == 1;
        for (passage, number) in call.iter().zip(1..) {
            let unread = &mut messages[passage.message];
            let is_of_it = |said: Option<usize>| said.map_or(is_only, |said| said == number);
            let looked = found::Passage::new(&unread.message, passage.range.clone(), &unread.patterns);
            let names = notes.names.iter().filter(|named| is_of_it(named.message));
            let facts = notes.facts.iter().filter(|stated| is_of_it(stated.message));
            let (names, facts): (Vec<_>, Vec<_>) = (
                names.filter_map(|named| looked.mention(named)).collect(),
                facts.filter_map(|stated| looked.fact(stated)).collect(),
            );
            unread.mentions.extend(names);
            unread.facts.extend(facts);
        }
        Ok(())
    }

    /// Whether it is forgotten, or says what was redacted since; what is left of a redacted one is read.
    fn is_hidden(&self, message: &Message<'_>) -> Result<bool, StageError> {
        let is_what_is_left = message.edit.is_some_and(|edit| edit.kind == "redacted");
        let is_hidden = self.hidden.look(|hidden| {
            let is_redacted = !is_what_is_left && hidden.has_redacted(message.id.0, &message.facets.space);
            is_redacted || hidden.has_forgotten(message.id.0, &message.facets)
        });
        is_hidden.map_err(|error| StageError::Retriable(error.to_string()))
    }

    /// What the model noted of a call's passages; `None` where its answer was none twice.
    fn notes(&self, messages: &[Unread<'_>], call: &[Passage]) -> Result<Option<Notes>, StageError> {
        for is_again in [false, true] {
            let answer = match self.ask(messages, call, is_again, self.is_plain.load(Ordering::Relaxed)) {
                Err(NoAnswer::Unsuitable(reason)) if !self.is_plain.swap(true, Ordering::Relaxed) => {
                    tracing::info!(
                        stage = self.name,
                        reason,
                        "the provider is asked without a schema of the answer from now on"
                    );
                    self.ask(messages, call, is_again, true)
                }
                answer => answer,
            };
            let answer = answer.map_err(|error| match error {
                NoAnswer::Later(reason) => StageError::Later(reason),
                NoAnswer::Failed(reason) => StageError::Retriable(reason),
                NoAnswer::Unsuitable(reason) | NoAnswer::Refused(reason) => StageError::Permanent(reason),
            })?;
            if let Some(notes) = Notes::read(&answer) {
                return Ok(Some(notes));
            }
        }
        Ok(None)
    }

    fn ask(
        &self,
        messages: &[Unread<'_>],
        call: &[Passage],
        is_again: bool,
        is_plain: bool,
    ) -> Result<String, NoAnswer> {
        let quoted = |passage: &Passage| {
            let message = &messages[passage.message].message;
            let Facets { author, role, sent_at, .. } = &message.facets;
            Quoted { author, role, sent_at: *sent_at, text: &message.text[passage.range.clone()] }
        };
        let passages: Vec<_> = call.iter().map(quoted).collect();
        let place = |passage: &Passage| format!("{} {:?}", wording(&messages[passage.message]), passage.range);
        let places: Vec<_> = call.iter().map(place).collect();
        // Invariant: a call has passages.
        let first = &messages[call[0].message];
        let Facets { space, thread, .. } = &first.message.facets;
        let index = format!("{} again {is_again} plain {is_plain}", places.join(", "));
        self.model.ask(&Question {
            id: EventId::derived(wording(first), &self.extractor, &index),
            space,
            thread,
            body: prompt::request(&self.reads.model, &passages, Manner { is_plain, is_again }),
        })
    }

    fn recorded(&self, unread: &mut Unread<'_>) -> KnowledgeExtracted {
        let mentions = in_order(std::mem::take(&mut unread.mentions));
        let facts = each_once(std::mem::take(&mut unread.facts));
        extracted(&unread.message, &self.extractor, &mentions, facts)
    }
}

/// Whether a text is worth a call.
fn is_worth_reading(text: &str) -> bool {
    text.trim().len() >= FEWEST_BYTES && text.split_whitespace().nth(FEWEST_WORDS - 1).is_some()
}

fn thread<'m>(message: &'m Message<'_>) -> (&'m str, &'m str) {
    (&message.facets.space, &message.facets.thread)
}

/// What tells the wordings of a message apart.
fn wording(unread: &Unread<'_>) -> EventId {
    unread.message.event.envelope.id
}

impl Stage for ModelExtractor {
    fn name(&self) -> &str {
        &self.name
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn lanes(&self) -> usize {
        LANES
    }

    fn settings(&self) -> StageSettings {
        StageSettings { batch: BATCH, most_attempts: MOST_ATTEMPTS, backoff: BACKOFF, ..StageSettings::default() }
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        let (mut derived, mut messages) = (Vec::new(), Vec::new());
        let mut record = |cause, event| {
            derived.push(Derived { cause, index: "0".to_owned(), event: Event::KnowledgeExtracted(event) });
        };
        for (cause, event) in events.iter().enumerate() {
            let Some(message) = Message::of(event).filter(|message| self.is_to_be_read(message)) else { continue };
            if let Some(read) = self.kept().get(&event.envelope.id) {
                record(cause, read.clone());
            } else if is_worth_reading(message.text) {
                let (patterns, mentions, facts) = (Found::of(&message), Vec::new(), Vec::new());
                messages.push(Unread { cause, message, patterns, mentions, facts, is_hidden: false });
            } else if message.edit.is_some() {
                // What was found in its earlier wording holds no longer.
                record(cause, extracted(&message, &self.extractor, &[], Vec::new()));
            }
        }
        if let Err((failed, error)) = self.read_all(&mut messages) {
            let mut kept = self.kept();
            if kept.len() > MOST_KEPT {
                kept.clear();
            }
            for unread in messages[..failed].iter_mut().filter(|unread| !unread.is_hidden) {
                kept.insert(wording(unread), self.recorded(unread));
            }
            return Err(error);
        }
        for unread in messages.iter_mut().filter(|unread| !unread.is_hidden) {
            record(unread.cause, self.recorded(unread));
        }
        let mut kept = self.kept();
        events.iter().for_each(|event| _ = kept.remove(&event.envelope.id));
        Ok(derived)
    }
}

#[cfg(test)]
mod tests {
    use meshlog_pipeline::{ClearSealer, MemoryLog, NewEvent, default_layout};
    use meshlog_schemas::{MemoryForgotten, MessageAccepted, Trust};

    use super::*;
    use crate::testing::{Scripted, edited, message, stored};

    struct Given {
        model: Arc<Scripted>,
        events: EventLog,
        stage: ModelExtractor,
    }

    fn given(answers: &[Result<&str, NoAnswer>]) -> Given {
        let model = Arc::new(Scripted::new(answers));
        let events = EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer));
        let reads = Reads { model: "p/m".into(), spaces: vec!["s".into()], roles: vec!["user".into()], since: Some(0) };
        Given { stage: ModelExtractor::new(reads, model.clone(), events.clone()), model, events }
    }

    impl Given {
        /// The texts that were quoted, call by call.
        fn quoted(&self) -> Vec<String> {
            let asked = self.model.asked();
            asked.iter().map(|(_, body)| body["messages"][1]["content"].as_str().unwrap().to_owned()).collect()
        }

        fn ids(&self) -> Vec<EventId> {
            self.model.asked().into_iter().map(|(id, _)| id).collect()
        }

        /// What the stage derives: by cause, how many facts.
        fn read(&self, events: &[StoredEvent]) -> Result<Vec<(usize, usize)>, StageError> {
            let derived = self.stage.process(events)?;
            let facts = |derived: Derived| match derived.event {
                Event::KnowledgeExtracted(body) => {
                    assert_eq!(
                        (body.message_id, body.extractor.as_str()),
                        (events[derived.cause].envelope.id, "model:p/m@1")
                    );
                    (derived.cause, body.facts.len())
                }
                other => panic!("{other:?}"),
            };
            Ok(derived.into_iter().map(facts).collect())
        }
    }

    fn said(offset: u64, thread: &str, text: &str) -> StoredEvent {
        stored(offset, message("s", thread, "Mina", text))
    }

    const NOTHING: &str = r#"{"names": [], "facts": []}"#;

    fn keeps(message: usize, object: &str) -> String {
        format!(r#"{{"message": {message}, "subject": "author", "relation": "owns", "object": "{object}"}}"#)
    }

    #[test]
    fn what_says_little_or_is_not_to_be_read_costs_nothing() {
        let given = given(&[]);
        let Event::MessageAccepted(body) = message("s", "t", "Mina", "I keep some llamas here.") else {
            panic!("a message")
        };
        let of = |change: fn(&mut MessageAccepted)| {
            let mut body = body.clone();
            change(&mut body);
            stored(0, Event::MessageAccepted(body))
        };
        let unread = [
            of(|body| body.text = "ok, thanks".into()),
            of(|body| body.text = "a b c".into()),
            of(|body| body.role = "tool".into()),
            of(|body| body.role = "assistant".into()),
            of(|body| body.space = "other".into()),
            of(|body| body.sent_at = -1),
        ];
        assert_eq!(given.read(&unread), Ok(vec![]));
    }

    #[test]
    fn messages_of_a_thread_share_a_call_and_each_has_its_own_findings() {
        let answer =
            [keeps(2, "geese"), keeps(1, "geese"), keeps(3, "bees"), keeps(0, "bees"), keeps(9, "bees")].concat();
        let given = given(&[Ok(&answer), Ok(NOTHING)]);
        let events = [
            said(0, "t", "I keep llamas here."),
            said(1, "t", "I keep geese here."),
            said(2, "u", "I keep bees here."),
        ];
        assert_eq!(given.read(&events), Ok(vec![(0, 0), (1, 1), (2, 0)]), "a note of another message is nobody's");
        assert_eq!(given.quoted().len(), 2);
        assert!(given.quoted()[0].contains("llamas") && given.quoted()[0].contains("geese"));
    }

    #[test]
    fn what_was_read_before_another_call_failed_is_not_asked_again() {
        let failed = NoAnswer::Failed("it is down".into());
        let given = given(&[Ok(&keeps(1, "llamas")), Err(failed), Ok(&keeps(1, "bees"))]);
        let events = [said(0, "t", "I keep llamas here."), said(1, "u", "I keep bees here.")];
        assert_eq!(given.read(&events), Err(StageError::Retriable("it is down".into())));
        // The runtime then hands them in one by one.
        assert_eq!(given.read(&events[..1]), Ok(vec![(0, 1)]));
        assert_eq!(given.read(&events[1..]), Ok(vec![(0, 1)]));
        assert_eq!(given.quoted().len(), 3);
        assert_eq!(given.ids()[1], given.ids()[2], "the same question");
    }

    #[test]
    fn an_answer_that_is_none_is_asked_for_once_more_and_then_taken_for_nothing() {
        let given = given(&[Ok("Certainly!"), Ok("Sorry."), Ok("Hm."), Ok(&keeps(1, "bees"))]);
        assert_eq!(given.read(&[said(0, "t", "I keep llamas here.")]), Ok(vec![(0, 0)]));
        assert_eq!(given.read(&[said(1, "t", "I keep bees here.")]), Ok(vec![(0, 1)]));
        let ids: std::collections::BTreeSet<_> = given.ids().into_iter().collect();
        assert_eq!(ids.len(), 4, "an answer on the log is given again, so each question has its own id");
    }

    #[test]
    fn a_provider_that_takes_no_schema_is_asked_without_from_then_on() {
        let unsuitable = || NoAnswer::Unsuitable("no response_format".into());
        let given = given(&[Err(unsuitable()), Ok(NOTHING), Ok(NOTHING), Err(unsuitable())]);
        for offset in 0..2 {
            assert_eq!(given.read(&[said(offset, "t", "I keep llamas here.")]), Ok(vec![(0, 0)]));
        }
        let has_schema: Vec<_> =
            given.model.asked().iter().map(|(_, body)| body.get("response_format").is_some()).collect();
        assert_eq!(has_schema, [true, false, false]);
        let refused = given.read(&[said(2, "t", "I keep llamas here.")]);
        assert_eq!(refused, Err(StageError::Permanent("no response_format".into())), "then it is the request itself");
    }

    #[test]
    fn each_lack_of_an_answer_is_what_the_stage_says() {
        let later = || NoAnswer::Later("tomorrow".into());
        let given = given(&[Err(later()), Err(NoAnswer::Refused("never".into()))]);
        let event = [said(0, "t", "I keep llamas here.")];
        assert_eq!(given.read(&event), Err(StageError::Later("tomorrow".into())));
        assert_eq!(given.read(&event), Err(StageError::Permanent("never".into())));
    }

    #[test]
    fn what_is_forgotten_meanwhile_is_not_told_nor_recorded() {
        let given = given(&[Err(NoAnswer::Later("not now".into())), Ok(NOTHING)]);
        let events = [said(0, "t", "I keep llamas here."), said(1, "t", "I keep geese here.")];
        assert!(given.read(&events).is_err());
        let target = events[0].envelope.id.to_string();
        let forgotten = MemoryForgotten {
            space: "s".into(),
            scope: "message".into(),
            target,
            until: 0,
            author: "Mina".into(),
            reason: String::new(),
            forgotten_at: 0,
        };
        let forgotten = NewEvent::first(EventId::fresh(), "/test", Trust::Client, Event::MemoryForgotten(forgotten));
        pollster::block_on(given.events.append(vec![forgotten], None)).unwrap();
        assert_eq!(given.read(&events), Ok(vec![(1, 0)]));
        assert!(given.quoted()[0].contains("llamas") && !given.quoted()[1].contains("llamas"));
    }

    #[test]
    fn an_edit_is_read_again_and_what_was_redacted_is_not_told() {
        let given = given(&[Ok(&keeps(1, "geese"))]);
        let said = said(0, "t", "I keep llamas here.");
        let [edit, redaction] = [edited(1, &said, "edited", "I keep geese here."), edited(2, &said, "redacted", "")];
        assert_eq!(given.stage.process(&[edit.clone(), redaction]).unwrap().len(), 2);
        assert!(given.quoted()[0].contains("geese"));
        let forgotten = MemoryForgotten {
            space: "s".into(),
            scope: "wording".into(),
            target: said.envelope.id.to_string(),
            until: 0,
            author: "Mina".into(),
            reason: String::new(),
            forgotten_at: 0,
        };
        let forgotten = NewEvent::first(EventId::fresh(), "/test", Trust::Client, Event::MemoryForgotten(forgotten));
        pollster::block_on(given.events.append(vec![forgotten], None)).unwrap();
        assert!(given.stage.process(&[said, edit]).unwrap().is_empty(), "nobody is asked");
    }

    #[test]
    fn a_long_message_is_read_in_parts_and_found_at_its_own_places() {
        let text = format!("{}I keep bees here.", "Nothing of note. ".repeat(400));
        let given = given(&[Ok(NOTHING), Ok(&keeps(1, "bees"))]);
        let derived = given.stage.process(&[said(0, "t", &text)]).unwrap();
        let [Derived { event: Event::KnowledgeExtracted(body), .. }] = derived.as_slice() else {
            panic!("{derived:?}")
        };
        let fact = &body.facts[0];
        assert_eq!(&text[fact.start as usize..fact.end as usize], "bees");
    }
}
