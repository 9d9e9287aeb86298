//! Taking messages in.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use meshlog_connectors::{
    api::WaitLevel,
    http::Forwarder,
    ports::{Answer, CheckedMessage, Ingest, Refusal, Stored},
    problem::{Code, Problem},
};
use meshlog_pipeline::{NewEvent, ReadLimit, Receipt, now_micros};
use meshlog_schemas::{Checkpoints, Event, EventId, MessageAccepted, Partition, Topic, Trust};

use super::{blocking, problems, reading};
use crate::house::rooms::{Reading, Rooms};

/// Who made the events that the gateway appends.
pub(super) const SOURCE: &str = "/gateway/http";
/// For how long an append may wait for a log that has trouble before its sender is told. A sender that waited longer would
/// hold its connection for nothing.
const LONGEST_TROUBLE: Duration = Duration::from_secs(10);
/// How often it is looked whether the log has trouble.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What the journey to a query node and back may take beyond the wait itself.
const JOURNEY: Duration = Duration::from_secs(2);

pub(super) struct IngestPort(Arc<Rooms>);

impl IngestPort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Ingest for IngestPort {
    fn accept(&self, messages: Vec<CheckedMessage>) -> Answer<'_, Vec<Result<Stored, Refusal>>> {
        Box::pin(async move {
            if !self.0.takes_messages {
                let help = "send messages to a gateway (\"meshlog gateway\")";
                return Err(Problem::new(Code::NotHere, "this node takes no messages", help));
            }
            // Whether the sender gave a time is needed to tell a repeated message from a changed one.
            let times_given: Vec<bool> = messages.iter().map(|message| message.sent_at.is_some()).collect();
            let events: Vec<NewEvent> = messages.into_iter().map(to_event).collect();
            let sent = events.clone();
            let receipts = append(&self.0, events).await?;
            if receipts.iter().all(|receipt| !receipt.duplicate) {
                return Ok(sent.iter().zip(receipts).map(|(event, receipt)| Ok(stored(event, receipt))).collect());
            }
            blocking(&self.0, move |rooms| {
                let answers = sent.iter().zip(receipts).zip(times_given);
                answers.map(|((event, receipt), time_given)| answer(rooms, event, receipt, time_given)).collect()
            })
            .await
        })
    }

    fn wait(&self, written: Checkpoints, level: WaitLevel, deadline: Instant) -> Answer<'_, WaitLevel> {
        Box::pin(async move {
            let deadline = tokio::time::Instant::from_std(deadline);
            if level == WaitLevel::Stored {
                return Ok(WaitLevel::Stored);
            }
            if let (None, Some(nodes)) = (&self.0.reading, &self.0.queries) {
                return elsewhere(nodes, &written, level, deadline).await;
            }
            let reading = reading(&self.0)?;
            // What other shares have, their nodes wait for.
            let held = reading.events.share();
            let held_of = |is_wanted: fn(Topic) -> bool| -> Checkpoints {
                written.iter().filter(|(partition, _)| held.holds(*partition) && is_wanted(partition.topic)).collect()
            };
            // What is embedded, and what only views read.
            let viewed = held_of(is_only_viewed);
            let written = held_of(|topic| !is_only_viewed(topic));
            let embedded = reading.embedded.as_ref();
            let embedded = embedded.ok_or_else(|| Problem::internal("nothing embeds here"))?;
            if tokio::time::timeout_at(deadline, embedded.reaches(&written)).await.is_err() {
                return Ok(WaitLevel::Stored);
            }
            if level == WaitLevel::Embedded {
                return Ok(WaitLevel::Embedded);
            }
            match tokio::time::timeout_at(deadline, self.indexed(reading, &written, &viewed)).await {
                Ok(indexed) => indexed.map(|()| WaitLevel::Indexed),
                Err(_) => Ok(WaitLevel::Embedded),
            }
        })
    }
}

/// Has a query node wait.
async fn elsewhere(
    nodes: &Forwarder,
    written: &Checkpoints,
    level: WaitLevel,
    deadline: tokio::time::Instant,
) -> Result<WaitLevel, Problem> {
    let position = |(partition, next): (Partition, u64)| Some(format!("{partition}/{}", next.checked_sub(1)?));
    let after = written.iter().filter_map(position).collect::<Vec<_>>().join(",");
    let left = deadline.saturating_duration_since(tokio::time::Instant::now());
    let question = format!("/v1/reached?after={after}&level={level}&timeout_ms={}", left.as_millis());
    #[derive(serde::Deserialize)]
    struct Reached {
        reached: WaitLevel,
    }
    let answer = nodes.get(&question, left + JOURNEY).await?;
    let Reached { reached } = serde_json::from_slice(&answer)
        .map_err(|error| Problem::internal(format!("the answer of a query node cannot be read: {error}")))?;
    Ok(reached)
}

