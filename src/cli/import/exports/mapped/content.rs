//! Content: what a message of another tool says: a text, or parts as the APIs of model providers have them.

use serde_json::Value;

use crate::cli::import::exports::message::{Attachment, file_name};

/// The longest address that is a name; longer ones hold the content itself.
const ADDRESS_LIMIT: usize = 1024;

/// The text, and what is attached.
pub(super) fn said(content: Option<&Value>, message: &Value) -> (String, Vec<Attachment>) {
    let mut texts = Vec::new();
    let mut attachments = Vec::new();
    match content {
        Some(Value::String(text)) => texts.push(text.clone()),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| add(part, &mut texts, &mut attachments)),
        Some(part @ Value::Object(_)) => add(part, &mut texts, &mut attachments),
        _ => {}
    }
    for call in list(&message["tool_calls"]) {
        let function = if call["function"].is_object() { &call["function"] } else { call };
        texts.push(call_of(&function["name"], &function["arguments"]));
    }
    if message["function_call"].is_object() {
        texts.push(call_of(&message["function_call"]["name"], &message["function_call"]["arguments"]));
    }
    attachments.extend(list(&message["attachments"]).iter().chain(list(&message["files"])).map(file));
    texts.retain(|text| !text.trim().is_empty());
    (texts.join("\n"), attachments)
}

fn add(part: &Value, texts: &mut Vec<String>, attachments: &mut Vec<Attachment>) {
    if let Some(text) = part.as_str() {
        return texts.push(text.to_owned());
    }
    match part["type"].as_str() {
        Some("tool_use") => texts.push(call_of(&part["name"], &part["input"])),
        Some("tool_result") => {
            let (text, attached) = said(part.get("content"), &Value::Null);
            texts.push(text);
            attachments.extend(attached);
        }
        Some("thinking" | "reasoning") => {}
        Some(kind) if kind.contains("image") => attachments.push(pointed(part, "image")),
        Some(kind) if kind.contains("audio") => attachments.push(pointed(part, "audio")),
        Some(kind) if kind.contains("video") => attachments.push(pointed(part, "video")),
        Some(kind) if kind.contains("file") || kind == "document" => attachments.push(file(part)),
        _ => {
            let text = part["text"].as_str().or(part["text"]["value"].as_str()).or(part["content"].as_str());
            texts.push(text.unwrap_or_default().to_owned());
        }
    }
}

fn call_of(name: &Value, arguments: &Value) -> String {
    let name = name.as_str().unwrap_or("tool");
    match arguments {
        Value::Null => format!("[uses {name}]"),
        Value::String(arguments) => format!("[uses {name}: {arguments}]"),
        arguments => format!("[uses {name}: {arguments}]"),
    }
}

fn pointed(part: &Value, kind: &str) -> Attachment {
    let addresses =
        [&part["image_url"]["url"], &part["image_url"], &part["url"], &part["source"]["url"], &part["file_name"]];
    let address = addresses.into_iter().find_map(Value::as_str).unwrap_or_default();
    let is_name = !address.starts_with("data:") && address.len() <= ADDRESS_LIMIT;
    let name = if is_name { file_name(address).to_owned() } else { String::new() };
    Attachment { name, kind: Some(kind.to_owned()), size: None }
}

fn file(file: &Value) -> Attachment {
    if let Some(name) = file.as_str() {
        return Attachment { name: file_name(name).to_owned(), ..Attachment::default() };
    }
    let first = |values: &[&Value]| values.iter().find_map(|value| value.as_str()).map(str::to_owned);
    let inner = &file["file"];
    let name = first(&[
        &file["file_name"],
        &file["filename"],
        &file["name"],
        &inner["filename"],
        &inner["file_id"],
        &file["id"],
    ]);
    let kind = first(&[&file["mime_type"], &file["mimetype"], &file["content_type"], &file["file_type"]]);
    let size = file["size"].as_u64().or(file["file_size"].as_u64());
    Attachment { name: name.unwrap_or_default(), kind, size }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(message: Value, expected: &str) {
        let (text, attachments) = said(message.get("content"), &message);
        let lines = attachments.iter().map(Attachment::line);
        let found: Vec<String> = Some(text).into_iter().filter(|text| !text.is_empty()).chain(lines).collect();
        assert_eq!(found.join("\n"), expected, "{message}");
    }

    #[test]
    fn parts_are_read_as_providers_write_them() {
        check(json!({"content": "plain"}), "plain");
        check(json!({"content": ["a", {"type": "text", "text": "b"}, {"type": "input_text", "text": "c"}]}), "a\nb\nc");
        check(
            json!({"content": [{"type": "image_url", "image_url": {"url": "https://a.example/x/tree.png?s=1"}}]}),
            "[attachment: tree.png (image)]",
        );
        check(
            json!({"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}),
            "[attachment: without a name (image)]",
        );
        check(json!({"content": [{"type": "file", "file": {"filename": "a.pdf"}}]}), "[attachment: a.pdf]");
        check(
            json!({"content": null, "tool_calls": [{"function": {"name": "look", "arguments": "{\"a\":1}"}}]}),
            "[uses look: {\"a\":1}]",
        );
        check(
            json!({"content": "x", "attachments": ["docs/b.txt", {"name": "c.txt", "size": 5}]}),
            "x\n[attachment: b.txt]\n[attachment: c.txt (5 B)]",
        );
    }
}
