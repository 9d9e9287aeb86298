//! Output: answers on standard output, for people or for programs.
//!
//! Promises: text that came from elsewhere cannot steer the terminal; a closed pipe is [`Failure::OutputClosed`].

use std::{
    fmt::Display,
    io::{self, BufWriter, IsTerminal, Write},
};

use serde::Serialize;

use super::Failure;

/// Where answers go.
pub(super) struct Output {
    writer: Box<dyn Write>,
    json: bool,
    terminal: bool,
}

impl Output {
    /// Standard output.
    pub(super) fn standard(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { writer: Box::new(BufWriter::new(io::stdout())), json, terminal }
    }

    /// Whether answers are for programs.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes one line for people.
    pub(super) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.writer, "{line}").map_err(closed)
    }

    /// Writes one JSON value on one line, for programs.
    pub(super) fn document(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).expect("answers hold only values that JSON knows");
        self.line(text)
    }

    /// Sends on what has been written so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(closed)
    }

    /// The text, bold on a terminal.
    pub(super) fn bold(&self, text: &str) -> String {
        if self.terminal { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// The text, faint on a terminal.
    pub(super) fn faint(&self, text: &str) -> String {
        if self.terminal { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The text without what could steer a terminal; line breaks stay.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|character| if is_steering(character) { '\u{fffd}' } else { character }).collect()
}

/// The text on one line, without what could steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    harmless(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The beginning of the text, with an ellipsis when something was cut off.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Control characters, and the marks that turn the direction of writing around.
fn is_steering(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && character != '\n' && character != '\t')
}

fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Local { what: format!("cannot write the answer: {error}"), help: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\nc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}\nc\u{fffd}d");
        assert_eq!(one_line("  two\n\tlines \u{7}"), "two lines \u{fffd}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("Öl und Öl", 2), "Öl…");
        assert_eq!(shortened("Öl", 2), "Öl");
    }
}
