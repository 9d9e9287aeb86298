//! The graph: nodes, what leads from one to the other, and facts.
//!
//! Never: decides what holds when; the graph's store does.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{Name, Parameters},
    threads,
};
use crate::{
    api::{
        DEFAULT_SPACE, Fact, FoundNode, GraphEdge, GraphNodeView, GraphPath, Order, Page, TimelineEntry, Timestamp,
        Together, default_space,
    },
    checks,
    ports::{EdgeSelection, FactSelection, GraphExport, GraphFormat, NodeSelection},
    problem::{Code, Problem},
};

/// The longest beginning of a name that is looked for, in bytes.
const NAME_QUERY_LIMIT: usize = checks::NAME_LIMIT;

/// Which piece of which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NodesQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Only nodes with a name of which words begin so, without regard to case and accents; the best first.
    query: Option<String>,
    /// Only nodes of this kind: `person`, `organisation`, `place`, `product`, `topic`, `url` or `code-symbol`.
    kind: Option<String>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// Nodes of the graph by name.
#[utoipa::path(
    get,
    path = "/v1/graph/nodes",
    tag = "memory",
    operation_id = "graph_nodes",
    params(NodesQuery),
    responses((status = 200, description = "A piece of the list", body = Page<FoundNode>))
)]
pub(super) async fn nodes(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<NodesQuery>,
) -> Result<Json<Page<FoundNode>>, Problem> {
    let NodesQuery { space, query, kind, limit, cursor } = query;
    checks::name("space", &space)?;
    kind.as_deref().map_or(Ok(()), checks::node_kind)?;
    let query = query.filter(|query| !query.trim().is_empty());
    if query.as_ref().is_some_and(|query| query.len() > NAME_QUERY_LIMIT) {
        let detail = format!("query is longer than {NAME_QUERY_LIMIT} bytes; no name is");
        return Err(Problem::new(Code::InvalidField, detail, "send the beginning of a name").with("field", "query"));
    }
    let page = threads::page(limit, cursor)?;
    gateway.ports.knowledge.nodes(NodeSelection { space, query, kind }, page).await.map(Json)
}

/// Of which space, and when.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AtQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Facts that held then; without it, now.
    #[param(value_type = Option<String>, example = "2024-05-01T00:00:00Z")]
    at: Option<Timestamp>,
}

/// A node with what it is named with and what is known of it; a fact or an insight with what it leads to.
#[utoipa::path(
    get,
    path = "/v1/graph/nodes/{id}",
    tag = "memory",
    operation_id = "graph_node",
    params(("id" = String, Path, description = "The node's id, or that of a fact or an insight"), AtQuery),
    responses((status = 200, description = "The node", body = GraphNodeView))
)]
pub(super) async fn node(
    State(gateway): State<Gateway>,
    Name(id): Name,
    Parameters(query): Parameters<AtQuery>,
) -> Result<Json<GraphNodeView>, Problem> {
    checks::name("space", &query.space)?;
    let found = gateway.ports.knowledge.node(query.space.clone(), id.clone(), query.at).await?;
    found.map(Json).ok_or_else(|| unknown_node(&id, &query.space))
}

/// Which piece of a node's edges.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EdgesQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Only edges of this relation: `mentioned-with`, or that of a fact.
    relation: Option<String>,
    /// Only to nodes of this kind: `person`, `organisation`, `place`, `product`, `topic`, `url`, `code-symbol`, `fact` (those that
    /// have the node as an end) or `insight` (those that name it, of the newest 200). Facts and insights are in no other list.
    kind: Option<String>,
    /// Facts that held then; without it, now.
    #[param(value_type = Option<String>, example = "2024-05-01T00:00:00Z")]
    at: Option<Timestamp>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// What a node is named with and bound to by facts, the heaviest first.
