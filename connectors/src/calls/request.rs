//! Requests: what of a caller's request is understood, and the two things in it that may be changed on the way.
//!
//! Owns: the field `meshlog`, which is taken out; the model's name, which may be another at the provider; and usage, which is asked
//! for where the caller does not.
//! Promises: everything else keeps its bytes and its order, whatever it is.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    api::PromptMessage,
    providers::{Kind, Mode, tokens},
};

/// The field of a request that is meant for Meshlog.
pub const OWN_FIELD: &str = "meshlog";

/// A request as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What kind of call it is.
    pub kind: Kind,
    /// The request without [`OWN_FIELD`].
    pub body: Bytes,
    /// The model's name.
    pub model: String,
    /// How the answer is wanted.
    pub mode: Mode,
    /// Whether the caller asks for usage in a stream.
    pub asks_usage: bool,
    /// What is meant for Meshlog.
    pub own: Own,
    /// What users said for the first time, where the body has more than that since.
    said: Option<Vec<String>>,
}

/// What of a request is meant for Meshlog.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    /// The space that the call is made for.
    pub space: Option<String>,
    /// The thread whose turn it is.
    pub thread: Option<String>,
    /// Who says what the user says.
    pub author: Option<String>,
    /// Whether the call goes on without the caller, who asks for its result later.
    pub background: bool,
    /// Whether the model is told what memory holds, and how much of it.
    pub context: Option<OwnContext>,
}

/// What a model is told of memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnContext {
    /// How many tokens that may have, with the beginning of what is asked (2 KiB).
    pub budget_tokens: u32,
}

impl Default for OwnContext {
    fn default() -> Self {
        Self { budget_tokens: 4096 }
    }
}

/// A request that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadRequest {
    /// What is wrong.
    pub message: String,
    /// The field at fault.
    pub param: Option<&'static str>,
}

fn bad(param: Option<&'static str>, message: impl Into<String>) -> BadRequest {
    BadRequest { message: message.into(), param }
}

/// An object's fields in their order, their values as they stand.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((field.0.0, field.1));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A field's name, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// The last of a name counts, as everywhere in JSON.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(field, _)| field == name)
            .map(|(_, value)| *value)
            .filter(|value| value.get() != "null")
    }

    fn write<'b>(&'b self, replaced: &[(&str, Option<&'b str>)]) -> Bytes {
        let mut body = Vec::with_capacity(self.0.iter().map(|(name, value)| name.len() + value.get().len() + 4).sum());
        body.push(b'{');
        let mut push = |name: &str, value: &str| {
            if body.len() > 1 {
                body.push(b',');
            }
            // A text can always be written as JSON.
            body.extend_from_slice(serde_json::to_string(name).unwrap_or_default().as_bytes());
            body.push(b':');
            body.extend_from_slice(value.as_bytes());
        };
        for (name, value) in &self.0 {
            match replaced.iter().find(|(replaced, _)| replaced == name) {
                None => push(name, value.get()),
                Some((_, Some(other))) => push(name, other),
                Some((_, None)) => {}
            }
        }
        for (name, value) in replaced {
            if let Some(value) = value.filter(|_| !self.0.iter().any(|(field, _)| field == name)) {
                push(name, value);
            }
        }
        body.push(b'}');
        body.into()
    }
}

