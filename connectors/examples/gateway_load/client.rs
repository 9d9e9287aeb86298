//! The client: one call of a target, as far as a measurement wants to know it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;

use crate::sse::{Event, Events};

/// A stream that brings nothing for so long counts as broken off.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    url: Url,
    headers: HeaderMap,
}

/// How a call went.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// 0 where there was no head.
    pub(crate) status: u16,
    /// Whether the answer came to its end: the whole body, or `[DONE]`.
    pub(crate) is_whole: bool,
    /// Whether the stream told an error.
    pub(crate) has_error: bool,
    pub(crate) first_content: Option<Instant>,
    pub(crate) usage: Option<Usage>,
}

/// The tokens that an answer reports.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    #[serde(default)]
    pub(crate) prompt_tokens_details: PromptDetails,
    #[serde(default)]
    pub(crate) completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(crate) struct PromptDetails {
    #[serde(default)]
    pub(crate) cached_tokens: u64,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(crate) struct CompletionDetails {
    #[serde(default)]
    pub(crate) reasoning_tokens: u64,
}

#[derive(Deserialize)]
struct Told {
    usage: Option<Usage>,
}

impl Target {
    /// Reads `[NAME=]URL[+HEADER=VALUE]...`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not a target: [NAME=]URL[+HEADER=VALUE]...");
        let mut parts = text.split('+');
        let address = parts.next().ok_or_else(wrong)?;
        let scheme = address.find("://").ok_or_else(wrong)?;
        let (name, url) = match address[..scheme].split_once('=') {
            Some((name, _)) => (name, &address[name.len() + 1..]),
            None => ("target", address),
        };
        let url = format!("{}/chat/completions", url.trim_end_matches('/'));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer load"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            let name = name.parse::<HeaderName>().map_err(|_| wrong())?;
            headers.insert(name, value.parse().map_err(|_| wrong())?);
        }
        Ok(Self { name: name.to_owned(), url: url.parse().map_err(|_| wrong())?, headers })
    }

    /// The same, with one header more.
    pub(crate) fn with_header(&self, name: &'static str, value: &str) -> Result<Self, String> {
        let mut target = self.clone();
        let value = value.parse().map_err(|_| format!("{value} is no value of a header"))?;
        target.headers.insert(HeaderName::from_static(name), value);
        Ok(target)
    }

    /// Asks for a streamed answer and gives each of its events; `None` where there was no head.
    pub(crate) async fn stream(
        &self,
        client: &Client,
        body: Bytes,
        mut each: impl FnMut(Event<'_>, Instant),
    ) -> Option<u16> {
        let mut response = self.post(client, body).await?;
        let status = response.status().as_u16();
        if status != 200 {
            // Read, so that the connection can be used again.
            let _ = response.bytes().await;
            return Some(status);
        }
        let mut events = Events::default();
        while let Ok(Ok(Some(bytes))) = tokio::time::timeout(LONGEST_SILENCE, response.chunk()).await {
            let now = Instant::now();
            events.read(&bytes, |event| each(event, now));
        }
        Some(status)
    }

    /// Makes a call.
    pub(crate) async fn call(&self, client: &Client, body: Bytes, is_streamed: bool) -> Answer {
        let mut answer = Answer::default();
        if is_streamed {
            let status = self.stream(client, body, |event, now| answer.hear(event, now)).await;
            answer.status = status.unwrap_or(0);
            answer.is_whole &= status == Some(200);
            return answer;
        }
        let Some(response) = self.post(client, body).await else { return answer };
        answer.status = response.status().as_u16();
        let Ok(bytes) = response.bytes().await else { return answer };
        let told = serde_json::from_slice::<Told>(&bytes);
        answer.is_whole = answer.status == 200 && told.is_ok();
        answer.usage = told.ok().and_then(|told| told.usage);
        answer
    }

    async fn post(&self, client: &Client, body: Bytes) -> Option<reqwest::Response> {
        client.post(self.url.clone()).headers(self.headers.clone()).body(body).send().await.ok()
    }
}

impl Answer {
    fn hear(&mut self, event: Event<'_>, now: Instant) {
        match event {
            Event::Content => self.first_content = self.first_content.or(Some(now)),
            Event::Done => self.is_whole = true,
            Event::Usage(json) => self.usage = serde_json::from_slice::<Told>(json).ok().and_then(|told| told.usage),
            Event::Error => self.has_error = true,
        }
    }
}

/// A client that keeps as many connections as it needs.
pub(crate) fn client() -> Result<Client, String> {
    let client = Client::builder().no_proxy().http1_only().tcp_nodelay(true).pool_max_idle_per_host(usize::MAX);
    client.connect_timeout(Duration::from_secs(5)).build().map_err(|error| error.to_string())
}

/// A request's body: a prompt of so many bytes, that begins with a note.
pub(crate) fn body(model: &str, note: &str, prompt_bytes: usize, is_streamed: bool) -> Bytes {
    let mut prompt = format!("{note} ");
    while prompt.len() < prompt_bytes {
        prompt.push_str("What would you say of the roof? ");
    }
    prompt.truncate(prompt_bytes.max(note.len()));
    let mut request = serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] });
    if is_streamed {
        request["stream"] = true.into();
        request["stream_options"] = serde_json::json!({ "include_usage": true });
    }
    Bytes::from(request.to_string())
}
