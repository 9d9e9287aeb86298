//! Decoding: from bytes and query strings to typed requests, or to the problem that says what is wrong with them.
//!
//! Owns: the problems of form (not UTF-8, not JSON, unknown, missing, doubled or mistyped fields).
//! Never: judges values; see [`crate::checks`].

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::tree::{Fault, Tree};
use crate::problem::{Code, Problem, quote};

/// Reads one JSON object.
///
/// # Errors
/// A problem of form, with its byte, its line and column, or its field.
pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(error.valid_up_to()))?;
    let tree: Tree = serde_json::from_str(text).map_err(|error| bad_json(&error))?;
    typed(tree)
}

/// Gives the pairs of a query string a type. A name that comes several times is a list.
///
/// # Errors
/// A problem of form with its field.
pub(super) fn query<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, Problem> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        fields.entry(name).or_default().push(value);
    }
    let tree = |mut values: Vec<String>| match values.len() {
        1 => Tree::Word(values.remove(0)),
        _ => Tree::Words(values),
    };
    typed(Tree::Object(fields.into_iter().map(|(name, values)| (name, tree(values))).collect()))
}

/// The sender's own id of a message that could be read only in part.
pub(super) fn source_id(bytes: &[u8]) -> Option<String> {
    let Ok(Tree::Object(fields)) = serde_json::from_slice(bytes) else { return None };
    fields.into_iter().find_map(|(name, value)| match value {
        Tree::Text(id) if name == "id" => Some(quote(&id)),
        _ => None,
    })
}

/// The bytes up to `valid` are UTF-8; the next one is not.
pub(super) fn not_utf8(valid: usize) -> Problem {
    let detail = format!("byte {valid} does not belong to UTF-8 text");
    Problem::new(Code::NotUtf8, detail, "encode the text as UTF-8").with("byte", valid)
}

fn typed<T: DeserializeOwned>(tree: Tree) -> Result<T, Problem> {
    if !matches!(tree, Tree::Object(_)) {
        let detail = "the body is valid JSON, but not an object";
        return Err(Problem::new(Code::WrongType, detail, "send one JSON object, { ... }").with("field", "."));
    }
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let path = error.path().clone();
        of_fault(&path, error.into_inner())
    })
}

fn bad_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(Code::BadJson, error.to_string(), format!("correct the JSON at line {line}, column {column}"))
        .with("line", line)
        .with("column", column)
}

fn of_fault(path: &Path, fault: Fault) -> Problem {
    match fault {
        Fault::UnknownField { field, allowed } => {
            let field = quote(&field);
            let detail = format!("the field \"{field}\" is not known here");
            Problem::new(Code::UnknownField, detail, format!("use only these fields: {}", allowed.join(", ")))
                .with("field", field)
                .with("allowed", allowed)
        }
        Fault::MissingField(field) => {
            let detail = format!("the field \"{field}\" is missing");
            Problem::new(Code::MissingField, detail, format!("send {field}")).with("field", field)
        }
        Fault::DuplicateField(field) => duplicate(field),
        Fault::Repeated => duplicate(&name(path)),
        Fault::WrongType { found, expected } => of_value(Code::WrongType, path, &found, &expected),
        Fault::OutOfRange { found, expected } => of_value(Code::OutOfRange, path, &found, &expected),
        Fault::Invalid { found, expected } => of_value(Code::InvalidField, path, &found, &expected),
        Fault::UnknownVariant { found, allowed } => {
            let (found, expected) =
                (format!("the text \"{}\"", quote(&found)), format!("one of {}", allowed.join(", ")));
            of_value(Code::InvalidField, path, &found, &expected).with("allowed", allowed)
        }
        Fault::Custom(message) => {
            let field = name(path);
            Problem::new(Code::InvalidField, format!("{field}: {message}"), format!("correct {field}"))
                .with("field", field)
        }
    }
}

fn duplicate(field: &str) -> Problem {
    let detail = format!("the field \"{field}\" is given twice");
    Problem::new(Code::DuplicateField, detail, format!("send {field} once")).with("field", field)
}

fn of_value(code: Code, path: &Path, found: &str, expected: &str) -> Problem {
    let field = name(path);
    let detail = format!("{field} holds {found}; expected is {expected}");
    Problem::new(code, detail, format!("send {field} as {expected}")).with("field", field)
}

