//! The extractor: reads every message, and every edit of it, once for whom it names and what it states.
//!
//! Owns: the stage from `messages` to `knowledge` by patterns, whose words are read for what, and the ids of facts.
//! Promises: what was found is recorded and never found again; a message in which nothing is found leaves no event. An edit leaves
//! one all the same, for what was found before holds no longer.
//! Never: takes what a tool or a system prompt says for anybody's knowledge, nor what an assistant says for a fact:
//! it may have recalled it, guessed it, or been told to say it.

use meshlog_pipeline::{Derived, Stage, StageError, StoredEvent};
use meshlog_schemas::{EntityMentioned, Event, EventId, FactStated, KnowledgeExtracted, Topic};
use time::UtcOffset;

use super::{
    entities::{EntityKind, EntityMention, Speaker, entities_in},
    facts::{FactEnd, FactMention, facts_in},
    times::{Anchor, times_in},
};
use crate::message::Message;

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
            let event = Event::KnowledgeExtracted(extracted(&Message::of(event)?)?);
            Some(Derived { cause, index: "0".to_owned(), event })
        };
        Ok(events.iter().enumerate().filter_map(read).collect())
    }
}

fn extracted(message: &Message<'_>) -> Option<KnowledgeExtracted> {
    let facets = message.facets.clone();
    let (names_count, facts_count) = match facets.role.as_str() {
        "user" => (true, true),
        "assistant" => (true, false),
        _ => (false, false),
    };
    if !names_count {
        return None;
    }
    let speaker = Speaker { author: facets.author.clone(), participants: Vec::new() };
    let mentions = entities_in(message.text, &speaker);
    let facts = if facts_count { facts(message, &speaker, &mentions) } else { Vec::new() };
    if mentions.is_empty() && facts.is_empty() && message.edit.is_none() {
        return None;
    }
    Some(KnowledgeExtracted {
        message_id: message.id,
        space: facets.space,
        thread: facets.thread,
        author: facets.author,
        role: facets.role,
        sent_at: facets.sent_at,
        accepted_at: facets.accepted_at,
        extractor: Extractor::ID.to_owned(),
        mentions: mentions.iter().map(mentioned).collect(),
        facts,
    })
}

fn facts(message: &Message<'_>, speaker: &Speaker, mentions: &[EntityMention]) -> Vec<FactStated> {
    let said_at = message.facets.sent_at;
    // The sender's zone is not known: days are those of UTC, as everywhere in answers.
    let times = times_in(message.text, &Anchor::new(said_at, UtcOffset::UTC));
    let found = facts_in(message.text, speaker, said_at, mentions, &times);
    found.into_iter().map(|fact| stated(message.id, fact)).collect()
}

fn mentioned(mention: &EntityMention) -> EntityMentioned {
    EntityMentioned {
        kind: mention.kind.name().to_owned(),
        name: mention.name.clone(),
        start: offset(mention.text.start),
        end: offset(mention.text.end),
        confidence: thousandths(mention.confidence),
    }
}

fn stated(message: EventId, fact: FactMention) -> FactStated {
    let (relation, polarity) = (fact.relation.name(), fact.polarity.name());
    let what = [&fact.subject.name, relation, &fact.object.name, polarity].join("\n");
    FactStated {
        fact_id: EventId::derived(message, "fact", &what),
        start: offset(fact.text.start),
        end: offset(fact.text.end),
        subject_kind: kind(&fact.subject),
        subject: fact.subject.name,
        relation: relation.to_owned(),
        object_kind: kind(&fact.object),
        object: fact.object.name,
        polarity: polarity.to_owned(),
        modality: fact.modality.name().to_owned(),
        valid_from: fact.valid_from,
        valid_until: fact.valid_until,
        confidence: thousandths(fact.confidence),
    }
}

fn kind(end: &FactEnd) -> String {
    end.kind.map_or("", EntityKind::name).to_owned()
}

/// Invariant: a message is far smaller than an i32 counts.
fn offset(bytes: usize) -> i32 {
    bytes as i32
}

fn thousandths(confidence: f32) -> i32 {
    (confidence.clamp(0.0, 1.0) * 1000.0).round() as i32
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
