//! The graph: what is known of whom, with the messages that say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_SPACE, Insight, Timestamp, default_space};

/// A node that was found by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundNode {
    /// Its id; the same for the same name in the same space, whenever the graph is built.
    pub node_id: String,
    /// `entity` or `concept`.
    #[serde(rename = "type")]
    pub node_type: String,
    /// What it is: `person`, `organisation`, `place`, `product`, `topic`, `url` or `code-symbol`.
    pub kind: String,
    /// The name it is called most.
    pub name: String,
    /// How often messages name it.
    pub mentions: u64,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    /// Its id; that of a name is the same for the same name in the same space, whenever the graph is built.
    pub node_id: String,
    /// The space.
    pub space: String,
    /// `entity`, `concept` (an entity of the kind `topic`), `fact` or `insight`.
    #[serde(rename = "type")]
    pub node_type: String,
    /// What it is: `person`, `organisation`, `place`, `product`, `topic`, `url` or `code-symbol`; `fact`; `insight`.
    pub kind: String,
    /// The name it is called most; of a fact what it states, of an insight its words.
    pub name: String,
    /// Names it is called, also under what was merged into it, those used most first; at most 64.
    pub aliases: Vec<String>,
    /// The names that were merged into it.
    pub merged: Vec<MergedName>,
    /// How often messages name it; of a fact or an insight, how many messages it is from.
    pub mentions: u64,
    /// With how many others it is named; of a fact, to how many entities it leads; of an insight, how many it names.
    pub degree: u64,
    /// Of how many facts it is the subject or the object.
    pub facts: u64,
    /// When it was first spoken of.
    pub first_at: Timestamp,
    /// When it was last spoken of.
    pub last_at: Timestamp,
}

/// A name that stands for another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MergedName {
    /// The name.
    pub name: String,
    /// Why: `known-alias`, `first-name`, `surname`, `acronym`, or the words of who merged it.
    pub reason: String,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Who merged it; empty where a stage did.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// What binds a node to another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdge {
    /// The other node.
    pub node: GraphNodeName,
    /// Messages that name both, and facts between them that hold.
    pub weight: u64,
    /// Messages that name both.
    pub together: u64,
    /// Facts between them that hold, by relation.
    pub relations: BTreeMap<String, u64>,
}

/// Something that a fact or an insight leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphTie {
    /// How: `subject`, `object`, `source`, `corrects`, `corrected-by`, `closes` (whose place it took), `closed-by` or `names`.
    pub relation: String,
    /// `entity`, `concept`, `phrase`, `fact` or `message`.
    #[serde(rename = "type")]
    pub node_type: String,
    /// Its id; absent for a phrase, which is no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// The name of an entity, or the phrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A message that names two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Together {
    /// When it was said.
    pub at: Timestamp,
    /// The message.
    pub message_id: String,
}

/// A node, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GraphNodeName {
    /// Its id; absent for a plain phrase, such as a diet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// What it is, a name's kind, `fact` or `insight`; absent for a plain phrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
}

/// A statement, with who said it where and when it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fact {
    /// The fact's id.
    pub fact_id: String,
    /// The space.
    pub space: String,
    /// Whom or what it is about.
    pub subject: GraphNodeName,
    /// What is said of it, such as `works-at`.
    pub relation: String,
    /// What the relation leads to.
    pub object: GraphNodeName,
    /// `affirmed` or `denied`.
    pub polarity: String,
    /// `asserted`, `planned`, `wished` or `possible`.
    pub modality: String,
    /// `current`; `past`, where its time is over or a later statement has taken its place; `future`; `unsettled`, where it was not
    /// said for certain; `corrected`; `doubtful`, where the extractor was not sure enough for an answer.
    pub state: String,
    /// Since when it holds.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
    /// The fact that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// How sure the extractor is, from 0 to 1.
    pub confidence: f64,
    /// Who said so, and where; at least one.
    pub sources: Vec<FactSource>,
}

/// Where a fact is from: a message, or a person's correction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactSource {
    /// The message; absent where somebody wrote the fact into the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The message's thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// Who said it.
    pub author: String,
    /// When it was said.
    pub said_at: Timestamp,
    /// Where it begins in the text, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u32>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u32>,
    /// Who found it there: `patterns-...`, `model:...` or both; absent where somebody wrote it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found_by: Vec<String>,
}

/// A node with what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphNodeView {
    /// The node.
    pub node: GraphNode,
    /// What it is bound to most, at most twenty; `/v1/graph/nodes/{id}/edges` lists all.
    pub edges: Vec<GraphEdge>,
    /// Current facts about it, at most fifty; `/v1/graph/facts?subject=` lists all.
    pub facts: Vec<Fact>,
    /// What a fact or an insight leads to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ties: Vec<GraphTie>,
    /// The fact, where the node is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
    /// The insight, where the node is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insight: Option<Insight>,
}

/// Something that was said of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimelineEntry {
    /// When it was said.
    pub at: Timestamp,
    /// The message; absent where somebody wrote a correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// Its author.
    pub author: String,
    /// Where the text names the node: from where to where, in bytes.
    pub mentions: Vec<[u32; 2]>,
    /// What it states of the node.
    pub facts: Vec<Fact>,
}

/// How two nodes hang together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphPath {
    /// The nodes from the one to the other, both with it; empty where there is no way that is short enough.
    pub nodes: Vec<GraphNodeName>,
    /// What leads from each to the next.
    pub relations: Vec<String>,
    /// Whether all of the neighbourhood was looked at; else there may be a way that was not found.
    pub complete: bool,
}

/// Two names that stand for one thing, or do so no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameLink {
    /// The space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// What both are: `person`, `organisation`, `place`, `product`, `topic`, `url` or `code-symbol`.
    pub kind: String,
    /// The name that is no longer one of its own.
    pub from: String,
    /// The name that it is.
    pub into: String,
    /// Who says so.
    #[serde(default)]
    pub author: String,
    /// Why, in their words.
    #[serde(default)]
    pub reason: String,
}