#[utoipa::path(
    get,
    path = "/v1/graph/nodes/{id}/edges",
    tag = "memory",
    operation_id = "graph_edges",
    params(("id" = String, Path, description = "The node's id"), EdgesQuery),
    responses((status = 200, description = "A piece of the list", body = Page<GraphEdge>))
)]
pub(super) async fn edges(
    State(gateway): State<Gateway>,
    Name(id): Name,
    Parameters(query): Parameters<EdgesQuery>,
) -> Result<Json<Page<GraphEdge>>, Problem> {
    let EdgesQuery { space, relation, kind, at, limit, cursor } = query;
    checks::name("space", &space)?;
    relation.as_deref().map_or(Ok(()), |relation| checks::relation_name("relation", relation))?;
    kind.as_deref().map_or(Ok(()), checks::edge_kind)?;
    let page = threads::page(limit, cursor)?;
    let selection = EdgeSelection { space: space.clone(), id: id.clone(), relation, kind, at };
    let found = gateway.ports.knowledge.edges(selection, page).await?;
    found.map(Json).ok_or_else(|| unknown_node(&id, &space))
}

/// Which piece of what names two nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TogetherQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// The id of the one node.
    one: String,
    /// The id of the other.
    other: String,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// The messages that name two nodes, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/graph/together",
    tag = "memory",
    operation_id = "graph_together",
    params(TogetherQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Together>))
)]
pub(super) async fn together(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<TogetherQuery>,
) -> Result<Json<Page<Together>>, Problem> {
    let TogetherQuery { space, one, other, limit, cursor } = query;
    for (field, value) in [("space", &space), ("one", &one), ("other", &other)] {
        checks::name(field, value)?;
    }
    let page = threads::page(limit, cursor)?;
    gateway.ports.knowledge.together(space, [one, other], page).await.map(Json)
}

/// Which piece of a node's timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Which comes first.
    #[serde(default)]
    #[param(inline)]
    order: Order,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before, in the same order.
    cursor: Option<String>,
}

/// What was said of a node, the oldest first or the newest.
#[utoipa::path(
    get,
    path = "/v1/graph/nodes/{id}/timeline",
    tag = "memory",
    operation_id = "graph_timeline",
    params(("id" = String, Path, description = "The node's id"), TimelineQuery),
    responses((status = 200, description = "A piece of the list", body = Page<TimelineEntry>))
)]
pub(super) async fn timeline(
    State(gateway): State<Gateway>,
    Name(id): Name,
    Parameters(query): Parameters<TimelineQuery>,
) -> Result<Json<Page<TimelineEntry>>, Problem> {
    let TimelineQuery { space, order, limit, cursor } = query;
    checks::name("space", &space)?;
    let page = threads::page(limit, cursor)?;
    let found = gateway.ports.knowledge.timeline(space.clone(), id.clone(), order, page).await?;
    found.map(Json).ok_or_else(|| unknown_node(&id, &space))
}

/// Between which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PathQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// The id of the one node, or of a fact or an insight.
    from: String,
    /// The id of the other.
    to: String,
    /// Facts that held then; without it, now.
    #[param(value_type = Option<String>, example = "2024-05-01T00:00:00Z")]
    at: Option<Timestamp>,
}

/// The shortest way between two nodes, of at most six edges.
#[utoipa::path(
    get,
    path = "/v1/graph/path",
    tag = "memory",
    operation_id = "graph_path",
    params(PathQuery),
    responses((status = 200, description = "The way, without nodes where there is none", body = GraphPath))
)]
pub(super) async fn path(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<PathQuery>,
) -> Result<Json<GraphPath>, Problem> {
    let PathQuery { space, from, to, at } = query;
    for (field, value) in [("space", &space), ("from", &from), ("to", &to)] {
        checks::name(field, value)?;
    }
    let ends = format!("{from} or {to}");
    let found = gateway.ports.knowledge.path(space.clone(), from, to, at).await?;
    found.map(Json).ok_or_else(|| unknown_node(&ends, &space))
}

/// Which piece of which facts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FactsQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// Only facts about this, by name or by the id of a node.
    subject: Option<String>,
    /// Only facts with this relation.
    relation: Option<String>,
    /// Only facts with this object, by name or by the id of a node.
    object: Option<String>,
    /// Only facts that bear on this text: about what it names, those that share most words with it first. With it there is one
    /// piece, and no other condition but `at`.
    about: Option<String>,
    /// Facts that held then; without it, now.
    #[param(value_type = Option<String>, example = "2024-05-01T00:00:00Z")]
    at: Option<Timestamp>,
    /// Also what does not hold: what is past, planned, corrected or doubtful.
    #[serde(default)]
    all: bool,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

