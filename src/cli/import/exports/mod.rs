//! Exports: what other chat products give their users, as messages in the import's own form.
//!
//! An export is opened (`container`, `archive`), its format is recognized by what its files hold (`detection`), its
//! documents are cut into conversations, days or messages (`documents`, `elements`), and a format's reader turns each
//! of these into messages (`chatgpt`, `claude`, `slack`, `discord`, `markdown`, `mapped`). What comes out is pulled,
//! one item at a time.
//!
//! Promises: of an export there is at most one conversation in memory, whatever its size; a conversation that is
//! malformed is told and the others come out; a message comes out whole or not at all; the same export yields the same
//! messages with the same ids every time.
//! Never: speaks to the server, asks the clock, or writes a file.

mod archive;
mod branches;
mod chatgpt;
mod claude;
mod container;
mod detection;
mod discord;
mod documents;
mod elements;
mod encoding;
mod format;
mod items;
mod mapped;
mod markdown;
mod message;
mod slack;
mod tables;
mod times;

use std::{fmt, io, path::Path, rc::Rc};

use container::Container;
use documents::{Documents, Reader};
pub(in crate::cli::import) use format::Format;
use items::Items;
pub(in crate::cli::import) use items::{Finding, Item};
pub(in crate::cli::import) use mapped::{Mapping, Pair};

/// How many findings may stand before the first message of an export that is opened.
const LOOKED_AT: usize = 100;

/// What an import may say about an export.
#[derive(Debug, Clone)]
pub(in crate::cli::import) struct Options {
    /// The format, where it is not to be recognized.
    pub(in crate::cli::import) format: Option<Format>,
    /// The space that is filled.
    pub(in crate::cli::import) space: String,
    /// The name of the person whose export it is, for formats that do not say it; "user" without one.
    pub(in crate::cli::import) author: Option<String>,
    /// Where plain JSON has its fields.
    pub(in crate::cli::import) mapping: Mapping,
}

impl Default for Options {
    fn default() -> Self {
        Self { format: None, space: Self::space(), author: None, mapping: Mapping::default() }
    }
}

impl Options {
    /// The space that is filled unless another one is named: that of messages which name none.
    pub(in crate::cli::import) fn space() -> String {
        "main".to_owned()
    }
}

/// Why an export is not read at all. Nothing of it has come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli::import) struct Refusal {
    /// What is wrong with it.
    pub(in crate::cli::import) what: String,
    /// What to do about it.
    pub(in crate::cli::import) help: String,
}

impl Refusal {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::new(format!("cannot open {}: {error}", path.display()), "check the path, and who may read it")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)
    }
}

/// What was found at a path.
pub(in crate::cli::import) enum Opened {
    /// A file of JSON lines, which the import reads itself.
    Lines,
    /// An export.
    Export(Box<Export>),
}

/// Opens what is at a path: a file, a zip file, or a folder.
///
/// # Errors
/// When it cannot be read, is damaged from the start, or nothing in it is recognized.
pub(in crate::cli::import) fn open(path: &Path, options: &Options) -> Result<Opened, Refusal> {
    if options.format == Some(Format::Lines) {
        return Ok(Opened::Lines);
    }
    if container::is_stream(path) && options.format.is_none() {
        return Ok(Opened::Lines);
    }
    let container = Container::open(path)?;
    let chosen = detection::choose(path, &container, options.format)?;
    if chosen.format == Format::Lines {
        return Ok(Opened::Lines);
    }
    Export::begin(container, chosen, options).map(|export| Opened::Export(Box::new(export)))
}

/// An export that is being read.
pub(in crate::cli::import) struct Export {
    format: Format,
    container: Rc<Container>,
    total: u64,
    documents: Documents,
    reader: Box<dyn Reader>,
    items: Items,
    /// What was read to see whether anything can be.
    looked_at: std::collections::VecDeque<Item>,
    is_finished: bool,
}

impl Export {
    fn begin(container: Container, chosen: detection::Chosen, options: &Options) -> Result<Self, Refusal> {
        let container = Rc::new(container);
        let detection::Chosen { format, members, notes } = chosen;
        let mut items = Items::new(options);
        let reader = reader(format, &container, options, &mut items);
        let total = members.iter().map(|index| container.members()[*index].size).sum();
        for note in notes {
            items.note(note);
        }
        let documents = Documents::new(container.clone(), members);
        let looked_at = std::collections::VecDeque::new();
        let mut export = Self { format, container, total, documents, reader, items, looked_at, is_finished: false };
        export.look()?;
        Ok(export)
    }

    /// Reads up to the first message, so that an export that is broken from the start is refused whole.
    fn look(&mut self) -> Result<(), Refusal> {
        while self.looked_at.len() < LOOKED_AT {
            let Some(item) = self.read() else { break };
            let is_message = matches!(item, Item::Message(_));
            self.looked_at.push_back(item);
            if is_message {
                return Ok(());
            }
        }
        let broken = self.looked_at.iter().find_map(|item| match item {
            Item::Rejected(finding) if finding.ends_file => Some(finding),
            _ => None,
        });
        match broken {
            Some(finding) if self.is_finished => {
                let what = format!("nothing can be read of it; {}: {}", finding.place, finding.detail);
                Err(Refusal::new(what, "download the export again; \"meshlog import --help\" lists what is read"))
            }
            _ => Ok(()),
        }
    }

    /// The format it has.
    pub(in crate::cli::import) fn format(&self) -> Format {
        self.format
    }

    /// How many bytes there are to read.
    pub(in crate::cli::import) fn total_bytes(&self) -> u64 {
        self.total
    }

    /// How many of them have been read.
    pub(in crate::cli::import) fn bytes_read(&self) -> u64 {
        self.container.bytes_read().min(self.total)
    }

    fn read(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.items.take() {
                return Some(item);
            }
            if self.is_finished {
                return None;
            }
            if !self.documents.advance(&mut *self.reader, &mut self.items) {
                self.items.finish();
                self.is_finished = true;
            }
        }
    }
}

impl Iterator for Export {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.looked_at.pop_front().or_else(|| self.read())
    }
}

fn reader(format: Format, container: &Container, options: &Options, items: &mut Items) -> Box<dyn Reader> {
    match format {
        Format::ChatGpt => Box::new(chatgpt::ChatGpt::default()),
        Format::Claude => Box::new(claude::Claude::default()),
        Format::Slack => Box::new(slack::Slack::new(container, items)),
        Format::Discord => Box::new(discord::Discord::default()),
        Format::Markdown => Box::new(markdown::Markdown::new(options.author.as_deref())),
        Format::Json | Format::Lines => Box::new(mapped::Mapped::new(options.mapping.clone())),
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
