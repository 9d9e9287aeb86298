//! Edges: what is needed of a fact to say what held when, in few bytes, because a question may look at thousands.
//!
//! ```text
//! flags | object's kind | object id | confidence u16 | valid from i64? | valid until i64? | object's normalised name
//! ```

use uuid::Uuid;

use super::{
    change::Fact,
    id::Place,
    kind,
    row::{ASSERTED, DENIED, FactRow},
};
use crate::{Micros, knowledge::entities::EntityKind};

const IS_DENIED: u8 = 1;
const IS_ASSERTED: u8 = 2;
const IS_CORRECTED: u8 = 4;
const HAS_FROM: u8 = 8;
const HAS_UNTIL: u8 = 16;

/// A fact between its ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) object: Uuid,
    /// `None`: a phrase, which is no node.
    pub(super) object_kind: Option<EntityKind>,
    pub(super) object_key: String,
    pub(super) is_denied: bool,
    pub(super) is_asserted: bool,
    pub(super) is_corrected: bool,
    pub(super) confidence: u16,
    pub(super) valid_from: Option<Micros>,
    pub(super) valid_until: Option<Micros>,
}

impl Edge {
    pub(super) fn new(fact: &Fact, object: &Place, row: &FactRow) -> Self {
        Self {
            object: object.id,
            object_kind: object.kind,
            object_key: object.key.clone(),
            is_denied: fact.polarity == DENIED,
            is_asserted: fact.modality == ASSERTED,
            is_corrected: !row.corrected_by.is_empty(),
            confidence: fact.confidence,
            valid_from: fact.valid_from,
            valid_until: fact.valid_until,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let flags = flag(self.is_denied, IS_DENIED)
            | flag(self.is_asserted, IS_ASSERTED)
            | flag(self.is_corrected, IS_CORRECTED)
            | flag(self.valid_from.is_some(), HAS_FROM)
            | flag(self.valid_until.is_some(), HAS_UNTIL);
        let mut bytes = vec![flags, kind_code(self.object_kind)];
        bytes.extend_from_slice(self.object.as_bytes());
        bytes.extend_from_slice(&self.confidence.to_be_bytes());
        for time in [self.valid_from, self.valid_until].into_iter().flatten() {
            bytes.extend_from_slice(&time.to_be_bytes());
        }
        bytes.extend_from_slice(self.object_key.as_bytes());
        bytes
    }

    /// The object and its normalised name alone; `None` where it is damaged.
    pub(super) fn object_of(bytes: &[u8]) -> Option<(Uuid, &str)> {
        let flags = bytes.first()?;
        let times = [HAS_FROM, HAS_UNTIL].into_iter().filter(|bit| flags & bit != 0).count();
        let object = bytes.get(2..)?.first_chunk::<16>()?;
        let name = bytes.get(20 + 8 * times..)?;
        Some((Uuid::from_bytes(*object), std::str::from_utf8(name).ok()?))
    }

    /// Reads it back; `None` where it is damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, rest) = bytes.split_first()?;
        let (object_kind, rest) = rest.split_first()?;
        let (object, rest) = rest.split_first_chunk::<16>()?;
        let (confidence, mut rest) = rest.split_first_chunk::<2>()?;
        let has = |bit: u8| flags & bit != 0;
        let mut time = |bit: u8| {
            if !has(bit) {
                return Some(None);
            }
            let (time, after) = rest.split_first_chunk::<8>()?;
            rest = after;
            Some(Some(i64::from_be_bytes(*time)))
        };
        let (valid_from, valid_until) = (time(HAS_FROM)?, time(HAS_UNTIL)?);
        Some(Self {
            object: Uuid::from_bytes(*object),
            object_kind: kind::of_code(*object_kind),
            object_key: std::str::from_utf8(rest).ok()?.to_owned(),
            is_denied: has(IS_DENIED),
            is_asserted: has(IS_ASSERTED),
            is_corrected: has(IS_CORRECTED),
            confidence: u16::from_be_bytes(*confidence),
            valid_from,
            valid_until,
        })
    }
}

/// What stands in a list of facts: whom a fact is about, and its relation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) subject: Uuid,
    /// `None`: a phrase, which is no node.
    pub(super) subject_kind: Option<EntityKind>,
    pub(super) relation: String,
}

impl Listed {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let kind = [kind_code(self.subject_kind)];
        [self.subject.as_bytes().as_slice(), &kind, self.relation.as_bytes()].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (subject, rest) = bytes.split_first_chunk::<16>()?;
        let (subject_kind, relation) = rest.split_first()?;
        let relation = std::str::from_utf8(relation).ok()?.to_owned();
        Some(Self { subject: Uuid::from_bytes(*subject), subject_kind: kind::of_code(*subject_kind), relation })
    }
}

fn kind_code(kind: Option<EntityKind>) -> u8 {
    kind.map_or(u8::MAX, kind::code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_read_back_and_a_cut_one_is_refused() {
        for (valid_from, valid_until) in [(None, None), (Some(-3), None), (None, Some(4)), (Some(1), Some(i64::MAX))] {
            let edge = Edge {
                object: Uuid::from_u128(9),
                object_kind: valid_from.map(|_| EntityKind::Place),
                object_key: "ž".into(),
                is_denied: valid_from.is_some(),
                is_asserted: true,
                is_corrected: valid_until.is_some(),
                confidence: 700,
                valid_from,
                valid_until,
            };
            let bytes = edge.to_bytes();
            assert_eq!(Edge::from_bytes(&bytes), Some(edge));
            let least = bytes.len() - 2;
            assert!((0..least).all(|length| Edge::from_bytes(&bytes[..length]).is_none()));
        }
    }
}
