use std::{io::Read, path::Path, process::Stdio};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{Server, eventually, model, scripted::Scripted, up};

fn start(data: &Path, config: &Path) -> Server {
    Server::started(up(data, "127.0.0.1:0", &model()).arg("--config").arg(config).stderr(Stdio::inherit()))
}

fn call(model: &str, own: Value) -> Value {
    json!({"model": model, "stream": own.get("background").is_none(), "messages": [{"role": "user", "content": "How are the roses?"}], "meshlog": own})
}

fn calls(server: &Server, state: &str) -> Vec<Value> {
    let (status, page) = server.get(&format!("/v1/calls?space=ada&state={state}"));
    assert_eq!(status, 200, "{page}");
    page["items"].as_array().unwrap().clone()
}

#[test]
fn a_killed_server_settles_its_open_calls_as_interrupted_and_asks_nobody_again() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let config = upstream.config(directory.path(), "idempotency_header = \"Idempotency-Key\"");
    let data = directory.path().join("data");
    let server = start(&data, &config);
    // Whole calls before, so that not all there is on the log is open.
    for _ in 0..3 {
        assert_eq!(
            server.post_json("/v1/chat/completions", call("plain", json!({"space": "ada", "background": false}))).0,
            200
        );
    }
    let streams: Vec<_> = (0..4)
        .map(|number| {
            let (url, body) =
                (server.url.clone(), call("stream:2000@20", json!({"space": "ada", "thread": format!("t{number}")})));
            std::thread::spawn(move || {
                let response = ureq::post(format!("{url}/v1/chat/completions")).send(body.to_string().as_bytes());
                let mut text = String::new();
                // It breaks off, which is what this is about.
                let _ = response.unwrap().into_body().into_reader().read_to_string(&mut text);
                text
            })
        })
        .collect();
    eventually("all are under way", || upstream.counts().in_flight == 4);
    // The model is asked on the log before it is asked.
    eventually("the view shows them open", || calls(&server, "open").len() == 4);
    server.kill();
    for stream in streams {
        assert!(!stream.join().unwrap().contains("[DONE]"));
    }
    let asked = upstream.counts().requests;

    let server = start(&data, &config);
    server.settle();
    let interrupted = calls(&server, "interrupted");
    assert_eq!((interrupted.len(), calls(&server, "open").len(), calls(&server, "completed").len()), (4, 0, 3));
    for call in &interrupted {
        assert_eq!((&call["provider"], &call["error_class"]), (&json!("scripted"), &json!("interrupted")), "{call}");
    }
    assert_eq!(upstream.counts().requests, asked, "nobody was asked again");
    // Once settled it is settled: another start finds nothing.
    let settled = server.events_on("calls");
    assert!(server.terminate().success());
    let server = start(&data, &config);
    assert_eq!(server.events_on("calls"), settled);
}

#[test]
fn a_call_for_which_nobody_waits_is_carried_out_and_taken_up_again_after_a_kill() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let config = upstream.config(directory.path(), "idempotency_header = \"Idempotency-Key\"");
    let data = directory.path().join("data");
    let server = start(&data, &config);
    let own = json!({"space": "ada", "thread": "garden", "background": true});
    let (status, requested) = server.post_json("/v1/chat/completions", call("slow:1500", own.clone()));
    assert_eq!(status, 202, "{requested}");
    let id = requested["id"].as_str().unwrap().to_owned();
    eventually("it is under way", || upstream.counts().in_flight == 1);
    server.kill();

    let server = start(&data, &config);
    eventually("it is settled", || server.get(&format!("/v1/calls/{id}")).1["state"] == "completed");
    let (_, call) = server.get(&format!("/v1/calls/{id}"));
    assert_eq!(call["attempts"].as_array().unwrap().len(), 2, "the one that was cut off is still to be seen: {call}");
    // The provider was told by its key that it is the same.
    let counts = upstream.counts();
    assert_eq!(counts.idempotency_keys.values().copied().collect::<Vec<_>>(), [2]);
    let (status, answer) = server.get(&format!("/v1/calls/{id}/response"));
    assert_eq!((status, answer["object"].as_str()), (200, Some("chat.completion")));
    server.settle();
    let (_, page) = server.get("/v1/threads/garden/messages?space=ada");
    let roles: Vec<_> = page["items"].as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    assert_eq!(roles, ["user", "assistant"]);
    // Settled calls are passed over.
    assert!(server.terminate().success());
    let server = start(&data, &config);
    server.settle();
    assert_eq!(upstream.counts().requests, counts.requests);
}

#[test]
fn what_was_begun_is_not_begun_again_where_the_provider_knows_no_repetition() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let config = upstream.config(directory.path(), "");
    let data = directory.path().join("data");
    let server = start(&data, &config);
    let (_, requested) =
        server.post_json("/v1/chat/completions", call("slow:1500", json!({"space": "ada", "background": true})));
    let id = requested["id"].as_str().unwrap().to_owned();
    eventually("it is under way", || upstream.counts().in_flight == 1);
    server.kill();
    let server = start(&data, &config);
    eventually("it is settled", || server.get(&format!("/v1/calls/{id}")).1["state"] == "interrupted");
    assert_eq!(upstream.counts().requests, 1);
}