impl IngestPort {
    /// Waits for the views. The embedder has passed `written` already, so the vectors of those messages lie before the
    /// present end of the embeddings.
    async fn indexed(&self, reading: &Reading, written: &Checkpoints, viewed: &Checkpoints) -> Result<(), Problem> {
        let rooms = &self.0;
        // Of embeddings that another process appended this one may not know yet.
        let synchronize = |rooms: &Rooms| rooms.events.log().synchronize(Topic::Embeddings).map_err(problems::from_log);
        blocking(rooms, synchronize).await?;
        let mut target: Checkpoints = written.iter().chain(viewed.iter()).collect();
        for partition in reading.events.partitions(Topic::Embeddings) {
            target.advance(partition, rooms.events.log().bounds(partition).map_err(problems::from_log)?.end);
        }
        for (_, inputs, progress) in reading.views.inputs() {
            let read = target.iter().filter(|(partition, _)| inputs.contains(&partition.topic)).collect();
            progress.reaches(&read).await;
        }
        Ok(())
    }
}

/// Appends, and waits for that; not for ever where the log has trouble.
pub(super) async fn append(rooms: &Rooms, events: Vec<NewEvent>) -> Result<Vec<Receipt>, Problem> {
    let log = rooms.events.log();
    let waiting = |reason: String, what: &str| {
        let help = "send it again in a moment; where what is sent has an id, nothing is stored twice";
        Problem::new(Code::Unavailable, format!("the log does not answer ({reason}); {what}"), help).retry_after(2)
    };
    if let Some(reason) = log.trouble() {
        return Err(waiting(reason, "nothing was taken in"));
    }
    let mut append = std::pin::pin!(rooms.events.append(events, None));
    let mut troubled_since = None;
    loop {
        match tokio::time::timeout(LOOK_EVERY, &mut append).await {
            Ok(receipts) => return receipts.map_err(problems::from_publish),
            Err(_) => match log.trouble() {
                None => troubled_since = None,
                Some(reason) if troubled_since.get_or_insert_with(Instant::now).elapsed() > LONGEST_TROUBLE => {
                    return Err(waiting(reason, "what was sent may be stored once it does"));
                }
                Some(_) => {}
            },
        }
    }
}

fn to_event(message: CheckedMessage) -> NewEvent {
    let id = message.source_id.as_ref().map(|source_id| EventId::of_source(&message.space, source_id));
    let is_named = id.is_some();
    let event = Event::MessageAccepted(MessageAccepted {
        source_id: message.source_id,
        space: message.space,
        thread: message.thread,
        author: message.author,
        role: message.role.name().to_owned(),
        sent_at: message.sent_at.map_or_else(now_micros, |time| time.micros()),
        text: message.text,
    });
    let event = NewEvent::first(id.unwrap_or_else(EventId::fresh), SOURCE, Trust::Client, event);
    if is_named { event.once() } else { event }
}

fn stored(event: &NewEvent, receipt: Receipt) -> Stored {
    Stored { id: event.envelope.id.to_string(), position: receipt.position, duplicate: receipt.duplicate }
}

/// Whether nothing is embedded of a topic: its events are there as soon as the views have read them.
fn is_only_viewed(topic: Topic) -> bool {
    matches!(topic, Topic::Calls | Topic::Knowledge | Topic::Memory)
}

/// A duplicate is one only if it says the same; the same id with another content is refused, never dropped in silence.
fn answer(
    rooms: &Rooms,
    event: &NewEvent,
    receipt: Receipt,
    time_given: bool,
) -> Result<Result<Stored, Refusal>, Problem> {
    if !receipt.duplicate {
        return Ok(Ok(stored(event, receipt)));
    }
    let one = ReadLimit { records: 1, bytes: usize::MAX };
    let position = receipt.position;
    let found = rooms.events.read(position.partition, position.offset, one).map_err(problems::from_log)?;
    let is_same = match found.first() {
        Some(Ok(first)) => says_the_same(&first.event, &event.event, time_given),
        // What cannot be read any more (it was erased) cannot be compared; its id is taken all the same.
        _ => true,
    };
    if is_same {
        return Ok(Ok(stored(event, receipt)));
    }
    Ok(Err(Refusal {
        code: Code::IdConflict,
        detail: format!("the id was used for another message, at {position}, which differs from this one"),
    }))
}

fn says_the_same(first: &Event, second: &Event, time_given: bool) -> bool {
    let (Event::MessageAccepted(first), Event::MessageAccepted(second)) = (first, second) else {
        return false;
    };
    let second = if time_given { second.clone() } else { MessageAccepted { sent_at: first.sent_at, ..second.clone() } };
    *first == second
}
