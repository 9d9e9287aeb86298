//! Refusals: the HTTP errors of OpenAI, of one of Anthropic's and of a proxy, with the headers that tell when to come back.

use std::time::Duration;

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// An HTTP error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: Body,
}

/// What an error's body looks like.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// OpenAI's object: message, type, param and code, the last two as JSON.
    OpenAi(&'static str, &'static str, &'static str, &'static str),
    /// The body as it is, and its content type.
    Verbatim(&'static str, &'static str),
}

/// A header's value that stands for the HTTP date one second ahead, rounded up.
const DATE_AHEAD: &str = "(a second ahead)";

const RATE: Body = Body::OpenAi(
    "Rate limit reached for scripted in organization org-scripted on requests per min (RPM): Limit 500, Used 500, \
     Requested 1. Please try again in 200ms.",
    "requests",
    "null",
    r#""rate_limit_exceeded""#,
);
const SERVER: Body = Body::OpenAi(
    "The server had an error while processing your request. Sorry about that!",
    "server_error",
    "null",
    "null",
);
const HTML: Body = Body::Verbatim(
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n\
     <hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
    "text/html",
);
const OVERLOADED: Body = Body::Verbatim(
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011CSHoEeqs5C35K2UUqR7Fy"}"#,
    "application/json",
);
const INVALID: Body = Body::OpenAi(
    "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    "invalid_request_error",
    r#""temperature""#,
    r#""invalid_type""#,
);

pub(super) const REFUSALS: &[Refusal] = &[
    refusal("429-seconds", 429, &[("retry-after", "1")], RATE),
    refusal("429-float", 429, &[("retry-after", "0.25")], RATE),
    refusal("429-ms", 429, &[("retry-after-ms", "150")], RATE),
    refusal("429-date", 429, &[("retry-after", DATE_AHEAD)], RATE),
    refusal(
        "429-reset",
        429,
        &[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-remaining-tokens", "29970"),
            ("x-ratelimit-reset-requests", "200ms"),
            ("x-ratelimit-reset-tokens", "60ms"),
        ],
        RATE,
    ),
    refusal("429-none", 429, &[], RATE),
    refusal("429-long", 429, &[("retry-after", "3600")], RATE),
    refusal(
        "429-quota",
        429,
        &[],
        Body::OpenAi(
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            "null",
            r#""insufficient_quota""#,
        ),
    ),
    refusal(
        "401",
        401,
        &[],
        Body::OpenAi(
            "Incorrect API key provided: sk-*****pted.",
            "invalid_request_error",
            "null",
            r#""invalid_api_key""#,
        ),
    ),
    refusal(
        "403",
        403,
        &[],
        Body::OpenAi(
            "Country, region, or territory not supported",
            "request_forbidden",
            "null",
            r#""unsupported_country_region_territory""#,
        ),
    ),
    refusal(
        "404",
        404,
        &[],
        Body::OpenAi(
            "The model does not exist or you do not have access to it.",
            "invalid_request_error",
            "null",
            r#""model_not_found""#,
        ),
    ),
    refusal("400", 400, &[], INVALID),
    refusal(
        "context",
        400,
        &[],
        Body::OpenAi(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 10021 tokens. \
             Please reduce the length of the messages.",
            "invalid_request_error",
            r#""messages""#,
            r#""context_length_exceeded""#,
        ),
    ),
    refusal(
        "content",
        400,
        &[],
        Body::OpenAi(
            "Your request was rejected as a result of our safety system.",
            "invalid_request_error",
            "null",
            r#""content_policy_violation""#,
        ),
    ),
    refusal("408", 408, &[], Body::OpenAi("Request timed out.", "timeout", "null", "null")),
    refusal("409", 409, &[], Body::OpenAi("The resource was updated by another request.", "conflict", "null", "null")),
    refusal("500", 500, &[], SERVER),
    refusal("502-html", 502, &[], HTML),
    refusal(
        "503",
        503,
        &[],
        Body::OpenAi(
            "The engine is currently overloaded, please try again later.",
            "service_unavailable_error",
            "null",
            "null",
        ),
    ),
    refusal("529", 529, &[], OVERLOADED),
    refusal("x-should-retry-false", 500, &[("x-should-retry", "false")], SERVER),
    refusal("x-should-retry-true", 400, &[("x-should-retry", "true")], INVALID),
];

const fn refusal(
    name: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: Body,
) -> Refusal {
    Refusal { name, status, headers, body }
}

/// The refusal of a name.
pub(super) fn named(name: &str) -> Option<&'static Refusal> {
    REFUSALS.iter().find(|refusal| refusal.name == name)
}

impl Refusal {
    /// The headers of an answer sent now.
    pub(super) fn headers_now(&self) -> Vec<(&'static str, String)> {
        let now = |value: &str| if value == DATE_AHEAD { date_ahead() } else { value.to_owned() };
        self.headers.iter().map(|(name, value)| (*name, now(value))).collect()
    }
}

impl Body {
    /// Content type and bytes.
    pub(super) fn render(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::OpenAi(message, kind, param, code) => {
                let text = format!(
                    "{{\n    \"error\": {{\n        \"message\": \"{message}\",\n        \"type\": \"{kind}\",\n        \
                     \"param\": {param},\n        \"code\": {code}\n    }}\n}}\n"
                );
                ("application/json", text.into_bytes())
            }
            Self::Verbatim(text, content_type) => (content_type, text.as_bytes().to_vec()),
        }
    }
}

/// The object of an error, as JSON; `param` and `code` are JSON too.
pub(super) fn error_object(message: &str, kind: &str, param: &str, code: &str) -> Vec<u8> {
    let message = serde_json::Value::from(message);
    format!(r#"{{"error":{{"message":{message},"type":"{kind}","param":{param},"code":{code}}}}}"#).into_bytes()
}

fn date_ahead() -> String {
    const HTTP_DATE: &[BorrowedFormatItem<'_>] =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    // Seconds are cut off when written; one more keeps the date at least a second away.
    let ahead = OffsetDateTime::now_utc() + Duration::from_secs(2);
    ahead.format(&HTTP_DATE).unwrap_or_default()
}
