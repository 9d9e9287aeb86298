use std::{fs, net::TcpListener, path::Path};

use serde_json::json;
use tempfile::tempdir;

use crate::support::{Server, model, up};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

#[test]
fn a_bad_message_is_refused_by_name_and_the_server_goes_on() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let large = json!({"thread": "t", "author": "a", "text": "x".repeat((1 << 20) + 1)}).to_string();
    let cases: [(&[u8], u16, &str); 8] = [
        (large.as_bytes(), 413, "message_too_large"),
        (b"{\"thread\":\"t\",\"author\":\"a\",\"text\":\"\xff\"}", 400, "not_utf8"),
        (br#"{"thread":"t","author":"a","text":"x","txet":"y"}"#, 400, "unknown_field"),
        (br#"{"thread":"t","author":"a","text":7}"#, 400, "wrong_type"),
        (br#"{"thread":"t","author":"a"}"#, 400, "missing_field"),
        (br#"{"thread":"t","author":"a","text":"x","sent_at":"yesterday"}"#, 400, "invalid_field"),
        (br#"{"thread":"t","author":"a","text":"x""#, 400, "bad_json"),
        (b"", 400, "bad_json"),
    ];
    for (body, status, code) in cases {
        let (actual, problem) = server.post("/v1/messages", JSON, body);
        assert_eq!((actual, &problem["code"]), (status, &code.into()), "{problem}");
        assert!(problem["detail"].is_string() && problem["help"].is_string(), "{problem}");
    }
    let (status, problem) = server.get("/v1/threads/nowhere/messages");
    assert_eq!((status, &problem["code"]), (404, &"unknown_thread".into()));
    let (status, problem) = server.post_json("/v1/recall", json!({"query": "x", "limt": 3}));
    assert_eq!((status, &problem["code"]), (400, &"unknown_field".into()));
    let (status, problem) = server.post_json("/v1/rebuilds", json!({"projection": "grph"}));
    assert_eq!((status, &problem["code"]), (404, &"unknown_projection".into()));
    assert_eq!(server.events_on("messages"), 0);
    assert_eq!(server.get("/readyz").0, 200);
}

#[test]
fn a_bad_line_is_reported_with_its_number_and_the_others_are_taken_in() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let good = |id: u32| format!("{{\"id\":\"{id}\",\"thread\":\"t\",\"author\":\"a\",\"text\":\"line {id}\"}}\n");
    let mut body = good(1).into_bytes();
    body.extend_from_slice(b"not json\n");
    body.extend_from_slice(good(3).as_bytes());
    body.extend_from_slice(b"{\"id\":\"4\",\"thread\":\"t\",\"author\":\"a\",\"text\":\"\xfe\"}\n");
    body.extend_from_slice(good(5).as_bytes());
    let (status, answer) = server.post("/v1/messages", LINES, &body);
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (202, &3.into(), &2.into()), "{answer}");
    let lines: Vec<_> =
        answer["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn the_import_command_counts_lines_of_the_file_and_keeps_the_bad_ones_in_a_report() {
    let data = tempdir().unwrap();
    let server = Server::start(data.path());
    let file = data.path().join("mixed.jsonl");
    let good = "{\"thread\":\"t\",\"author\":\"a\",\"text\":\"a fine line\"}\n";
    fs::write(&file, format!("{good}\n{{\"thread\":1}}\n{good}")).unwrap();
    let report = data.path().join("report.jsonl");
    let arguments = ["import", file.to_str().unwrap(), "--wait", "--report", report.to_str().unwrap()];
    let output = server.run(&arguments);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    let kept: serde_json::Value = serde_json::from_str(fs::read_to_string(&report).unwrap().trim()).unwrap();
    assert_eq!(kept["line"], 3, "{kept}");
    assert_eq!(server.events_on("messages"), 2, "two like lines of a file are two messages");
    server.run(&arguments);
    assert_eq!(server.events_on("messages"), 2, "and are not doubled by importing the file again");
}

/// Runs `up` where it cannot start; its error output.
fn refused(data: &Path, listen: &str, model: &Path) -> String {
    let output = up(data, listen, model).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_keeps_the_server_from_starting_is_named_with_what_to_do() {
    let data = tempdir().unwrap();
    let server = Server::start(&data.path().join("first"));

    let second = refused(&data.path().join("first"), "127.0.0.1:0", &model());
    assert!(second.contains(&format!("process {}", server.pid())) && second.contains("--url"), "{second}");

    let address = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = address.local_addr().unwrap().to_string();
    let error = refused(&data.path().join("second"), &taken, &model());
    assert!(error.contains(&taken) && error.contains("--listen"), "{error}");

    let file = data.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = refused(&file.join("data"), "127.0.0.1:0", &model());
    assert!(error.contains(file.to_str().unwrap()) && error.contains("--data"), "{error}");

    let nowhere = data.path().join("no-model");
    let error = refused(&data.path().join("third"), "127.0.0.1:0", &nowhere);
    assert!(error.contains(nowhere.to_str().unwrap()) && error.contains("make model"), "{error}");

    let damaged = data.path().join("damaged-model");
    fs::create_dir(&damaged).unwrap();
    for entry in fs::read_dir(model()).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), damaged.join(entry.file_name())).unwrap();
    }
    let weights = fs::OpenOptions::new().write(true).open(damaged.join("model.safetensors")).unwrap();
    weights.set_len(1 << 20).unwrap();
    let error = refused(&data.path().join("fourth"), "127.0.0.1:0", &damaged);
    assert!(error.contains("model.safetensors") && error.contains("make model"), "{error}");

    assert_eq!(server.get("/readyz").0, 200, "the first server is not disturbed");
}
