//! Reading ahead: a feed whose next batch is read and decoded while the last one is applied.
//!
//! Owns: the thread that reads for a follower that is far behind, and the bound on what waits between the two: one batch is
//! applied, one waits, one is read. Close to the end there is no such thread, so a new event takes no detour.
//! Never: moves the follower past what it was handed. What was read and not handed out is dropped and read again.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::{Builder, JoinHandle},
};

use meshlog_schemas::{Checkpoints, Topic};

use crate::{
    background::step_back,
    events::EventLog,
    feed::{BATCH_LIMIT, Feed, FeedBatch},
    log::LogError,
    record::ReadLimit,
};

/// What one batch takes at the most while far behind: large, since every batch is a commit of the follower.
const FAR_LIMIT: ReadLimit = ReadLimit { records: 8 * BATCH_LIMIT.records, bytes: 16 * 1024 * 1024 };
/// What a batch takes at the most where memory is given: beyond it, size gains nothing.
const MOST_RECORDS: usize = 128 * BATCH_LIMIT.records;
/// From this many events on a follower is far behind.
const FAR: u64 = 2 * BATCH_LIMIT.records as u64;
/// Batches that wait to be applied.
const WAITING: usize = 1;

/// A [`Feed`] that reads ahead while it is far behind. Dropping it, at any moment, ends the reading.
pub struct ReadAhead {
    events: EventLog,
    /// Goes on behind what was handed out.
    feed: Feed,
    until: Option<Checkpoints>,
    /// What one batch takes at the most while far behind.
    far: ReadLimit,
    reader: Option<Reader>,
}

impl ReadAhead {
    /// Goes on at `checkpoints`. With `until`, nothing at or behind those offsets is read.
    pub fn new(events: EventLog, inputs: &[Topic], checkpoints: Checkpoints, until: Option<Checkpoints>) -> Self {
        Self { feed: Feed::new(events.clone(), inputs, checkpoints), events, until, far: FAR_LIMIT, reader: None }
    }

    /// With batches so large that all of them take about so many bytes together, but for single events that are larger: a commit of much
    /// costs a follower less than many of little.
    pub fn with_memory(self, bytes: usize) -> Self {
        // One is applied, one waits, one is read.
        let bytes = (bytes / (WAITING + 2)).max(1);
        Self { far: ReadLimit { records: MOST_RECORDS, bytes }, ..self }
    }

    /// The next entries, or none at the end; see [`Feed::next`].
    ///
    /// # Errors
    /// As [`Feed::next`], once everything that was read before is handed out; or no thread can be had.
    pub fn read(&mut self) -> Result<FeedBatch, LogError> {
        if self.reader.is_none() && self.feed.behind(self.until.as_ref())? >= FAR {
            self.reader = Some(Reader::start(self.events.clone(), self.feed.clone(), self.until.clone(), self.far)?);
        }
        if let Some(reader) = &self.reader {
            if let Ok(read) = reader.batches.recv() {
                let batch = read?;
                self.feed.handed_out(&batch);
                return Ok(batch);
            }
            self.reader = None;
        }
        self.feed.next(BATCH_LIMIT, self.until.as_ref())
    }

    /// Where it goes on.
    pub fn checkpoints(&self) -> &Checkpoints {
        self.feed.checkpoints()
    }
}

/// The thread that reads ahead. It ends at the end of what there is, behind an error, or when nobody takes what it read.
struct Reader {
    // Before the thread, so that a drop lets go of it first and a thread that hands over does not wait for ever.
    batches: Receiver<Result<FeedBatch, LogError>>,
    _thread: Joined,
}

impl Reader {
    fn start(events: EventLog, mut feed: Feed, until: Option<Checkpoints>, limit: ReadLimit) -> Result<Self, LogError> {
        let (hand_over, batches) = sync_channel(WAITING);
        let read = move || {
            loop {
                let is_pressed = events.log().is_pressed();
                let read = step_back(is_pressed, || feed.next(limit, until.as_ref()));
                let is_last = match &read {
                    Ok(batch) if batch.is_empty() => return,
                    Ok(_) => false,
                    Err(_) => true,
                };
                if hand_over.send(read).is_err() || is_last {
                    return;
                }
            }
        };
        let thread = Builder::new().name("read-ahead".to_owned()).spawn(read);
        let thread = thread.map_err(|error| LogError::Storage { action: "read ahead", cause: error.to_string() })?;
        Ok(Self { batches, _thread: Joined(Some(thread)) })
    }
}

