//! Extractors: the parts of a request that handlers ask for.
//!
//! Owns: query strings, path segments and JSON bodies of bounded size, each with problems in place of axum's own texts.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::{Gateway, decode};
use crate::{
    checks,
    problem::{Code, Problem},
};

/// The largest JSON body, in bytes.
pub(super) const BODY_LIMIT: usize = 2 * 1024 * 1024;
/// How much of a body that is refused for its size is read and thrown away, in bytes. A client that writes its whole body
/// before it reads would otherwise see a broken connection and not the problem.
const DISCARD_LIMIT: usize = 16 * 1024 * 1024;

/// The query string, as `T`.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = pairs.map_err(|rejection| {
            Problem::new(Code::InvalidField, rejection.body_text(), "correct the part of the URL after the question mark")
        })?;
        decode::query(pairs).map(Parameters)
    }
}

/// The one variable segment of the path, percent-decoded and checked as a name.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(segment) = path.map_err(|rejection| {
            Problem::new(Code::NotUtf8, rejection.body_text(), "percent-encode the UTF-8 bytes of the id")
        })?;
        checks::name("id", &segment)?;
        Ok(Self(segment))
    }
}

/// A JSON object as the whole body, as `T`.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Gateway> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Gateway) -> Result<Self, Problem> {
        let media_type = media_type(request.headers())?;
        if media_type != "application/json" {
            return Err(unsupported(&media_type, &["application/json"]));
        }
        let bytes = whole(request, gateway).await?;
        decode::json(&bytes).map(JsonBody)
    }
}

/// The body's media type in lower case, without parameters; empty when none is stated.
///
/// # Errors
/// `unsupported_media_type` for a compressed body, which nothing here reads.
pub(super) fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| encoding.as_bytes() != b"identity") {
        let detail = format!("the body is encoded as {encoding:?}");
        return Err(Problem::new(Code::UnsupportedMediaType, detail, "send the body without a content encoding"));
    }
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The body is of a type that the route does not read.
pub(super) fn unsupported(media_type: &str, allowed: &[&str]) -> Problem {
    let detail = match media_type {
        "" => "the request states no content type".to_owned(),
        stated => format!("the content type {stated} is not read here"),
    };
    Problem::new(Code::UnsupportedMediaType, detail, format!("send a Content-Type header: {}", allowed.join(" or ")))
        .with("allowed", allowed)
}

/// Refuses a body that states a size over the limit, after throwing away as much of it as is reasonable.
pub(super) async fn refuse_stated_size(request: Request, limit: usize) -> Result<Body, Problem> {
    match stated_size(request.headers()) {
        Some(size) if size > limit as u64 => {
            if size <= DISCARD_LIMIT as u64 {
                discard(request.into_body()).await;
            }
            Err(too_large(limit).with("actual", size))
        }
        _ => Ok(request.into_body()),
    }
}

/// The body is larger than the limit.
pub(super) fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {limit} bytes");
    Problem::new(Code::BodyTooLarge, detail, "send less at once; many messages go as JSON lines in several requests")
        .with("limit", limit)
}

/// The connection failed before the end of the body.
pub(super) fn interrupted(received: usize) -> Problem {
    let detail = format!("the body broke off after {received} bytes");
    Problem::new(Code::BodyInterrupted, detail, "send the request again").with("actual", received)
}

/// The server will not wait for more of the body.
pub(super) fn stopping() -> Problem {
    Problem::new(Code::Stopping, "the server is stopping and reads no further", "send the request again in a moment")
        .retry_after(5)
}

async fn whole(request: Request, gateway: &Gateway) -> Result<Vec<u8>, Problem> {
    let mut chunks = refuse_stated_size(request, BODY_LIMIT).await?.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let chunk: Option<Result<Bytes, _>> = tokio::select! {
            chunk = chunks.next() => chunk,
            () = gateway.closed() => return Err(stopping()),
        };
        let Some(chunk) = chunk else { return Ok(bytes) };
        let chunk = chunk.map_err(|_| interrupted(bytes.len()))?;
        if bytes.len() + chunk.len() > BODY_LIMIT {
            discard(Body::from_stream(chunks)).await;
            return Err(too_large(BODY_LIMIT));
        }
        bytes.extend_from_slice(&chunk);
    }
}

async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut discarded = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > DISCARD_LIMIT {
            return;
        }
    }
}

fn stated_size(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
