//! The graph, and what it says of somebody.

mod about;
mod export;
mod view;

use std::sync::Arc;

use meshlog_connectors::{
    api::{
        Fact, FoundNode, GraphEdge, GraphNodeView, GraphPath, Insight, Order, Page, TimelineEntry, Timestamp, Together,
    },
    ports::{Answer, EdgeSelection, FactSelection, GraphExport, Knowledge, NodeSelection, PageRequest, Pieces},
    problem::Problem,
};
use meshlog_pipeline::now_micros;
use meshlog_processors::{
    Micros, PageLimit,
    graph::{
        Entity, FactFilter, GraphStore, Include, NeighbourFilter, Node, SearchQuery, TimelineQuery, entity_id,
        phrase_id,
    },
    knowledge::entities::EntityKind,
};
use uuid::Uuid;

use super::{bad_cursor, blocking, from_cursor, graph_store, problems, to_cursor};
use crate::house::rooms::Rooms;

/// What a node is shown with.
const EDGES: usize = 20;
const FACTS: usize = 50;
/// The longest path.
const STEPS: usize = 6;

pub(super) struct KnowledgePort(Arc<Rooms>);

impl KnowledgePort {
    pub(super) fn new(rooms: Arc<Rooms>) -> Self {
        Self(rooms)
    }
}

