//! Tests of the store: made changes, a plain model of what they mean, and what holds of both.

mod behaviour;
mod model;
mod properties;

use meshlog_schemas::{Partition, Topic};
use uuid::Uuid;

use super::*;
use crate::{
    Facets, Forgetting, Page, PageLimit, Scope,
    knowledge::entities::EntityKind,
    seeds::{Chance, for_each_seed},
};

/// A small page, so that lists have several.
const LIMIT: PageLimit = PageLimit { items: 3, bytes: usize::MAX };
const SPACE: &str = "s";
const NAMES: [(EntityKind, &[&str]); 9] = [
    (EntityKind::Person, &["Ana", "ana", "ANA"]),
    (EntityKind::Person, &["Ana Novak", "Ána Novak"]),
    (EntityKind::Person, &["Ben"]),
    (EntityKind::Place, &["New York", "new york"]),
    (EntityKind::Place, &["NYC", "N.Y.C."]),
    (EntityKind::Place, &["York"]),
    (EntityKind::Topic, &["#gardening", "Gardening"]),
    (EntityKind::Organisation, &["Acme"]),
    (EntityKind::Url, &["https://example.org/New"]),
];
const RELATIONS: [&str; 3] = ["lives-in", "likes", "works-at"];
const AUTHORS: [&str; 3] = ["Ana", "Ben", "helper"];
const MESSAGES: u64 = 14;

fn message_id(number: u64) -> Uuid {
    Uuid::from_u128(0x1000 + u128::from(number))
}

/// The facets of a message, always the same.
fn facets(number: u64) -> Facets {
    let mut chance = Chance(number);
    Facets {
        space: if number % 7 == 6 { "other".into() } else { SPACE.into() },
        thread: format!("t{}", chance.below(3)),
        author: AUTHORS[chance.below(3) as usize].into(),
        role: "user".into(),
        sent_at: chance.below(40) as i64,
        accepted_at: number as i64,
    }
}

fn pick<T: Copy>(chance: &mut Chance, of: &[T]) -> T {
    of[chance.below(of.len() as u64) as usize]
}

fn name(chance: &mut Chance) -> (EntityKind, String) {
    let (kind, spellings) = pick(chance, &NAMES);
    (kind, pick(chance, spellings).to_owned())
}

fn end(chance: &mut Chance) -> End {
    match chance.below(6) {
        0 => End { kind: None, name: pick(chance, &["software engineer", "Software engineer", "vegan"]).into() },
        1 => End { kind: Some(EntityKind::Quantity), name: "3 kg".into() },
        _ => {
            let (kind, name) = name(chance);
            End { kind: Some(kind), name }
        }
    }
}

fn time(chance: &mut Chance) -> Option<i64> {
    (chance.below(4) == 0).then(|| chance.below(50) as i64)
}

fn fact_id(message: u64, number: u64) -> Uuid {
    Uuid::from_u128(0x2000 + u128::from(message * 4 + number))
}

fn insight_id(number: u64) -> Uuid {
    Uuid::from_u128(0x3000 + u128::from(number))
}

fn a_fact(chance: &mut Chance) -> Uuid {
    match chance.below(5) {
        0 => Uuid::from_u128(0x4000 + u128::from(chance.below(6))),
        _ => fact_id(chance.below(MESSAGES), chance.below(3)),
    }
}

fn reading(chance: &mut Chance) -> Reading {
    let number = chance.below(MESSAGES);
    let mention = |chance: &mut Chance| {
        let (kind, name) = if chance.below(8) == 0 { (EntityKind::Quantity, "3 kg".into()) } else { name(chance) };
        let start = chance.below(30) as u32;
        Mention { start, end: start + 3, kind, name, confidence: 900 }
    };
    let mentions = (0..chance.below(5)).map(|_| mention(chance)).collect();
    let fact = |chance: &mut Chance, index: u64| Fact {
        // Now and then, another message states the same fact.
        fact_id: if chance.below(9) == 0 { fact_id(0, 0) } else { fact_id(number, index) },
        start: index as u32,
        end: 9,
        subject: end(chance),
        relation: pick(chance, &RELATIONS).into(),
        object: end(chance),
        polarity: pick(chance, &["affirmed", "affirmed", "denied"]).into(),
        modality: pick(chance, &["asserted", "asserted", "asserted", "planned"]).into(),
        valid_from: time(chance),
        valid_until: time(chance),
        confidence: pick(chance, &[900, 800, 100]),
    };
    let facts = (0..chance.below(3)).map(|index| fact(chance, index)).collect();
    let extractor = pick(chance, &["patterns-1", "patterns-2", "model:x"]).to_owned();
    let (mentions, facts) = if chance.below(6) == 0 { (vec![], vec![]) } else { (mentions, facts) };
    Reading { message_id: message_id(number), facets: facets(number), extractor, mentions, facts }
}

