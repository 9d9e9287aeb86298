//! What holds of any changes: their order, batches, repetitions and restarts do not matter, and every question is answered as
//! the model answers it.

use std::{collections::BTreeMap, ops::ControlFlow};

use tempfile::tempdir;
use uuid::Uuid;

use super::{super::id::folded, model::Model, *};
use crate::{Order, seeds::for_each_seed};

/// What keeps its order: changes of the same.
fn order_key(change: &Change, number: usize) -> String {
    match change {
        Change::Read(reading) => format!("read {} {}", reading.message_id, reading.family()),
        Change::Merged(Merged { kind, from, .. }) | Change::Parted(Parted { kind, from, .. }) => {
            format!("link {kind:?} {}", entity_id(SPACE, *kind, from).unwrap())
        }
        Change::Pinned(insight) => format!("pin {}", insight.insight_id),
        _ => format!("alone {number}"),
    }
}

/// The same changes in another order that they may come in.
fn interleaved(changes: &[Change], chance: &mut Chance) -> Vec<Change> {
    let mut queues: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for (number, change) in changes.iter().enumerate().rev() {
        queues.entry(order_key(change, number)).or_default().push(change.clone());
    }
    let mut queues: Vec<_> = queues.into_values().collect();
    let mut order = Vec::new();
    while !queues.is_empty() {
        let at = chance.below(queues.len() as u64) as usize;
        match queues[at].pop() {
            Some(change) => order.push(change),
            None => _ = queues.swap_remove(at),
        }
    }
    order
}

#[test]
fn order_batches_repetitions_and_restarts_do_not_matter() {
    for_each_seed(10, |seed| {
        let mut chance = Chance(seed);
        let changes = changes(&mut chance);
        let directory = tempdir().unwrap();
        let plain = GraphStore::open(directory.path()).unwrap();
        apply(&plain, &changes);
        let expected = plain.digest().unwrap();
        for _ in 0..2 {
            let directory = tempdir().unwrap();
            let mut store = GraphStore::open(directory.path()).unwrap();
            let order = interleaved(&changes, &mut chance);
            let mut rest = &order[..];
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(1 + chance.below(rest.len().min(20) as u64) as usize);
                for _ in 0..=chance.below(2) {
                    apply(&store, batch);
                }
                if chance.below(8) == 0 {
                    drop(store);
                    store = GraphStore::open(directory.path()).unwrap();
                }
                rest = after;
            }
            assert_eq!(store.digest().unwrap(), expected);
        }
    });
}

#[test]
fn every_question_is_answered_as_by_the_model() {
    for_each_seed(20, |seed| {
        let mut chance = Chance(seed ^ 0x5eed);
        let changes = changes(&mut chance);
        let directory = tempdir().unwrap();
        let store = GraphStore::open(directory.path()).unwrap();
        let mut rest = &changes[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(1 + chance.below(rest.len().min(30) as u64) as usize);
            apply(&store, batch);
            rest = after;
        }
        for space in [SPACE, "other"] {
            let model = Model::of(space, &changes);
            check_nodes(&store, &model, space);
            check_search(&store, &model, space);
            check_facts(&store, &model, space, &mut chance);
            check_neighbours(&store, &model, space, &mut chance);
            check_paths(&store, &model, space, &mut chance);
            check_timelines(&store, &model, space);
            check_the_rest(&store, &model, space);
        }
    });
}

fn ids(space: &str) -> Vec<Uuid> {
    NAMES.iter().filter_map(|(kind, names)| entity_id(space, *kind, names[0])).collect()
}

fn check_nodes(store: &GraphStore, model: &Model, space: &str) {
    let entities = model.entities();
    for id in ids(space) {
        let expected = entities.get(&model.canonical(id)).cloned().map(|mut entity| {
            entity.merged.sort_by_key(|name| name.id);
            Node::Entity(entity)
        });
        assert_eq!(store.node(space, id).unwrap(), expected);
    }
}

fn check_search(store: &GraphStore, model: &Model, space: &str) {
    let person = vec![EntityKind::Person];
    for (text, kinds) in [
        ("ana", vec![]),
        ("A", vec![]),
        ("york", vec![]),
        ("new y", vec![]),
        ("nov", person.clone()),
        ("", vec![]),
        ("", person),
        ("!?", vec![]),
        ("n.y.", vec![EntityKind::Place, EntityKind::Url]),
    ] {
        let query = SearchQuery { space: space.into(), text: text.into(), kinds };
        let found = all(|cursor| store.search(&query, LIMIT, cursor).unwrap());
        let hits: Vec<_> = found.iter().map(|hit| (hit.id, hit.matched)).collect();
        let nothing = folded(text).is_empty() && !text.is_empty();
        assert_eq!(hits, if nothing { vec![] } else { model.search(text, &query.kinds) }, "{text:?}");
        let entities = model.entities();
        for hit in found {
            let entity = &entities[&hit.id];
            assert_eq!((&hit.name, hit.kind, hit.mentions), (&entity.name, entity.kind, entity.mentions));
        }
    }
}

