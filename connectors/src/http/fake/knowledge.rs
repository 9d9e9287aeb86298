//! The graph and the memory of the fake: what tests put there, and what was written.

use futures_util::stream;
use meshlog_schemas::{EventId, Partition, Position, Topic};

use super::{Fake, NOON, answer, page};
use crate::{
    api::{
        Fact, FactSource, FoundNode, GraphEdge, GraphNode, GraphNodeName, GraphNodeView, GraphPath, Insight, Message,
        Order, Page, SpaceRetention, Statistics, SummarySentence, Tally, ThreadLast, ThreadSummary, TimelineEntry,
        Timestamp, Together,
    },
    ports::{
        Answer, EdgeSelection, FactSelection, GraphExport, GraphFormat, Knowledge, Memory, MemoryWrite, NodeSelection,
        PageRequest, Pieces, Stored, Summaries, Written,
    },
};

/// What is known.
#[derive(Default)]
pub(super) struct Known {
    nodes: Vec<GraphNode>,
    facts: Vec<Fact>,
    insights: Vec<Insight>,
    writes: Vec<MemoryWrite>,
}

fn node(id: &str, [node_type, kind]: [&str; 2], name: &str) -> GraphNode {
    GraphNode {
        node_id: id.to_owned(),
        space: "main".to_owned(),
        node_type: node_type.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        aliases: vec![name.to_owned()],
        mentions: 1,
        merged: Vec::new(),
        degree: 0,
        facts: 0,
        first_at: Timestamp::from_micros(NOON),
        last_at: Timestamp::from_micros(NOON),
    }
}

fn fact_node(fact: &Fact) -> GraphNode {
    node(&fact.fact_id, ["fact", "fact"], &fact.relation)
}

impl Fake {
    /// What was written into the memory.
    pub(in crate::http) fn writes(&self) -> Vec<MemoryWrite> {
        self.state().known.writes.clone()
    }

    /// Puts a person into the graph of the space main; the id is that of the name.
    pub(in crate::http) fn person(&self, name: &str) -> String {
        let node_id = EventId::of_source("main", name).to_string();
        self.state().known.nodes.push(node(&node_id, ["entity", "person"], name));
        node_id
    }

    /// States that somebody works somewhere, in the space main.
    pub(in crate::http) fn works_at(&self, who: &str, where_: &str) -> String {
        let fact_id = EventId::of_source(who, where_).to_string();
        let name = |kind: &str, name: &str| GraphNodeName {
            node_id: None,
            kind: Some(kind.to_owned()),
            name: name.to_owned(),
        };
        self.state().known.facts.push(Fact {
            fact_id: fact_id.clone(),
            space: "main".to_owned(),
            subject: name("person", who),
            relation: "works-at".to_owned(),
            object: name("organisation", where_),
            polarity: "affirmed".to_owned(),
            modality: "asserted".to_owned(),
            state: "current".to_owned(),
            valid_from: Some(Timestamp::from_micros(NOON)),
            valid_until: None,
            closed_by: None,
            confidence: 0.9,
            sources: vec![FactSource {
                message_id: Some(EventId::of_source("main", "m").to_string()),
                thread_id: Some("t".to_owned()),
                author: "Ada".to_owned(),
                said_at: Timestamp::from_micros(NOON),
                start: Some(0),
                end: Some(9),
                found_by: vec!["patterns-1".into()],
            }],
        });
        fact_id
    }
}

