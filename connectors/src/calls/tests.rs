//! Calls against a real server on this machine that behaves as providers do on their worst days.

#[path = "../../../testing/upstream.rs"]
mod upstream;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request as HttpRequest, Response, StatusCode, header},
};
use futures_util::StreamExt;
use meshlog_schemas::{AttemptFailed, CallRequested, CallSettled, Event, EventId};
use serde_json::{Value, json};
use tower::ServiceExt;
use upstream::Upstream;

use super::{Config, Dispatcher};
use crate::{
    http::{fake::Fake, router},
    ports::{Answer, CallEntry, CallLog},
    problem::{Code, Problem},
    providers::{
        Provider,
        openai::{OpenAi, Options},
    },
};

/// A log in memory that checks what every log would have to hold.
#[derive(Default)]
struct Memory {
    entries: Mutex<Vec<CallEntry>>,
    is_full: Mutex<bool>,
    /// How its sync ends, which then has to be waited for.
    sync: Option<Mutex<tokio::sync::watch::Receiver<Option<bool>>>>,
}

impl CallLog for Memory {
    fn append(&self, entries: Vec<CallEntry>) -> Answer<'_, ()> {
        Box::pin(async move {
            if *self.is_full.lock().unwrap() {
                return Err(Problem::new(Code::StorageFull, "there is no space", "make some").retry_after(5));
            }
            let mut all = self.entries.lock().unwrap();
            for entry in entries {
                assert!(!all.iter().any(|other| other.id == entry.id), "an id twice: {:?}", entry.event);
                all.push(entry);
            }
            Ok(())
        })
    }

    fn begin<'a>(&'a self, entries: Vec<CallEntry>) -> Answer<'a, Answer<'a, ()>> {
        Box::pin(async move {
            self.append(entries).await?;
            let sync = self.sync.as_ref().map(|sync| sync.lock().unwrap().clone());
            Ok(Box::pin(async move {
                let Some(mut sync) = sync else { return Ok(()) };
                match *sync.wait_for(Option::is_some).await.unwrap() {
                    Some(true) => Ok(()),
                    _ => Err(Problem::new(Code::StorageFull, "the disk failed", "mend it")),
                }
            }) as Answer<'a, ()>)
        })
    }

    fn now(&self) -> i64 {
        1_795_348_800_000_000
    }
}

impl Memory {
    fn events(&self) -> Vec<Event> {
        self.entries.lock().unwrap().iter().map(|entry| entry.event.clone()).collect()
    }

    fn settled(&self) -> Vec<CallSettled> {
        let settled = |event| match event {
            Event::CallSettled(call) => Some(*call),
            _ => None,
        };
        self.events().into_iter().filter_map(settled).collect()
    }

    fn failures(&self) -> Vec<AttemptFailed> {
        let failed = |event| match event {
            Event::AttemptFailed(attempt) => Some(attempt),
            _ => None,
        };
        self.events().into_iter().filter_map(failed).collect()
    }

