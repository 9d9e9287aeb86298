//! Kinds of entities in rows: by name in JSON, by number in compact values.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::knowledge::entities::EntityKind;

/// All kinds. Their places are their numbers in values, so new ones come last.
pub(super) const KINDS: [EntityKind; 8] = [
    EntityKind::Person,
    EntityKind::Organisation,
    EntityKind::Place,
    EntityKind::Product,
    EntityKind::Topic,
    EntityKind::Url,
    EntityKind::CodeSymbol,
    EntityKind::Quantity,
];

/// The kind's number.
pub(super) fn code(kind: EntityKind) -> u8 {
    KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u8
}

/// The kind of a number.
pub(super) fn of_code(code: u8) -> Option<EntityKind> {
    KINDS.get(usize::from(code)).copied()
}

/// For `#[serde(with = "KindName")]`.
pub(super) struct KindName;

impl KindName {
    pub(super) fn serialize<S: Serializer>(kind: &EntityKind, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.name())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<EntityKind, D::Error> {
        of_name(<std::borrow::Cow<'a, str>>::deserialize(deserializer)?.as_ref())
    }
}

fn of_name<E: Error>(name: &str) -> Result<EntityKind, E> {
    let kind = KINDS.into_iter().find(|kind| kind.name() == name);
    kind.ok_or_else(|| E::custom(format!("there is no kind \"{name}\"")))
}

/// For `#[serde(with = "optional")]`.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, EntityKind, Serializer, of_name};

    pub(in super::super) fn serialize<S: Serializer>(
        kind: &Option<EntityKind>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match kind {
            Some(kind) => serializer.serialize_some(kind.name()),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Option<EntityKind>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|name| of_name(&name)).transpose()
    }
}
