//! Turns: a transcript cut where somebody else begins to speak.

use std::collections::BTreeMap;

use super::speakers::{Speaker, speaker};
use crate::cli::import::exports::message::Role;

/// A transcript.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The fields at its top, by their names in lower case.
    pub(super) fields: BTreeMap<String, String>,
    /// How many lines of text, other than a title, stand before anybody speaks.
    pub(super) before: usize,
    /// What is said, in order.
    pub(super) turns: Vec<Turn>,
}

/// What somebody says until somebody else speaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) name: Option<String>,
    pub(super) text: String,
}

/// Whether a text is a transcript: somebody asks and somebody answers.
pub(in crate::cli::import::exports) fn is_transcript(text: &str) -> bool {
    let turns = Transcript::of(text, None).turns;
    let has = |role: Role| turns.iter().any(|turn| turn.role == role);
    has(Role::User) && has(Role::Assistant)
}

impl Transcript {
    /// Cuts a text; `author` is one name more that begins a turn.
    pub(super) fn of(text: &str, author: Option<&str>) -> Self {
        let mut transcript = Self::default();
        let text = transcript.take_fields(text);
        let author = author.or(transcript.fields.get("author").map(String::as_str)).map(str::to_owned);
        let mut fence: Option<String> = None;
        for line in text.lines() {
            let marker = fence_of(line);
            match (&fence, marker) {
                (None, Some(marker)) => fence = Some(marker.to_owned()),
                (Some(open), Some(marker)) if marker.starts_with(open.as_str()) && line.trim() == marker => {
                    fence = None
                }
                (None, None) => {
                    if let Some((Speaker { role, name }, rest)) = turn_of(line, author.as_deref()) {
                        transcript.turns.push(Turn { role, name, text: rest.to_owned() });
                        continue;
                    }
                }
                _ => {}
            }
            transcript.add(line);
        }
        for turn in &mut transcript.turns {
            turn.text = trimmed(&turn.text);
        }
        transcript
    }

    /// Takes the fields between two lines of `---` from the top, if there are any.
    fn take_fields<'a>(&mut self, text: &'a str) -> &'a str {
        let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else { return text };
        let mut place = text.len() - rest.len();
        let mut fields = BTreeMap::new();
        for line in rest.split_inclusive('\n') {
            place += line.len();
            if matches!(line.trim_end(), "---" | "...") {
                self.fields = fields;
                return &text[place..];
            }
            if let Some((name, value)) = line.split_once(':') {
                let value = value.trim().trim_matches(['"', '\'']);
                if !value.is_empty() {
                    fields.insert(name.trim().to_lowercase(), value.to_owned());
                }
            }
        }
        text
    }

    fn add(&mut self, line: &str) {
        match self.turns.last_mut() {
            Some(turn) => {
                if !turn.text.is_empty() {
                    turn.text.push('\n');
                }
                turn.text.push_str(line);
            }
            None if line.trim().is_empty() || line.starts_with("# ") || is_rule(line) => {}
            None => self.before += 1,
        }
    }
}

/// The speaker that a line names, and what they say on it.
fn turn_of<'a>(line: &'a str, author: Option<&str>) -> Option<(Speaker, &'a str)> {
    let line = line.trim();
    if line.starts_with('#') {
        let label = line.trim_start_matches('#');
        return label.starts_with(' ').then(|| speaker(label, author)).flatten().map(|speaker| (speaker, ""));
    }
    let (label, rest) = line.strip_prefix("**")?.split_once("**")?;
    // The colon stands within the stars or behind them; without one it is a word that somebody stressed.
    let rest = match (label.trim_end().ends_with(':'), rest.trim_start().strip_prefix(':')) {
        (true, None) => rest,
        (false, Some(rest)) => rest,
        _ => return None,
    };
    speaker(label, author).map(|speaker| (speaker, rest.trim()))
}

/// The marks with which a block of code opens or closes. Backticks with others behind them are code within a line.
fn fence_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = line.len() - line.trim_start_matches(mark).len();
    let (marks, rest) = line.split_at(length);
    (length >= 3 && !(mark == '`' && rest.contains('`'))).then_some(marks)
}

/// A turn without the lines that only separate it from the next one.
fn trimmed(text: &str) -> String {
    let mut text = text.trim();
    while let Some((before, last)) = text.rsplit_once('\n') {
        if !is_rule(last) {
            break;
        }
        text = before.trim_end();
    }
    if is_rule(text) { String::new() } else { text.to_owned() }
}

fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 3 && ["-", "*", "_"].iter().any(|mark| line.replace(mark, "").trim().is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[(Role, &str)]) {
        let turns = Transcript::of(text, None).turns;
        let found: Vec<(Role, &str)> = turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn headings_and_bold_names_begin_turns() {
        check(
            "# A title\n\n## User\n\nWhat is 2?\n\n---\n\n## Assistant\n\n### Steps\n\nTwo.\n",
            &[(Role::User, "What is 2?"), (Role::Assistant, "### Steps\n\nTwo.")],
        );
        check(
            "**User:** hello\nthere\n**Assistant**: hi\n\n**Note** this: and **AI** too\n",
            &[(Role::User, "hello\nthere"), (Role::Assistant, "hi\n\n**Note** this: and **AI** too")],
        );
    }

    #[test]
    fn a_block_of_code_is_never_cut() {
        let code = "````md\n## User\n```\n**Assistant:** no\n````";
        check(&format!("## User\n{code}\n## Assistant\nyes"), &[(Role::User, code), (Role::Assistant, "yes")]);
    }

    #[test]
    fn code_within_a_line_opens_no_block() {
        // What followed was all one turn.
        let code = "```make all``` builds it";
        check(&format!("## User\n{code}\n## Assistant\nyes"), &[(Role::User, code), (Role::Assistant, "yes")]);
    }

    #[test]
    fn fields_at_the_top_are_read() {
        let transcript = Transcript::of("---\ntitle: \"A: b\"\nDate: 2024-01-02\n---\nintro\n## Me\nx", None);
        assert_eq!(transcript.fields["title"], "A: b");
        assert_eq!(transcript.fields["date"], "2024-01-02");
        assert_eq!((transcript.before, transcript.turns.len()), (1, 1));
        // Without an end they are text.
        assert!(Transcript::of("---\ntitle: a\n## Me\nx", None).fields.is_empty());
    }

    #[test]
    fn a_transcript_has_a_question_and_an_answer() {
        assert!(is_transcript("**You:** a\n\n**ChatGPT:** b"));
        assert!(!is_transcript("# Notes\n\n## User guide\n\ntext"));
        assert!(!is_transcript("## User\n\nalone"));
    }

    proptest! {
        #[test]
        fn any_text_is_cut_without_a_panic(text in "[#*:`~ \n\\-Userä]{0,80}") {
            Transcript::of(&text, Some("ä"));
        }
    }
}
