//! The `graph` projection: knowledge, and what people write into the memory, into the graph store.

use std::{path::Path, sync::Arc};

use meshlog_pipeline::{Projection, ProjectionError, StoredEvent};
use meshlog_schemas::{
    Checkpoints, Digest, EntityMentioned, Event, FactCorrected, FactStated, InsightPinned, KnowledgeExtracted,
    MemoryForgotten, Topic,
};
use uuid::Uuid;

use super::{forgetting, version::version};
use crate::{
    Facets, StoreError,
    graph::{
        Change, Correction, End, Fact, FactForgotten, GraphStore, Insight, InsightForgotten, Mention, Merged, Parted,
        Reading,
    },
    knowledge::{Extractor, entities::EntityKind},
};

/// Counts up when what [`GraphProjection`] keeps of an event changes.
const CODE: u32 = 2;
const INPUTS: [Topic; 2] = [Topic::Knowledge, Topic::Memory];

/// Keeps what is known.
pub struct GraphProjection {
    /// The store, for queries.
    pub store: Arc<GraphStore>,
}

impl GraphProjection {
    /// The projection's name.
    pub const NAME: &str = "graph";

    /// The view's version: that of the patterns too, for what older ones found is passed over.
    pub fn version() -> String {
        version(CODE, &INPUTS, Some(Extractor::ID))
    }

    /// Opens the store in a directory; with the memory that filling it may take, in bytes, where nobody asks it yet.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(directory: &Path, memory: Option<usize>) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(GraphStore::open_with(directory, memory)?) })
    }
}

impl Projection for GraphProjection {
    fn inputs(&self) -> &[Topic] {
        &INPUTS
    }

    fn checkpoints(&self) -> Result<Checkpoints, ProjectionError> {
        Ok(self.store.checkpoints()?)
    }

    fn apply(&self, events: &[StoredEvent], checkpoints: &Checkpoints) -> Result<(), ProjectionError> {
        let changes: Vec<Change> = events.iter().filter_map(change).collect();
        Ok(self.store.apply(&changes, checkpoints)?)
    }

    fn settle(&self) -> Result<(), ProjectionError> {
        Ok(self.store.settle()?)
    }

    fn digest_telling(&self, fixed: &dyn Fn()) -> Result<Digest, ProjectionError> {
        Ok(self.store.digest_telling(fixed)?)
    }
}

/// What an event tells the graph. Kinds and scopes that a newer program may know are passed over.
fn change(event: &StoredEvent) -> Option<Change> {
    let at = event.envelope.time;
    match &event.event {
        Event::KnowledgeExtracted(body) => reading(body).map(Change::Read),
        Event::EntitiesMerged(body) => Some(Change::Merged(Merged {
            space: body.space.clone(),
            kind: EntityKind::named(&body.kind)?,
            from: body.from.clone(),
            into: body.into.clone(),
            reason: body.reason.clone(),
            confidence: thousandths(body.confidence),
            author: body.author.clone(),
            at,
        })),
        Event::EntitiesParted(body) => Some(Change::Parted(Parted {
            space: body.space.clone(),
            kind: EntityKind::named(&body.kind)?,
            from: body.from.clone(),
            into: body.into.clone(),
            reason: body.reason.clone(),
            author: body.author.clone(),
            at,
        })),
        Event::InsightPinned(body) => Some(Change::Pinned(insight(body))),
        Event::FactCorrected(body) => Some(Change::Corrected(correction(body))),
        Event::MemoryForgotten(body) => forgotten(body),
        _ => None,
    }
}

/// What was found in a message; `None` where other patterns found it.
fn reading(body: &KnowledgeExtracted) -> Option<Reading> {
    let is_of_others = body.extractor.starts_with("patterns") && body.extractor != Extractor::ID;
    (!is_of_others).then(|| Reading {
        message_id: body.message_id.0,
        facets: Facets {
            space: body.space.clone(),
            thread: body.thread.clone(),
            author: body.author.clone(),
            role: body.role.clone(),
            sent_at: body.sent_at,
            accepted_at: body.accepted_at,
        },
        extractor: body.extractor.clone(),
        mentions: body.mentions.iter().filter_map(mention).collect(),
        facts: body.facts.iter().map(fact).collect(),
    })
}

fn mention(mention: &EntityMentioned) -> Option<Mention> {
    Some(Mention {
        start: place(mention.start),
        end: place(mention.end),
        kind: EntityKind::named(&mention.kind)?,
        name: mention.name.clone(),
        confidence: thousandths(mention.confidence),
    })
}

fn fact(fact: &FactStated) -> Fact {
    Fact {
        fact_id: fact.fact_id.0,
        start: place(fact.start),
        end: place(fact.end),
        subject: end(&fact.subject_kind, &fact.subject),
        relation: fact.relation.clone(),
        object: end(&fact.object_kind, &fact.object),
        polarity: fact.polarity.clone(),
        modality: fact.modality.clone(),
        valid_from: fact.valid_from,
        valid_until: fact.valid_until,
        confidence: thousandths(fact.confidence),
    }
}

fn insight(body: &InsightPinned) -> Insight {
    Insight {
        insight_id: body.insight_id.0,
        space: body.space.clone(),
        thread: body.thread.clone(),
        text: body.text.clone(),
        sources: body.sources.iter().map(|id| id.0).collect(),
        author: body.author.clone(),
        reason: body.reason.clone(),
        at: body.pinned_at,
    }
}

fn correction(body: &FactCorrected) -> Correction {
    Correction {
        at: body.corrected_at,
        fact_id: body.fact_id.0,
        corrects: body.corrects.0,
        space: body.space.clone(),
        subject: end(&body.subject_kind, &body.subject),
        relation: body.relation.clone(),
        object: end(&body.object_kind, &body.object),
        polarity: body.polarity.clone(),
        valid_from: body.valid_from,
        valid_until: body.valid_until,
        author: body.author.clone(),
        reason: body.reason.clone(),
    }
}

fn forgotten(body: &MemoryForgotten) -> Option<Change> {
    let (space, id) = (body.space.clone(), || body.target.parse::<Uuid>().ok());
    match body.scope.as_str() {
        "fact" => Some(Change::FactForgotten(FactForgotten { space, fact_id: id()? })),
        "insight" => {
            Some(Change::InsightForgotten(InsightForgotten { space, insight_id: id()?, until: body.forgotten_at }))
        }
        _ => forgetting(body).map(Change::Forgotten),
    }
}

fn end(kind: &str, name: &str) -> End {
    End { kind: EntityKind::named(kind), name: name.to_owned() }
}

/// A place in a text; damage of one is no more than a wrong place.
fn place(bytes: i32) -> u32 {
    bytes.max(0).unsigned_abs()
}

fn thousandths(confidence: i32) -> u16 {
    confidence.clamp(0, 1000) as u16
}
