use std::{io::Read, path::Path, process::Stdio, time::Instant};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{BINARY, Server, model, scripted::Scripted, up};

fn start(data: &Path, config: &Path, arguments: &[&str]) -> Server {
    Server::started(
        up(data, "127.0.0.1:0", &model()).arg("--config").arg(config).args(arguments).stderr(Stdio::inherit()),
    )
}

fn bodies() -> Vec<Value> {
    let chat = |model: &str, stream: bool| json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": format!("Tell me about {model}.")}]});
    ["plain", "tools", "reasoning", "unknown", "crlf", "stream:10@20"]
        .into_iter()
        .flat_map(|model| [chat(model, false), chat(model, true)])
        .collect()
}

fn ask(server: &Server, body: &Value) -> String {
    let mut response =
        ureq::post(format!("{}/v1/chat/completions", server.url)).send(body.to_string().as_bytes()).unwrap();
    let mut text = String::new();
    response.body_mut().as_reader().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_replay_gives_every_answer_byte_for_byte_and_no_replay_asks_anybody() {
    let directory = tempdir().unwrap();
    let upstream = Scripted::start();
    let config = upstream.config(directory.path(), "");
    let data = directory.path().join("data");
    let server = start(&data, &config, &[]);
    let answers: Vec<_> = bodies().iter().map(|body| ask(&server, body)).collect();
    server.settle();
    let digests = server.digests();
    assert!(server.terminate().success());
    // From here on whoever asks makes the test fail.
    let asked = upstream.counts().requests;

    let rebuilt = std::process::Command::new(BINARY)
        .args(["replay", "rebuild", "--all", "--data"])
        .arg(&data)
        .arg("--model")
        .arg(model())
        .output()
        .unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));

    let server = start(&data, &config, &["--provider", "replay", "--replay-pace", "at-once"]);
    assert_eq!(server.digests(), digests);
    for (body, answer) in bodies().iter().zip(&answers) {
        assert_eq!(ask(&server, body), *answer, "{body}");
    }
    let unheard = json!({"model": "plain", "messages": [{"role": "user", "content": "never said"}]});
    let (status, refused) = server.post_json("/v1/chat/completions", unheard);
    assert_eq!((status, &refused["error"]["meshlog"]["code"]), (404, &json!("model_not_found")), "{refused}");
    assert!(server.terminate().success());

    let server = start(&data, &config, &["--provider", "replay"]);
    let begun = Instant::now();
    let streamed = bodies().pop().unwrap();
    assert_eq!(ask(&server, &streamed), *answers.last().unwrap());
    assert!(begun.elapsed().as_millis() >= 400, "ten pieces at twenty a second: {:?}", begun.elapsed());
    assert_eq!(upstream.counts().requests, asked, "nobody was asked");
}