impl Knowledge for KnowledgePort {
    fn nodes(&self, selection: NodeSelection, page: PageRequest) -> Answer<'_, Page<FoundNode>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let NodeSelection { space, query, kind } = selection;
            let kinds = kind.and_then(|kind| EntityKind::named(&kind)).into_iter().collect();
            let query = SearchQuery { space, text: query.unwrap_or_default(), kinds };
            let cursor = cursor(&page, |cursor| query.is_cursor(cursor))?;
            let found = graph_store(rooms)?.search(&query, limit(&page), cursor.as_deref());
            Ok(listed(found.map_err(problems::from_store)?, view::found))
        }))
    }

    fn node(&self, space: String, id: String, at: Option<Timestamp>) -> Answer<'_, Option<GraphNodeView>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let store = graph_store(rooms)?;
            let now = now_or(at);
            let node = match node(&store, &space, &id)? {
                None => return Ok(None),
                Some(Node::Entity(node)) => node,
                Some(other) => {
                    let id = id_of(&other);
                    let ties = store.ties(&space, id).map_err(problems::from_store)?;
                    return Ok(Some(view::tied(&space, other, ties, now)));
                }
            };
            let id = node.id;
            let filter = NeighbourFilter { space: space.clone(), id, relation: None, at: Some(now), kinds: Vec::new() };
            let edges = store.neighbours(&filter, some(EDGES), None).map_err(problems::from_store)?.items;
            let filter = FactFilter { subject: Some(id), ..held(&space, now) };
            let facts = store.facts(&filter, some(FACTS), None).map_err(problems::from_store)?.items;
            Ok(Some(GraphNodeView {
                node: view::node(&space, node),
                edges: edges.into_iter().map(view::edge).collect(),
                facts: facts.into_iter().map(|fact| view::fact(&space, fact, now)).collect(),
                ties: Vec::new(),
                fact: None,
                insight: None,
            }))
        }))
    }

    fn edges(&self, selection: EdgeSelection, page: PageRequest) -> Answer<'_, Option<Page<GraphEdge>>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let store = graph_store(rooms)?;
            let EdgeSelection { space, id, relation, kind, at } = selection;
            let Some(node) = node(&store, &space, &id)? else { return Ok(None) };
            let id = id_of(&node);
            let (at, cursor) = dated(&page, at)?;
            match kind.as_deref() {
                Some("fact") => {
                    let filter = FactFilter { either: Some(id), relation, ..held(&space, at) };
                    let cursor = cursor.filter(|cursor| filter.is_cursor(cursor)).or_refused(&page)?;
                    let found = store.facts(&filter, limit(&page), cursor.as_deref()).map_err(problems::from_store)?;
                    return Ok(Some(at_its_time(found, at, |fact| view::edge_to_fact(&fact, id))));
                }
                Some("insight") => {
                    let found = store.insights_naming(&space, id).map_err(problems::from_store)?;
                    let items = found.into_iter().map(view::edge_to_insight).collect();
                    return Ok(Some(Page { items, next: None }));
                }
                _ => {}
            }
            if let Node::Insight(_) = node {
                let ties = store.ties(&space, id).map_err(problems::from_store)?;
                return Ok(Some(Page { items: ties.iter().filter_map(view::edge_of_tie).collect(), next: None }));
            }
            let kinds = kind.and_then(|kind| EntityKind::named(&kind)).into_iter().collect();
            let filter = NeighbourFilter { space, id, relation, at: Some(at), kinds };
            let cursor = cursor.filter(|cursor| filter.is_cursor(cursor)).or_refused(&page)?;
            let found = store.neighbours(&filter, limit(&page), cursor.as_deref()).map_err(problems::from_store)?;
            Ok(Some(at_its_time(found, at, view::edge)))
        }))
    }

    fn together(&self, space: String, nodes: [String; 2], page: PageRequest) -> Answer<'_, Page<Together>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let [Ok(one), Ok(other)] = nodes.map(|id| id.parse::<Uuid>()) else {
                return Ok(Page { items: Vec::new(), next: None });
            };
            let nodes = [one, other];
            let cursor = cursor(&page, |cursor| GraphStore::is_cursor_of_together(&space, nodes, cursor))?;
            let found = graph_store(rooms)?.together(&space, nodes, limit(&page), cursor.as_deref());
            let view =
                |(at, id): (Micros, Uuid)| Together { at: Timestamp::from_micros(at), message_id: id.to_string() };
            Ok(listed(found.map_err(problems::from_store)?, view))
        }))
    }

    fn timeline(
        &self,
        space: String,
        id: String,
        order: Order,
        page: PageRequest,
    ) -> Answer<'_, Option<Page<TimelineEntry>>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let store = graph_store(rooms)?;
            let Some(node) = entity(&store, &space, &id)? else { return Ok(None) };
            let order = match order {
                Order::Oldest => meshlog_processors::Order::OldestFirst,
                Order::Newest => meshlog_processors::Order::NewestFirst,
            };
            let query = TimelineQuery { space: space.clone(), id: node.id, order };
            let cursor = cursor(&page, |cursor| query.is_cursor(cursor))?;
            let found = store.timeline(&query, limit(&page), cursor.as_deref()).map_err(problems::from_store)?;
            let now = now_micros();
            let fact = |id: Uuid| store.fact(&space, id).map_err(problems::from_store);
            let items: Result<Vec<_>, Problem> =
                found.items.into_iter().map(|moment| view::moment(&space, moment, now, fact)).collect();
            Ok(Some(Page { items: items?, next: found.next.as_deref().map(to_cursor) }))
        }))
    }

    fn path(&self, space: String, from: String, to: String, at: Option<Timestamp>) -> Answer<'_, Option<GraphPath>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let store = graph_store(rooms)?;
            let (Some(from), Some(to)) = (node(&store, &space, &from)?, node(&store, &space, &to)?) else {
                return Ok(None);
            };
            let ends = [id_of(&from), id_of(&to)];
            let path = store.path(&space, ends, Some(now_or(at)), STEPS).map_err(problems::from_store)?;
            let (mut nodes, mut relations) = (Vec::new(), Vec::new());
            for step in path.steps.iter().flatten() {
                // What was reached is there, unless it has been forgotten meanwhile.
                let Some(node) = store.node(&space, step.to).map_err(problems::from_store)? else { continue };
                nodes.push(view::name(&node));
                relations.push(step.relation.clone());
            }
            if path.steps.is_some() {
                nodes.insert(0, view::name(&from));
            }
            Ok(Some(GraphPath { nodes, relations, complete: !path.is_cut }))
        }))
    }

    fn facts(&self, selection: FactSelection, page: PageRequest) -> Answer<'_, Page<Fact>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let store = graph_store(rooms)?;
            let FactSelection { space, subject, relation, object, about, at, all } = selection;
            if let Some(text) = about {
                let now = now_or(at);
                let found = about::facts_about(&store, &space, &text, now, page.items).map_err(problems::from_store)?;
                let items = found.into_iter().map(|fact| view::fact(&space, fact, now)).collect();
                return Ok(Page { items, next: None });
            }
            // Everything that was ever said, or what held at a time.
            let asked = at.map(Timestamp::micros);
            let (at, cursor) = dated(&page, at)?;
            let include = if all { Include::All } else { Include::Current };
            let filter = FactFilter {
                subject: subject.map(|name| end(&store, &space, &name)).transpose()?.flatten(),
                object: object.map(|name| end(&store, &space, &name)).transpose()?.flatten(),
                either: None,
                relation,
                include,
                at: if all { asked } else { Some(at) },
                space: space.clone(),
            };
            let cursor = cursor.filter(|cursor| filter.is_cursor(cursor)).or_refused(&page)?;
            let found = store.facts(&filter, limit(&page), cursor.as_deref()).map_err(problems::from_store)?;
            Ok(at_its_time(found, at, |fact| view::fact(&space, fact, at)))
        }))
    }

    fn fact(&self, space: String, id: String) -> Answer<'_, Option<Fact>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let Ok(id) = id.parse() else { return Ok(None) };
            let found = graph_store(rooms)?.fact(&space, id).map_err(problems::from_store)?;
            Ok(found.map(|fact| view::fact(&space, fact, now_micros())))
        }))
    }

    fn insights(&self, space: String, thread: Option<String>, page: PageRequest) -> Answer<'_, Page<Insight>> {
        Box::pin(blocking(&self.0, move |rooms| {
            let is_known = |cursor: &[u8]| GraphStore::is_cursor_of_insights(&space, thread.as_deref(), cursor);
            let cursor = cursor(&page, is_known)?;
            let found = graph_store(rooms)?.insights(&space, thread.as_deref(), limit(&page), cursor.as_deref());
            Ok(listed(found.map_err(problems::from_store)?, view::insight))
        }))
    }

    fn export(&self, space: String, form: GraphExport) -> Answer<'_, Pieces> {
        Box::pin(async move { Ok(export::pieces(graph_store(&self.0)?, space, form)) })
    }
}

