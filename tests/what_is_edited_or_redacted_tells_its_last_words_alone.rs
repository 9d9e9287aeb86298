use std::{fs, path::Path, process::Stdio, time::Instant};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{BINARY, Server, model, scripted::Scripted, up};

/// What stood in one message alone.
const OLD: [&str; 3] = ["quillwort", "Bergen", "Nadia Holm"];
const SAID: &str = "I live in Bergen. The quillwort grows under the glass of Nadia Holm.";
const EDITED: &str = "I live in Trondheim. The bog rosemary grows beside the pond.";

fn lines() -> String {
    let said = [
        ("1", "garden", "Mina", "We planted roses beside the wall."),
        ("2", "garden", "Teo", SAID),
        ("3", "garden", "Mina", "The gate has to be painted before June."),
        ("4", "shed", "Teo", "The ladder is in the shed."),
    ];
    let lines = said.map(|(id, thread, author, text)| {
        let sent_at = format!("2025-05-0{id}T10:00:00Z");
        format!("{}\n", json!({"id": id, "thread": thread, "author": author, "sent_at": sent_at, "text": text}))
    });
    lines.concat()
}

fn start(data: &Path, config: &Path, arguments: &[&str]) -> Server {
    let mut command = up(data, "127.0.0.1:0", &model());
    Server::started(command.arg("--config").arg(config).args(arguments).stderr(Stdio::inherit()))
}

/// Everything that the views say, in one text.
fn answers(server: &Server) -> String {
    let mut said = String::new();
    let mut add = |(status, answer): (u16, Value)| {
        assert!(status == 200 || status == 404 || status == 410, "{status} {answer}");
        said.push_str(&answer.to_string());
        said.push('\n');
    };
    for query in ["quillwort", "what grows under the glass?", "where does Teo live?", "who is Nadia Holm?"] {
        add(server.post_json("/v1/recall", json!({"query": query, "explain": true, "limit": 50})));
        let (status, mut context) = server.post_json("/v1/context", json!({"thread": "garden", "query": query}));
        // What is asked stands in the prompt all the same.
        let prompt = context["messages"].to_string().replacen(query, "", 1);
        context["messages"] = prompt.into();
        add((status, context));
    }
    for path in [
        "/v1/threads/garden/messages",
        "/v1/threads/garden/summary?budget_tokens=2000",
        "/v1/graph/nodes?limit=100",
        "/v1/graph/facts?all=true",
        "/v1/graph/export",
    ] {
        add(server.get(path));
    }
    said
}

/// Everything that is read of the log again.
fn history(server: &Server) -> String {
    let topics = ["messages", "embeddings", "knowledge", "memory", "deliveries", "calls"];
    let mut said = String::new();
    for topic in topics {
        let (status, events) = server.get(&format!("/v1/events?topic={topic}&limit=1000"));
        assert_eq!(status, 200, "{events}");
        said.push_str(&events.to_string());
    }
    let (_, calls) = server.get("/v1/calls?space=main");
    for call in calls["items"].as_array().unwrap() {
        for body in ["request", "response"] {
            let (_, body) = server.get(&format!("/v1/calls/{}/{body}", call["call_id"].as_str().unwrap()));
            said.push_str(&body.to_string());
        }
    }
    said
}

fn message(server: &Server, source_id: &str) -> Value {
    let (_, thread) = server.get("/v1/threads/garden/messages");
    thread["items"].as_array().unwrap().iter().find(|message| message["source_id"] == source_id).unwrap().clone()
}

fn write(server: &Server, path: &str, body: Value) {
    let begun = Instant::now();
    let (status, receipt) = server.post_json(&format!("{path}?wait=indexed"), body);
    assert_eq!((status, &receipt["reached"]), (202, &json!("indexed")), "{receipt}");
    println!("{path} is indexed after {:?}", begun.elapsed());
    assert!(begun.elapsed().as_secs() < 10);
}

fn ask(server: &Server, thread: &str, messages: Value) -> u16 {
    let body = json!({"model": "plain", "messages": messages}).to_string();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("{}/v1/chat/completions", server.url)).header("meshlog-thread", thread);
    request.header("content-type", "application/json").send(body.as_bytes()).unwrap().status().as_u16()
}

