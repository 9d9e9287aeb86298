//! Claude: the export that a user of Claude downloads, in the shapes seen from 2024 to June 2026.
//!
//! `conversations.json` is an array of conversations with `chat_messages`. In the older shape a message has only a
//! `text`; in the newer one `content` has its blocks, and `text` repeats them with remarks on what could not be shown.
//! Newer exports have `parent_message_uuid`, so edited questions leave branches; there is no field for the current one,
//! so it is that of the last message, unless `current_leaf_message_uuid` (saved by browser extensions) says otherwise.
//!
//! The thread is `claude:<conversation>`, that of another branch `claude:<conversation>/branch-<message>`, and a
//! message's id `claude:<conversation>:<message>`. What a tool returned within an answer is a message of the tool, with
//! `.2`, `.3` and so on behind the id.
//! Left out, and counted: passages of thinking. The text of pasted documents is in the export, and stands below its
//! name.

mod content;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    branches,
    documents::{Cut, Fields, Reader, is_too_long},
    elements::Element,
    format::Format,
    items::{Draft, Items, Place, cause, code},
    message::{Role, digest},
    times,
};
use content::{Message, Passage};

/// The author of answers.
const AUTHOR: &str = "Claude";

/// Reads conversations.
#[derive(Debug, Default)]
pub(super) struct Claude {
    /// A document that is one conversation itself.
    alone: Fields,
}

#[derive(Deserialize)]
struct Conversation<'a> {
    #[serde(default)]
    uuid: Value,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    current_leaf_message_uuid: Value,
    #[serde(borrow)]
    chat_messages: Vec<&'a RawValue>,
}

impl Reader for Claude {
    fn unit(&self) -> &'static str {
        Format::Claude.piece()
    }

    fn cut(&self, _: &str, _: &[u8]) -> Cut {
        Cut::Json(vec!["conversations".to_owned()])
    }

    fn begin(&mut self, _: &str) {
        self.alone = Fields::default();
    }

    fn piece(&mut self, place: &Place, piece: Element, items: &mut Items) {
        if piece.number.is_some() {
            read(place, &piece.bytes, items);
        } else {
            self.alone.add(&piece);
        }
    }

    fn end(&mut self, place: &Place, items: &mut Items) {
        if let Some(bytes) = self.alone.take("chat_messages", place, items) {
            read(place, &bytes, items);
        }
    }
}

/// Reads one conversation.
fn read(place: &Place, bytes: &[u8], items: &mut Items) {
    let conversation: Conversation<'_> = match serde_json::from_slice(bytes) {
        Ok(conversation) => conversation,
        Err(error) => {
            let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
            items.reject(place, code::BAD_JSON, cause(&error), value["uuid"].as_str(), bytes);
            return;
        }
    };
    let Some(first) = conversation.chat_messages.first() else {
        items.leave_out("conversations without messages");
        return;
    };
    let id = match conversation.uuid.as_str() {
        Some(id) if !id.trim().is_empty() => id.to_owned(),
        _ => digest([first.get().as_bytes()]),
    };
    if is_too_long(place, conversation.chat_messages.len(), Some(&id), items) {
        return;
    }
    let mut messages = Vec::new();
    for (index, raw) in conversation.chat_messages.iter().enumerate() {
        match serde_json::from_str::<Message>(raw.get()) {
            Ok(message) => messages.push(message),
            Err(error) => {
                let detail = format!("message {} of the conversation: {}", index + 1, cause(&error));
                items.reject(place, code::BAD_JSON, detail, None, raw.get().as_bytes());
            }
        }
    }
    let began = times::from_value(&conversation.created_at);
    tell(place, &id, began, conversation.current_leaf_message_uuid.as_str(), &messages, items);
}

/// Tells every message, those of the current branch first.
fn tell(
    place: &Place,
    id: &str,
    began: Option<String>,
    current: Option<&str>,
    messages: &[Message],
    items: &mut Items,
) {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (number, message) in messages.iter().enumerate() {
        if let Some(uuid) = message.uuid() {
            numbers.entry(uuid).or_insert(number);
        }
    }
    let parents = parents(messages, &numbers);
    let mut children = vec![Vec::new(); messages.len()];
    for (child, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            children[*parent].push(child);
        }
    }
    let leaf = current.and_then(|uuid| numbers.get(uuid).copied()).or(messages.len().checked_sub(1));
    let ids: Vec<String> = messages.iter().enumerate().map(|(number, message)| message.id(number)).collect();
    let mut times: Vec<Option<String>> = vec![None; messages.len()];
    for placed in branches::place(&parents, &children, leaf) {
        let message = &messages[placed.node];
        let own = times::from_value(&message.created_at);
        let inherited = || parents[placed.node].and_then(|parent| times[parent].clone()).or_else(|| began.clone());
        let sent_at = own.or_else(inherited);
        times[placed.node].clone_from(&sent_at);
        let thread = match placed.branch {
            None => format!("claude:{id}"),
            Some(branch) => format!("claude:{id}/branch-{}", ids[branch]),
        };
        give(place, &format!("claude:{id}:{}", ids[placed.node]), &thread, sent_at.as_ref(), message, items);
    }
}

/// The parent of each message. One without a pointer follows the message before it, as all did in the older shape; so
/// does one whose parent is not in the export.
fn parents(messages: &[Message], numbers: &HashMap<&str, usize>) -> Vec<Option<usize>> {
    let parent = |(number, message): (usize, &Message)| match message.parent() {
        content::Parent::Root => None,
        content::Parent::Message(uuid) => match numbers.get(uuid) {
            Some(parent) => Some(*parent),
            None => number.checked_sub(1),
        },
        content::Parent::Unknown => number.checked_sub(1),
    };
    messages.iter().enumerate().map(parent).collect()
}

fn give(place: &Place, id: &str, thread: &str, sent_at: Option<&String>, message: &Message, items: &mut Items) {
    let (role, author) = match message.sender.as_str() {
        Some("human" | "user") => (Role::User, None),
        Some("assistant") => (Role::Assistant, Some(AUTHOR.to_owned())),
        Some("system") => (Role::System, Some("system".to_owned())),
        other => {
            let detail = match other {
                Some(sender) => format!("the sender \"{sender}\" is not known"),
                None => "the message has no sender".to_owned(),
            };
            return items.reject(place, code::MISSING_FIELD, detail, Some(id), message.text().as_bytes());
        }
    };
    let content::Content { passages, thoughts } = message.content();
    for _ in 0..thoughts {
        items.leave_out("passages of thinking");
    }
    for (index, passage) in passages.into_iter().enumerate() {
        let id = if index == 0 { id.to_owned() } else { format!("{id}.{}", index + 1) };
        let (role, author, text) = match passage {
            Passage::Said(text) => (role, author.clone(), text),
            Passage::Returned { tool, text } => (Role::Tool, Some(tool), text),
        };
        items.message(place, Draft { id, thread: thread.to_owned(), author, role, sent_at: sent_at.cloned(), text });
    }
}

#[cfg(test)]
mod tests;
