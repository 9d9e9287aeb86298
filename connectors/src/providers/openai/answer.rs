//! Answers: what is understood of a body in OpenAI's format while it passes.
//!
//! Owns: the reader of streams and that of whole bodies; their bounds.
//! Promises: what is pushed is what came, event by event. Only one thing may be kept back: a piece with nothing but usage, where
//! that was asked for on behalf of the log alone.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::within;
use crate::providers::{Class, Failure, Kind, Mode, Piece, Reader, Summary, Tokens, sse::Splitter};

/// The largest event of a stream, in bytes.
pub const EVENT_LIMIT: usize = 4 * 1024 * 1024;
/// The largest body that is not streamed, in bytes.
pub const WHOLE_LIMIT: usize = 64 * 1024 * 1024;
/// The most text that is gathered of an answer, in bytes; what comes behind it is passed on all the same.
const TEXT_LIMIT: usize = 2 * 1024 * 1024;

/// The reader of an answer.
pub fn reader(kind: Kind, mode: Mode, hides_usage: bool) -> Box<dyn Reader> {
    match mode {
        Mode::Stream => Box::new(EventReader::new(hides_usage)),
        Mode::Whole => Box::new(WholeReader::new(kind)),
    }
}

/// Of a chunk or a whole completion, what is understood. Texts are borrowed where nothing is escaped in them.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default, alias = "message")]
    delta: Option<Said<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
    #[serde(borrow, default)]
    audio: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
    #[serde(borrow, default)]
    custom: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

fn push(text: &mut String, more: &str) -> bool {
    if text.len() + more.len() <= TEXT_LIMIT {
        text.push_str(more);
    }
    !more.is_empty()
}

/// A text, or whatever else stands in its place, as text.
fn plain(raw: &RawValue) -> Cow<'_, str> {
    match raw.get() {
        "null" => Cow::Borrowed(""),
        text if text.starts_with('"') => serde_json::from_str::<Cow<'_, str>>(text).unwrap_or(Cow::Borrowed(text)),
        other => Cow::Borrowed(other),
    }
}

impl Summary {
    /// Takes in what a document says; whether there is output in it.
    fn take(&mut self, document: Document<'_>) -> bool {
        if self.answered_model.is_empty()
            && let Some(model) = document.model
        {
            self.answered_model = model.chars().take(256).collect();
        }
        if let Some(usage) = document.usage.filter(|usage| usage.get() != "null" && usage.get().len() <= 64 * 1024)
            && let Some(tokens) = Tokens::of_openai(usage.get())
        {
            self.tokens = Some(tokens);
            usage.get().clone_into(&mut self.usage);
        }
        let mut is_output = false;
        for choice in document.choices.into_iter().flatten() {
            let is_first = choice.index.unwrap_or(0) == 0;
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty())
                && (is_first || self.finish_reason.is_empty())
            {
                self.finish_reason = reason.chars().take(64).collect();
            }
            is_output |= self.hear(choice.delta.unwrap_or_default(), is_first);
        }
        is_output
    }

    fn hear(&mut self, said: Said<'_>, is_first: bool) -> bool {
        let mut is_output = false;
        if let Some(content) = said.content {
            let text = if is_first { &mut self.text } else { &mut self.other_output };
            is_output |= push(text, &plain(content));
        }
        for other in [said.refusal, said.reasoning_content].into_iter().flatten() {
            is_output |= push(&mut self.other_output, &other);
        }
        for other in [said.reasoning, said.audio].into_iter().flatten() {
            is_output |= push(&mut self.other_output, &plain(other));
        }
        let functions = said.tool_calls.into_iter().flatten().map(|call| (call.function, call.custom));
        for (function, custom) in functions.chain(said.function_call.map(|function| (Some(function), None))) {
            is_output = true;
            for text in function.iter().filter_map(|function| function.name.as_deref()) {
                push(&mut self.other_output, text);
            }
            for raw in [function.as_ref().and_then(|function| function.arguments), custom].into_iter().flatten() {
                push(&mut self.other_output, &plain(raw));
            }
        }
        is_output
    }
}

/// Reads a stream of events.
pub struct EventReader {
    splitter: Splitter,
    summary: Summary,
    hides_usage: bool,
    is_over: bool,
}

impl EventReader {
    /// A reader; with `hides_usage` a piece that has nothing but usage is kept back.
    pub fn new(hides_usage: bool) -> Self {
        Self { splitter: Splitter::new(EVENT_LIMIT), summary: Summary::default(), hides_usage, is_over: false }
    }