#[test]
fn an_edited_message_is_found_by_its_new_words_and_no_more_by_its_old() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let subscription = json!({"subscriber": "Mina", "space": "main"});
    assert!(server.post_json("/v1/subscriptions", subscription).0 < 300);
    server.import(&lines());
    server.settle();
    let (before, delivered) = (message(&server, "2"), server.events_on("deliveries"));
    assert!(OLD.iter().all(|old| answers(&server).contains(old)) && before["edited"].is_null());
    let id = before["message_id"].as_str().unwrap();
    let edit = json!({"message_id": id, "text": EDITED, "author": "Teo", "reason": "a slip"});
    write(&server, "/v1/memory/edits", edit);
    server.settle();

    let check = |server: &Server| {
        let said = answers(server);
        assert!(OLD.iter().all(|old| !said.contains(old)), "{said}");
        assert_eq!(server.recalled("main", "where does the bog rosemary grow?", 1), ["2"]);
        let now = message(server, "2");
        assert_eq!((&now["text"], &now["position"]), (&json!(EDITED), &before["position"]));
        assert_eq!((&now["edited"]["kind"], &now["edited"]["by"]), (&json!("edited"), &json!("Teo")), "{now}");
        let (_, thread) = server.get("/v1/threads/garden/messages");
        let order: Vec<_> = thread["items"].as_array().unwrap().iter().map(|one| one["source_id"].clone()).collect();
        assert_eq!(order, ["1", "2", "3"], "it is where it was");
        let (_, facts) = server.get("/v1/graph/facts?subject=Teo&relation=lives-in&all=true");
        let lives: Vec<_> = facts["items"].as_array().unwrap().iter().map(|fact| &fact["object"]["name"]).collect();
        assert_eq!(lives, ["Trondheim"]);
        let (_, statistics) = server.get("/v1/threads/garden/statistics");
        assert_eq!((&statistics["messages"], &statistics["authors"][1]["words"]), (&json!(3), &json!(11)));
        assert!(history(server).contains("quillwort"), "what it said before is in its history");
    };
    check(&server);
    assert_eq!(server.events_on("deliveries"), delivered, "nobody is told of it a second time");
    // Who sends it again as it was has it there already.
    assert_eq!(server.import(&lines())["duplicates"], 4);
    check(&server);
    let unknown = json!({"message_id": before["source_id"], "text": "x", "author": "Teo"});
    let (status, problem) = server.post_json("/v1/memory/edits", unknown);
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_message")));
    let output = server.run(&["memory", "edit", id, EDITED, "--author", "Teo", "--reason", "again"]);
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(server.run(&["threads", "garden"]).stdout).unwrap();
    assert!(shown.contains("bog rosemary") && shown.contains("edited by Teo on"), "{shown}");

    let digests = server.digests();
    assert!(server.terminate().success());
    fs::remove_dir_all(data.path().join("projections")).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.digests(), digests);
    check(&server);
}

