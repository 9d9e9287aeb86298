//! Package: what Discord sends a user who asks for their data: their own messages, by channel.

use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        items::{Draft, Items, Place, cause, code},
        message::{Attachment, Role, file_name, with_attachments},
        tables, times,
    },
    TABLE_BEGINNING, id,
};

/// Reads one document of the package.
#[derive(Debug, Default)]
pub(super) struct Package {
    /// The columns of the table, once its first line is read.
    columns: Option<Vec<String>>,
}

/// A message, in the names of both shapes.
#[derive(Debug, Default, Deserialize)]
struct Message {
    #[serde(default, rename = "ID")]
    id: Value,
    #[serde(default, rename = "Timestamp")]
    timestamp: Value,
    #[serde(default, rename = "Contents")]
    contents: Option<String>,
    #[serde(default, rename = "Attachments")]
    attachments: Option<String>,
}

/// The id of the channel whose messages a file has.
pub(super) fn channel(member: &str) -> Option<String> {
    let folder = member.rsplit('/').nth(1)?;
    let id = folder.strip_prefix('c').unwrap_or(folder);
    (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
}

impl Package {
    /// The next message of a channel, or the first line of its table.
    pub(super) fn piece(&mut self, place: &Place, channel: Option<&str>, bytes: &[u8], items: &mut Items) {
        let text = String::from_utf8_lossy(bytes);
        let message = if let Some(columns) = &self.columns {
            if text.trim().is_empty() {
                return;
            }
            of_record(columns, &tables::fields(&text))
        } else if bytes.starts_with(TABLE_BEGINNING) {
            self.columns = Some(tables::fields(&text));
            return;
        } else {
            match serde_json::from_slice::<Message>(bytes) {
                Ok(message) => message,
                Err(error) => return items.reject(place, code::BAD_JSON, cause(&error), None, bytes),
            }
        };
        give(place, channel, message, bytes, items);
    }
}

fn of_record(columns: &[String], record: &[String]) -> Message {
    let field = |name: &str| {
        let index = columns.iter().position(|column| column == name)?;
        record.get(index).cloned()
    };
    Message {
        id: field("ID").map(Value::from).unwrap_or_default(),
        timestamp: field("Timestamp").map(Value::from).unwrap_or_default(),
        contents: field("Contents"),
        attachments: field("Attachments"),
    }
}

fn give(place: &Place, channel: Option<&str>, message: Message, bytes: &[u8], items: &mut Items) {
    let Some(id) = id(&message.id) else {
        return items.reject(place, code::MISSING_FIELD, "the field \"ID\" is missing", None, bytes);
    };
    let id = format!("discord:{id}");
    let Some(channel) = channel else {
        let detail = "the folder does not say of which channel it is; name the unpacked package, or the zip file";
        return items.reject(place, code::MISSING_FIELD, detail, Some(&id), bytes);
    };
    let files = message.attachments.as_deref().unwrap_or_default().split_whitespace();
    let files: Vec<Attachment> =
        files.map(|address| Attachment { name: file_name(address).to_owned(), ..Attachment::default() }).collect();
    let text = with_attachments(message.contents.as_deref().unwrap_or_default(), &files);
    let sent_at = times::from_value(&message.timestamp);
    let thread = format!("discord:{channel}");
    items.message(place, Draft { id, thread, author: None, role: Role::User, sent_at, text });
}
