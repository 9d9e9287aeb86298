//! Gateway, workers and query nodes as processes of their own, over a real broker (`scripts/with-kafka.sh`).

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{BINARY, Server, example, invented, model};

/// The address of the broker; without one these tests are left out, which is said.
pub fn broker() -> Option<String> {
    let broker = std::env::var("MESHLOG_TEST_KAFKA").ok();
    if broker.is_none() {
        eprintln!("left out: MESHLOG_TEST_KAFKA names no broker; run scripts/with-kafka.sh cargo test");
    }
    broker
}

/// Processes over one log of their own.
pub struct Mesh {
    broker: String,
    prefix: String,
    data: TempDir,
}

impl Mesh {
    pub fn new(broker: String) -> Self {
        let data = tempdir().unwrap();
        // The folder's name is nobody else's.
        let unique = data.path().file_name().unwrap().to_string_lossy().replace('.', "");
        Self { broker, prefix: format!("roles-{unique}."), data }
    }

    /// `meshlog ROLE`, with a data directory of this name.
    pub fn command(&self, role: &str, name: &str, more: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args([role, "--log", &format!("kafka://{}", self.broker), "--topic-prefix", &self.prefix]);
        command.arg("--data").arg(self.directory(name)).args(more).env("MESHLOG_MODEL", model());
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn directory(&self, name: &str) -> std::path::PathBuf {
        self.data.path().join(name)
    }

    pub fn start(&self, role: &str, name: &str, more: &[&str]) -> Server {
        Server::started(&mut self.command(role, name, more))
    }
}

fn texts(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect()
}

/// Every projection is what the log says.
pub fn all_equal(node: &Server) {
    node.settle();
    let (_, report) = node.post_json("/v1/verifications", json!({}));
    let results = report["results"].as_array().unwrap();
    assert!(results.len() == 6 && results.iter().all(|result| result["equal"] == true), "{report}");
}

#[test]
fn what_a_gateway_takes_in_every_query_node_answers_as_one_machine_would() {
    let Some(broker) = broker() else { return };
    let mesh = Mesh::new(broker);
    let nodes = ["query-1", "query-2"].map(|name| mesh.start("query", name, &[]));
    let gateway = mesh.start("gateway", "gateway", &["--query", &format!("{},{}", nodes[0].url, nodes[1].url)]);
    let workers = ["worker-1", "worker-2"].map(|name| mesh.start("worker", name, &[]));

    gateway.import(&example());
    let again = gateway.import(&example());
    assert_eq!(again["accepted"], 0, "a second time nothing is added");

    // As on one machine: the same answers, and the same contents down to the digests.
    let alone = tempdir().unwrap();
    let alone = Server::start(alone.path());
    alone.import(&example());
    let question = "how much did the roofer want?";
    for node in [&gateway, &nodes[0], &nodes[1]] {
        assert_eq!(node.recalled("home", question, 5), alone.recalled("home", question, 5));
    }
    nodes.iter().for_each(all_equal);
    for node in &nodes {
        assert_eq!(node.digests(), alone.digests());
    }

    // Read your writes: a receipt of one node holds at every other.
    for number in 0..10 {
        let text = format!("number {number}");
        let (_, receipt) = gateway.post_json("/v1/messages", json!({"thread": "own", "author": "Ines", "text": text}));
        let position = &receipt["position"];
        let after = format!("messages/{}/{}", position["partition"], position["offset"]);
        let read = nodes[1].get_with("/v1/threads/own/messages?limit=100", &[("meshlog-after", &after)]);
        assert_eq!((read.0, texts(&read.1).last()), (200, Some(&text)), "{}", read.1);
    }

    // Each partition of a stage is with one of the two.
    let shares = || {
        workers.each_ref().map(|worker| {
            let (_, view) = worker.get("/v1/processors");
            let processors = view["processors"].as_array().unwrap();
            let names = processors.iter().map(|processor| processor["name"].as_str().unwrap().to_owned());
            names.filter(|name| name.starts_with("route/")).count()
        })
    };
    gateway.eventually("both workers have two partitions", || shares() == [2, 2]);
    assert_eq!(gateway.get("/v1/rebuilds").1["code"], "not_here");
    assert_eq!(
        nodes[0].post_json("/v1/messages", json!({"thread": "t", "author": "a", "text": "x"})).1["code"],
        "not_here"
    );
    for server in workers.into_iter().chain(nodes).chain([gateway]) {
        assert!(server.terminate().success());
    }
}

#[test]
fn workers_that_are_killed_lose_and_double_nothing() {
    let Some(broker) = broker() else { return };
    let mesh = Mesh::new(broker);
    let node = mesh.start("query", "query", &[]);
    let gateway = mesh.start("gateway", "gateway", &["--query", &node.url]);
    let mut worker = mesh.start("worker", "worker", &[]);
    const MESSAGES: usize = 600;
    let lines = invented(MESSAGES);
    let lines: Vec<&str> = lines.lines().collect();
    for part in lines.chunks(MESSAGES / 3) {
        let (status, _) = gateway.post("/v1/messages", "application/x-ndjson", part.join("\n").as_bytes());
        assert_eq!(status, 202);
        worker.kill();
        worker = mesh.start("worker", "worker", &[]);
    }
    gateway.import(lines[0]);
    all_equal(&node);
    let mut found = 0;
    for thread in 0..7 {
        for space in 0..2 {
            let (status, page) =
                node.get(&format!("/v1/threads/thread-{thread}/messages?space=space-{space}&limit=200"));
            if status == 200 {
                let mut ids: Vec<_> =
                    page["items"].as_array().unwrap().iter().map(|item| item["source_id"].to_string()).collect();
                found += ids.len();
                ids.sort_unstable();
                ids.dedup();
                assert_eq!(ids.len(), page["items"].as_array().unwrap().len(), "each once");
            }
        }
    }
    assert_eq!(found, MESSAGES);
    assert!(worker.terminate().success());
}

#[test]
fn a_log_that_does_not_answer_is_waited_for_and_said() {
    let Some(broker) = broker() else { return };
    // Nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lost = Mesh { broker: format!("127.0.0.1:{port}"), ..Mesh::new(broker) };
    let child =
        lost.command("gateway", "gateway", &["--listen", &free.to_string()]).stderr(Stdio::null()).spawn().unwrap();
    let gateway = Server::of(child, format!("http://{free}"));
    let is_said = || {
        let answer = gateway.try_get("/readyz");
        answer.is_ok_and(|(status, body)| status == 503 && body["reasons"][0].to_string().contains("brokers"))
    };
    gateway.eventually("/readyz says what it waits for", is_said);
    assert_eq!(gateway.get("/livez").0, 200);
    assert_eq!(gateway.post_json("/v1/messages", json!({"thread": "t", "author": "a", "text": "x"})).0, 503);
    let asked = Instant::now();
    gateway.terminate();
    assert!(asked.elapsed() < Duration::from_secs(30), "it ends when it is told to");
}

#[test]
fn topics_of_another_shape_are_named_and_end_the_start() {
    let Some(broker) = broker() else { return };
    let mesh = Mesh::new(broker);
    drop(mesh.start("gateway", "gateway", &[]));
    let wider = mesh.command("gateway", "gateway", &["--partitions", "8"]).output().unwrap();
    let error = String::from_utf8_lossy(&wider.stderr).into_owned();
    assert_eq!(wider.status.code(), Some(1), "{error}");
    assert!(
        error.contains(&format!("{}messages", mesh.prefix)) && error.contains("4 partitions instead of 8"),
        "{error}"
    );
}
