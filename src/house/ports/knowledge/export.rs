//! Exports: all of a space's graph as one document, JSON or GraphML.
//!
//! Owns: both forms, and both ways of facts and insights in them: as nodes with edges to what they lead to, or a fact as an item or
//! edge of its own. Written piece by piece by a thread of its own, which waits for who reads.

use std::{fmt::Write as _, ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use meshlog_connectors::{
    ports::{GraphExport, GraphFormat, Pieces},
    problem::Problem,
};
use meshlog_pipeline::now_micros;
use meshlog_processors::{
    Micros,
    graph::{Entity, Exported, FactAnswer, GraphStore, InsightAnswer},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{problems, view};

/// A piece has about so many bytes.
const PIECE: usize = 64 * 1024;
/// So many pieces may wait for the reader.
const WAITING: usize = 4;

/// The document, in pieces.
pub(super) fn pieces(store: Arc<GraphStore>, space: String, form: GraphExport) -> Pieces {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || write(&store, &space, form, &sender));
    Box::pin(stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }))
}

fn write(store: &GraphStore, space: &str, form: GraphExport, sender: &mpsc::Sender<Result<Bytes, Problem>>) {
    let GraphExport { format, has_fact_nodes } = form;
    let now = now_micros();
    let mut text = match format {
        GraphFormat::Json => begin_json(space),
        GraphFormat::GraphMl => GRAPHML_BEGIN.to_owned(),
    };
    let mut is_left = false;
    let mut is_first = true;
    let given = store.export(space, |exported| {
        match format {
            GraphFormat::Json => {
                for item in to_json(space, exported, now, has_fact_nodes) {
                    text.push_str(if std::mem::take(&mut is_first) { "\n" } else { ",\n" });
                    text.push_str(&item.to_string());
                }
            }
            GraphFormat::GraphMl => graphml(&mut text, exported, now, has_fact_nodes),
        }
        if text.len() < PIECE {
            return ControlFlow::Continue(());
        }
        match sender.blocking_send(Ok(std::mem::take(&mut text).into())) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => {
                is_left = true;
                ControlFlow::Break(())
            }
        }
    });
    if is_left {
        return;
    }
    text.push_str(match format {
        GraphFormat::Json => "\n]}\n",
        GraphFormat::GraphMl => "</graph>\n</graphml>\n",
    });
    // Nobody may read any more.
    let _ = match given {
        Ok(()) => sender.blocking_send(Ok(text.into())),
        Err(error) => sender.blocking_send(Err(problems::from_store(error))),
    };
}

fn begin_json(space: &str) -> String {
    format!("{{\"space\":{},\"items\":[", json!(space))
}

fn to_json(space: &str, exported: Exported, now: Micros, has_fact_nodes: bool) -> Vec<Value> {
    let with_item = |mut value: Value, item: &str| {
        value["item"] = item.into();
        value
    };
    let as_node = |mut value: Value, id: Uuid, node_type: &str, name: String| {
        value["node_id"] = json!(id);
        value["type"] = node_type.into();
        value["name"] = name.into();
        with_item(value, "node")
    };
    match exported {
        Exported::Entity(entity) => vec![with_item(json!(view::node(space, entity)), "node")],
        Exported::Together(one, other, weight) => {
            let edge = json!({"relation": "mentioned-with", "nodes": [one, other], "weight": weight});
            vec![with_item(edge, "edge")]
        }
        Exported::Fact(fact) if has_fact_nodes => {
            let id = fact.fact_id;
            let ends = [("subject", fact.subject.clone()), ("object", fact.object.clone())];
            let node = as_node(json!(view::fact(space, fact.clone(), now)), id, "fact", view::statement(&fact));
            // A phrase is no node; it stands in the fact itself.
            let ends = ends.into_iter().filter(|(_, end)| end.kind.is_some());
            [node].into_iter().chain(ends.map(|(relation, end)| edge_item(relation, id, end.id))).collect()
        }
        Exported::Fact(fact) => vec![with_item(json!(view::fact(space, fact, now)), "fact")],
        Exported::Insight(insight, named) if has_fact_nodes => {
            let (id, words) = (insight.insight_id, insight.text.clone());
            let node = as_node(json!(view::insight(insight)), id, "insight", words);
            [node].into_iter().chain(named.into_iter().map(|entity| edge_item("names", id, entity))).collect()
        }
        Exported::Insight(insight, _) => vec![with_item(json!(view::insight(insight)), "insight")],
    }
}

fn edge_item(relation: &str, from: Uuid, to: Uuid) -> Value {
    json!({"item": "edge", "relation": relation, "nodes": [from, to], "weight": 1})
}

