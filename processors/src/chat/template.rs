//! The chat template: a conversation as one text.
//!
//! Owns: the environment that templates in GGUF files expect, which is that of Hugging Face's `transformers`, and the
//! plain templates for files that bring none.
//! Promises: a template is foreign code and may only make text: the work and the memory of one rendering are bounded,
//! and it sees nothing but the conversation and the time.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use time::OffsetDateTime;

use super::gguf::Gguf;
use super::vocabulary::Vocabulary;
use super::{ChatError, messages};

/// Where a file has its template.
const KEY: &str = "tokenizer.chat_template";

/// What one rendering may cost: about as many instructions, and 64 times as many bytes. A conversation of 10,000
/// messages costs a few millions.
const FUEL: u64 = 50_000_000;

/// For files without a template: a written dialogue. A model that was trained for a chat format brings its template; one
/// that brings none was most likely trained on plain text, where the marks of such a format mean nothing, even if its
/// vocabulary has them.
const DIALOGUE: &str = "\
{{ bos_token }}{% for message in messages %}{{ message.role | capitalize }}: {{ message.content | trim }}\n{% endfor %}\
{% if add_generation_prompt %}Assistant:{% endif %}";

/// Where an answer in the written dialogue is over: such a model would write the others' parts too.
const NEXT_SPEAKERS: [&str; 4] = ["\nUser:", "\nAssistant:", "\nSystem:", "\nTool:"];

/// A checked template.
pub(super) struct Template {
    path: PathBuf,
    source: String,
    begin: String,
    end: String,
    is_dialogue: bool,
    environment: Environment<'static>,
}

impl Template {
    /// Takes the template of a file, or the written dialogue when it has none.
    ///
    /// # Errors
    /// The file's template is not one.
    pub(super) fn read(gguf: &Gguf, vocabulary: &Vocabulary) -> Result<Self, ChatError> {
        Self::new(gguf.path(), gguf.text(KEY), vocabulary.begin_text(), vocabulary.end_text())
    }

    fn new(path: &Path, source: Option<&str>, begin: &str, end: &str) -> Result<Self, ChatError> {
        let template = Self {
            path: path.to_owned(),
            source: source.unwrap_or(DIALOGUE).to_owned(),
            is_dialogue: source.is_none(),
            begin: begin.to_owned(),
            end: end.to_owned(),
            environment: environment().map_err(|error| failure(path, &error))?,
        };
        template.environment.template_from_str(&template.source).map_err(|error| failure(path, &error))?;
        Ok(template)
    }

    /// Texts that end an answer by the form of the conversation, beside the tokens that do.
    pub(super) fn stops(&self) -> &'static [&'static str] {
        if self.is_dialogue { &NEXT_SPEAKERS } else { &[] }
    }

    /// Whether an answer begins with a space that belongs to the form of the conversation.
    pub(super) fn pads_with_space(&self) -> bool {
        self.is_dialogue
    }

    /// The text of a conversation, up to where the model's answer begins.
    ///
    /// # Errors
    /// A message cannot be read, or the template refuses the conversation or fails.
    pub(super) fn render(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&serde_json::Value>,
    ) -> Result<String, ChatError> {
        let messages = messages::normalised(messages)?;
        let conversation = context! {
            messages => Value::from(Serde(messages)),
            tools => tools.map(|tools| Value::from(Serde(tools))),
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
            add_generation_prompt => true,
        };
        let rendered =
            self.environment.template_from_str(&self.source).and_then(|template| template.render(conversation));
        rendered.map_err(|error| match refusal(&error) {
            Some(words) => ChatError::Refused { words },
            None => failure(&self.path, &error),
        })
    }
}

/// What templates in the wild expect to find.
fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", |words: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "the template refuses").with_source(Refusal(words)))
    });
    environment.add_function("strftime_now", |format: String| strftime(OffsetDateTime::now_utc(), &format));
    environment.add_filter("tojson", to_json);
    Ok(environment)
}

/// What a template says through `raise_exception`.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

fn refusal(error: &Error) -> Option<String> {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref::<Refusal>()).map(|refusal| refusal.0.clone())
}

fn failure(path: &Path, error: &Error) -> ChatError {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    ChatError::Template { path: path.to_owned(), cause }
}

/// JSON as Python writes it. minijinja's own filter escapes for HTML, which a model has never seen in training.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Known to templates; what they ask for is what happens anyway.
    let _: Option<bool> = options.get("ensure_ascii")?;
    let _: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut json, Spaced)),
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut json, formatter))
        }
    };
    let invalid = |cause: String| Error::new(ErrorKind::InvalidOperation, format!("no JSON can be made: {cause}"));
    written.map_err(|cause| invalid(cause.to_string()))?;
    String::from_utf8(json).map_err(|cause| invalid(cause.to_string()))
}

