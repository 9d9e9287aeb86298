//! Against a real registry, which `scripts/with-registry.sh` starts and names in MESHLOG_TEST_REGISTRY; and against one made up
//! for what a real one does not do when it is asked to.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use super::*;

/// The registry, or `None` where there is none, which is said.
fn real() -> Option<String> {
    let url = env::var("MESHLOG_TEST_REGISTRY").ok();
    if url.is_none() {
        eprintln!("left out: MESHLOG_TEST_REGISTRY names no registry; run scripts/with-registry.sh cargo test");
    }
    url
}

/// Answers requests as a test has it, each on a connection of its own, and keeps them.
struct Fake {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// `answer` makes status and body of the request's first line. On `None` it never answers.
    fn start(answer: impl Fn(&str) -> Option<(u16, String)> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = requests.clone();
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read(&stream);
                let line = request.lines().next().unwrap_or_default();
                let answered = answer(line);
                lock(&kept).push(request.clone());
                match answered {
                    None => unanswered.push(stream),
                    Some((status, body)) => {
                        let head =
                            format!("HTTP/1.1 {status} .\r\nconnection: close\r\ncontent-length: {}", body.len());
                        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
                    }
                }
            }
        });
        Self { url, requests }
    }

    /// Registers our schemas as 1, 2, ...; what else is asked `answer` says.
    fn that_registers(answer: impl Fn(&str) -> Option<(u16, String)> + Send + 'static) -> Self {
        let registered = Mutex::new(0);
        Self::start(move |line| {
            if !line.starts_with("POST /subjects/meshlog.") {
                return answer(line);
            }
            *lock(&registered) += 1;
            Some((200, format!("{{\"id\":{}}}", lock(&registered))))
        })
    }

    fn asked_for_ids(&self) -> usize {
        lock(&self.requests).iter().filter(|request| request.starts_with("GET /schemas/ids/")).count()
    }
}