/// A thread that has ended once this is dropped.
struct Joined(Option<JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        // A reader that panicked handed out nothing more: whoever reads on finds the cause itself.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use meshlog_schemas::{Event, EventId, Offset, Partition, Position, SubscriptionRemoved, Trust};
    use pollster::block_on;

    use super::*;
    use crate::{
        Appending, Batch, Bounds, ClearSealer, Log, MemoryLog, NewEvent, Record, Signal, StoredProgress, TopicLayout,
        default_layout,
    };

    const PARTITION: Partition = Partition { topic: Topic::Registry, id: 0 };

    /// A log whose record at one offset is damaged.
    struct Damaged(MemoryLog, Option<Offset>);

    impl Log for Damaged {
        fn layout(&self) -> &[TopicLayout] {
            self.0.layout()
        }

        fn append(&self, batch: Batch) -> Appending<'_> {
            self.0.append(batch)
        }

        fn bounds(&self, partition: Partition) -> Result<Bounds, LogError> {
            self.0.bounds(partition)
        }

        fn read(&self, partition: Partition, from: Offset, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
            let Some(damaged) = self.1.filter(|damaged| partition == PARTITION && from <= *damaged) else {
                return self.0.read(partition, from, limit);
            };
            if from == damaged {
                let position = Position { partition, offset: damaged };
                return Err(LogError::Corrupt { position, cause: "a bit flipped".into() });
            }
            let records = limit.records.min((damaged - from) as usize);
            self.0.read(partition, from, ReadLimit { records, ..limit })
        }

        fn appended(&self, topic: Topic) -> &Signal {
            self.0.appended(topic)
        }

        fn progress(&self, processor: &str) -> Result<StoredProgress, LogError> {
            self.0.progress(processor)
        }

        fn stopped(&self) -> Option<String> {
            self.0.stopped()
        }

        fn close(&self) {
            self.0.close();
        }
    }

    fn log(count: u64, damaged: Option<Offset>) -> (Arc<Damaged>, EventLog) {
        let log = Arc::new(Damaged(MemoryLog::new(default_layout()), damaged));
        let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
        let event = |_| {
            let event = Event::SubscriptionRemoved(SubscriptionRemoved { subscription_id: EventId::fresh() });
            NewEvent::first(EventId::fresh(), "/test", Trust::System, event)
        };
        block_on(events.append((0..count).map(event).collect(), None)).unwrap();
        (log, events)
    }

    fn ahead(events: &EventLog, from: Offset, until: Option<Offset>) -> ReadAhead {
        let at = |offset| Checkpoints::from_iter([(PARTITION, offset)]);
        ReadAhead::new(events.clone(), &[Topic::Registry], at(from), until.map(at))
    }

    /// Takes everything there is; answers the offsets, having checked the checkpoints that came with them.
    fn offsets(ahead: &mut ReadAhead) -> Result<Vec<Offset>, (Vec<Offset>, LogError)> {
        let mut offsets = Vec::new();
        loop {
            match ahead.read() {
                Ok(batch) if batch.is_empty() => return Ok(offsets),
                Ok(batch) => offsets.extend(batch.entries.iter().flatten().map(|event| event.position.offset)),
                Err(error) => return Err((offsets, error)),
            }
            assert_eq!(ahead.checkpoints().next(PARTITION), offsets.last().unwrap() + 1);
        }
    }

    #[test]
    fn a_follower_that_is_far_behind_is_handed_every_event_once_in_order() {
        let (_, events) = log(9 * FAR, None);
        let mut feed = ahead(&events, 7, None);
        assert!(feed.read().unwrap().entries.len() > BATCH_LIMIT.records, "batches are large while far behind");
        assert!(feed.reader.is_some());
        let handed = feed.checkpoints().next(PARTITION);
        assert_eq!(offsets(&mut feed).unwrap(), (handed..9 * FAR).collect::<Vec<_>>());
        assert!(feed.reader.is_none(), "the thread is gone at the end");
    }

    #[test]
    fn close_to_the_end_no_thread_stands_between() {
        let (_, events) = log(FAR - 1, None);
        let mut feed = ahead(&events, 0, None);
        assert_eq!(feed.read().unwrap().entries.len(), BATCH_LIMIT.records);
        assert!(feed.reader.is_none());
    }

    #[test]
    fn nothing_is_read_at_or_behind_the_bound() {
        let (_, events) = log(3 * FAR, None);
        assert_eq!(offsets(&mut ahead(&events, 0, Some(2 * FAR + 1))).unwrap().len() as u64, 2 * FAR + 1);
        assert_eq!(offsets(&mut ahead(&events, 5, Some(9))).unwrap(), [5, 6, 7, 8]);
    }

    #[test]
    fn dropped_at_any_moment_it_leaves_no_thread_and_nothing_is_passed_over() {
        let (log, events) = log(20 * FAR, None);
        let mut next = 0;
        for batches in [0, 1, 2, 1] {
            let mut feed = ahead(&events, next, None);
            for _ in 0..batches {
                assert_eq!(feed.read().unwrap().entries[0].as_ref().unwrap().position.offset, next);
                next = feed.checkpoints().next(PARTITION);
            }
            drop(feed);
            assert_eq!(Arc::strong_count(&log), 2, "the thread would hold the log");
        }
    }

    #[test]
    fn an_error_comes_with_its_position_behind_all_that_is_before_it() {
        let damaged = 7 * FAR + 3;
        let (_, events) = log(9 * FAR, Some(damaged));
        let mut feed = ahead(&events, 0, None);
        for round in 0..2 {
            let (read, error) = offsets(&mut feed).unwrap_err();
            let expected = if round == 0 { (0..damaged).collect() } else { vec![] };
            assert_eq!(read, expected);
            assert!(matches!(error, LogError::Corrupt { position, .. } if position.offset == damaged), "{error}");
        }
    }
}
