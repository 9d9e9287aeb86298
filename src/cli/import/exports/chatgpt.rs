//! ChatGPT: the export that a user of ChatGPT downloads, in the shapes seen from 2023 to April 2026.
//!
//! `conversations.json` is an array of conversations; since early 2026 large exports have `conversations-000.json` and
//! so on instead. A conversation's messages are a tree: `mapping` has its nodes, `current_node` the leaf of the current
//! branch. One conversation alone, as browser extensions save it, is read too.
//!
//! The thread is `chatgpt:<conversation>`, that of another branch `chatgpt:<conversation>/branch-<node>` (see
//! `branches`), and a message's id `chatgpt:<conversation>:<node>`, because products that copy a conversation keep the
//! ids of its nodes.
//! Left out, and counted: what the product hides, custom instructions, and passages of thinking.

mod content;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
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
use content::Said;

/// The author of answers.
const AUTHOR: &str = "ChatGPT";

/// Reads conversations.
#[derive(Debug, Default)]
pub(super) struct ChatGpt {
    /// A document that is one conversation itself.
    alone: Fields,
}

#[derive(Deserialize)]
struct Conversation<'a> {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    conversation_id: Value,
    #[serde(default)]
    create_time: Value,
    #[serde(default)]
    current_node: Value,
    #[serde(borrow)]
    mapping: Mapping<'a>,
}

/// The nodes in the order of the file, an id that comes twice included.
struct Mapping<'a>(Vec<(String, &'a RawValue)>);

#[derive(Deserialize)]
struct Node<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    children: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    author: Author,
    #[serde(default)]
    create_time: Value,
    #[serde(default)]
    content: Value,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    recipient: Option<String>,
}

#[derive(Default, Deserialize)]
struct Author {
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl Reader for ChatGpt {
    fn unit(&self) -> &'static str {
        Format::ChatGpt.piece()
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
        if let Some(bytes) = self.alone.take("mapping", place, items) {
            read(place, &bytes, items);
        }
    }
}

/// Reads one conversation.
fn read(place: &Place, bytes: &[u8], items: &mut Items) {
    let conversation: Conversation<'_> = match serde_json::from_slice(bytes) {
        Ok(conversation) => conversation,
        Err(error) => {
            let id = serde_json::from_slice(bytes)
                .ok()
                .and_then(|value: Value| conversation_id(&value["id"], &value["conversation_id"]));
            items.reject(place, code::BAD_JSON, cause(&error), id.as_deref(), bytes);
            return;
        }
    };
    let Some(first) = conversation.mapping.0.first() else {
        items.leave_out("conversations without messages");
        return;
    };
    let id = conversation_id(&conversation.id, &conversation.conversation_id)
        .unwrap_or_else(|| digest([first.0.as_bytes()]));
    if is_too_long(place, conversation.mapping.0.len(), Some(&id), items) {
        return;
    }
    let tree = Tree::of(place, &id, &conversation, items);
    tree.tell(place, &id, times::from_value(&conversation.create_time), items);
}

fn conversation_id(id: &Value, conversation_id: &Value) -> Option<String> {
    let mut ids = [conversation_id, id].into_iter().filter_map(Value::as_str).map(str::trim);
    ids.find(|id| !id.is_empty()).map(str::to_owned)
}

/// The nodes of a conversation by number, in the order of the file.
struct Tree<'a> {
    ids: Vec<String>,
    messages: Vec<Option<&'a RawValue>>,
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    current: Option<usize>,
}