/// Facts of a space that hold at a time.
fn held(space: &str, at: Micros) -> FactFilter {
    FactFilter {
        space: space.to_owned(),
        subject: None,
        object: None,
        either: None,
        relation: None,
        at: Some(at),
        include: Include::Current,
    }
}

fn node(store: &GraphStore, space: &str, id: &str) -> Result<Option<Node>, Problem> {
    let Ok(id) = id.parse() else { return Ok(None) };
    store.node(space, id).map_err(problems::from_store)
}

fn entity(store: &GraphStore, space: &str, id: &str) -> Result<Option<Entity>, Problem> {
    Ok(match node(store, space, id)? {
        Some(Node::Entity(entity)) => Some(entity),
        _ => None,
    })
}

fn id_of(node: &Node) -> Uuid {
    match node {
        Node::Entity(entity) => entity.id,
        Node::Fact(fact) => fact.fact_id,
        Node::Insight(insight) => insight.insight_id,
    }
}

/// What a name or an id stands for as the end of a fact: the node that is called so, or the phrase.
fn end(store: &GraphStore, space: &str, name: &str) -> Result<Option<Uuid>, Problem> {
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    for kind in EntityKind::ALL {
        let Some(id) = entity_id(space, kind, name) else { continue };
        if store.node(space, id).map_err(problems::from_store)?.is_some() {
            return Ok(Some(id));
        }
    }
    Ok(Some(phrase_id(space, name)))
}

fn now_or(at: Option<Timestamp>) -> Micros {
    at.map_or_else(now_micros, Timestamp::micros)
}

fn limit(page: &PageRequest) -> PageLimit {
    PageLimit { items: page.items, bytes: page.bytes }
}

fn some(items: usize) -> PageLimit {
    PageLimit { items, bytes: usize::MAX }
}

fn listed<T, V>(page: meshlog_processors::Page<T>, view: impl FnMut(T) -> V) -> Page<V> {
    Page { items: page.items.into_iter().map(view).collect(), next: page.next.as_deref().map(to_cursor) }
}

/// The cursor, if it is one of this list.
fn cursor(page: &PageRequest, is_known: impl FnOnce(&[u8]) -> bool) -> Result<Option<Vec<u8>>, Problem> {
    let cursor = page.cursor.as_deref().map(from_cursor).transpose()?;
    match cursor {
        Some(cursor) if !is_known(&cursor) => Err(bad_cursor()),
        cursor => Ok(cursor),
    }
}

/// The time that a list is of, which goes with its cursors: a list that was begun now goes on as it was then.
fn dated(page: &PageRequest, at: Option<Timestamp>) -> Result<(Micros, Option<Vec<u8>>), Problem> {
    let Some(cursor) = page.cursor.as_deref().map(from_cursor).transpose()? else { return Ok((now_or(at), None)) };
    let Some((time, rest)) = cursor.split_first_chunk() else { return Err(bad_cursor()) };
    let time = i64::from_be_bytes(*time);
    if at.is_some_and(|at| at.micros() != time) {
        return Err(bad_cursor());
    }
    Ok((time, Some(rest.to_vec())))
}

/// A piece of a list that is of a time.
fn at_its_time<T, V>(page: meshlog_processors::Page<T>, at: Micros, view: impl FnMut(T) -> V) -> Page<V> {
    let next = page.next.map(|next| to_cursor(&[&at.to_be_bytes()[..], &next].concat()));
    Page { items: page.items.into_iter().map(view).collect(), next }
}

trait OrRefused {
    /// Itself, unless the request has a cursor and this has none left.
    fn or_refused(self, page: &PageRequest) -> Result<Option<Vec<u8>>, Problem>;
}

impl OrRefused for Option<Vec<u8>> {
    fn or_refused(self, page: &PageRequest) -> Result<Option<Vec<u8>>, Problem> {
        if page.cursor.is_some() && self.is_none() { Err(bad_cursor()) } else { Ok(self) }
    }
}
