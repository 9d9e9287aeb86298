//! Keeping: what is past its space's retention is forgotten.
//!
//! Owns: the thread that looks what is due and writes it, on every node that takes messages in.
//! Promises: what several nodes find due is written once.
//! Never: decides what is due (see `meshlog_processors::RetentionTable`), or hides anything: that the views do.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use meshlog_pipeline::{EventLog, work_in_background};
use meshlog_processors::{Micros, RetentionTable, TableView};
use pollster::block_on;

/// How often it is looked whether more is past its time.
const EVERY: Duration = Duration::from_secs(10);
/// So many spaces are written of at once.
const AT_ONCE: usize = 256;

/// Keeps retentions, until it is dropped.
pub(super) struct Keeper {
    /// Dropped, it wakes and ends the thread.
    _stop: mpsc::Sender<()>,
}

impl Keeper {
    /// Starts to keep what `retention` says, by `clock`; without a thread to be had, nothing grows old.
    pub(super) fn start(
        events: EventLog,
        retention: Arc<TableView<RetentionTable>>,
        clock: impl Fn() -> Micros + Send + 'static,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let keeping = thread::Builder::new().name("keep".to_owned()).spawn(move || {
            work_in_background();
            while stopped.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                if let Err(error) = keep(&events, &retention, clock()) {
                    tracing::warn!(error, "what is past its retention could not be forgotten; it is tried again");
                }
            }
        });
        if let Err(error) = keeping {
            tracing::warn!(%error, "nothing keeps retentions here: what is past its time is remembered");
        }
        Self { _stop: stop }
    }
}

/// Writes what is due at `now`.
fn keep(events: &EventLog, retention: &TableView<RetentionTable>, now: Micros) -> Result<(), String> {
    // A log that has trouble would hold the thread, and with it the end of the process.
    if let Some(trouble) = events.log().trouble() {
        return Err(trouble);
    }
    let due = retention.look(|table| table.due(now)).map_err(|error| error.to_string())?;
    for some in due.chunks(AT_ONCE) {
        block_on(events.append(some.to_vec(), None)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use meshlog_pipeline::{ClearSealer, Feed, MemoryLog, NewEvent, Projection, ReadLimit, default_layout, now_micros};
    use meshlog_processors::projections::ThreadProjection;
    use meshlog_schemas::{Checkpoints, Event, EventId, MessageAccepted, RetentionSet, Topic, Trust};
    use tempfile::tempdir;

    use super::*;

    const DAY: Micros = 24 * 3_600_000_000;

    fn append(events: &EventLog, event: Event) -> EventId {
        let id = EventId::fresh();
        block_on(events.append(vec![NewEvent::first(id, "/test", Trust::Client, event)], None)).unwrap();
        id
    }

    /// How many events there are on `memory`, and whether a threads view of the whole log has the message.
    fn outcome(events: &EventLog, message: EventId) -> (usize, bool) {
        let directory = tempdir().unwrap();
        let view = ThreadProjection::open(directory.path(), None).unwrap();
        let limit = ReadLimit { records: 100, bytes: usize::MAX };
        let mut feed = Feed::new(events.clone(), &[Topic::Messages, Topic::Memory], Checkpoints::default());
        let read: Vec<_> = feed.next(limit, None).unwrap().entries.into_iter().map(Result::unwrap).collect();
        view.apply(&read, &Checkpoints::default()).unwrap();
        let of_memory = read.iter().filter(|event| event.position.partition.topic == Topic::Memory).count();
        (of_memory, view.store.message(message.0).unwrap().is_some())
    }

    #[test]
    fn a_message_is_forgotten_when_its_time_is_over_and_several_nodes_say_so_once() {
        let events = EventLog::new(Arc::new(MemoryLog::new(default_layout())), Arc::new(ClearSealer));
        let message = append(
            &events,
            Event::MessageAccepted(MessageAccepted {
                source_id: None,
                space: "main".into(),
                thread: "t".into(),
                author: "Ada".into(),
                role: "user".into(),
                // When it was said does not matter: an import of old conversations is remembered as long as others.
                sent_at: 0,
                text: "we sail at noon".into(),
            }),
        );
        let set = |keep_days| RetentionSet {
            space: "main".into(),
            keep_days,
            author: "Ada".into(),
            reason: String::new(),
            set_at: 0,
        };
        append(&events, Event::RetentionSet(set(Some(90))));
        let nodes = [(); 2].map(|()| TableView::new(events.clone()));
        let keep_all = |now| nodes.iter().for_each(|node| keep(&events, node, now).unwrap());

        let now = now_micros();
        keep_all(now + 90 * DAY - 60_000_000);
        assert_eq!(outcome(&events, message), (2, true));
        keep_all(now + 90 * DAY + 3_600_000_000);
        assert_eq!(outcome(&events, message), (3, false));
        keep_all(now + 90 * DAY + 3_600_000_000);
        assert_eq!(outcome(&events, message), (3, false), "nothing new is due within the hour");
        append(&events, Event::RetentionSet(set(None)));
        keep_all(now + 500 * DAY);
        assert_eq!(outcome(&events, message), (4, false), "what is forgotten stays so");
    }
}
