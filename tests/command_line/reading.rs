//! What commands that read show, and that they end when nobody reads on.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use serde_json::{Value, json};

use super::{
    code, json as parsed, meshlog, run,
    server::{Reply, Server},
    stderr, stdout,
};

fn result(text: &str, snippet: &str, highlights: Value) -> Value {
    json!({"message_id": "m1", "source_id": "D1", "space": "home", "thread_id": "keys", "author": "Mara", "role": "user",
        "sent_at": "2025-04-05T09:41:00Z", "text": text, "position": {"topic": "messages", "partition": 2, "offset": 7},
        "snippet": snippet, "highlights": highlights, "score": 0.8125, "signals": {"cosine": 0.5, "words": 0.25}})
}

#[test]
fn recall_sends_every_condition_and_shows_who_said_what_where() {
    let server = Server::start(|request| {
        assert!(request.is("POST", "/v1/recall"));
        Reply::ok(json!({"results": [result("the spare key", "the **spare** key\u{1b}[2J\n is", json!([[6, 11]]))],
            "as_of": {}, "took_ms": 1.5}))
    });
    let arguments = "recall spare key --limit 3 --space home --space work --thread keys --author Mara \
        --after 2025-01-01T00:00:00Z --before 2026-01-01T01:00:00+01:00 --as-of 2025-06-01T00:00:00Z --explain";
    let output = run(&server.url, arguments.split_whitespace());
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(
        server.requests()[0].json(),
        json!({"query": "spare key", "limit": 3, "spaces": ["home", "work"], "threads": ["keys"], "authors": ["Mara"],
            "after": "2025-01-01T00:00:00Z", "before": "2026-01-01T00:00:00Z", "as_of": "2025-06-01T00:00:00Z",
            "explain": true})
    );
    let expected = " 1. 0.812  Mara  2025-04-05T09:41:00Z  home/keys\n    the spare key\u{fffd}[2J is\n    messages/2/7  D1\n    \
        signals: cosine 0.5000, words 0.2500\n\n1 results in 1.5 ms\n";
    assert_eq!(stdout(&output), expected);
}

#[test]
fn with_json_the_answer_is_the_servers_own_document() {
    let document = json!({"results": [result("x", "x", json!([]))], "as_of": {"messages/0": 4}, "took_ms": 1.5});
    let answer = document.clone();
    let server = Server::start(move |_| Reply::ok(answer.clone()));
    assert_eq!(parsed(&stdout(&run(&server.url, ["recall", "x", "--json"]))), document);
}

fn thread(number: u64) -> Value {
    json!({"thread_id": format!("t{number}"), "space": "home", "messages": number, "authors": ["Mara"],
        "first_at": "2025-04-05T09:41:00Z", "last_at": "2025-04-05T09:41:00Z",
        "position": {"topic": "messages", "partition": 0, "offset": number}})
}