/// Facts that hold, or held at a time, each with the message that states it; the newest first.
#[utoipa::path(
    get,
    path = "/v1/graph/facts",
    tag = "memory",
    operation_id = "facts",
    params(FactsQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Fact>))
)]
pub(super) async fn facts(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<FactsQuery>,
) -> Result<Json<Page<Fact>>, Problem> {
    let FactsQuery { space, subject, relation, object, about, at, all, limit, cursor } = query;
    checks::name("space", &space)?;
    for (field, value) in [("subject", &subject), ("object", &object)] {
        value.as_deref().map_or(Ok(()), |value| checks::name(field, value))?;
    }
    relation.as_deref().map_or(Ok(()), |relation| checks::relation_name("relation", relation))?;
    if about.as_ref().is_some_and(|about| about.len() > checks::QUERY_LIMIT) {
        let detail = format!("about is longer than {} bytes", checks::QUERY_LIMIT);
        return Err(Problem::new(Code::InvalidField, detail, "send a shorter text").with("field", "about"));
    }
    let others = [&subject, &relation, &object, &cursor];
    if about.is_some() && (all || others.into_iter().any(Option::is_some)) {
        let detail = "about goes with no other condition but at";
        return Err(Problem::new(Code::InvalidField, detail, "leave the others out").with("field", "about"));
    }
    let page = threads::page(limit, cursor)?;
    let selection = FactSelection { space, subject, relation, object, about, at, all };
    gateway.ports.knowledge.facts(selection, page).await.map(Json)
}

/// Of which space.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SpaceQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
}

/// A fact, whether it holds or not.
#[utoipa::path(
    get,
    path = "/v1/graph/facts/{id}",
    tag = "memory",
    operation_id = "fact",
    params(("id" = String, Path, description = "The fact's id"), SpaceQuery),
    responses((status = 200, description = "The fact", body = Fact))
)]
pub(super) async fn fact(
    State(gateway): State<Gateway>,
    Name(id): Name,
    Parameters(query): Parameters<SpaceQuery>,
) -> Result<Json<Fact>, Problem> {
    checks::name("space", &query.space)?;
    let found = gateway.ports.knowledge.fact(query.space.clone(), id.clone()).await?;
    found.map(Json).ok_or_else(|| {
        let detail = format!("there is no fact {id} in the space \"{}\"", query.space);
        Problem::new(Code::UnknownFact, detail, "GET /v1/graph/facts?space= lists the facts of a space")
    })
}

/// What is exported, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    space: String,
    /// `json` or `graphml`.
    #[param(default = "json")]
    format: Option<String>,
    /// Whether facts and insights are nodes with edges to what they lead to.
    #[serde(default)]
    facts: bool,
}

/// All of a space's graph as one document: JSON, or GraphML for Gephi, yEd, NetworkX and others.
#[utoipa::path(
    get,
    path = "/v1/graph/export",
    tag = "memory",
    operation_id = "export_graph",
    params(ExportQuery),
    responses((
        status = 200,
        description = "The graph",
        content((serde_json::Value = "application/json"), (String = "application/graphml+xml"))
    ))
)]
pub(super) async fn export(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<ExportQuery>,
) -> Result<Response, Problem> {
    checks::name("space", &query.space)?;
    let (format, media_type) = match query.format.as_deref().unwrap_or("json") {
        "json" => (GraphFormat::Json, "application/json"),
        "graphml" => (GraphFormat::GraphMl, "application/graphml+xml"),
        other => {
            let detail = format!("there is no format \"{}\"", crate::problem::quote(other));
            let problem = Problem::new(Code::InvalidField, detail, "send format=json or format=graphml");
            return Err(problem.with("field", "format"));
        }
    };
    let form = GraphExport { format, has_fact_nodes: query.facts };
    let pieces = gateway.ports.knowledge.export(query.space, form).await?;
    Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(pieces)).into_response())
}

