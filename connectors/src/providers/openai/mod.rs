//! OpenAI's format, as its own servers and the many that are compatible speak it: chat completions and embeddings at any base
//! URL. Written against the API of November 2026, `/v1/chat/completions` and `/v1/embeddings`.
//!
//! Owns: the request on the wire, what its failures mean, and what of an answer is understood.
//! Promises: requests and answers pass as they are, with fields and events that nobody here knows.
//! Never: logs a key or a body.

mod answer;
mod error;

use std::{sync::Once, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::{
    Client, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT},
};

use super::{Answer, Ask, Body, Capabilities, Class, Failure, Kind, Mode, Price, Provider, Reply, kept, tokens};
use crate::calls::Secret;
pub use answer::{EVENT_LIMIT, EventReader, WHOLE_LIMIT, WholeReader, reader};
use error::refused;

/// How long a connection without requests is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long an answer to the question about health may take.
const HEALTH: Duration = Duration::from_secs(10);
/// How long a connection may answer nothing before it is asked whether it is still there (HTTP/2 alone).
const PING: Duration = Duration::from_secs(20);

/// How a provider of this format is reached.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name, as configured.
    pub name: String,
    /// Where its routes begin, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// The key that it is shown as a bearer.
    pub key: Option<Secret>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// The header by which it knows a repeated request, if it does.
    pub idempotency_header: Option<String>,
    /// How long connecting may take.
    pub connect: Duration,
    /// What its models cost, by their names.
    pub prices: Vec<(String, Price)>,
}

/// A provider of OpenAI's format.
pub struct OpenAi {
    name: String,
    models: Url,
    chat: Url,
    embeddings: Url,
    client: Client,
    idempotency: Option<HeaderName>,
    prices: Vec<(String, Price)>,
}