impl<'a> Tree<'a> {
    fn of(place: &Place, id: &str, conversation: &Conversation<'a>, items: &mut Items) -> Self {
        let mut numbers = std::collections::HashMap::new();
        let mut nodes: Vec<(String, Node<'a>)> = Vec::new();
        for (node_id, raw) in &conversation.mapping.0 {
            let source = || Some(format!("chatgpt:{id}:{node_id}"));
            let node: Node<'a> = match serde_json::from_str(raw.get()) {
                Ok(node) => node,
                Err(error) => {
                    let detail = format!("node {node_id} of the conversation: {}", cause(&error));
                    items.reject(place, code::BAD_JSON, detail, source().as_deref(), raw.get().as_bytes());
                    continue;
                }
            };
            if let Some(first) = numbers.insert(node_id.clone(), nodes.len()) {
                // As with every id that comes twice, the first one is kept.
                numbers.insert(node_id.clone(), first);
                let detail = format!("the conversation has node {node_id} twice; the first one is imported");
                items.reject(place, code::ID_CONFLICT, detail, source().as_deref(), raw.get().as_bytes());
                continue;
            }
            nodes.push((node_id.clone(), node));
        }
        let number = |id: Option<&str>| id.and_then(|id| numbers.get(id)).copied();
        let parents: Vec<Option<usize>> = nodes.iter().map(|(_, node)| number(node.parent.as_deref())).collect();
        let mut children = vec![Vec::new(); nodes.len()];
        let mut is_listed = vec![false; nodes.len()];
        let listed = nodes
            .iter()
            .enumerate()
            .flat_map(|(parent, (_, node))| node.children.iter().flatten().map(move |child| (parent, child.as_str())));
        // A parent lists its children from the eldest to the youngest; a child that it forgot comes last.
        let listed = listed.filter_map(|(parent, child)| Some((parent, number(Some(child))?)));
        let forgotten = parents.iter().enumerate().filter_map(|(child, parent)| Some(((*parent)?, child)));
        for (parent, child) in listed.chain(forgotten).collect::<Vec<_>>() {
            if parents[child] == Some(parent) && !std::mem::replace(&mut is_listed[child], true) {
                children[parent].push(child);
            }
        }
        let current = number(conversation.current_node.as_str());
        let (ids, messages) = nodes.into_iter().map(|(id, node)| (id, node.message)).unzip();
        Self { ids, messages, parents, children, current }
    }

    /// Tells every message, those of the current branch first.
    fn tell(&self, place: &Place, id: &str, began: Option<String>, items: &mut Items) {
        let mut times: Vec<Option<String>> = vec![None; self.ids.len()];
        for placed in branches::place(&self.parents, &self.children, self.current) {
            let inherited =
                self.parents[placed.node].and_then(|parent| times[parent].clone()).or_else(|| began.clone());
            times[placed.node] = inherited;
            let Some(raw) = self.messages[placed.node] else { continue };
            let source = format!("chatgpt:{id}:{}", self.ids[placed.node]);
            let message: Option<Message> = match serde_json::from_str(raw.get()) {
                Ok(message) => message,
                Err(error) => {
                    let detail = format!("message {} of the conversation: {}", self.ids[placed.node], cause(&error));
                    items.reject(place, code::BAD_JSON, detail, Some(&source), raw.get().as_bytes());
                    continue;
                }
            };
            let Some(message) = message else { continue };
            if let Some(time) = times::from_value(&message.create_time) {
                times[placed.node] = Some(time);
            }
            let thread = match placed.branch {
                None => format!("chatgpt:{id}"),
                Some(branch) => format!("chatgpt:{id}/branch-{}", self.ids[branch]),
            };
            give(place, source, thread, times[placed.node].clone(), &message, items);
        }
    }
}

fn give(place: &Place, id: String, thread: String, sent_at: Option<String>, message: &Message, items: &mut Items) {
    let text = match content::said(&message.content, &message.metadata) {
        Said::Text(text) => text,
        Said::LeftOut(what) => return items.leave_out(what),
    };
    let recipient = message.recipient.as_deref().filter(|recipient| !matches!(*recipient, "" | "all"));
    let text = match recipient {
        Some(recipient) if !text.is_empty() => format!("[to {recipient}]\n{text}"),
        _ => text,
    };
    let name = message.author.name.clone().filter(|name| !name.is_empty());
    let (role, author) = match message.author.role.as_deref() {
        Some("user") => (Role::User, name),
        Some("assistant") => (Role::Assistant, Some(name.unwrap_or_else(|| AUTHOR.to_owned()))),
        Some("tool" | "function") => (Role::Tool, Some(name.unwrap_or_else(|| "tool".to_owned()))),
        Some("system" | "developer" | "critic") => (Role::System, Some(name.unwrap_or_else(|| "system".to_owned()))),
        other => {
            let detail = match other {
                Some(role) => format!("the author's role \"{role}\" is not known"),
                None => "the message has no author".to_owned(),
            };
            return items.reject(place, code::MISSING_FIELD, detail, Some(&id), text.as_bytes());
        }
    };
    items.message(place, Draft { id, thread, author, role, sent_at, text });
}

impl<'de: 'a, 'a> Deserialize<'de> for Mapping<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Mapping<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the nodes of a conversation by their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Mapping<'de>, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = map.next_entry()? {
            nodes.push(node);
        }
        Ok(Mapping(nodes))
    }
}

#[cfg(test)]
mod tests;
