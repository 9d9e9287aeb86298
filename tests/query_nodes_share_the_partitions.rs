//! Query nodes that hold a share of the partitions each, over a real broker: together they answer as one that holds everything.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::{
    support::{Server, eventually, example, invented, scripted::Scripted},
    the_roles_share_one_log_on_kafka::{Mesh, all_equal, broker},
};

const SPACES: [&str; 2] = ["space-0", "space-1"];

/// All threads of a space, page by page.
fn threads(node: &Server, space: &str) -> Vec<Value> {
    let (mut threads, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = node.get(&format!("/v1/threads?space={space}&limit=3{cursor}"));
        assert_eq!(status, 200, "{page}");
        threads.extend(page["items"].as_array().unwrap().clone());
        match &page["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return threads,
        }
    }
}

#[test]
fn shares_together_answer_as_a_node_that_holds_everything() {
    let Some(broker) = broker() else { return };
    let mesh = Mesh::new(broker);
    let second = mesh.start("query", "second", &["--share", "2/2"]);
    let replica = mesh.start("query", "replica", &["--share", "2/2"]);
    let peers = format!("{},{}", second.url, replica.url);
    let first = mesh.start("query", "first", &["--share", "1/2", "--peers", &peers]);
    let whole = mesh.start("query", "whole", &[]);
    let (upstream, directory) = (Scripted::start(), tempfile::tempdir().unwrap());
    let config = upstream.config(directory.path(), "");
    let config = config.to_str().unwrap();
    let gateway = mesh.start("gateway", "gateway", &["--query", &first.url, "--config", config]);
    let _worker = mesh.start("worker", "worker", &[]);

    gateway.import(&example());
    gateway.import(&invented(300));
    let edited = edited_in_every_thread(&gateway);
    for node in [&first, &second, &replica, &whole] {
        all_equal(node);
    }
    let held = |node: &Server| node.get("/v1/share").1["partitions"].clone();
    assert_eq!((held(&first), held(&second), held(&whole)), (json!([0, 2]), json!([1, 3]), json!([0, 1, 2, 3])));

    for space in SPACES {
        let all = threads(&whole, space);
        assert_eq!(threads(&first, space), all);
        assert!(all.len() > 3, "there are several pages");
        for thread in &all {
            let path =
                format!("/v1/threads/{}/messages?space={space}&limit=200", thread["thread_id"].as_str().unwrap());
            let (answer, expected) = (first.get(&path), whole.get(&path));
            assert_eq!(answer, expected);
            let id = expected.1["items"][0]["message_id"].as_str().unwrap();
            assert_eq!(first.get(&format!("/v1/messages/{id}")), whole.get(&format!("/v1/messages/{id}")));
        }
    }
    for (id, text) in &edited {
        let (_, message) = first.get(&format!("/v1/messages/{id}"));
        assert_eq!((&message["text"], &message["edited"]["by"]), (&json!(text), &json!("Ines")), "{message}");
    }
    knowledge_of_all_shares(&gateway, &first, &whole);
    assert_eq!(first.get("/v1/threads?cursor=00").1["code"], "bad_cursor");
    calls_of_all_shares(&gateway, &first, &whole);
    contexts_of_all_shares(&gateway, &first, &whole);
    assert_eq!(second.get("/v1/threads").1["share"], "1/2", "it has no peers, and says what is missing");

    // Read your writes, whichever share has them, also while a replica of one share is killed.
    let questions = ["how much did the roofer want?", "which ferry do we take?"];
    let best = |node: &Server| questions.map(|question| node.recalled("home", question, 1));
    let expected = best(&whole);
    assert_eq!(best(&first), expected);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) || rounds < 20 {
                assert_eq!(best(&first), expected);
                rounds += 1;
            }
        });
        for number in 0..12 {
            let (text, thread) = (format!("number {number}"), format!("own-{number}"));
            let message = json!({"thread": thread, "author": "Ines", "text": text});
            let (_, receipt) = gateway.post_json("/v1/messages", message);
            let position = &receipt["position"];
            let after = format!("messages/{}/{}", position["partition"], position["offset"]);
            let (status, page) =
                first.get_with(&format!("/v1/threads/{thread}/messages"), &[("meshlog-after", &after)]);
            assert_eq!((status, page["items"][0]["text"].as_str()), (200, Some(text.as_str())), "{page}");
            let (status, page) = first.get_with("/v1/threads?limit=1", &[("meshlog-after", &after)]);
            assert_eq!((status, page["items"][0]["thread_id"].as_str()), (200, Some(thread.as_str())), "{page}");
            if number == 4 {
                kill(&replica);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
    assert!(second.terminate().success());
    let (status, problem) = first.get("/v1/threads");
    assert_eq!((status, &problem["code"], &problem["share"]), (503, &json!("unavailable"), &json!("2/2")), "{problem}");
}

/// Edits and redacts a message of every thread of a space, through a gateway without views; with what they say then.
fn edited_in_every_thread(gateway: &Server) -> Vec<(String, String)> {
    let mut edited = Vec::new();
    for (number, thread) in threads(gateway, SPACES[0]).into_iter().enumerate() {
        let path = format!("/v1/threads/{}/messages?space={}", thread["thread_id"].as_str().unwrap(), SPACES[0]);
        let (_, page) = gateway.get(&path);
        let id = page["items"][1]["message_id"].as_str().unwrap().to_owned();
        let text = if number % 2 == 0 { format!("I moved to Oslo with {number} kites.") } else { String::new() };
        let mut body = json!({"space": SPACES[0], "message_id": id, "author": "Ines"});
        let path = if text.is_empty() { "redactions" } else { "edits" };
        if !text.is_empty() {
            body["text"] = text.clone().into();
        }
        let (status, receipt) = gateway.post_json(&format!("/v1/memory/{path}?wait=indexed"), body);
        assert_eq!((status, &receipt["reached"]), (202, &json!("indexed")), "{receipt}");
        edited.push((id, text));
    }
    edited
}

/// Summaries, statistics, the archive and the graph are those of a node that holds everything, page by page.
fn knowledge_of_all_shares(gateway: &Server, first: &Server, whole: &Server) {
    for space in SPACES {
        let mut paths =
            vec![format!("/v1/statistics?space={space}"), format!("/v1/graph/facts?space={space}&all=true")];
        for thread in threads(whole, space) {
            let thread = thread["thread_id"].as_str().unwrap();
            paths.extend(["summary", "statistics"].map(|what| format!("/v1/threads/{thread}/{what}?space={space}")));
        }
        let mut quiet = format!("/v1/archive?space={space}&quiet_since=2030-01-01T00:00:00Z&limit=2");
        loop {
            let (status, page) = whole.get(&quiet);
            assert_eq!(status, 200, "{page}");
            paths.push(quiet.clone());
            let Some(next) = page["next"].as_str() else { break };
            quiet = format!("/v1/archive?space={space}&quiet_since=2030-01-01T00:00:00Z&limit=2&cursor={next}");
        }
        for path in paths {
            let expected = whole.get(&path);
            assert_eq!(expected.0, 200, "{path}: {}", expected.1);
            assert_eq!((first.get(&path), gateway.get(&path)), (expected.clone(), expected), "{path}");
        }
    }
}

/// Calls of several threads, and so of both shares, are one list and one sum; the gateway asks a node for them.
fn calls_of_all_shares(gateway: &Server, first: &Server, whole: &Server) {
    for number in 0..8 {
        let own = json!({"space": "ada", "thread": format!("t{number}")});
        let call =
            json!({"model": "plain", "messages": [{"role": "user", "content": "How are the roses?"}], "meshlog": own});
        assert_eq!(gateway.post_json("/v1/chat/completions", call).0, 200);
    }
    for node in [first, whole, gateway] {
        node.eventually("all calls are there", || node.get("/v1/usage").1["total"]["calls"] == 8);
    }
    let (_, page) = whole.get("/v1/calls?space=ada");
    let ids: Vec<_> = page["items"].as_array().unwrap().iter().map(|call| call["call_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 8);
    let mut paths: Vec<_> = ids.iter().map(|id| format!("/v1/calls/{id}")).collect();
    paths.extend(ids.iter().flat_map(|id| ["request", "response"].map(|body| format!("/v1/calls/{id}/{body}"))));
    paths.extend(
        ["/v1/calls?space=ada", "/v1/calls?space=ada&limit=3", "/v1/calls?space=ada&thread=t3"].map(str::to_owned),
    );
    paths.extend(["/v1/calls?space=ada&state=completed", "/v1/usage", "/v1/usage?by=space,day,key"].map(str::to_owned));
    let next = whole.get("/v1/calls?space=ada&limit=3").1["next"].as_str().unwrap().to_owned();
    paths.push(format!("/v1/calls?space=ada&limit=3&cursor={next}"));
    for path in paths {
        let expected = whole.get(&path);
        assert_eq!(expected.0, 200, "{path}: {}", expected.1);
        assert_eq!((first.get(&path), gateway.get(&path)), (expected.clone(), expected), "{path}");
    }
    assert_eq!(first.get("/v1/calls/moon").1["code"], "unknown_call");
}

/// A context has the turns of its thread and what all shares recall, at whatever node it is made.
fn contexts_of_all_shares(gateway: &Server, first: &Server, whole: &Server) {
    let (_, threads) = whole.get("/v1/threads?space=home");
    for thread in threads["items"].as_array().unwrap() {
        let request = json!({"space": "home", "thread": thread["thread_id"], "query": "how much did the roofer want?", "budget_tokens": 1500});
        // Scores depend a little on what each node counts words over, so of what is recalled only the best is compared.
        let told = |node: &Server| {
            let (status, context) = node.post_json("/v1/context", request.clone());
            assert_eq!(status, 200, "{context}");
            let section = |name: &str| {
                let sections = context["sections"].as_array().unwrap();
                sections
                    .iter()
                    .find(|section| section["name"] == name)
                    .map_or(Value::Null, |found| found["items"].clone())
            };
            let recalled = section("recalled");
            let recalled = recalled.as_array().unwrap();
            let score = |item: &&Value| item["score"].as_f64().unwrap();
            let best = recalled.iter().max_by(|left, right| score(left).total_cmp(&score(right))).unwrap();
            (section("recent"), section("facts"), section("summary"), best["text"].clone())
        };
        let expected = told(whole);
        assert_eq!((told(first), told(gateway)), (expected.clone(), expected));
    }
}

/// kill -9, of a server that others still have.
fn kill(server: &Server) {
    assert!(std::process::Command::new("kill").args(["-9", &server.pid().to_string()]).status().unwrap().success());
}

#[test]
fn partitions_that_cannot_be_shared_out_are_named_at_the_start() {
    let Some(broker) = broker() else { return };
    let mesh = Mesh::new(broker);
    let output = mesh.command("query", "query", &["--share", "5/5"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("4 partitions cannot be dealt out to 5 shares"), "{error}");
}

#[test]
fn each_share_has_its_threads_summed_up_and_every_node_reads_what_was_written() {
    let Some(broker) = broker() else { return };
    let mesh = Mesh::new(broker);
    let (upstream, directory) = (Scripted::start(), tempfile::tempdir().unwrap());
    let summaries = "[summaries]\nmodel = \"writer\"\nquiet_seconds = 0\n";
    let path = upstream.config_of(directory.path(), "writer", "notes", summaries);
    let config = ["--config", path.to_str().unwrap()];
    let second = mesh.start("query", "second", &[["--share", "2/2"], config].concat());
    let first = mesh.start("query", "first", &[["--share", "1/2"], config, ["--peers", &second.url]].concat());
    let gateway = mesh.start("gateway", "gateway", &["--query", &first.url]);
    let _worker = mesh.start("worker", "worker", &[]);
    let names: Vec<_> = (0..8).map(|number| format!("t{number}")).collect();
    let turn = |thread: &String, turn: usize| json!({"thread": thread, "author": "Mina", "text": format!("Farmer{turn} of {thread} keeps {turn} llamas.")});
    let lines = names.iter().flat_map(|thread| (0..5).map(move |number| turn(thread, number)));
    gateway.import(&lines.map(|line| format!("{line}\n")).collect::<String>());
    let summaries = |node: &Server| -> Vec<Value> {
        names.iter().map(|thread| node.get(&format!("/v1/threads/{thread}/summary")).1["sentences"].clone()).collect()
    };
    let by_model = |sentences: &Value| sentences.as_array().unwrap().iter().all(|one| one["model"] == "writer");
    eventually("all threads are summed up", || {
        summaries(&gateway).iter().all(|sentences| sentences[0]["model"] == "writer" && by_model(sentences))
    });
    // A part of them by each node, and none by both.
    assert_eq!(upstream.counts().requests, names.len() as u64);
    let whole = mesh.start("query", "whole", &[]);
    eventually("a node that comes later has them too", || summaries(&whole) == summaries(&gateway));
    assert_eq!(first.post_json("/v1/chat/completions", json!({"model": "writer", "messages": []})).0, 421);
    assert_eq!(upstream.counts().requests, names.len() as u64);
}
