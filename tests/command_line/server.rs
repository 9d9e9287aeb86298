//! A small HTTP server for tests: one closure answers every request, and every request is remembered.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with its query.
    pub(crate) path: String,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.split('?').next() == Some(path)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request is JSON")
    }
}

/// What is answered.
pub(crate) enum Reply {
    /// A JSON document.
    Json(u16, Value),
    /// A JSON document, in these very characters.
    Text(String),
    /// An event stream that ends.
    Stream(String),
    /// No answer: the connection is closed.
    Gone,
}

impl Reply {
    pub(crate) fn ok(value: Value) -> Self {
        Reply::Json(200, value)
    }

    /// A problem document, with further facts.
    pub(crate) fn problem(status: u16, code: &str, facts: Value) -> Self {
        let mut document = json!({"type": format!("urn:meshlog:problem:{code}"), "title": "title", "status": status,
            "code": code, "detail": "this was wrong", "help": "do that"});
        for (name, value) in facts.as_object().into_iter().flatten() {
            document[name] = value.clone();
        }
        Reply::Json(status, document)
    }
}

/// A server that runs until the test process ends.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
}

type Answer = Box<dyn FnMut(&Request) -> Reply + Send>;

impl Server {
    /// Starts a server; `/livez` is answered without asking the closure.
    pub(crate) fn start(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let seen = requests.clone();
        let connections = Arc::new(AtomicUsize::new(0));
        let opened = connections.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                opened.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || serve(connection, &answer, &seen));
            }
        });
        Self { url, requests, connections }
    }

    /// How many connections have been opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests so far, those to `/livez` left out.
    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }
}

fn serve(connection: TcpStream, answer: &Mutex<Answer>, seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(connection.try_clone().expect("a socket can be cloned"));
    let mut writer = connection;
    while let Some(request) = read(&mut reader) {
        let reply = if request.path == "/livez" {
            Reply::ok(json!("ok"))
        } else {
            lock(seen).push(request.clone());
            lock(answer)(&request)
        };
        // A client that has left is no fault of the server.
        if write(&mut writer, reply).is_none() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("it is a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// `None` when the connection is over.
fn write(writer: &mut TcpStream, reply: Reply) -> Option<()> {
    match reply {
        Reply::Json(status, value) => write_json(writer, status, &value.to_string()),
        Reply::Text(body) => write_json(writer, 200, &body),
        Reply::Stream(body) => {
            let head = "HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
            writer.write_all((head.to_owned() + &body).as_bytes()).ok()?;
            None
        }
        Reply::Gone => None,
    }
}

fn write_json(writer: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    writer.write_all((head + body).as_bytes()).ok()
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A closure that panicked has failed its own test already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log in memory that takes messages in as the real one does: by id, with receipts, bad lines one by one.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) ids: Vec<String>,
}

impl Memory {
    /// Answers a body of JSON lines.
    pub(crate) fn take(&mut self, body: &[u8]) -> Value {
        let text = std::str::from_utf8(body).expect("only text is sent");
        let (mut receipts, mut errors, mut accepted, mut duplicates) = (vec![], vec![], 0, 0);
        for (index, line) in text.lines().enumerate() {
            let message: Value = serde_json::from_str(line).expect("only JSON is sent");
            let Some(id) = message["id"].as_str().filter(|_| message["text"].is_string()) else {
                errors.push(
                    json!({"line": index + 1, "code": "missing_field", "detail": "the field \"text\" is missing",
                    "source_id": message["id"]}),
                );
                continue;
            };
            let known = self.ids.iter().position(|known| known == id);
            let offset = known.unwrap_or_else(|| {
                self.ids.push(id.to_owned());
                self.ids.len() - 1
            });
            *if known.is_some() { &mut duplicates } else { &mut accepted } += 1;
            receipts.push(json!({"id": format!("m{offset}"), "source_id": id, "duplicate": known.is_some(),
                "position": {"topic": "messages", "partition": 0, "offset": offset}}));
        }
        json!({"rejected": errors.len(), "receipts": receipts, "errors": errors, "accepted": accepted,
            "duplicates": duplicates})
    }
}
