//! Knowledge: what a gateway asks of the graph.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use super::{Answer, PageRequest};
use crate::{
    api::{
        Fact, FoundNode, GraphEdge, GraphNodeView, GraphPath, Insight, Order, Page, TimelineEntry, Timestamp, Together,
    },
    problem::Problem,
};

/// Pieces of a document, in order. It reads on only when it is asked for the next.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Problem>> + Send>>;

/// Answers from the graph. Ids that it did not give out are those of nothing.
pub trait Knowledge: Send + Sync {
    /// Nodes by name, the best first.
    fn nodes(&self, selection: NodeSelection, page: PageRequest) -> Answer<'_, Page<FoundNode>>;

    /// A node with what is known of it at `at`, or now; `None` when there is none.
    fn node(&self, space: String, id: String, at: Option<Timestamp>) -> Answer<'_, Option<GraphNodeView>>;

    /// What a node is named and stated with, what is said most first; `None` when there is no such node.
    fn edges(&self, selection: EdgeSelection, page: PageRequest) -> Answer<'_, Option<Page<GraphEdge>>>;

    /// The messages that name both nodes, the oldest first.
    fn together(&self, space: String, nodes: [String; 2], page: PageRequest) -> Answer<'_, Page<Together>>;

    /// What was said of a node; `None` when there is none.
    fn timeline(
        &self,
        space: String,
        id: String,
        order: Order,
        page: PageRequest,
    ) -> Answer<'_, Option<Page<TimelineEntry>>>;

    /// The shortest way between two nodes; `None` when one of them is not there.
    fn path(&self, space: String, from: String, to: String, at: Option<Timestamp>) -> Answer<'_, Option<GraphPath>>;

    /// Facts, the newest first.
    fn facts(&self, selection: FactSelection, page: PageRequest) -> Answer<'_, Page<Fact>>;

    /// A fact by its id; `None` when there is none.
    fn fact(&self, space: String, id: String) -> Answer<'_, Option<Fact>>;

    /// What was pinned for a thread, or anywhere in the space; the newest first.
    fn insights(&self, space: String, thread: Option<String>, page: PageRequest) -> Answer<'_, Page<Insight>>;

    /// All of a space's graph, as one document.
    fn export(&self, space: String, form: GraphExport) -> Answer<'_, Pieces>;
}

/// Which nodes; an absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeSelection {
    /// Nodes of this space.
    pub space: String,
    /// Only with a name of which words begin so.
    pub query: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
}

/// Which edges; an absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EdgeSelection {
    /// The space of the node.
    pub space: String,
    /// The node.
    pub id: String,
    /// Only of this relation.
    pub relation: Option<String>,
    /// Only to nodes of this kind; `fact` and `insight` are in the list only where they are asked for.
    pub kind: Option<String>,
    /// Facts that held then; without it, now.
    pub at: Option<Timestamp>,
}

/// How much of a graph is written, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GraphExport {
    /// How.
    pub format: GraphFormat,
    /// Whether facts and insights are nodes with edges to what they lead to; else a fact is an item or edge of its own.
    pub has_fact_nodes: bool,
}

/// Which facts; an absent condition holds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactSelection {
    /// Facts of this space.
    pub space: String,
    /// Only about this, by name or by the id of a node.
    pub subject: Option<String>,
    /// Only with this relation.
    pub relation: Option<String>,
    /// Only with this object, by name or by the id of a node.
    pub object: Option<String>,
    /// Only those that bear on this text: about what it names, those that share most words with it first.
    pub about: Option<String>,
    /// What held then; without it, now.
    pub at: Option<Timestamp>,
    /// Also what does not hold: what is past, planned, corrected or doubtful.
    pub all: bool,
}

/// How a graph is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GraphFormat {
    /// One JSON object with `space` and `items`, each of which says by `item` what it is.
    #[default]
    Json,
    /// GraphML, which Gephi, yEd, NetworkX and others read.
    GraphMl,
}
