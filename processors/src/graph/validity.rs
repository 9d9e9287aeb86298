//! Validity: what of all that was said about a subject in one relation held when.
//!
//! Owns: the way from rows to the rules of supersession, which stand in [`facts::history`]. Only what is asserted is given here.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    Micros,
    knowledge::facts::{self, Modality, Polarity, Relation},
};

/// Facts of less confidence, in thousandths, are in no answer unless they are asked for, and end no other fact.
pub(super) const ANSWERS_FROM: u16 = (facts::ANSWERS_FROM * 1000.0) as u16;

/// Something that was said about a subject in a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assertion {
    pub(super) fact_id: Uuid,
    /// The object's normalised name.
    pub(super) object: String,
    pub(super) is_denied: bool,
    pub(super) said_at: Micros,
    pub(super) valid_from: Option<Micros>,
    pub(super) valid_until: Option<Micros>,
}

/// When a fact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) from: Micros,
    pub(super) until: Option<Micros>,
    pub(super) closed_by: Option<Uuid>,
}

impl Held {
    /// Whether it holds at a time; without a time, whether it has no end.
    pub(super) fn holds(&self, at: Option<Micros>) -> bool {
        match at {
            Some(at) => self.from <= at && self.until.is_none_or(|until| at < until),
            None => self.until.is_none(),
        }
    }
}

/// Whether what is said of an object in this relation has nothing to do with what is said of another.
pub(super) fn is_of_many(relation: &str) -> bool {
    !known(relation).is_functional()
}

/// A relation that no rule knows may hold of many objects, as this one does.
fn known(relation: &str) -> Relation {
    Relation::parse(relation).unwrap_or(Relation::Decided)
}

/// What held when, by fact. The order of the assertions does not matter; of two with one id the first said counts.
pub(super) fn history(relation: &str, assertions: Vec<Assertion>) -> BTreeMap<Uuid, Held> {
    let assertions: Vec<_> = assertions
        .into_iter()
        .map(|assertion| facts::history::Assertion {
            fact_id: assertion.fact_id,
            object: assertion.object,
            polarity: if assertion.is_denied { Polarity::Denied } else { Polarity::Affirmed },
            modality: Modality::Asserted,
            said_at: assertion.said_at,
            valid_from: assertion.valid_from,
            valid_until: assertion.valid_until,
        })
        .collect();
    let held = facts::history::history(known(relation), &assertions).into_iter();
    held.map(|held| (held.fact, Held { from: held.from, until: held.until, closed_by: held.closed_by })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: u128, object: &str, said_at: Micros) -> Assertion {
        let fact_id = Uuid::from_u128(id);
        Assertion { fact_id, object: object.into(), is_denied: false, said_at, valid_from: None, valid_until: None }
    }

    #[test]
    fn another_object_ends_what_holds_of_one_and_nothing_of_a_relation_that_is_not_known() {
        let (first, second) = (said(1, "oslo", 10), said(2, "rome", 20));
        let until = |relation| history(relation, vec![second.clone(), first.clone()])[&first.fact_id].until;
        assert_eq!(["lives-in", "likes", "a-new-one"].map(until), [Some(20), None, None]);
        assert_eq!(ANSWERS_FROM, 600);
    }
}
