use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{
    Server, eventually,
    scripted::{Scripted, start},
};

/// A configuration in which the model `writer` behaves as `script` says, with `more` about what it sums up.
fn config(upstream: &Scripted, directory: &Path, script: &str, more: &str) -> PathBuf {
    upstream.config_of(
        directory,
        "writer",
        script,
        &format!("[summaries]\nmodel = \"writer\"\nquiet_seconds = 0\n{more}"),
    )
}

const WORDS: [&str; 8] = ["north", "meadow", "river", "castle", "harbour", "orchard", "bridge", "quarry"];

/// Turns of a thread, each of which says something of its own.
fn say(server: &Server, thread: &str, turns: std::ops::Range<usize>) {
    let line = |turn: usize| {
        let [one, other] = [WORDS[turn % 8], WORDS[turn / 8 % 8]];
        let author = ["Mina", "Teo"][turn % 2];
        let text = format!("Farmer{turn} keeps {} llamas behind the {one} {other}{turn}.", turn * 7);
        format!("{}\n", json!({"thread": thread, "author": author, "text": text}))
    };
    server.import(&turns.map(line).collect::<String>());
    server.settle();
}

fn summary(server: &Server, thread: &str) -> Vec<Value> {
    let (status, summary) = server.get(&format!("/v1/threads/{thread}/summary?budget_tokens=20000"));
    assert_eq!(status, 200, "{summary}");
    summary["sentences"].as_array().unwrap().clone()
}

/// How many sentences of a summary a model wrote, and how many stand in it as they were said.
fn written(server: &Server, thread: &str) -> (usize, usize) {
    let sentences = summary(server, thread);
    let by_model = sentences.iter().filter(|sentence| sentence["model"] == "writer").count();
    (by_model, sentences.len() - by_model)
}

fn message(server: &Server, turn: usize) -> Value {
    let (_, found) = server.get("/v1/threads/farm/messages?limit=200");
    let of_turn = |message: &&Value| message["text"].as_str().unwrap().starts_with(&format!("Farmer{turn} "));
    found["items"].as_array().unwrap().iter().find(of_turn).unwrap()["message_id"].clone()
}

/// Everything that could tell of the thread: the summary, a context, and the events with what the model was told.
fn shown(server: &Server) -> String {
    let (_, context) = server.post_json("/v1/context", json!({"thread": "farm", "budget_tokens": 8_000}));
    let topics = ["knowledge", "calls"].map(|topic| server.get(&format!("/v1/events?topic={topic}&limit=100")).1);
    let [knowledge, calls] = topics.map(|events| events.to_string());
    [Value::from(summary(server, "farm")).to_string(), context.to_string(), knowledge, calls].concat()
}

#[test]
fn a_thread_is_summed_up_stretch_by_stretch_and_no_replay_asks_anybody() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let path = config(&upstream, directory.path(), "notes", "");
    let data = directory.path().join("data");
    let server = start(&data, &path);
    say(&server, "farm", 0..70);
    eventually("all of it is summed up", || written(&server, "farm") == (16 + 16 + 6, 0));
    assert_eq!(upstream.counts().requests, 3, "two blocks and what is open");
    say(&server, "farm", 70..72);
    assert_eq!(written(&server, "farm"), (16 + 16 + 6, 2), "what is new stands there as it was said");
    say(&server, "farm", 72..98);
    eventually("the rest is summed up", || written(&server, "farm") == (3 * 16, 2));
    assert_eq!(upstream.counts().requests, 4, "what was summed up is not told again");

    let sentences = summary(&server, "farm");
    assert!(!Value::from(sentences.clone()).to_string().contains("Zorblax"), "what nobody said is not believed");
    // The model says a sentence of each turn, of which the first sixteen are taken.
    let turns = (0..96).filter(|turn| turn % 32 < 16);
    for (turn, sentence) in turns.zip(&sentences) {
        let text = sentence["text"].as_str().unwrap();
        assert!(text.starts_with(&format!("In short: Farmer{turn} keeps")), "{turn}: {text}");
        assert_eq!(sentence["sources"], json!([message(&server, turn)]));
        assert_eq!((&sentence["message_id"], sentence.get("start")), (&sentence["sources"][0], None));
    }
    // In a context it stands for the turns that are left out, with its sources.
    let (_, context) = server.post_json("/v1/context", json!({"thread": "farm", "budget_tokens": 1_000}));
    let sections = context["sections"].as_array().unwrap();
    let items = &sections.iter().find(|section| section["name"] == "summary").unwrap()["items"];
    assert_eq!((&items[0]["author"], items[0]["sources"].as_array().unwrap().len()), (&json!("writer"), 1), "{items}");
    assert!(context["messages"].to_string().contains("summary of this thread: In short: Farmer"));
    let (_, usage) = server.get("/v1/usage?by=key");
    let of_summaries = usage["usage"].as_array().unwrap().iter().find(|sum| sum["key"] == "meshlog:summaries");
    assert_eq!(of_summaries.unwrap()["completed"], 4, "{usage}");

    let (digests, sentences) = (server.digests(), summary(&server, "farm"));
    let (knowledge, calls) = (server.events_on("knowledge"), server.events_on("calls"));
    assert!(server.terminate().success());
    // From here on whoever asks gets nothing.
    let path = config(&upstream, directory.path(), "500", "");
    fs::remove_dir_all(data.join("projections")).unwrap();
    let server = start(&data, &path);
    assert_eq!(server.digests(), digests);
    assert_eq!(summary(&server, "farm"), sentences);
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!((server.events_on("knowledge"), server.events_on("calls")), (knowledge, calls));
    assert_eq!(upstream.counts().requests, 4, "nobody was asked");
}