fn fields(body: &[u8]) -> Result<Fields<'_>, BadRequest> {
    serde_json::from_slice(body).map_err(|error| bad(None, format!("the body is no JSON object: {error}")))
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// It is no JSON object, or a field that is needed here has no sense.
    pub fn read(kind: Kind, body: Bytes) -> Result<Self, BadRequest> {
        let fields = fields(&body)?;
        let model = fields.get("model").ok_or_else(|| bad(Some("model"), "you must provide a model"))?;
        let model: String =
            serde_json::from_str(model.get()).map_err(|_| bad(Some("model"), "the model must be a string"))?;
        if model.is_empty() || model.len() > 512 {
            return Err(bad(Some("model"), "the model's name must have 1 to 512 bytes"));
        }
        let stream = fields.get("stream").map_or("false", RawValue::get);
        let mode = match stream {
            "true" if kind == Kind::Chat => Mode::Stream,
            "true" | "false" => Mode::Whole,
            _ => return Err(bad(Some("stream"), "stream must be true or false")),
        };
        #[derive(Default, Deserialize)]
        struct StreamOptions {
            #[serde(default)]
            include_usage: Option<bool>,
        }
        let options = fields.get("stream_options").map(|raw| serde_json::from_str::<StreamOptions>(raw.get()));
        let options =
            options.transpose().map_err(|_| bad(Some("stream_options"), "stream_options must be an object"))?;
        let own = fields.get(OWN_FIELD).map(|raw| serde_json::from_str(raw.get()));
        let own: Option<Own> = own.transpose().map_err(|error| {
            bad(
                Some(OWN_FIELD),
                format!("the field meshlog may have space, thread, author, background and context: {error}"),
            )
        })?;
        let asks_usage = options.unwrap_or_default().include_usage.unwrap_or(false);
        let without = if fields.0.iter().any(|(name, _)| name == OWN_FIELD) {
            Some(fields.write(&[(OWN_FIELD, None)]))
        } else {
            None
        };
        let body = without.unwrap_or_else(|| body.clone());
        Ok(Self { kind, body, model, mode, asks_usage, own: own.unwrap_or_default(), said: None })
    }

    /// The body as a provider gets it: for its model's name, and with `asks_usage` asking for usage in a stream. Where nothing
    /// has to be changed it is the caller's own, byte for byte.
    pub fn body_for(&self, model: &str, asks_usage: bool) -> Bytes {
        let asks = asks_usage && self.mode == Mode::Stream && !self.asks_usage;
        if model == self.model && !asks {
            return self.body.clone();
        }
        // Invariant: it was read when the request was.
        let Ok(fields) = fields(&self.body) else { return self.body.clone() };
        let name = serde_json::to_string(model).unwrap_or_default();
        let mut replaced = vec![("model", Some(name.as_str()))];
        let options = asks.then(|| stream_options(&fields));
        if let Some(options) = &options {
            replaced.push(("stream_options", Some(options)));
        }
        fields.write(&replaced)
    }

    /// What users say for the first time in this request: behind what the model said last. Older turns have been told before.
    pub fn said(&self) -> Vec<String> {
        if let Some(said) = &self.said {
            return said.clone();
        }
        let Some(messages) = self.messages() else { return Vec::new() };
        let new = messages.iter().rposition(|message| message.role == "assistant").map_or(0, |last| last + 1);
        let users = messages[new..].iter().filter(|message| message.role == "user");
        users.map(|message| message.text()).filter(|text| !text.trim().is_empty()).collect()
    }

    /// Whether what the user asks is all of the conversation that the request has.
    pub fn is_first_turn(&self) -> bool {
        let messages = self.messages().unwrap_or_default();
        messages.iter().filter(|message| !is_of_system(&message.role)).count() == 1
    }

    /// The same request with turns before all but what the system says, and a text before what the user says last. Neither is
    /// said by anybody.
    ///
    /// # Errors
    /// It has no message of a user whose content is a text or a list of parts.
    pub fn with_context(self, turns: &[PromptMessage], text: &str) -> Result<Self, BadRequest> {
        let said = self.said();
        let fields = fields(&self.body)?;
        let no_messages = || bad(Some("messages"), "a context needs a message of a user, with a text or with parts");
        let messages = fields.get("messages").ok_or_else(no_messages)?;
        // What is not changed keeps its bytes.
        let messages: Vec<&RawValue> = serde_json::from_str(messages.get()).map_err(|_| no_messages())?;
        let said_by: Vec<Role<'_>> =
            messages.iter().map(|raw| serde_json::from_str(raw.get()).unwrap_or_default()).collect();
        let last = said_by.iter().rposition(|by| by.role == "user").ok_or_else(no_messages)?;
        let mut asked: Value = serde_json::from_str(messages[last].get()).map_err(|_| no_messages())?;
        match &mut asked["content"] {
            Value::String(content) => *content = format!("{text}\n{content}"),
            Value::Array(parts) => parts.insert(0, json!({"type": "text", "text": text})),
            _ => return Err(no_messages()),
        }
        let head = said_by.iter().position(|by| !is_of_system(&by.role)).unwrap_or(last);
        let mut written: Vec<String> = messages.iter().map(|raw| raw.get().to_owned()).collect();
        written[last] = asked.to_string();
        let turns = turns.iter().map(|turn| json!({"role": turn.role, "content": turn.content}).to_string());
        written.splice(head..head, turns);
        let messages = format!("[{}]", written.join(","));
        let body = fields.write(&[("messages", Some(&messages))]);
        Ok(Self { body, said: Some(said), ..self })
    }

    /// About how many tokens the request has, where the provider does not say.
    pub fn count_tokens(&self) -> u64 {
        /// What a message takes besides its text.
        const AROUND: u64 = 4;
        let Ok(fields) = fields(&self.body) else { return 0 };
        match self.kind {
            Kind::Chat => {
                let messages = self.messages().unwrap_or_default();
                let said: u64 = messages.iter().map(|message| tokens::count(&message.text()) + AROUND).sum();
                said + ["tools", "functions", "response_format"]
                    .iter()
                    .filter_map(|name| fields.get(name))
                    .map(|raw| tokens::count(raw.get()))
                    .sum::<u64>()
            }
            Kind::Embeddings => {
                fields.get("input").map_or(0, |input| match serde_json::from_str::<Input<'_>>(input.get()) {
                    Ok(Input::One(text)) => tokens::count(&text),
                    Ok(Input::Many(texts)) => texts.iter().map(|text| tokens::count(text)).sum(),
                    Ok(Input::Tokens(tokens)) => tokens.len() as u64,
                    Ok(Input::ManyTokens(texts)) => texts.iter().map(|tokens| tokens.len() as u64).sum(),
                    Err(_) => 0,
                })
            }
        }
    }

    fn messages(&self) -> Option<Vec<Message<'_>>> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            messages: Vec<Message<'a>>,
        }
        serde_json::from_slice::<Body<'_>>(&self.body).ok().map(|body| body.messages)
    }
}

