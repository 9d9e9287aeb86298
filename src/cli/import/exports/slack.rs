//! Slack: the export of a workspace, as its owner downloads it, in the shapes seen from 2017 to 2026.
//!
//! There is a folder for each channel and in it a file for each day, an array of messages. `users.json` has the names
//! of people, and `channels.json`, `groups.json`, `dms.json` and `mpims.json` have the ids of channels.
//!
//! The thread is `slack:<channel id>`; replies have their own, `slack:<channel id>/<time of the first message>`, while
//! the first message stays in the channel, where it stood before anybody replied. A message's id is
//! `slack:<channel id>:<ts>`, because `ts` is unique within a channel. The later text of a message that was edited is
//! what Slack exports; where an export lists edits one by one, each is a message with `:edited-<time>` behind its id.
//! Left out, and counted: who joined and left, and what was deleted.

mod blocks;
mod markup;
mod names;

use serde::Deserialize;
use serde_json::Value;

use super::{
    container::{Container, Member},
    documents::{Cut, Reader},
    elements::Element,
    format::Format,
    items::{Draft, Items, Place, cause, code},
    message::{Attachment, Role, with_attachments},
    times,
};
use names::Names;

/// What happens in a channel without anybody saying anything.
const COMINGS_AND_GOINGS: [&str; 8] = [
    "channel_join",
    "channel_leave",
    "group_join",
    "group_leave",
    "bot_add",
    "bot_remove",
    "bot_enable",
    "bot_disable",
];
/// What a person or a bot says, as opposed to what Slack says about the channel.
const SAID: [&str; 7] =
    ["bot_message", "me_message", "file_share", "file_comment", "thread_broadcast", "reply_broadcast", "reminder_add"];

/// Whether a member is the file of a day in a channel: `general/2024-01-31.json`.
pub(super) fn is_day(member: &Member) -> bool {
    let name = member.file_name();
    let is_date = name.len() == "2024-01-31.json".len()
        && name.bytes().zip("dddd-dd-dd.json".bytes()).all(|(byte, pattern)| match pattern {
            b'd' if byte.is_ascii_digit() => true,
            pattern => byte == pattern && pattern != b'd',
        });
    is_date && !member.folder().is_empty()
}

/// Whether a member is read for the names in it.
pub(super) fn is_known(member: &Member) -> bool {
    names::FILES.contains(&member.file_name())
}

/// Reads the messages of channels.
pub(super) struct Slack {
    names: Names,
    /// The channel of the file that is read.
    channel: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    subtype: Option<String>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    bot_id: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    user_profile: Value,
    #[serde(default)]
    bot_profile: Value,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    ts: Value,
    #[serde(default)]
    thread_ts: Value,
    #[serde(default)]
    edited: Value,
    #[serde(default)]
    files: Value,
    /// Older exports have one file, in its own field.
    #[serde(default)]
    file: Value,
    #[serde(default)]
    attachments: Value,
    /// What bots write instead of a text, or with one that repeats it.
    #[serde(default)]
    blocks: Value,
    /// What a message about an edit is about.
    #[serde(default)]
    message: Option<Box<Message>>,
}

impl Slack {
    /// Reads the names that the messages refer to.
    pub(super) fn new(container: &Container, items: &mut Items) -> Self {
        Self { names: Names::read(container, items), channel: String::new() }
    }

    fn tell(&self, place: &Place, message: &Message, items: &mut Items) {
        let subtype = message.subtype.as_deref().unwrap_or_default();
        match subtype {
            "message_deleted" | "tombstone" => return items.leave_out("messages that were deleted"),
            "message_changed" => {
                let Some(inner) = &message.message else { return items.leave_out("messages without content") };
                let time = inner.edited["ts"].as_str().or(message.ts.as_str()).unwrap_or_default();
                return self.give(place, inner, &format!(":edited-{time}"), items);
            }
            _ if COMINGS_AND_GOINGS.contains(&subtype) => return items.leave_out("notices of who joined or left"),
            _ => {}
        }
        self.give(place, message, "", items);
    }

