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
        "sent_at": "2025-04-05T09:41:00Z", "accepted_at": "2025-04-05T09:41:00Z", "text": text,
        "position": {"topic": "messages", "partition": 2, "offset": 7},
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
        --after 2025-01-01T00:00:00Z --before 2026-01-01T01:00:00+01:00 --as-of 2025-06-01T00:00:00Z --entities true --explain";
    let output = run(&server.url, arguments.split_whitespace());
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(
        server.requests()[0].json(),
        json!({"query": "spare key", "limit": 3, "spaces": ["home", "work"], "threads": ["keys"], "authors": ["Mara"],
            "after": "2025-01-01T00:00:00Z", "before": "2026-01-01T00:00:00Z", "as_of": "2025-06-01T00:00:00Z",
            "entities": true, "explain": true})
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

fn call(number: u64, state: &str) -> Value {
    let is_settled = state != "open";
    let when = |value: Value| if is_settled { value } else { Value::Null };
    json!({"call_id": format!("c{number}"), "space": "my home", "thread_id": "keys", "key_label": "laptop", "kind": "chat",
        "asked_model": "small", "state": state, "requested_at": "2026-08-01T12:00:00Z",
        "request_position": {"topic": "calls", "partition": 0, "offset": number}, "mode": "stream", "wire": "openai",
        "owner": "node-1", "idempotency_key": null,
        "attempts": [{"number": 1, "provider": "acme", "model": "acme-small", "started_at": "2026-08-01T12:00:00Z",
            "failed_at": "2026-08-01T12:00:01Z", "class": "rate_limited", "status": 429, "retry_after_ms": 1000,
            "message": "slow\ndown", "idempotency_key": null}],
        "settled_at": when(json!("2026-08-01T12:00:02Z")), "settled_position": null, "error_class": null,
        "error_message": null, "status": when(json!(200)), "attempts_made": when(json!(2)), "provider": when(json!("acme")),
        "model": when(json!("acme-small")), "answered_model": null, "finish_reason": when(json!("stop")),
        "first_output_ms": when(json!(12.25)), "total_ms": when(json!(2000.0)), "usage_source": when(json!("reported")),
        "tokens": when(json!({"input": 3, "cache_write": 0, "cache_read": 2, "output": 5, "reasoning": 0, "total": 10})),
        "cost_usd": when(json!(0.00000125)), "price_table": when(json!("acme 2026-08-01")), "usage": null, "request_id": null,
        "headers": null, "response_wire": null, "response_type": null, "response_bytes": null})
}

#[test]
fn calls_are_listed_and_one_is_shown_with_its_attempts() {
    let server = Server::start(|request| match request.path.starts_with("/v1/calls?") {
        true => Reply::ok(json!({"items": [call(1, "open"), call(2, "completed")], "next": null})),
        false => Reply::ok(call(2, "completed")),
    });
    let shown =
        stdout(&run(&server.url, ["calls", "--space", "my home", "--thread", "keys", "--open", "--limit", "7"]));
    for row in [
        "c1    2026-08-01T12:00:00Z  open       small  keys    1         -       -",
        "c2    2026-08-01T12:00:00Z  completed  small  keys    2         10      0.00000125",
    ] {
        assert!(shown.contains(row), "{row}:\n{shown}");
    }
    assert_eq!(server.requests()[0].path, "/v1/calls?space=my%20home&thread=keys&state=open&limit=7");
    let shown = stdout(&run(&server.url, ["calls", "c/2"]));
    for line in [
        "c2  completed  2026-08-01T12:00:00Z",
        "asked for      small",
        "first output   12.2 ms",
        "tokens         3 input, 0 written to and 2 read from the cache, 5 output, 0 reasoning (reported)",
        "cost           0.00000125 USD (acme 2026-08-01)",
        "rate_limited  429     slow down",
    ] {
        assert!(shown.contains(line), "{line}:\n{shown}");
    }
    assert!(!shown.contains("error"), "what is not there is not shown:\n{shown}");
    assert!(server.requests()[1].is("GET", "/v1/calls/c%2F2"));
    let both = run(&server.url, ["calls", "c2", "--open"]);
    assert_eq!(code(&both), 2, "{both:?}");
}

#[test]
fn usage_is_a_table_in_the_order_asked_for_and_exact_for_programs() {
    let sums = |day: Option<&str>, calls: u64, cost: &str| {
        let day = day.map(|day| format!("\"model\":\"small\",\"day\":\"{day}\",")).unwrap_or_default();
        format!(
            "{{{day}\"calls\":{calls},\"completed\":1,\"truncated\":0,\"failed\":0,\"cancelled\":0,\"interrupted\":0,\"attempts\":3,\
             \"tokens\":{{\"input\":3,\"cache_write\":1,\"cache_read\":2,\"output\":5,\"reasoning\":4,\"total\":15}},\
             \"cost_usd\":{cost},\"unpriced\":1,\"estimated\":0,\"without_usage\":0}}"
        )
    };
    let rows = [sums(Some("2026-08-01"), 2, "9007199254.740993001"), sums(Some("2026-08-02"), 1, "0.000000001")];
    let total = sums(None, 3, "9007199254.740993002");
    let document = format!("{{\"usage\":[{}],\"total\":{total}}}", rows.join(","));
    let answer = document.clone();
    let server = Server::start(move |_| Reply::Text(answer.clone()));
    let shown = stdout(&run(&server.url, ["usage", "--by", "day,model", "--space", "home", "--from", "2026-08-01"]));
    for row in [
        "day         model  calls  completed  attempts  input  cache write  cache read  output  reasoning  cost (USD)",
        "2026-08-01  small  2      1          3         3      1            2           5       4          9007199254.740993001",
        "total              3      1          3         3      1            2           5       4          9007199254.740993002",
        "calls without a price, which cost nothing here: 1",
    ] {
        assert!(shown.contains(row), "{row}:\n{shown}");
    }
    assert_eq!(server.requests()[0].path, "/v1/usage?by=day%2Cmodel&space=home&from=2026-08-01");
    assert_eq!(stdout(&run(&server.url, ["usage", "--json"])).trim_end(), document);
    for wrong in [["usage", "--by", "moon"], ["usage", "--from", "2026-02-30"]] {
        assert_eq!(code(&run(&server.url, wrong)), 2);
    }
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
    assert_eq!(row, ["embed", "stage", "running", "3", "1.2", "0.0", "-", "0", "0", "-"]);
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