fn change(chance: &mut Chance) -> Change {
    let space = || SPACE.to_owned();
    let at = chance.below(40) as i64;
    let (author, reason) = (pick(chance, &AUTHORS).to_owned(), "asked".to_owned());
    match chance.below(60) {
        0..=6 => {
            let (kind, from) = name(chance);
            let others: Vec<_> = NAMES.iter().filter(|(other, _)| *other == kind).collect();
            let into = others[chance.below(others.len() as u64) as usize].1[0].to_owned();
            match chance.below(4) {
                0 => Change::Parted(Parted { space: space(), kind, from, into, reason, author, at }),
                _ => Change::Merged(Merged { space: space(), kind, from, into, reason, confidence: 800, author, at }),
            }
        }
        7..=9 => Change::Pinned(Insight {
            insight_id: insight_id(chance.below(4)),
            space: space(),
            thread: (chance.below(2) == 0).then(|| format!("t{}", chance.below(3))),
            text: format!("remember {}", chance.below(9)),
            sources: (0..chance.below(3)).map(|_| message_id(chance.below(MESSAGES))).collect(),
            author,
            reason,
            at,
        }),
        10..=13 => Change::Corrected(Correction {
            fact_id: Uuid::from_u128(0x4000 + u128::from(chance.below(6))),
            corrects: a_fact(chance),
            space: space(),
            subject: end(chance),
            relation: pick(chance, &RELATIONS).into(),
            object: end(chance),
            polarity: pick(chance, &["affirmed", "affirmed", "denied"]).into(),
            valid_from: time(chance),
            valid_until: time(chance),
            // One correction is written once.
            author: "Ben".into(),
            reason,
            at,
        }),
        14 => {
            let scope = match chance.below(7) {
                0 => Scope::Space,
                6 => Scope::Messages,
                1 | 2 => Scope::Thread(format!("t{}", chance.below(3))),
                3 => Scope::Author(author),
                _ => Scope::Message(message_id(chance.below(MESSAGES))),
            };
            let until = chance.below(MESSAGES) as i64;
            Change::Forgotten(Forgetting { space: space(), scope, until })
        }
        15 => Change::FactForgotten(FactForgotten { space: space(), fact_id: a_fact(chance) }),
        16 => Change::InsightForgotten(InsightForgotten {
            space: space(),
            insight_id: insight_id(chance.below(4)),
            until: at,
        }),
        _ => Change::Read(reading(chance)),
    }
}

fn changes(chance: &mut Chance) -> Vec<Change> {
    (0..chance.below(70)).map(|_| change(chance)).collect()
}

fn apply(store: &GraphStore, changes: &[Change]) {
    let mut checkpoints = store.checkpoints().unwrap();
    let partition = Partition { topic: Topic::Messages, id: 0 };
    checkpoints.advance(partition, checkpoints.next(partition) + changes.len() as u64);
    store.apply(changes, &checkpoints).unwrap();
}

/// All items of a list.
fn all<T>(mut page: impl FnMut(Option<&[u8]>) -> Page<T>) -> Vec<T> {
    let mut items = Vec::new();
    let mut cursor: Option<Vec<u8>> = None;
    loop {
        let piece = page(cursor.as_deref());
        assert!(piece.items.len() <= LIMIT.items && !(piece.items.is_empty() && piece.next.is_some()));
        items.extend(piece.items);
        match piece.next {
            Some(next) => cursor = Some(next),
            None => return items,
        }
    }
}
