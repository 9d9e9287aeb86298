//! Resolution: which names stand for one entity.
//!
//! Owns: entities by kind and normalised key, merges as values that are proposed, applied and undone.
//! Promises: a merge is a link from one entity to another and moves nothing, so undoing it, in whatever order, leaves
//! the state as if it had never been applied; links never form a circle; proposals are the same for the same entities.
//! Never: applies a proposal by itself, merges across kinds, or keeps anything: one [`Entities`] is built for a scope
//! (a space or a thread) from its mentions and its merge events.

mod key;
mod proposals;
mod similarity;

use std::collections::BTreeMap;

use thiserror::Error;

use super::{EntityKind, EntityMention};

pub use key::normalised;
pub use similarity::jaro_winkler;

/// An entity, before any merge: all mentions of a kind whose names fold to one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey {
    /// What it is.
    pub kind: EntityKind,
    /// Its name as [`normalised`] folds it.
    pub key: String,
}

/// Why two entities are held to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Known names of one thing ("NYC", "New York City").
    KnownAlias,
    /// The one full name of the scope that has this first name.
    FirstName,
    /// The one full name of the scope that has this surname.
    Surname,
    /// The first letters of the one name of many words.
    Acronym,
    /// Spelled nearly alike.
    Similarity,
    /// Somebody said so.
    Asked,
}

impl Reason {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::KnownAlias => "known-alias",
            Reason::FirstName => "first-name",
            Reason::Surname => "surname",
            Reason::Acronym => "acronym",
            Reason::Similarity => "similarity",
            Reason::Asked => "asked",
        }
    }
}

/// One entity counts as a part of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// The entity that is no longer one of its own.
    pub from: EntityKey,
    /// The entity that it is.
    pub into: EntityKey,
    /// Why.
    pub reason: Reason,
    /// How sure that is, from 0 to 1.
    pub score: f32,
}

/// A merge that cannot be applied or undone; the state is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MergeError {
    /// There is no such entity in the scope.
    #[error("there is no {} {:?} here", .0.kind.name(), .0.key)]
    Unknown(EntityKey),
    /// They are of different kinds.
    #[error("a {} is no {}", .from.name(), .into.name())]
    Kinds {
        /// The kind of the one.
        from: EntityKind,
        /// The kind of the other.
        into: EntityKind,
    },
    /// It is merged already; undo that first.
    #[error("{} {:?} is merged already; undo that merge first", .0.kind.name(), .0.key)]
    Merged(EntityKey),
    /// They are one already, or would be merged in a circle.
    #[error("{} {:?} would be merged into itself", .0.kind.name(), .0.key)]
    Circle(EntityKey),
    /// There is no such merge to undo.
    #[error("{} {:?} is not merged so", .0.kind.name(), .0.key)]
    NotMerged(EntityKey),
}

/// The entities of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entities {
    /// Each entity's spellings, and how often each was used.
    spellings: BTreeMap<EntityKey, BTreeMap<String, u32>>,
    /// Invariant: follows no circle, and both ends are in `spellings` and of one kind.
    merged: BTreeMap<EntityKey, EntityKey>,
}

impl Entities {
    /// Counts a mention, and says whose it is before any merge. None where its name has no letter or figure.
    pub fn add(&mut self, mention: &EntityMention) -> Option<EntityKey> {
        let key = EntityKey { kind: mention.kind, key: normalised(mention.kind, &mention.name) };
        if key.key.is_empty() {
            return None;
        }
        let spellings = self.spellings.entry(key.clone()).or_default();
        *spellings.entry(mention.name.clone()).or_default() += 1;
        Some(key)
    }

    /// The entity that stands for this one after all merges.
    pub fn canonical<'k>(&'k self, mut key: &'k EntityKey) -> &'k EntityKey {
        while let Some(into) = self.merged.get(key) {
            key = into;
        }
        key
    }

    /// The name most used for an entity itself; of two used alike, the first in order of letters.
    pub fn name(&self, key: &EntityKey) -> Option<&str> {
        let spellings = self.spellings.get(key)?;
        let most = spellings.iter().max_by(|one, other| one.1.cmp(other.1).then(other.0.cmp(one.0)));
        most.map(|(name, _)| name.as_str())
    }

    /// All spellings of an entity and of those merged into it, in order.
    pub fn aliases(&self, key: &EntityKey) -> Vec<&str> {
        let canonical = self.canonical(key);
        let members = self.spellings.iter().filter(|(member, _)| self.canonical(member) == canonical);
        let mut aliases: Vec<&str> = members.flat_map(|(_, spellings)| spellings.keys().map(String::as_str)).collect();
        aliases.sort_unstable();
        aliases.dedup();
        aliases
    }

    /// The entities that are merged into no other, in order.
    pub fn canonicals(&self) -> impl Iterator<Item = &EntityKey> {
        self.spellings.keys().filter(|key| !self.merged.contains_key(key))
    }

    /// Merges that the names speak for, at most one for each entity; none is applied.
    pub fn proposals(&self) -> Vec<Merge> {
        proposals::of(self)
    }

    /// Links one entity to another.
    ///
    /// # Errors
    /// Where the link would have no end, two kinds, or make a circle, and where `from` is linked already.
    pub fn apply(&mut self, merge: &Merge) -> Result<(), MergeError> {
        for end in [&merge.from, &merge.into] {
            if !self.spellings.contains_key(end) {
                return Err(MergeError::Unknown(end.clone()));
            }
        }
        if merge.from.kind != merge.into.kind {
            return Err(MergeError::Kinds { from: merge.from.kind, into: merge.into.kind });
        }
        if self.merged.contains_key(&merge.from) {
            return Err(MergeError::Merged(merge.from.clone()));
        }
        if *self.canonical(&merge.into) == merge.from {
            return Err(MergeError::Circle(merge.from.clone()));
        }
        self.merged.insert(merge.from.clone(), merge.into.clone());
        Ok(())
    }

    /// Takes the link of a merge away again.
    ///
    /// # Errors
    /// Where there is no such link.
    pub fn undo(&mut self, merge: &Merge) -> Result<(), MergeError> {
        if self.merged.get(&merge.from) != Some(&merge.into) {
            return Err(MergeError::NotMerged(merge.from.clone()));
        }
        self.merged.remove(&merge.from);
        Ok(())
    }

    fn uses(&self, key: &EntityKey) -> u32 {
        self.spellings.get(key).map_or(0, |spellings| spellings.values().sum())
    }
}
