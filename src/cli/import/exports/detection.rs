//! Detection: which format an export has, and which of its files are conversations.
//!
//! A file is recognized by what it holds: the first kilobytes, their brackets and the names of their fields. Names of
//! files only say where it is worth looking, in exports with a file for every channel and day.
//! Promises: what is not recognized is refused with what was looked at; what is passed over is told.
//! Never: reads a file to its end.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::Path,
};

use super::{Refusal, container::Container, container::Member, discord, encoding, format::Format, markdown, slack};

/// How much of a file is looked at, in bytes.
const LOOKED_AT: u64 = 256 * 1024;
/// How many files are looked at where their names do not say more.
const FILES_LOOKED_AT: usize = 20_000;
/// How many files that are passed over are told by name.
const NAMED: usize = 5;
/// How deeply the names of fields are looked at: those of a conversation in a list in an object.
const DEPTH: usize = 3;

/// What is to be imported.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) format: Format,
    /// The numbers of the files to read, in order.
    pub(super) members: Vec<usize>,
    /// What is passed over.
    pub(super) notes: Vec<String>,
}

/// Chooses what to read of an export, as the format asked for, or the one that is recognized.
///
/// # Errors
/// When nothing is recognized, or cannot be read.
pub(super) fn choose(path: &Path, container: &Container, asked: Option<Format>) -> Result<Chosen, Refusal> {
    if container.is_file() {
        return choose_file(path, container, asked);
    }
    let members = container.members();
    for (format, pattern) in [
        (Format::Slack, slack::is_day as fn(&Member) -> bool),
        (Format::Discord, discord::is_package_messages as fn(&Member) -> bool),
    ] {
        let found: Vec<usize> = (0..members.len()).filter(|index| pattern(&members[*index])).collect();
        let is_recognized = || found.iter().take(8).any(|index| look(container, *index) == Some(format));
        if !found.is_empty() && (asked == Some(format) || (asked.is_none() && is_recognized())) {
            return Ok(chosen(format, found, &[], members));
        }
    }
    let mut unreadable = Vec::new();
    let looked_at: Vec<(usize, Option<Format>)> = (0..members.len())
        .filter(|index| matches!(members[*index].extension().as_str(), "json" | "jsonl" | "md" | "markdown" | "txt"))
        .take(FILES_LOOKED_AT)
        .map(|index| match beginning(container, index) {
            Ok(beginning) => (index, recognize(&beginning)),
            Err(_) => {
                unreadable.push(index);
                (index, None)
            }
        })
        .collect();
    let recognized = Format::ALL.into_iter().filter(|format| asked.is_none_or(|asked| asked == *format));
    for format in recognized.filter(|format| *format != Format::Lines) {
        let mut found: Vec<usize> =
            looked_at.iter().filter(|(_, found)| *found == Some(format)).map(|(index, _)| *index).collect();
        if !found.is_empty() {
            // They are read with the others, which tells what is wrong with them.
            found.extend(&unreadable);
            found.sort_unstable();
            return Ok(chosen(format, found, &looked_at, members));
        }
    }
    if let Some(format) = asked {
        let found: Vec<usize> = (0..members.len()).filter(|index| may_be(format, &members[*index])).collect();
        if !found.is_empty() {
            return Ok(chosen(format, found, &looked_at, members));
        }
    }
    if let Some((index, error)) =
        unreadable.iter().find_map(|index| Some((*index, beginning(container, *index).err()?)))
    {
        let what = format!("nothing can be read of {}; {}: {error}", path.display(), members[index].name);
        return Err(Refusal::new(what, "download the export again, or unpack it and name the folder"));
    }
    Err(unrecognized(path, members, asked))
}

fn choose_file(path: &Path, container: &Container, asked: Option<Format>) -> Result<Chosen, Refusal> {
    let beginning = beginning(container, 0).map_err(|error| Refusal::unreadable(path, &error))?;
    let format = match (asked, recognize(&beginning)) {
        (Some(asked), _) => asked,
        (None, Some(format)) => format,
        (None, None) if beginning.starts_with(b"\x1f\x8b") => {
            let what = format!("{} is compressed with gzip", path.display());
            return Err(Refusal::new(what, "unpack it first; JSON lines can be piped: zcat FILE | meshlog import -"));
        }
        (None, None) if first(&beginning) == Some(b'[') => {
            let what = format!("{} is a JSON array, and no export that is recognized", path.display());
            return Err(Refusal::new(
                what,
                "name its fields with --format json and --map; see \"meshlog import --help\"",
            ));
        }
        // Whatever it is, its lines are judged one by one.
        (None, None) => Format::Lines,
    };
    Ok(Chosen { format, members: vec![0], notes: Vec::new() })
}

