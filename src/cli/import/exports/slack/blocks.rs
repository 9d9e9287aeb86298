//! Blocks: what bots lay out in Slack, as its text. It is read only where a message has no text of its own.

use serde_json::Value;

/// The texts of all blocks, each on a line of its own. They are nested as deeply as the parser allows.
pub(super) fn text(blocks: &Value) -> String {
    let mut texts = Vec::new();
    collect(blocks, &mut texts);
    texts.join("\n")
}

fn collect(block: &Value, texts: &mut Vec<String>) {
    match block {
        Value::Array(blocks) => blocks.iter().for_each(|block| collect(block, texts)),
        // A line of rich text is made of pieces, which belong together.
        Value::Object(_) if is_line(block) => {
            let pieces = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            add(pieces.iter().map(piece).collect(), texts);
        }
        Value::Object(_) => {
            if let Some(text) = block["text"].as_str().or(block["alt_text"].as_str()) {
                add(text.to_owned(), texts);
            }
            for inner in ["text", "fields", "elements", "accessory"] {
                collect(&block[inner], texts);
            }
        }
        _ => {}
    }
}

fn is_line(block: &Value) -> bool {
    let kind = block["type"].as_str();
    kind.is_some_and(|kind| kind.starts_with("rich_text_")) && kind != Some("rich_text_list")
}

/// A piece of rich text, in the markup of messages, so that its references are resolved as theirs are.
fn piece(piece: &Value) -> String {
    let field = |name: &str| piece[name].as_str().unwrap_or_default();
    match piece["type"].as_str() {
        Some("user") => format!("<@{}>", field("user_id")),
        Some("channel") => format!("<#{}>", field("channel_id")),
        Some("emoji") => format!(":{}:", field("name")),
        Some("link") => match (field("url"), field("text")) {
            (url, "") => format!("<{url}>"),
            (url, text) => format!("<{url}|{text}>"),
        },
        _ => field("text").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
    }
}

fn add(text: String, texts: &mut Vec<String>) {
    if !text.trim().is_empty() {
        texts.push(text.trim_end().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_laid_out_is_told_line_by_line() {
        let blocks = json!([
            {"type": "header", "text": {"type": "plain_text", "text": "Build 7"}},
            {"type": "divider"},
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "*State*"}, {"type": "mrkdwn", "text": "red"}]},
            {"type": "rich_text", "elements": [
                {"type": "rich_text_section", "elements": [
                    {"type": "text", "text": "by "}, {"type": "user", "user_id": "U1"},
                    {"type": "text", "text": " a<b "}, {"type": "link", "url": "https://a.example"}]},
                {"type": "rich_text_list", "elements": [
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "one"}]},
                    {"type": "rich_text_section", "elements": [{"type": "text", "text": "two"}]}]}]},
            {"type": "image", "alt_text": "a graph"},
        ]);
        assert_eq!(text(&blocks), "Build 7\n*State*\nred\nby <@U1> a&lt;b <https://a.example>\none\ntwo\na graph");
        assert_eq!(text(&json!(null)), "");
    }
}