    /// The one call that was settled; it is waited for.
    async fn one(&self) -> CallSettled {
        for _ in 0..500 {
            if let [settled] = &self.settled()[..] {
                return settled.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not settled once: {:?}", self.events());
    }

    fn names(&self) -> Vec<String> {
        self.events().iter().map(|event| event.kind().trim_start_matches("meshlog.").to_owned()).collect()
    }
}

/// A gateway before a scripted provider.
struct Gateway {
    upstream: Upstream,
    log: Arc<Memory>,
    dispatcher: Dispatcher,
    router: Router,
}

const QUICK: &str = "timeouts = { connect_ms = 500, first_byte_ms = 400, between_bytes_ms = 300, whole_ms = 2500 }
retries = { times = 2, first_ms = 20, longest_ms = 3000 }";

/// A gateway with two providers, `north` (the one that is asked unless it is named) and `south`, both at one upstream.
async fn gateway() -> Gateway {
    let upstream = Upstream::start().await;
    let provider = |name: &str| {
        format!(
            "[[providers]]\nname = \"{name}\"\nkind = \"openai\"\nbase_url = \"{}\"\nidempotency_header = \"Idempotency-Key\"\n{QUICK}\n",
            upstream.base_url()
        )
    };
    let price =
        "[[providers.models]]\nname = \"plain\"\nprice = { as_of = \"2026-11-01\", input = 1.0, output = 2.0 }\n";
    let nobody =
        format!("[[providers]]\nname = \"nobody\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:9\"\n{QUICK}\n");
    let routes = "[[models]]\nname = \"either-*\"\ntargets = [\"north/*\", \"south/plain\"]\n\
        [[models]]\nname = \"far\"\ntargets = [\"nobody/plain\", \"south/plain\"]\n\
        [[models]]\nname = \"*\"\ntargets = [\"north/*\"]\n";
    let text = [provider("north"), price.to_owned(), provider("south"), nobody, routes.to_owned()].concat();
    with(upstream, &text)
}

fn with(upstream: Upstream, config: &str) -> Gateway {
    with_log(upstream, config, Memory::default())
}

fn with_log(upstream: Upstream, config: &str, log: Memory) -> Gateway {
    let config = Config::parse(config).unwrap();
    let providers = config.providers.iter().map(|provider| {
        let prices = provider.models.iter().filter_map(|model| {
            let price = model.price.as_ref()?.price(&provider.name, &model.name).unwrap();
            Some((model.name.clone(), price))
        });
        let options = Options {
            name: provider.name.clone(),
            base_url: provider.base_url.clone().unwrap(),
            key: None,
            headers: Vec::new(),
            idempotency_header: provider.idempotency_header.clone(),
            connect: Duration::from_millis(provider.timeouts.connect_ms),
            prices: prices.collect(),
        };
        Arc::new(OpenAi::new(options).unwrap()) as Arc<dyn Provider>
    });
    let providers = providers.collect();
    let log = Arc::new(log);
    let dispatcher = Dispatcher::new(&config, providers, log.clone(), "node".to_owned()).unwrap();
    let mut ports = Fake::new().ports();
    ports.calls = Some(dispatcher.clone());
    Gateway { upstream, log, dispatcher, router: router(ports) }
}

struct Reply {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn code(&self) -> String {
        self.json()["error"]["meshlog"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Gateway {
    async fn begin(&self, body: &Value, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = HttpRequest::post("/v1/chat/completions").header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap()
    }

    async fn send(&self, body: &Value, headers: &[(&str, &str)]) -> Reply {
        let response = self.begin(body, headers).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    async fn ask(&self, model: &str) -> Reply {
        self.send(&chat(model), &[]).await
    }

    async fn stream(&self, model: &str) -> Reply {
        self.send(&streamed(model), &[]).await
    }
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "How are the roses?"}]})
}

fn streamed(model: &str) -> Value {
    let mut body = chat(model);
    body["stream"] = true.into();
    body
}

/// A call for which nobody waits, as it stands on the log.
fn background(model: &str) -> CallRequested {
    let request = super::Request::read(crate::providers::Kind::Chat, chat(model).to_string().into()).unwrap();
    let caller = super::Caller {
        space: "main".into(),
        thread: None,
        author: "user".into(),
        key_label: String::new(),
        idempotency_key: None,
    };
    match super::Record::new(EventId::fresh(), caller, request, 0).requested("").event {
        Event::CallRequested(requested) => requested,
        other => panic!("it is requested: {other:?}"),
    }
}

/// A gateway before one provider, whose log syncs when it is told to, and ends so.
fn gateway_that_syncs(upstream: Upstream) -> (Gateway, tokio::sync::watch::Sender<Option<bool>>) {
    let config = format!(
        "[[providers]]\nname = \"north\"\nkind = \"openai\"\nbase_url = \"{}\"\n{QUICK}\n\
         [[models]]\nname = \"*\"\ntargets = [\"north/*\"]\n",
        upstream.base_url()
    );
    let (sync, synced) = tokio::sync::watch::channel(None);
    (with_log(upstream, &config, Memory { sync: Some(Mutex::new(synced)), ..Memory::default() }), sync)
}

/// The last event of a stream that says that it failed.
fn error_in(body: &str) -> Value {
    let last = body.trim_end().rsplit("data: ").next().unwrap_or_default();
    serde_json::from_str::<Value>(last).map(|event| event["error"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_call_is_four_words_on_the_log_and_the_answer_is_the_providers() {
    let gateway = gateway().await;
    let reply = gateway.ask("plain").await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    let direct = gateway.upstream.requests().pop().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&direct.body).unwrap(), chat("plain"));
    assert_eq!(gateway.log.names(), ["call.requested", "attempt.started", "call.settled"]);
    let settled = gateway.log.one().await;
    assert_eq!(
        (settled.outcome.as_str(), settled.usage_source.as_str(), settled.attempts),
        ("completed", "reported", 1)
    );
    assert_eq!(settled.answer().unwrap(), reply.body.as_bytes());
    let usage = &reply.json()["usage"];
    assert_eq!(settled.input_tokens, usage["prompt_tokens"].as_i64().unwrap());
    assert_eq!(settled.output_tokens, usage["completion_tokens"].as_i64().unwrap());
    assert_eq!(settled.cost_nanos, 1_000 * settled.input_tokens + 2_000 * settled.output_tokens);
    assert_eq!(settled.price_table, "north/plain 2026-11-01");
    assert_eq!(reply.headers["meshlog-call"], settled.call_id.to_string());
    assert!(settled.first_output_micros >= 0 && settled.total_micros >= settled.first_output_micros);
}

#[tokio::test]
async fn a_stream_is_given_as_it_comes_and_recorded_whole() {
    let gateway = gateway().await;
    let reply = gateway.stream("stream:5@20").await;
    assert!(reply.body.ends_with("data: [DONE]\n\n"), "{}", reply.body);
    assert!(!reply.body.contains("\"prompt_tokens\""), "usage was asked for on behalf of the log: {}", reply.body);
    let settled = gateway.log.one().await;
    assert_eq!((settled.outcome.as_str(), settled.usage_source.as_str()), ("completed", "reported"));
    assert!(settled.first_output_micros < settled.total_micros - 100_000, "{settled:?}");
    let recorded = String::from_utf8(settled.answer().unwrap().into()).unwrap();
    assert!(recorded.contains("\"prompt_tokens\"") && recorded.ends_with("data: [DONE]\n\n"));
    assert!(super::record::pieces(&settled.timings).len() > 4);
    let counted = super::record::pieces(&settled.timings).iter().map(|(_, bytes)| bytes).sum::<usize>();
    assert_eq!(counted, recorded.len());
}

#[tokio::test]
async fn usage_that_the_caller_asks_for_is_given() {
    let gateway = gateway().await;
    let mut body = streamed("plain");
    body["stream_options"] = json!({"include_usage": true});
    let reply = gateway.send(&body, &[]).await;
    assert!(reply.body.contains("\"prompt_tokens\""), "{}", reply.body);
}

#[tokio::test]
async fn odd_but_valid_framings_are_answers() {
    let gateway = gateway().await;
    for name in [
        "crlf",
        "bom",
        "multi",
        "nospace",
        "split",
        "glued",
        "no-done",
        "multibyte",
        "comments",
        "unknown",
        "tools",
        "reasoning",
    ] {
        let reply = gateway.stream(name).await;
        assert_eq!(reply.status, StatusCode::OK, "{name}: {}", reply.body);
        let settled = gateway.log.settled().pop().unwrap();
        assert_eq!(settled.outcome, "completed", "{name}: {settled:?}");
        assert!(!settled.finish_reason.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_passes_is_what_would_have_come_directly() {
    let gateway = gateway().await;
    let client = reqwest::Client::new();
    for name in
        ["crlf", "bom", "multi", "nospace", "split", "glued", "multibyte", "comments", "unknown", "tools", "reasoning"]
    {
        let mut body = streamed(name);
        body["stream_options"] = json!({"include_usage": true});
        let through = gateway.send(&body, &[]).await.body;
        let url = format!("{}/chat/completions", gateway.upstream.base_url());
        let direct = client.post(url).body(body.to_string()).send().await.unwrap().text().await.unwrap();
        // Some say more behind the end of the answer.
        assert!(
            direct.starts_with(&through) && through.ends_with("data: [DONE]\n\n") || through == direct,
            "{name}: {through}\n{direct}"
        );
    }
}

#[tokio::test]
async fn reasoning_and_cached_tokens_are_counted_apart() {
    let gateway = gateway().await;
    let reply = gateway.ask("reasoning").await;
    let usage = &reply.json()["usage"];
    let of = |path: &str| usage.pointer(path).and_then(Value::as_i64).unwrap();
    let settled = gateway.log.one().await;
    assert_eq!(settled.reasoning_tokens, of("/completion_tokens_details/reasoning_tokens"));
    assert_eq!(settled.output_tokens, of("/completion_tokens") - settled.reasoning_tokens);
    assert_eq!(settled.cache_read_tokens, of("/prompt_tokens_details/cached_tokens"));
    assert_eq!(settled.input_tokens + settled.cache_read_tokens + settled.cache_write_tokens, of("/prompt_tokens"));
    assert!(settled.usage.contains("reasoning_tokens"), "the provider's own words: {}", settled.usage);
}

#[tokio::test]
async fn a_stream_without_usage_is_counted_here_and_marked() {
    let gateway = gateway().await;
    gateway.stream("no-usage").await;
    let settled = gateway.log.one().await;
    assert_eq!(settled.usage_source, "estimated");
    assert!(settled.input_tokens >= 5 && settled.output_tokens >= 4, "{settled:?}");
}

/// Faults before any output: what the caller is told, and how often the provider was asked.
async fn check(model: &str, streams: bool, status: u16, code: &str, attempts: i32) -> (Reply, Gateway) {
    let gateway = gateway().await;
    let reply = if streams { gateway.stream(model).await } else { gateway.ask(model).await };
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{model}: {}", reply.body);
    let settled = gateway.log.one().await;
    assert_eq!((settled.outcome.as_str(), settled.error_class.as_str()), ("failed", code), "{model}");
    assert_eq!((settled.attempts, settled.status), (attempts, i32::from(status)), "{model}");
    assert_eq!(gateway.log.failures().len(), usize::try_from(attempts).unwrap(), "{model}: {:?}", gateway.log.names());
    assert_eq!(settled.usage_source, "none", "{model}");
    assert_eq!(reply.headers["meshlog-attempts"], attempts.to_string());
    let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(!message.is_empty() && message == settled.error_message, "{model}: {message}");
    (reply, gateway)
}

#[tokio::test]
async fn every_fault_gives_its_documented_error_and_the_log_the_truth() {
    for streams in [false, true] {
        check("400", streams, 400, "invalid_request", 1).await;
        check("401", streams, 502, "upstream_credentials_refused", 1).await;
        check("403", streams, 502, "upstream_credentials_refused", 1).await;
        check("404", streams, 404, "model_not_found", 1).await;
        check("context", streams, 400, "context_length_exceeded", 1).await;
        check("content", streams, 400, "content_policy_violation", 1).await;
        check("408", streams, 502, "upstream_failed", 3).await;
        check("409", streams, 502, "upstream_failed", 3).await;
        check("500", streams, 502, "upstream_failed", 3).await;
        check("502-html", streams, 502, "upstream_failed", 3).await;
        check("503", streams, 503, "upstream_overloaded", 3).await;
        check("529", streams, 503, "upstream_overloaded", 3).await;
        check("429-quota", streams, 429, "upstream_quota_exceeded", 1).await;
        check("429-none", streams, 429, "rate_limited", 3).await;
        check("x-should-retry-false", streams, 502, "upstream_failed", 1).await;
        check("x-should-retry-true", streams, 400, "invalid_request", 3).await;
        check("error-200", streams, 503, "upstream_overloaded", 3).await;
        check("cut-first", streams, 502, "connection_cut", 3).await;
        check("cut-head", streams, 502, "truncated", 3).await;
        check("wrong-type", streams, 502, "malformed_answer", 3).await;
        check("empty", streams, 502, "truncated", 3).await;
    }
    check("error-first", true, 503, "upstream_overloaded", 3).await;
    check("huge:65", false, 502, "answer_too_large", 1).await;
}

#[tokio::test]
async fn the_providers_own_words_reach_the_caller() {
    let (reply, _) = check("400", false, 400, "invalid_request", 1).await;
    let error = &reply.json()["error"];
    assert!(error["param"].is_string() && error["type"] == "invalid_request_error", "{error}");
    assert_eq!((&error["meshlog"]["provider"], &error["meshlog"]["provider_status"]), (&json!("north"), &json!(400)));
}

#[tokio::test]
async fn a_provider_that_never_answers_is_given_up_in_time() {
    let begun = Instant::now();
    // It knows a repetition by its key, and so is asked again.
    check("never", false, 504, "first_byte_timeout", 3).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn every_form_of_waiting_is_waited_for() {
    for (model, least) in [
        ("429-seconds:1", 900),
        ("429-float:1", 250),
        ("429-ms:1", 150),
        ("429-date:1", 0),
        ("429-reset:1", 200),
        ("429-none:1", 15),
    ] {
        let gateway = gateway().await;
        let begun = Instant::now();
        let reply = gateway.ask(model).await;
        assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.body);
        assert!(begun.elapsed() >= Duration::from_millis(least), "{model}: {:?}", begun.elapsed());
        assert_eq!(
            gateway.log.names(),
            ["call.requested", "attempt.started", "attempt.failed", "attempt.started", "call.settled"],
            "{model}"
        );
        assert_eq!(gateway.log.failures()[0].class, "rate_limited");
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_told_and_not_made() {
    let (reply, gateway) = check("429-long", false, 429, "rate_limited", 1).await;
    assert_eq!(reply.headers["retry-after"], "3600");
    assert_eq!(gateway.log.failures()[0].retry_after_ms, 3_600_000);
    // Others are told the same without asking.
    let asked = gateway.upstream.requests().len();
    assert_eq!(gateway.ask("429-long").await.status.as_u16(), 429);
    assert_eq!(gateway.upstream.requests().len(), asked);
}

#[tokio::test]
async fn the_next_provider_answers_where_the_first_cannot() {
    for model in [
        "either-500",
        "either-401",
        "either-429-none",
        "either-429-long",
        "either-404",
        "either-cut-first",
        "either-never",
        "far",
    ] {
        let gateway = gateway().await;
        let reply = gateway.ask(model).await;
        assert_eq!(reply.status, StatusCode::OK, "{model}: {}", reply.body);
        let settled = gateway.log.one().await;
        assert_eq!(
            (settled.provider.as_str(), settled.model.as_str(), settled.asked_model.as_str()),
            ("south", "plain", model)
        );
        assert_eq!(reply.headers["meshlog-provider"], "south");
    }
}

#[tokio::test]
async fn attempts_at_one_provider_carry_one_key() {
    let gateway = gateway().await;
    gateway.ask("500:2").await;
    let keys: Vec<_> = gateway
        .upstream
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").map(str::to_owned))
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn what_may_have_been_done_is_done_again_only_where_a_repetition_is_known() {
    let upstream = Upstream::start().await;
    let config = format!(
        "[[providers]]\nname = \"north\"\nkind = \"openai\"\nbase_url = \"{}\"\n{QUICK}\n[[models]]\nname = \"*\"\ntargets = [\"north/*\"]\n",
        upstream.base_url()
    );
    let gateway = with(upstream, &config);
    assert_eq!(gateway.ask("cut-first").await.code(), "connection_cut");
    assert_eq!(gateway.log.one().await.attempts, 1);
}

/// Faults after output: the stream ends with an error, the log has what was given, and nobody else is asked.
async fn check_broken(model: &str, code: &str) -> CallSettled {
    let gateway = gateway().await;
    let reply = gateway.stream(model).await;
    assert_eq!(reply.status, StatusCode::OK, "{model}");
    assert!(!reply.body.contains("[DONE]"), "{model}");
    assert_eq!(error_in(&reply.body)["meshlog"]["code"], code, "{model}: {}", reply.body);
    let settled = gateway.log.one().await;
    assert_eq!(
        (settled.outcome.as_str(), settled.error_class.as_str(), settled.attempts),
        ("truncated", code, 1),
        "{model}"
    );
    assert_eq!((settled.usage_source.as_str(), settled.output_tokens > 0), ("estimated", true), "{model}");
    settled
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_is_never_begun_again() {
    check_broken("cut", "truncated").await;
    check_broken("half-line", "truncated").await;
    check_broken("malformed", "malformed_answer").await;
    check_broken("error-stream", "upstream_overloaded").await;
    check_broken("stall", "stalled").await;
}

#[tokio::test]
async fn a_gigantic_line_is_refused_without_being_kept() {
    let gateway = gateway().await;
    let reply = gateway.stream("gigantic:16").await;
    let code = if reply.status == StatusCode::OK {
        error_in(&reply.body)["meshlog"]["code"].clone()
    } else {
        reply.code().into()
    };
    assert_eq!(code, "answer_too_large", "{}", &reply.body[..reply.body.len().min(500)]);
    let settled = gateway.log.one().await;
    assert!(
        settled.answer().unwrap().len() <= super::record::RESPONSE_LIMIT && settled.response_bytes > 4_000_000,
        "{}",
        settled.response_bytes
    );
}

#[tokio::test]
async fn a_slow_drip_is_bounded_by_the_whole() {
    let gateway = gateway().await;
    let begun = Instant::now();
    let reply = gateway.stream("drip:40").await;
    let settled = gateway.log.one().await;
    assert_eq!(settled.error_class, "timeout", "{}", reply.body);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_call_at_the_provider_within_a_moment() {
    for model in ["stream:200@20", "never"] {
        let gateway = gateway().await;
        let left = if model == "never" {
            let router = gateway.router.clone();
            let request = HttpRequest::post("/v1/chat/completions").body(Body::from(chat(model).to_string())).unwrap();
            let asked = tokio::spawn(router.oneshot(request));
            while gateway.upstream.counts().in_flight == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            asked.abort();
            Instant::now()
        } else {
            let mut body = gateway.begin(&streamed(model), &[]).await.into_body().into_data_stream();
            for _ in 0..3 {
                body.next().await.unwrap().unwrap();
            }
            drop(body);
            Instant::now()
        };
        while gateway.upstream.counts().cancelled == 0 {
            assert!(left.elapsed() < Duration::from_secs(2), "{model}: the provider was not told");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(left.elapsed() < Duration::from_millis(100), "{model}: {:?}", left.elapsed());
        let settled = gateway.log.one().await;
        assert_eq!((settled.outcome.as_str(), settled.usage_source.as_str()), ("cancelled", "estimated"), "{model}");
        assert_eq!(settled.output_tokens > 0, model != "never");
    }
}

#[tokio::test]
async fn a_turn_of_a_thread_becomes_messages_before_the_call_is_settled() {
    let gateway = gateway().await;
    let mut body = chat("echo");
    body["messages"] = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "How are the roses?"}
    ]);
    gateway.send(&body, &[("meshlog-space", "ada"), ("meshlog-thread", "garden"), ("meshlog-author", "Ada")]).await;
    assert_eq!(
        gateway.log.names(),
        ["call.requested", "attempt.started", "message.accepted", "message.accepted", "call.settled"]
    );
    let said: Vec<_> = gateway
        .log
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::MessageAccepted(message) => {
                Some((message.space, message.thread, message.author, message.role, message.text))
            }
            _ => None,
        })
        .collect();
    let of = |author: &str, role: &str, text: &str| {
        ("ada".to_owned(), "garden".to_owned(), author.to_owned(), role.to_owned(), text.to_owned())
    };
    assert_eq!(said[0], of("Ada", "user", "How are the roses?"));
    assert_eq!((said[1].3.as_str(), said[1].4.trim()), ("assistant", "How are the roses?"));
    let call = gateway.log.one().await.call_id;
    assert!(gateway.log.entries.lock().unwrap()[1..].iter().all(|entry| entry.cause == Some(call)));
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_asked_and_what_it_does_not_settle_is_not_given() {
    let gateway = gateway().await;
    *gateway.log.is_full.lock().unwrap() = true;
    let reply = gateway.ask("plain").await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (503, "log_unavailable"));
    assert!(gateway.upstream.requests().is_empty());
    *gateway.log.is_full.lock().unwrap() = false;

    let mut body = gateway.begin(&streamed("stream:10@20"), &[]).await.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    *gateway.log.is_full.lock().unwrap() = true;
    let mut rest = String::new();
    while let Some(piece) = body.next().await {
        rest.push_str(&String::from_utf8_lossy(&piece.unwrap()));
    }
    assert!(!rest.contains("[DONE]") && error_in(&rest)["meshlog"]["code"] == "log_unavailable", "{rest}");
    *gateway.log.is_full.lock().unwrap() = false;
    assert_eq!(gateway.log.one().await.outcome, "completed", "it is settled once there is space again");
}

#[tokio::test]
async fn a_provider_is_asked_while_the_log_syncs_and_nothing_is_given_before_it_has() {
    for (model, ends_well) in
        [(chat("plain"), true), (streamed("plain"), true), (chat("plain"), false), (streamed("plain"), false)]
    {
        let (gateway, sync) = gateway_that_syncs(Upstream::start().await);
        let mut reply = Box::pin(gateway.send(&model, &[]));
        // It has been asked and has answered, and the caller has nothing, however long that takes: the provider's time for a
        // first byte is over by then.
        let given = tokio::time::timeout(Duration::from_millis(700), &mut reply).await;
        assert!(given.is_err() && gateway.upstream.requests().len() == 1);
        sync.send_replace(Some(ends_well));
        let reply = reply.await;
        if ends_well {
            assert_eq!((reply.status, gateway.log.one().await.outcome.as_str()), (StatusCode::OK, "completed"));
        } else {
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (503, "log_unavailable"), "{}", reply.body);
            assert!(gateway.log.settled().is_empty(), "what the log may not have is settled by the next start");
        }
    }
}

#[tokio::test]
async fn a_call_that_may_be_taken_up_again_is_durable_before_it_is_made() {
    // It never syncs: whoever does not append and wait goes on all the same, and whoever begins waits for ever.
    let (gateway, _sync) = gateway_that_syncs(Upstream::start().await);
    let requested = background("plain");
    let resumed = gateway.dispatcher.resume(&requested, 0, super::EarlierAttempts::default());
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(5), resumed).await,
        Ok(Ok(())),
        "it appends, and begins nothing"
    );
    assert_eq!(gateway.log.one().await.outcome, "completed");
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone() {
    let gateway = gateway().await;
    for _ in 0..2 {
        gateway.ask("500").await;
    }
    let asked = gateway.upstream.requests().len();
    assert_eq!(asked, 5, "five failures, one behind the other");
    let reply = gateway.ask("plain").await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (503, "provider_unavailable"));
    assert_eq!(gateway.upstream.requests().len(), asked);
    assert!(reply.headers.contains_key("retry-after"));
    // Another provider has a circuit of its own.
    assert_eq!(gateway.ask("south/plain").await.status, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(gateway.ask("plain").await.status, StatusCode::OK, "tried again after the pause");
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_are_allowed_and_no_more_wait() {
    let upstream = Upstream::start().await;
    let config = format!(
        "[[providers]]\nname = \"north\"\nkind = \"openai\"\nbase_url = \"{}\"\nconcurrency = 2\nqueue = 3\n[[models]]\nname = \"*\"\ntargets = [\"north/*\"]\n",
        upstream.base_url()
    );
    let gateway = Arc::new(with(upstream, &config));
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let gateway = gateway.clone();
            tokio::spawn(async move { gateway.ask("slow:150").await.status.as_u16() })
        })
        .collect();
    let mut most = 0;
    while gateway.dispatcher.under_way() > 0 || gateway.log.settled().len() < 8 {
        most = most.max(gateway.upstream.counts().in_flight);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 503, 503, 503]);
    assert_eq!(most, 2);
}

#[tokio::test]
async fn a_server_that_ends_settles_what_is_under_way_as_interrupted() {
    let gateway = gateway().await;
    let mut body = gateway.begin(&streamed("stream:200@20"), &[]).await.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    gateway.dispatcher.close().await;
    let settled = gateway.log.one().await;
    assert_eq!(settled.outcome, "interrupted");
    let mut rest = String::new();
    while let Some(piece) = body.next().await {
        rest.push_str(&String::from_utf8_lossy(&piece.unwrap()));
    }
    assert_eq!(error_in(&rest)["meshlog"]["code"], "interrupted");
}

#[tokio::test]
async fn a_request_without_sense_is_refused_in_openais_form_and_is_no_call() {
    let gateway = gateway().await;
    for (body, status, code) in [
        (json!([]), 400, "invalid_request"),
        (json!({"messages": []}), 400, "invalid_request"),
        (json!({"model": "plain", "stream": 7}), 400, "invalid_request"),
        (json!({"model": "plain", "meshlog": {"space": ""}}), 400, "invalid_request"),
    ] {
        let reply = gateway.send(&body, &[]).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, code), "{body}: {}", reply.body);
    }
    assert!(gateway.log.events().is_empty());
    let nowhere = with(Upstream::start().await, "");
    let reply = nowhere.ask("plain").await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "model_not_found"));
}

