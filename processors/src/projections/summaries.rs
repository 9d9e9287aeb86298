//! The `summaries` projection: messages with their edits, what of them is forgotten or put into the archive, and what a model
//! wrote of them, into the summaries store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Event, PartitionShare, SentenceWritten, Topic};

use super::{forgettings, version::version};
use crate::{
    StoreError,
    message::Message,
    summaries::{Archived, News, Said, Stretch, SummaryStore, Written},
};

/// Counts up when what [`SummaryProjection`] keeps of an event changes.
const CODE: u32 = 3;
const INPUTS: [Topic; 3] = [Topic::Messages, Topic::Memory, Topic::Knowledge];

/// Keeps what says most of each thread, and how much was said.
pub struct SummaryProjection {
    /// The store, for queries.
    pub store: Arc<SummaryStore>,
    /// The share of the partitions whose threads it has.
    share: PartitionShare,
}

impl SummaryProjection {
    /// The projection's name.
    pub const NAME: &str = "summaries";

    /// The view's version.
    pub fn version() -> String {
        version(CODE, &INPUTS, None)
    }

    /// Opens the store in a directory, for the threads of this share; with the memory that filling it may take, in bytes, where nobody asks it yet.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path, share: PartitionShare, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(SummaryStore::open_with(directory, memory)?), share })
    }

    /// Whether what is derived of a thread is of one that is here. `knowledge` is read whole, but where its messages never come nothing
    /// would ever take a summary's words away.
    fn is_here(&self, event: &StoredEvent) -> bool {
        self.share.beside(event.position.partition.id) == self.share
    }
}

impl Projection for SummaryProjection {
    fn inputs(&self) -> &[Topic] {
        &INPUTS
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.store.checkpoints()?)
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let said: Vec<_> = Message::all(events)
            .map(|message| Said {
                message_id: message.id.0,
                facets: message.facets,
                position: message.event.position,
                text: message.text,
                is_edit: message.edit.is_some(),
            })
            .collect();
        let archived: Vec<_> = events.iter().filter_map(archived).collect();
        let written: Vec<_> = events.iter().filter(|event| self.is_here(event)).filter_map(written).collect();
        let forgettings = forgettings(events);
        let news = News { said: &said, forgettings: &forgettings, archived: &archived, written: &written };
        Ok(self.store.apply(&news, checkpoints)?)
    }

    fn settle(&self) -> Result<(), ProjectionError> {
        Ok(self.store.settle()?)
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest_telling(fixed)?)
    }
}

fn archived(event: &StoredEvent) -> Option<Archived> {
    let Event::ThreadFiled(body) = &event.event else { return None };
    Some(Archived {
        space: body.space.clone(),
        thread: body.thread.clone(),
        is_archived: body.state == "archived",
        at: body.filed_at,
    })
}

/// What a model wrote; `None` where its numbers are none that a stretch has.
fn written(event: &StoredEvent) -> Option<Written> {
    let Event::ThreadSummarised(body) = &event.event else { return None };
    let number = |number: i64| u64::try_from(number).ok();
    let stretch = Stretch {
        level: body.level.try_into().ok()?,
        from: number(body.from)?,
        until: number(body.until)?,
        first: number(body.first_offset)?,
        turns: number(body.turns)?,
        edited: body.edited_offset.map(u64::try_from).transpose().ok()?,
    };
    let sentence = |sentence: &SentenceWritten| {
        (sentence.text.clone(), sentence.sources.iter().map(|source| source.0).collect::<Vec<_>>())
    };
    Some(Written {
        space: body.space.clone(),
        thread: body.thread.clone(),
        stretch,
        model: body.model.clone(),
        sentences: body.sentences.iter().map(sentence).collect(),
    })
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::ThreadSummarised;
    use tempfile::tempdir;

    use super::*;
    use crate::testing::stored;

    #[test]
    fn of_threads_that_are_in_another_share_no_summary_is_kept() {
        let mut summarised = stored(
            0,
            Event::ThreadSummarised(ThreadSummarised {
                space: "s".into(),
                thread: "t".into(),
                level: 0,
                from: 0,
                until: 4,
                first_offset: 0,
                turns: 4,
                edited_offset: None,
                model: "m".into(),
                told_at: 0,
                sentences: vec![SentenceWritten { text: "Ada moved to Oslo.".into(), sources: Vec::new() }],
            }),
        );
        let mut digests = Vec::new();
        for (id, share) in
            [(0, PartitionShare::ALL), (0, PartitionShare::new(1, 2).unwrap()), (1, PartitionShare::new(1, 2).unwrap())]
        {
            summarised.position.partition.id = id;
            let directory = tempdir().unwrap();
            let projection = SummaryProjection::open(directory.path(), share, None).unwrap();
            let empty = projection.digest().unwrap();
            projection.apply(std::slice::from_ref(&summarised), &Checkpoints::default()).unwrap();
            digests.push(projection.digest().unwrap() == empty);
        }
        assert_eq!(digests, [false, false, true]);
    }
}
