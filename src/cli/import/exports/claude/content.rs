//! Content: what a message of Claude says, in its older and its newer shape.
//!
//! Promises: of a block that is not known its text is kept; what was attached is named, and what the export has of its
//! text follows the name.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::import::exports::message::{Attachment, digest, with_attachments};

/// How the parent of a first message begins; what follows differs between exports.
const ROOT: &str = "00000000-0000-";

/// A message as the export has it. Fields that may be anything are looked at where they are used.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    uuid: Value,
    #[serde(default)]
    pub(super) sender: Value,
    #[serde(default)]
    text: Value,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    pub(super) created_at: Value,
    #[serde(default)]
    attachments: Value,
    #[serde(default)]
    files: Value,
    #[serde(default)]
    files_v2: Value,
    #[serde(default)]
    parent_message_uuid: Value,
}

/// What a message answers.
pub(super) enum Parent<'a> {
    /// Nothing: it is the first one.
    Root,
    Message(&'a str),
    /// The export does not say.
    Unknown,
}

/// What a message says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// In order; the first one is never missing, and empty where nothing was said.
    pub(super) passages: Vec<Passage>,
    /// How many passages of thinking were left out.
    pub(super) thoughts: usize,
}

/// A part of a message by one author.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// By the message's sender.
    Said(String),
    /// By a tool that an answer used.
    Returned { tool: String, text: String },
}

impl Message {
    pub(super) fn uuid(&self) -> Option<&str> {
        self.uuid.as_str().filter(|uuid| !uuid.trim().is_empty())
    }

    /// The message's id within its conversation.
    pub(super) fn id(&self, number: usize) -> String {
        match self.uuid() {
            Some(uuid) => uuid.to_owned(),
            None => digest([
                &(number as u64).to_le_bytes()[..],
                self.text().as_bytes(),
                self.content.to_string().as_bytes(),
            ]),
        }
    }

    pub(super) fn parent(&self) -> Parent<'_> {
        match self.parent_message_uuid.as_str() {
            Some(uuid) if uuid.starts_with(ROOT) => Parent::Root,
            Some(uuid) => Parent::Message(uuid),
            None => Parent::Unknown,
        }
    }

    /// The text of the older shape.
    pub(super) fn text(&self) -> &str {
        self.text.as_str().unwrap_or_default()
    }

    /// What it says.
    pub(super) fn content(&self) -> Content {
        let mut passages: Vec<Passage> = Vec::new();
        let mut thoughts = 0;
        for block in list(&self.content) {
            match block["type"].as_str() {
                Some("thinking" | "redacted_thinking") => thoughts += 1,
                Some("tool_use" | "server_tool_use") => say(&mut passages, use_of(block)),
                Some(kind) if kind.ends_with("tool_result") => passages.push(returned(block)),
                _ => say(&mut passages, text_of(block)),
            }
        }
        if passages.is_empty() && thoughts == 0 {
            say(&mut passages, self.text().to_owned());
        }
        let attached = self.attached();
        let said = passages.iter_mut().find_map(|passage| match passage {
            Passage::Said(text) => Some(text),
            Passage::Returned { .. } => None,
        });
        if let Some(text) = said {
            *text = join(text, &attached);
        } else if !attached.is_empty() || passages.is_empty() {
            passages.insert(0, Passage::Said(attached));
        }
        Content { passages, thoughts }
    }

    /// The names of what was attached, each with its text where the export has it.
    fn attached(&self) -> String {
        let mut attached = Vec::new();
        for file in list(&self.attachments) {
            let name = file["file_name"].as_str().filter(|name| !name.trim().is_empty()).unwrap_or("pasted text");
            let kind = file["file_type"].as_str().filter(|kind| !kind.is_empty()).map(str::to_owned);
            let attachment = Attachment { name: name.to_owned(), kind, size: file["file_size"].as_u64() };
            attached.push(join(&attachment.line(), file["extracted_content"].as_str().unwrap_or_default()));
        }
        let name =
            |file: &Value| file["file_name"].as_str().or(file["file_uuid"].as_str()).unwrap_or_default().to_owned();
        // Both lists have the same files, and a list may have several of one name, such as pasted pictures.
        let named: HashSet<String> = list(&self.files).iter().map(name).collect();
        let further = list(&self.files_v2).iter().filter(|file| !named.contains(&name(file)));
        for file in list(&self.files).iter().chain(further) {
            let name = name(file);
            let kind = file["file_kind"].as_str().map(str::to_owned);
            attached.push(Attachment { name, kind, size: file["size_bytes"].as_u64() }.line());
        }
        attached.join("\n")
    }
}

/// Adds to what the sender says, or begins a new passage behind that of a tool.
fn say(passages: &mut Vec<Passage>, text: String) {
    if text.trim().is_empty() {
        return;
    }
    match passages.last_mut() {
        Some(Passage::Said(before)) => *before = join(before, &text),
        _ => passages.push(Passage::Said(text.trim().to_owned())),
    }
}