#[test]
fn of_what_is_redacted_nothing_is_told_that_is_not_left() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let config = upstream.config(directory.path(), "");
    let data = directory.path().join("data");
    let server = start(&data, &config, &[]);
    server.import(&lines());
    let said = json!({"role": "user", "content": "Nadia Holm keeps quillwort in Bergen."});
    assert_eq!(ask(&server, "garden", json!([said])), 200);
    // A later turn tells all of the conversation again.
    let more = json!([said, {"role": "assistant", "content": "Fine."}, {"role": "user", "content": "Thanks."}]);
    assert_eq!(ask(&server, "garden", more.clone()), 200);
    assert_eq!(ask(&server, "shed", json!([{"role": "user", "content": "Is the ladder long?"}])), 200);
    server.settle();
    let (_, thread) = server.get("/v1/threads/garden/messages");
    let telling = |one: &&Value| OLD.iter().any(|old| one["text"].as_str().unwrap().contains(old));
    let ids: Vec<_> = thread["items"].as_array().unwrap().iter().filter(telling).collect();
    let ids: Vec<_> = ids.into_iter().map(|one| one["message_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2, "{thread}");
    assert!(history(&server).contains("quillwort"));

    // One is edited before, so that there are two wordings; of the other a part is left.
    let edit = json!({"message_id": ids[0], "text": "The quillwort is Nadia Holm's, in Bergen.", "author": "Teo"});
    write(&server, "/v1/memory/edits", edit);
    write(&server, "/v1/memory/redactions", json!({"message_id": ids[0], "author": "Mina", "reason": "private"}));
    let output = server.run(&["memory", "redact", &ids[1], "--keep", "She keeps a plant.", "--author", "Mina"]);
    assert!(output.status.success(), "{output:?}");
    server.settle();

    let check = |server: &Server| {
        let all = answers(server) + &history(server);
        assert!(OLD.iter().all(|old| !all.contains(old)), "{all}");
        let (status, gone) = server.get(&format!("/v1/messages/{}", ids[0]));
        assert_eq!((status, &gone["text"], &gone["edited"]["kind"]), (200, &json!(""), &json!("redacted")), "{gone}");
        let (_, left) = server.get(&format!("/v1/messages/{}", ids[1]));
        assert_eq!((&left["text"], &left["edited"]["by"]), (&json!("She keeps a plant."), &json!("Mina")), "{left}");
        for query in ["Teo", "garden", "what grows under the glass?"] {
            let (_, found) = server.post_json("/v1/recall", json!({"query": query, "limit": 50}));
            let found = found["results"].as_array().unwrap();
            assert!(found.iter().all(|result| result["message_id"] != ids[0]), "{query}");
        }
        let (_, context) = server.post_json("/v1/context", json!({"thread": "garden"}));
        assert!(!context.to_string().contains(&ids[0]), "{context}");
        assert!(history(server).contains("Is the ladder long?"), "calls of other threads are shown");
        let (_, calls) = server.get("/v1/calls?space=main&thread=garden");
        for call in calls["items"].as_array().unwrap() {
            let (status, problem) = server.get(&format!("/v1/calls/{}/request", call["call_id"].as_str().unwrap()));
            assert_eq!((status, &problem["code"]), (410, &json!("events_removed")), "{problem}");
        }
    };
    check(&server);
    let digests = server.digests();
    assert!(server.terminate().success());
    let rebuilt = std::process::Command::new(BINARY)
        .args(["replay", "rebuild", "--all", "--data"])
        .arg(&data)
        .arg("--model")
        .arg(model())
        .output()
        .unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    // What was recorded of the thread's calls is not given again either.
    let server = start(&data, &config, &["--provider", "replay", "--replay-pace", "at-once"]);
    assert_eq!(server.digests(), digests);
    check(&server);
    assert_eq!(ask(&server, "kitchen", more), 404);

    // Redacted and forgotten, in this order or the other, it is forgotten.
    write(&server, "/v1/memory/forgettings", json!({"message_id": ids[0], "author": "Mina"}));
    assert_eq!(server.get(&format!("/v1/messages/{}", ids[0])).0, 404);
    let late = json!({"message_id": ids[0], "text": "x", "author": "Teo"});
    assert_eq!(server.post_json("/v1/memory/edits", late).0, 404);
}

#[test]
fn the_calls_of_a_thread_do_not_tell_a_message_that_is_forgotten() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let config = upstream.config(directory.path(), "");
    let server = start(&directory.path().join("data"), &config, &[]);
    let content = "Nadia Holm keeps quillwort in Bergen.";
    assert_eq!(ask(&server, "garden", json!([{"role": "user", "content": content}])), 200);
    server.settle();
    let (_, thread) = server.get("/v1/threads/garden/messages");
    let id = thread["items"][0]["message_id"].clone();
    assert!(history(&server).contains("quillwort"));
    write(&server, "/v1/memory/forgettings", json!({"message_id": id, "author": "Mina"}));
    server.settle();
    let all = answers(&server) + &history(&server);
    assert!(OLD.iter().all(|old| !all.contains(old)), "{all}");
}
