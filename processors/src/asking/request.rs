//! Requests: how a model is asked for an answer of a form, in OpenAI's format.
//!
//! Never: knows what is asked.

use serde_json::{Value, json};

/// How the model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Without what some providers do not take: a schema of the answer, a temperature, a bound of its length.
    pub(crate) is_plain: bool,
    /// For the second time, since the first answer was none.
    pub(crate) is_again: bool,
}

/// What is asked, and for an answer of which form.
pub(crate) struct Asked<'a> {
    /// What the system says. It never changes, so that providers can keep it.
    pub(crate) system: &'a str,
    /// What is to be looked at.
    pub(crate) content: &'a str,
    /// What is said behind an answer that was none.
    pub(crate) again: &'a str,
    /// The form of the answer, in OpenAI's `response_format`.
    pub(crate) form: &'a Value,
    /// The most that the model may put out, in tokens.
    pub(crate) most_output: u32,
}

impl Asked<'_> {
    /// The request, for an answer in one piece.
    pub(crate) fn request(&self, model: &str, manner: Manner) -> Vec<u8> {
        let said = |role: &str, content: &str| json!({"role": role, "content": content});
        let mut messages = vec![said("system", self.system), said("user", self.content)];
        if manner.is_again {
            messages.push(said("user", self.again));
        }
        let mut body = json!({"model": model, "messages": messages});
        if !manner.is_plain {
            body["temperature"] = 0.into();
            body["max_completion_tokens"] = self.most_output.into();
            body["response_format"] = self.form.clone();
        }
        body.to_string().into_bytes()
    }
}

/// A strict JSON schema as the form of an answer.
pub(crate) fn form(name: &str, schema: &Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": name, "strict": true, "schema": schema}})
}

/// The schema of an object with these fields, all of which it has to have.
pub(crate) fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|fields| fields.keys()).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_does_not_take_the_form_is_asked_without_it() {
        let form = form("notes", &object(json!({"a": {"type": "string"}})));
        let asked = Asked { system: "S", content: "C", again: "A", form: &form, most_output: 9 };
        let body = |is_plain, is_again| -> Value {
            serde_json::from_slice(&asked.request("m", Manner { is_plain, is_again })).unwrap()
        };
        let whole = body(false, false);
        let schema = &whole["response_format"]["json_schema"]["schema"];
        assert_eq!((&schema["required"], &schema["additionalProperties"]), (&json!(["a"]), &json!(false)));
        assert_eq!(
            (&whole["model"], &whole["max_completion_tokens"], &whole["temperature"]),
            (&json!("m"), &json!(9), &json!(0))
        );
        assert_eq!(whole["messages"], json!([{"role": "system", "content": "S"}, {"role": "user", "content": "C"}]));
        let plain = body(true, true);
        let fields: Vec<_> = plain.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!((fields, &plain["messages"][2]["content"]), (vec!["messages", "model"], &json!("A")));
    }
}
