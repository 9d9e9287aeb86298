//! Gazetteer: names known without looking at what stands around them (`gazetteer.txt`).
//!
//! Owns: reading the list, finding the longest known name at a token, and which names are of one thing.
//! Never: decides whether a common word ("Will", "Nice") is the name here; it says that it could be another.

use std::{collections::HashMap, sync::LazyLock};

use super::{
    EntityKind,
    token::{Token, tokens_in},
};

/// A known name.
#[derive(Debug)]
pub(super) struct Entry {
    /// The spelled tokens, and whether each is glued to the one before.
    tokens: Vec<(&'static str, bool)>,
    pub(super) kind: EntityKind,
    /// Is also a common word.
    pub(super) ambiguous: bool,
    /// Is told by small letters too.
    small: bool,
    /// Is often followed by a whole number.
    pub(super) numbered: bool,
}

impl Entry {
    /// How many tokens it has.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }
}

#[derive(Default)]
struct Gazetteer {
    /// By the first token in small letters; the longest first, those of one length as listed.
    entries: HashMap<String, Vec<Entry>>,
    /// First names in small letters, and whether they are common words.
    first_names: HashMap<String, bool>,
    /// The other names of things, in small letters, with the chief one.
    aliases: HashMap<String, &'static str>,
}

static GAZETTEER: LazyLock<Gazetteer> = LazyLock::new(|| read(include_str!("gazetteer.txt")));

fn read(list: &'static str) -> Gazetteer {
    let mut gazetteer = Gazetteer::default();
    let mut section = ("", "");
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = head.split_once(' ').unwrap_or((head, ""));
            continue;
        }
        for names in line.split(", ").filter(|names| !names.is_empty()) {
            let chief = names.split('=').next().unwrap_or(names);
            for name in names.split('=') {
                gazetteer.add(section, name);
                if name != chief {
                    gazetteer.aliases.insert(name.to_lowercase(), chief);
                }
            }
        }
    }
    gazetteer.entries.values_mut().for_each(|entries| entries.sort_by_key(|entry| std::cmp::Reverse(entry.len())));
    gazetteer
}

impl Gazetteer {
    fn add(&mut self, (kind, flags): (&str, &str), name: &'static str) {
        let ambiguous = flags.contains('~');
        let kind = match kind {
            "person" => {
                self.first_names.entry(name.to_lowercase()).or_insert(ambiguous);
                return;
            }
            "organisation" => EntityKind::Organisation,
            "place" => EntityKind::Place,
            "topic" => EntityKind::Topic,
            _ => EntityKind::Product,
        };
        // The closing full stop of "U.S." is the sentence's as often as the name's.
        let tokens: Vec<(&str, bool)> =
            tokens_in(name).iter().map(|token| (&name[token.start..token.end], token.glued)).collect();
        let Some((first, _)) = tokens.first() else { return };
        let entries = self.entries.entry(first.to_lowercase()).or_default();
        if flags.contains('v') {
            entries.iter_mut().filter(|entry| entry.tokens == tokens).for_each(|entry| entry.numbered = true);
            return;
        }
        entries.push(Entry { tokens, kind, ambiguous, small: flags.contains('_'), numbered: false });
    }
}

/// Whether a word is a first name, and if so, whether it is a common word as well.
pub(super) fn first_name(lower: &str) -> Option<bool> {
    GAZETTEER.first_names.get(lower).copied()
}

/// The chief name of a known thing, from another of its names in small letters.
pub(in crate::knowledge) fn chief_name(lower: &str) -> Option<&'static str> {
    GAZETTEER.aliases.get(lower).copied()
}

/// The longest known name that begins with the first of these tokens. With `small`, a text without capitals is read,
/// where names that are no common words count in small letters too.
pub(super) fn name_at(text: &str, tokens: &[Token], lower: &str, small: bool) -> Option<&'static Entry> {
    GAZETTEER.entries.get(lower)?.iter().find(|entry| matches(entry, text, tokens, small))
}

fn matches(entry: &Entry, text: &str, tokens: &[Token], small: bool) -> bool {
    if tokens.len() < entry.len() {
        return false;
    }
    let loose = entry.small || small && !entry.ambiguous && entry.kind == EntityKind::Place;
    entry.tokens.iter().zip(tokens).enumerate().all(|(at, ((spelled, glued), token))| {
        let here = &text[token.start..token.end];
        let same = here == *spelled || loose && here.eq_ignore_ascii_case(spelled);
        same && (at == 0 || *glued == token.glued)
    })
}
