//! Items: what reading an export yields, in order.
//!
//! Owns: the queue between a format and the import, the check that an id stands for one message, and the counts of what
//! was left out.
//! Promises: a message comes out once it is whole; an id that comes again with another content is told and not sent.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    fmt,
};

use super::{
    Options,
    message::{Message, Role, digest},
};

/// For how many messages it is remembered what they said, to notice an id that comes again. Beyond, the server notices:
/// it refuses an id with another content too. About 64 bytes each.
const REMEMBERED: usize = 1_000_000;
/// How much of what was rejected is kept, in bytes.
const KEPT: usize = 2000;
/// How many findings of one conversation are told one by one. A conversation of 64 MiB may have 32 million of them.
const FINDINGS_LIMIT: usize = 1000;

/// One step of reading an export.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli::import) enum Item {
    /// This is to be sent.
    Message(Message),
    /// This could not be read. It counts as rejected.
    Rejected(Finding),
    /// This is worth knowing, and no fault: files that are not conversations, messages that a product hides.
    Note(String),
}

/// Something of the export that did not become a message, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::import) struct Finding {
    /// The stable name of the problem.
    pub(in crate::cli::import) code: &'static str,
    /// Where it is: the file in the export, and the conversation or message in it.
    pub(in crate::cli::import) place: String,
    /// What is wrong.
    pub(in crate::cli::import) detail: String,
    /// The id of what it is about, where that could be read.
    pub(in crate::cli::import) id: Option<String>,
    /// The beginning of it.
    pub(in crate::cli::import) text: String,
    /// Whether the rest of the file could not be read because of it.
    pub(in crate::cli::import) ends_file: bool,
}

/// The names of problems. They are part of the report, so they never change.
pub(super) mod code {
    /// Not JSON, or not of the format's shape.
    pub(crate) const BAD_JSON: &str = "bad_json";
    /// Bytes that belong to no text.
    pub(crate) const NOT_UTF8: &str = "not_utf8";
    /// Larger than is held in memory.
    pub(crate) const TOO_LARGE: &str = "too_large";
    /// The file ends before its content does.
    pub(crate) const CUT_OFF: &str = "cut_off";
    /// What the format requires is not there.
    pub(crate) const MISSING_FIELD: &str = "missing_field";
    /// One id, two contents.
    pub(crate) const ID_CONFLICT: &str = "id_conflict";
    /// The file cannot be read to its end.
    pub(crate) const UNREADABLE: &str = "unreadable";
}

/// Where in an export something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The file's path within the export.
    pub(super) member: String,
    /// What is counted: conversation, message, record.
    pub(super) unit: &'static str,
    /// Which one, from 1.
    pub(super) number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} {}", self.member, self.unit, self.number)
    }
}

/// What a format knows of a message; the rest is the same for the whole import.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) thread: String,
    /// The author's name; `None` for the person whose export it is.
    pub(super) author: Option<String>,
    pub(super) role: Role,
    pub(super) sent_at: Option<String>,
    pub(super) text: String,
}

/// What has been read and not yet taken.
#[derive(Debug)]
pub(super) struct Items {
    space: String,
    author: String,
    queue: VecDeque<Item>,
    /// How many findings were added since the queue was empty.
    findings: usize,
    seen: HashMap<u128, u64>,
    left_out: BTreeMap<String, u64>,
}

impl Items {
    /// Nothing yet.
    pub(super) fn new(options: &Options) -> Self {
        Self {
            space: options.space.clone(),
            author: options.author.clone().unwrap_or_else(|| "user".to_owned()),
            queue: VecDeque::new(),
            findings: 0,
            seen: HashMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// The next item.
    pub(super) fn take(&mut self) -> Option<Item> {
        let item = self.queue.pop_front();
        if item.is_none() {
            self.findings = 0;
        }
        item
    }

    /// A message was read. One without any text is counted and left out.
    pub(super) fn message(&mut self, place: &Place, draft: Draft) {
        let Draft { id, thread, author, role, sent_at, text } = draft;
        if text.trim().is_empty() {
            self.leave_out("messages without content");
            return;
        }
        let author = author.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| self.author.clone());
        let message = Message { id, space: self.space.clone(), thread, author, role, sent_at, text };
        if self.is_taken(&message) {
            let detail = "the export has this id twice, for messages that differ; the first one is imported";
            self.reject(place, code::ID_CONFLICT, detail, Some(&message.id), message.text.as_bytes());
            return;
        }
        self.queue.extend(message.parts().into_iter().map(Item::Message));
    }

    /// Something could not be read; the rest goes on. Beyond the limit for one conversation
    /// findings are only counted.
    pub(super) fn reject(
        &mut self,
        place: &impl fmt::Display,
        code: &'static str,
        detail: impl Into<String>,
        id: Option<&str>,
        bytes: &[u8],
    ) {
        self.findings += 1;
        if self.findings > FINDINGS_LIMIT {
            return self.leave_out(format!("findings beyond the first {FINDINGS_LIMIT} of a conversation"));
        }
        let finding = Finding {
            code,
            place: place.to_string(),
            detail: detail.into(),
            id: id.map(str::to_owned),
            text: String::from_utf8_lossy(&bytes[..bytes.len().min(KEPT)]).into_owned(),
            ends_file: false,
        };
        self.queue.push_back(Item::Rejected(finding));
    }

    /// A file cannot be read further.
    pub(super) fn give_up(&mut self, place: String, code: &'static str, detail: String) {
        let finding = Finding { code, place, detail, id: None, text: String::new(), ends_file: true };
        self.queue.push_back(Item::Rejected(finding));
    }

    /// Something worth knowing.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.queue.push_back(Item::Note(text.into()));
    }