fn use_of(block: &Value) -> String {
    let name = block["name"].as_str().unwrap_or("tool");
    match &block["input"] {
        Value::Null => format!("[uses {name}]"),
        Value::Object(input) if input.is_empty() => format!("[uses {name}]"),
        input => format!("[uses {name}: {input}]"),
    }
}

fn returned(block: &Value) -> Passage {
    let tool = block["name"].as_str().filter(|name| !name.is_empty()).unwrap_or("tool").to_owned();
    let failed = if block["is_error"].as_bool() == Some(true) { "[failed]\n" } else { "" };
    let text = match &block["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().map(text_of).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    Passage::Returned { tool, text: if text.trim().is_empty() { text } else { format!("{failed}{text}") } }
}

fn text_of(block: &Value) -> String {
    if let Some(text) = block.as_str() {
        return text.to_owned();
    }
    let name = |field: &str| block[field].as_str().unwrap_or_default().to_owned();
    match block["type"].as_str() {
        Some("image" | "document") => {
            let name = block["file_name"].as_str().or(block["file_uuid"].as_str()).unwrap_or_default();
            let kind = block["type"].as_str().map(str::to_owned);
            with_attachments(&self::text(block), &[Attachment { name: name.to_owned(), kind, size: None }])
        }
        Some("knowledge") => [name("title"), name("url"), name("text")]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n"),
        _ => self::text(block),
    }
}

fn text(block: &Value) -> String {
    block["text"].as_str().unwrap_or_default().to_owned()
}

fn join(before: &str, after: &str) -> String {
    match (before.trim(), after.trim()) {
        ("", text) | (text, "") => text.to_owned(),
        (before, after) => format!("{before}\n{after}"),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(message: Value, expected: &[Passage], thoughts: usize) {
        let read: Message = serde_json::from_value(message.clone()).expect("it is a message");
        assert_eq!(read.content(), Content { passages: expected_of(expected), thoughts }, "{message}");
    }

    fn expected_of(passages: &[Passage]) -> Vec<Passage> {
        let copy = |passage: &Passage| match passage {
            Passage::Said(text) => Passage::Said(text.clone()),
            Passage::Returned { tool, text } => Passage::Returned { tool: tool.clone(), text: text.clone() },
        };
        passages.iter().map(copy).collect()
    }

    fn said(text: &str) -> Passage {
        Passage::Said(text.to_owned())
    }

    #[test]
    fn the_older_shape_has_a_text_and_the_newer_one_blocks() {
        check(json!({"text": " hello "}), &[said("hello")], 0);
        check(json!({"text": "worse", "content": [{"type": "text", "text": "hello"}]}), &[said("hello")], 0);
        check(json!({"text": "hello", "content": []}), &[said("hello")], 0);
        check(json!({"text": ""}), &[said("")], 0);
    }

    #[test]
    fn an_answer_with_tools_is_told_in_order() {
        let content = json!([
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "name": "web_search", "input": {"query": "trees"}},
            {"type": "tool_result", "name": "web_search", "content": [
                {"type": "knowledge", "title": "Trees", "url": "https://t.example", "text": "are tall"}]},
            {"type": "tool_result", "name": "view", "is_error": true, "content": "gone"},
            {"type": "text", "text": "They are tall."},
            {"type": "tomorrow", "text": "And green."},
        ]);
        let expected = [
            said("I look.\n[uses web_search: {\"query\":\"trees\"}]"),
            Passage::Returned { tool: "web_search".into(), text: "Trees\nhttps://t.example\nare tall".into() },
            Passage::Returned { tool: "view".into(), text: "[failed]\ngone".into() },
            said("They are tall.\nAnd green."),
        ];
        check(json!({"text": "", "content": content}), &expected, 1);
    }

    #[test]
    fn what_is_attached_is_named_and_its_text_kept() {
        let message = json!({
            "text": "See",
            "attachments": [
                {"file_name": "a.txt", "file_size": 900, "file_type": "text/plain", "extracted_content": "one\ntwo"},
                {"file_name": "", "extracted_content": "pasted words"},
            ],
            "files": [{"file_name": "plan.png"}],
            "files_v2": [{"file_name": "plan.png", "file_kind": "image"}, {"file_name": "b.pdf", "file_kind": "pdf"}],
        });
        let expected = "See\n[attachment: a.txt (text/plain, 900 B)]\none\ntwo\n\
                        [attachment: pasted text]\npasted words\n\
                        [attachment: plan.png]\n[attachment: b.pdf (pdf)]";
        check(message, &[said(expected)], 0);
        check(json!({"files": [{"file_name": "plan.png"}]}), &[said("[attachment: plan.png]")], 0);
        // Two pictures that were pasted have the same name, and only one was named.
        let pasted = json!([{"file_name": "image.png"}, {"file_name": "image.png"}]);
        let expected = "[attachment: image.png]\n[attachment: image.png]";
        check(json!({"files": pasted, "files_v2": pasted}), &[said(expected)], 0);
    }
}
