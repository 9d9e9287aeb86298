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

fn pinned(id: u128, text: &str, sources: Vec<Uuid>) -> Change {
    Change::Pinned(Insight {
        insight_id: Uuid::from_u128(id),
        space: SPACE.into(),
        thread: None,
        text: text.into(),
        sources,
        author: "Ben".into(),
        reason: String::new(),
        at: 60,
    })
}

/// The relations by which a fact or an insight leads to an entity, with its name.
fn led_to(store: &GraphStore, id: u128) -> Vec<(&'static str, String)> {
    let ties = store.ties(SPACE, Uuid::from_u128(id)).unwrap();
    ties.iter().filter_map(|tie| Some((tie.relation, tie.entity()?.name.clone()))).collect()
}

#[test]
fn a_fact_and_an_insight_are_nodes_that_lead_to_others() {
    let kept = store_of(&[
        Change::Read(said(0, 10, &["Ana"], vec![lives_in(1, "Ana", "Oslo")])),
        Change::Read(said(1, 20, &["Ana Novak", "Ben"], vec![lives_in(2, "Ana", "Rome")])),
        Change::Read(said(2, 30, &["Cleo", "Ben"], vec![])),
        merged("Ana", "Ana Novak"),
        pinned(7, "Ask ana before Cleo does; nobody asks the moon.", vec![message_id(2)]),
    ]);
    let store = &kept.0;
    assert_eq!(led_to(store, 1), [("subject", "Ana".to_owned()), ("object", "Oslo".to_owned())]);
    let relations =
        |id: u128| store.ties(SPACE, Uuid::from_u128(id)).unwrap().iter().map(|tie| tie.relation).collect::<Vec<_>>();
    assert_eq!(relations(1), ["subject", "object", "source", "closed-by"]);
    assert_eq!(relations(2), ["subject", "object", "source", "closes"]);
    let named: Vec<_> = led_to(store, 7).into_iter().map(|(_, name)| name).collect();
    assert_eq!(named, ["Ana", "Cleo"], "as they are called most, whatever the case");
    let ties = store.ties(SPACE, Uuid::from_u128(7)).unwrap();
    assert_eq!(ties[0].entity().map(|end| end.id), Some(person("Ana Novak")), "the node that it is merged into");
    assert_eq!(relations(7), ["names", "names", "source"]);
    assert!(store.ties(SPACE, Uuid::from_u128(99)).unwrap().is_empty());

    let filter = FactFilter { space: SPACE.into(), either: Some(person("Ana")), ..FactFilter::default() };
    let ids = |filter: &FactFilter| {
        let found = all(|cursor| store.facts(filter, LIMIT, cursor).unwrap());
        found.iter().map(|fact| fact.fact_id.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&filter), [2]);
    assert_eq!(ids(&FactFilter { include: Include::All, ..filter.clone() }), [2, 1]);
    let rome = entity_id(SPACE, EntityKind::Place, "Rome");
    assert_eq!(ids(&FactFilter { either: rome, ..filter }), [2]);
    let naming = |name: &str| store.insights_naming(SPACE, person(name)).unwrap().len();
    assert_eq!((naming("Ana"), naming("Cleo"), naming("Ben")), (1, 1, 0));
}

#[test]
fn a_path_may_begin_and_end_at_a_fact_or_an_insight() {
    let kept = store_of(&[
        Change::Read(said(0, 10, &["Ana", "Ben"], vec![lives_in(1, "Ana", "Oslo")])),
        Change::Read(said(1, 20, &["Ben", "Cleo"], vec![lives_in(2, "Dan", "Rome")])),
        Change::Read(said(2, 20, &["Cleo", "Dan"], vec![])),
        pinned(7, "Listen to Cleo.", vec![]),
        pinned(8, "Be kind.", vec![]),
    ]);
    let path = |from: Uuid, to: Uuid| {
        let path = kept.0.path(SPACE, [from, to], None, 6).unwrap();
        path.steps.map(|steps| steps.into_iter().map(|step| step.relation).collect::<Vec<_>>())
    };
    let id = Uuid::from_u128;
    let together = MENTIONED_WITH;
    assert_eq!(path(id(1), person("Ana")), Some(vec!["subject".to_owned()]));
    assert_eq!(path(person("Ben"), id(1)), Some(vec![together.to_owned(), "subject".to_owned()]));
    let expected = ["subject", together, together, "names"].map(str::to_owned);
    assert_eq!(path(id(1), id(7)), Some(expected.to_vec()), "of Ana, with Ben, with Cleo, who is named");
    let reversed: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(path(id(7), id(1)), Some(reversed));
    assert_eq!(path(id(2), id(2)), Some(vec![]));
    assert_eq!(path(id(8), person("Ana")), None, "it names nobody");
    assert_eq!(path(id(99), person("Ana")), None);
}