fn read(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        reader.read_line(&mut head).unwrap();
        if let Some(value) = head[from..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

fn error(url: &str) -> String {
    Registry::open(url).err().unwrap().to_string()
}

#[test]
fn every_schema_is_registered_once_and_its_id_stays() {
    let Some(url) = real() else { return };
    let [first, again] = [(); 2].map(|()| Registry::open(&url).unwrap());
    for version in catalog() {
        let id = first.id(version.fingerprint).unwrap();
        assert_eq!(again.id(version.fingerprint), Some(id), "{} v{}", version.name, version.version);
        assert_eq!(again.known(id), Some(version.fingerprint));
        let specified = meshlog_schemas::fingerprint(version.json);
        assert_eq!(again.ask(id), Ok(specified), "the registry gives the schema back");
    }
    assert_eq!(first.ids.len(), catalog().len());
}

#[test]
fn the_schema_of_a_foreign_id_is_looked_up() {
    let Some(url) = real() else { return };
    let registry = Registry::open(&url).unwrap();
    let bare = r#"{"type":"record","name":"SubscriptionRemoved","namespace":"meshlog.registry",
        "fields":[{"name":"subscription_id","type":"string","doc":"a foreign program's words"}]}"#;
    let register = |schema: serde_json::Value| -> u32 {
        let request = registry.agent.post(format!("{url}/subjects/foreign/versions"));
        let mut answer = request.send_json(schema).unwrap();
        answer.body_mut().read_json::<Registered>().unwrap().id
    };
    let id = register(json!({ "schema": bare }));
    assert_eq!(registry.look_up(id), meshlog_schemas::fingerprint(bare));
    assert_eq!(registry.known(id), meshlog_schemas::fingerprint(bare), "it need not be asked again");
    assert_eq!(registry.look_up(u32::MAX / 2), None);
}

#[test]
fn a_refusal_names_the_subject() {
    let fake = Fake::start(|line| {
        Some(match line.contains("MessageRouted") {
            true => (409, r#"{"error_code":409,"message":"Schema being registered\nis incompatible"}"#.to_owned()),
            false => (200, r#"{"id":1}"#.to_owned()),
        })
    });
    let error = error(&fake.url);
    assert!(error.contains("subject meshlog.deliveries.MessageRouted"), "{error}");
    assert!(error.contains("incompatible") && error.contains("Schema being registered is incompatible"), "{error}");
}

#[test]
fn what_is_no_registry_is_named() {
    assert!(error("http://127.0.0.1:9/api").contains("http://127.0.0.1:9/api is not reached"));
    for url in ["", "registry:8081", "https://registry", "http://", "http:///x", "http://a b"] {
        assert!(error(url).contains("is no URL of a schema registry"), "{url}");
    }
    for (status, body) in [(200, "<html>"), (200, "{\"id\":-1}"), (200, "{}"), (200, "\u{0}")] {
        let fake = Fake::start(move |_| Some((status, body.to_owned())));
        assert!(error(&fake.url).contains("not understood"), "{body}");
    }
    let forbidden = Fake::start(|_| Some((403, "no <b>entry</b>".to_owned())));
    assert!(error(&forbidden.url).contains("status 403"));
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let fake = Fake::start(|_| Some((401, String::new())));
    let url = fake.url.replace("http://", "http://ada:secret@");
    let error = error(&url);
    assert!(error.contains("status 401") && !error.contains("secret"), "{error}");
    let request = lock(&fake.requests)[0].to_ascii_lowercase();
    assert!(request.contains("authorization: basic ywrhonnly3jlda=="), "{request}");
    let error = super::super::Wire::open(&crate::KafkaOptions {
        registry: Some("http://ada:secret@127.0.0.1:9".to_owned()),
        ..crate::KafkaOptions::default()
    });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("127.0.0.1:9 is not reached") && !error.contains("secret"), "{error}");
}

#[test]
fn an_id_is_asked_for_once_whether_it_is_there_or_not() {
    let schema = catalog()[0].json;
    let fake = Fake::that_registers(move |line| {
        Some(match line.contains("/ids/100 ") {
            true => (200, json!({ "schema": schema }).to_string()),
            false => (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
        })
    });
    let registry = Registry::open(&fake.url).unwrap();
    for _ in 0..5 {
        assert_eq!(registry.look_up(100), meshlog_schemas::fingerprint(schema));
        assert_eq!(registry.look_up(101), None);
    }
    assert_eq!(registry.look_up(1), Some(catalog()[0].fingerprint));
    assert_eq!(fake.asked_for_ids(), 2);
}

#[test]
fn many_threads_that_need_the_same_id_ask_once() {
    let schema = catalog()[0].json;
    let fake = Fake::that_registers(move |_| Some((200, json!({ "schema": schema }).to_string())));
    let registry = Registry::open(&fake.url).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(registry.look_up(100).is_some()));
        }
    });
    assert_eq!(fake.asked_for_ids(), 1);
}

#[test]
fn a_stream_of_made_up_ids_is_no_flood_of_requests() {
    let fake = Fake::that_registers(|_| Some((404, String::new())));
    let registry = Registry::open(&fake.url).unwrap();
    for id in 100..10_000 {
        assert_eq!(registry.look_up(id), None);
    }
    assert_eq!(fake.asked_for_ids(), MOST_MISSES);
    assert_eq!(registry.look_up(2), Some(catalog()[1].fingerprint), "ours are read all the same");
}

#[test]
fn a_registry_that_gives_no_fit_answer_is_left_alone_for_a_while() {
    let answers: [Option<(u16, String)>; 4] =
        [None, Some((500, "?".to_owned())), Some((200, "[]".to_owned())), Some((200, "x".repeat(2 * 1024 * 1024)))];
    for answer in answers {
        let fake = Fake::that_registers(move |_| answer.clone());
        let registry = Registry::open(&fake.url).unwrap();
        for id in 100..110 {
            assert_eq!(registry.look_up(id), None);
        }
        assert_eq!(fake.asked_for_ids(), 1);
    }
}

#[test]
fn an_id_of_something_else_than_a_whole_avro_schema_is_none() {
    let fake = Fake::that_registers(|line| {
        let answer = match line.contains("/ids/100 ") {
            true => json!({ "schema": "\"string\"", "schemaType": "JSON" }),
            false => json!({ "schema": "{\"type\":\"record\",\"name\":\"R\"}" }),
        };
        Some((200, answer.to_string()))
    });
    let registry = Registry::open(&fake.url).unwrap();
    assert_eq!([100, 101].map(|id| registry.look_up(id)), [None, None]);
}
