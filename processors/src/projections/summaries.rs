//! The `summaries` projection: messages with their edits, and what of them is forgotten or put into the archive, into the summaries
//! store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{Checkpoints, Digest, Event, Topic};

use super::{forgettings, version::version};
use crate::{
    StoreError,
    message::Message,
    summaries::{Archived, Said, SummaryStore},
};

/// Counts up when what [`SummaryProjection`] keeps of an event changes.
const CODE: u32 = 2;
const INPUTS: [Topic; 2] = [Topic::Messages, Topic::Memory];

/// Keeps what says most of each thread, and how much was said.
pub struct SummaryProjection {
    /// The store, for queries.
    pub store: Arc<SummaryStore>,
}

impl SummaryProjection {
    /// The projection's name.
    pub const NAME: &str = "summaries";

    /// The view's version.
    pub fn version() -> String {
        version(CODE, &INPUTS, None)
    }

    /// Opens the store in a directory.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(SummaryStore::open(directory)?) })
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
        Ok(self.store.apply(&said, &forgettings(events), &archived, checkpoints)?)
    }

    fn digest(&self) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest()?)
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