fn unknown_node(id: &str, space: &str) -> Problem {
    let detail = format!("there is no node {id} in the space \"{space}\"");
    Problem::new(Code::UnknownNode, detail, "GET /v1/graph/nodes?query= finds nodes by name")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::http::fake::{Fake, ask, plain};

    async fn get(fake: &std::sync::Arc<Fake>, path: &str) -> Value {
        ask(fake.router(), plain("GET", path)).await.json()
    }

    #[tokio::test]
    async fn a_node_is_found_by_name_and_shown_with_its_facts() {
        let fake = Fake::new();
        let (ada, bob) = (fake.person("Ada"), fake.person("Bob"));
        let fact = fake.works_at("Ada", "Siemens");
        let found = get(&fake, "/v1/graph/nodes?query=Ad&kind=person").await;
        assert_eq!((&found["items"][0]["name"], &found["items"][1]), (&json!("Ada"), &Value::Null));
        let shown = get(&fake, &format!("/v1/graph/nodes/{ada}")).await;
        assert_eq!((&shown["node"]["type"], &shown["facts"][0]["fact_id"]), (&json!("entity"), &json!(fact)));
        assert_eq!(get(&fake, &format!("/v1/graph/facts/{fact}")).await["object"]["name"], "Siemens");
        assert_eq!(get(&fake, "/v1/graph/facts?subject=Bob").await, json!({"items": [], "next": null}));
        assert_eq!(get(&fake, &format!("/v1/graph/path?from={ada}&to={bob}")).await["complete"], true);
        assert_eq!(get(&fake, &format!("/v1/graph/together?one={ada}&other={bob}")).await["items"], json!([]));
        let shown = get(&fake, &format!("/v1/graph/nodes/{fact}")).await;
        assert_eq!((&shown["node"]["type"], &shown["fact"]["fact_id"]), (&json!("fact"), &json!(fact)));
        for list in ["edges", "edges?kind=fact", "timeline?order=newest"] {
            assert_eq!(get(&fake, &format!("/v1/graph/nodes/{ada}/{list}")).await["items"], json!([]));
        }
    }

    #[tokio::test]
    async fn what_is_not_there_and_what_makes_no_sense_are_problems() {
        let fake = Fake::new();
        let ada = fake.person("Ada");
        for (path, code) in [
            ("/v1/graph/nodes/moon".to_owned(), "unknown_node"),
            (format!("/v1/graph/nodes/{ada}?space=other"), "unknown_node"),
            ("/v1/graph/nodes/moon/edges".to_owned(), "unknown_node"),
            ("/v1/graph/nodes/moon/timeline".to_owned(), "unknown_node"),
            (format!("/v1/graph/path?from={ada}&to=moon"), "unknown_node"),
            (format!("/v1/graph/path?from={ada}"), "missing_field"),
            ("/v1/graph/facts/moon".to_owned(), "unknown_fact"),
            ("/v1/graph/facts?relation=Works%20at".to_owned(), "invalid_field"),
            ("/v1/graph/facts?at=noon".to_owned(), "invalid_field"),
            ("/v1/graph/facts?about=noon&subject=Ada".to_owned(), "invalid_field"),
            ("/v1/graph/nodes?kind=moon".to_owned(), "invalid_field"),
            ("/v1/graph/nodes?kind=fact".to_owned(), "invalid_field"),
            (format!("/v1/graph/nodes/{ada}/edges?kind=moon"), "invalid_field"),
            ("/v1/graph/nodes?limit=0".to_owned(), "out_of_range"),
            ("/v1/graph/export?format=svg".to_owned(), "invalid_field"),
        ] {
            assert_eq!(ask(fake.router(), plain("GET", &path)).await.problem().code(), code, "{path}");
        }
    }

    #[tokio::test]
    async fn a_graph_is_exported_in_both_formats() {
        let fake = Fake::new();
        for (path, media_type) in [
            ("/v1/graph/export?space=main", "application/json"),
            ("/v1/graph/export?format=graphml&facts=true", "application/graphml+xml"),
        ] {
            let reply = ask(fake.router(), plain("GET", path)).await;
            assert_eq!((reply.status.as_u16(), reply.headers["content-type"].as_bytes()), (200, media_type.as_bytes()));
            assert!(!reply.text().is_empty());
        }
    }
}
