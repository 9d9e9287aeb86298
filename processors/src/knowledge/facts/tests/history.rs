//! What ends what, and what holds for every history.

use proptest::prelude::*;

use super::super::{
    Modality, Polarity, Relation,
    history::{Assertion, Held, history},
};

fn said(fact_id: u32, object: &str, said_at: i64) -> Assertion<u32> {
    Assertion {
        fact_id,
        object: object.to_owned(),
        polarity: Polarity::Affirmed,
        modality: Modality::Asserted,
        said_at,
        valid_from: None,
        valid_until: None,
    }
}

fn denied(fact_id: u32, object: &str, said_at: i64) -> Assertion<u32> {
    Assertion { polarity: Polarity::Denied, ..said(fact_id, object, said_at) }
}

/// Each period as (fact, from, until, what ended it).
#[track_caller]
fn check(relation: Relation, assertions: &[Assertion<u32>], expected: &[(u32, i64, Option<i64>, Option<u32>)]) {
    let shown: Vec<_> =
        history(relation, assertions).iter().map(|one| (one.fact, one.from, one.until, one.closed_by)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn another_object_ends_the_one_before() {
    check(
        Relation::LivesIn,
        &[said(1, "oslo", 10), said(2, "rome", 20)],
        &[(1, 10, Some(20), Some(2)), (2, 20, None, None)],
    );
    let moved = Assertion { valid_from: Some(15), ..said(2, "rome", 20) };
    check(Relation::LivesIn, &[said(1, "oslo", 10), moved], &[(1, 10, Some(15), Some(2)), (2, 15, None, None)]);
}

#[test]
fn several_things_can_be_liked() {
    check(Relation::Likes, &[said(1, "tea", 10), said(2, "milk", 20)], &[(1, 10, None, None), (2, 20, None, None)]);
}

#[test]
fn diets_that_go_together_end_nothing() {
    check(
        Relation::Diet,
        &[said(1, "vegan", 10), said(2, "gluten-free", 20)],
        &[(1, 10, None, None), (2, 20, None, None)],
    );
    check(
        Relation::Diet,
        &[said(1, "vegan", 10), said(2, "vegetarian", 20)],
        &[(1, 10, Some(20), Some(2)), (2, 20, None, None)],
    );
}

#[test]
fn a_denial_ends_what_it_denies_and_no_other() {
    check(
        Relation::Likes,
        &[said(1, "tea", 10), said(2, "milk", 15), denied(3, "tea", 20)],
        &[(1, 10, Some(20), Some(3)), (2, 15, None, None), (3, 20, None, None)],
    );
    check(
        Relation::WorksAt,
        &[said(1, "acme", 10), denied(2, "other", 20)],
        &[(1, 10, None, None), (2, 20, None, None)],
    );
}

#[test]
fn what_is_said_again_is_kept_with_each_source() {
    check(
        Relation::LivesIn,
        &[said(1, "oslo", 10), said(2, "oslo", 20), said(3, "rome", 30)],
        &[(1, 10, Some(30), Some(3)), (2, 20, Some(30), Some(3)), (3, 30, None, None)],
    );
}

#[test]
fn plans_and_wishes_hold_nothing_and_end_nothing() {
    for modality in [Modality::Planned, Modality::Wished, Modality::Possible] {
        let plan = Assertion { modality, ..said(2, "rome", 20) };
        check(Relation::LivesIn, &[said(1, "oslo", 10), plan], &[(1, 10, None, None), (2, 20, Some(20), None)]);
    }
}

#[test]
fn the_past_ends_nothing() {
    let past = Assertion { valid_from: Some(2), valid_until: Some(5), ..said(2, "rome", 20) };
    check(Relation::LivesIn, &[said(1, "oslo", 10), past], &[(1, 10, None, None), (2, 2, Some(5), None)]);
    let before = Assertion { valid_until: Some(20), ..said(2, "rome", 20) };
    check(Relation::LivesIn, &[said(1, "oslo", 10), before], &[(1, 10, None, None), (2, 20, Some(20), None)]);
}

#[test]
fn what_is_told_as_over_ends_the_same_object_only() {
    let before = Assertion { valid_until: Some(20), ..said(2, "oslo", 20) };
    check(Relation::LivesIn, &[said(1, "oslo", 10), before], &[(1, 10, Some(20), Some(2)), (2, 20, Some(20), None)]);
    let long_ago = Assertion { valid_until: Some(5), ..said(2, "oslo", 20) };
    check(Relation::LivesIn, &[said(1, "oslo", 10), long_ago], &[(1, 10, None, None), (2, 5, Some(5), None)]);
    let episode = Assertion { valid_from: Some(12), valid_until: Some(15), ..said(2, "oslo", 20) };
    check(Relation::LivesIn, &[said(1, "oslo", 10), episode], &[(1, 10, None, None), (2, 12, Some(15), None)]);
}

#[test]
fn nothing_is_ended_before_it_was_said() {
    let since = Assertion { valid_from: Some(1), ..said(2, "rome", 20) };
    let home = Assertion { valid_from: Some(5), ..said(1, "oslo", 10) };
    check(Relation::LivesIn, &[home, since.clone()], &[(1, 5, Some(10), Some(2)), (2, 10, None, None)]);
    // Where it was said without a beginning, it held at no known time, and the newer one has its own.
    check(Relation::LivesIn, &[said(1, "oslo", 10), since], &[(1, 10, Some(10), Some(2)), (2, 1, None, None)]);
}

#[test]
fn what_is_told_of_a_later_day_waits_for_it() {
    let later = Assertion { valid_from: Some(50), ..said(2, "rome", 20) };
    check(
        Relation::LivesIn,
        &[said(1, "oslo", 10), later, said(3, "bonn", 30)],
        &[(1, 10, Some(30), Some(3)), (3, 30, Some(50), Some(2)), (2, 50, None, None)],
    );
}

fn assertions() -> impl Strategy<Value = Vec<Assertion<u32>>> {
    let time = || prop::option::weighted(0.3, 0..100i64);
    let one = ("[abcd]", any::<bool>(), 0..6u8, 0..100i64, time(), time());
    prop::collection::vec(one, 0..20).prop_map(|all| {
        let numbered = (0u32..).zip(all);
        let assertions =
            numbered.map(|(fact_id, (object, denied, modality, said_at, valid_from, valid_until))| Assertion {
                fact_id,
                object,
                polarity: if denied && modality % 2 == 0 { Polarity::Denied } else { Polarity::Affirmed },
                modality: if modality == 5 { Modality::Planned } else { Modality::Asserted },
                said_at,
                valid_from,
                valid_until,
            });
        assertions.collect()
    })
}

fn overlap(one: &Held<u32>, other: &Held<u32>) -> bool {
    let end = |held: &Held<u32>| held.until.unwrap_or(i64::MAX);
    one.from.max(other.from) < end(one).min(end(other))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_order_in_gives_the_same_out(assertions in assertions(), seed in any::<u64>()) {
        let told = history(Relation::LivesIn, &assertions);
        let mut mixed = assertions.clone();
        mixed.sort_by_key(|one| (u64::from(one.fact_id) + 1).wrapping_mul(seed | 1));
        prop_assert_eq!(&told, &history(Relation::LivesIn, &mixed));
        mixed.extend(assertions.iter().filter(|one| one.fact_id % 2 == 0).cloned());
        prop_assert_eq!(&told, &history(Relation::LivesIn, &mixed));
    }

    #[test]
    fn each_statement_is_told_once_and_ends_after_it_begins(assertions in assertions()) {
        for relation in [Relation::LivesIn, Relation::Likes, Relation::Diet] {
            let held = history(relation, &assertions);
            let mut facts: Vec<u32> = held.iter().map(|one| one.fact).collect();
            facts.sort_unstable();
            prop_assert_eq!(facts, (0..assertions.len() as u32).collect::<Vec<_>>());
            for one in &held {
                prop_assert!(one.until.is_none_or(|until| until >= one.from));
            }
        }
    }

    #[test]
    fn periods_that_exclude_each_other_never_overlap(assertions in assertions()) {
        let held = history(Relation::LivesIn, &assertions);
        for (at, one) in held.iter().enumerate() {
            for other in &held[at + 1..] {
                let (first, second) = (&assertions[one.fact as usize], &assertions[other.fact as usize]);
                let same = first.object == second.object;
                let affirmed = first.polarity == Polarity::Affirmed && second.polarity == Polarity::Affirmed;
                if !same && affirmed || same && first.polarity != second.polarity {
                    prop_assert!(!overlap(one, other), "{:?} {:?}", one, other);
                }
            }
        }
    }

    #[test]
    fn only_a_newer_statement_ends_one(assertions in assertions()) {
        for one in history(Relation::LivesIn, &assertions) {
            if let Some(by) = one.closed_by {
                let (older, newer) = (&assertions[one.fact as usize], &assertions[by as usize]);
                let begins = |one: &Assertion<u32>| one.valid_from.unwrap_or(one.said_at);
                let effect = |one: &Assertion<u32>| (one.said_at.max(begins(one)), one.fact_id);
                prop_assert!(effect(older) < effect(newer) && newer.modality == Modality::Asserted);
            }
        }
    }
}