impl OpenAi {
    /// A provider; it is not asked yet.
    ///
    /// # Errors
    /// An option has no sense; which, and what to write.
    pub fn new(options: Options) -> Result<Self, String> {
        let Options { name, base_url, key, headers, idempotency_header, connect, prices } = options;
        let fault = |what: String| format!("provider {name}: {what}");
        let url = |url: &str| {
            Url::parse(url).map_err(|error| {
                fault(format!(
                    "base_url \"{base_url}\" is no URL ({error}); write one such as https://api.openai.com/v1"
                ))
            })
        };
        let base = url(&base_url)?;
        if !matches!(base.scheme(), "http" | "https") || base.query().is_some() {
            return Err(fault(format!(
                "base_url \"{base_url}\" must begin with http:// or https:// and have no query"
            )));
        }
        let route = |route: &str| url(&format!("{}/{route}", base_url.trim_end_matches('/')));
        let header = |header: &str| {
            HeaderName::try_from(header).map_err(|_| fault(format!("\"{header}\" is no name of a header")))
        };
        let mut sent = HeaderMap::new();
        sent.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        sent.insert(USER_AGENT, HeaderValue::from_static(concat!("meshlog/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = key {
            let value = HeaderValue::try_from(format!("Bearer {}", key.reveal()));
            let mut value = value.map_err(|_| fault("the key has characters that no header may have".to_owned()))?;
            value.set_sensitive(true);
            sent.insert(AUTHORIZATION, value);
        }
        for (name, value) in headers {
            let mut value = HeaderValue::try_from(&value)
                .map_err(|_| fault(format!("the header {name} has characters that none may have")))?;
            value.set_sensitive(true);
            sent.insert(header(&name)?, value);
        }
        let idempotency = idempotency_header.as_deref().map(header).transpose()?;
        Ok(Self {
            client: client(sent, connect).map_err(|error| fault(error.to_string()))?,
            models: route("models")?,
            chat: route("chat/completions")?,
            embeddings: route("embeddings")?,
            name,
            idempotency,
            prices,
        })
    }

    async fn answered(&self, ask: Ask) -> Result<Reply, Failure> {
        let url = match ask.kind {
            Kind::Chat => &self.chat,
            Kind::Embeddings => &self.embeddings,
        };
        let mut request = self.client.post(url.clone()).body(ask.body);
        if let (Some(header), Some(key)) = (&self.idempotency, &ask.idempotency_key) {
            request = request.header(header, key);
        }
        let response = request.send().await.map_err(|error| on_the_way(&error))?;
        let (status, headers) = (response.status(), kept(response.headers()));
        if !status.is_success() {
            let body = beginning(response.bytes_stream().boxed()).await;
            return Err(refused(status, headers, body));
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_stream = media_type == "text/event-stream";
        let is_json = media_type == "application/json" || media_type.ends_with("+json");
        if !(is_json || is_stream && ask.mode == Mode::Stream) {
            let wanted = if ask.mode == Mode::Stream { "text/event-stream" } else { "application/json" };
            let body = beginning(response.bytes_stream().boxed()).await;
            let said = if content_type.is_empty() { "without a content type" } else { &content_type };
            let message = format!("the answer is {said}, and {wanted} was asked for");
            return Err(Failure {
                status: Some(status.as_u16()),
                headers,
                body,
                ..Failure::new(Class::Malformed, message)
            });
        }
        let body: Body = Box::pin(response.bytes_stream().map(|piece| piece.map_err(|error| on_the_way(&error))));
        let mode = if is_stream { Mode::Stream } else { Mode::Whole };
        let reader = reader(ask.kind, mode, ask.hides_usage);
        Ok(Reply { content_type, headers, body, reader })
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn wire(&self) -> &'static str {
        "openai"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, embeddings: true, idempotency: self.idempotency.is_some() }
    }

    fn count_tokens(&self, _model: &str, text: &str) -> u64 {
        tokens::count(text)
    }

    fn price(&self, model: &str) -> Option<&Price> {
        self.prices.iter().find(|(name, _)| name == model).map(|(_, price)| price)
    }

    fn health(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let request = self.client.get(self.models.clone()).timeout(HEALTH);
            let response = request.send().await.map_err(|error| on_the_way(&error))?;
            let (status, headers) = (response.status(), kept(response.headers()));
            // Not every compatible server has this route; that it answers is what matters then.
            if status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                return Ok(());
            }
            Err(refused(status, headers, beginning(response.bytes_stream().boxed()).await))
        })
    }

    fn ask(&self, ask: Ask) -> Answer<'_, Reply> {
        Box::pin(self.answered(ask))
    }
}

/// A client that never follows a redirect (a key goes only where it was meant to go) and never asks twice.
fn client(headers: HeaderMap, connect: Duration) -> reqwest::Result<Client> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error means that there is one already, which does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .default_headers(headers)
        .connect_timeout(connect)
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .build()
}

/// What went wrong before there was an answer, or within it.
fn on_the_way(error: &reqwest::Error) -> Failure {
    let mut words = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    // The URL is the operator's own and may hold what is not for callers.
    let words = words.into_iter().skip(1).collect::<Vec<_>>().join(": ");
    let (class, what) = match error {
        error if error.is_connect() => (Class::Connect, "there is no connection to the provider"),
        error if error.is_body() || error.is_decode() => (Class::Truncated, "the answer broke off"),
        _ => (Class::Cut, "the connection to the provider ended before it answered"),
    };
    Failure::new(class, if words.is_empty() { what.to_owned() } else { format!("{what}: {words}") })
}

/// The beginning of a body that is not read any further. It is given a moment; what has not come by then is not waited for.
async fn beginning(body: stream::BoxStream<'_, reqwest::Result<Bytes>>) -> Bytes {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut kept = Vec::new();
    let mut body = body;
    let read = async {
        while let Some(Ok(piece)) = body.next().await {
            let room = super::failure::BODY_LIMIT - kept.len();
            kept.extend_from_slice(&piece[..piece.len().min(room)]);
            if kept.len() == super::failure::BODY_LIMIT {
                break;
            }
        }
    };
    // What has come until then is what is kept.
    let _ = tokio::time::timeout(PATIENCE, read).await;
    kept.into()
}