/// Whether a file that is not recognized is read as this format if that was asked for: fields and speakers that only
/// `--map` and `--author` name are not seen from outside.
fn may_be(format: Format, member: &Member) -> bool {
    let extensions: &[&str] = match format {
        Format::Json => &["json", "jsonl"],
        Format::Markdown => &["md", "markdown"],
        _ => &[],
    };
    extensions.contains(&member.extension().as_str())
}

/// What is read of an export, and notes on everything else in it. `looked_at` has the formats of its files.
fn chosen(format: Format, found: Vec<usize>, looked_at: &[(usize, Option<Format>)], members: &[Member]) -> Chosen {
    let mut is_told: BTreeSet<usize> = found.iter().copied().collect();
    let mut notes = Vec::new();
    for other in Format::ALL.into_iter().filter(|other| *other != format) {
        let of_other = looked_at.iter().filter(|(_, found_as)| *found_as == Some(other)).map(|(index, _)| *index);
        let of_other: Vec<usize> = of_other.filter(|index| !is_told.contains(index)).collect();
        if !of_other.is_empty() {
            let count = of_other.len();
            notes.push(format!(
                "{count} files of the format {other}, passed over; import them alone, or with --format {other}"
            ));
        }
        is_told.extend(of_other);
    }
    let others: Vec<&Member> =
        members.iter().enumerate().filter(|(index, _)| !is_told.contains(index)).map(|(_, member)| member).collect();
    let (texts, files): (Vec<&Member>, Vec<&Member>) =
        others.into_iter().filter(|member| !(slack::is_known(member) && format == Format::Slack)).partition(|member| {
            matches!(member.extension().as_str(), "json" | "jsonl" | "html" | "csv" | "md" | "txt" | "zip")
        });
    if !texts.is_empty() {
        let names: Vec<&str> = texts.iter().take(NAMED).map(|member| member.name.as_str()).collect();
        let more = texts.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!("not conversations, passed over: {}{more}", names.join(", ")));
    }
    if !files.is_empty() {
        notes.push(format!("{} attached files are not imported; the messages that have them name them", files.len()));
    }
    Chosen { format, members: found, notes }
}

fn unrecognized(path: &Path, members: &[Member], asked: Option<Format>) -> Refusal {
    let asked = asked.map(|format| format!(" of the format {format}")).unwrap_or_default();
    let what = format!("nothing{asked} is recognized among the {} files of {}", members.len(), path.display());
    if let Some(inner) = members.iter().find(|member| member.extension() == "zip") {
        let what = format!("{what}; {} is a zip file within it, which is not opened", inner.name);
        return Refusal::new(what, "unpack it, and name the zip file that lies in it");
    }
    Refusal::new(what, "\"meshlog import --help\" lists what is read")
}

/// The format of one file of an export; `None` also where it cannot be read.
fn look(container: &Container, index: usize) -> Option<Format> {
    recognize(&beginning(container, index).ok()?)
}

fn beginning(container: &Container, index: usize) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    match encoding::as_utf8(container.look(index)?)?.take(LOOKED_AT).read_to_end(&mut beginning) {
        // What is damaged further on is recognized all the same, so that it is read, and told.
        Err(error) if beginning.is_empty() => Err(error),
        _ => Ok(beginning),
    }
}

fn first(beginning: &[u8]) -> Option<u8> {
    beginning.trim_ascii_start().first().copied()
}

/// The format of a document by its beginning.
fn recognize(beginning: &[u8]) -> Option<Format> {
    let outline = match first(beginning)? {
        b'[' | b'{' => Outline::of(beginning),
        b'I' if beginning.starts_with(discord::TABLE_BEGINNING) => return Some(Format::Discord),
        _ => {
            let text = String::from_utf8_lossy(beginning);
            return markdown::is_transcript(&text).then_some(Format::Markdown);
        }
    };
    outline.format()
}

/// The names of fields at the beginning of a JSON document, with how many brackets are around them.
#[derive(Debug, Default)]
struct Outline {
    is_array: bool,
    names: BTreeSet<(usize, String)>,
}