#[test]
fn a_list_follows_its_cursors_up_to_the_limit() {
    let server = Server::start(|request| {
        let first = !request.path.contains("cursor=");
        let (items, next) = if first { (vec![thread(1), thread(2)], "a/b") } else { (vec![thread(3)], "more") };
        Reply::ok(json!({"items": items, "next": next}))
    });
    let output = run(&server.url, ["threads", "--space", "my home", "--limit", "3"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let shown = stdout(&output);
    for id in ["t1", "t2", "t3", "--limit shows more"] {
        assert!(shown.contains(id), "{shown}");
    }
    let paths: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/v1/threads?space=my%20home&limit=3", "/v1/threads?space=my%20home&limit=1&cursor=a%2Fb"]);
}

#[test]
fn a_thread_is_named_by_any_text() {
    let server = Server::start(|_| {
        let mut message = result("two\nlines", "", json!([]));
        for field in ["snippet", "highlights", "score", "signals"] {
            message.as_object_mut().expect("it is an object").remove(field);
        }
        Reply::ok(json!({"items": [message], "next": null}))
    });
    let output = run(&server.url, ["threads", "a/b c"]);
    assert_eq!(stdout(&output), "Mara (user)  2025-04-05T09:41:00Z\n    two\n    lines\n");
    assert!(server.requests()[0].is("GET", "/v1/threads/a%2Fb%20c/messages"));
}

fn overview(topics: usize) -> Server {
    Server::start(move |request| match request.path.as_str() {
        "/v1/topics" => {
            let topic = |number| json!({"name": format!("topic-{number}"), "partitions": [{"partition": 0, "start": 0, "end": 7}]});
            Reply::ok(json!({"topics": (0..topics).map(topic).collect::<Vec<_>>()}))
        }
        "/v1/processors" => Reply::ok(json!({"processors": [{"name": "embed", "kind": "stage", "state": "running",
            "inputs": ["messages"], "checkpoint": [], "lag_events": 3, "lag_seconds": 1.25, "last_error": null,
            "processed": 4}]})),
        _ => Reply::ok(json!({"projections": [{"name": "text", "version": "1-2", "state": "live", "lag_events": 0,
            "lag_seconds": 0.0}]})),
    })
}

#[test]
fn topics_processors_and_projections_are_shown_as_tables_or_as_one_document() {
    let server = overview(1);
    let shown = stdout(&run(&server.url, ["topics"]));
    for row in [
        "topic-0  0          0      7",
        "embed      stage  running  3 (1.2 s)  4          -",
        "text        1-2      live   0",
    ] {
        assert!(shown.contains(row), "{row}:\n{shown}");
    }
    let document = parsed(&stdout(&run(&server.url, ["topics", "--json"])));
    assert_eq!(document["topics"][0]["partitions"][0]["end"], 7);
    assert_eq!(document["processors"][0]["lag_events"], 3);
    assert_eq!(document["projections"][0]["version"], "1-2");
}

#[test]
fn processors_are_shown_with_lag_rate_and_dead_letters() {
    let server = overview(0);
    let shown = stdout(&run(&server.url, ["processors"]));
    let row = shown.lines().nth(1).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    // What an older server does not say is nothing.
    assert_eq!(row, ["embed", "stage", "running", "3", "1.2", "0.0", "0", "0", "-"]);
    let document = parsed(&stdout(&run(&server.url, ["processors", "--json"])));
    assert_eq!(document["processors"][0]["parked"], 0);
}

#[test]
fn topics_say_how_long_events_are_kept_and_what_an_acknowledgement_promises() {
    let server = Server::start(|request| match request.path.as_str() {
        "/v1/topics" => {
            Reply::ok(json!({"topics": [{"name": "messages", "partitions": [{"partition": 0, "start": 4, "end": 7}],
            "retention": {"max_age_seconds": 86400, "max_bytes": null, "held_by": ["text"], "bytes": 1234567}}],
            "durability": {"mode": "interval", "promise": "the last second may be lost"},
            "log": {"state": "full", "reason": "the disk is full"}}))
        }
        "/v1/processors" => Reply::ok(json!({"processors": []})),
        _ => Reply::ok(json!({"projections": []})),
    });
    let shown = stdout(&run(&server.url, ["topics"]));
    for line in [
        "messages  0          4      7    1.2 MB  1 d; more for text",
        "log: full: the disk is full",
        "durability interval: the last second may be lost",
    ] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
}

#[test]
fn a_reader_that_stops_reading_ends_the_command_quietly() {
    // Far more than a pipe holds, so that writing must fail.
    let server = overview(20_000);
    let mut child = meshlog(&server.url)
        .arg("topics")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    let mut reader = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("there is a first line");
    drop(reader);
    let status = child.wait().expect("it ends");
    let mut told = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut told).expect("it is text");
    assert_eq!((status.code(), told.as_str()), (Some(0), ""));
}

#[test]
fn an_answer_of_another_program_is_told_as_such() {
    let server = Server::start(|_| Reply::ok(json!({"hello": "world"})));
    let output = run(&server.url, ["topics"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("/v1/topics answered something that is not understood"), "{output:?}");
}
