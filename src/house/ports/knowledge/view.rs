//! What the graph holds, as the gateway shows it.

use meshlog_connectors::{
    api::{
        Fact, FactSource, FoundNode, GraphEdge, GraphNode, GraphNodeName, GraphNodeView, GraphTie, Insight, MergedName,
        TimelineEntry, Timestamp,
    },
    problem::Problem,
};
use meshlog_processors::{
    Micros,
    graph::{Entity, FactAnswer, FactEnd, Hit, InsightAnswer, Moment, Neighbour, Node, Source, Standing, Tie, Tied},
    knowledge::entities::EntityKind,
};
use uuid::Uuid;

/// The types of nodes that are no names.
const FACT: &str = "fact";
const INSIGHT: &str = "insight";

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

pub(super) fn name(node: &Node) -> GraphNodeName {
    let (id, kind, name) = match node {
        Node::Entity(entity) => (entity.id, entity.kind.name(), entity.name.clone()),
        Node::Fact(fact) => (fact.fact_id, FACT, statement(fact)),
        Node::Insight(insight) => (insight.insight_id, INSIGHT, insight.text.clone()),
    };
    GraphNodeName { node_id: Some(id.to_string()), kind: Some(kind.to_owned()), name }
}

/// What a fact states, in few words.
pub(super) fn statement(fact: &FactAnswer) -> String {
    let denied = if fact.polarity == "denied" { "not " } else { "" };
    format!("{} {denied}{} {}", fact.subject.name, fact.relation, fact.object.name)
}

/// A fact or an insight as a node, with what it leads to.
pub(super) fn tied(space: &str, node: Node, ties: Vec<Tie>, now: Micros) -> GraphNodeView {
    let GraphNodeName { node_id, kind, name } = name(&node);
    let times: Vec<Micros> = match &node {
        Node::Fact(fact) => fact.sources.iter().map(time_of).collect(),
        Node::Insight(insight) => vec![insight.at],
        Node::Entity(entity) => vec![entity.first_said, entity.last_said],
    };
    let kind = kind.unwrap_or_default();
    let of_relation = |relation: &str| ties.iter().filter(|tie| tie.relation == relation).count() as u64;
    let shown = GraphNode {
        node_id: node_id.unwrap_or_default(),
        space: space.to_owned(),
        node_type: kind.clone(),
        kind,
        name,
        aliases: Vec::new(),
        merged: Vec::new(),
        mentions: of_relation("source"),
        degree: ties.iter().filter(|tie| tie.entity().is_some()).count() as u64,
        facts: 0,
        first_at: Timestamp::from_micros(times.iter().copied().min().unwrap_or_default()),
        last_at: Timestamp::from_micros(times.iter().copied().max().unwrap_or_default()),
    };
    let edges = ties.iter().filter_map(edge_of_tie).collect();
    let (fact, insight) = match node {
        Node::Fact(found) => (Some(fact(space, found, now)), None),
        Node::Insight(found) => (None, Some(insight(found))),
        Node::Entity(_) => (None, None),
    };
    GraphNodeView { node: shown, edges, facts: Vec::new(), ties: ties.into_iter().map(tie).collect(), fact, insight }
}

fn time_of(source: &Source) -> Micros {
    match source {
        Source::Message { sent_at, .. } => *sent_at,
        Source::Correction { at, .. } => *at,
    }
}

fn tie(tie: Tie) -> GraphTie {
    let (node_type, node_id, name) = match tie.to {
        Tied::Entity(FactEnd { kind: None, name, .. }) => ("phrase", None, Some(name)),
        Tied::Entity(FactEnd { id, kind: Some(kind), name }) => (node_type(kind), Some(id), Some(name)),
        Tied::Fact(id) => (FACT, Some(id), None),
        Tied::Message(id) => ("message", Some(id), None),
    };
    GraphTie {
        relation: tie.relation.to_owned(),
        node_type: node_type.to_owned(),
        node_id: node_id.map(|id| id.to_string()),
        name,
    }
}

/// The edge from a fact or an insight to an entity that it leads to.
pub(super) fn edge_of_tie(tie: &Tie) -> Option<GraphEdge> {
    Some(edge_by(tie.relation, end(tie.entity()?.clone())))
}

/// The edge from an entity to a fact that has it as an end.
pub(super) fn edge_to_fact(fact: &FactAnswer, id: Uuid) -> GraphEdge {
    let relation = if fact.subject.id == id { "subject" } else { "object" };
    edge_by(relation, name(&Node::Fact(fact.clone())))
}

/// The edge from an entity to an insight that names it.
pub(super) fn edge_to_insight(insight: InsightAnswer) -> GraphEdge {
    edge_by("names", name(&Node::Insight(insight)))
}

fn edge_by(relation: &str, node: GraphNodeName) -> GraphEdge {
    GraphEdge { node, weight: 1, together: 0, relations: [(relation.to_owned(), 1)].into() }
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