impl Knowledge for Fake {
    fn nodes(&self, selection: NodeSelection, request: PageRequest) -> Answer<'_, Page<FoundNode>> {
        let is_wanted = |node: &&GraphNode| {
            node.space == selection.space
                && selection.query.as_ref().is_none_or(|query| node.name.starts_with(query.as_str()))
        };
        let found = |node: &GraphNode| FoundNode {
            node_id: node.node_id.clone(),
            node_type: node.node_type.clone(),
            kind: node.kind.clone(),
            name: node.name.clone(),
            mentions: node.mentions,
        };
        answer(page(self.state().known.nodes.iter().filter(is_wanted).map(found).collect(), &request))
    }

    fn together(&self, _: String, _: [String; 2], request: PageRequest) -> Answer<'_, Page<Together>> {
        answer(page(Vec::new(), &request))
    }

    fn node(&self, space: String, id: String, _: Option<Timestamp>) -> Answer<'_, Option<GraphNodeView>> {
        let state = self.state();
        let found = state.known.nodes.iter().find(|node| node.space == space && node.node_id == id);
        let facts = |name: &str| state.known.facts.iter().filter(|fact| fact.subject.name == name).cloned().collect();
        let view = |node: GraphNode| GraphNodeView {
            facts: facts(&node.name),
            node,
            edges: Vec::new(),
            ties: Vec::new(),
            fact: None,
            insight: None,
        };
        let fact = state.known.facts.iter().find(|fact| fact.space == space && fact.fact_id == id);
        let of_fact = |fact: &Fact| GraphNodeView { fact: Some(fact.clone()), ..view(fact_node(fact)) };
        answer(Ok(found.cloned().map(view).or_else(|| fact.map(of_fact))))
    }

    fn edges(&self, selection: EdgeSelection, request: PageRequest) -> Answer<'_, Option<Page<GraphEdge>>> {
        let is_known = self.state().known.nodes.iter().any(|node| node.node_id == selection.id);
        answer(if is_known { page(Vec::new(), &request).map(Some) } else { Ok(None) })
    }

    fn timeline(
        &self,
        _: String,
        id: String,
        _: Order,
        request: PageRequest,
    ) -> Answer<'_, Option<Page<TimelineEntry>>> {
        let is_known = self.state().known.nodes.iter().any(|node| node.node_id == id);
        answer(if is_known { page(Vec::new(), &request).map(Some) } else { Ok(None) })
    }

    fn path(&self, _: String, from: String, to: String, _: Option<Timestamp>) -> Answer<'_, Option<GraphPath>> {
        let state = self.state();
        let is_known = |id: &String| state.known.nodes.iter().any(|node| node.node_id == *id);
        let none = GraphPath { nodes: Vec::new(), relations: Vec::new(), complete: true };
        answer(Ok((is_known(&from) && is_known(&to)).then_some(none)))
    }

    fn facts(&self, selection: FactSelection, request: PageRequest) -> Answer<'_, Page<Fact>> {
        let is_wanted = |fact: &&Fact| {
            fact.space == selection.space
                && selection.about.as_ref().is_none_or(|about| about.contains(&fact.subject.name))
                && selection.subject.as_ref().is_none_or(|subject| fact.subject.name == *subject)
        };
        answer(page(self.state().known.facts.iter().filter(is_wanted).cloned().collect(), &request))
    }

    fn fact(&self, space: String, id: String) -> Answer<'_, Option<Fact>> {
        let state = self.state();
        answer(Ok(state.known.facts.iter().find(|fact| fact.space == space && fact.fact_id == id).cloned()))
    }

    fn insights(&self, space: String, thread: Option<String>, request: PageRequest) -> Answer<'_, Page<Insight>> {
        let is_wanted = |insight: &&Insight| insight.space == space && (thread.is_none() || insight.thread == thread);
        answer(page(self.state().known.insights.iter().filter(is_wanted).cloned().collect(), &request))
    }

    fn export(&self, space: String, form: GraphExport) -> Answer<'_, Pieces> {
        let text = match form.format {
            GraphFormat::Json => format!("{{\"space\":\"{space}\"}}"),
            GraphFormat::GraphMl => "<graphml/>".to_owned(),
        };
        answer(Ok(Box::pin(stream::iter([Ok(text.into())])) as Pieces))
    }
}

impl Memory for Fake {
    fn write(&self, write: MemoryWrite) -> Answer<'_, Stored> {
        let mut state = self.state();
        let offset = state.known.writes.len() as u64;
        let id = EventId::of_source(&write.space, &offset.to_string()).to_string();
        if let Written::Insight { thread, text, sources, .. } = &write.what {
            let insight = Insight {
                insight_id: id.clone(),
                space: write.space.clone(),
                thread: thread.clone(),
                text: text.clone(),
                sources: sources.iter().map(EventId::to_string).collect(),
                author: write.author.clone(),
                reason: write.reason.clone(),
                pinned_at: Timestamp::from_micros(NOON),
            };
            state.known.insights.push(insight);
        }
        state.known.writes.push(write);
        let position = Position { partition: Partition { topic: Topic::Memory, id: 0 }, offset };
        answer(Ok(Stored { id, position, duplicate: false }))
    }

    fn retention(&self, space: Option<String>, request: PageRequest) -> Answer<'_, Page<SpaceRetention>> {
        let set = |write: MemoryWrite| match write.what {
            Written::Retention { keep_days } => Some(SpaceRetention {
                space: write.space,
                keep_days,
                author: write.author,
                reason: write.reason,
                set_at: Timestamp::from_micros(NOON),
            }),
            _ => None,
        };
        let is_asked = |set: &SpaceRetention| space.as_ref().is_none_or(|space| *space == set.space);
        answer(page(self.writes().into_iter().filter_map(set).filter(is_asked).collect(), &request))
    }
}

impl Summaries for Fake {
    fn summary(&self, space: String, thread: String, _: u32) -> Answer<'_, ThreadSummary> {
        let state = self.state();
        let of_thread = |message: &&Message| message.space == space && message.thread_id == thread;
        let sentence = |message: &Message| SummarySentence {
            text: message.text.clone(),
            model: None,
            message_id: message.message_id.clone(),
            sources: vec![message.message_id.clone()],
            start: Some(0),
            end: Some(message.text.len() as u64),
            author: message.author.clone(),
            role: message.role.clone(),
            sent_at: message.sent_at,
        };
        let sentences: Vec<_> = state.messages.iter().filter(of_thread).map(sentence).collect();
        let turns = sentences.len() as u64;
        answer(Ok(ThreadSummary { sentences, turns, through: None, archived: false }))
    }

    fn statistics(&self, space: String, thread: Option<String>) -> Answer<'_, Statistics> {
        let state = self.state();
        let is_wanted = |message: &&Message| {
            message.space == space && thread.as_ref().is_none_or(|thread| message.thread_id == *thread)
        };
        let messages = state.messages.iter().filter(is_wanted).count() as u64;
        answer(Ok(Statistics { total: Tally { messages, ..Tally::default() }, ..Statistics::default() }))
    }

    fn cursor_of(&self, _: &str, _: bool, thread: &ThreadLast) -> String {
        thread.thread_id.clone()
    }

    fn filed(&self, _: String, _: Option<Timestamp>, request: PageRequest) -> Answer<'_, Page<ThreadLast>> {
        answer(page(Vec::new(), &request))
    }
}
