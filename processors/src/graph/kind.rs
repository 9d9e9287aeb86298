//! Kinds of entities in rows: by name in JSON, by number in compact values.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use crate::knowledge::entities::EntityKind;

/// The kind's number.
pub(super) fn code(kind: EntityKind) -> u8 {
    EntityKind::ALL.iter().position(|known| *known == kind).unwrap_or_default() as u8
}

/// The kind of a number.
pub(super) fn of_code(code: u8) -> Option<EntityKind> {
    EntityKind::ALL.get(usize::from(code)).copied()
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
    EntityKind::named(name).ok_or_else(|| E::custom(format!("there is no kind \"{name}\"")))
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
