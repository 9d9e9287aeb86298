//! Importing the exports of other products: from the file as it was downloaded to the lines that the server gets.

use std::{io::Write, process::Stdio};

use serde_json::{Value, json};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    NOWHERE, code, directory, file, import::taking_server, json as parsed, meshlog, run, server::Server, stderr,
    stdout, text_of,
};

/// An export of Claude with so many conversations of two messages.
fn conversations(count: usize) -> String {
    let message = |uuid: &str, sender: &str, text: &str| {
        let created_at = "2024-05-01T10:00:00Z";
        json!({"uuid": uuid, "sender": sender, "text": text, "created_at": created_at})
    };
    let conversation = |number: usize| {
        let messages = [message("1", "human", "how tall are trees?"), message("2", "assistant", "quite tall")];
        json!({"uuid": format!("c{number}"), "name": "Trees", "chat_messages": messages})
    };
    Value::Array((0..count).map(conversation).collect()).to_string()
}

fn zipped(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*name, options).expect("memory takes it");
        writer.write_all(content.as_bytes()).expect("memory takes it");
    }
    writer.finish().expect("memory takes it").into_inner()
}

/// The messages that the server was sent, in order.
fn sent(server: &Server) -> Vec<Value> {
    let requests = server.requests();
    let lines = requests.iter().filter(|request| request.is("POST", "/v1/messages")).flat_map(|request| {
        String::from_utf8(request.body.clone()).expect("lines are text").lines().map(parsed).collect::<Vec<_>>()
    });
    lines.collect()
}

#[test]
fn an_export_is_imported_as_it_was_downloaded_and_again_adds_nothing() {
    let directory = directory();
    let members = [("conversations.json", conversations(300)), ("users.json", "[]".to_owned())];
    let members: Vec<(&str, &str)> = members.iter().map(|(name, content)| (*name, content.as_str())).collect();
    let export = file(&directory, "export.zip", zipped(&members));
    let (server, memory) = taking_server();
    let output = run(&server.url, ["import", &export, "--space", "wood", "--author", "Ada"]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("600 messages of claude: 600 accepted, 0 duplicates, 0 rejected"), "{output:?}");
    assert!(stderr(&output).contains("note: not conversations, passed over: users.json"), "{output:?}");
    let first = json!({"id": "claude:c0:1", "space": "wood", "thread": "claude:c0", "author": "Ada", "role": "user",
        "sent_at": "2024-05-01T10:00:00Z", "text": "how tall are trees?"});
    assert_eq!(sent(&server)[0], first);
    let again = run(&server.url, ["--json", "import", &export, "--space", "wood", "--author", "Ada"]);
    let summary = parsed(&stdout(&again));
    assert_eq!((&summary["accepted"], &summary["duplicates"]), (&json!(0), &json!(600)));
    assert_eq!((&summary["format"], summary["notes"].as_array().map(Vec::len)), (&json!("claude"), Some(1)));
    assert_eq!(memory.lock().expect("no test panicked").ids.len(), 600);
}

#[test]
fn what_is_malformed_is_told_and_kept_and_the_rest_is_imported() {
    let directory = directory();
    let whole = conversations(2);
    let broken = whole.replacen("[{", "[{\"uuid\":\"bad\",\"chat_messages\":7},{", 1);
    let export = file(&directory, "conversations.json", &broken[..broken.len() - 20]);
    let report = directory.path().join("report.jsonl");
    let (server, _) = taking_server();
    let output = run(&server.url, ["import", &export, "--report", report.to_str().expect("it is text")]);
    assert_eq!(code(&output), 4, "{output:?}");
    assert!(stdout(&output).contains("4 messages of claude: 2 accepted, 0 duplicates, 2 rejected"), "{output:?}");
    let told = stderr(&output);
    assert!(told.contains("conversations.json, conversation 1 (id bad): invalid type"), "{told}");
    assert!(
        told.contains("it is cut off at byte") && told.contains("in conversation 3, which is not imported"),
        "{told}"
    );
    let kept: Vec<_> = text_of(&report).lines().map(parsed).collect();
    assert_eq!(kept[0]["place"], "conversations.json, conversation 1");
    assert_eq!((&kept[0]["source_id"], &kept[1]["code"]), (&json!("bad"), &json!("cut_off")));
}

#[test]
fn an_export_that_is_broken_from_the_start_is_refused_before_anything_is_sent() {
    let directory = directory();
    let whole = zipped(&[("conversations.json", &conversations(2))]);
    let bomb = zipped(&[("conversations.json", &" ".repeat(40_000_000))]);
    let nested = zipped(&[("inner.zip", "PK")]);
    for (name, content, expected) in [
        ("cut.zip", &whole[..whole.len() - 30], "cut.zip is"),
        ("bomb.zip", &bomb[..], "conversations.json holds 40 MB in"),
        ("nested.zip", &nested[..], "inner.zip is a zip file within it, which is not opened"),
        ("cut.json", b"[{\"uuid\":\"a\",\"chat_messages\":[", "nothing can be read of it"),
    ] {
        let export = file(&directory, name, content);
        let output = run(NOWHERE, ["import", &export]);
        assert_eq!(code(&output), 1, "{name}: {output:?}");
        assert!(stderr(&output).contains(expected), "{output:?}");
    }
}

#[test]
fn options_are_checked_against_what_is_imported() {
    let directory = directory();
    let lines = file(&directory, "chats.jsonl", "{\"thread\":\"t\",\"author\":\"Ada\",\"text\":\"x\"}\n");
    let output = run(NOWHERE, ["import", &lines, "--space", "wood"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--space, --author and --map are for exports"), "{output:?}");
    for wrong in [["--format", "xml"], ["--map", "colour=red"]] {
        let output = run(NOWHERE, ["import", lines.as_str(), wrong[0], wrong[1]]);
        assert_eq!(code(&output), 2, "{output:?}");
    }
    let child = meshlog(NOWHERE).args(["import", "-", "--format", "slack"]).stderr(Stdio::piped()).output();
    let output = child.expect("the binary can be run");
    assert!(stderr(&output).contains("standard input is read once"), "{output:?}");
}

#[test]
fn plain_json_is_imported_by_a_mapping() {
    let directory = directory();
    let log = r#"{"id": "k", "messages": [{"kind": "human", "body": {"plain": "hello"}}]}"#;
    let export = file(&directory, "log.json", log);
    let (server, _) = taking_server();
    let arguments = ["import", &export, "--format", "json", "--map", "text=body.plain", "--map", "role=kind"];
    let output = run(&server.url, arguments);
    assert_eq!(code(&output), 0, "{output:?}");
    let messages = sent(&server);
    assert_eq!((&messages[0]["thread"], &messages[0]["text"]), (&json!("json:k"), &json!("hello")));
}
