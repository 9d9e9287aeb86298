//! Markdown: transcripts of conversations, as people and other tools write them.
//!
//! A turn begins with a line that names who speaks: a heading (`## User`) or bold text with a colon (`**Assistant:**
//! …`). It counts only where the name is known: `speakers` lists the names, and the name given with `--author` is one
//! more. So headings within an answer stay part of it; so does everything in a fenced block of code. Fields between two
//! lines of `---` at the top may give the conversation's `id`, `date` and `author`.
//!
//! One file is one thread: `markdown:<id>`, or `markdown:<path>` without an id. Transcripts have no ids for messages,
//! so each has a hash of its thread, its number and its text: appending to a transcript keeps them.

mod speakers;
mod turns;

use super::{
    documents::{Cut, Reader},
    elements::Element,
    format::Format,
    items::{Draft, Items, Place, code},
    message::digest,
    times,
};
pub(super) use turns::is_transcript;
use turns::{Transcript, Turn};

/// Reads transcripts.
pub(super) struct Markdown {
    /// One name more that begins a turn of the user.
    author: Option<String>,
}

impl Markdown {
    /// Reads transcripts in which this person speaks.
    pub(super) fn new(author: Option<&str>) -> Self {
        Self { author: author.map(str::to_owned) }
    }
}

impl Reader for Markdown {
    fn unit(&self) -> &'static str {
        Format::Markdown.piece()
    }

    fn cut(&self, _: &str, _: &[u8]) -> Cut {
        Cut::Whole
    }

    fn piece(&mut self, place: &Place, piece: Element, items: &mut Items) {
        let text = String::from_utf8_lossy(&piece.bytes);
        let Transcript { fields, before, turns } = Transcript::of(&text, self.author.as_deref());
        if turns.is_empty() {
            let detail = "nobody speaks in it: no line is a heading or a bold name of somebody who is known, \
                          such as \"## User\" or \"**Assistant:**\"";
            return items.reject(place, code::MISSING_FIELD, detail, None, &piece.bytes);
        }
        if before > 0 {
            items.leave_out("passages of transcripts before anybody speaks");
        }
        let field = |names: &[&str]| names.iter().find_map(|name| fields.get(*name)).map(String::as_str);
        let name = field(&["id", "conversation_id", "thread"]).unwrap_or(&place.member);
        let thread = format!("markdown:{name}");
        let began = field(&["date", "created", "created_at", "create_time"]).and_then(times::from_text);
        let author = field(&["author", "user"]);
        for (index, turn) in turns.into_iter().enumerate() {
            let Turn { role, name, text } = turn;
            let id = digest([thread.as_bytes(), &(index as u64).to_le_bytes(), text.as_bytes()]);
            let author = name.or_else(|| author.filter(|_| role == super::message::Role::User).map(str::to_owned));
            let sent_at = began.clone();
            items.message(
                place,
                Draft { id: format!("markdown:{id}"), thread: thread.clone(), author, role, sent_at, text },
            );
        }
    }
}

#[cfg(test)]
mod tests;