    /// One more of what is left out, to be told as a number at the end.
    pub(super) fn leave_out(&mut self, what: impl Into<String>) {
        *self.left_out.entry(what.into()).or_default() += 1;
    }

    /// The export has been read: tells what was left out.
    pub(super) fn finish(&mut self) {
        for (what, count) in std::mem::take(&mut self.left_out) {
            self.note(format!("left out: {count} {what}"));
        }
    }

    /// Whether the id stands for another message already.
    fn is_taken(&mut self, message: &Message) -> bool {
        let content = half(&digest([
            message.thread.as_bytes(),
            message.author.as_bytes(),
            message.text.as_bytes(),
            message.sent_at.as_deref().unwrap_or_default().as_bytes(),
        ]));
        let is_full = self.seen.len() >= REMEMBERED;
        let id = u128::from_str_radix(&digest([message.id.as_bytes()]), 16).unwrap_or_default();
        match self.seen.entry(id) {
            Entry::Occupied(known) => *known.get() != content,
            Entry::Vacant(_) if is_full => false,
            Entry::Vacant(free) => {
                free.insert(content);
                false
            }
        }
    }
}

/// Why something is no JSON, or not of the shape that was expected. The parser counts from the beginning of the piece
/// that it was given, so that is said.
pub(super) fn cause(error: &serde_json::Error) -> String {
    let told = error.to_string();
    match told.rsplit_once(" at line ") {
        Some((what, place)) => format!("{what} (at line {place} of it)"),
        None => told,
    }
}

/// The first half of a digest as a number.
fn half(digest: &str) -> u64 {
    u64::from_str_radix(&digest[..16], 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Items {
        Items::new(&Options { author: Some("Ada".into()), ..Options::default() })
    }

    fn place() -> Place {
        Place { member: "conversations.json".into(), unit: "conversation", number: 3 }
    }

    fn draft(id: &str, text: &str) -> Draft {
        Draft { id: id.into(), thread: "t".into(), author: None, role: Role::User, sent_at: None, text: text.into() }
    }

    #[test]
    fn an_id_with_two_contents_is_told_and_the_first_is_kept() {
        let mut items = items();
        for text in ["one", "one", "two"] {
            items.message(&place(), draft("a", text));
        }
        let (Some(Item::Message(first)), Some(Item::Message(again))) = (items.take(), items.take()) else {
            panic!("the same message twice is left to the log, which knows it")
        };
        assert_eq!((first.author.as_str(), first == again), ("Ada", true));
        let Some(Item::Rejected(finding)) = items.take() else { panic!("the conflict is told") };
        assert_eq!((finding.code, finding.text.as_str(), finding.id.as_deref()), ("id_conflict", "two", Some("a")));
        assert_eq!(finding.place, "conversations.json, conversation 3");
    }

    #[test]
    fn findings_without_end_are_told_in_part_and_counted() {
        let mut items = items();
        for _ in 0..2 {
            for _ in 0..FINDINGS_LIMIT + 5 {
                items.reject(&place(), code::BAD_JSON, "bad", None, b"1");
            }
            items.message(&place(), draft("a", "good"));
            let taken: Vec<Item> = std::iter::from_fn(|| items.take()).collect();
            assert_eq!(taken.len(), FINDINGS_LIMIT + 1, "the next conversation begins anew");
            assert!(matches!(taken.last(), Some(Item::Message(_))), "what follows comes out");
        }
        items.finish();
        let told = Item::Note("left out: 10 findings beyond the first 1000 of a conversation".into());
        assert_eq!(items.take(), Some(told));
    }

    #[test]
    fn what_is_left_out_is_told_as_a_number() {
        let mut items = items();
        items.message(&place(), draft("a", " \n"));
        items.message(&place(), draft("b", ""));
        items.leave_out("hidden messages");
        items.finish();
        let notes: Vec<_> = std::iter::from_fn(|| items.take()).collect();
        let note = |text: &str| Item::Note(text.into());
        assert_eq!(notes, [note("left out: 1 hidden messages"), note("left out: 2 messages without content")]);
    }
}
