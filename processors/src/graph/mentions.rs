//! Mentions: which messages name what a text names, under another name.
//!
//! Owns: what of a text is a name that the graph knows, and how much it says that a message has another name of the same.
//! Promises: follows from the graph alone, so that every node that holds it says the same of a message. Of each name of a node,
//! the newest [`MESSAGES`] messages are looked at; the more there are, the less each counts.
//!
//! A message that has the text's own name is left to the search for words, which finds it by that, and knows better how much a
//! word says: counted twice, names were measured to crowd out what was asked about them (docs/knowledge.md).

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    id::entity_id,
    keys,
    merge::Merge,
    row::{Counts, EntityRow},
    snapshot::Snapshot,
    tables::Table,
    write::IN_A_CORRECTION,
};
use crate::{
    Micros, StoreError,
    knowledge::{
        entities::{EntityKind, normalised},
        stretches::{stretches, words},
    },
};

/// So many names of a text are followed.
const NAMES: usize = 16;
/// So many messages of each, the newest.
const MESSAGES: usize = 256;

/// A message that names what a text names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Named {
    /// When it was said.
    pub sent_at: Micros,
    /// From 0 to 1: the sum of how rare each is that it names.
    pub rarity: f32,
}

impl Snapshot<'_> {
    /// The messages of a space that name what a text names, under a name of which no word is in the text.
    pub(super) fn naming(&self, space: &str, text: &str) -> Result<HashMap<Uuid, Named>, StoreError> {
        let mut naming: HashMap<Uuid, Named> = HashMap::new();
        let counts: Counts = self.get_json(Table::Counts, &keys::space(space))?.unwrap_or_default();
        let said: HashSet<String> = words(text).into_iter().map(|word| normalised(EntityKind::Person, word)).collect();
        let is_said =
            |id: &Uuid| self.links.key(*id).is_none_or(|name| name.split(' ').any(|word| said.contains(word)));
        let mut has_own_name = HashSet::new();
        for (id, row) in self.named_in(space, text)? {
            let (own, others): (Vec<_>, Vec<_>) = self.links.members(id).into_iter().partition(is_said);
            if others.is_empty() {
                continue;
            }
            let own = self.newest_messages(own)?;
            let places = self.newest_messages(others)?;
            // All of them where fewer are mentions than were looked for; else as many as there are mentions at the most.
            let is_all = own.len().max(places.len()) < MESSAGES;
            let messages = if is_all { (own.len() + places.len()) as i64 } else { row.mentions };
            let rarity = rarity(messages, counts.messages);
            has_own_name.extend(own.into_iter().map(|(_, message_id)| message_id));
            for (sent_at, message_id) in places {
                let named = naming.entry(message_id).or_insert(Named { sent_at, rarity: 0.0 });
                named.rarity = (named.rarity + rarity).min(1.0);
            }
        }
        naming.retain(|message_id, _| !has_own_name.contains(message_id));
        Ok(naming)
    }

    /// What a text names, longer names before those that are a part of them.
    pub(super) fn named_in(&self, space: &str, text: &str) -> Result<Vec<(Uuid, EntityRow)>, StoreError> {
        let words = words(text);
        let mut is_taken = vec![false; words.len()];
        let mut named: Vec<(Uuid, EntityRow)> = Vec::new();
        for stretch in stretches(&words) {
            if is_taken[stretch.words.clone()].contains(&true) {
                continue;
            }
            for id in EntityKind::ALL.into_iter().filter_map(|kind| entity_id(space, kind, &stretch.name)) {
                let Some(row) = self.gathered(space, id)? else { continue };
                is_taken[stretch.words.clone()].fill(true);
                let id = self.links.canonical(id);
                if named.iter().all(|(known, _)| *known != id) {
                    named.push((id, row));
                }
            }
            if named.len() >= NAMES {
                break;
            }
        }
        Ok(named)
    }

    /// The newest messages that have one of these names.
    fn newest_messages(&self, names: Vec<Uuid>) -> Result<Vec<(Micros, Uuid)>, StoreError> {
        let moments = |member: Uuid| {
            self.rows(Table::Timeline, member.as_bytes()).rev().map(|row| {
                let (key, value) = row?;
                let place = keys::last_place(&key).ok_or_else(|| self.damaged())?;
                Ok((keys::turned(place), value.first() == Some(&IN_A_CORRECTION)))
            })
        };
        let mut places = Vec::new();
        for moment in Merge::new(names.into_iter().map(moments)) {
            let (place, is_correction) = moment?;
            if !is_correction {
                places.push(keys::of_place(keys::turned(place)));
            }
            if places.len() == MESSAGES {
                break;
            }
        }
        Ok(places)
    }
}

/// From 0 for what every message names to 1 for what one does.
fn rarity(messages: i64, of: i64) -> f32 {
    let (messages, of) = (messages.max(1) as f32, of.max(1) as f32);
    if of <= messages { 0.0 } else { (of / messages).ln() / of.ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_message_names_says_nothing_and_what_one_does_says_most() {
        assert_eq!((rarity(100, 100), rarity(1, 100), rarity(0, 0)), (0.0, 1.0, 0.0));
        assert!(rarity(2, 100) > rarity(20, 100) && rarity(20, 100) > rarity(90, 100));
    }
}
