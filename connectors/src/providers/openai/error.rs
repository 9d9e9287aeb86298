//! Refusals: what an answer with a failing status, or an error within an answer, means.
//!
//! Owns: the way from status, headers and error object to a class. Error objects of OpenAI and of Anthropic are read, for
//! compatible servers pass both on.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use reqwest::StatusCode;
use serde_json::Value;

use crate::providers::{Class, Failure, failure::Details, wait::wait};

/// The failure that an answer with a failing status is.
pub(super) fn refused(status: StatusCode, headers: BTreeMap<String, String>, body: Bytes) -> Failure {
    let document = serde_json::from_slice::<Value>(&body).ok();
    let error = document.as_ref().and_then(error_of);
    let (words, details) = error.map_or_else(Default::default, |error| (words(error), details(error)));
    let words = words.unwrap_or_else(|| plain_words(&body));
    let class = by_words(&details, &words).unwrap_or_else(|| by_status(status));
    let said = if words.is_empty() { "and nothing else".to_owned() } else { words };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
    let should_retry = headers.get("x-should-retry").and_then(|value| value.parse().ok());
    let message = if details == Details::default() && error.is_none() {
        format!("the provider answered {}: {said}", status.as_u16())
    } else {
        said
    };
    Failure {
        status: Some(status.as_u16()),
        retry_after: wait(&headers, now),
        should_retry,
        details: Box::new(details),
        headers,
        body,
        ..Failure::new(class, message)
    }
}

/// The failure that an error object within an answer is, which had a status of success.
pub(super) fn within(document: &Value) -> Option<Failure> {
    let error = error_of(document)?;
    let details = details(error);
    let words = words(error).unwrap_or_else(|| "the provider said that it failed, and nothing else".to_owned());
    let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = number.and_then(|code| StatusCode::from_u16(code).ok()).filter(|status| status.as_u16() >= 400);
    let class = by_words(&details, &words).or(status.map(by_status)).unwrap_or(Class::Upstream);
    let body = Bytes::from(document.to_string());
    Some(Failure {
        details: Box::new(details),
        body: body.slice(..body.len().min(crate::providers::failure::BODY_LIMIT)),
        ..Failure::new(class, words)
    })
}

/// The error object of a document: OpenAI's and Anthropic's `error`, or a bare text as Ollama's.
fn error_of(document: &Value) -> Option<&Value> {
    document.get("error").filter(|error| !error.is_null())
}

fn words(error: &Value) -> Option<String> {
    let words = error.as_str().or_else(|| error.get("message")?.as_str());
    words.filter(|words| !words.is_empty()).map(str::to_owned)
}

fn details(error: &Value) -> Details {
    let text = |field: &str| match error.get(field)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    Details { kind: text("type"), param: text("param"), code: text("code") }
}

/// The beginning of a body that is no error object, as people can read it.
fn plain_words(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(400)]);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the provider's own names say, where they say more than the status.
fn by_words(details: &Details, words: &str) -> Option<Class> {
    let named = |name: &str| details.code.as_deref() == Some(name) || details.kind.as_deref() == Some(name);
    let lower = words.to_ascii_lowercase();
    let is_too_long = || {
        ["maximum context length", "context window", "prompt is too long", "exceeds the available context size"]
            .iter()
            .any(|sign| lower.contains(sign))
    };
    match () {
        () if named("context_length_exceeded") || named("exceed_context_size_error") || is_too_long() => {
            Some(Class::Context)
        }
        () if named("insufficient_quota") || named("billing_error") => Some(Class::QuotaExceeded),
        () if named("content_policy_violation") || named("content_filter") => Some(Class::Content),
        () if named("model_not_found") => Some(Class::NoModel),
        () if named("overloaded_error") => Some(Class::Overloaded),
        () if named("rate_limit_error") || named("rate_limit_exceeded") => Some(Class::RateLimited),
        () => None,
    }
}

fn by_status(status: StatusCode) -> Class {
    match status.as_u16() {
        401 | 403 => Class::Credentials,
        402 => Class::QuotaExceeded,
        404 => Class::NoModel,
        408 | 409 => Class::Upstream,
        429 => Class::RateLimited,
        503 | 529 => Class::Overloaded,
        500.. => Class::Upstream,
        300..=399 => Class::Malformed,
        _ => Class::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(status: u16, body: &Value, expected: Class) -> Failure {
        let failure = refused(StatusCode::from_u16(status).unwrap(), BTreeMap::new(), body.to_string().into());
        assert_eq!(failure.class, expected, "{status} {body}");
        failure
    }

    #[test]
    fn status_and_names_give_the_class() {
        let openai = |code: Option<&str>, kind: &str| json!({"error": {"message": "no", "type": kind, "param": null, "code": code}});
        check(429, &openai(None, "requests"), Class::RateLimited);
        check(429, &openai(Some("insufficient_quota"), "insufficient_quota"), Class::QuotaExceeded);
        check(400, &openai(Some("context_length_exceeded"), "invalid_request_error"), Class::Context);
        check(400, &openai(Some("content_policy_violation"), "invalid_request_error"), Class::Content);
        check(404, &openai(Some("model_not_found"), "invalid_request_error"), Class::NoModel);
        check(401, &openai(Some("invalid_api_key"), "invalid_request_error"), Class::Credentials);
        check(422, &openai(None, "invalid_request_error"), Class::Invalid);
        check(
            529,
            &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            Class::Overloaded,
        );
        check(400, &json!({"error": "the prompt is too long"}), Class::Context);
        check(500, &json!({"error": {"code": 500, "message": "the context size has been changed"}}), Class::Upstream);
        check(302, &json!({}), Class::Malformed);
    }

    #[test]
    fn the_providers_own_words_are_kept() {
        let failure = check(
            400,
            &json!({"error": {"message": "'n' must be 1", "type": "invalid_request_error", "param": "n", "code": "x"}}),
            Class::Invalid,
        );
        assert_eq!(failure.message, "'n' must be 1");
        assert_eq!(
            *failure.details,
            Details { kind: Some("invalid_request_error".into()), param: Some("n".into()), code: Some("x".into()) }
        );
        let page =
            refused(StatusCode::BAD_GATEWAY, BTreeMap::new(), Bytes::from_static(b"<html>\n <b>Bad  gateway</b>"));
        assert_eq!(page.message, "the provider answered 502: <html> <b>Bad gateway</b>");
    }

    #[test]
    fn an_error_within_an_answer_is_one() {
        let failure = within(&json!({"error": {"type": "overloaded_error", "message": "Overloaded"}})).unwrap();
        assert_eq!(failure.class, Class::Overloaded);
        assert_eq!(within(&json!({"error": {"code": 503, "message": "x"}})).unwrap().class, Class::Overloaded);
        assert_eq!(within(&json!({"error": null, "choices": []})), None);
    }
}