    fn give(&self, place: &Place, message: &Message, suffix: &str, items: &mut Items) {
        let channel = &self.channel;
        let text = self.text(message);
        let Some(ts) = message.ts.as_str().filter(|ts| !ts.is_empty()) else {
            return items.reject(place, code::MISSING_FIELD, "the field \"ts\" is missing", None, text.as_bytes());
        };
        let id = format!("slack:{channel}:{ts}{suffix}");
        let thread = match message.thread_ts.as_str() {
            Some(first) if first != ts => format!("slack:{channel}/{first}"),
            _ => format!("slack:{channel}"),
        };
        let subtype = message.subtype.as_deref().unwrap_or_default();
        let is_bot = message.bot_id.is_some() || subtype == "bot_message";
        let role = match subtype {
            _ if is_bot => Role::Tool,
            "" => Role::User,
            said if SAID.contains(&said) => Role::User,
            _ => Role::System,
        };
        let author = Some(self.author(message));
        items.message(place, Draft { id, thread, author, role, sent_at: times::from_decimal(ts), text });
    }

    fn author(&self, message: &Message) -> String {
        let named = message.user.as_deref().and_then(|user| self.names.person(user));
        let profile = || names::of_person(&message.user_profile);
        let bot = || message.username.as_deref().or(message.bot_profile["name"].as_str());
        let id = || message.user.as_deref().or(message.bot_id.as_deref());
        let name = named.map(str::to_owned).or_else(profile).or_else(|| bot().or_else(id).map(str::to_owned));
        name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "unknown".to_owned())
    }

    fn text(&self, message: &Message) -> String {
        let mut texts = vec![markup::plain(message.text.as_deref().unwrap_or_default(), &self.names)];
        if texts[0].trim().is_empty() {
            texts[0] = markup::plain(&blocks::text(&message.blocks), &self.names);
        }
        for card in list(&message.attachments) {
            let card = card_text(card);
            // A link is shown with what it leads to, which often repeats the text.
            if !texts.iter().any(|text| text.contains(&card)) {
                texts.push(markup::plain(&card, &self.names));
            }
        }
        texts.retain(|text| !text.trim().is_empty());
        let files = list(&message.files).iter().chain(Some(&message.file).filter(|file| file.is_object()));
        let files: Vec<Attachment> = files.map(file).collect();
        with_attachments(&texts.join("\n"), &files)
    }
}

impl Reader for Slack {
    fn unit(&self) -> &'static str {
        Format::Slack.piece()
    }

    fn cut(&self, _: &str, _: &[u8]) -> Cut {
        Cut::Json(vec!["messages".to_owned()])
    }

    fn begin(&mut self, member: &str) {
        let folder = member.rsplit('/').nth(1).unwrap_or("channel");
        self.channel = self.names.channel(folder).unwrap_or(folder).to_owned();
    }

    fn piece(&mut self, place: &Place, piece: Element, items: &mut Items) {
        if piece.number.is_none() {
            return;
        }
        match serde_json::from_slice::<Message>(&piece.bytes) {
            Ok(message) => self.tell(place, &message, items),
            Err(error) => items.reject(place, code::BAD_JSON, cause(&error), None, &piece.bytes),
        }
    }
}

/// What a bot put below its text, or what a link leads to.
fn card_text(card: &Value) -> String {
    let fields = ["pretext", "title", "text"].iter().filter_map(|field| card[*field].as_str());
    let fields: Vec<&str> = fields.filter(|text| !text.trim().is_empty()).collect();
    if !fields.is_empty() {
        return fields.join("\n");
    }
    let shown = blocks::text(&card["blocks"]);
    if shown.is_empty() { card["fallback"].as_str().unwrap_or_default().to_owned() } else { shown }
}

fn file(file: &Value) -> Attachment {
    if file["mode"].as_str() == Some("tombstone") {
        return Attachment { name: "a file that was deleted".to_owned(), ..Attachment::default() };
    }
    let name = [&file["name"], &file["title"], &file["id"]].into_iter().filter_map(Value::as_str);
    let name = name.into_iter().find(|name| !name.trim().is_empty()).unwrap_or_default().to_owned();
    Attachment { name, kind: file["mimetype"].as_str().map(str::to_owned), size: file["size"].as_u64() }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
