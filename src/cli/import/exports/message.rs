//! Message: what an export says, in the import's own form.
//!
//! Owns: the fields of a message, the line that names an attachment, and the parts of a text that is too long for one
//! message.
//! Promises: what leaves here is within the server's limits for ids and lengths, and the same input gives the same ids.

use serde::Serialize;

/// The longest text of one message, in bytes; a longer one goes on in a further message. The server takes 1 MiB, and
/// its limit for a line holds also where every second byte has to be escaped.
pub(super) const TEXT_LIMIT: usize = 512 * 1024;
/// The longest id or name, in bytes. The server's own limit is 512; the number of a part has to fit behind an id.
const NAME_LIMIT: usize = 480;
/// How many hexadecimal digits of a hash stand for what was cut off a name.
const DIGITS: usize = 32;

/// What an author is to the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli::import) enum Role {
    /// Asks; a person.
    User,
    /// Answers; a model.
    Assistant,
    /// Instructs, or tells what happened to the thread.
    System,
    /// Reports what a tool returned; also a bot that posts into a channel.
    Tool,
}

/// A message as the import sends it: one JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli::import) struct Message {
    /// Unique within the space, and the same each time the export is read.
    pub(in crate::cli::import) id: String,
    /// The space that the import was asked to fill.
    pub(in crate::cli::import) space: String,
    /// The conversation, its branch, or the channel.
    pub(in crate::cli::import) thread: String,
    /// Who said it.
    pub(in crate::cli::import) author: String,
    /// What the author is to the thread.
    pub(in crate::cli::import) role: Role,
    /// When, in RFC 3339; absent where the export does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli::import) sent_at: Option<String>,
    /// What was said, with the names of what was attached.
    pub(in crate::cli::import) text: String,
}

impl Message {
    /// The message within the server's limits: its names bounded, its text in as many parts as it needs. The first part
    /// has the id, the next ones the id with `#2`, `#3` and so on.
    pub(super) fn parts(mut self) -> Vec<Self> {
        for name in [&mut self.id, &mut self.space, &mut self.thread, &mut self.author] {
            bound(name);
        }
        let mut texts = cut(&self.text);
        if texts.len() == 1 {
            return vec![self];
        }
        texts.retain(|text| !text.trim().is_empty());
        let part = |(index, text): (usize, &str)| {
            let id = if index == 0 { self.id.clone() } else { format!("{}#{}", self.id, index + 1) };
            Self { id, text: text.to_owned(), ..self.clone() }
        };
        texts.into_iter().enumerate().map(part).collect()
    }
}

/// Shortens a name that is too long, and keeps it different from others with the same beginning.
fn bound(name: &mut String) {
    if name.len() <= NAME_LIMIT {
        return;
    }
    let digits = digest([name.as_bytes()]);
    name.truncate(boundary(name, NAME_LIMIT - DIGITS - 1));
    name.push('~');
    name.push_str(&digits);
}

/// A text in pieces of at most the limit, cut after a line where there is one in the last quarter.
fn cut(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > TEXT_LIMIT {
        let end = boundary(rest, TEXT_LIMIT);
        let end = rest[..end].rfind('\n').map(|newline| newline + 1).filter(|line| *line > end / 4 * 3).unwrap_or(end);
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces.push(rest);
    pieces
}

/// The last place up to the limit at which a character begins.
fn boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0)
}

/// A hash of fields, each with its length before it so that no two contents run together; for ids that an export lacks.
pub(super) fn digest<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field);
    }
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

/// Something that was attached to a message. It is named in the text; its content is not imported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attachment {
    /// The name of the file; where it has none, the id by which the export's folder has it.
    pub(super) name: String,
    /// Its media type, if it is known.
    pub(super) kind: Option<String>,
    /// Its size in bytes, if it is known.
    pub(super) size: Option<u64>,
}

