//! The subscription table: who is to be told of what, as the registry's events say.
//!
//! Owns: the fold of subscription events, kept in memory; the registry is small and read from its start.
//! Never: reads the log. It is shown the events.

use std::collections::BTreeMap;

use meshlog_pipeline::StoredEvent;
use meshlog_schemas::{Event, EventId, MessageAccepted, SubscriptionAdded, Topic};

use crate::Table;

/// The subscriptions that stand, by id.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionTable(BTreeMap<EventId, SubscriptionAdded>);

impl Table for SubscriptionTable {
    const TOPIC: Topic = Topic::Registry;

    fn observe(&mut self, event: &StoredEvent) {
        match &event.event {
            Event::SubscriptionAdded(added) => {
                self.0.insert(added.subscription_id, added.clone());
            }
            Event::SubscriptionRemoved(removed) => {
                self.0.remove(&removed.subscription_id);
            }
            _ => {}
        }
    }
}

impl SubscriptionTable {
    /// All subscriptions, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &SubscriptionAdded> {
        self.0.values()
    }

    /// The subscription with this id.
    pub fn get(&self, id: EventId) -> Option<&SubscriptionAdded> {
        self.0.get(&id)
    }

    /// The subscriptions that a message matches, in the order of their ids. Nobody is told of what they said themselves.
    pub fn matching<'a>(&'a self, message: &'a MessageAccepted) -> impl Iterator<Item = &'a SubscriptionAdded> {
        self.iter().filter(|subscription| {
            subscription.space == message.space
                && subscription.thread.as_ref().is_none_or(|thread| *thread == message.thread)
                && subscription.author.as_ref().is_none_or(|author| *author == message.author)
                && subscription.subscriber != message.author
        })
    }
}
