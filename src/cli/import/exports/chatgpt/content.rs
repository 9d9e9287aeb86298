//! Content: what a message of ChatGPT says, whatever kind of content it has.
//!
//! Promises: of a kind that is not known everything that is text is kept; what was attached is named.

use std::collections::HashSet;

use serde_json::Value;

use crate::cli::import::exports::message::{Attachment, file_name, with_attachments};

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This.
    Text(String),
    /// Nothing that belongs into the thread; this is what it is counted as.
    LeftOut(&'static str),
}

/// The text of a message's content.
pub(super) fn said(content: &Value, metadata: &Value) -> Said {
    if metadata["is_visually_hidden_from_conversation"].as_bool() == Some(true) {
        return Said::LeftOut("messages that the product hides");
    }
    let (mut attachments, mut named) = attached(metadata);
    let text = match content["content_type"].as_str() {
        Some("thoughts" | "reasoning_recap") => return Said::LeftOut("passages of thinking"),
        Some("user_editable_context" | "model_editable_context") => {
            return Said::LeftOut("messages with custom instructions");
        }
        Some("code") => code(content),
        Some("execution_output") => fenced("output", text(content, "text")),
        Some("tether_quote" | "sonic_webpage") => lines(content, &["title", "url", "text"]),
        Some("tether_browsing_display") => lines(content, &["summary", "result"]),
        Some("system_error") => lines(content, &["name", "text"]),
        _ => parts(content, &mut attachments, &mut named),
    };
    Said::Text(with_attachments(&text, &attachments))
}

/// Text, and pictures and sound between it. `named` has the ids of those that are named already.
fn parts(content: &Value, attachments: &mut Vec<Attachment>, named: &mut HashSet<String>) -> String {
    let Some(parts) = content["parts"].as_array() else {
        return lines(content, &["title", "url", "text", "result", "content"]);
    };
    let mut texts = Vec::new();
    for part in parts {
        if let Some(text) = part.as_str() {
            texts.push(text.to_owned());
            continue;
        }
        texts.push(text(part, "text").to_owned());
        // Speech and video hold the pointers in a part of their own.
        for pointer in [part, &part["audio_asset_pointer"], &part["video_container_asset_pointer"]] {
            if let Some(address) = pointer["asset_pointer"].as_str() {
                let asset = asset(pointer, address);
                if named.insert(asset.name.clone()) {
                    attachments.push(asset);
                }
            }
        }
    }
    texts.retain(|text| !text.trim().is_empty());
    texts.join("\n")
}

fn asset(pointer: &Value, address: &str) -> Attachment {
    let kind = match pointer["content_type"].as_str() {
        Some(kind) if kind.starts_with("image") => Some("image".to_owned()),
        Some(kind) if kind.starts_with("audio") => Some("audio".to_owned()),
        Some(kind) if kind.starts_with("video") => Some("video".to_owned()),
        _ => None,
    };
    Attachment { name: file_name(address).to_owned(), kind, size: pointer["size_bytes"].as_u64() }
}

/// The files that the message's own list names, and their ids. A picture there is the same as its pointer, whose id it
/// has.
fn attached(metadata: &Value) -> (Vec<Attachment>, HashSet<String>) {
    let files = metadata["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut attachments = Vec::new();
    let mut named = HashSet::new();
    for file in files {
        let kind = file["mime_type"].as_str().or(file["mimeType"].as_str());
        let name = file["name"].as_str().or(file["id"].as_str()).unwrap_or_default();
        let id = file["id"].as_str().unwrap_or_default();
        if !id.is_empty() && !named.insert(id.to_owned()) {
            continue;
        }
        let name = if id.is_empty() || name == id { name.to_owned() } else { format!("{name}, {id}") };
        attachments.push(Attachment { name, kind: kind.map(str::to_owned), size: file["size"].as_u64() });
    }
    (attachments, named)
}

fn code(content: &Value) -> String {
    let language = content["language"].as_str().filter(|language| *language != "unknown").unwrap_or_default();
    fenced(language, text(content, "text"))
}

fn fenced(language: &str, text: &str) -> String {
    if text.trim().is_empty() { String::new() } else { format!("```{language}\n{}\n```", text.trim_end()) }
}

fn lines(content: &Value, fields: &[&str]) -> String {
    let mut lines: Vec<&str> = fields.iter().map(|field| text(content, field).trim()).collect();
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

fn text<'a>(content: &'a Value, field: &str) -> &'a str {
    content[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(content: Value, metadata: Value, expected: &str) {
        assert_eq!(said(&content, &metadata), Said::Text(expected.to_owned()), "{content}");
    }

    #[test]
    fn every_kind_of_content_has_its_text() {
        for (content, expected) in [
            (json!({"content_type": "text", "parts": ["one", "", "two"]}), "one\ntwo"),
            (json!({"content_type": "code", "language": "python", "text": "1 + 1\n"}), "```python\n1 + 1\n```"),
            (json!({"content_type": "code", "language": "unknown", "text": "x"}), "```\nx\n```"),
            (json!({"content_type": "execution_output", "text": "2"}), "```output\n2\n```"),
            (
                json!({"content_type": "tether_quote", "title": "A page", "url": "https://a.example", "text": "words"}),
                "A page\nhttps://a.example\nwords",
            ),
            (json!({"content_type": "system_error", "name": "Timeout", "text": "too slow"}), "Timeout\ntoo slow"),
            (json!({"content_type": "tomorrow", "text": "still text"}), "still text"),
            (json!({"content_type": "text"}), ""),
            (json!(null), ""),
        ] {
            check(content, json!({}), expected);
        }
    }

    #[test]
    fn what_is_attached_is_named_once() {
        let parts = json!([
            {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_01", "size_bytes": 48_029},
            {"content_type": "audio_transcription", "text": "spoken words"},
            {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer":
                {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_02"}},
            "What is this?",
        ]);
        let content = json!({"content_type": "multimodal_text", "parts": parts});
        let metadata = json!({"attachments": [
            {"id": "file_01", "name": "tree.png", "mime_type": "image/png", "size": 48_029},
            {"id": "file_03", "name": "notes.pdf", "mimeType": "application/pdf"},
        ]});
        check(
            content,
            metadata,
            "spoken words\nWhat is this?\n[attachment: tree.png, file_01 (image/png, 49 kB)]\n\
             [attachment: notes.pdf, file_03 (application/pdf)]\n[attachment: file_02 (audio)]",
        );
    }

    #[test]
    fn a_name_that_ends_as_another_does_is_not_lost() {
        // "a.csv" was taken for "data.csv", and a file without a name for any other.
        let metadata = json!({"attachments": [{"name": "data.csv"}, {"name": "a.csv"}, {"mime_type": "text/csv"}]});
        let expected = "[attachment: data.csv]\n[attachment: a.csv]\n[attachment: without a name (text/csv)]";
        check(json!({"content_type": "text", "parts": []}), metadata, expected);
    }

    #[test]
    fn what_nobody_said_is_left_out_and_counted() {
        let hidden = json!({"is_visually_hidden_from_conversation": true});
        assert!(matches!(said(&json!({"content_type": "text", "parts": ["x"]}), &hidden), Said::LeftOut(_)));
        for kind in ["thoughts", "reasoning_recap", "user_editable_context"] {
            assert!(matches!(said(&json!({"content_type": kind}), &json!({})), Said::LeftOut(_)), "{kind}");
        }
    }
}
