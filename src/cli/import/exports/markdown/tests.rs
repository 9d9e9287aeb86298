//! Transcripts in Markdown.

use crate::cli::import::exports::{Format, Options, message::Role, testing::Given};

const TRANSCRIPT: &str = "---\nid: t-1\ndate: 2024-01-02\n---\n# Trees\n\n## User\n\nHow tall?\n\n\
                          ## ChatGPT\n\nTall.\n\n\
                          ### Why\n\nLight.\n";

#[test]
fn a_transcript_is_a_thread() {
    let outcome = Given::file("trees.md", TRANSCRIPT).read();
    assert_eq!(
        outcome.lines(),
        ["markdown:t-1 | user | How tall?", "markdown:t-1 | ChatGPT | Tall.\n\n### Why\n\nLight."]
    );
    assert_eq!(outcome.messages[1].role, Role::Assistant);
    assert_eq!(outcome.messages[1].sent_at.as_deref(), Some("2024-01-02T00:00:00Z"));
}

#[test]
fn appending_to_a_transcript_keeps_the_ids() {
    let first = Given::file("trees.md", "**You:** a\n\n**Claude:** b\n").read();
    let second = Given::file("trees.md", "**You:** a\n\n**Claude:** b\n\n**You:** b\n").read();
    assert_eq!(first.ids()[..], second.ids()[..2]);
    assert_ne!(second.ids()[1], second.ids()[2]);
    assert!(second.lines()[0].starts_with("markdown:trees.md | user"), "{:?}", second.lines());
}

#[test]
fn a_name_that_is_given_is_a_speaker() {
    let text = "## Ada\nhello\n## Assistant\nhi";
    let options = Options { author: Some("Ada".into()), format: Some(Format::Markdown), ..Options::default() };
    let outcome = Given::file("a.md", text).read_with(&options);
    assert_eq!(outcome.lines(), ["markdown:a.md | Ada | hello", "markdown:a.md | assistant | hi"]);
}

#[test]
fn a_folder_of_transcripts_has_one_thread_a_file() {
    let outcome = Given::folder(&[
        ("2024/a.md", "**User:** one\n**Assistant:** two"),
        ("2024/b.md", "## Human\nthree\n## AI\nfour"),
        ("readme.md", "# About\n\n## User guide\n\nnothing said"),
    ])
    .read();
    let threads: Vec<&str> = outcome.messages.iter().map(|message| message.thread.as_str()).collect();
    assert_eq!(threads, ["markdown:2024/a.md", "markdown:2024/a.md", "markdown:2024/b.md", "markdown:2024/b.md"]);
    assert_eq!(outcome.notes, ["not conversations, passed over: readme.md"]);
}

#[test]
fn a_text_in_which_nobody_speaks_is_told() {
    let outcome = Given::file("notes.md", "# Notes\n\nnothing said").read_as(Format::Markdown);
    assert!(outcome.findings()[0].starts_with("missing_field: notes.md, transcript 1: nobody speaks"), "{outcome:?}");
    // What is not UTF-8 is told, and not imported with wrong letters.
    let outcome = Given::file("a.md", b"## User\n\nsch\xf6n\n\n## AI\n\nja").read();
    assert_eq!((outcome.messages.len(), outcome.rejected[0].code), (0, "not_utf8"));
}