impl Outline {
    fn of(beginning: &[u8]) -> Self {
        let mut outline = Self { is_array: first(beginning) == Some(b'['), names: BTreeSet::new() };
        let mut depth: usize = 0;
        let mut place = 0;
        while place < beginning.len() {
            match beginning[place] {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                b'"' => {
                    let end = end_of_string(beginning, place + 1);
                    let is_name = beginning[end + 1..].trim_ascii_start().first() == Some(&b':');
                    if is_name && depth <= DEPTH && end - place < 64 {
                        let name = String::from_utf8_lossy(&beginning[place + 1..end]).into_owned();
                        outline.names.insert((depth, name));
                    }
                    place = end;
                }
                _ => {}
            }
            place += 1;
        }
        outline
    }

    /// Whether the conversations or messages of the document have this field.
    fn has(&self, name: &str) -> bool {
        let depth = if self.is_array { 2 } else { 1 };
        self.names.contains(&(depth, name.to_owned()))
    }

    /// The same for conversations that stand in a list of an object.
    fn has_within(&self, name: &str) -> bool {
        self.has(name) || (!self.is_array && self.names.contains(&(3, name.to_owned())))
    }

    fn has_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    fn format(&self) -> Option<Format> {
        if self.has_within("mapping") && (self.has_within("title") || self.has_within("current_node")) {
            return Some(Format::ChatGpt);
        }
        if self.has_within("chat_messages") {
            return Some(Format::Claude);
        }
        if !self.is_array && self.has("channel") && self.has("messages") {
            return Some(Format::Discord);
        }
        if self.is_array && self.has("ID") && self.has("Timestamp") && self.has("Contents") {
            return Some(Format::Discord);
        }
        if self.is_array && self.has("ts") && self.has_one_of(&["type", "user", "text"]) {
            return Some(Format::Slack);
        }
        if !self.is_array && self.has("thread") && self.has("text") {
            return Some(Format::Lines);
        }
        let has_lists = self.has_one_of(&["messages", "conversations"]);
        let has_messages =
            self.has_one_of(&["role", "from", "sender"]) && self.has_one_of(&["content", "value", "text", "message"]);
        (has_lists || (self.is_array && has_messages)).then_some(Format::Json)
    }
}

/// The place of the quote that ends a string, or the end.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut place = start;
    while place < bytes.len() && bytes[place] != b'"' {
        place += if bytes[place] == b'\\' { 2 } else { 1 };
    }
    place.min(bytes.len() - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(document: &str, expected: Option<Format>) {
        assert_eq!(recognize(document.as_bytes()), expected, "{document}");
    }

    #[test]
    fn a_document_is_recognized_by_the_names_of_its_fields() {
        check(r#"[{"title":"a","create_time":1.5,"mapping":{"x":{"id""#, Some(Format::ChatGpt));
        check(r#"{"conversations":[{"title":"a","mapping":{"#, Some(Format::ChatGpt));
        check(r#"[{"uuid":"a","name":"mapping","chat_messages":[{"#, Some(Format::Claude));
        check(r#"{"guild":{"id":"1"},"channel":{"id":"2"},"messages":["#, Some(Format::Discord));
        check(r#"[{"ID": 1, "Timestamp": "2024-01-01 10:00:00", "Contents": "a"}]"#, Some(Format::Discord));
        check("ID,Timestamp,Contents,Attachments\n1,", Some(Format::Discord));
        check(r#"[{"type":"message","user":"U1","ts":"1.2"}]"#, Some(Format::Slack));
        check(r#"[{"role":"user","content":"a"}]"#, Some(Format::Json));
        check(r#"{"messages":[{"role":"user"}]}"#, Some(Format::Json));
        check(r#"[{"id":1,"conversations":[{"from":"human","value":"a"}]}]"#, Some(Format::Json));
        check("## User\n\nhello\n\n## Assistant\n\nhello", Some(Format::Markdown));
        check(r#"{"id":"a","thread":"t","author":"Ada","text":"hello"}"#, Some(Format::Lines));
    }

    #[test]
    fn words_in_a_text_do_not_decide() {
        check(r#"[{"note":"\"mapping\": {\"title\": 1}"}]"#, None);
        check(r#"[{"id":"chat_messages"}]"#, None);
        for nothing in ["", " \n", "[", "{", "[]", "hello", "[\"", "{\"a\":\"\\"] {
            check(nothing, None);
        }
    }

    proptest! {
        #[test]
        fn any_beginning_is_looked_at_without_a_panic(text in "[\\[{\"a:,\\\\#* \n]{0,60}") {
            recognize(text.as_bytes());
        }
    }
}
