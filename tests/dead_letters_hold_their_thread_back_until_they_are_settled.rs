use std::path::Path;

use meshlog_pipeline::{Batch, EmbeddedLog, EmbeddedOptions, Log as _, NewRecord};
use meshlog_schemas::{Headers, Topic};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::Server;

/// Puts a record that is no event on the log of a stopped server, among the messages of a thread.
fn append_junk(data: &Path, key: &'static str) {
    let log = EmbeddedLog::open(&data.join("log"), EmbeddedOptions::default()).unwrap();
    let junk = NewRecord {
        topic: Topic::Messages,
        key: key.into(),
        headers: Headers::default(),
        body: "no event".into(),
        identity: None,
    };
    pollster::block_on(log.append(Batch { records: vec![junk], progress: None })).unwrap();
}

fn say(server: &Server, id: &str, thread: &str, text: &str) {
    let message = json!({"id": id, "thread": thread, "author": "Ines", "text": text});
    let (status, accepted) = server.post_json("/v1/messages", message);
    assert_eq!(status, 202, "{accepted}");
}

/// The dead letters, each as processor, class and attempts; whole, in the order of these.
fn dead_letters(server: &Server) -> Vec<Value> {
    let (status, page) = server.get("/v1/dead-letters");
    assert_eq!(status, 200, "{page}");
    let mut items = page["items"].as_array().unwrap().clone();
    items.sort_by_key(|item| item["id"].as_str().unwrap().to_owned());
    items
}

fn classes(letters: &[Value]) -> Vec<&str> {
    letters.iter().map(|letter| letter["class"].as_str().unwrap()).collect()
}

/// How many dead letters each stage counts that reads messages.
fn parked(server: &Server) -> Vec<u64> {
    let (_, view) = server.get("/v1/processors");
    let processors = view["processors"].as_array().unwrap();
    let is_stage =
        |processor: &&Value| ["route", "embed", "extract"].iter().any(|name| name_of(processor).starts_with(name));
    processors.iter().filter(is_stage).map(|processor| processor["parked"].as_u64().unwrap()).collect()
}

fn name_of(processor: &Value) -> &str {
    processor["name"].as_str().unwrap()
}

fn thread(server: &Server, thread: &str) -> Vec<String> {
    let (status, page) = server.get(&format!("/v1/threads/{thread}/messages"));
    if status != 200 {
        return Vec::new();
    }
    let id = |message: &Value| message["source_id"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(id).collect()
}

#[test]
fn dead_letters_are_shown_outlive_a_kill_and_a_discard_lets_their_thread_go_on() {
    let data = tempdir().unwrap();
    assert!(Server::start(data.path()).terminate().success());
    append_junk(data.path(), "main/t");

    let server = Server::start(data.path());
    say(&server, "waits", "t", "the ferry leaves at nine");
    say(&server, "flows", "u", "the soup needs more salt");
    // Each of the three stages parks the junk, and the message behind it.
    server.eventually("all are parked by each stage", || dead_letters(&server).len() == 6);
    let before = dead_letters(&server);
    assert_eq!(classes(&before), ["unreadable", "waiting"].repeat(3), "{before:?}");
    for letter in &before {
        assert_eq!((&letter["key"], &letter["position"]["topic"]), (&json!("main/t"), &json!("messages")), "{letter}");
    }
    for head in [&before[0], &before[2], &before[4]] {
        assert_eq!((&head["waiting"], &head["waits_behind"]), (&json!(1), &Value::Null), "{head}");
        assert!(!head["error"].as_str().unwrap().is_empty(), "{head}");
    }
    assert_eq!(before[1]["waits_behind"], before[0]["position"]["offset"]);
    server.eventually("each stage counts what it parked", || parked(&server) == [2, 2, 2]);
    server.eventually("another thread flows", || thread(&server, "u") == ["flows"]);
    server.eventually("its message is embedded", || server.events_on("embeddings") == 1);
    server.kill();

    let server = Server::start(data.path());
    server.settle();
    assert_eq!(dead_letters(&server), before, "still parked, with the attempts and times of before");
    server.eventually("each stage has read what it parked", || parked(&server) == [2, 2, 2]);
    assert_eq!(server.events_on("embeddings"), 1);

    for head in [&before[0], &before[2], &before[4]] {
        let id = head["id"].as_str().unwrap();
        let output = server.run(&["dead-letters", "discard", id, "--reason", "it is no event"]);
        assert!(output.status.success(), "{output:?}");
    }
    server.eventually("what waited goes on", || dead_letters(&server).is_empty() && parked(&server) == [0, 0, 0]);
    server.eventually("it is embedded", || server.events_on("embeddings") == 2);
    server.eventually("it can be recalled", || server.recalled("main", "when does the ferry leave?", 1) == ["waits"]);
}

#[test]
fn what_is_forgotten_is_not_shown_as_a_dead_letter_either() {
    let data = tempdir().unwrap();
    assert!(Server::start(data.path()).terminate().success());
    append_junk(data.path(), "main/t");
    let server = Server::start(data.path());
    say(&server, "waits", "t", "the ferry leaves at nine");
    server.eventually("it waits", || classes(&dead_letters(&server)).contains(&"waiting"));
    let letter = || {
        let letters = dead_letters(&server);
        let waiting = letters.iter().find(|letter| letter["class"] == "waiting").unwrap();
        server.get(&format!("/v1/dead-letters/{}", waiting["id"].as_str().unwrap())).1
    };
    assert!(letter().to_string().contains("the ferry leaves"), "{}", letter());
    let (status, receipt) = server.post_json("/v1/memory/forgettings", json!({"thread": "t", "author": "Ines"}));
    assert_eq!(status, 202, "{receipt}");
    assert!(!letter().to_string().contains("the ferry leaves"), "{}", letter());
}
