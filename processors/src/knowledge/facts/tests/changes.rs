//! A made history (`changes.tsv`): from messages to what held at each time, with the message that said it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    super::{
        ANSWERS_FROM, Polarity, Relation,
        history::{Assertion, Held, history},
    },
    found, micros,
};
use crate::{Micros, knowledge::entities::Speaker};

const CHANGES: &str = include_str!("changes.tsv");

/// Message and place of the fact in it.
type Key = (usize, usize);

fn rows(kind: &str) -> Vec<Vec<&'static str>> {
    let rows = CHANGES.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    rows.filter(|row| row[0] == kind).map(|row| row[1..].to_vec()).collect()
}

fn assertions() -> BTreeMap<(String, Relation), Vec<Assertion<Key>>> {
    let mut all: BTreeMap<_, Vec<Assertion<Key>>> = BTreeMap::new();
    for row in rows("say") {
        let [number, when, author, text] = row[..] else { panic!("{row:?}") };
        let other = if author == "Nora" { "Tobias" } else { "Nora" };
        let speaker = Speaker { author: author.to_owned(), participants: vec![other.to_owned()] };
        let said_at = micros(&format!("{when}T12:00:00Z"));
        let facts = found(text, &speaker, said_at);
        for (place, fact) in facts.into_iter().filter(|fact| fact.confidence >= ANSWERS_FROM).enumerate() {
            all.entry((fact.subject.name, fact.relation)).or_default().push(Assertion {
                fact_id: (number.parse().unwrap(), place),
                object: fact.object.name,
                polarity: fact.polarity,
                modality: fact.modality,
                said_at,
                valid_from: fact.valid_from,
                valid_until: fact.valid_until,
            });
        }
    }
    all
}

/// What holds at a time, each with the message that said it last.
fn holding(assertions: &[Assertion<Key>], held: &[Held<Key>], at: Micros) -> String {
    let mut objects: BTreeMap<&str, usize> = BTreeMap::new();
    for period in held.iter().filter(|held| held.from <= at && held.until.is_none_or(|until| at < until)) {
        let assertion = assertions.iter().find(|assertion| assertion.fact_id == period.fact).unwrap();
        if assertion.polarity == Polarity::Affirmed {
            let source = objects.entry(&assertion.object).or_default();
            *source = (*source).max(period.fact.0);
        }
    }
    let shown: Vec<String> = objects.iter().map(|(object, source)| format!("{object}<{source}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join("|") }
}

#[test]
fn what_held_at_each_time_is_told_with_its_source() {
    let all = assertions();
    let asks = rows("ask");
    let mut wrong = Vec::new();
    for row in &asks {
        let [when, subject, name, expected] = row[..] else { panic!("{row:?}") };
        let relation = Relation::parse(name).unwrap();
        let assertions = all.get(&(subject.to_owned(), relation)).cloned().unwrap_or_default();
        let told = holding(&assertions, &history(relation, &assertions), micros(&format!("{when}T12:00:00Z")));
        if told != expected {
            wrong.push(format!("{subject} {name} on {when}: expected {expected}, told {told}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), asks.len(), wrong.join("\n"));
}

#[test]
fn what_ended_names_what_ended_it() {
    let all = assertions();
    let closed = |subject: &str, relation: Relation| -> Vec<(usize, Option<usize>)> {
        let held = history(relation, &all[&(subject.to_owned(), relation)]);
        let ended = held.iter().filter(|held| held.until.is_some());
        ended.map(|held| (held.fact.0, held.closed_by.map(|by| by.0))).collect()
    };
    assert_eq!(closed("Postgres", Relation::Version), [(6, Some(17)), (17, Some(34)), (32, None)]);
    assert_eq!(closed("Ana", Relation::LivesIn), [(22, Some(38))]);
}

#[test]
fn at_least_fifty_statements_are_told() {
    let told: BTreeSet<usize> = assertions().values().flatten().map(|assertion| assertion.fact_id.0).collect();
    assert!(rows("say").len() >= 55 && told.len() >= 50, "{}", told.len());
}
