//! What the graph holds, as the gateway shows it.

use meshlog_connectors::{
    api::{
        Fact, FactSource, FoundNode, GraphEdge, GraphNode, GraphNodeName, Insight, MergedName, TimelineEntry, Timestamp,
    },
    problem::Problem,
};
use meshlog_processors::{
    Micros,
    graph::{Entity, FactAnswer, FactEnd, Hit, InsightAnswer, Moment, Neighbour, Source, Standing},
    knowledge::entities::EntityKind,
};
use uuid::Uuid;

pub(super) fn found(hit: Hit) -> FoundNode {
    FoundNode {
        node_id: hit.id.to_string(),
        node_type: node_type(hit.kind).to_owned(),
        kind: hit.kind.name().to_owned(),
        name: hit.name,
        mentions: hit.mentions,
    }
}

pub(super) fn node(space: &str, entity: Entity) -> GraphNode {
    let merged = entity.merged.into_iter().map(|merged| MergedName {
        name: merged.name,
        reason: merged.reason,
        confidence: share(merged.confidence),
        author: merged.author,
        at: Timestamp::from_micros(merged.at),
    });
    GraphNode {
        node_id: entity.id.to_string(),
        space: space.to_owned(),
        node_type: node_type(entity.kind).to_owned(),
        kind: entity.kind.name().to_owned(),
        name: entity.name,
        aliases: entity.aliases.into_iter().map(|(alias, _)| alias).collect(),
        merged: merged.collect(),
        mentions: entity.mentions,
        degree: entity.degree,
        facts: entity.facts,
        first_at: Timestamp::from_micros(entity.first_said),
        last_at: Timestamp::from_micros(entity.last_said),
    }
}

pub(super) fn name(entity: &Entity) -> GraphNodeName {
    GraphNodeName {
        node_id: Some(entity.id.to_string()),
        kind: Some(entity.kind.name().to_owned()),
        name: entity.name.clone(),
    }
}

pub(super) fn edge(neighbour: Neighbour) -> GraphEdge {
    let Neighbour { id, kind, name, weight, together, relations } = neighbour;
    let node = GraphNodeName { node_id: Some(id.to_string()), kind: Some(kind.name().to_owned()), name };
    GraphEdge { node, weight, together, relations }
}

/// A fact as it stands at `now`.
pub(super) fn fact(space: &str, fact: FactAnswer, now: Micros) -> Fact {
    let state = match fact.standing {
        Standing::NotAsserted => "unsettled",
        Standing::Unsure => "doubtful",
        Standing::Corrected => "corrected",
        _ if fact.from.is_some_and(|from| from > now) => "future",
        _ if fact.until.is_some_and(|until| until <= now) => "past",
        _ => "current",
    };
    Fact {
        fact_id: fact.fact_id.to_string(),
        space: space.to_owned(),
        subject: end(fact.subject),
        relation: fact.relation,
        object: end(fact.object),
        polarity: fact.polarity,
        modality: fact.modality,
        state: state.to_owned(),
        valid_from: fact.from.map(Timestamp::from_micros),
        valid_until: fact.until.map(Timestamp::from_micros),
        closed_by: fact.closed_by.map(|id| id.to_string()),
        confidence: share(fact.confidence),
        sources: fact.sources.into_iter().map(source).collect(),
    }
}

fn end(end: FactEnd) -> GraphNodeName {
    // A phrase has an id to be looked for by, and is no node.
    let node_id = end.kind.map(|_| end.id.to_string());
    GraphNodeName { node_id, kind: end.kind.map(|kind| kind.name().to_owned()), name: end.name }
}

fn source(source: Source) -> FactSource {
    match source {
        Source::Message { message_id, start, end, thread, author, sent_at, found_by } => FactSource {
            message_id: Some(message_id.to_string()),
            thread_id: Some(thread),
            author,
            said_at: Timestamp::from_micros(sent_at),
            start: Some(start),
            end: Some(end),
            found_by,
        },
        Source::Correction { author, at, .. } => FactSource {
            message_id: None,
            thread_id: None,
            author,
            said_at: Timestamp::from_micros(at),
            start: None,
            end: None,
            found_by: Vec::new(),
        },
    }
}

/// A moment of a timeline; `look` finds the facts that were stated.
pub(super) fn moment(
    space: &str,
    moment: Moment,
    now: Micros,
    look: impl Fn(Uuid) -> Result<Option<FactAnswer>, Problem>,
) -> Result<TimelineEntry, Problem> {
    match moment {
        Moment::Message { message_id, sent_at, thread, author, mentions, facts } => {
            let facts = facts.into_iter().filter_map(|stated| look(stated.fact_id).transpose());
            let facts: Result<Vec<_>, Problem> = facts.map(|found| Ok(fact(space, found?, now))).collect();
            Ok(TimelineEntry {
                at: Timestamp::from_micros(sent_at),
                message_id: Some(message_id.to_string()),
                thread_id: Some(thread),
                author,
                mentions: mentions.into_iter().map(|(start, end)| [start, end]).collect(),
                facts: facts?,
            })
        }
        Moment::Correction { fact_id, at } => {
            let facts: Vec<_> = look(fact_id)?.into_iter().map(|found| fact(space, found, now)).collect();
            let by = facts.iter().flat_map(|fact| &fact.sources).find(|source| source.message_id.is_none());
            Ok(TimelineEntry {
                at: Timestamp::from_micros(at),
                message_id: None,
                thread_id: None,
                author: by.map(|source| source.author.clone()).unwrap_or_default(),
                mentions: Vec::new(),
                facts,
            })
        }
    }
}

pub(super) fn insight(insight: InsightAnswer) -> Insight {
    Insight {
        insight_id: insight.insight_id.to_string(),
        space: insight.space,
        thread: insight.thread,
        text: insight.text,
        sources: insight.sources.iter().map(Uuid::to_string).collect(),
        author: insight.author,
        reason: insight.reason,
        pinned_at: Timestamp::from_micros(insight.at),
    }
}

pub(super) fn node_type(kind: EntityKind) -> &'static str {
    if kind == EntityKind::Topic { "concept" } else { "entity" }
}

fn share(thousandths: u16) -> f64 {
    f64::from(thousandths) / 1000.0
}
