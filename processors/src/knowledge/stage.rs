//! The extractor: reads every message, and every edit of it, once for whom it names and what it states.
//!
//! Owns: the stage from `messages` to `knowledge` by patterns, and whose words are read for what.
//! Promises: what was found is recorded and never found again; a message in which nothing is found leaves no event. An edit leaves
//! one all the same, for what was found before holds no longer.
//! Never: takes what a tool or a system prompt says for anybody's knowledge, nor what an assistant says for a fact:
//! it may have recalled it, guessed it, or been told to say it.

use meshlog_pipeline::{Derived, Stage, StageError, StoredEvent};
use meshlog_schemas::{Event, KnowledgeExtracted, Topic};
use time::UtcOffset;

use super::{
    entities::{EntityMention, Speaker, entities_in},
    facts::{FactMention, facts_in},
    recorded::{mentioned, stated},
    times::{Anchor, TimeMention, times_in},
};
use crate::{Facets, message::Message};

/// The extracting stage.
#[derive(Debug, Default)]
pub struct Extractor;

impl Extractor {
    /// What it is called in events. A new name makes a stage of its own, which reads everything from the beginning, so it is
    /// changed whenever the patterns find something else.
    pub const ID: &str = "patterns-1";

    /// The name of the stage, which begins at the log's beginning under each.
    const NAME: &str = "extract:patterns-1";
}

impl Stage for Extractor {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn steps_back(&self) -> bool {
        true
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        let read = |(cause, event): (usize, &StoredEvent)| {
            let message = Message::of(event)?;
            let words = Words::of(&message.facets.role);
            let Found { mentions, facts, .. } = Found::of(&message);
            let is_empty = mentions.is_empty() && facts.is_empty();
            if !words.name || (is_empty && message.edit.is_none()) {
                return None;
            }
            let event = Event::KnowledgeExtracted(extracted(&message, Self::ID, &mentions, facts));
            Some(Derived { cause, index: "0".to_owned(), event })
        };
        Ok(events.iter().enumerate().filter_map(read).collect())
    }
}

/// What is taken from somebody's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    /// Whom and what they name.
    pub(super) name: bool,
    /// What they state.
    pub(super) state: bool,
}

impl Words {
    /// What the words of a role count for.
    pub(super) fn of(role: &str) -> Self {
        Self { name: matches!(role, "user" | "assistant"), state: role == "user" }
    }
}

/// What the patterns find in a message.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) mentions: Vec<EntityMention>,
    pub(super) facts: Vec<FactMention>,
    /// The times that it names, where its words state facts.
    pub(super) times: Vec<TimeMention>,
}

impl Found {
    pub(super) fn of(message: &Message<'_>) -> Self {
        let Facets { author, role, sent_at, .. } = &message.facets;
        let Words { name, state } = Words::of(role);
        if !name {
            return Self::default();
        }
        let speaker = Speaker { author: author.clone(), participants: Vec::new() };
        let mentions = entities_in(message.text, &speaker);
        if !state {
            return Self { mentions, ..Self::default() };
        }
        // The sender's zone is not known: days are those of UTC, as everywhere in answers.
        let times = times_in(message.text, &Anchor::new(*sent_at, UtcOffset::UTC));
        let facts = facts_in(message.text, &speaker, *sent_at, &mentions, &times);
        Self { mentions, facts, times }
    }
}

/// The event that says what was found in a message.
pub(super) fn extracted(
    message: &Message<'_>,
    extractor: &str,
    mentions: &[EntityMention],
    facts: Vec<FactMention>,
) -> KnowledgeExtracted {
    let Facets { space, thread, author, role, sent_at, accepted_at } = message.facets.clone();
    KnowledgeExtracted {
        message_id: message.id,
        space,
        thread,
        author,
        role,
        sent_at,
        accepted_at,
        extractor: extractor.to_owned(),
        mentions: mentions.iter().map(mentioned).collect(),
        facts: facts.into_iter().map(|fact| stated(message.id, fact)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::MessageAccepted;

    use super::*;
    use crate::testing::{edited, message, stored};

    fn said(role: &str, text: &str) -> Option<KnowledgeExtracted> {
        let Event::MessageAccepted(body) = message("s", "t", "Mina", text) else { panic!("a message") };
        let event = stored(0, Event::MessageAccepted(MessageAccepted { role: role.into(), ..body }));
        let derived = Extractor.process(&[event]).unwrap().pop()?;
        let Event::KnowledgeExtracted(body) = derived.event else { panic!("what was found") };
        Some(body)
    }

    #[test]
    fn the_stage_is_named_after_what_it_is_called_in_events() {
        assert_eq!(Extractor::NAME.strip_prefix("extract:"), Some(Extractor::ID));
    }

    #[test]
    fn users_state_facts_assistants_only_name_and_nobody_else_is_read() {
        const TEXT: &str = "I moved to Oslo.";
        let (user, assistant) = (said("user", TEXT).unwrap(), said("assistant", TEXT).unwrap());
        assert_eq!((user.facts[0].relation.as_str(), user.facts[0].subject.as_str()), ("lives-in", "Mina"));
        assert_eq!((assistant.mentions[0].name.as_str(), assistant.facts.len()), ("Oslo", 0));
        assert_eq!([said("tool", TEXT), said("system", TEXT), said("user", "Fine, let us see.")], [None, None, None]);
        assert_eq!(said("user", TEXT), Some(user), "the same again has the same ids");
    }

    #[test]
    fn an_edit_is_read_again_also_where_nothing_is_left_to_find() {
        let first = stored(0, message("s", "t", "Mina", "I moved to Oslo."));
        let events =
            [first.clone(), edited(1, &first, "edited", "I moved to Rome."), edited(2, &first, "redacted", "")];
        let derived = Extractor.process(&events).unwrap();
        let bodies: Vec<_> = derived
            .into_iter()
            .map(|derived| match derived.event {
                Event::KnowledgeExtracted(body) => body,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(
            bodies.iter().all(|body| body.message_id == first.envelope.id && body.accepted_at == first.appended_at)
        );
        let objects: Vec<Vec<_>> =
            bodies.iter().map(|body| body.facts.iter().map(|fact| fact.object.as_str()).collect()).collect();
        assert_eq!(objects, [vec!["Oslo"], vec!["Rome"], vec![]]);
        assert_eq!(bodies[2].mentions, []);
    }
}
