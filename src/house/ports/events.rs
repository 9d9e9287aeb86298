//! Reading the log.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{
    future::select_all,
    stream::{self, StreamExt},
};
use meshlog_connectors::{
    api::EventView,
    ports::{Answer, Events, ReadLimit, Tail},
    problem::{Code, Problem},
};
use meshlog_pipeline::Log as _;
use meshlog_schemas::{Checkpoints, Partition};

use super::{blocking, problems};
use crate::house::{event_view::event_view, rooms::Rooms};

/// What a tail reads at once.
const TAIL_LIMIT: ReadLimit = ReadLimit { events: 256, bytes: 1024 * 1024 };

pub(super) struct EventsPort(Arc<Rooms>);

impl EventsPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Events for EventsPort {
    fn read(&self, from: Checkpoints, limit: ReadLimit) -> Answer<'_, Vec<EventView>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let (views, _) = read(rooms, &from, limit)?;
            Ok(views)
        }))
    }

    fn tail(&self, from: Checkpoints) -> Answer<'_, Tail> {
        let rooms = self.0.clone();
        Box::pin(async move {
            let follower = Follower { rooms, from, ready: VecDeque::new(), has_failed: false };
            let tail: Tail = stream::unfold(follower, |mut follower| async move {
                let next = follower.next().await?;
                Some((next, follower))
            })
            .boxed();
            Ok(tail)
        })
    }
}

/// Follows partitions from where it stands.
struct Follower {
    rooms: Arc<Rooms>,
    from: Checkpoints,
    ready: VecDeque<EventView>,
    has_failed: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<EventView, Problem>> {
        loop {
            if let Some(view) = self.ready.pop_front() {
                return Some(Ok(view));
            }
            if self.has_failed {
                return None;
            }
            if let Err(problem) = self.fill().await {
                self.has_failed = true;
                return Some(Err(problem));
            }
            if self.ready.is_empty() && self.rooms.events.log().stopped().is_some() {
                return None;
            }
        }
    }

    /// Reads what there is; if there is nothing, waits for something. Listens before it looks, so no ring is lost.
    async fn fill(&mut self) -> Result<(), Problem> {
        let log = self.rooms.embedded.clone();
        let mut topics: Vec<_> = self.from.iter().map(|(partition, _)| partition.topic).collect();
        topics.dedup();
        let listeners: Vec<_> = topics.iter().map(|topic| log.appended(*topic).listen()).collect();
        let from = self.from.clone();
        let (views, next) = blocking(&self.rooms, move |rooms| read(rooms, &from, TAIL_LIMIT)).await?;
        if views.is_empty() && !listeners.is_empty() {
            select_all(listeners).await;
        }
        self.from = next;
        self.ready.extend(views);
        Ok(())
    }
}

/// Events of the partitions in `from`, each from its offset on, and where to go on.
fn read(rooms: &Rooms, from: &Checkpoints, limit: ReadLimit) -> Result<(Vec<EventView>, Checkpoints), Problem> {
    let mut next = from.clone();
    let mut views = Vec::new();
    let mut bytes = limit.bytes;
    for (partition, offset) in from.iter() {
        if views.len() >= limit.events || bytes == 0 {
            break;
        }
        let wanted = meshlog_pipeline::ReadLimit { records: limit.events - views.len(), bytes };
        let entries = rooms.events.read(known(rooms, partition)?, offset, wanted).map_err(problems::from_log)?;
        next.advance(partition, offset + entries.len() as u64);
        for entry in entries {
            let view = event_view(entry);
            bytes = bytes.saturating_sub(view.data.to_string().len());
            views.push(view);
        }
    }
    Ok((views, next))
}

fn known(rooms: &Rooms, partition: Partition) -> Result<Partition, Problem> {
    if rooms.events.partitions(partition.topic).contains(&partition) {
        return Ok(partition);
    }
    let detail = format!("there is no partition {partition}");
    Err(Problem::new(Code::UnknownPartition, detail, "GET /v1/topics lists topics and partitions"))
}
