use std::{fs, time::Instant};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::Server;

/// A word that stands in one message alone.
const SECRET: &str = "quillwort";

fn told(server: &Server) {
    let said = [
        ("1", "garden", "Mina", "We planted roses beside the wall."),
        ("2", "garden", "Teo", "I live in Bergen. The quillwort grows under the glass of Nadia Holm."),
        ("3", "garden", "Mina", "Nadia Holm came by in May."),
        ("4", "shed", "Teo", "The ladder is in the shed."),
    ];
    let lines = said.map(|(id, thread, author, text)| {
        let sent_at = format!("2025-05-0{id}T10:00:00Z");
        let message = json!({"id": id, "thread": thread, "author": author, "sent_at": sent_at, "text": text});
        format!("{message}\n")
    });
    server.import(&lines.concat());
    server.settle();
}

/// Everything that the server says of anything, in one text.
fn answers(server: &Server) -> String {
    let mut said = String::new();
    let mut add = |(status, answer): (u16, Value)| {
        assert!(status == 200 || status == 404, "{answer}");
        said.push_str(&answer.to_string());
        said.push('\n');
    };
    for query in [SECRET, "what grows under the glass?", "Teo", "where is the ladder?"] {
        add(server.post_json("/v1/recall", json!({"query": query, "explain": true})));
        let context = json!({"thread": "garden", "query": query});
        let (status, mut context) = server.post_json("/v1/context", context);
        // What is asked stands in the prompt all the same.
        let prompt = context["messages"].to_string().replacen(query, "", 1);
        context["messages"] = prompt.into();
        add((status, context));
    }
    for path in [
        "/v1/threads",
        "/v1/threads/garden/messages",
        "/v1/threads/shed/messages",
        "/v1/graph/nodes",
        "/v1/graph/facts?all=true",
        "/v1/graph/export",
        "/v1/events?topic=messages&limit=100",
        "/v1/events?topic=knowledge&limit=100",
    ] {
        add(server.get(path));
    }
    said
}

fn forget(server: &Server, what: Value) {
    let mut body = json!({"author": "Mina", "reason": "he asked for it"});
    body.as_object_mut().unwrap().append(what.clone().as_object_mut().unwrap());
    let begun = Instant::now();
    let (status, receipt) = server.post_json("/v1/memory/forgettings?wait=indexed", body);
    assert_eq!((status, &receipt["reached"]), (202, &json!("indexed")), "{receipt}");
    assert!(begun.elapsed().as_secs() < 30, "{what}");
}

#[test]
fn a_forgotten_message_is_gone_at_once_and_after_a_replay() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    told(&server);
    assert!(answers(&server).contains(SECRET));
    let (_, thread) = server.get("/v1/threads/garden/messages");
    let message = thread["items"].as_array().unwrap().iter().find(|message| message["source_id"] == "2").unwrap();
    let id = message["message_id"].as_str().unwrap().to_owned();

    forget(&server, json!({"message_id": id}));
    let check = |server: &Server| {
        let answers = answers(server);
        assert!(!answers.contains(SECRET) && !answers.contains("Bergen"), "{answers}");
        assert_eq!(server.get(&format!("/v1/messages/{id}")).0, 404);
        let (_, thread) = server.get("/v1/threads");
        let garden = thread["items"].as_array().unwrap().iter().find(|thread| thread["thread_id"] == "garden").unwrap();
        assert_eq!((&garden["messages"], &garden["authors"]), (&json!(2), &json!(["Mina"])));
        let (_, found) = server.get("/v1/graph/nodes?query=nadia");
        assert_eq!(found["items"][0]["mentions"], 1, "who was named elsewhere too is still there: {found}");
    };
    check(&server);
    let digests = server.digests();
    assert!(server.terminate().success());
    fs::remove_dir_all(data.path().join("projections")).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.digests(), digests);
    check(&server);
}

#[test]
fn an_author_is_forgotten_up_to_now_and_what_is_said_later_is_remembered() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    told(&server);
    forget(&server, json!({"said_by": "Teo"}));
    let said = answers(&server);
    assert!(!said.contains(SECRET) && !said.contains("The ladder is"), "{said}");
    let (_, threads) = server.get("/v1/threads");
    let names: Vec<_> = threads["items"].as_array().unwrap().iter().map(|thread| &thread["thread_id"]).collect();
    assert_eq!(names, ["garden"], "a thread without messages is none");

    let message = json!({"thread": "shed", "author": "Teo", "text": "I painted the ladder green."});
    assert_eq!(server.post_json("/v1/messages?wait=indexed", message).0, 202);
    assert!(answers(&server).contains("painted the ladder"));
    forget(&server, json!({"everything": true}));
    server.settle();
    let (_, threads) = server.get("/v1/threads");
    assert_eq!(threads["items"], json!([]));
}
