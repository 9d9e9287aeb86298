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
    events::EventLog,
    feed::{BATCH_LIMIT, Feed, FeedBatch},
    log::LogError,
    record::ReadLimit,
};

/// What one batch takes at the most while far behind: large, since every batch is a commit of the follower.
const FAR_LIMIT: ReadLimit = ReadLimit { records: 8 * BATCH_LIMIT.records, bytes: 16 * 1024 * 1024 };
/// From this many events on a follower is far behind.
const FAR: u64 = 2 * BATCH_LIMIT.records as u64;
/// Batches that wait to be applied.
const WAITING: usize = 1;

/// A [`Feed`] that reads ahead while it is far behind. Dropping it, at any moment, ends the reading.
pub struct ReadAhead {
    /// Goes on behind what was handed out.
    feed: Feed,
    until: Option<Checkpoints>,
    reader: Option<Reader>,
}

impl ReadAhead {
    /// Goes on at `checkpoints`. With `until`, nothing at or behind those offsets is read.
    pub fn new(events: EventLog, inputs: &[Topic], checkpoints: Checkpoints, until: Option<Checkpoints>) -> Self {
        Self { feed: Feed::new(events, inputs, checkpoints), until, reader: None }
    }

    /// The next entries, or none at the end; see [`Feed::next`].
    ///
    /// # Errors
    /// As [`Feed::next`], once everything that was read before is handed out; or no thread can be had.
    pub fn next(&mut self) -> Result<FeedBatch, LogError> {
        if self.reader.is_none() && self.feed.behind(self.until.as_ref())? >= FAR {
            self.reader = Some(Reader::start(self.feed.clone(), self.until.clone())?);
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
    fn start(mut feed: Feed, until: Option<Checkpoints>) -> Result<Self, LogError> {
        let (hand_over, batches) = sync_channel(WAITING);
        let read = move || {
            loop {
                let read = feed.next(FAR_LIMIT, until.as_ref());
                let is_last = match &read {
                    Ok(batch) if batch.entries.is_empty() => return,
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
