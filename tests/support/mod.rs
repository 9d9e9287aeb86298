//! A server to test against: the built binary on a port and a directory of its own.

pub mod other_clients;
pub mod scripted;
pub mod sdks;

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub const BINARY: &str = env!("CARGO_BIN_EXE_meshlog");

/// The embedding model; `make model` fetches it.
pub fn model() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("models/all-MiniLM-L6-v2");
    let path = std::env::var_os("MESHLOG_MODEL").map_or_else(default, PathBuf::from);
    assert!(path.join("model.safetensors").is_file(), "no model at {}: run \"make model\"", path.display());
    path
}

/// `meshlog up` with the given data directory and address, not yet waited for.
pub fn up(data: &Path, listen: &str, model: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("up").args(["--listen", listen]).arg("--data").arg(data).arg("--model").arg(model);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running server; killed on drop.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub fn start(data: &Path) -> Self {
        Self::started(up(data, "127.0.0.1:0", &model()).stderr(Stdio::inherit()))
    }

    /// Starts a command that is a server, with its output piped, and waits until it listens.
    pub fn started(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the server says where it listens").unwrap();
        let url = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        // The rest must be read, or a full pipe would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }

    /// A server that is starting, which will listen at this address.
    pub fn of(child: Child, url: String) -> Self {
        Self { child, url }
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit it leads to.
    pub fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        // It fails where the process has ended already, and then its exit is known.
        let _ = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status().unwrap();
        self.child.wait().unwrap()
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        self.try_get(path).unwrap()
    }

    pub fn try_get(&self, path: &str) -> Result<(u16, Value), ureq::Error> {
        answer(agent().get(format!("{}{path}", self.url)).call())
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let request = agent().get(format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        answer(request.call()).unwrap()
    }

    pub fn delete(&self, path: &str) -> (u16, Value) {
        answer(agent().delete(format!("{}{path}", self.url)).call()).unwrap()
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
        self.try_post(path, content_type, body).unwrap()
    }

    pub fn try_post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<(u16, Value), ureq::Error> {
        answer(agent().post(format!("{}{path}", self.url)).header("content-type", content_type).send(body))
    }

    pub fn post_json(&self, path: &str, body: Value) -> (u16, Value) {
        self.post(path, "application/json", body.to_string().as_bytes())
    }

    pub fn put_json(&self, path: &str, body: Value) -> (u16, Value) {
        let request = agent().put(format!("{}{path}", self.url)).header("content-type", "application/json");
        answer(request.send(body.to_string().as_bytes())).unwrap()
    }

    /// Sends JSON lines and waits until they are indexed; every line must be taken in.
    pub fn import(&self, lines: &str) -> Value {
        let path = "/v1/messages?wait=indexed&timeout_ms=300000";
        let (status, accepted) = self.post(path, "application/x-ndjson", lines.as_bytes());
        assert_eq!(
            (status, &accepted["rejected"], &accepted["reached"]),
            (202, &0.into(), &"indexed".into()),
            "{accepted}"
        );
        accepted
    }

    /// The source ids of the messages recalled, best first.
    pub fn recalled(&self, space: &str, query: &str, limit: usize) -> Vec<String> {
        let question = serde_json::json!({"query": query, "spaces": [space], "limit": limit});
        let (status, answer) = self.post_json("/v1/recall", question);
        assert_eq!(status, 200, "{answer}");
        let results = answer["results"].as_array().unwrap();
        results.iter().map(|result| result["source_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Name and digest of every projection, once all have caught up.
    pub fn digests(&self) -> Vec<(String, String)> {
        self.settle();
        let (_, view) = self.get("/v1/projections?digest=true");
        let projections = view["projections"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        projections.iter().map(|projection| (text(&projection["name"]), text(&projection["digest"]))).collect()
    }

    /// Waits until no processor has anything left to read.
    pub fn settle(&self) {
        self.eventually("every processor catches up", || {
            let (_, view) = self.get("/v1/processors");
            view["processors"].as_array().unwrap().iter().all(|processor| processor["lag_events"] == 0)
        });
    }

    /// Waits for a condition; panics after two minutes.
    pub fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        eventually(what, holds);
    }

    /// How many events a topic holds.
    pub fn events_on(&self, topic: &str) -> u64 {
        let (_, view) = self.get("/v1/topics");
        let topics = view["topics"].as_array().unwrap();
        let topic = topics.iter().find(|view| view["name"] == topic).unwrap();
        topic["partitions"].as_array().unwrap().iter().map(|partition| partition["end"].as_u64().unwrap()).sum()
    }

    /// Runs a command of the command line against this server.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(BINARY).args(["--url", &self.url]).args(arguments).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition; panics after two minutes.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(120), "{what} does not come to hold");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(u16, Value), ureq::Error> {
    let mut response = response?;
    let mut body = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut body)?;
    let value = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
    Ok((response.status().as_u16(), value))
}

/// The shipped example conversations.
pub fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/conversations.jsonl")).unwrap()
}

/// Invented messages, as many as asked for, no two alike, over several threads and two spaces.
pub fn invented(count: usize) -> String {
    const PEOPLE: [&str; 4] = ["Ines", "Jonas", "Mina", "Teo"];
    const THINGS: [&str; 9] =
        ["kites", "soup", "the ferry", "a violin", "the greenhouse", "maps", "bread", "a tent", "the archive"];
    const DEEDS: [&str; 7] = ["repaired", "painted", "looked for", "sold", "wrote about", "dreamt of", "brought home"];
    (0..count)
        .map(|number| {
            let line = serde_json::json!({
                "id": format!("m{number}"),
                "space": format!("space-{}", number % 2),
                "thread": format!("thread-{}", number % 7),
                "author": PEOPLE[number % 4],
                "sent_at": format!("2025-{:02}-{:02}T10:00:00Z", 1 + number % 12, 1 + number % 28),
                "text": format!("I {} {} number {number} today.", DEEDS[number % 7], THINGS[number % 9]),
            });
            format!("{line}\n")
        })
        .collect()
}
