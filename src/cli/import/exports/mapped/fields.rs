//! Fields: under which names tools write what a message has. This is the mapping that docs/import.md shows.

use std::str::FromStr;

use serde_json::Value;

use crate::cli::import::exports::message::Role;

/// What a message or a conversation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The list of messages of a conversation.
    Messages,
    /// The id of a conversation.
    Conversation,
    /// The id of the conversation, as a message has it.
    Thread,
    Id,
    Role,
    Author,
    SentAt,
    Text,
}

impl Field {
    const ALL: [Self; 8] = [
        Self::Messages,
        Self::Conversation,
        Self::Thread,
        Self::Id,
        Self::Role,
        Self::Author,
        Self::SentAt,
        Self::Text,
    ];

    /// The name that `--map` takes.
    const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Conversation => "conversation",
            Self::Thread => "thread",
            Self::Id => "id",
            Self::Role => "role",
            Self::Author => "author",
            Self::SentAt => "sent_at",
            Self::Text => "text",
        }
    }

    /// Where it is looked for, first things first. A point leads into an object.
    const fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Messages => &["messages", "conversations", "conversation", "chat", "turns"],
            Self::Conversation => &["id", "conversation_id", "uuid", "thread_id", "chat_id", "session_id"],
            Self::Thread => &["thread", "thread_id", "conversation_id", "chat_id", "session_id"],
            Self::Id => &["id", "message_id", "uuid"],
            Self::Role => &["role", "from", "sender", "author.role", "type"],
            Self::Author => &["author", "author.name", "author.username", "name", "username"],
            Self::SentAt => &["sent_at", "created_at", "create_time", "timestamp", "createdAt", "date", "time"],
            Self::Text => &["content", "value", "text", "message", "body"],
        }
    }
}

/// Where plain JSON has its fields: what was asked for, and behind it the names that are usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli::import) struct Mapping {
    asked: Vec<Pair>,
}

/// One `FIELD=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::import) struct Pair {
    field: Field,
    path: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or_else(|| format!("\"{text}\" is not FIELD=PATH"))?;
        let field = Field::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
            format!("there is no field \"{name}\"; there are {}", names.join(", "))
        })?;
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(format!("\"{path}\" is no path, such as \"body\" or \"author.name\""));
        }
        Ok(Self { field, path: path.to_owned() })
    }
}

impl FromIterator<Pair> for Mapping {
    fn from_iter<I: IntoIterator<Item = Pair>>(pairs: I) -> Self {
        Self { asked: pairs.into_iter().collect() }
    }
}

impl Mapping {
    /// The names of lists at the top of a document that are read one element at a time.
    pub(super) fn lists(&self) -> Vec<String> {
        let paths = self.paths(Field::Messages).filter_map(|path| path.split('.').next());
        paths.map(str::to_owned).collect()
    }

    /// What is found for a field; an empty text or `null` is nothing.
    pub(super) fn find<'a>(&self, value: &'a Value, field: Field) -> Option<&'a Value> {
        self.paths(field).find_map(|path| {
            let found = path.split('.').try_fold(value, |value, segment| value.get(segment))?;
            let is_nothing = found.is_null() || found.as_str().is_some_and(|text| text.trim().is_empty());
            (!is_nothing).then_some(found)
        })
    }

    /// The text of a field; what is no text is passed over for the next path.
    pub(super) fn text(&self, value: &Value, field: Field) -> Option<String> {
        self.paths(field).find_map(|path| {
            let found = path.split('.').try_fold(value, |value, segment| value.get(segment))?.as_str()?;
            (!found.trim().is_empty()).then(|| found.to_owned())
        })
    }

    /// An id, which may be a number.
    pub(super) fn id(&self, value: &Value, field: Field) -> Option<String> {
        match self.find(value, field)? {
            Value::String(id) => Some(id.trim().to_owned()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }

    /// Whether a field is looked for at, or within, what has this name.
    pub(super) fn begins(&self, field: Field, name: &str) -> bool {
        self.paths(field).any(|path| path.split('.').next() == Some(name))
    }

    fn paths(&self, field: Field) -> impl Iterator<Item = &str> {
        let asked = self.asked.iter().filter(move |pair| pair.field == field).map(|pair| pair.path.as_str());
        asked.chain(field.paths().iter().copied())
    }
}

/// What an author is by the name of their role, as tools write it.
pub(super) fn role(name: &str) -> Option<Role> {
    match name.trim().to_ascii_lowercase().as_str() {
        "user" | "human" | "prompter" | "customer" => Some(Role::User),
        "assistant" | "gpt" | "chatgpt" | "ai" | "bot" | "model" | "bing" | "claude" => Some(Role::Assistant),
        "system" | "developer" => Some(Role::System),
        "tool" | "function" | "function_call" | "observation" | "function_response" => Some(Role::Tool),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_for_goes_before_what_is_usual() {
        let mapping: Mapping =
            ["text=body.plain", "id=key"].map(|pair| pair.parse().expect("it is a pair")).into_iter().collect();
        let message = json!({"content": "usual", "body": {"plain": "asked"}, "key": 7});
        assert_eq!(mapping.find(&message, Field::Text), Some(&json!("asked")));
        assert_eq!(mapping.id(&message, Field::Id).as_deref(), Some("7"));
        assert_eq!(Mapping::default().find(&message, Field::Text), Some(&json!("usual")));
    }

    #[test]
    fn a_pair_that_is_none_is_refused_with_what_there_is() {
        for (text, expected) in [
            ("text", "is not FIELD=PATH"),
            ("colour=red", "there are messages, conversation, thread, id"),
            ("text=", "is no path"),
            ("text=a..b", "is no path"),
        ] {
            let error = text.parse::<Pair>().expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
    }
}
