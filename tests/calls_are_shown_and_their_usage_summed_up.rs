//! Calls that stand on a log: what the view of calls says of them, and that it is what the log says however it came about.

use std::{collections::BTreeMap, fs, path::Path, process::Command, sync::Arc};

use meshlog_pipeline::{ClearSealer, EmbeddedLog, EmbeddedOptions, EventLog, Log as _, NewEvent};
use meshlog_schemas::{AttemptFailed, AttemptStarted, CallRequested, CallSettled, Event, EventId, Trust};
use pollster::block_on;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{BINARY, Server};

/// 2024-08-01T12:00:00Z.
const NOON: i64 = 1_722_513_600_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;
const CALLS: i64 = 60;

fn request(number: i64) -> CallRequested {
    CallRequested {
        call_id: EventId::of_source("calls", &number.to_string()),
        space: "home".into(),
        thread: (number % 3 > 0).then(|| format!("t{}", number % 5)),
        key_label: "laptop".into(),
        kind: "chat".into(),
        wire: "openai".into(),
        model: "small".into(),
        mode: "whole".into(),
        owner: "node-1".into(),
        idempotency_key: None,
        body: format!("{{\"model\":\"small\",\"n\":{number}}}").into(),
    }
}

/// The first was under way when its server ended; every tenth was given up after a failed attempt.
fn life(number: i64) -> Vec<Event> {
    let call = request(number);
    let (call_id, space, thread) = (call.call_id, call.space.clone(), call.thread.clone());
    let started = AttemptStarted {
        call_id,
        space: space.clone(),
        thread: thread.clone(),
        number: 1,
        provider: "acme".into(),
        model: "acme-small".into(),
        idempotency_key: None,
    };
    let mut events = vec![Event::CallRequested(call.clone()), Event::AttemptStarted(started)];
    if number == 0 {
        return events;
    }
    let is_failed = number % 10 == 0;
    if is_failed {
        events.push(Event::AttemptFailed(AttemptFailed {
            call_id,
            space: space.clone(),
            thread: thread.clone(),
            number: 1,
            provider: "acme".into(),
            class: "rate_limited".into(),
            status: 429,
            retry_after_ms: 1_000,
            message: "slow down".into(),
            headers: "{}".into(),
            body: Vec::new(),
        }));
    }
    let response = if is_failed { Vec::new() } else { format!("data: {number}\n\n").into_bytes() };
    events.push(Event::CallSettled(Box::new(CallSettled {
        call_id,
        space,
        thread,
        key_label: call.key_label,
        kind: call.kind,
        asked_model: call.model,
        outcome: if is_failed { "failed" } else { "completed" }.into(),
        error_class: if is_failed { "rate_limited" } else { "" }.into(),
        error_message: String::new(),
        status: if is_failed { 429 } else { 200 },
        attempts: 1,
        provider: "acme".into(),
        model: "acme-small".into(),
        answered_model: "acme-small-2".into(),
        finish_reason: "stop".into(),
        requested_at: NOON + number % 3 * DAY + number * SECOND,
        first_output_micros: 1_500,
        total_micros: 3_000,
        usage_source: if is_failed { "none" } else { "reported" }.into(),
        usage: String::new(),
        input_tokens: if is_failed { 0 } else { number },
        cache_write_tokens: 0,
        cache_read_tokens: 0,
        output_tokens: if is_failed { 0 } else { 2 },
        reasoning_tokens: 0,
        cost_nanos: if is_failed { 0 } else { 1_000 + number },
        price_table: "acme acme-small 2026-08-01".into(),
        request_id: Some(format!("r-{number}")),
        headers: "{}".into(),
        wire: "openai".into(),
        response_type: if is_failed { "" } else { "text/event-stream" }.into(),
        // Of one, less than the whole is kept.
        response_bytes: response.len() as i64 + i64::from(number == 7),
        response: response.into(),
        timings: Vec::new().into(),
        response_encoding: String::new(),
    })));
    events
}

/// Writes the calls as a server does, the events of all side by side, and some of them twice.
fn write(data: &Path) {
    let log = Arc::new(EmbeddedLog::open(&data.join("log"), EmbeddedOptions::default()).unwrap());
    let events = EventLog::new(log.clone(), Arc::new(ClearSealer));
    for step in 0..4 {
        let of_step = (0..CALLS).filter_map(|number| Some((number, life(number).into_iter().nth(step)?)));
        let new = of_step.flat_map(|(number, event)| {
            let id = match step {
                0 => request(number).call_id,
                _ => EventId::of_source("calls", &format!("{number}/{step}")),
            };
            let new = NewEvent::first(id, "/test", Trust::System, event);
            let is_doubled = number % 4 == 0;
            std::iter::repeat_n(new, if is_doubled { 2 } else { 1 })
        });
        let new: Vec<_> = new.collect();
        if !new.is_empty() {
            block_on(events.append(new, None)).unwrap();
        }
    }
    log.close();
}

fn page(server: &Server, query: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = server.get(&format!("/v1/calls?space=home&limit=7{query}{cursor}"));
        assert_eq!(status, 200, "{page}");
        items.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// Status, body and header of the bytes at a path.
fn bytes(server: &Server, path: &str) -> (u16, String, String, bool) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.get(format!("{}{path}", server.url)).call().unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let is_partial = response.headers().get("meshlog-kept").is_some_and(|kept| kept == "partial");
    (response.status().as_u16(), media_type, response.body_mut().read_to_string().unwrap(), is_partial)
}

