//! Extractors: the parts of a request that handlers ask for.
//!
//! Owns: query strings, path segments and JSON bodies of bounded size, each with problems in place of axum's own texts.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::PathRejection},
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
            Problem::new(
                Code::InvalidField,
                rejection.body_text(),
                "correct the part of the URL after the question mark",
            )
        })?;
        decode::query(pairs).map(Parameters)
    }
}

/// The one variable segment of the path, percent-decoded and checked as a name.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(segment) = Path::<String>::from_request_parts(parts, state).await.map_err(not_utf8)?;
        checks::name("id", &segment)?;
        Ok(Self(segment))
    }
}

/// Two names in the path, in their order.
pub(super) struct Names(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((one, other)) = Path::<(String, String)>::from_request_parts(parts, state).await.map_err(not_utf8)?;
        checks::name("name", &one)?;
        checks::name("name", &other)?;
        Ok(Self(one, other))
    }
}

fn not_utf8(rejection: PathRejection) -> Problem {
    Problem::new(Code::NotUtf8, rejection.body_text(), "percent-encode the UTF-8 bytes of the id")
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
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| encoding.as_bytes() != b"identity")
    {
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

/// The whole body, of bounded size.
pub(super) async fn whole(request: Request, gateway: &Gateway) -> Result<Vec<u8>, Problem> {
    whole_of(request, gateway, BODY_LIMIT).await
}

/// The whole body, of at most `limit` bytes.
pub(super) async fn whole_of(request: Request, gateway: &Gateway, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut chunks = refuse_stated_size(request, limit).await?.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        let chunk: Option<Result<Bytes, _>> = tokio::select! {
            chunk = chunks.next() => chunk,
            () = gateway.closed() => return Err(stopping()),
        };
        let Some(chunk) = chunk else { return Ok(bytes) };
        let chunk = chunk.map_err(|_| interrupted(bytes.len()))?;
        if bytes.len() + chunk.len() > limit {
            discard(Body::from_stream(chunks)).await;
            return Err(too_large(limit));
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

#[cfg(test)]
mod tests {
    use axum::http::{Request, StatusCode};
    use futures_util::stream;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::http::{
        fake::{Fake, ask, post, post_json},
        serve,
    };

    async fn check(request: Request<Body>, code: Code) -> Problem {
        let problem = ask(Fake::new().router(), request).await.problem();
        assert_eq!(problem.code(), code.name(), "{problem:?}");
        problem
    }

    #[tokio::test]
    async fn a_body_of_another_media_type_is_refused_with_those_that_are_read() {
        for media_type in ["text/plain", "application/xml", ""] {
            let problem = check(post("/v1/recall", media_type, "{}"), Code::UnsupportedMediaType).await;
            assert_eq!(problem.details().facts["allowed"], serde_json::json!(["application/json"]));
        }
        let bare = Request::post("/v1/messages").body(Body::from("{}")).expect("the request is well formed");
        assert_eq!(
            check(bare, Code::UnsupportedMediaType).await.details().detail,
            "the request states no content type"
        );
    }

    #[tokio::test]
    async fn parameters_of_a_media_type_do_not_matter() {
        let reply = ask(Fake::new().router(), post("/v1/verifications", "Application/JSON; charset=utf-8", "{}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let mut request = post_json("/v1/recall", "{}");
        request.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        check(request, Code::UnsupportedMediaType).await;
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_the_limit_and_the_size_where_it_is_stated() {
        let body = vec![b' '; BODY_LIMIT + 1];
        let mut stated = post_json("/v1/messages", body.clone());
        stated.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(body.len()));
        let problem = check(stated, Code::BodyTooLarge).await;
        assert_eq!(problem.details().facts["limit"], BODY_LIMIT);
        assert_eq!(problem.details().facts["actual"], BODY_LIMIT + 1);

        let chunks = body.chunks(100_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
        let unstated = post_json("/v1/messages", Body::from_stream(stream::iter(chunks)));
        let problem = check(unstated, Code::BodyTooLarge).await;
        assert_eq!(problem.details().facts["limit"], BODY_LIMIT);
        assert_eq!(problem.details().facts.get("actual"), None);
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read() {
        let mut body = br#"{"query":"x"}"#.to_vec();
        body.resize(BODY_LIMIT, b' ');
        assert_eq!(ask(Fake::new().router(), post_json("/v1/recall", body)).await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_reported() {
        let chunks = [Ok("{\"query\":"), Err(std::io::Error::other("the connection is gone"))];
        check(post_json("/v1/recall", Body::from_stream(stream::iter(chunks))), Code::BodyInterrupted).await;
    }

    #[tokio::test]
    async fn a_query_string_with_faults_is_refused_by_field() {
        for (uri, code, field) in [
            ("/v1/threads?colour=red", Code::UnknownField, "colour"),
            ("/v1/threads?limit=many", Code::WrongType, "limit"),
            ("/v1/threads?limit=0", Code::OutOfRange, "limit"),
            ("/v1/threads?limit=501", Code::OutOfRange, "limit"),
            ("/v1/threads?limit=-1", Code::OutOfRange, "limit"),
            ("/v1/threads?limit=1&limit=2", Code::DuplicateField, "limit"),
            ("/v1/threads?space=", Code::InvalidField, "space"),
            ("/v1/threads?space=%07", Code::InvalidField, "space"),
            ("/v1/projections?digest=maybe", Code::WrongType, "digest"),
            ("/v1/events", Code::MissingField, "topic"),
        ] {
            let request = Request::get(uri).body(Body::empty()).expect("the request is well formed");
            assert_eq!(check(request, code).await.details().facts["field"], field, "{uri}");
        }
    }

    #[tokio::test]
    async fn an_id_that_is_not_utf8_or_too_long_is_refused() {
        let get = |uri: String| Request::get(uri).body(Body::empty()).expect("the request is well formed");
        check(get("/v1/messages/%FF".to_owned()), Code::NotUtf8).await;
        check(get(format!("/v1/messages/{}", "x".repeat(checks::NAME_LIMIT + 1))), Code::InvalidField).await;
        check(get("/v1/messages/a%00b".to_owned()), Code::InvalidField).await;
    }

    /// A client that writes its whole body before it reads would see "connection reset" and never the problem.
    #[tokio::test]
    async fn a_client_that_writes_its_whole_body_first_still_reads_the_problem() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let server = tokio::spawn(serve(listener, Fake::new().ports(), std::future::pending()));
        let mut connection = TcpStream::connect(address).await.expect("the server listens");
        let body = vec![b'x'; 15_000_000];
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.expect("the head is sent");
        connection.write_all(&body).await.expect("the body is sent");
        let mut answer = vec![0; 4096];
        let length = connection.read(&mut answer).await.expect("an answer comes");
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
        server.abort();
    }
}
