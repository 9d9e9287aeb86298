//! Discord: what DiscordChatExporter writes as JSON (as its own writer does), and the data package that Discord sends
//! its users (shapes of 2019 to 2025).
//!
//! The exporter writes an object with `guild`, `channel` and `messages`. The package has a folder for each channel with
//! `messages.json` or, until 2024, `messages.csv`; it holds only what the user wrote.
//!
//! The thread is `discord:<channel id>`, and a message's id `discord:<message id>`: ids are unique all over Discord, so
//! both kinds of export agree on what is the same message.
//! Left out, and counted: who joined and left.

mod package;

use serde::Deserialize;
use serde_json::Value;

use super::{
    container::Member,
    documents::{Cut, Reader},
    elements::Element,
    format::Format,
    items::{Draft, Items, Place, cause, code},
    message::{Attachment, Role, with_attachments},
    times,
};
use package::Package;

/// How the table of the package begins.
pub(super) const TABLE_BEGINNING: &[u8] = b"ID,Timestamp,Contents";
/// What happens in a channel without anybody saying anything.
const COMINGS_AND_GOINGS: [&str; 4] = ["GuildMemberJoin", "RecipientAdd", "RecipientRemove", "7"];
/// What somebody says; everything else Discord says about the channel.
const SAID: [&str; 6] = ["Default", "Reply", "0", "19", "20", "ThreadStarterMessage"];

/// Whether a member has the messages of a channel in the data package: `messages/c123/messages.json`. The name of the
/// outer folder depends on the language of its user.
pub(super) fn is_package_messages(member: &Member) -> bool {
    let folder = member.folder().rsplit('/').next().unwrap_or_default();
    let id = folder.strip_prefix('c').unwrap_or(folder);
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    is_id && matches!(member.file_name(), "messages.json" | "messages.csv")
}

/// Reads the messages of channels.
#[derive(Debug, Default)]
pub(super) struct Discord {
    package: Package,
    /// The channel of the document that is read, once it is known.
    channel: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    id: Value,
    #[serde(default, rename = "type")]
    kind: Value,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    author: Value,
    #[serde(default)]
    attachments: Value,
    #[serde(default)]
    embeds: Value,
    #[serde(default)]
    stickers: Value,
    #[serde(default, rename = "forwardedMessage")]
    forwarded: Value,
}

impl Discord {
    fn tell(&self, place: &Place, message: &Message, bytes: &[u8], items: &mut Items) {
        let text = text(message);
        let Some(id) = id(&message.id) else {
            return items.reject(place, code::MISSING_FIELD, "the field \"id\" is missing", None, bytes);
        };
        let id = format!("discord:{id}");
        let Some(channel) = &self.channel else {
            let detail = "the file does not say of which channel it is before its messages";
            return items.reject(place, code::MISSING_FIELD, detail, Some(&id), bytes);
        };
        let kind = match &message.kind {
            Value::String(kind) => kind.clone(),
            Value::Number(kind) => kind.to_string(),
            _ => "Default".to_owned(),
        };
        if COMINGS_AND_GOINGS.contains(&kind.as_str()) {
            return items.leave_out("notices of who joined or left");
        }
        let author = &message.author;
        let names = [&author["nickname"], &author["name"], &author["id"]].into_iter().filter_map(Value::as_str);
        let name = names.into_iter().find(|name| !name.trim().is_empty()).unwrap_or("unknown").to_owned();
        let role = match kind.as_str() {
            kind if !SAID.contains(&kind) => Role::System,
            _ if author["isBot"].as_bool() == Some(true) => Role::Tool,
            _ => Role::User,
        };
        let thread = format!("discord:{channel}");
        let sent_at = times::from_value(&message.timestamp);
        items.message(place, Draft { id, thread, author: Some(name), role, sent_at, text });
    }
}

impl Reader for Discord {
    fn unit(&self) -> &'static str {
        Format::Discord.piece()
    }

    fn cut(&self, member: &str, beginning: &[u8]) -> Cut {
        let is_table = member.to_ascii_lowercase().ends_with(".csv") || beginning.starts_with(TABLE_BEGINNING);
        if is_table { Cut::Table } else { Cut::Json(vec!["messages".to_owned()]) }
    }

    fn begin(&mut self, member: &str) {
        self.package = Package::default();
        self.channel = package::channel(member);
    }

    fn piece(&mut self, place: &Place, piece: Element, items: &mut Items) {
        if piece.key.as_deref() == Some("channel") {
            match channel(&piece.bytes) {
                Some(id) => self.channel = Some(id),
                None => items.reject(place, code::MISSING_FIELD, "the channel has no id", None, &piece.bytes),
            }
            return;
        }
        if piece.number.is_none() {
            return;
        }
        if piece.key.is_none() {
            return self.package.piece(place, self.channel.as_deref(), &piece.bytes, items);
        }
        match serde_json::from_slice::<Message>(&piece.bytes) {
            Ok(message) => self.tell(place, &message, &piece.bytes, items),
            Err(error) => items.reject(place, code::BAD_JSON, cause(&error), None, &piece.bytes),
        }
    }
}

/// The id of the channel that a document is of.
fn channel(bytes: &[u8]) -> Option<String> {
    let channel: Value = serde_json::from_slice(bytes).ok()?;
    id(&channel["id"])
}

/// An id, which is text in one shape and a number in another.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.trim().is_empty() => Some(id.trim().to_owned()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

fn text(message: &Message) -> String {
    let mut texts = vec![message.content.clone().unwrap_or_default()];
    texts.extend(list(&message.embeds).iter().map(embed));
    texts.extend(
        list(&message.stickers).iter().filter_map(|sticker| Some(format!("[sticker: {}]", sticker["name"].as_str()?))),
    );
    if message.forwarded.is_object() {
        let forwarded = message.forwarded["content"].as_str().unwrap_or_default();
        texts.push(format!("[forwarded]\n{forwarded}"));
        texts.extend(list(&message.forwarded["embeds"]).iter().map(embed));
    }
    texts.retain(|text| !text.trim().is_empty());
    let files = list(&message.attachments).iter().chain(list(&message.forwarded["attachments"]));
    let files: Vec<Attachment> = files.map(file).collect();
    with_attachments(&texts.join("\n"), &files)
}

/// What a link leads to, or what a bot wrote into a box.
fn embed(embed: &Value) -> String {
    let field = |field: &str| embed[field].as_str().unwrap_or_default().trim().to_owned();
    let mut lines = vec![field("title"), field("url"), field("description")];
    let fields = list(&embed["fields"]).iter();
    lines.extend(fields.map(|field| {
        let text = |name: &str| field[name].as_str().unwrap_or_default();
        format!("{}: {}", text("name"), text("value"))
    }));
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() { String::new() } else { format!("[embed] {}", lines.join("\n")) }
}

fn file(file: &Value) -> Attachment {
    let name = file["fileName"].as_str().or(file["filename"].as_str()).unwrap_or_default().to_owned();
    Attachment { name, kind: None, size: file["fileSizeBytes"].as_u64().or(file["size"].as_u64()) }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