#[tokio::test]
async fn keys_of_callers_are_known_by_their_labels() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "mk-secret\n").unwrap();
    let upstream = Upstream::start().await;
    let config = format!(
        "[[providers]]\nname = \"north\"\nkind = \"openai\"\nbase_url = \"{}\"\n[[models]]\nname = \"*\"\ntargets = [\"north/*\"]\n[[keys]]\nlabel = \"notebook\"\nkey = {{ file = {:?} }}\n",
        upstream.base_url(),
        file.display().to_string()
    );
    let gateway = with(upstream, &config);
    for headers in [&[][..], &[("authorization", "Bearer wrong")][..]] {
        let reply = gateway.send(&chat("plain"), headers).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["code"]), (401, &json!("invalid_api_key")));
    }
    assert_eq!(gateway.send(&chat("plain"), &[("authorization", "Bearer mk-secret")]).await.status, StatusCode::OK);
    let settled = gateway.log.one().await;
    assert_eq!(settled.key_label, "notebook");
    assert!(!format!("{:?}", gateway.log.events()).contains("mk-secret"));
    assert!(
        gateway.upstream.requests().iter().all(|request| request.header("authorization").is_none()),
        "a caller's key goes no further"
    );
}

#[tokio::test]
async fn a_call_that_was_begun_elsewhere_is_begun_again_only_where_a_repetition_is_known() {
    let gateway = gateway().await;
    let requested = background("plain");
    let last = |provider: &str| meshlog_schemas::AttemptStarted {
        call_id: requested.call_id,
        space: "main".into(),
        thread: None,
        number: 1,
        provider: provider.into(),
        model: "plain".into(),
        idempotency_key: None,
    };
    let earlier = |provider: &str| super::EarlierAttempts { last: Some(last(provider)), has_failed: false };
    gateway.dispatcher.resume(&requested, 0, earlier("north")).await.unwrap();
    let settled = gateway.log.one().await;
    assert_eq!((settled.outcome.as_str(), settled.attempts), ("completed", 2));
    let requested = background("plain");
    gateway.dispatcher.resume(&requested, 0, earlier("nobody")).await.unwrap();
    assert_eq!(gateway.log.settled()[1].outcome, "interrupted");
    assert_eq!(gateway.upstream.requests().len(), 1);
}

/// Otherwise who carries it out would take it for one that was not carried out, and ask again.
#[tokio::test]
async fn a_call_for_nobody_that_the_log_settles_late_has_been_carried_out() {
    let gateway = gateway().await;
    let requested = background("slow:200");
    let full = async {
        while gateway.upstream.counts().in_flight == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        *gateway.log.is_full.lock().unwrap() = true;
        tokio::time::sleep(Duration::from_millis(600)).await;
        *gateway.log.is_full.lock().unwrap() = false;
    };
    let resumed = gateway.dispatcher.resume(&requested, 0, super::EarlierAttempts::default());
    let (resumed, ()) = tokio::join!(resumed, full);
    assert_eq!(resumed, Ok(()));
    assert_eq!((gateway.log.one().await.outcome.as_str(), gateway.upstream.requests().len()), ("completed", 1));
}