fn run(server: &Server, arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).args(["--url", &server.url]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_view_of_calls_is_what_the_log_says_and_is_rebuilt_from_it() {
    let data = tempdir().unwrap();
    write(data.path());
    let server = Server::start(data.path());
    server.settle();

    // A position on the log of calls is waited for like one of a message.
    let (status, page_after) = server.get_with("/v1/calls?space=home", &[("meshlog-after", "calls/0/3,calls/1/3")]);
    assert_eq!(status, 200, "{page_after}");

    // Lists.
    let all = page(&server, "");
    assert_eq!(all.len() as i64, CALLS);
    assert!(all.is_sorted_by(|newer, older| newer["requested_at"].as_str() >= older["requested_at"].as_str()));
    assert_eq!((page(&server, "&state=open").len(), page(&server, "&state=interrupted").len()), (0, 1));
    assert_eq!(page(&server, "&state=failed").len(), 5);
    assert_eq!(page(&server, "&thread=t2").len(), 8);
    assert_eq!(server.get("/v1/calls").1["items"], json!([]), "the space is main where none is named");
    assert_eq!(server.get("/v1/calls?space=home&cursor=00").1["code"], "bad_cursor");

    // One call, and its bodies.
    let of = |number: i64| request(number).call_id;
    let (_, call) = server.get(&format!("/v1/calls/{}", of(10)));
    assert_eq!(
        (&call["state"], &call["error_class"], &call["attempts"][0]["class"], &call["attempts"][0]["status"]),
        (&json!("failed"), &json!("rate_limited"), &json!("rate_limited"), &json!(429)),
        "{call}"
    );
    let stream = "text/event-stream".to_owned();
    let response = |number: i64| bytes(&server, &format!("/v1/calls/{}/response", of(number)));
    assert_eq!(response(8), (200, stream.clone(), "data: 8\n\n".to_owned(), false));
    assert_eq!(response(7), (200, stream, "data: 7\n\n".to_owned(), true));
    let body = bytes(&server, &format!("/v1/calls/{}/request", of(8)));
    assert_eq!(body, (200, "application/json".to_owned(), r#"{"model":"small","n":8}"#.to_owned(), false));
    for (path, status, code) in [
        (format!("/v1/calls/{}/response", of(0)), 409, "no_response"),
        (format!("/v1/calls/{}/response", of(10)), 409, "no_response"),
        (format!("/v1/calls/{}", of(CALLS)), 404, "unknown_call"),
        ("/v1/calls/moon/request".to_owned(), 404, "unknown_call"),
    ] {
        let (found, problem) = server.get(&path);
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    }

    // Sums.
    let completed: Vec<i64> = (1..CALLS).filter(|number| number % 10 != 0).collect();
    let (_, usage) = server.get("/v1/usage?by=day&to=2024-08-31");
    let mut days = BTreeMap::<i64, (i64, i64)>::new();
    for number in 1..CALLS {
        let day = days.entry(number % 3).or_default();
        day.0 += 1;
        day.1 += if number % 10 == 0 { 0 } else { number };
    }
    let rows: Vec<_> = usage["usage"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["day"].clone(), row["calls"].clone(), row["tokens"]["input"].clone()))
        .collect();
    let expected: Vec<_> = days
        .iter()
        .map(|(day, (calls, input))| (json!(format!("2024-08-0{}", day + 1)), json!(calls), json!(input)))
        .collect();
    assert_eq!(rows, expected);
    let total = &usage["total"];
    assert_eq!(
        (&total["calls"], &total["completed"], &total["failed"], &total["without_usage"]),
        (&json!(CALLS - 1), &json!(completed.len()), &json!(5), &json!(5))
    );
    let nanos: i64 = completed.iter().map(|number| 1_000 + number).sum();
    let (_, _, text, _) = bytes(&server, "/v1/usage?to=2024-08-31");
    assert!(text.contains(&format!("\"cost_usd\":0.{nanos:09}")), "{nanos}: {text}");
    assert_eq!(
        server.get("/v1/usage?from=2024-08-03&to=2024-08-03&by=").1["total"],
        server.get("/v1/usage?from=2024-08-03&to=2024-08-31").1["total"]
    );
    assert_eq!(server.get("/v1/usage?space=moon").1["total"]["calls"], 0);

    // The command line.
    assert!(run(&server, &["usage", "--by", "provider,day"]).contains("acme"));
    let shown = run(&server, &["calls", "--space", "home", "--thread", "t2"]);
    assert!(shown.contains(&of(2).to_string()) && shown.lines().count() == 9, "{shown}");
    assert!(run(&server, &["calls", &of(10).to_string()]).contains("slow down"));

    // Rebuilds, with and without a server.
    let (digests, listed) = (server.digests(), all);
    let rebuild = run(&server, &["replay", "rebuild", "calls"]);
    assert_eq!(server.digests(), digests, "{rebuild}");
    let (_, report) = server.post_json("/v1/verifications", json!({"projection": "calls"}));
    assert_eq!(report["results"][0]["equal"], true, "{report}");
    assert!(server.terminate().success());
    fs::remove_dir_all(data.path().join("projections")).unwrap();
    let server = Server::start(data.path());
    server.settle();
    assert_eq!(server.digests(), digests);
    assert_eq!(page(&server, ""), listed);
}
