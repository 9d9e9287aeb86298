//! Tests of the reader and of the history: a table of messages, a made history of changing facts, what holds for every
//! text, and what the table cannot show.

mod behaviour;
mod changes;
mod history;
mod properties;
mod table;

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use super::{FactMention, Modality, Polarity, facts_in};
use crate::{
    Micros,
    knowledge::{
        entities::{Speaker, entities_in},
        times::{Anchor, times_in},
    },
};

/// A day as "2024-06-12", or a time as RFC 3339.
fn micros(at: &str) -> Micros {
    let whole = if at.contains('T') { at.to_owned() } else { format!("{at}T00:00:00Z") };
    let at = OffsetDateTime::parse(&whole, &Rfc3339).unwrap();
    i64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap()
}

/// All facts of a text as the stage finds them.
fn found(text: &str, speaker: &Speaker, at: Micros) -> Vec<FactMention> {
    let times = times_in(text, &Anchor::new(at, UtcOffset::UTC));
    facts_in(text, speaker, at, &entities_in(text, speaker), &times)
}

fn speaker() -> Speaker {
    Speaker { author: "Nora Lindqvist".to_owned(), participants: vec!["Tobias Meyer".to_owned()] }
}

/// As the table writes it.
fn shown(fact: &FactMention) -> String {
    let denied = if fact.polarity == Polarity::Denied { "-" } else { "" };
    let modality = match fact.modality {
        Modality::Asserted => "",
        Modality::Planned => "+",
        Modality::Wished => "*",
        Modality::Possible => "?",
    };
    let subject = match fact.subject.name.as_str() {
        "Nora Lindqvist" => "me",
        "Tobias Meyer" => "you",
        other => other,
    };
    format!("{denied}{modality}{subject}:{}:{}", fact.relation.name(), fact.object.name)
}
