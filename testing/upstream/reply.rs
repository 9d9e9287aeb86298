//! Replies: what a whole answer says, as pieces of a stream and as one JSON body, in the shape of OpenAI's chat completions.

use super::{
    counts::Usage,
    notes,
    prompt::{self, Chat},
    script::{Framing, Kind},
    wire::push,
};

/// Words of an answer that does not say how many.
const USUAL_WORDS: u64 = 8;
/// Tokens of the prompt that `reasoning` claims to have found in a cache, and to have written to it.
const CACHED: (u64, u64) = (64, 32);
/// Longest piece of a text that is streamed, in characters.
const PIECE_CHARS: usize = 12;
const CREATED: u64 = 1_790_000_000;

const WORDS: [&str; 32] = [
    "amber", "basalt", "cedar", "delta", "ember", "fjord", "garnet", "harbor", "indigo", "juniper", "kelp", "lantern",
    "meadow", "north", "opal", "prairie", "quartz", "river", "saffron", "tundra", "umber", "valley", "willow", "xenon",
    "yarrow", "zephyr", "anchor", "bridge", "canyon", "dune", "estuary", "forest",
];
const GLYPHS: [&str; 8] = ["grün", "日本語", "🦀🚀", "naïve", "Ελλάδα", "नमस्ते", "👩‍👩‍👧", "한국어"];
const REASONING: [&str; 5] = ["The", " user", " asks;", " I", " answer."];

/// What an answer says.
#[derive(Debug)]
pub(super) struct Reply {
    id: u64,
    /// As JSON.
    model: String,
    pub(super) reasoning: &'static [&'static str],
    pub(super) content: Content,
    calls: Vec<Call>,
    pub(super) usage: Option<Usage>,
    wants_usage: bool,
    has_unknown_fields: bool,
}

/// The text, in the pieces that it is streamed in.
#[derive(Debug)]
pub(super) enum Content {
    Words { seed: u64, count: u64, of: &'static [&'static str] },
    Numbered(u64),
    Text { text: String, ends: Vec<usize> },
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    fragments: [&'static str; 3],
}

