//! What the store has forgotten, and what of it still lies in its tables.
//!
//! Owns: the rows of the keyspace `forgettings`, and the same in memory.
//! Promises: what is hidden is in no answer; hidden is what is forgotten and not yet swept out of the tables.
//! Never: changes a table itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys;
use crate::{Facets, Forgetting, Forgotten, Scope};

/// A forgetting as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) forgetting: Forgetting,
    /// The turn from which on the tables are still to be swept; `None` when nothing is left.
    pub(super) sweep_from: Option<Vec<u8>>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// Everything that is forgotten.
    pub(super) forgotten: Forgotten,
    /// What of it may still lie in the tables.
    hidden: Forgotten,
    /// The same, by the keys of the rows.
    pub(super) unswept: BTreeMap<Vec<u8>, Kept>,
    /// The texts that were removed or replaced may still lie in files.
    pub(super) is_uncompacted: bool,
}

impl Kept {
    /// The turns that can be covered begin with this. A single message is looked up by its turn.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let Forgetting { space, scope, .. } = &self.forgetting;
        match scope {
            Scope::Message(_) => self.sweep_from.clone().unwrap_or_default(),
            Scope::Thread(thread) => keys::thread(space, thread),
            Scope::Author(_) | Scope::Space | Scope::Messages => keys::space(space),
        }
    }
}

impl Memory {
    /// Takes in a row.
    pub(super) fn add(&mut self, key: Vec<u8>, kept: Kept) {
        self.forgotten.add(&kept.forgetting);
        if kept.sweep_from.is_some() {
            self.hidden.add(&kept.forgetting);
            self.unswept.insert(key, kept);
        }
    }

    /// Whether anything may still lie in the tables.
    pub(super) fn is_unswept(&self) -> bool {
        !self.unswept.is_empty()
    }

    /// Whether a message is forgotten, and may still lie in the tables.
    pub(super) fn hides(&self, message_id: Uuid, facets: &Facets) -> bool {
        self.is_unswept() && self.hidden.covers(message_id, facets)
    }

    /// Hides no more than what is not swept.
    pub(super) fn hide_unswept(&mut self) {
        self.hidden = Forgotten::default();
        for kept in self.unswept.values() {
            self.hidden.add(&kept.forgetting);
        }
    }
}

/// The key of a forgetting's row.
pub(super) fn key(forgetting: &Forgetting) -> Vec<u8> {
    let mut key = keys::space(&forgetting.space);
    match &forgetting.scope {
        Scope::Message(id) => {
            key.push(b'm');
            key.extend_from_slice(id.as_bytes());
        }
        Scope::Thread(thread) => {
            key.push(b't');
            key.extend_from_slice(thread.as_bytes());
        }
        Scope::Author(author) => {
            key.push(b'a');
            key.extend_from_slice(author.as_bytes());
        }
        Scope::Space => key.push(b's'),
        Scope::Messages => key.push(b'n'),
    }
    key
}

/// Threads of which something is forgotten, by the keys of their rows.
pub(super) type Threads = BTreeSet<Vec<u8>>;