/// The path as clients write it: `spaces[2]`, and not the options that stand between.
fn name(path: &Path) -> String {
    let mut name = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => name.push_str(&format!("[{index}]")),
            Segment::Map { key } if name.is_empty() => name.push_str(key),
            Segment::Map { key } => name.push_str(&format!(".{key}")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    if name.is_empty() { ".".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{NewMessage, RecallRequest, Role};

    fn check<T: DeserializeOwned + std::fmt::Debug>(
        body: &[u8],
        code: Code,
        fact: &str,
        value: impl Into<serde_json::Value>,
    ) {
        let problem = json::<T>(body).expect_err("the body is wrong");
        let shown = String::from_utf8_lossy(body);
        assert_eq!(problem.code(), code.name(), "{shown}: {problem}");
        assert_eq!(problem.details().facts.get(fact), Some(&value.into()), "{shown}: {problem:?}");
    }

    #[test]
    fn each_fault_of_form_has_its_code_and_names_its_place() {
        check::<NewMessage>(b"{\"text\": \"a\xff\"}", Code::NotUtf8, "byte", 11);
        check::<NewMessage>(b"{\n  \"text\": }", Code::BadJson, "line", 2);
        check::<NewMessage>(b"{\n  \"text\": }", Code::BadJson, "column", 11);
        check::<NewMessage>(b"", Code::BadJson, "line", 1);
        check::<NewMessage>(b"{} {}", Code::BadJson, "column", 4);
        check::<NewMessage>(b"[\"a\", \"b\"]", Code::WrongType, "field", ".");
        check::<NewMessage>(
            br#"{"thread":"t","author":"a","text":"x","colour":1}"#,
            Code::UnknownField,
            "field",
            "colour",
        );
        check::<NewMessage>(br#"{"thread":"t","author":"a"}"#, Code::MissingField, "field", "text");
        check::<NewMessage>(
            br#"{"thread":"t","thread":"u","author":"a","text":"x"}"#,
            Code::DuplicateField,
            "field",
            "thread",
        );
        check::<NewMessage>(br#"{"thread":7,"author":"a","text":"x"}"#, Code::WrongType, "field", "thread");
        check::<NewMessage>(br#"{"thread":"t","author":"a","text":null}"#, Code::WrongType, "field", "text");
        check::<NewMessage>(
            br#"{"thread":"t","author":"a","text":"x","role":"boss"}"#,
            Code::InvalidField,
            "field",
            "role",
        );
        check::<NewMessage>(br#"{"thread":"t","author":"a","text":"x","role":[]}"#, Code::WrongType, "field", "role");
        check::<NewMessage>(
            br#"{"thread":"t","author":"a","text":"x","sent_at":"noon"}"#,
            Code::InvalidField,
            "field",
            "sent_at",
        );
        check::<NewMessage>(
            br#"{"thread":"t","author":"a","text":"x","sent_at":12}"#,
            Code::WrongType,
            "field",
            "sent_at",
        );
        check::<RecallRequest>(br#"{"query":"x","spaces":["a", 1]}"#, Code::WrongType, "field", "spaces[1]");
        check::<RecallRequest>(br#"{"query":"x","limit":-1}"#, Code::OutOfRange, "field", "limit");
        check::<RecallRequest>(br#"{"query":"x","limit":1.5}"#, Code::WrongType, "field", "limit");
    }

    #[test]
    fn an_unknown_field_is_answered_with_the_known_ones() {
        let problem = json::<NewMessage>(br#"{"channel":"t"}"#).expect_err("there is no such field");
        let allowed = serde_json::json!(["id", "space", "thread", "author", "role", "sent_at", "text"]);
        assert_eq!(problem.details().facts["allowed"], allowed);
    }

    #[test]
    fn defaults_are_filled_in() {
        let message: NewMessage =
            json(br#"{"thread":"t","author":"a","text":"x","id":null}"#).expect("the message is whole");
        assert_eq!(
            (message.id, message.space.as_str(), message.role, message.sent_at),
            (None, "main", Role::User, None)
        );
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let body = "[".repeat(100_000);
        assert_eq!(json::<NewMessage>(body.as_bytes()).expect_err("it has no end").code(), "bad_json");
    }
}
