//! Event ids: who names an event, and when two appends are the same event.
//!
//! Owns: the three ways an id comes about (fresh, from the sender's own id, derived from a cause).
//! Never: an id that depends on how often or when the work was done, except the fresh one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of an event; of a message too, since the event that accepts a message gives it its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// A new id (UUID version 7) for an event that nobody has named.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of a message that its sender calls `source_id`: the same for the same message sent twice.
    pub fn of_source(space: &str, source_id: &str) -> Self {
        Self::hashed("source", &[space.as_bytes(), source_id.as_bytes()])
    }

    /// The id of the event that `stage` derives from `cause`; `index` tells several such events apart.
    ///
    /// Doing the work twice yields the same id.
    pub fn derived(cause: EventId, stage: &str, index: &str) -> Self {
        Self::hashed("derived", &[cause.0.as_bytes(), stage.as_bytes(), index.as_bytes()])
    }

    /// A version 8 UUID from BLAKE3 over the parts, each with its length, so that no two lists of parts run together.
    fn hashed(purpose: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("meshlog event id v1");
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        Self(Uuid::new_v8(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_work_yields_the_same_id() {
        let cause = EventId::of_source("ada", "D1:3");
        assert_eq!(cause, EventId::of_source("ada", "D1:3"));
        assert_eq!(EventId::derived(cause, "embed", "0"), EventId::derived(cause, "embed", "0"));
        assert_ne!(EventId::derived(cause, "embed", "0"), EventId::derived(cause, "embed", "1"));
        assert_ne!(EventId::derived(cause, "route", "0"), EventId::derived(cause, "embed", "0"));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(EventId::of_source("ab", "c"), EventId::of_source("a", "bc"));
    }

    #[test]
    fn ids_of_stored_events_never_change() {
        // Written in logs already: another value here would let every import run twice.
        assert_eq!(EventId::of_source("ada", "D1:3").to_string(), "311b1455-cd4e-8e26-a11b-0e4aa3285541");
    }
}
