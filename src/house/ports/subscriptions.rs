//! Subscriptions.

use std::sync::Arc;

use meshlog_connectors::{
    api::{NewSubscription, Page, Subscription},
    ports::{Answer, PageRequest, Subscriptions},
    problem::Problem,
};
use meshlog_pipeline::NewEvent;
use meshlog_schemas::{Event, EventId, SubscriptionAdded, SubscriptionRemoved, Trust};

use super::{blocking, from_cursor, ingest::SOURCE, problems, to_cursor};
use crate::house::rooms::Rooms;

pub(super) struct SubscriptionsPort {
    rooms: Arc<Rooms>,
    /// One change at a time, so that looking and appending are one step.
    changing: tokio::sync::Mutex<()>,
}

impl SubscriptionsPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self { rooms, changing: tokio::sync::Mutex::new(()) }
    }

    async fn append(&self, event: Event) -> Result<(), Problem> {
        let event = NewEvent::first(EventId::fresh(), SOURCE, Trust::Client, event);
        self.rooms.events.append(vec![event], None).await.map_err(problems::from_publish)?;
        Ok(())
    }

    async fn all(&self) -> Result<Vec<SubscriptionAdded>, Problem> {
        blocking(&self.rooms, |rooms| {
            rooms.subscriptions.look(|table| table.iter().cloned().collect()).map_err(problems::from_log)
        })
        .await
    }
}

impl Subscriptions for SubscriptionsPort {
    fn add(&self, new: NewSubscription) -> Answer<'_, Subscription> {
        Box::pin(async move {
            let _turn = self.changing.lock().await;
            let added = SubscriptionAdded {
                subscription_id: EventId::fresh(),
                subscriber: new.subscriber,
                space: new.space,
                thread: new.thread,
                author: new.author,
            };
            let same = |standing: &SubscriptionAdded| {
                *standing == SubscriptionAdded { subscription_id: standing.subscription_id, ..added.clone() }
            };
            if let Some(standing) = self.all().await?.into_iter().find(same) {
                return Ok(view(standing));
            }
            self.append(Event::SubscriptionAdded(added.clone())).await?;
            Ok(view(added))
        })
    }

    fn list(&self, page: PageRequest) -> Answer<'_, Page<Subscription>> {
        Box::pin(async move {
            let from = page.cursor.as_deref().map(from_cursor).transpose()?.unwrap_or_default();
            let mut rest: Vec<_> = self.all().await?;
            rest.retain(|standing| standing.subscription_id.0.as_bytes().as_slice() >= from.as_slice());
            let next = rest.get(page.items).map(|standing| to_cursor(standing.subscription_id.0.as_bytes()));
            rest.truncate(page.items);
            Ok(Page { items: rest.into_iter().map(view).collect(), next })
        })
    }

    fn remove(&self, id: String) -> Answer<'_, Option<Subscription>> {
        Box::pin(async move {
            let _turn = self.changing.lock().await;
            let Ok(id) = id.parse::<EventId>() else { return Ok(None) };
            let standing = self.all().await?.into_iter().find(|standing| standing.subscription_id == id);
            let Some(standing) = standing else { return Ok(None) };
            self.append(Event::SubscriptionRemoved(SubscriptionRemoved { subscription_id: id })).await?;
            Ok(Some(view(standing)))
        })
    }
}

fn view(standing: SubscriptionAdded) -> Subscription {
    Subscription {
        id: standing.subscription_id.to_string(),
        subscriber: standing.subscriber,
        space: standing.space,
        thread: standing.thread,
        author: standing.author,
    }
}
