//! Ids: which name is which node.
//!
//! Owns: ids that are the same for the same name wherever and whenever it is read: hashed of space, kind and normalised name.

use uuid::Uuid;

use super::change::End;
use crate::knowledge::entities::{EntityKind, normalised};

/// The node of a name. `None` for a quantity, and for a name without letter or figure, which are no nodes.
pub fn entity_id(space: &str, kind: EntityKind, name: &str) -> Option<Uuid> {
    Some(Place::of_entity(space, kind, name)?.id)
}

/// What stands for a plain phrase in filters. It is no node.
pub fn phrase_id(space: &str, phrase: &str) -> Uuid {
    Place::of_phrase(space, phrase).id
}

/// Where a name belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: Uuid,
    /// What kind of node it is; `None`: a phrase, which is none.
    pub(super) kind: Option<EntityKind>,
    /// The normalised name.
    pub(super) key: String,
}

impl Place {
    pub(super) fn of_entity(space: &str, kind: EntityKind, name: &str) -> Option<Self> {
        let key = normalised(kind, name);
        if kind == EntityKind::Quantity || key.is_empty() {
            return None;
        }
        let id = hashed("entity", &[space.as_bytes(), kind.name().as_bytes(), key.as_bytes()]);
        Some(Self { id, kind: Some(kind), key })
    }

    fn of_phrase(space: &str, phrase: &str) -> Self {
        let folded = folded(phrase);
        let key = if folded.is_empty() { phrase.trim().to_owned() } else { folded };
        Self { id: hashed("phrase", &[space.as_bytes(), key.as_bytes()]), kind: None, key }
    }

    pub(super) fn of_end(space: &str, end: &End) -> Self {
        let entity = end.kind.and_then(|kind| Self::of_entity(space, kind, &end.name));
        entity.unwrap_or_else(|| Self::of_phrase(space, &end.name))
    }
}

/// A name as it is searched by: without case, accents and signs, whatever its kind.
pub(super) fn folded(name: &str) -> String {
    normalised(EntityKind::Topic, name)
}

/// The id of a list of facts.
pub(super) fn list_id(purpose: &str, parts: &[&[u8]]) -> Uuid {
    hashed(purpose, parts)
}

/// A version 8 UUID from BLAKE3 over the parts, each with its length, so that no two lists of parts run together.
fn hashed(purpose: &str, parts: &[&[u8]]) -> Uuid {
    let mut hasher = blake3::Hasher::new_derive_key("meshlog graph id v1");
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_node_however_it_is_spelled_and_another_in_another_space_or_kind() {
        let id = |space, kind, name| entity_id(space, kind, name).unwrap();
        let ana = id("s", EntityKind::Person, "Ana");
        assert_eq!(ana, id("s", EntityKind::Person, "ANÁ"));
        assert_ne!(ana, id("t", EntityKind::Person, "Ana"));
        assert_ne!(ana, id("s", EntityKind::Place, "Ana"));
        assert_ne!(ana, phrase_id("s", "Ana"));
        assert_eq!(entity_id("s", EntityKind::Quantity, "3 kg"), None);
        assert_eq!(entity_id("s", EntityKind::Person, "..."), None);
    }

    #[test]
    fn ids_that_others_may_have_kept_never_change() {
        let ana = entity_id("s", EntityKind::Person, "Ana").unwrap();
        assert_eq!(ana.to_string(), "3f99072b-0a93-8864-9188-2b824922f8fd");
    }
}
