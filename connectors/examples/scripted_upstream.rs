//! The scripted provider as a program: for tests of SDKs, for benchmarks, and for trying the gateway without a key.
//!
//!     cargo run -p meshlog-connectors --example scripted_upstream -- --listen 127.0.0.1:4010
//!
//! Prints `listening on http://ADDRESS` once it accepts connections. What a model string asks for is in
//! `testing/upstream/script.rs`.

#[path = "../../testing/upstream.rs"]
mod upstream;

use std::{process::ExitCode, time::Duration};

use upstream::{Options, Upstream};

const USAGE: &str =
    "scripted_upstream [--listen ADDRESS:PORT] [--delay-ms N] [--fault-percent P] [--seed N] [--threads N]

  --listen         where to listen; port 0 takes a free one (127.0.0.1:0)
  --delay-ms       how long every answer waits for its first byte (0)
  --fault-percent  share of `plain` and `stream` requests that get a fault (0)
  --seed           decides which requests get one (0)
  --threads        threads that answer (1)";

fn main() -> ExitCode {
    let (options, threads) = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options, threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", options.listen);
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options, threads: usize) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let upstream = Upstream::start_with(options).await?;
        println!("listening on http://{}", upstream.address());
        tokio::signal::ctrl_c().await
    })
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<(Options, usize), String> {
    let mut options = Options { record: false, ..Options::default() };
    let mut threads = 1;
    while let Some(option) = words.next() {
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        let wrong = || format!("{option} {value} is not understood");
        match option.as_str() {
            "--listen" => options.listen = value.parse().map_err(|_| wrong())?,
            "--delay-ms" => options.delay = Duration::from_millis(value.parse().map_err(|_| wrong())?),
            "--fault-percent" => options.fault_percent = value.parse().map_err(|_| wrong())?,
            "--seed" => options.seed = value.parse().map_err(|_| wrong())?,
            "--threads" => threads = value.parse::<usize>().ok().filter(|threads| *threads > 0).ok_or_else(wrong)?,
            _ => return Err(format!("{option} is not an option")),
        }
    }
    Ok((options, threads))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::Value;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        time,
    };

    use super::{
        upstream::{Counts, Options, Upstream},
        *,
    };

    /// What came on a connection until it ended.
    #[derive(Debug, PartialEq)]
    struct Answer {
        is_reset: bool,
        bytes: Vec<u8>,
    }

    /// Sends a request on a connection of its own.
    async fn ask(upstream: &Upstream, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(upstream.address()).await.unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n");
        stream.write_all(format!("{head}Idempotency-Key: once\r\n\r\n{body}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        loop {
            match stream.read_buf(&mut bytes).await {
                Ok(0) => return Answer { is_reset: false, bytes },
                Ok(_) => {}
                Err(_) => return Answer { is_reset: true, bytes },
            }
        }
    }

    async fn chat(upstream: &Upstream, model: &str, is_streamed: bool) -> Answer {
        let options = r#""stream_options":{"include_usage":true}"#;
        let messages = r#""messages":[{"role":"user","content":"Hello, Wörld"}]"#;
        let body = format!(r#"{{"model":"{model}","stream":{is_streamed},{options},{messages}}}"#);
        ask(upstream, "/v1/chat/completions", &body).await
    }

    impl Answer {
        fn status(&self) -> &str {
            std::str::from_utf8(&self.bytes[9..12]).unwrap()
        }

        fn text(&self) -> String {
            String::from_utf8_lossy(&self.bytes).into_owned()
        }

        /// The body as HTTP brought it; whole where it is not in chunks. What broke off is left out.
        fn chunks(&self) -> Vec<Vec<u8>> {
            let Some(head) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Vec::new() };
            let (head, mut rest) = self.bytes.split_at(head + 4);
            if !String::from_utf8_lossy(head).contains("transfer-encoding: chunked") {
                return vec![rest.to_vec()];
            }
            let mut chunks = Vec::new();
            while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
                let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
                chunks.push(rest[end + 2..end + 2 + size].to_vec());
                rest = &rest[end + 4 + size..];
            }
            chunks
        }

        /// Whether HTTP told the end of the body.
        fn is_whole(&self) -> bool {
            self.bytes.ends_with(b"\r\n0\r\n\r\n")
        }

        fn body(&self) -> String {
            String::from_utf8(self.chunks().concat()).unwrap()
        }

        fn json(&self) -> Value {
            serde_json::from_str(&self.body()).unwrap()
        }

        /// The data of each event, read as the standard says.
        fn events(&self) -> Vec<String> {
            let text = self.body().replace("\r\n", "\n");
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let data = |block: &str| -> Vec<String> {
                let lines = block.lines().filter_map(|line| line.strip_prefix("data:"));
                lines.map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()).collect()
            };
            text.split("\n\n").map(data).filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).collect()
        }
    }

    /// What the events say together: content, arguments of the first and of the second call, finish reason, total tokens.
    fn said(events: &[String]) -> (String, [String; 2], String, u64) {
        let mut said = (String::new(), [String::new(), String::new()], String::new(), 0);
        for event in events.iter().filter(|event| *event != "[DONE]") {
            let chunk: Value = serde_json::from_str(event).unwrap();
            let choice = &chunk["choices"][0];
            said.0 += choice["delta"]["content"].as_str().unwrap_or_default();
            said.2 += choice["finish_reason"].as_str().unwrap_or_default();
            said.3 += chunk["usage"]["total_tokens"].as_u64().unwrap_or_default();
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                said.1[index] += call["function"]["arguments"].as_str().unwrap();
            }
        }
        said
    }

    /// Waits for counts that have to come.
    async fn eventually(upstream: &Upstream, holds: impl Fn(&Counts) -> bool) {
        for _ in 0..500 {
            if holds(&upstream.counts()) {
                return;
            }
            time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{:?}", upstream.counts());
    }

    #[tokio::test]
    async fn every_framing_says_the_same() {
        let upstream = Upstream::start().await;
        let expected = said(&chat(&upstream, "plain", true).await.events());
        assert_eq!((expected.0.split(' ').count(), expected.2.as_str(), expected.3), (8, "stop", 16));
        for name in ["crlf", "bom", "multi", "nospace", "split", "glued", "no-done", "unknown", "comments", "drip"] {
            let answer = chat(&upstream, name, true).await;
            let events = answer.events();
            assert_eq!((answer.is_reset, said(&events)), (false, expected.clone()), "{name}");
            assert_eq!(events.last().unwrap() == "[DONE]", name != "no-done", "{name}");
        }
    }

    #[tokio::test]
    async fn http_chunks_are_cut_as_the_framing_says() {
        let upstream = Upstream::start().await;
        let sizes = async |model| -> Vec<usize> {
            let chunks = chat(&upstream, model, true).await.chunks();
            chunks.iter().map(Vec::len).filter(|size| *size > 0).collect()
        };
        assert_eq!(sizes("plain:5").await.len(), 9);
        assert_eq!(sizes("glued").await.len(), 1);
        assert_eq!(sizes("split").await.into_iter().max(), Some(1));
        let multibyte = chat(&upstream, "multibyte", true).await;
        assert!(multibyte.chunks().iter().any(|chunk| std::str::from_utf8(chunk).is_err()));
        assert_eq!(said(&multibyte.events()).3, 16);
    }

    #[tokio::test]
    async fn an_answer_depends_on_the_request_alone() {
        let upstream = Upstream::start().await;
        for model in ["plain:20", "echo", "tools", "reasoning", "unknown", "multibyte", "params", "no-usage"] {
            for is_streamed in [false, true] {
                let first = chat(&upstream, model, is_streamed).await;
                assert_eq!(first, chat(&upstream, model, is_streamed).await);
            }
        }
        let echo = chat(&upstream, "echo", true).await;
        assert_eq!(said(&echo.events()).0, "Hello, Wörld");
        let params = chat(&upstream, "params", false).await.json();
        let received = upstream.requests().pop().unwrap();
        assert_eq!(params["choices"][0]["message"]["content"].as_str().unwrap().as_bytes(), received.body);
        assert_eq!(received.header("idempotency-key"), Some("once"));
    }

    #[tokio::test]
    async fn tool_calls_are_interleaved_and_whole() {
        let upstream = Upstream::start().await;
        let (_, calls, finish_reason, _) = said(&chat(&upstream, "tools", true).await.events());
        assert_eq!(calls, [r#"{"city":"Berlin"}"#, r#"{"zone":"Europe/Berlin"}"#]);
        assert_eq!(finish_reason, "tool_calls");
    }

    #[tokio::test]
    async fn faults_end_where_the_script_says_so() {
        let upstream = Upstream::start().await;
        for (name, status) in [("500", "500"), ("429-reset", "429"), ("529", "529"), ("x-should-retry-true", "400")] {
            let model = format!("{name}:2#end");
            for expected in [status, status, "200", "200"] {
                assert_eq!(chat(&upstream, &model, false).await.status(), expected);
            }
            assert_eq!(chat(&upstream, name, true).await.status(), status);
            assert_eq!(upstream.counts().faults[name], 3);
            assert_eq!(upstream.counts().models[&model], 4);
        }
        assert_eq!(chat(&upstream, "no-such-model", false).await.json()["error"]["code"], "model_not_found");
    }

    #[tokio::test]
    async fn streams_break_where_the_script_says_so() {
        let upstream = Upstream::start().await;
        assert_eq!(chat(&upstream, "cut-first", true).await, Answer { is_reset: true, bytes: Vec::new() });
        // Reset, whole for HTTP, chunks with a finish reason of null: the one that tells the role and those of the content.
        for (name, expected) in [
            ("cut-head", (true, false, 0)),
            ("cut", (true, false, 4)),
            ("half-line", (false, true, 4)),
            ("error-first", (false, true, 0)),
            ("error-stream", (false, true, 3)),
            ("malformed", (false, true, 9)),
        ] {
            let answer = chat(&upstream, name, true).await;
            let found = answer.text().matches(r#""finish_reason":null}]"#).count();
            assert_eq!((answer.is_reset, answer.is_whole(), found), expected, "{name}: {}", answer.text());
            assert_eq!(answer.text().contains("overloaded_error"), name.starts_with("error"), "{name}");
        }
        let counts = upstream.counts();
        assert_eq!((counts.completed, counts.requests, counts.usages), (0, 7, 1));
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_noticed() {
        let upstream = Upstream::start().await;
        for model in ["never#a", "stall#a", "stream:1000@10#a", "slow:60000#a"] {
            time::timeout(Duration::from_millis(100), chat(&upstream, model, true)).await.unwrap_err();
            eventually(&upstream, |counts| counts.cancellations.iter().any(|(left, _)| left == model)).await;
        }
        eventually(&upstream, |counts| (counts.cancelled, counts.in_flight) == (4, 0)).await;
    }

    #[tokio::test]
    async fn counts_sum_the_usage_that_was_sent() {
        let upstream = Upstream::start().await;
        let mut total = 0;
        for model in ["plain:5", "reasoning:3", "stream:9"] {
            total += said(&chat(&upstream, model, true).await.events()).3;
            total += chat(&upstream, model, false).await.json()["usage"]["total_tokens"].as_u64().unwrap();
        }
        chat(&upstream, "no-usage", true).await;
        let counts = upstream.counts();
        assert_eq!((counts.usages, counts.prompt_tokens + counts.completion_tokens), (6, total));
        assert_eq!((counts.completed, counts.reasoning_tokens, counts.cached_tokens), (7, 10, 128));
        assert_eq!(counts.idempotency_keys["once"], 7);
        upstream.reset();
        assert_eq!(upstream.counts().requests, 0);
    }

    #[tokio::test]
    async fn a_stream_keeps_its_pace() {
        let upstream = Upstream::start().await;
        let begin = Instant::now();
        let answer = chat(&upstream, "stream:21@100", true).await;
        let took = begin.elapsed();
        assert_eq!(answer.events().len(), 25);
        assert!(took >= Duration::from_millis(200), "{took:?}");
    }

    #[tokio::test]
    async fn the_share_of_faults_is_the_same_for_the_same_seed() {
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let options = Options { fault_percent: 20.0, seed: 7, ..Options::default() };
            let upstream = Upstream::start_with(options).await.unwrap();
            for _ in 0..300 {
                chat(&upstream, "plain", true).await;
            }
            chat(&upstream, "echo", true).await;
            let counts = upstream.counts();
            let faults: u64 = counts.faults.values().sum();
            assert!((40..80).contains(&faults) && counts.completed == 301 - faults, "{counts:?}");
            kinds.push(counts.faults);
        }
        assert!(kinds[0].len() == 5 && kinds[0] == kinds[1], "{kinds:?}");
    }

    #[tokio::test]
    async fn embeddings_are_unit_vectors_of_their_text() {
        let upstream = Upstream::start().await;
        let vectors = async |input: &str, format: &str| -> Vec<Value> {
            let request =
                format!(r#"{{"model":"embed","input":{input},"dimensions":16,"encoding_format":"{format}"}}"#);
            let answer = ask(&upstream, "/v1/embeddings", &request).await.json();
            answer["data"].as_array().unwrap().iter().map(|data| data["embedding"].clone()).collect()
        };
        let both = vectors(r#"["a","b"]"#, "float").await;
        let length: f64 = both[0].as_array().unwrap().iter().map(|value| value.as_f64().unwrap().powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5 && both[0] != both[1]);
        assert_eq!(both[1], vectors(r#""b""#, "float").await[0]);
        assert_eq!(vectors("[1,2]", "base64").await[0].as_str().unwrap().len(), 88);
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_requests_may_come_ahead_or_in_chunks() {
        let upstream = Upstream::start().await;
        let mut stream = TcpStream::connect(upstream.address()).await.unwrap();
        let body = r#"{"model":"slow:20","messages":[]}"#;
        let head = "POST /v1/chat/completions?x=1 HTTP/1.1\r\n";
        let (begin, rest) = body.split_at(10);
        let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let chunks = format!("{begin}\r\n{:X};x=y\r\n{rest}\r\n0\r\nt: 1\r\n\r\n", rest.len());
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\nA\r\n{chunks}");
        stream.write_all(format!("{whole}{chunked}{whole}").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while String::from_utf8_lossy(&bytes).matches("HTTP/1.1 200 OK").count() < 3 {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
        assert_eq!((upstream.counts().connections, upstream.counts().requests), (1, 3));
        let address = upstream.address();
        drop(upstream);
        while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
        assert!(TcpStream::connect(address).await.is_err());
    }
}
