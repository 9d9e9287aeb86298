//! Cues: words by which it can be told that a sentence decides something, names a time, or only keeps a talk going.
//!
//! Never: understands anything. Where a language is missing, a sentence is weighed by its numbers, names and what it shares with
//! others alone.

use std::{collections::HashSet, sync::LazyLock};

use super::words::Word;

/// Phrases with which something is decided, or set as a goal; in lower case.
const DECISIONS: [&str; 40] = [
    "we decided",
    "i decided",
    "have decided",
    "has decided",
    "decided to",
    "decided on",
    "decision",
    "let's use",
    "lets use",
    "let's go with",
    "we'll use",
    "we will use",
    "we use",
    "go with",
    "going with",
    "we agreed",
    "agreed to",
    "agreed on",
    "deadline",
    "due by",
    "due on",
    "must be",
    "needs to be",
    "settled on",
    "chose",
    "we picked",
    "plan is",
    "planning to",
    "signed up",
    "prefer",
    "important",
    "remember that",
    "wir haben beschlossen",
    "wir nehmen",
    "nous avons décidé",
    "on a décidé",
    "hemos decidido",
    "decidimos",
    "abbiamo deciso",
    "wir haben entschieden",
];

/// Words that name a time, in lower case.
static TIMES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "ago anniversary april august autumn ayer birthday dec december demain february freitag friday gestern heute \
     hier jahr jan january july june last march mañana monday montag month months morgen next november october \
     saturday semaine semana september spring summer sunday thursday today tomorrow tonight tuesday wednesday week \
     weekend weeks winter woche year years yesterday"
        .split_whitespace()
        .collect()
});

/// Words with which somebody speaks of himself or his own, in lower case.
static OWN: LazyLock<HashSet<&str>> =
    LazyLock::new(|| "i ich je ma me mein meine mi mine mon my nous our us we wir yo".split_whitespace().collect());

/// Words with which somebody speaks to another, in lower case. What one says of the other, the other knows better.
static THEIRS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| "dein deine tu votre you your yours yourself".split_whitespace().collect());

/// Words of greetings, thanks and assent: a sentence of nothing else says nothing.
static POLITE: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "absolutely adios afternoon again agree agreed alright always amazing anything anytime appreciate awesome best \
     bien bonjour buenas bye care catch cheers ciao congrats congratulations cool course danke day dear definitely \
     else evening everyone everything exactly excellent exciting fantastic fine fun glad gracias great guten guys ha \
     haha hallo happy hear hello help hey hi hola hope hug hugs impressive indeed inspiring interesting job keep \
     kind know later lol lots love lovely luck man merci morning much nice night nothing perfect please pleasure \
     proud regards right see sehr something soon sorry sound sounds sure sweet tag take talk thank thanks that's \
     there tho totally true welcome wish wonderful work wow yay yeah yep your yours"
        .split_whitespace()
        .collect()
});

/// Whether a sentence, in lower case, decides something.
pub(super) fn decides(lower: &str) -> bool {
    DECISIONS.iter().any(|phrase| lower.contains(phrase))
}

/// Whether a word, in lower case, names a time.
pub(super) fn is_time(lower: &str) -> bool {
    TIMES.contains(lower)
}

/// Whether a word, in lower case, is the speaker's own.
pub(super) fn is_own(lower: &str) -> bool {
    OWN.contains(lower)
}

/// Whether a word, in lower case, is the listener's.
pub(super) fn is_theirs(lower: &str) -> bool {
    THEIRS.contains(lower)
}

/// Whether a word, in lower case, is one of greetings, thanks and assent.
pub(super) fn is_polite(lower: &str) -> bool {
    POLITE.contains(lower)
}

/// Whether a sentence is a line of code, a log, or data. By its marks and by how such lines begin.
pub(super) fn is_pasted(sentence: &str, words: &[Word<'_>]) -> bool {
    let (mut marks, mut characters) = (0, 0);
    for c in sentence.chars() {
        characters += 1;
        marks += usize::from(matches!(
            c,
            '{' | '}' | ';' | '=' | '<' | '>' | '|' | '\\' | '_' | '/' | '[' | ']' | '$' | '#' | '`' | '^' | '~' | '@'
        ))
    }
    // One link or file name among words is no code.
    let has_prose = words.iter().filter(|word| is_plain(word.text)).count() >= 6;
    let is_log = is_stamped(sentence)
        || [
            "at ",
            "File \"",
            "Traceback",
            "ERROR",
            "WARN",
            "INFO",
            "DEBUG",
            "TRACE",
            "Exception",
            "$ ",
            "> ",
            "+++ ",
            "--- ",
        ]
        .iter()
        .any(|begin| sentence.starts_with(begin) && (*begin != "at " || sentence.contains('(')));
    let ends = sentence.trim_end().ends_with(['{', '}', ';']) && marks > 1;
    is_log || ends || marks * 100 > characters * if has_prose { 15 } else { 6 } && marks > 2
}

/// Whether a line begins with a date or a time of day, as lines of logs do: `2024-05-01T10:00:00`, `[10:00:00]`.
fn is_stamped(sentence: &str) -> bool {
    let line = sentence.strip_prefix('[').unwrap_or(sentence).as_bytes();
    let fits = |form: &[u8]| {
        line.len() >= form.len()
            && form
                .iter()
                .zip(line)
                .all(|(form, byte)| if *form == b'0' { byte.is_ascii_digit() } else { form == byte })
    };
    fits(b"0000-00-00T00:") || fits(b"0000-00-00 00:") || fits(b"0000/00/00 00:") || fits(b"00:00:00")
}

/// A word of letters alone.
fn is_plain(word: &str) -> bool {
    word.chars().all(char::is_alphabetic)
}