/// Who says a message.
#[derive(Default, Deserialize)]
struct Role<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
}

/// Whether a message is what the program says, and not a turn of the conversation.
fn is_of_system(role: &str) -> bool {
    matches!(role, "system" | "developer")
}

/// The caller's own options with usage asked for.
fn stream_options(fields: &Fields<'_>) -> String {
    let own = fields.get("stream_options").and_then(|raw| serde_json::from_str::<Fields<'_>>(raw.get()).ok());
    let own = own.unwrap_or_else(|| Fields(Vec::new()));
    String::from_utf8(own.write(&[("include_usage", Some("true"))]).to_vec()).unwrap_or_default()
}

/// What an embeddings request has as its input.
#[derive(Deserialize)]
#[serde(untagged)]
enum Input<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Many(Vec<String>),
    Tokens(Vec<u64>),
    ManyTokens(Vec<Vec<u64>>),
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

impl Message<'_> {
    /// Its text; of parts, those that are text.
    fn text(&self) -> String {
        #[derive(Deserialize)]
        struct Part {
            #[serde(default)]
            text: Option<String>,
        }
        let Some(content) = self.content else { return String::new() };
        if content.get().starts_with('"') {
            return serde_json::from_str(content.get()).unwrap_or_default();
        }
        let parts = serde_json::from_str::<Vec<Part>>(content.get()).unwrap_or_default();
        parts.into_iter().filter_map(|part| part.text).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chat(body: &str) -> Request {
        Request::read(Kind::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap()
    }

    #[test]
    fn a_context_stands_before_what_the_user_says_last_and_is_said_by_nobody() {
        let turns = [PromptMessage { role: "user".into(), content: "Hello".into() }];
        let request = chat(
            r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","x":1e400,"content":"Hi"},
            {"role":"assistant","content":"Hi."},{"role":"user","content":[{"type":"text","text":"Where?"}]}],"n":1.50}"#,
        );
        assert!(!request.is_first_turn());
        let told = request.clone().with_context(&turns, "<memory>").unwrap();
        let body = String::from_utf8(told.body.to_vec()).unwrap();
        let begin = r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"content":"Hello","role":"user"},{"role":"user","x":1e400,"content":"Hi"},"#;
        assert!(body.starts_with(begin) && body.ends_with(r#"],"n":1.50}"#), "{body}");
        assert!(body.contains(r#"[{"text":"<memory>","type":"text"},{"text":"Where?","type":"text"}]"#), "{body}");
        assert_eq!((told.said(), request.said()), (vec!["Where?".to_owned()], vec!["Where?".to_owned()]));

        let first = chat(
            r#"{"model":"m","messages":[{"role":"developer","content":"Be brief."},{"role":"user","content":"Hi"}]}"#,
        );
        assert!(first.is_first_turn());
        let told = first.with_context(&[], "<memory>").unwrap();
        assert_eq!(told.messages().unwrap()[1].text(), "<memory>\nHi");
        for body in
            [r#"{"model":"m"}"#, r#"{"model":"m","messages":[{"role":"user"}]}"#, r#"{"model":"m","messages":[7]}"#]
        {
            assert_eq!(chat(body).with_context(&[], "").unwrap_err().param, Some("messages"));
        }
    }

    #[test]
    fn what_is_not_changed_keeps_its_bytes_and_order() {
        let body = r#"{ "z" : 1.50, "model":"fast","a":[1e400,{"b":"\u00e9"}],"stream":true,"z":2 }"#;
        let request = chat(body);
        assert_eq!(request.body_for("fast", false), body.as_bytes());
        let changed = request.body_for("small-1", true);
        assert_eq!(
            changed,
            r#"{"z":1.50,"model":"small-1","a":[1e400,{"b":"\u00e9"}],"stream":true,"z":2,"stream_options":{"include_usage":true}}"#
                .as_bytes()
        );
        let own = chat(r#"{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}"#);
        assert_eq!(
            own.body_for("m", true),
            br#"{"model":"m","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#
                .as_slice()
        );
    }

    #[test]
    fn what_is_meant_for_meshlog_is_taken_out() {
        let request = chat(r#"{"model":"m","meshlog":{"space":"ada","thread":"t"},"n":1}"#);
        assert_eq!(request.body, br#"{"model":"m","n":1}"#.as_slice());
        assert_eq!((request.own.space.as_deref(), request.own.thread.as_deref()), (Some("ada"), Some("t")));
    }

    #[test]
    fn what_has_no_sense_is_named() {
        for (body, param) in [
            ("", None),
            ("[]", None),
            ("{}", Some("model")),
            (r#"{"model":7}"#, Some("model")),
            (r#"{"model":""}"#, Some("model")),
            (r#"{"model":"m","stream":"yes"}"#, Some("stream")),
            (r#"{"model":"m","stream_options":7}"#, Some("stream_options")),
            (r#"{"model":"m","meshlog":{"thraed":"t"}}"#, Some("meshlog")),
        ] {
            let error = Request::read(Kind::Chat, Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
            assert_eq!(error.param, param, "{body}: {error}");
        }
    }

    #[test]
    fn only_what_users_say_for_the_first_time_counts_as_said() {
        let body = json!({"model": "m", "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "1"},
            {"role": "tool", "tool_call_id": "x", "content": "data"},
            {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "three"}]},
            {"role": "user", "content": " "},
            {"role": "user", "content": null},
        ]});
        assert_eq!(chat(&body.to_string()).said(), ["two\nthree"]);
        assert!(chat(r#"{"model":"m","messages":"oops"}"#).said().is_empty());
    }

    #[test]
    fn tokens_are_counted_of_texts_and_tools() {
        let plain = chat(r#"{"model":"m","messages":[{"role":"user","content":"hello world"}]}"#).count_tokens();
        assert_eq!(plain, 6);
        assert!(
            chat(r#"{"model":"m","messages":[{"role":"user","content":"hello world"}],"tools":[{"type":"function"}]}"#)
                .count_tokens()
                > plain
        );
        let embeddings = |input: &str| {
            let body = format!(r#"{{"model":"m","input":{input}}}"#);
            Request::read(Kind::Embeddings, body.into()).unwrap().count_tokens()
        };
        assert_eq!(embeddings(r#""hello world""#), 2);
        assert_eq!(embeddings(r#"["hello world","x"]"#), 3);
        assert_eq!((embeddings("[1,2,3]"), embeddings("[[1,2],[3]]"), embeddings("{}")), (3, 3, 0));
    }

    proptest! {
        #[test]
        fn a_changed_request_says_the_same(fields in proptest::collection::btree_map("[a-z\"\\\\é]{1,6}", "[ -~]{0,8}|é", 0..6), text in "\\PC{0,20}") {
            let mut body = json!(fields);
            body["model"] = "m".into();
            body["stream"] = true.into();
            body["text"] = text.into();
            let request = chat(&body.to_string());
            let mut expected = body.clone();
            expected["model"] = "other".into();
            expected["stream_options"] = json!({"include_usage": true});
            if !fields.contains_key("stream_options") {
                prop_assert_eq!(serde_json::from_slice::<Value>(&request.body_for("other", true)).unwrap(), expected);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}a-z\":,0-9 ]{0,100}") {
            for bytes in [bytes, format!("{{\"model\":\"m\",\"messages\":{text}}}").into_bytes(), text.into_bytes()] {
                if let Ok(request) = Request::read(Kind::Chat, bytes.into()) {
                    let _ = (request.said(), request.count_tokens(), request.body_for("x", true));
                }
            }
        }
    }
}