#[test]
fn of_what_is_forgotten_or_edited_no_summary_tells_and_only_its_stretch_is_written_anew() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let path = config(&upstream, directory.path(), "notes", "");
    let data = directory.path().join("data");
    let server = start(&data, &path);
    say(&server, "farm", 0..64);
    eventually("it is summed up", || written(&server, "farm") == (32, 0));
    assert!(shown(&server).contains("Farmer40 ") && shown(&server).contains("Farmer41 "));
    assert_eq!(upstream.counts().requests, 2);

    let [forgotten, redacted, edited] = [40, 41, 9].map(|turn| message(&server, turn));
    let body = json!({"author": "Mina", "message_id": forgotten});
    assert_eq!(server.post_json("/v1/memory/forgettings?wait=indexed", body).0, 202);
    assert!(!shown(&server).contains("Farmer40 "));
    let body = json!({"author": "Mina", "message_id": redacted, "text": "Somebody keeps animals near the old quarry."});
    assert_eq!(server.post_json("/v1/memory/redactions?wait=indexed", body).0, 202);
    assert!(!shown(&server).contains("Farmer41 "));
    eventually("its stretch is summed up anew", || written(&server, "farm") == (32, 0));
    let shown_now = shown(&server);
    assert!(!shown_now.contains("Farmer40 ") && !shown_now.contains("Farmer41 "));
    assert!(shown_now.contains("In short: Somebody keeps animals"));

    let asked = upstream.counts().requests;
    let body = json!({"author": "Mina", "message_id": edited, "text": "Farmer9 gave all animals away in spring."});
    assert_eq!(server.post_json("/v1/memory/edits?wait=indexed", body).0, 202);
    assert!(!Value::from(summary(&server, "farm")).to_string().contains("Farmer9 keeps"));
    eventually("the other stretch is summed up anew", || {
        written(&server, "farm") == (32, 0)
            && Value::from(summary(&server, "farm")).to_string().contains("Farmer9 gave")
    });
    assert_eq!(upstream.counts().requests, asked + 1);

    let (digests, sentences) = (server.digests(), summary(&server, "farm"));
    assert!(server.terminate().success());
    fs::remove_dir_all(data.join("projections")).unwrap();
    let server = start(&data, &path);
    assert_eq!(server.digests(), digests);
    assert_eq!(summary(&server, "farm"), sentences);
    assert!(!shown(&server).contains("Farmer40 ") && !shown(&server).contains("Farmer41 "));
    assert_eq!(upstream.counts().requests, asked + 1);
}

#[test]
fn an_answer_is_read_as_far_as_it_can_be_and_without_one_the_thread_stays_as_it_was_said() {
    for (script, asked, sentences) in [
        ("notes-fenced", 1, (5, 0)),
        ("notes-cut", 1, (5, 0)),
        ("notes-again", 2, (5, 0)),
        ("notes-plain", 2, (5, 0)),
        ("notes-never", 2, (0, 5)),
    ] {
        let directory = tempdir().unwrap();
        let upstream = Scripted::start();
        let path = config(&upstream, directory.path(), script, "");
        let server = start(&directory.path().join("data"), &path);
        say(&server, "farm", 0..5);
        let is_known = || server.get("/v1/events?topic=knowledge&limit=100").1.to_string().contains("summarised");
        eventually("it is known that it was tried", is_known);
        server.settle();
        assert_eq!((written(&server, "farm"), upstream.counts().requests), (sentences, asked), "{script}");
    }
}

#[test]
fn a_provider_that_fails_is_waited_for_a_kill_loses_nothing_and_a_budget_holds() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let data = directory.path().join("data");
    let server = start(&data, &config(&upstream, directory.path(), "500", ""));
    say(&server, "farm", 0..5);
    eventually("it is tried", || upstream.counts().requests > 0);
    assert_eq!((server.get("/readyz").0, written(&server, "farm")), (200, (0, 5)), "it answers all the same");
    server.kill();

    // Killed while a call is under way: it is interrupted, and asked anew.
    let server = start(&data, &config(&upstream, directory.path(), "notes:1500", ""));
    eventually("a call is under way", || upstream.counts().in_flight > 0);
    server.kill();
    let server = start(&data, &config(&upstream, directory.path(), "notes", "tokens_per_day = 1\n"));
    eventually("it is summed up", || written(&server, "farm") == (5, 0));

    // That used the day up, also after a restart.
    say(&server, "town", 0..5);
    let asked = upstream.counts().requests;
    std::thread::sleep(std::time::Duration::from_secs(5));
    let begun = Instant::now();
    assert!(server.terminate().success() && begun.elapsed().as_secs() < 10);
    let server = start(&data, &config(&upstream, directory.path(), "notes", "tokens_per_day = 1\n"));
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!((upstream.counts().requests, written(&server, "town")), (asked, (0, 5)));
    assert!(server.terminate().success());
    let server = start(&data, &config(&upstream, directory.path(), "notes", "spaces = [\"main\"]\n"));
    eventually("it goes on", || written(&server, "town") == (5, 0));
}
