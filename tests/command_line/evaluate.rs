//! Measuring recall against answers that are known.

use serde_json::{Value, json};

use super::{
    code, directory, file, json as parsed, run,
    server::{Memory, Reply, Server},
    stdout,
};

fn result(thread: &str, source_id: &str) -> Value {
    json!({"message_id": source_id, "source_id": source_id, "space": "home", "thread_id": thread, "author": "a",
        "role": "user", "sent_at": "2025-04-05T09:41:00Z", "accepted_at": "2025-04-05T09:41:00Z", "text": "x",
        "position": {"topic": "messages", "partition": 0, "offset": 0}, "snippet": "x", "highlights": [], "score": 1.0})
}

fn answering() -> Server {
    let mut memory = Memory::default();
    Server::start(move |request| {
        if request.is("POST", "/v1/messages") {
            let mut answer = memory.take(&request.body);
            answer["reached"] = json!("indexed");
            return Reply::Json(202, answer);
        }
        assert!(request.is("POST", "/v1/recall"), "{request:?}");
        Reply::ok(
            json!({"results": [result("t1", "D1"), result("t1", "D2"), result("t2", "D3")], "as_of": {}, "took_ms": 0.25}),
        )
    })
}

#[test]
fn figures_are_those_of_the_rankings() {
    let directory = directory();
    let questions = json!([
        {"space": "home", "question": "first?", "category": 1, "evidence": ["D1", "D1"], "sessions": ["t1"]},
        {"space": "home", "question": "second?", "category": 2, "evidence": ["D3", "D9"], "sessions": ["t2", "t3"]},
        {"space": "home", "question": "third?", "category": 2, "evidence": [], "sessions": []},
    ]);
    let questions = file(&directory, "questions.json", questions.to_string());
    let chats = file(&directory, "chats.jsonl", "{\"thread\":\"t1\",\"author\":\"a\",\"text\":\"x\"}\n");
    let server = answering();
    let arguments = ["--json", "evaluate", "--questions", &questions, "--conversations", &chats, "--import"];
    let output = run(&server.url, arguments);
    assert_eq!(code(&output), 0, "{output:?}");
    let report = parsed(&stdout(&output));
    let overall = &report["overall"];
    assert_eq!((&overall["questions"], &overall["without_evidence"]), (&json!(3), &json!(1)));
    assert_eq!(
        overall["session"],
        json!({"hit_at_1": 0.5, "recall_at_5": 0.75, "recall_at_10": 0.75, "all_at_10": 0.5})
    );
    assert_eq!(overall["turn"], json!({"hit_at_1": 0.5, "recall_at_10": 0.75, "recall_at_20": 0.75}));
    assert_eq!(report["categories"]["2"]["session"]["recall_at_5"], 0.5);
    assert_eq!((&report["took_ms"]["p50"], &report["import"]["accepted"]), (&json!(0.25), &json!(1)));
    assert_eq!(server.connections(), 1, "opening connections is not measured");
    let recalls: Vec<_> = server.requests().into_iter().filter(|request| request.is("POST", "/v1/recall")).collect();
    assert_eq!(recalls.len(), 6, "each of the first questions is asked once more, to warm up");
    assert_eq!(
        recalls[0].json(),
        json!({"query": "first?", "limit": 100, "spaces": ["home"], "entities": false, "explain": false})
    );
}

#[test]
fn people_get_a_table() {
    let directory = directory();
    let questions =
        json!([{"space": "home", "question": "?", "category": "why", "evidence": ["D1"], "sessions": ["t1"]}]);
    let questions = file(&directory, "questions.json", questions.to_string());
    let shown = stdout(&run(&answering().url, ["evaluate", "--questions", &questions]));
    for row in
        ["why       1          1.000", "left out: 0 questions without sessions", "round trip", "server        0.25"]
    {
        assert!(shown.contains(row), "{row}:\n{shown}");
    }
}

#[test]
fn an_import_needs_conversations() {
    let directory = directory();
    let questions = file(&directory, "questions.json", "[]");
    assert_eq!(code(&run(&answering().url, ["evaluate", "--questions", &questions, "--import"])), 2);
    assert_eq!(code(&run(&answering().url, ["evaluate", "--questions", &questions])), 1, "there is no question");
}
