//! Importing files: line numbers, repetition, and servers that go away.

use std::{
    io::Write,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::json;

use super::{
    NOWHERE, code, directory, file, json as parsed, meshlog, run,
    server::{Memory, Reply, Server},
    stderr, stdout, text_of,
};

fn line(number: usize) -> String {
    format!("{{\"id\":\"D{number}\",\"thread\":\"t\",\"author\":\"Ada\",\"text\":\"message {number}\"}}\n")
}

pub(super) fn taking_server() -> (Server, Arc<Mutex<Memory>>) {
    let memory = Arc::new(Mutex::new(Memory::default()));
    let log = memory.clone();
    let server = Server::start(move |request| {
        assert!(request.is("POST", "/v1/messages"), "{request:?}");
        Reply::Json(202, log.lock().expect("no test panicked").take(&request.body))
    });
    (server, memory)
}

#[test]
fn bad_lines_are_told_and_kept_with_their_numbers_in_the_file() {
    let directory = directory();
    let mut content = Vec::new();
    for number in 1..=1200 {
        match number {
            2 => content.extend_from_slice(b"\n"),
            3 => content.extend_from_slice(b"{\"id\":\"D3\",\"text\":\"a\xff\"}\n"),
            7 => content.extend_from_slice(b"{\"id\":\"D7\", oops}\n"),
            9 => {
                content.extend(vec![b'x'; 2 * 1024 * 1024 + 1]);
                content.push(b'\n');
            }
            11 | 700 | 1199 => {
                writeln!(content, "{{\"id\":\"D{number}\",\"thread\":\"t\",\"author\":\"Ada\"}}")
                    .expect("memory takes it");
            }
            _ => content.extend_from_slice(line(number).as_bytes()),
        }
    }
    let chats = file(&directory, "chats.jsonl", content);
    let report = directory.path().join("report.jsonl");
    let (server, memory) = taking_server();
    let output = run(&server.url, ["import", &chats, "--report", report.to_str().expect("it is text")]);
    assert_eq!(code(&output), 4, "{output:?}");
    assert_eq!(memory.lock().expect("no test panicked").ids.len(), 1193);
    assert!(stdout(&output).contains("1200 lines: 1193 accepted, 0 duplicates, 6 rejected"), "{output:?}");
    let told = stderr(&output);
    for beginning in [
        "line 3: byte 20",
        "line 7: key must be a string at column 13 ",
        "line 9: the line is longer",
        "line 11 (id D11): the field \"text\" is missing",
    ] {
        assert!(told.contains(beginning), "{beginning}: {told}");
    }
    assert!(told.contains(&format!("… and 1 more, see {}", report.display())), "{told}");
    let kept: Vec<_> = text_of(&report).lines().map(parsed).collect();
    let mut numbers: Vec<_> = kept.iter().map(|entry| entry["line"].as_u64().expect("it is a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 7, 9, 11, 700, 1199]);
    let late = kept.iter().find(|entry| entry["line"] == 1199).expect("it is kept");
    assert_eq!((&late["code"], &late["source_id"]), (&json!("missing_field"), &json!("D1199")));
    assert!(late["text"].as_str().is_some_and(|text| text.contains("\"id\":\"D1199\"")), "{late}");
    assert!(server.requests().len() >= 3, "batches are bounded");
}

#[test]
fn a_report_lies_in_the_data_directory_unless_told_otherwise() {
    let directory = directory();
    let chats = file(&directory, "chats.jsonl", "oops\n");
    let (server, _) = taking_server();
    let data = directory.path().join("data");
    let output = run(&server.url, ["--json", "import", &chats, "--data", data.to_str().expect("it is text")]);
    assert_eq!(code(&output), 4);
    let summary = parsed(&stdout(&output));
    assert_eq!((&summary["lines"], &summary["rejected"]), (&json!(1), &json!(1)));
    let report = summary["report"].as_str().expect("there is a report");
    assert!(report.starts_with(data.join("reports/import-chats-").to_str().expect("it is text")), "{report}");
    assert_eq!(parsed(text_of(report.as_ref()).trim())["code"], "bad_json");
}

#[test]
fn importing_twice_adds_nothing_even_without_ids() {
    let directory = directory();
    let same = "{\"thread\":\"t\",\"author\":\"Ada\",\"text\":\"yes\"}\n";
    let chats = file(&directory, "chats.jsonl", format!("{same}{same}{}", line(1)));
    let (server, memory) = taking_server();
    let first = run(&server.url, ["--json", "import", &chats]);
    let second = run(&server.url, ["--json", "import", &chats]);
    let counts = |output: &std::process::Output| {
        let summary = parsed(&stdout(output));
        (summary["accepted"].as_u64(), summary["duplicates"].as_u64())
    };
    assert_eq!((code(&first), counts(&first)), (0, (Some(3), Some(0))));
    assert_eq!((code(&second), counts(&second)), (0, (Some(0), Some(3))));
    let ids = memory.lock().expect("no test panicked").ids.clone();
    assert!(ids[0].starts_with("line:") && ids[1] == format!("{}-2", ids[0]) && ids[2] == "D1", "{ids:?}");
}

#[test]
fn a_busy_server_is_tried_again_and_what_it_had_taken_counts_once() {
    let directory = directory();
    let chats = file(&directory, "chats.jsonl", line(1) + &line(2));
    let mut memory = Memory::default();
    let mut tries = 0;
    let server = Server::start(move |request| {
        tries += 1;
        if tries == 1 {
            let taken = memory.take(line(1).as_bytes());
            return Reply::problem(503, "log_full", json!({"retry_after_seconds": 0, "line": 2, "taken": taken}));
        }
        Reply::Json(202, memory.take(&request.body))
    });
    let output = run(&server.url, ["--json", "import", &chats]);
    assert_eq!(code(&output), 0, "{output:?}");
    let summary = parsed(&stdout(&output));
    assert_eq!((&summary["accepted"], &summary["duplicates"]), (&json!(2), &json!(0)));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].headers["content-type"], "application/x-ndjson");
}

#[test]
fn a_lost_connection_is_taken_up_again() {
    let directory = directory();
    let chats = file(&directory, "chats.jsonl", line(1));
    let mut memory = Memory::default();
    let mut tries = 0;
    let server = Server::start(move |request| {
        tries += 1;
        if tries <= 2 { Reply::Gone } else { Reply::Json(202, memory.take(&request.body)) }
    });
    let output = run(&server.url, ["import", &chats]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("1 accepted"), "{output:?}");
}

#[test]
fn a_refusal_ends_the_import_and_says_how_far_it_came() {
    let directory = directory();
    let chats = file(&directory, "chats.jsonl", (1..=501).map(line).collect::<String>());
    let mut memory = Memory::default();
    let mut tries = 0;
    let server = Server::start(move |request| {
        tries += 1;
        if tries == 1 {
            Reply::Json(202, memory.take(&request.body))
        } else {
            Reply::problem(500, "internal", json!({}))
        }
    });
    let output = run(&server.url, ["import", &chats]);
    assert_eq!(code(&output), 1);
    let told = stderr(&output);
    assert!(told.contains("stopped before line 501 (accepted 500, duplicates 0, rejected 0)"), "{told}");
    assert!(told.contains("run the same command again"), "{told}");
}

#[test]
fn waiting_asks_for_the_last_message_until_it_is_indexed() {
    let directory = directory();
    let chats = file(&directory, "chats.jsonl", line(1) + &line(2));
    let mut memory = Memory::default();
    let mut waits = 0;
    let server = Server::start(move |request| {
        if request.is("GET", "/v1/processors") {
            return Reply::ok(json!({"processors": []}));
        }
        let mut answer = memory.take(&request.body);
        if request.path.contains("wait=indexed") {
            waits += 1;
            answer["reached"] = json!(if waits < 3 { "embedded" } else { "indexed" });
        }
        Reply::Json(202, answer)
    });
    let output = run(&server.url, ["--json", "import", &chats, "--wait"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let summary = parsed(&stdout(&output));
    assert_eq!(
        (&summary["indexed"], &summary["accepted"], &summary["duplicates"]),
        (&json!(true), &json!(2), &json!(0))
    );
    let waits: Vec<_> = server.requests().into_iter().filter(|request| request.path.contains("wait=indexed")).collect();
    assert_eq!(waits.len(), 3);
    assert!(waits.iter().all(|request| request.body == line(2).into_bytes()));
}

#[test]
fn standard_input_is_imported_too() {
    let (server, memory) = taking_server();
    let mut child = meshlog(&server.url)
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(format!("\u{feff}{}{}", line(1), line(2).trim_end()).as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(memory.lock().expect("no test panicked").ids, ["D1", "D2"]);
}

#[test]
fn what_cannot_be_imported_is_refused_before_anything_is_sent() {
    let directory = directory();
    let export = file(&directory, "conversations.json", "\n[{\"title\": \"a chat\"}]");
    let folder = directory.path().to_str().expect("it is text");
    for (path, expected) in [
        (export.as_str(), "is a JSON array, and no export that is recognized"),
        (folder, "nothing is recognized among the 1 files of"),
        ("no/such/file.jsonl", "cannot open no/such/file.jsonl"),
    ] {
        let output = run(NOWHERE, ["import", path]);
        assert_eq!(code(&output), 1, "{path}");
        assert!(stderr(&output).contains(expected), "{output:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    let directory = directory();
    let chats = file(&directory, "chats.jsonl", line(1));
    let output = run(NOWHERE, ["import", &chats]);
    assert_eq!(code(&output), 3);
}