#[test]
fn messages_that_name_what_a_text_names_under_another_name_count_the_more_the_rarer_it_is() {
    let mut messages: Vec<_> =
        (0..40).map(|number| Change::Read(said(number, number as i64, &["Ben"], vec![]))).collect();
    messages.push(Change::Read(said(50, 50, &["Ana Novak"], vec![])));
    messages.push(Change::Read(said(51, 51, &["Cleo", "Ben"], vec![])));
    messages.push(Change::Read(said(52, 52, &["Ana", "Cleo"], vec![])));
    messages.push(Change::Read(said(53, 53, &["Dora"], vec![])));
    messages.extend([merged("Ana", "Ana Novak"), merged("Cleo", "Ana Novak"), merged("Bo", "Ben")]);
    let kept = store_of(&messages);
    let naming = |text: &str| {
        let mut found: Vec<_> = kept.0.naming(SPACE, text).unwrap().into_iter().collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        found.into_iter().map(|(id, named)| (id, named.sent_at, named.rarity)).collect::<Vec<_>>()
    };
    // Words find what has the same name, or a part of it.
    let found = naming("where did ana novak's boat go?");
    assert!(matches!(found[..], [(id, 51, rarity)] if id == message_id(51) && rarity > 0.5), "{found:?}");
    assert_eq!(naming("What did Cleo do?").iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [message_id(50)]);
    assert_eq!(naming("Did Dora call?"), []);
    let common = naming("Where was Bo?");
    assert!(common.len() == 41 && common.iter().all(|(.., rarity)| *rarity < 0.1), "{common:?}");
    let both = naming("What did Ana tell Bo?");
    let rarity = |number| both.iter().find(|(id, ..)| *id == message_id(number)).unwrap().2;
    assert!(rarity(51) > rarity(0) + 0.5, "{both:?}");
    assert!(naming("what is it about?").is_empty() && kept.0.naming("other", "Cleo").unwrap().is_empty());
    let many: Vec<_> = (100..900).map(|number| Change::Read(said(number, number as i64, &["Dan"], vec![]))).collect();
    apply(&kept.0, &many);
    apply(&kept.0, &[merged("Dan", "Dora")]);
    let found = naming("Dora");
    assert_eq!((found.len(), found.iter().map(|(_, at, _)| *at).min()), (256, Some(644)), "the newest");
}

#[test]
fn an_older_statement_is_judged_in_a_list_as_it_is_alone() {
    for_each_seed(60, |seed| {
        let mut chance = Chance(seed);
        let mut changes: Vec<_> = (0..90_u64)
            .map(|number| {
                let at = 10 * number as i64 + chance.below(9) as i64;
                let who = ["Ana", "Ana Novak", "Ben"][chance.below(3) as usize];
                let place = ["Oslo", "Rome", "Bergen", "Paris"][chance.below(4) as usize];
                let mut fact = lives_in(u128::from(number) + 1, who, place);
                fact.relation = ["lives-in", "likes", "works-at"][chance.below(3) as usize].into();
                // Seldom, so that much stays open for long.
                let mut seldom = |of: u64| chance.below(of) == 0;
                if seldom(5) {
                    fact.polarity = "denied".into();
                }
                if seldom(9) {
                    fact.modality = "planned".into();
                }
                if seldom(9) {
                    fact.confidence = 100;
                }
                let back = 10 * chance.below(60) as i64;
                fact.valid_from = (chance.below(6) == 0).then_some(at - back);
                fact.valid_until = (chance.below(8) == 0).then(|| at - back + 10 * chance.below(80) as i64);
                Change::Read(said(number, at, &[who], vec![fact]))
            })
            .collect();
        changes.push(merged("Ana", "Ana Novak"));
        let kept = store_of(&changes);
        let place = |name: &str| entity_id(SPACE, EntityKind::Place, name).unwrap();
        let of = |filter: FactFilter| FactFilter { space: SPACE.into(), include: Include::All, ..filter };
        let objects = ["Oslo", "Rome", "Bergen", "Paris"].map(place);
        let filters = objects
            .map(|object| of(FactFilter { object: Some(object), ..FactFilter::default() }))
            .into_iter()
            .chain(
                [person("Ana"), person("Ben")]
                    .map(|who| of(FactFilter { subject: Some(who), ..FactFilter::default() })),
            )
            .chain([of(FactFilter::default())]);
        for filter in filters {
            let listed = all(|cursor| kept.0.facts(&filter, LIMIT, cursor).unwrap());
            assert!(listed.len() > 9);
            for fact in listed {
                assert_eq!(kept.0.fact(SPACE, fact.fact_id).unwrap().as_ref(), Some(&fact), "seed {seed}");
            }
        }
    });
}
