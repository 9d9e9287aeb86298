//! What was found as it stands in events.
//!
//! Owns: the form of mentions and facts in events, and the ids of facts: the same words of a message state the same fact, whoever
//! found it.

use meshlog_schemas::{EntityMentioned, EventId, FactStated};

use super::{
    entities::{EntityKind, EntityMention},
    facts::{FactEnd, FactMention},
};

pub(super) fn mentioned(mention: &EntityMention) -> EntityMentioned {
    EntityMentioned {
        kind: mention.kind.name().to_owned(),
        name: mention.name.clone(),
        start: offset(mention.text.start),
        end: offset(mention.text.end),
        confidence: thousandths(mention.confidence),
    }
}

pub(super) fn stated(message: EventId, fact: FactMention) -> FactStated {
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
