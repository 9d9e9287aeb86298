//! The prompt: what a request to the scripted provider says, as far as an answer depends on it.

use std::{borrow::Cow, ops::Not as _};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// A request for a chat completion.
#[derive(Debug, Deserialize)]
pub(super) struct Chat<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<Message<'a>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(borrow, default)]
    response_format: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
}

/// Tokens that an image counts as.
const IMAGE_TOKENS: u64 = 85;
/// Tokens that each message counts as, beside its text.
const MESSAGE_TOKENS: u64 = 4;

impl Chat<'_> {
    pub(super) fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage == Some(true))
    }

    /// The text of the last user message; empty where there is none.
    pub(super) fn last_user_text(&self) -> Cow<'_, str> {
        let last = self.messages.iter().rev().find(|message| message.role == "user");
        last.and_then(|message| message.content).map_or(Cow::Borrowed(""), text)
    }

    /// The texts of all user messages.
    pub(super) fn user_texts(&self) -> Vec<Cow<'_, str>> {
        let users = self.messages.iter().filter(|message| message.role == "user");
        users.filter_map(|message| message.content).map(text).collect()
    }

    /// Whether the answer is to be of a form that is given.
    pub(super) fn has_schema(&self) -> bool {
        self.response_format.is_some()
    }

    /// Whether the last message is what a tool returned.
    pub(super) fn ends_with_tool_result(&self) -> bool {
        self.messages.last().is_some_and(|message| message.role == "tool")
    }

    /// The names of the two tools to call: the first two offered, the only one twice, or two of our own.
    pub(super) fn tools_to_call(&self) -> [&str; 2] {
        let offered = self.tools.iter().flatten().filter_map(|tool| tool.function.as_ref());
        let names: Vec<_> = offered.map(|function| function.name.as_str()).take(2).collect();
        match names[..] {
            [first, second] => [first, second],
            [only] => [only, only],
            _ => ["get_weather", "get_time"],
        }
    }

    /// Four bytes of text a token, more for each image and each message: near to what a real provider counts.
    pub(super) fn tokens(&self) -> u64 {
        self.messages.iter().filter_map(|message| message.content).map(|content| tokens(content) + MESSAGE_TOKENS).sum()
    }

    /// Type and size of each image, of all messages, as JSON.
    pub(super) fn images(&self) -> String {
        let parts = self.messages.iter().filter_map(|message| message.content).filter_map(parts).flatten();
        let urls = parts.filter_map(|part| Some(part.get("image_url")?.get("url")?.as_str()?.to_owned()));
        let images: Vec<Value> = urls.map(|url| image(&url)).collect();
        serde_json::json!({ "count": images.len(), "images": images }).to_string()
    }
}

fn text(content: &RawValue) -> Cow<'_, str> {
    if let Ok(text) = serde_json::from_str::<&str>(content.get()) {
        return Cow::Borrowed(text);
    }
    if let Ok(text) = serde_json::from_str::<String>(content.get()) {
        return Cow::Owned(text);
    }
    let texts = parts(content).into_iter().flatten().filter_map(|part| Some(part.get("text")?.as_str()?.to_owned()));
    Cow::Owned(texts.collect::<Vec<_>>().concat())
}

fn tokens(content: &RawValue) -> u64 {
    let raw = content.get();
    if raw.starts_with('[').not() {
        return (raw.len() as u64).div_ceil(4);
    }
    let each = parts(content).into_iter().flatten().map(|part| match part.get("text").and_then(Value::as_str) {
        Some(text) => (text.len() as u64).div_ceil(4),
        None => IMAGE_TOKENS,
    });
    each.sum()
}

fn parts(content: &RawValue) -> Option<Vec<Value>> {
    serde_json::from_str(content.get()).ok()
}

fn image(url: &str) -> Value {
    let Some((media_type, data)) = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) else {
        return serde_json::json!({ "url": url });
    };
    let bytes = data.trim_end_matches('=').len() * 3 / 4;
    serde_json::json!({ "type": media_type, "bytes": bytes })
}

/// A request for embeddings.
#[derive(Debug, Deserialize)]
pub(super) struct Embed<'a> {
    #[serde(borrow)]
    pub(super) model: Cow<'a, str>,
    input: Inputs,
    #[serde(default)]
    pub(super) dimensions: Option<usize>,
    #[serde(default)]
    encoding_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Inputs {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u64>),
    TokenLists(Vec<Vec<u64>>),
}

impl Embed<'_> {
    /// Whether the vectors are asked for as base64 of little-endian floats.
    pub(super) fn is_base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }

    /// What is to be embedded; tokens stand as their numbers.
    pub(super) fn texts(&self) -> Vec<Cow<'_, str>> {
        let numbers = |tokens: &[u64]| Cow::Owned(format!("{tokens:?}"));
        match &self.input {
            Inputs::Text(text) => vec![Cow::Borrowed(text.as_str())],
            Inputs::Texts(texts) => texts.iter().map(|text| Cow::Borrowed(text.as_str())).collect(),
            Inputs::Tokens(tokens) => vec![numbers(tokens)],
            Inputs::TokenLists(lists) => lists.iter().map(|tokens| numbers(tokens)).collect(),
        }
    }
}

/// FNV-1a: what the answers are decided by.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The next number of a sequence (splitmix64, Steele et al. 2014).
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