/// One line with a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// The parts of a time that templates ask for, in UTC, by the letters of C's `strftime`.
fn strftime(now: OffsetDateTime, format: &str) -> String {
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('Y') => text.push_str(&now.year().to_string()),
            Some('y') => text.push_str(&format!("{:02}", now.year().rem_euclid(100))),
            Some('m') => text.push_str(&format!("{:02}", u8::from(now.month()))),
            Some('d') => text.push_str(&format!("{:02}", now.day())),
            Some('e') => text.push_str(&format!("{:2}", now.day())),
            Some('j') => text.push_str(&format!("{:03}", now.ordinal())),
            Some('H') => text.push_str(&format!("{:02}", now.hour())),
            Some('M') => text.push_str(&format!("{:02}", now.minute())),
            Some('S') => text.push_str(&format!("{:02}", now.second())),
            Some('B') => text.push_str(&now.month().to_string()),
            Some('b') => text.extend(now.month().to_string().chars().take(3)),
            Some('A') => text.push_str(&now.weekday().to_string()),
            Some('a') => text.extend(now.weekday().to_string().chars().take(3)),
            Some('F') => text.push_str(&strftime(now, "%Y-%m-%d")),
            Some('T') => text.push_str(&strftime(now, "%H:%M:%S")),
            Some('%') => text.push('%'),
            Some(other) => text.extend(['%', other]),
            None => text.push('%'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    fn render(
        source: &str,
        messages: &serde_json::Value,
        tools: Option<&serde_json::Value>,
    ) -> Result<String, ChatError> {
        let template = Template::new(Path::new("model.gguf"), Some(source), "<s>", "</s>")?;
        template.render(messages.as_array().expect("a list"), tools)
    }

    fn check(source: &str, messages: serde_json::Value, expected: &str) {
        assert_eq!(render(source, &messages, None).expect("the template is sound"), expected);
    }

    fn dialogue() -> serde_json::Value {
        json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": " Hi "},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": [{"type": "text", "text": "Who?"}]},
        ])
    }

    #[test]
    fn without_a_template_the_conversation_is_a_written_dialogue() {
        let template = Template::new(Path::new("model.gguf"), None, "<s>", "</s>").expect("it is our own");
        let rendered = template.render(dialogue().as_array().expect("a list"), None).expect("it takes all");
        assert_eq!(rendered, "<s>System: Be brief.\nUser: Hi\nAssistant: Hello.\nUser: Who?\nAssistant:");
        assert!(template.stops().contains(&"\nUser:") && template.pads_with_space());
    }

    #[test]
    fn python_methods_loop_controls_and_trimmed_blocks_work() {
        check(
            "{%- for message in messages %}\n    {%- if message['role'].startswith('sys') %}\n        {%- continue %}\n    \
             {%- endif %}\n{{ message.get('content').strip() }}|{% endfor %}",
            dialogue(),
            "Hi|Hello.|Who?|",
        );
    }

    #[test]
    fn tools_and_their_calls_reach_the_template_as_python_would_write_them() {
        let source = "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% for message in messages %}\
                      {% for call in message.tool_calls %}{{ call.function.arguments | tojson(indent=2) }}{% endfor %}\
                      {% if message.role == 'tool' %}[{{ message.tool_call_id }}: {{ message.content }}]{% endif %}{% endfor %}";
        let messages = json!([
            {"role": "assistant", "content": null,
             "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": "{\"a\":\"<é>\"}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "3"},
        ]);
        let tools = json!([{"function": {"name": "add"}, "type": "function"}]);
        let rendered = render(source, &messages, Some(&tools)).expect("the template is sound");
        let expected = "{\"function\": {\"name\": \"add\"}, \"type\": \"function\"}\n{\n  \"a\": \"<é>\"\n}[1: 3]";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn a_refusal_comes_in_the_words_of_the_template() {
        let source = "{{ raise_exception('roles must alternate') }}";
        let error = render(source, &dialogue(), None).expect_err("the template refuses");
        assert!(matches!(&error, ChatError::Refused { words } if words == "roles must alternate"), "{error}");
    }

    #[test]
    fn a_broken_template_is_found_when_it_is_opened() {
        let error = render("{% if %}", &dialogue(), None).expect_err("it is no template");
        assert!(matches!(error, ChatError::Template { .. }), "{error}");
        assert!(error.to_string().contains("model.gguf"), "{error}");
    }

    #[test]
    fn endless_templates_end_in_an_error() {
        let sources = [
            "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}x{% endfor %}{% endfor %}{% endfor %}",
            "{{ 'x' * 100000000000 }}",
            "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        ];
        for source in sources {
            let error = render(source, &dialogue(), None).expect_err("it has no end");
            assert!(matches!(error, ChatError::Template { .. }), "{error}");
        }
    }

    #[test]
    fn times_are_written_by_their_letters() {
        let now = datetime!(2026-03-07 08:05:09 UTC);
        assert_eq!(
            strftime(now, "%d %b %Y, %A %H:%M:%S %F 100%% %q%"),
            "07 Mar 2026, Saturday 08:05:09 2026-03-07 100% %q%"
        );
        check("{{ strftime_now('%%') }}", json!([]), "%");
    }
}