fn check_facts(store: &GraphStore, model: &Model, space: &str, chance: &mut Chance) {
    let mut ends = ids(space);
    ends.push(phrase_id(space, "vegan"));
    for _ in 0..20 {
        let mut end = || (chance.below(2) == 0).then(|| pick(chance, &ends));
        let (subject, object) = (end(), end());
        let filter = FactFilter {
            space: space.into(),
            subject,
            object,
            either: None,
            relation: (chance.below(2) == 0).then(|| pick(chance, &RELATIONS).into()),
            at: time(chance),
            include: if chance.below(2) == 0 { Include::All } else { Include::Current },
        };
        let found = all(|cursor| {
            assert!(cursor.is_none_or(|cursor| filter.is_cursor(cursor)));
            store.facts(&filter, LIMIT, cursor).unwrap()
        });
        let found: Vec<_> = found.iter().map(|fact| fact.fact_id).collect();
        assert_eq!(found, model.facts_of(&filter), "{filter:?}");
    }
    let (facts, judged) = (model.facts(), model.judged());
    for (id, stated) in &facts {
        let answer = store.fact(space, *id).unwrap().unwrap();
        assert_eq!(store.node(space, *id).unwrap(), Some(Node::Fact(answer.clone())));
        let (standing, held) = judged[id];
        assert_eq!(answer.standing, standing);
        assert_eq!((answer.from, answer.until), (held.map(|held| held.from), held.and_then(|held| held.until)));
        assert_eq!(answer.closed_by, held.and_then(|held| held.closed_by));
        assert_eq!((answer.said_at, &answer.relation), (stated.said_at, &stated.fact.relation));
        assert_eq!(answer.subject.id, model.place(&stated.fact.subject).id);
        assert_eq!(answer.object.id, model.place(&stated.fact.object).id);
        let messages: Vec<_> = answer
            .sources
            .iter()
            .filter_map(|source| match source {
                Source::Message { message_id, .. } => Some(*message_id),
                Source::Correction { .. } => None,
            })
            .collect();
        assert_eq!(messages, stated.messages);
        assert_eq!(answer.sources.len() - messages.len(), usize::from(stated.is_correction));
    }
    for number in 0..MESSAGES * 4 {
        let id = fact_id(0, number);
        assert_eq!(store.fact(space, id).unwrap().is_some(), facts.contains_key(&id));
    }
}

fn check_neighbours(store: &GraphStore, model: &Model, space: &str, chance: &mut Chance) {
    for id in ids(space) {
        let filter = NeighbourFilter {
            space: space.into(),
            id,
            relation: (chance.below(2) == 0).then(|| pick(chance, &[MENTIONED_WITH, "likes", "lives-in"]).into()),
            at: time(chance),
            kinds: if chance.below(3) == 0 { vec![EntityKind::Person, EntityKind::Place] } else { vec![] },
        };
        let found = all(|cursor| store.neighbours(&filter, LIMIT, cursor).unwrap());
        let entities = model.entities();
        let wants = |relation: &str| filter.relation.as_deref().is_none_or(|wanted| wanted == relation);
        let mut expected = Vec::new();
        for (id, (together, mut relations, first)) in model.bonds(id, filter.at) {
            let together = if wants(MENTIONED_WITH) { together } else { 0 };
            relations.retain(|relation, _| wants(relation));
            let early = together > 0 && filter.at.is_none_or(|at| first.is_some_and(|first| first <= at));
            let entity = &entities[&id];
            if relations.is_empty() && !early || !filter.kinds.is_empty() && !filter.kinds.contains(&entity.kind) {
                continue;
            }
            let weight = together + relations.values().sum::<u64>();
            let (kind, name) = (entity.kind, entity.name.clone());
            expected.push(Neighbour { id, kind, name, weight, together, relations });
        }
        expected.sort_by_key(|neighbour| (std::cmp::Reverse(neighbour.weight), neighbour.id));
        assert_eq!(found, expected, "{filter:?}");
    }
}

