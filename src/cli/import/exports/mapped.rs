//! Mapped: messages of other tools in plain JSON, by a mapping of field names.
//!
//! Read are a list of messages, a list of conversations that have one, an object with either, and JSON values one after
//! the other, as files for training have them. `fields` has the names that are looked for; `--map FIELD=PATH` puts
//! another one before them.
//!
//! The thread is `json:<id of the conversation>`; a conversation without an id is named after its file and its number
//! in it. A message without an id gets a hash of its thread, its number and its text.

mod content;
mod fields;

use serde_json::Value;

use super::{
    documents::{Cut, Reader, is_too_long},
    elements::Element,
    format::Format,
    items::{Draft, Items, Place, cause, code},
    message::{Role, digest, with_attachments},
    times,
};
use fields::Field;
pub(in crate::cli::import) use fields::{Mapping, Pair};

/// The longest field that may name a conversation or its time, in bytes. They are held while its messages are read.
const OUTER_LIMIT: usize = 64 * 1024;

/// Reads messages by a mapping.
pub(super) struct Mapped {
    mapping: Mapping,
    /// The fields of a document that is one conversation itself which may name it or its time.
    outer: Value,
    /// How many messages of the document have been read that stand in no conversation of their own.
    count: u64,
    /// Whether neither a message nor a conversation has been found in the document.
    is_empty: bool,
}

/// The conversation that a message belongs to.
struct Thread {
    name: String,
    sent_at: Option<String>,
}

impl Mapped {
    /// Reads messages by this mapping.
    pub(super) fn new(mapping: Mapping) -> Self {
        Self { mapping, outer: Value::Null, count: 0, is_empty: true }
    }

    fn conversation(&self, place: &Place, conversation: &Value, messages: &[Value], items: &mut Items) {
        let name = self.mapping.id(conversation, Field::Conversation);
        if is_too_long(place, messages.len(), name.as_deref(), items) {
            return;
        }
        let name = name.unwrap_or_else(|| format!("{}#{}", place.member, place.number));
        let sent_at = self.mapping.find(conversation, Field::SentAt).and_then(times::from_value);
        let thread = Thread { name, sent_at };
        for (index, message) in messages.iter().enumerate() {
            self.message(place, &thread, index as u64, message, items);
        }
    }

    fn message(&self, place: &Place, thread: &Thread, index: u64, message: &Value, items: &mut Items) {
        let bytes = || message.to_string().into_bytes();
        if !message.is_object() {
            let detail = format!("message {} of the conversation is no object", index + 1);
            return items.reject(place, code::MISSING_FIELD, detail, None, &bytes());
        }
        let own_thread = self.mapping.id(message, Field::Thread);
        let thread_name = format!("json:{}", own_thread.as_deref().unwrap_or(&thread.name));
        let own_id = self.mapping.id(message, Field::Id);
        let (text, attachments) = content::said(self.mapping.find(message, Field::Text), message);
        let text = with_attachments(&text, &attachments);
        let id = own_id.unwrap_or_else(|| digest([&index.to_le_bytes()[..], text.as_bytes()]));
        let id = format!("{thread_name}:{id}");
        let named = self.mapping.text(message, Field::Author);
        let role = match self.mapping.text(message, Field::Role) {
            Some(name) => match fields::role(&name) {
                Some(role) => role,
                None => {
                    let detail = format!("message {} of the conversation: the role \"{name}\" is not known", index + 1);
                    return items.reject(place, code::MISSING_FIELD, detail, Some(&id), &bytes());
                }
            },
            // Who has a name and no role is a person.
            None if named.is_some() => Role::User,
            None => {
                let detail = format!("message {} of the conversation has neither a role nor an author", index + 1);
                return items.reject(place, code::MISSING_FIELD, detail, Some(&id), &bytes());
            }
        };
        let author = named.or_else(|| match role {
            Role::User => None,
            Role::Assistant => Some("assistant".to_owned()),
            Role::System => Some("system".to_owned()),
            Role::Tool => Some("tool".to_owned()),
        });
        let own_time = self.mapping.find(message, Field::SentAt).and_then(times::from_value);
        let sent_at = own_time.or_else(|| thread.sent_at.clone());
        items.message(place, Draft { id, thread: thread_name, author, role, sent_at, text });
    }

    /// A field of a document that is one conversation itself: it may have the messages within it, or name them.
    fn field(&mut self, place: &Place, key: &str, bytes: &[u8], items: &mut Items) {
        let has_messages = self.mapping.begins(Field::Messages, key);
        let names = [Field::Conversation, Field::SentAt].iter().any(|field| self.mapping.begins(*field, key));
        let is_kept = names && bytes.len() <= OUTER_LIMIT;
        if !has_messages && !is_kept {
            return;
        }
        let value: Value = match serde_json::from_slice(bytes) {
            Ok(value) => value,
            Err(error) => return items.reject(place, code::BAD_JSON, cause(&error), None, bytes),
        };
        if let (true, Value::Object(outer)) = (is_kept, &mut self.outer) {
            outer.insert(key.to_owned(), value.clone());
        }
        let value = Value::Object([(key.to_owned(), value)].into_iter().collect());
        if let (true, Some(Value::Array(messages))) = (has_messages, self.mapping.find(&value, Field::Messages)) {
            self.is_empty = false;
            if is_too_long(place, messages.len(), None, items) {
                return;
            }
            for message in messages {
                self.loose(place, message, items);
            }
        }
    }

    /// A message that stands in the document itself, or in the list of an object that is one conversation.
    fn loose(&mut self, place: &Place, message: &Value, items: &mut Items) {
        let name = self.mapping.id(&self.outer, Field::Conversation).unwrap_or_else(|| place.member.clone());
        let sent_at = self.mapping.find(&self.outer, Field::SentAt).and_then(times::from_value);
        let index = self.count;
        self.count += 1;
        self.message(place, &Thread { name, sent_at }, index, message, items);
    }
}

impl Reader for Mapped {
    fn unit(&self) -> &'static str {
        Format::Json.piece()
    }

    fn cut(&self, _: &str, beginning: &[u8]) -> Cut {
        if beginning.trim_ascii_start().starts_with(b"{") && has_several(beginning) {
            return Cut::Values;
        }
        Cut::Json(self.mapping.lists())
    }

    fn begin(&mut self, _: &str) {
        self.outer = Value::Object(serde_json::Map::new());
        self.count = 0;
        self.is_empty = true;
    }

    fn piece(&mut self, place: &Place, piece: Element, items: &mut Items) {
        if let (None, Some(key)) = (piece.number, &piece.key) {
            return self.field(place, key, &piece.bytes, items);
        }
        self.is_empty = false;
        let value: Value = match serde_json::from_slice(&piece.bytes) {
            Ok(value) => value,
            Err(error) => return items.reject(place, code::BAD_JSON, cause(&error), None, &piece.bytes),
        };
        match self.mapping.find(&value, Field::Messages) {
            Some(Value::Array(messages)) => self.conversation(place, &value, messages, items),
            _ => self.loose(place, &value, items),
        }
    }

    fn end(&mut self, _: &Place, items: &mut Items) {
        if self.is_empty {
            items.leave_out("files without messages where they are looked for (--map messages=PATH names the place)");
        }
    }
}

/// Whether a document goes on behind its first object.
fn has_several(beginning: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(beginning).into_iter::<serde::de::IgnoredAny>();
    let is_whole = values.next().is_some_and(|first| first.is_ok());
    is_whole && beginning[values.byte_offset()..].trim_ascii_start().starts_with(b"{")
}

#[cfg(test)]
mod tests;
