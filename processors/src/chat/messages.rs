//! Chat messages as templates want them.
//!
//! Owns: the way from OpenAI's chat messages to the plainer ones that chat templates were written for.
//! Never: decides what a role means. A template that does not know one says so, or ignores it.

use serde_json::{Map, Value};

use super::ChatError;

/// Messages with a string as content, tool calls with objects as arguments, and `system` for `developer`.
///
/// # Errors
/// A message is no object, has no role, or has a part that is not text. The error names message and part.
pub(super) fn normalised(messages: &[Value]) -> Result<Vec<Value>, ChatError> {
    let each = messages.iter().enumerate().map(|(index, message)| {
        normalised_message(message).map(Value::Object).map_err(|cause| ChatError::Message { index, cause })
    });
    each.collect()
}

fn normalised_message(message: &Value) -> Result<Map<String, Value>, String> {
    let Value::Object(message) = message else {
        return Err("it is not an object".to_owned());
    };
    let Some(role) = message.get("role").and_then(Value::as_str) else {
        return Err("it has no role".to_owned());
    };
    let mut plain = message.clone();
    let role = if role == "developer" { "system" } else { role };
    plain.insert("role".to_owned(), role.into());
    plain.insert("content".to_owned(), content(message.get("content"))?.into());
    // Templates ask whether the key is there, so one without calls must not have it.
    match plain.get_mut("tool_calls") {
        Some(Value::Array(calls)) if !calls.is_empty() => calls.iter_mut().for_each(parse_arguments),
        _ => drop(plain.remove("tool_calls")),
    }
    Ok(plain)
}

/// The text of a message. An assistant that only calls tools says nothing, which is the empty text.
fn content(content: Option<&Value>) -> Result<String, String> {
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let texts: Result<Vec<&str>, String> =
                parts.iter().enumerate().map(|(index, part)| part_text(index, part)).collect();
            Ok(texts?.join("\n"))
        }
        Some(_) => Err("its content is neither a string nor an array of parts".to_owned()),
    }
}

fn part_text(index: usize, part: &Value) -> Result<&str, String> {
    if let Value::String(text) = part {
        return Ok(text);
    }
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("none");
    let key = match kind {
        "text" | "input_text" | "output_text" => "text",
        "refusal" => "refusal",
        "image_url" | "input_image" | "image" => {
            return Err(format!("part {index} is an image ({kind}), and the model reads only text"));
        }
        _ => return Err(format!("part {index} is of type {kind:?}, and the model reads only text")),
    };
    part.get(key).and_then(Value::as_str).ok_or_else(|| format!("part {index} has no {key}"))
}

/// OpenAI writes a call's arguments as a string of JSON; templates write them out themselves and want the object.
fn parse_arguments(call: &mut Value) {
    let Some(arguments) = call.pointer_mut("/function/arguments") else {
        return;
    };
    if let Some(parsed @ Value::Object(_)) = arguments.as_str().and_then(|text| serde_json::from_str(text).ok()) {
        *arguments = parsed;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(message: Value, expected: Value) {
        assert_eq!(normalised(&[message]).expect("the message is sound"), [expected]);
    }

    #[test]
    fn parts_of_text_are_joined_by_lines() {
        check(
            json!({"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "input_text", "text": "two"}]}),
            json!({"role": "user", "content": "one\ntwo"}),
        );
    }

    #[test]
    fn a_developer_is_the_system() {
        check(json!({"role": "developer", "content": "be brief"}), json!({"role": "system", "content": "be brief"}));
    }

    #[test]
    fn arguments_of_tool_calls_become_objects() {
        let call = |arguments: Value| json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]);
        check(
            json!({"role": "assistant", "content": null, "tool_calls": call(json!("{\"a\": 1}"))}),
            json!({"role": "assistant", "content": "", "tool_calls": call(json!({"a": 1}))}),
        );
        check(
            json!({"role": "assistant", "content": null, "tool_calls": call(json!("not json"))}),
            json!({"role": "assistant", "content": "", "tool_calls": call(json!("not json"))}),
        );
        check(
            json!({"role": "assistant", "content": "hi", "tool_calls": []}),
            json!({"role": "assistant", "content": "hi"}),
        );
    }

    #[test]
    fn what_is_not_text_is_refused_by_name() {
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
        let cases = [
            (
                json!({"role": "user", "content": [{"type": "text", "text": "see"}, image]}),
                "part 1 is an image (image_url)",
            ),
            (json!({"role": "user", "content": [{"type": "input_audio"}]}), "part 0 is of type \"input_audio\""),
            (json!({"role": "user", "content": [{"type": "text"}]}), "part 0 has no text"),
            (json!({"role": "user", "content": 3}), "neither a string nor an array"),
            (json!({"content": "hi"}), "it has no role"),
            (json!("hi"), "it is not an object"),
        ];
        for (message, expected) in cases {
            let fine = json!({"role": "user", "content": "fine"});
            let error = normalised(&[fine, message]).expect_err("it cannot be read");
            assert!(matches!(error, ChatError::Message { index: 1, .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
