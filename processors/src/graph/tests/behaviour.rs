//! What people rely on, one at a time.

use std::{cmp::Reverse, ops::ControlFlow};

use tempfile::{TempDir, tempdir};

use super::*;

/// A store in a directory that goes with it.
struct Kept(GraphStore, #[expect(dead_code, reason = "removed when dropped")] TempDir);

fn store_of(changes: &[Change]) -> Kept {
    let directory = tempdir().unwrap();
    let store = GraphStore::open(directory.path()).unwrap();
    apply(&store, changes);
    Kept(store, directory)
}

fn said(number: u64, sent_at: i64, names: &[&str], facts: Vec<Fact>) -> Reading {
    let mention = |(at, name): (usize, &&str)| Mention {
        start: 10 * at as u32,
        end: 10 * at as u32 + 3,
        kind: EntityKind::Person,
        name: (*name).into(),
        confidence: 900,
    };
    Reading {
        message_id: message_id(number),
        facets: Facets { space: SPACE.into(), sent_at, accepted_at: sent_at, ..facets(number) },
        extractor: "patterns-1".into(),
        mentions: names.iter().enumerate().map(mention).collect(),
        facts,
    }
}

fn lives_in(id: u128, who: &str, place: &str) -> Fact {
    Fact {
        fact_id: Uuid::from_u128(id),
        start: 0,
        end: 5,
        subject: End { kind: Some(EntityKind::Person), name: who.into() },
        relation: "lives-in".into(),
        object: End { kind: Some(EntityKind::Place), name: place.into() },
        polarity: "affirmed".into(),
        modality: "asserted".into(),
        valid_from: None,
        valid_until: None,
        confidence: 900,
    }
}

fn person(name: &str) -> Uuid {
    entity_id(SPACE, EntityKind::Person, name).unwrap()
}

fn merged(from: &str, into: &str) -> Change {
    Change::Merged(Merged {
        space: SPACE.into(),
        kind: EntityKind::Person,
        from: from.into(),
        into: into.into(),
        reason: "first-name".into(),
        confidence: 900,
        author: String::new(),
        at: 1,
    })
}

fn facts_about(store: &GraphStore, who: &str, at: Option<i64>) -> Vec<u128> {
    let filter = FactFilter { space: SPACE.into(), subject: Some(person(who)), at, ..FactFilter::default() };
    all(|cursor| store.facts(&filter, LIMIT, cursor).unwrap()).iter().map(|fact| fact.fact_id.as_u128()).collect()
}

fn name_of(store: &GraphStore, id: Uuid) -> Option<String> {
    match store.node(SPACE, id).unwrap()? {
        Node::Entity(entity) => Some(entity.name),
        _ => None,
    }
}

#[test]
fn who_moved_is_asked_for_by_time() {
    let kept = store_of(&[
        Change::Read(said(0, 10, &["Ana"], vec![lives_in(1, "Ana", "Oslo")])),
        Change::Read(said(1, 20, &["Ana"], vec![lives_in(2, "Ana", "Rome")])),
    ]);
    assert_eq!(facts_about(&kept.0, "Ana", None), [2]);
    assert_eq!(facts_about(&kept.0, "Ana", Some(15)), [1]);
    let old = kept.0.fact(SPACE, Uuid::from_u128(1)).unwrap().unwrap();
    assert_eq!((old.standing, old.until, old.closed_by), (Standing::Ended, Some(20), Some(Uuid::from_u128(2))));
}

#[test]
fn a_merge_joins_what_was_said_and_parting_undoes_it() {
    let messages = [
        Change::Read(said(0, 10, &["Ana", "Ben"], vec![lives_in(1, "Ana", "Oslo")])),
        Change::Read(said(1, 20, &["Ana Novak", "Ben"], vec![lives_in(2, "Ana Novak", "Rome")])),
        Change::Read(said(2, 30, &["Ana Novak"], vec![])),
    ];
    let kept = store_of(&messages);
    let before = kept.0.digest().unwrap();
    assert_eq!(facts_about(&kept.0, "Ana", None), [1]);
    apply(&kept.0, &[merged("Ana", "Ana Novak")]);
    assert_eq!(facts_about(&kept.0, "Ana", None), [2], "the move of one is the move of both");
    assert_eq!(name_of(&kept.0, person("ana")).as_deref(), Some("Ana Novak"));
    let filter = NeighbourFilter { space: SPACE.into(), id: person("Ben"), ..NeighbourFilter::default() };
    let neighbours = kept.0.neighbours(&filter, LIMIT, None).unwrap().items;
    assert_eq!(neighbours.iter().map(|it| (it.id, it.together)).collect::<Vec<_>>(), [(person("Ana Novak"), 2)]);
    let Change::Merged(Merged { space, kind, from, into, reason, author, at, .. }) = merged("Ana", "Ana Novak") else {
        unreachable!()
    };
    apply(&kept.0, &[Change::Parted(Parted { space, kind, from, into, reason, author, at })]);
    assert_eq!(facts_about(&kept.0, "Ana", None), [1]);
    assert_ne!(kept.0.digest().unwrap(), before, "that somebody parted them is kept");
    assert_eq!(kept.0.counts(SPACE).unwrap().merged, 0);
}

#[test]
fn what_is_read_again_replaces_what_was_found_and_another_family_adds_to_it() {
    let kept = store_of(&[Change::Read(said(0, 10, &["Ana", "Ben"], vec![]))]);
    apply(&kept.0, &[Change::Read(Reading { extractor: "patterns-2".into(), ..said(0, 10, &["Ana"], vec![]) })]);
    assert_eq!(name_of(&kept.0, person("Ben")), None, "nothing speaks for it any more");
    let by_model = Reading { extractor: "model:x".into(), ..said(0, 10, &["Ana", "Cleo"], vec![]) };
    apply(&kept.0, &[Change::Read(by_model)]);
    let counts = kept.0.counts(SPACE).unwrap();
    assert_eq!((counts.messages, counts.mentions, counts.pairs), (1, 2, 1), "found twice at one place is once");
    assert_eq!(kept.0.of_message(message_id(0)).unwrap().len(), 2);
    for extractor in ["patterns-3", "model:y"] {
        apply(&kept.0, &[Change::Read(Reading { extractor: extractor.into(), ..said(0, 10, &[], vec![]) })]);
    }
    assert_eq!(kept.0.counts(SPACE).unwrap(), Counts::default());
    assert!(kept.0.of_message(message_id(0)).unwrap().is_empty());
}

#[test]
fn a_correction_holds_instead_whichever_comes_first() {
    let fact = Change::Read(said(0, 10, &["Ana"], vec![lives_in(1, "Ana", "Oslo")]));
    let Fact { subject, relation, polarity, .. } = lives_in(1, "Ana", "Oslo");
    let corrected = Change::Corrected(Correction {
        fact_id: Uuid::from_u128(9),
        corrects: Uuid::from_u128(1),
        space: SPACE.into(),
        subject,
        relation,
        object: End { kind: Some(EntityKind::Place), name: "Rome".into() },
        polarity,
        valid_from: None,
        valid_until: None,
        author: "Ben".into(),
        reason: "typo".into(),
        at: 50,
    });
    let [one, other] = [store_of(&[fact.clone(), corrected.clone()]), store_of(&[corrected, fact])];
    assert_eq!(one.0.digest().unwrap(), other.0.digest().unwrap());
    assert_eq!(facts_about(&one.0, "Ana", None), [9]);
    let wrong = one.0.fact(SPACE, Uuid::from_u128(1)).unwrap().unwrap();
    assert_eq!((wrong.standing, wrong.corrected_by), (Standing::Corrected, vec![Uuid::from_u128(9)]));
    let right = one.0.fact(SPACE, Uuid::from_u128(9)).unwrap().unwrap();
    assert_eq!(right.confidence, 1_000);
    assert!(matches!(&right.sources[..], [Source::Correction { author, .. }] if author == "Ben"));
}

#[test]
fn many_forgotten_messages_are_gone_at_once_and_stay_away() {
    let messages: Vec<_> = (0..2_500)
        .map(|number| {
            let facets = Facets { thread: "t".into(), ..facets(0) };
            let reading = said(number, number as i64, &["Ana", "Ben"], vec![]);
            Change::Read(Reading { facets: Facets { accepted_at: number as i64, ..facets }, ..reading })
        })
        .collect();
    let kept = store_of(&messages);
    let forgetting = Forgetting { space: SPACE.into(), scope: Scope::Thread("t".into()), until: 2_400 };
    apply(&kept.0, &[Change::Forgotten(forgetting.clone())]);
    assert_eq!(kept.0.counts(SPACE).unwrap().messages, 100);
    apply(&kept.0, &messages);
    assert_eq!(kept.0.counts(SPACE).unwrap().messages, 100);
    let other = store_of(&[Change::Forgotten(forgetting)]);
    apply(&other.0, &messages);
    assert_eq!(other.0.digest().unwrap(), kept.0.digest().unwrap());
}

#[test]
fn what_could_not_be_opened_again_goes_on_with_its_merges_and_what_it_forgot() {
    let messages = [Change::Read(said(0, 10, &["Ana"], vec![])), merged("Ana", "Ana Novak")];
    let kept = store_of(&messages);
    let forgetting = Forgetting { space: SPACE.into(), scope: Scope::Message(message_id(1)), until: 0 };
    apply(&kept.0, &[Change::Forgotten(forgetting)]);
    kept.0.fail();
    apply(&kept.0, &[Change::Read(said(1, 11, &["Ben"], vec![]))]);
    assert!(kept.0.of_message(message_id(1)).unwrap().is_empty());
    assert_eq!(name_of(&kept.0, person("Ana Novak")).as_deref(), Some("Ana"));
}

#[test]
fn an_export_ends_when_it_is_told_to() {
    let kept = store_of(&[Change::Read(said(0, 10, &["Ana", "Ben", "Cleo"], vec![]))]);
    let mut given = 0;
    let give = |_| {
        given += 1;
        if given == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    kept.0.export(SPACE, give).unwrap();
    assert_eq!(given, 2);
}

#[test]
fn a_cursor_of_another_list_is_none() {
    let names: Vec<_> = (0..9).map(|number| format!("Ana {number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let kept = store_of(&[Change::Read(said(0, 10, &names, vec![]))]);
    let query = SearchQuery { space: SPACE.into(), text: "ana".into(), kinds: vec![] };
    let page = kept.0.search(&query, LIMIT, None).unwrap();
    let cursor = page.next.unwrap();
    let other = SearchQuery { text: "an".into(), ..query.clone() };
    assert!(query.is_cursor(&cursor) && !other.is_cursor(&cursor));
    assert_eq!(kept.0.search(&other, LIMIT, Some(&cursor)).unwrap().items, page.items);
}

#[test]
fn neighbours_are_listed_by_their_exact_weight_over_pages_and_names() {
    let counts = [1, 2, 14, 15, 16, 17, 30, 31, 32, 33, 45, 16];
    let name = |at: usize| format!("N{at}");
    let each = counts.iter().enumerate().flat_map(|(at, count)| (0..*count).map(move |_| at));
    let messages: Vec<_> = each
        .enumerate()
        .map(|(number, at)| Change::Read(said(number as u64, number as i64, &["Hub", &name(at)], vec![])))
        .collect();
    let kept = store_of(&messages);
    let filter = NeighbourFilter { space: SPACE.into(), id: person("Hub"), ..NeighbourFilter::default() };
    let listed = || {
        let found = all(|cursor| kept.0.neighbours(&filter, LIMIT, cursor).unwrap());
        found.iter().map(|neighbour| (Reverse(neighbour.weight), neighbour.id)).collect::<Vec<_>>()
    };
    let sorted = |counts: &[u64]| {
        let known = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let mut expected: Vec<_> = known.map(|(at, count)| (Reverse(*count), person(&name(at)))).collect();
        expected.sort();
        expected
    };
    assert_eq!(listed(), sorted(&counts));
    apply(&kept.0, &[merged("N4", "N5"), merged("N11", "N5"), merged("N0", "N1")]);
    assert_eq!(listed(), sorted(&[0, 3, 14, 15, 0, 49, 30, 31, 32, 33, 45, 0]));
}

#[test]
fn a_path_says_when_it_has_not_looked_at_everything() {
    let hub = |number: u64| Change::Read(said(number, 0, &["Hub", &format!("N{number}")], vec![]));
    let mut messages: Vec<_> = (0..200).map(hub).collect();
    messages.push(Change::Read(said(900, 0, &["Far"], vec![])));
    let kept = store_of(&messages);
    let path = |kept: &Kept| kept.0.path(SPACE, [person("Hub"), person("Far")], None, 6).unwrap();
    assert_eq!(path(&kept), Path { steps: None, is_cut: false });
    apply(&kept.0, &[hub(200)]);
    assert_eq!(path(&kept), Path { steps: None, is_cut: true });
    let direct = kept.0.path(SPACE, [person("Hub"), person("N200")], None, 6).unwrap();
    assert_eq!(direct.steps.map(|steps| steps.len()), Some(1));
}
