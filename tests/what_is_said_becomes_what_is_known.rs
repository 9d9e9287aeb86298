use std::fs;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::Server;

/// A life in messages: what holds changes, some of it is only planned, and not everybody says the truth.
const LIFE: [(&str, &str, &str, &str); 9] = [
    ("work", "Mina", "2021-03-01T09:00:00Z", "I work at Siemens now, and I live in Berlin."),
    ("work", "Mina", "2021-05-01T09:00:00Z", "My sister Ana Lopez works at Bosch."),
    ("work", "Teo", "2022-01-10T09:00:00Z", "I am vegetarian. We use PostgreSQL for the archive."),
    ("work", "Mina", "2022-02-01T09:00:00Z", "Ana said hello to Ana Lopez's neighbours."),
    ("home", "Mina", "2024-05-01T09:00:00Z", "I moved to Oslo."),
    ("home", "Mina", "2024-05-02T09:00:00Z", "Do you think I work at Volvo?"),
    ("home", "Mina", "2024-06-01T09:00:00Z", "I might move to Rome next year."),
    ("home", "Teo", "2024-07-01T09:00:00Z", "I'm vegan now."),
    ("home", "Mina", "2024-08-01T09:00:00Z", "I joined Bosch today."),
];

fn told(server: &Server) {
    let lines = LIFE.iter().enumerate().map(|(number, (thread, author, sent_at, text))| {
        let message =
            json!({"id": format!("m{number}"), "thread": thread, "author": author, "sent_at": sent_at, "text": text});
        format!("{message}\n")
    });
    server.import(&lines.collect::<String>());
    server.settle();
}

fn items(server: &Server, path: &str) -> Vec<Value> {
    let (status, page) = server.get(path);
    assert_eq!(status, 200, "{path}: {page}");
    page["items"].as_array().unwrap().clone()
}

/// The objects of the facts about somebody in a relation.
fn objects(server: &Server, conditions: &str) -> Vec<String> {
    let facts = items(server, &format!("/v1/graph/facts?{conditions}"));
    facts.iter().map(|fact| fact["object"]["name"].as_str().unwrap().to_owned()).collect()
}

fn node(server: &Server, name: &str) -> Value {
    let found = items(server, &format!("/v1/graph/nodes?query={name}"));
    let id = found.first().unwrap_or_else(|| panic!("there is no {name}"))["node_id"].as_str().unwrap().to_owned();
    server.get(&format!("/v1/graph/nodes/{id}")).1
}

fn check(server: &Server) {
    // What holds now, and what held then.
    assert_eq!(objects(server, "subject=Mina&relation=lives-in"), ["Oslo"]);
    assert_eq!(objects(server, "subject=Mina&relation=lives-in&at=2023-01-01T00:00:00Z"), ["Berlin"]);
    assert_eq!(objects(server, "subject=Mina&relation=lives-in&at=2020-01-01T00:00:00Z"), [] as [&str; 0]);
    assert_eq!(objects(server, "subject=Mina&relation=works-at"), ["Bosch"]);
    assert_eq!(objects(server, "subject=Teo&relation=diet"), ["vegan"]);
    // All that was said, with what became of it and who said so.
    let all = items(server, "/v1/graph/facts?subject=Mina&relation=lives-in&all=true");
    let state = |place: &str| all.iter().find(|fact| fact["object"]["name"] == place).unwrap()["state"].clone();
    assert_eq!((state("Oslo"), state("Berlin")), ("current".into(), "past".into()));
    let berlin = all.iter().find(|fact| fact["object"]["name"] == "Berlin").unwrap();
    let source = &berlin["sources"][0];
    let (_, message) = server.get(&format!("/v1/messages/{}", source["message_id"].as_str().unwrap()));
    assert_eq!((&message["source_id"], &berlin["closed_by"].is_string()), (&json!("m0"), &true), "{berlin}");
    let text = message["text"].as_str().unwrap();
    let place = |field: &str| usize::try_from(source[field].as_u64().unwrap()).unwrap();
    assert!(text[place("start")..place("end")].contains("Berlin"), "{source}");
    assert!(objects(server, "subject=Mina&object=Volvo&all=true").is_empty(), "a question states nothing");

    // A short name is the long one of its thread.
    let ana = node(server, "Ana");
    assert_eq!((&ana["node"]["name"], &ana["node"]["kind"]), (&json!("Ana Lopez"), &json!("person")), "{ana}");
    assert_eq!(ana["node"]["merged"][0]["reason"], "first-name");
    let bosch = node(server, "Bosch")["node"]["node_id"].as_str().unwrap().to_owned();
    let ids = (ana["node"]["node_id"].as_str().unwrap(), bosch.as_str());
    let (_, path) = server.get(&format!("/v1/graph/path?from={}&to={}", ids.0, ids.1));
    assert_eq!((&path["nodes"][1]["name"], &path["complete"]), (&json!("Bosch"), &json!(true)), "{path}");
    let timeline = items(server, &format!("/v1/graph/nodes/{}/timeline", ids.0));
    assert_eq!(timeline.len(), 2, "{timeline:?}");
}