const GRAPHML_BEGIN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key id="type" for="node" attr.name="type" attr.type="string"/>
<key id="kind" for="node" attr.name="kind" attr.type="string"/>
<key id="label" for="node" attr.name="label" attr.type="string"/>
<key id="mentions" for="node" attr.name="mentions" attr.type="long"/>
<key id="relation" for="edge" attr.name="relation" attr.type="string"/>
<key id="weight" for="edge" attr.name="weight" attr.type="long"/>
<key id="polarity" for="edge" attr.name="polarity" attr.type="string"/>
<key id="modality" for="edge" attr.name="modality" attr.type="string"/>
<key id="state" for="edge" attr.name="state" attr.type="string"/>
<key id="from" for="edge" attr.name="valid_from" attr.type="string"/>
<key id="until" for="edge" attr.name="valid_until" attr.type="string"/>
<key id="confidence" for="edge" attr.name="confidence" attr.type="double"/>
<key id="messages" for="edge" attr.name="message_ids" attr.type="string"/>
<key id="fact-relation" for="node" attr.name="relation" attr.type="string"/>
<key id="fact-polarity" for="node" attr.name="polarity" attr.type="string"/>
<key id="fact-modality" for="node" attr.name="modality" attr.type="string"/>
<key id="fact-state" for="node" attr.name="state" attr.type="string"/>
<key id="fact-from" for="node" attr.name="valid_from" attr.type="string"/>
<key id="fact-until" for="node" attr.name="valid_until" attr.type="string"/>
<key id="fact-confidence" for="node" attr.name="confidence" attr.type="double"/>
<key id="fact-messages" for="node" attr.name="message_ids" attr.type="string"/>
<graph edgedefault="directed">
"#;

/// One node or edge; a fact is an edge or a node with its edges, and the node that its phrase is, if it leads to one.
fn graphml(text: &mut String, exported: Exported, now: Micros, has_fact_nodes: bool) {
    match exported {
        Exported::Entity(Entity { id, kind, name, mentions, .. }) => {
            node(text, &id.to_string(), view::node_type(kind), kind.name(), &name, mentions);
        }
        Exported::Together(one, other, weight) => {
            let data = [("relation", "mentioned-with".to_owned()), ("weight", weight.to_string())];
            edge(text, &one.to_string(), &other.to_string(), &data);
        }
        Exported::Fact(fact) => of_fact(text, fact, now, has_fact_nodes),
        Exported::Insight(InsightAnswer { insight_id, text: words, sources, .. }, named) => {
            let id = insight_id.to_string();
            node(text, &id, "insight", "insight", &words, sources.len() as u64);
            for entity in named.into_iter().filter(|_| has_fact_nodes) {
                edge(text, &id, &entity.to_string(), &[("relation", "names".to_owned())]);
            }
        }
    }
}

fn of_fact(text: &mut String, fact: FactAnswer, now: Micros, is_node: bool) {
    let (subject, object) = (fact.subject.clone(), fact.object.clone());
    for end in [&subject, &object].into_iter().filter(|end| end.kind.is_none()) {
        // Every edge has its own: GraphML wants ids once, and a phrase is no node of the graph.
        node(text, &format!("{}-{}", fact.fact_id, end.id), "phrase", "phrase", &end.name, 0);
    }
    let id = |end: &meshlog_processors::graph::FactEnd| match end.kind {
        Some(_) => end.id.to_string(),
        None => format!("{}-{}", fact.fact_id, end.id),
    };
    let (from, to) = (id(&subject), id(&object));
    let (fact_id, label) = (fact.fact_id.to_string(), view::statement(&fact));
    let shown = view::fact("", fact, now);
    let messages: Vec<_> = shown.sources.iter().filter_map(|source| source.message_id.clone()).collect();
    let mut data = vec![
        ("relation", shown.relation),
        ("polarity", shown.polarity),
        ("modality", shown.modality),
        ("state", shown.state),
        ("confidence", shown.confidence.to_string()),
        ("messages", messages.join(" ")),
    ];
    data.extend(shown.valid_from.map(|from| ("from", from.to_string())));
    data.extend(shown.valid_until.map(|until| ("until", until.to_string())));
    if !is_node {
        return edge(text, &from, &to, &data);
    }
    begin_node(text, &fact_id, "fact", "fact", &label, messages.len() as u64);
    for (key, value) in data {
        // For nodes the keys have names of their own.
        text.push_str(&format!("<data key=\"fact-{key}\">{}</data>", escaped(&value)));
    }
    text.push_str("</node>\n");
    for (relation, end) in [("subject", from), ("object", to)] {
        edge(text, &fact_id, &end, &[("relation", relation.to_owned())]);
    }
}

fn node(text: &mut String, id: &str, node_type: &str, kind: &str, label: &str, mentions: u64) {
    begin_node(text, id, node_type, kind, label, mentions);
    text.push_str("</node>\n");
}

fn begin_node(text: &mut String, id: &str, node_type: &str, kind: &str, label: &str, mentions: u64) {
    // Into memory; so it does not fail.
    let _ = write!(
        text,
        "<node id=\"{id}\"><data key=\"type\">{node_type}</data><data key=\"kind\">{kind}</data>\
         <data key=\"label\">{}</data><data key=\"mentions\">{mentions}</data>",
        escaped(label)
    );
}

fn edge(text: &mut String, from: &str, to: &str, data: &[(&str, String)]) {
    text.push_str(&format!("<edge source=\"{from}\" target=\"{to}\">"));
    for (key, value) in data {
        text.push_str(&format!("<data key=\"{key}\">{}</data>", escaped(value)));
    }
    text.push_str("</edge>\n");
}

/// A text as XML has it. What no XML may hold is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_xml_whatever_it_holds() {
        assert_eq!(escaped("<a> & \"b\"\u{0}\u{fffe}\n"), "&lt;a&gt; &amp; &quot;b&quot;\n");
    }
}