fn check_paths(store: &GraphStore, model: &Model, space: &str, chance: &mut Chance) {
    for _ in 0..6 {
        let ends = [pick(chance, &ids(space)), pick(chance, &ids(space))];
        let (at, longest) = (time(chance), chance.below(7) as usize);
        let path = store.path(space, ends, at, longest).unwrap();
        assert!(!path.is_cut);
        let expected = model.distance(ends[0], ends[1], at, longest);
        assert_eq!(path.steps.as_ref().map(Vec::len), expected, "{ends:?} {at:?} {longest}");
        let mut node = model.canonical(ends[0]);
        for step in path.steps.unwrap_or_default() {
            assert_eq!(step.from, node);
            let bonds = model.bonds(step.from, at);
            let (together, facts, _) = &bonds[&step.to];
            assert!(if step.relation == MENTIONED_WITH { *together > 0 } else { facts.contains_key(&step.relation) });
            node = step.to;
        }
        assert!(expected.is_none() || node == model.canonical(ends[1]));
    }
}

fn check_timelines(store: &GraphStore, model: &Model, space: &str) {
    for id in ids(space) {
        let mut expected = model.timeline(id);
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let query = TimelineQuery { space: space.into(), id, order };
            let found = all(|cursor| store.timeline(&query, LIMIT, cursor).unwrap());
            let found: Vec<_> = found
                .into_iter()
                .map(|moment| match moment {
                    Moment::Message { message_id, sent_at, mentions, facts, .. } => {
                        (sent_at, message_id, mentions, facts.into_iter().map(|fact| fact.fact_id).collect())
                    }
                    Moment::Correction { fact_id, at } => (at, fact_id, vec![], vec![]),
                })
                .collect();
            assert_eq!(found, expected, "{id} {order:?}");
            expected.reverse();
        }
    }
}

fn check_the_rest(store: &GraphStore, model: &Model, space: &str) {
    assert_eq!(store.counts(space).unwrap(), model.counts());
    for thread in [None, Some("t0"), Some("t1")] {
        let found = all(|cursor| store.insights(space, thread, LIMIT, cursor).unwrap());
        let of_thread = model.insights.values().filter(|it| thread.is_none() || it.thread.as_deref() == thread);
        let mut expected: Vec<_> = of_thread.cloned().collect();
        expected.sort_by_key(|insight| std::cmp::Reverse((insight.at, insight.insight_id)));
        assert_eq!(found, expected);
    }
    for number in 0..MESSAGES {
        let id = message_id(number);
        let of_message = model.readings.iter().filter(|((message, _), _)| *message == id);
        let expected: Vec<_> = of_message.map(|(_, reading)| reading.clone()).collect();
        if facets(number).space == space {
            assert_eq!(store.of_message(id).unwrap(), expected);
        }
    }
    let mut together: BTreeMap<(Uuid, Uuid), Vec<(i64, Uuid)>> = BTreeMap::new();
    let mut weights: BTreeMap<(Uuid, Uuid), u64> = BTreeMap::new();
    for ((one, other), messages) in model.pairs() {
        let (one, other) = (model.canonical(one), model.canonical(other));
        if one != other {
            let pair = (one.min(other), one.max(other));
            *weights.entry(pair).or_default() += messages.len() as u64;
            together.entry(pair).or_default().extend(messages);
        }
    }
    for ((one, other), mut messages) in together {
        messages.sort();
        messages.dedup();
        let found = all(|cursor| store.together(space, [other, one], LIMIT, cursor).unwrap());
        assert_eq!(found, messages);
    }
    let (mut entities, mut pairs, mut facts, mut insights) = (BTreeMap::new(), BTreeMap::new(), vec![], vec![]);
    let give = |exported| {
        match exported {
            Exported::Entity(entity) => _ = entities.insert(entity.id, entity),
            Exported::Together(one, other, count) => _ = pairs.insert((one, other), count),
            Exported::Fact(fact) => facts.push(fact.fact_id),
            Exported::Insight(insight, _) => insights.push(insight),
        }
        ControlFlow::Continue(())
    };
    store.export(space, give).unwrap();
    assert_eq!(entities.keys().collect::<Vec<_>>(), model.entities().keys().collect::<Vec<_>>());
    assert_eq!(pairs, weights);
    let every = FactFilter { space: space.into(), include: Include::All, ..FactFilter::default() };
    assert_eq!(facts, model.facts_of(&every));
    assert_eq!(insights, model.insights.values().cloned().collect::<Vec<_>>());
}