#[test]
fn facts_hold_from_when_they_are_said_until_others_take_their_place() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    told(&server);
    check(&server);
    let digests = server.digests();
    let knowledge = server.events_on("knowledge");
    assert!(server.terminate().success());

    fs::remove_dir_all(data.path().join("projections")).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.digests(), digests);
    check(&server);
    assert_eq!(server.events_on("knowledge"), knowledge, "nothing is read a second time");
    assert_eq!(server.events_on("calls"), 0, "no model is asked");
}

#[test]
fn what_people_write_into_the_memory_counts_before_what_was_read() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    told(&server);
    let write = |path: &str, body: Value| {
        let (status, receipt) = server.post_json(&format!("{path}?wait=indexed"), body);
        assert_eq!((status, &receipt["reached"]), (202, &json!("indexed")), "{receipt}");
        receipt["id"].as_str().unwrap().to_owned()
    };
    // What is pinned is in every context of its thread.
    let pinned = json!({"id": "style", "text": "Answer in German.", "thread": "home", "author": "Mina"});
    write("/v1/memory/insights", pinned);
    let again = json!({"id": "style", "text": "Answer in Dutch.", "thread": "home", "author": "Mina"});
    let insight = write("/v1/memory/insights", again);
    let (_, context) = server.post_json("/v1/context", json!({"thread": "home", "query": "where does Mina live?"}));
    let section = |name: &str| {
        let sections = context["sections"].as_array().unwrap();
        sections.iter().find(|section| section["name"] == name).unwrap_or_else(|| panic!("{name}: {context}"))["items"]
            .clone()
    };
    assert_eq!(section("pinned")[0]["text"], "Answer in Dutch.");
    assert!(context["messages"][0]["content"].as_str().unwrap().contains("<memory pinned>\n[1] Answer in Dutch.\n"));
    let fact = section("facts")[0].clone();
    assert!(fact["text"].as_str().unwrap().starts_with("Mina: lives-in Oslo"), "{fact}");
    assert!(fact["message_id"].is_string() && fact["citation"].is_u64());
    let (_, elsewhere) = server.post_json("/v1/context", json!({"thread": "work", "query": "hello"}));
    assert!(elsewhere["sections"].as_array().unwrap().iter().all(|section| section["name"] != "pinned"));
    write("/v1/memory/forgettings", json!({"insight_id": insight, "author": "Mina"}));
    assert!(items(&server, "/v1/memory/insights").is_empty());

    // A correction takes the place of what was read wrongly.
    let wrong = items(&server, "/v1/graph/facts?subject=Mina&relation=lives-in")[0]["fact_id"].clone();
    let body = json!({"fact_id": wrong, "object": "Bergen", "author": "Mina", "reason": "a slip"});
    write("/v1/memory/corrections", body);
    assert_eq!(objects(&server, "subject=Mina&relation=lives-in"), ["Bergen"]);
    assert_eq!(server.get(&format!("/v1/graph/facts/{}", wrong.as_str().unwrap())).1["state"], "corrected");

    // What a person says of names is not undone by the resolver.
    let link = json!({"kind": "person", "from": "Ana", "into": "Ana Lopez", "author": "Mina", "reason": "another one"});
    write("/v1/graph/partings", link);
    assert_eq!(node(&server, "Ana")["node"]["name"], "Ana");
    let link = json!({"kind": "person", "from": "Teo", "into": "Mina", "author": "Mina"});
    write("/v1/graph/merges", link);
    assert_eq!(node(&server, "Teo")["node"]["name"], "Mina");

    // What is named otherwise in a message is found by the name that is asked for.
    let link = json!({"kind": "organisation", "from": "Siemens", "into": "Bosch", "author": "Mina"});
    write("/v1/graph/merges", link);
    let named = |entities: bool| {
        let body = json!({"query": "Who is at Siemens?", "entities": entities, "explain": true, "limit": 50});
        let (_, found) = server.post_json("/v1/recall", body);
        let results = found["results"].as_array().unwrap().clone();
        let counts = |result: &&Value| result["signals"]["entities"].as_f64().is_some_and(|signal| signal > 0.0);
        let mut ids: Vec<_> = results.iter().filter(counts).map(|result| result["source_id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        ids
    };
    assert_eq!((named(true), named(false)), (vec![json!("m1"), json!("m8")], vec![]));

    let output = server.run(&["graph", "facts", "--subject", "Mina", "--relation", "lives-in"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("Mina lives-in Bergen"), "{shown}");
    let exported = server.run(&["graph", "export"]);
    let document: Value = serde_json::from_slice(&exported.stdout).unwrap();
    let kinds: std::collections::BTreeSet<_> =
        document["items"].as_array().unwrap().iter().map(|item| item["item"].as_str().unwrap()).collect();
    assert_eq!(Vec::from_iter(kinds), ["edge", "fact", "node"]);
    let exported = String::from_utf8(server.run(&["graph", "export", "--format", "graphml"]).stdout).unwrap();
    assert!(exported.starts_with("<?xml") && exported.trim_end().ends_with("</graphml>"), "{exported}");
    assert_eq!(exported.matches("<node ").count(), exported.matches("</node>").count());
}

#[test]
fn facts_and_insights_are_nodes_that_are_shown_walked_and_exported() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    told(&server);
    let source = items(&server, "/v1/threads/work/messages")[1]["message_id"].clone();
    let insight = json!({"text": "Ana Lopez knows all about BOSCH.", "author": "Teo", "sources": [source]});
    let (_, receipt) = server.post_json("/v1/memory/insights?wait=indexed", insight);
    let insight = receipt["id"].as_str().unwrap();
    let facts = items(&server, "/v1/graph/facts?subject=Mina&relation=lives-in&all=true");
    let of =
        |place: &str| facts.iter().find(|fact| fact["object"]["name"] == place).unwrap()["fact_id"].as_str().unwrap();
    let (oslo, berlin) = (of("Oslo"), of("Berlin"));
    let tied = |node: &Value, relation: &str| -> Vec<Value> {
        let ties = node["ties"].as_array().unwrap().iter().filter(|tie| tie["relation"] == relation);
        ties.map(|tie| tie.get("name").unwrap_or(&tie["node_id"]).clone()).collect()
    };

    let (_, shown) = server.get(&format!("/v1/graph/nodes/{berlin}"));
    assert_eq!((&shown["node"]["type"], &shown["fact"]["state"]), (&json!("fact"), &json!("past")), "{shown}");
    assert_eq!(shown["node"]["name"], "Mina lives-in Berlin");
    assert_eq!((tied(&shown, "subject"), tied(&shown, "object")), (vec![json!("Mina")], vec![json!("Berlin")]));
    assert_eq!(tied(&shown, "closed-by"), [json!(oslo)]);
    assert_eq!(tied(&server.get(&format!("/v1/graph/nodes/{oslo}")).1, "closes"), [json!(berlin)]);
    let (_, shown) = server.get(&format!("/v1/graph/nodes/{insight}"));
    assert_eq!((&shown["node"]["type"], tied(&shown, "source")), (&json!("insight"), vec![source]), "{shown}");
    assert_eq!(tied(&shown, "names"), ["Ana Lopez", "Bosch"]);

    let id = |name: &str| node(&server, name)["node"]["node_id"].as_str().unwrap().to_owned();
    let (mina, bosch) = (id("Mina"), id("Bosch"));
    let edges = |kind: &str| items(&server, &format!("/v1/graph/nodes/{bosch}/edges?kind={kind}"));
    let mut stated: Vec<_> =
        edges("fact").iter().map(|edge| edge["node"]["name"].as_str().unwrap().to_owned()).collect();
    stated.sort();
    assert_eq!(stated, ["Ana Lopez works-at Bosch", "Mina works-at Bosch"]);
    assert_eq!(edges("insight")[0]["node"]["node_id"], insight);
    assert!(edges("person").iter().all(|edge| edge["node"]["kind"] == "person"));
    assert_eq!(items(&server, &format!("/v1/graph/nodes/{insight}/edges")).len(), 2);
    let (_, path) = server.get(&format!("/v1/graph/path?from={oslo}&to={insight}"));
    assert_eq!(path["relations"], json!(["subject", "works-at", "names"]), "{path}");
    assert_eq!((&path["nodes"][1]["node_id"], &path["nodes"][3]["kind"]), (&json!(mina), &json!("insight")), "{path}");

    let shown = server.run(&["graph", "show", berlin]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("closed-by"), "{shown:?}");
    let shown = server.run(&["graph", "neighbours", "Bosch", "--facts"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("Mina works-at Bosch"), "{shown:?}");
    let exported = server.run(&["graph", "export", "--facts"]);
    let document: Value = serde_json::from_slice(&exported.stdout).unwrap();
    let (nodes, edges): (Vec<_>, Vec<_>) =
        document["items"].as_array().unwrap().iter().partition(|item| item["item"] == "node");
    let types: std::collections::BTreeSet<_> = nodes.iter().map(|node| node["type"].as_str().unwrap()).collect();
    assert!(["entity", "fact", "insight"].iter().all(|of| types.contains(of)), "{types:?}");
    let ids: std::collections::BTreeSet<_> = nodes.iter().map(|node| node["node_id"].as_str().unwrap()).collect();
    for edge in edges {
        assert!(edge["nodes"].as_array().unwrap().iter().all(|end| ids.contains(end.as_str().unwrap())), "{edge}");
    }
    let exported = server.run(&["graph", "export", "--format", "graphml", "--facts"]);
    let exported = String::from_utf8(exported.stdout).unwrap();
    let quoted = |field: &str| -> Vec<String> {
        exported
            .match_indices(field)
            .map(|(at, _)| exported[at + field.len()..].split('"').next().unwrap().to_owned())
            .collect()
    };
    let nodes = quoted("<node id=\"");
    assert!(nodes.contains(&berlin.to_owned()) && exported.contains("Mina lives-in Berlin"), "{exported}");
    for end in ["<edge source=\"", "\" target=\""].into_iter().flat_map(quoted) {
        assert!(nodes.contains(&end), "{end} is no node");
    }
}