    fn event(&mut self, bytes: Bytes, data: &[u8], pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if data.is_empty() {
            pieces.push(Piece { bytes, is_output: false, is_last: false });
            return Ok(());
        }
        if data == b"[DONE]" {
            self.is_over = true;
            pieces.push(Piece { bytes, is_output: false, is_last: true });
            return Ok(());
        }
        let malformed = |error: serde_json::Error| {
            let message = format!("a piece of the answer is not of OpenAI's format: {error}");
            let kept = bytes.slice(..bytes.len().min(crate::providers::failure::BODY_LIMIT));
            Failure { body: kept, ..Failure::new(Class::Malformed, message) }
        };
        let document: Document<'_> = serde_json::from_slice(data).map_err(malformed)?;
        if let Some(error) = document.error.filter(|error| error.get() != "null") {
            let failure = serde_json::from_str(&format!("{{\"error\":{}}}", error.get()));
            return Err(failure
                .ok()
                .as_ref()
                .and_then(within)
                .unwrap_or_else(|| Failure::new(Class::Upstream, "it failed")));
        }
        let is_only_usage = document.usage.is_some_and(|usage| usage.get() != "null")
            && document.choices.as_ref().is_some_and(Vec::is_empty);
        let is_output = self.summary.take(document);
        if !(is_only_usage && self.hides_usage) {
            pieces.push(Piece { bytes, is_output, is_last: false });
        }
        Ok(())
    }
}

impl Reader for EventReader {
    fn read(&mut self, bytes: &Bytes, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        self.splitter.push(bytes);
        loop {
            let event = self.splitter.next().map_err(|_| {
                let message = format!("a line of the answer is longer than {EVENT_LIMIT} bytes");
                Failure::new(Class::TooLarge, message)
            })?;
            let Some(event) = event else { return Ok(()) };
            self.event(event.bytes, &event.data, pieces)?;
            if self.is_over {
                return Ok(());
            }
        }
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if self.is_over {
            return Ok(());
        }
        // Some end the last event with one line feed, and some say how it finished and leave out the end marker.
        let rest = Bytes::copy_from_slice(self.splitter.rest());
        let line = rest.trim_ascii();
        let whole = line.strip_prefix(b"data:").map(<[u8]>::trim_ascii_start);
        if let Some(data) = whole.filter(|data| *data == b"[DONE]" || serde_json::from_slice::<&RawValue>(data).is_ok())
        {
            self.event(Bytes::from([line, b"\n\n"].concat()), data, pieces)?;
        }
        if self.is_over || !self.summary.finish_reason.is_empty() {
            self.is_over = true;
            return Ok(());
        }
        let message = if line.is_empty() {
            "the answer ended without saying that it was complete"
        } else {
            "the answer ended within a line"
        };
        Err(Failure::new(Class::Truncated, message))
    }

    fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// Reads a body that is given at once.
pub struct WholeReader {
    kind: Kind,
    body: BytesMut,
    summary: Summary,
}

impl WholeReader {
    /// A reader of the answer to a call of this kind.
    pub fn new(kind: Kind) -> Self {
        Self { kind, body: BytesMut::new(), summary: Summary::default() }
    }
}

impl Reader for WholeReader {
    fn read(&mut self, bytes: &Bytes, _pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        if self.body.len() + bytes.len() > WHOLE_LIMIT {
            return Err(Failure::new(Class::TooLarge, format!("the answer is longer than {WHOLE_LIMIT} bytes")));
        }
        self.body.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        let body = std::mem::take(&mut self.body).freeze();
        if body.is_empty() {
            return Err(Failure::new(Class::Truncated, "the answer is empty"));
        }
        let document: Document<'_> = serde_json::from_slice(&body).map_err(|error| {
            let class = if error.is_eof() { Class::Truncated } else { Class::Malformed };
            let kept = body.slice(..body.len().min(crate::providers::failure::BODY_LIMIT));
            Failure { body: kept, ..Failure::new(class, format!("the answer is not of OpenAI's format: {error}")) }
        })?;
        if document.error.is_some_and(|error| error.get() != "null") {
            let failure = serde_json::from_slice(&body).ok().as_ref().and_then(within);
            return Err(failure.unwrap_or_else(|| Failure::new(Class::Upstream, "the provider failed")));
        }
        if self.kind == Kind::Chat && document.choices.is_none() {
            return Err(Failure::new(Class::Malformed, "the answer has no choices"));
        }
        self.summary.take(document);
        pieces.push(Piece { bytes: body, is_output: true, is_last: true });
        Ok(())
    }

    fn summary(&self) -> &Summary {
        &self.summary
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(text: &str) -> (Result<Vec<Piece>, Failure>, Summary) {
        let mut reader = EventReader::new(true);
        let mut pieces = Vec::new();
        let read = reader.read(&Bytes::copy_from_slice(text.as_bytes()), &mut pieces);
        let result = read.and_then(|()| reader.end(&mut pieces)).map(|()| pieces);
        (result, reader.summary().clone())
    }

    fn given(pieces: &[Piece]) -> String {
        pieces.iter().map(|piece| String::from_utf8_lossy(&piece.bytes)).collect()
    }

    const HELLO: &str = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}],\"usage\":null}\n\n\
        : ping\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\\n\"},\"finish_reason\":\"stop\"}],\"unheard\":{\"of\":[1.50]}}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn a_stream_passes_as_it_is_but_for_usage_that_nobody_asked_for() {
        let (pieces, summary) = stream(&[HELLO, USAGE, DONE].concat());
        let pieces = pieces.unwrap();
        assert_eq!(given(&pieces), [HELLO, DONE].concat());
        assert_eq!(pieces.iter().map(|piece| piece.is_output).collect::<Vec<_>>(), [false, true, false, true, false]);
        assert!(pieces.last().unwrap().is_last);
        assert_eq!(
            (summary.text.as_str(), summary.finish_reason.as_str(), summary.answered_model.as_str()),
            ("Hello\n", "stop", "m-1")
        );
        assert_eq!(summary.tokens, Some(Tokens { input: 5, output: 2, ..Tokens::default() }));
        assert_eq!(summary.usage, r#"{"prompt_tokens":5,"completion_tokens":2}"#);
    }

    #[test]
    fn a_stream_without_an_end_marker_is_whole_once_it_has_finished() {
        assert!(stream(HELLO).0.is_ok());
        assert!(stream(&[HELLO, "data: [DONE]"].concat()).0.unwrap().last().unwrap().is_last);
        let unfinished = HELLO.split_inclusive("\n\n").take(2).collect::<String>();
        assert_eq!(stream(&unfinished).0.unwrap_err().class, Class::Truncated);
        assert_eq!(
            stream(&[&unfinished, "data: {\"cho"].concat()).0.unwrap_err().message,
            "the answer ended within a line"
        );
        assert_eq!(stream("").0.unwrap_err().class, Class::Truncated);
    }

    #[test]
    fn errors_within_a_stream_are_failures() {
        let error =
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        assert_eq!(stream(error).0.unwrap_err().class, Class::Overloaded);
        assert_eq!(stream("data: {\"choices\": oops}\n\n").0.unwrap_err().class, Class::Malformed);
        assert_eq!(stream(&format!("data: {}\n\n", "x".repeat(EVENT_LIMIT))).0.unwrap_err().class, Class::TooLarge);
    }

    #[test]
    fn tools_and_thoughts_are_output_and_are_counted() {
        let (pieces, summary) = stream(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm \"}}]}\n\n\
             data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n\
             data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\":1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
        );
        assert!(pieces.unwrap().iter().all(|piece| piece.is_output));
        assert_eq!((summary.text.as_str(), summary.other_output.as_str()), ("", "hm f{\"x\":1}"));
    }

    fn whole(kind: Kind, text: &str) -> (Result<Vec<Piece>, Failure>, Summary) {
        let mut reader = WholeReader::new(kind);
        let mut pieces = Vec::new();
        let read = reader.read(&Bytes::copy_from_slice(text.as_bytes()), &mut pieces);
        let result = read.and_then(|()| reader.end(&mut pieces)).map(|()| pieces);
        (result, reader.summary().clone())
    }

    #[test]
    fn a_whole_answer_passes_as_it_is() {
        let text = r#"{"id":"x","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":[{"type":"text","text":"Hi"}],"tool_calls":null},"finish_reason":"stop"},{"index":1,"message":{"content":"Ho"},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":2},"more":1.0}"#;
        let (pieces, summary) = whole(Kind::Chat, text);
        assert_eq!(given(&pieces.unwrap()), text);
        assert_eq!((summary.finish_reason.as_str(), summary.other_output.as_str()), ("stop", "Ho"));
        let embeddings = r#"{"object":"list","data":[{"embedding":"AAAA"}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
        let (pieces, summary) = whole(Kind::Embeddings, embeddings);
        assert_eq!(given(&pieces.unwrap()), embeddings);
        assert_eq!(summary.tokens, Some(Tokens { input: 3, ..Tokens::default() }));
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        for (text, class) in [
            ("", Class::Truncated),
            (r#"{"choices":[{"mess"#, Class::Truncated),
            ("<html>", Class::Malformed),
            ("[]", Class::Malformed),
            ("{}", Class::Malformed),
            (r#"{"error":{"message":"no","type":"server_error"}}"#, Class::Upstream),
        ] {
            assert_eq!(whole(Kind::Chat, text).0.unwrap_err().class, class, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "(data: )?[\\[\\]{}a-z\":,0-9 \n]{0,200}") {
            for bytes in [bytes.into(), Bytes::from(text.into_bytes())] {
                for reader in [&mut EventReader::new(false) as &mut dyn Reader, &mut WholeReader::new(Kind::Chat)] {
                    let mut pieces = Vec::new();
                    let _ = reader.read(&bytes, &mut pieces).and_then(|()| reader.end(&mut pieces));
                }
            }
        }
    }
}
