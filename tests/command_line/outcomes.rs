//! Exit codes and errors, as scripts see them.

use serde_json::json;

use super::{
    NOWHERE, code, json as parsed, run,
    server::{Reply, Server},
    stderr, stdout,
};

#[test]
fn without_a_server_the_exit_code_is_3_and_the_way_out_is_named() {
    for arguments in [&["topics"][..], &["recall", "x"], &["threads"], &["tail"], &["doctor"], &["replay", "verify"]] {
        let output = run(NOWHERE, arguments);
        assert_eq!(code(&output), 3, "{arguments:?}: {output:?}");
        let told = stderr(&output);
        assert!(told.starts_with(&format!("error: no meshlog answers at {NOWHERE}")), "{told}");
        assert!(told.contains("start one with \"meshlog up\" or name another with --url"), "{told}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &["fly"][..],
        &["recall"],
        &["recall", "x", "--limit", "0"],
        &["recall", "x", "--after", "noon"],
        &["replay", "rebuild"],
    ] {
        assert_eq!(code(&run(NOWHERE, arguments)), 2, "{arguments:?}");
    }
}

#[test]
fn an_https_url_is_refused_with_a_way_out() {
    let output = run("https://example.org", ["topics"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("speaks no TLS"), "{output:?}");
}

#[test]
fn a_refusal_is_1_and_shows_detail_help_and_code() {
    let server = Server::start(|_| Reply::problem(400, "invalid_field", json!({})));
    let output = run(&server.url, ["recall", "x"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stderr(&output), "error: this was wrong (invalid_field)\n  help: do that\n");
    let output = run(&server.url, ["--json", "recall", "x"]);
    assert_eq!(code(&output), 1);
    let told = parsed(&stderr(&output));
    assert_eq!((&told["code"], &told["help"], &told["exit"]), (&json!("invalid_field"), &json!("do that"), &json!(1)));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_difference_found_by_a_verification_is_4() {
    let server = Server::start(|request| {
        assert_eq!(request.json(), json!({}));
        Reply::ok(json!({"results": [
            {"projection": "threads", "live": "aa", "rebuilt": "aa", "equal": true},
            {"projection": "text", "live": "bb", "rebuilt": "cc", "equal": false,
             "built_from": [{"topic": "messages", "partition": 2, "next": 70}]},
        ]}))
    });
    let output = run(&server.url, ["replay", "verify"]);
    assert_eq!(code(&output), 4);
    let shown = stdout(&output);
    assert!(shown.contains("threads: equal  aa\ntext: DIFFERENT\n  live     bb\n  rebuilt  cc\n"), "{shown}");
    assert!(shown.contains("the log begins at messages/2 offset 70"), "{shown}");
}

#[test]
fn equal_contents_are_0() {
    let server = Server::start(|request| {
        assert_eq!(request.json(), json!({"projection": "text"}));
        Reply::ok(json!({"results": [{"projection": "text", "live": "aa", "rebuilt": "aa", "equal": true}]}))
    });
    assert_eq!(code(&run(&server.url, ["replay", "verify", "text"])), 0);
}

fn rebuilding(last_phase: &'static str) -> Server {
    let mut looks = 0;
    Server::start(move |request| {
        if request.is("GET", "/v1/projections") {
            let projection =
                |name| json!({"name": name, "version": "1", "state": "live", "lag_events": 0, "lag_seconds": 0.0});
            return Reply::ok(json!({"projections": [projection("text"), projection("threads")]}));
        }
        let start = request.is("POST", "/v1/rebuilds");
        looks = if start { 0 } else { looks + 1 };
        let phase = if looks < 2 { "catching_up" } else { last_phase };
        let error = (phase == "failed").then_some("the disk is full");
        let view = json!({"id": "r/1", "projection": "text", "phase": phase, "done": looks, "total": 2, "rate": 1.0,
            "eta_seconds": null, "error": error});
        Reply::Json(if start { 202 } else { 200 }, view)
    })
}

#[test]
fn a_rebuild_is_watched_to_its_end() {
    let server = rebuilding("done");
    let output = run(&server.url, ["--json", "replay", "rebuild", "text"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(parsed(&stdout(&output))["phase"], "done");
    assert!(server.requests().last().is_some_and(|request| request.is("GET", "/v1/rebuilds/r%2F1")));
}

#[test]
fn a_rebuild_that_fails_is_1_and_says_why() {
    let server = rebuilding("failed");
    let output = run(&server.url, ["replay", "rebuild", "text"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("failed: the disk is full"), "{output:?}");
}

#[test]
fn all_projections_are_rebuilt() {
    let server = rebuilding("done");
    let output = run(&server.url, ["replay", "rebuild", "--all"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let started: Vec<_> = server
        .requests()
        .iter()
        .filter(|request| request.is("POST", "/v1/rebuilds"))
        .map(|request| request.json()["projection"].clone())
        .collect();
    assert_eq!(started, ["text", "threads"]);
}

#[test]
fn the_doctor_is_1_when_a_finding_is_an_error() {
    let server = |ready: bool| {
        Server::start(move |request| match request.path.as_str() {
            "/readyz" if ready => Reply::ok(json!({"ready": true, "reasons": []})),
            "/readyz" => Reply::Json(503, json!({"ready": false, "reasons": ["threads is being rebuilt"]})),
            "/v1/topics" => Reply::ok(json!({"topics": []})),
            "/v1/processors" => Reply::ok(json!({"processors": []})),
            _ => Reply::ok(json!({"projections": []})),
        })
    };
    let output = run(&server(true).url, ["doctor"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let output = run(&server(false).url, ["--json", "doctor"]);
    assert_eq!(code(&output), 1, "{output:?}");
    let findings = parsed(&stdout(&output));
    let error =
        findings["findings"].as_array().expect("it is a list").iter().find(|finding| finding["level"] == "error");
    assert_eq!(error.expect("there is an error")["detail"], "threads is being rebuilt");
}