impl Reply {
    /// The reply to a request whose body has this hash.
    pub(super) fn new(chat: &Chat<'_>, body: &[u8], kind: Kind, framing: Framing, number: Option<u64>) -> Self {
        let id = prompt::hash(body);
        let is_calling = kind == Kind::Tools && !chat.ends_with_tool_result();
        let calls = if is_calling { calls(chat, id) } else { Vec::new() };
        let content = content(chat, body, kind, framing, number);
        let reasoning: &'static [&'static str] = if kind == Kind::Reasoning { &REASONING } else { &[] };
        let mut usage = Usage { prompt: chat.tokens(), reasoning: reasoning.len() as u64, ..Usage::default() };
        usage.completion = usage.reasoning + if is_calling { 24 } else { content.len() };
        if kind == Kind::Reasoning {
            (usage.cached, usage.cache_write) = CACHED;
            usage.prompt += usage.cached + usage.cache_write;
        }
        Self {
            id,
            model: serde_json::Value::from(&*chat.model).to_string(),
            reasoning,
            content: if is_calling { Content::Numbered(0) } else { content },
            calls,
            usage: (kind != Kind::NoUsage).then_some(usage),
            wants_usage: chat.wants_usage(),
            has_unknown_fields: kind == Kind::Unknown,
        }
    }

    /// The usage that a stream ends with.
    pub(super) fn streamed_usage(&self) -> Option<Usage> {
        self.usage.filter(|_| self.wants_usage)
    }

    /// The chunk that tells the role.
    pub(super) fn role_chunk(&self, json: &mut Vec<u8>) {
        let content = if self.calls.is_empty() { r#""""# } else { "null" };
        self.chunk(json, format!(r#""role":"assistant","content":{content},"refusal":null"#).as_bytes(), "null");
    }

    /// A chunk of the reasoning.
    pub(super) fn reasoning_chunk(&self, piece: &str, json: &mut Vec<u8>) {
        self.chunk(json, format!(r#""reasoning_content":"{piece}""#).as_bytes(), "null");
    }

    /// The chunk of a piece of the content.
    pub(super) fn content_chunk(&self, piece: u64, json: &mut Vec<u8>) {
        self.open(json, "chat.completion.chunk");
        json.extend_from_slice(br#""choices":[{"index":0,"delta":{"content":""#);
        self.content.push(piece, json);
        json.push(b'"');
        if self.has_unknown_fields {
            json.extend_from_slice(
                br#","refusal":null,"annotations":[],"x_mood":{"calm":0.9}},"x_choice":[1,{"two":null}],"#,
            );
            json.extend_from_slice(br#""logprobs":{"content":[{"token":""#);
            self.content.push(piece, json);
            json.extend_from_slice(br#"","logprob":-0.25,"bytes":null,"top_logprobs":[]}],"refusal":null}"#);
        } else {
            json.extend_from_slice(br#"},"logprobs":null"#);
        }
        json.extend_from_slice(br#","finish_reason":null}]"#);
        self.close(json, piece);
    }

    /// A chunk of the content, as what stands before the text and what stands behind it.
    pub(super) fn chunk_around_text(&self) -> (Vec<u8>, Vec<u8>) {
        const TEXT: &[u8] = br#""content":""#;
        let mut json = Vec::new();
        self.chunk(&mut json, br#""content":"""#, "null");
        // Invariant: the field stands there; in the model's name its quotes would be escaped.
        let at = json.windows(TEXT.len()).position(|window| window == TEXT).unwrap_or(0);
        let after = json.split_off(at + TEXT.len());
        (json, after)
    }

    /// The chunks of the tool calls: id and name first, then the arguments of both in turn.
    pub(super) fn call_chunks(&self) -> impl Iterator<Item = Vec<u8>> {
        let first = self.calls.iter().enumerate().map(|(index, call)| {
            format!(
                r#""tool_calls":[{{"index":{index},"id":"{}","type":"function","function":{{"name":{},"arguments":""}}}}]"#,
                call.id, call.name
            )
        });
        let calls = || self.calls.iter().enumerate();
        let rest = (0..3).flat_map(move |turn| {
            calls().map(move |(index, call)| {
                let fragment = serde_json::Value::from(call.fragments[turn]);
                format!(r#""tool_calls":[{{"index":{index},"function":{{"arguments":{fragment}}}}}]"#)
            })
        });
        first.chain(rest).map(|delta| {
            let mut json = Vec::new();
            self.chunk(&mut json, delta.as_bytes(), "null");
            json
        })
    }

    /// The chunk that tells the finish reason.
    pub(super) fn finish_chunk(&self, json: &mut Vec<u8>) {
        self.chunk(json, b"", &format!(r#""{}""#, self.finish_reason()));
    }

    /// The chunk that tells the usage.
    pub(super) fn usage_chunk(&self, usage: &Usage, json: &mut Vec<u8>) {
        self.open(json, "chat.completion.chunk");
        push(json, format_args!(r#""choices":[],"usage":{}}}"#, self.usage_object(usage)));
    }

    /// The answer as one body.
    pub(super) fn whole(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(1024);
        self.open(&mut json, "chat.completion");
        json.extend_from_slice(br#""choices":[{"index":0,"message":{"role":"assistant","content":"#);
        if self.calls.is_empty() {
            json.push(b'"');
            (0..self.content.len()).for_each(|piece| self.content.push(piece, &mut json));
            json.push(b'"');
        } else {
            let calls: Vec<String> = self.calls.iter().map(Call::object).collect();
            push(&mut json, format_args!(r#"null,"tool_calls":[{}]"#, calls.join(",")));
        }
        if !self.reasoning.is_empty() {
            push(&mut json, format_args!(r#","reasoning_content":"{}""#, self.reasoning.concat()));
        }
        if self.has_unknown_fields {
            json.extend_from_slice(br#","x_mood":{"calm":0.9}"#);
        }
        json.extend_from_slice(br#","refusal":null,"annotations":[]},"logprobs":null,"#);
        push(&mut json, format_args!(r#""finish_reason":"{}"}}]"#, self.finish_reason()));
        if let Some(usage) = &self.usage {
            push(&mut json, format_args!(r#","usage":{}"#, self.usage_object(usage)));
        }
        if self.has_unknown_fields {
            json.extend_from_slice(br#","provider":"Scripted","x_future":{"a":[1,2,{"b":null}]}"#);
        }
        json.push(b'}');
        json
    }

    fn finish_reason(&self) -> &'static str {
        if self.calls.is_empty() { "stop" } else { "tool_calls" }
    }

    fn chunk(&self, json: &mut Vec<u8>, delta: &[u8], finish_reason: &str) {
        self.open(json, "chat.completion.chunk");
        json.extend_from_slice(br#""choices":[{"index":0,"delta":{"#);
        json.extend_from_slice(delta);
        json.extend_from_slice(br#"},"logprobs":null,"finish_reason":"#);
        json.extend_from_slice(finish_reason.as_bytes());
        json.extend_from_slice(b"}]");
        self.close(json, 0);
    }

    fn open(&self, json: &mut Vec<u8>, object: &str) {
        push(
            json,
            format_args!(
                r#"{{"id":"chatcmpl-{:016x}","object":"{object}","created":{CREATED},"model":{},"service_tier":"default","system_fingerprint":"fp_scripted","#,
                self.id, self.model
            ),
        );
    }

    fn close(&self, json: &mut Vec<u8>, turn: u64) {
        if self.wants_usage && self.usage.is_some() {
            json.extend_from_slice(br#","usage":null"#);
        }
        if self.has_unknown_fields {
            let padding = &"qZ7mK2pX9vT4"[..usize::try_from(turn % 12).unwrap_or(0) + 1];
            push(json, format_args!(r#","provider":"Scripted","x_future":[{{"a":null}}],"obfuscation":"{padding}""#));
        }
        json.push(b'}');
    }

    fn usage_object(&self, usage: &Usage) -> String {
        let Usage { prompt, completion, cached, cache_write, reasoning } = usage;
        let total = prompt + completion;
        let write = if *cache_write > 0 { format!(r#","cache_write_tokens":{cache_write}"#) } else { String::new() };
        let (inner, outer) = if self.has_unknown_fields {
            (r#","x_tokens":{"deep":[1]}"#, r#","cost":0.00021,"x_details":{"spirit_tokens":3,"rate":null}"#)
        } else {
            ("", "")
        };
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached}{write},"audio_tokens":0{inner}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0{inner}}}{outer}}}"#
        )
    }
}

impl Content {
    /// Pieces.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Words { count, .. } | Self::Numbered(count) => *count,
            Self::Text { ends, .. } => ends.len() as u64,
        }
    }

    /// Appends a piece as the inside of a JSON string.
    fn push(&self, piece: u64, json: &mut Vec<u8>) {
        match self {
            Self::Words { seed, of, .. } => {
                let drawn = prompt::next(&mut seed.wrapping_add(piece.wrapping_mul(0x5851_F42D_4C95_7F2D)));
                if piece > 0 {
                    json.push(b' ');
                }
                json.extend_from_slice(of[usize::try_from(drawn).unwrap_or(0) % of.len()].as_bytes());
            }
            Self::Numbered(_) => push(json, format_args!("w{piece} ")),
            Self::Text { text, ends } => {
                let at = usize::try_from(piece).unwrap_or(usize::MAX);
                let begin = if at == 0 { 0 } else { ends[at - 1] };
                let quoted = serde_json::Value::from(&text[begin..ends[at]]).to_string();
                json.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
            }
        }
    }
}

impl Call {
    fn object(&self) -> String {
        let arguments = serde_json::Value::from(self.fragments.concat());
        format!(
            r#"{{"id":"{}","type":"function","function":{{"name":{},"arguments":{arguments}}}}}"#,
            self.id, self.name
        )
    }
}

fn content(chat: &Chat<'_>, body: &[u8], kind: Kind, framing: Framing, number: Option<u64>) -> Content {
    let count = number.unwrap_or(USUAL_WORDS);
    match kind {
        Kind::Echo => text(chat.last_user_text().into_owned()),
        Kind::Image => text(chat.images()),
        Kind::Notes(how) => text(notes::of(&chat.user_texts(), how)),
        Kind::Params => text(String::from_utf8_lossy(body).into_owned()),
        Kind::Numbered => Content::Numbered(count),
        Kind::Plain | Kind::Slow | Kind::Tools | Kind::Reasoning | Kind::Unknown | Kind::NoUsage => {
            let of: &'static [&'static str] = if framing == Framing::MultiByte { &GLYPHS } else { &WORDS };
            // The number of `slow` is a time.
            let count = if kind == Kind::Slow { USUAL_WORDS } else { count };
            Content::Words { seed: prompt::hash(chat.last_user_text().as_bytes()), count, of }
        }
    }
}

fn text(text: String) -> Content {
    let ends = text.char_indices().map(|(at, _)| at).step_by(PIECE_CHARS).skip(1);
    let mut ends: Vec<usize> = ends.collect();
    if !text.is_empty() {
        ends.push(text.len());
    }
    Content::Text { text, ends }
}

fn calls(chat: &Chat<'_>, id: u64) -> Vec<Call> {
    let fragments = [[r#"{"city"#, r#"":"Ber"#, r#"lin"}"#], [r#"{"zone":""#, "Europe/", r#"Berlin"}"#]];
    let named = chat.tools_to_call().into_iter().zip(fragments).enumerate();
    let call = |(index, (name, fragments)): (usize, (&str, [&'static str; 3]))| Call {
        id: format!("call_{id:016x}{index}"),
        name: serde_json::Value::from(name).to_string(),
        fragments,
    };
    named.map(call).collect()
}
