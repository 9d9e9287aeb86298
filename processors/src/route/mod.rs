//! The router: decides who is to be told of a message.
//!
//! Owns: the stage from `messages` to `deliveries`, by the subscriptions on `registry`.
//! Promises: a subscription that was acknowledged before a message is applied to it.
//! Never: delivers; that is a gateway's work.

#[cfg(test)]
mod simulation;
mod table;

use std::sync::{PoisonError, RwLock};

use meshlog_pipeline::{Derived, Stage, StageError, StoredEvent};
use meshlog_schemas::{Event, MessageRouted, SubscriptionAdded, Topic};

pub use table::SubscriptionTable;

use crate::Table as _;

/// The routing stage.
#[derive(Debug, Default)]
pub struct Router {
    subscriptions: RwLock<SubscriptionTable>,
}

impl Stage for Router {
    fn name(&self) -> &str {
        "route"
    }

    fn input(&self) -> Topic {
        Topic::Messages
    }

    fn tables(&self) -> &[Topic] {
        &[Topic::Registry]
    }

    fn observe(&self, event: &StoredEvent) {
        // An event is folded in by one insertion or removal, so a table is whole after any panic.
        self.subscriptions.write().unwrap_or_else(PoisonError::into_inner).observe(event);
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
        let mut derived = Vec::new();
        for (cause, event) in events.iter().enumerate() {
            let Event::MessageAccepted(message) = &event.event else { continue };
            derived.extend(subscriptions.matching(message).map(|subscription| Derived {
                cause,
                // A subscription tells a message at most once, so its id tells the deliveries of a message apart.
                index: subscription.subscription_id.to_string(),
                event: routed(event, subscription),
            }));
        }
        Ok(derived)
    }
}

fn routed(message: &StoredEvent, subscription: &SubscriptionAdded) -> Event {
    Event::MessageRouted(MessageRouted {
        message_id: message.envelope.id,
        recipient: subscription.subscriber.clone(),
        subscription_id: subscription.subscription_id,
        space: subscription.space.clone(),
        thread: match &message.event {
            Event::MessageAccepted(body) => body.thread.clone(),
            _ => String::new(),
        },
    })
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{EventId, SubscriptionRemoved};

    use super::*;
    use crate::testing::{message, stored};

    pub(super) fn subscription(subscriber: &str, thread: Option<&str>, author: Option<&str>) -> SubscriptionAdded {
        SubscriptionAdded {
            subscription_id: EventId::of_source(subscriber, &format!("{thread:?}{author:?}")),
            subscriber: subscriber.into(),
            space: "main".into(),
            thread: thread.map(Into::into),
            author: author.map(Into::into),
        }
    }

    fn recipients(router: &Router, thread: &str, author: &str) -> Vec<String> {
        let derived = router.process(&[stored(0, message("main", thread, author, "hello"))]).unwrap();
        let mut recipients: Vec<_> = derived
            .into_iter()
            .map(|derived| match derived.event {
                Event::MessageRouted(body) => body.recipient,
                other => panic!("{other:?}"),
            })
            .collect();
        recipients.sort_unstable();
        recipients
    }

    #[test]
    fn a_message_goes_to_those_whose_subscriptions_match() {
        let router = Router::default();
        let all = [
            subscription("everything", None, None),
            subscription("thread", Some("t"), None),
            subscription("author", None, Some("Ada")),
            subscription("other", Some("u"), None),
        ];
        for added in &all {
            router.observe(&stored(0, Event::SubscriptionAdded(added.clone())));
        }
        assert_eq!(recipients(&router, "t", "Ada"), ["author", "everything", "thread"]);
        assert_eq!(recipients(&router, "u", "Bob"), ["everything", "other"]);
        let removed = SubscriptionRemoved { subscription_id: all[0].subscription_id };
        router.observe(&stored(1, Event::SubscriptionRemoved(removed)));
        assert_eq!(recipients(&router, "u", "Bob"), ["other"]);
    }

    #[test]
    fn nobody_is_told_of_what_they_said() {
        let router = Router::default();
        router.observe(&stored(0, Event::SubscriptionAdded(subscription("Ada", None, None))));
        assert!(recipients(&router, "t", "Ada").is_empty());
    }
}
