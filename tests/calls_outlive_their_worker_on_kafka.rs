//! Calls of models over a log that several processes share: what becomes of them when one is killed.

use std::io::Read;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    support::{Server, eventually, scripted::Scripted},
    the_roles_share_one_log_on_kafka::{Mesh, broker},
};

fn call(model: &str, background: bool) -> Value {
    let own = json!({"space": "ada", "background": background});
    json!({"model": model, "stream": !background, "messages": [{"role": "user", "content": "How are the roses?"}], "meshlog": own})
}

/// Whether this process is carrying a call out.
fn is_calling(server: &Server) -> bool {
    let (_, metrics) = server.get("/metrics");
    metrics.as_str().is_some_and(|metrics| metrics.contains("\nmeshlog_calls_under_way 1\n"))
}

#[test]
fn a_call_whose_worker_is_killed_is_taken_up_by_another_and_a_killed_gateway_interrupts_its_own() {
    let Some(broker) = broker() else { return };
    let (mesh, upstream, directory) = (Mesh::new(broker), Scripted::start(), tempdir().unwrap());
    let config = upstream.config(directory.path(), "idempotency_header = \"Idempotency-Key\"");
    let config = config.to_str().unwrap();
    let node = mesh.start("query", "query", &[]);
    let gateway = mesh.start("gateway", "gateway", &["--query", &node.url, "--config", config]);
    let worker = |name| mesh.start("worker", name, &["--stages", "dispatch", "--config", config]);
    let mut workers = vec![worker("worker-1"), worker("worker-2")];

    let (status, requested) = gateway.post_json("/v1/chat/completions", call("slow:4000", true));
    assert_eq!(status, 202, "{requested}");
    let path = format!("/v1/calls/{}", requested["id"].as_str().unwrap());
    eventually("a worker carries it out", || workers.iter().any(is_calling) && upstream.counts().in_flight == 1);
    let busy = workers.iter().position(is_calling).unwrap();
    workers.swap_remove(busy).kill();

    // It is to be seen as begun and not finished, at the gateway too.
    let (_, open) = gateway.get(&path);
    assert_eq!((&open["state"], open["attempts"].as_array().map(Vec::len)), (&json!("open"), Some(1)), "{open}");
    eventually("the other takes it up", || gateway.get(&path).1["state"] == "completed");
    let (_, settled) = gateway.get(&path);
    assert_eq!(settled["attempts"].as_array().map(Vec::len), Some(2), "{settled}");
    let keys: Vec<u64> = upstream.counts().idempotency_keys.values().copied().collect();
    assert_eq!(keys, [2], "the provider is told that it is the same");

    // A caller's own call is the gateway's, and no worker touches it.
    let (url, body) = (gateway.url.clone(), call("stream:4000@20", false).to_string());
    let stream = std::thread::spawn(move || {
        let response = ureq::post(format!("{url}/v1/chat/completions")).send(body.as_bytes());
        // It breaks off, before its first piece or behind it, which is what this is about.
        let _ = response.map(|response| response.into_body().into_reader().read_to_string(&mut String::new()));
    });
    eventually("it is under way", || upstream.counts().in_flight == 1);
    gateway.kill();
    stream.join().unwrap();
    let asked = upstream.counts().requests;
    let gateway = mesh.start("gateway", "gateway", &["--query", &node.url, "--config", config]);
    let interrupted = || {
        let (_, page) = gateway.get("/v1/calls?space=ada&state=interrupted");
        page["items"].as_array().map(Vec::len)
    };
    eventually("the gateway's next start settles it", || interrupted() == Some(1));
    assert_eq!(upstream.counts().requests, asked, "nobody was asked again");
}