impl Attachment {
    /// The line that names it, such as `[attachment: report.pdf (application/pdf, 12 kB)]`.
    pub(super) fn line(&self) -> String {
        let name = if self.name.trim().is_empty() { "without a name" } else { &self.name };
        let kind = self.kind.as_deref().filter(|kind| !kind.trim().is_empty()).map(one_line);
        let facts: Vec<String> = kind.into_iter().chain(self.size.map(readable)).collect();
        let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
        format!("[attachment: {}{facts}]", one_line(name))
    }
}

/// A text and, below it, the lines of its attachments.
pub(super) fn with_attachments(text: &str, attachments: &[Attachment]) -> String {
    let text = text.trim();
    let mut lines: Vec<String> = if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    lines.extend(attachments.iter().map(Attachment::line));
    lines.join("\n")
}

/// The last segment of an address or path, without what follows a question mark.
pub(super) fn file_name(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or(path)
}

/// A size as people read it; 1 kB is 1,000 bytes.
pub(super) fn readable(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    let mut size = bytes;
    let mut unit = 0;
    while size >= 10_000 && unit + 1 < UNITS.len() {
        size = size.div_ceil(1000);
        unit += 1;
    }
    format!("{size} {}", UNITS[unit])
}

fn one_line(text: &str) -> String {
    text.trim().replace(|character: char| character.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message {
            id: "i".into(),
            space: "main".into(),
            thread: "t".into(),
            author: "Ada".into(),
            role: Role::User,
            sent_at: None,
            text: text.into(),
        }
    }

    #[test]
    fn a_message_is_the_line_that_the_import_reads() {
        let line = serde_json::to_string(&message("hello")).expect("a message is JSON");
        let expected = r#"{"id":"i","space":"main","thread":"t","author":"Ada","role":"user","text":"hello"}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn an_attachment_is_named_with_what_is_known_of_it() {
        let mut attachment = Attachment { name: "report.pdf".into(), ..Attachment::default() };
        assert_eq!(attachment.line(), "[attachment: report.pdf]");
        attachment.kind = Some("application/pdf".into());
        attachment.size = Some(12_000);
        assert_eq!(attachment.line(), "[attachment: report.pdf (application/pdf, 12 kB)]");
        attachment.name = "two\nlines".into();
        assert_eq!(with_attachments(" see ", &[attachment]), "see\n[attachment: two lines (application/pdf, 12 kB)]");
        assert_eq!(Attachment::default().line(), "[attachment: without a name]");
    }

    #[test]
    fn a_long_text_goes_on_in_further_messages_and_nothing_is_lost() {
        let text = format!("{}\n{}", "ä".repeat(TEXT_LIMIT / 2 - 20), "b".repeat(TEXT_LIMIT + 1));
        let parts = message(&text).parts();
        let ids: Vec<&str> = parts.iter().map(|part| part.id.as_str()).collect();
        assert_eq!(ids, ["i", "i#2", "i#3"]);
        assert!(parts.iter().all(|part| part.text.len() <= TEXT_LIMIT));
        assert_eq!(parts.iter().map(|part| part.text.as_str()).collect::<String>(), text);
    }

    #[test]
    fn a_long_name_is_shortened_and_stays_its_own() {
        let mut one = message("x");
        one.thread = "é".repeat(400);
        let mut other = one.clone();
        other.thread.push('2');
        let (one, other) = (one.parts().remove(0), other.parts().remove(0));
        assert!(one.thread.len() <= NAME_LIMIT && other.thread.len() <= NAME_LIMIT);
        assert_ne!(one.thread, other.thread);
    }

    #[test]
    fn the_name_of_a_file_is_taken_from_its_address() {
        assert_eq!(file_name("https://cdn.example/attachments/1/2/plan.png?ex=1&is=2"), "plan.png");
        assert_eq!(file_name("plan.png"), "plan.png");
        assert_eq!(file_name(""), "");
    }
}
