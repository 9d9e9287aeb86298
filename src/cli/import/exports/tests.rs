//! Exports as a whole: what is refused before anything comes out, what is told, and how much memory it takes.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, Write},
};

use proptest::prelude::*;
use serde_json::json;

use super::{
    documents::{MESSAGES_LIMIT, PIECE_LIMIT},
    testing::{Given, drain},
    *,
};

fn conversation(number: usize, text: &str) -> String {
    let message = |id: &str, sender: &str| {
        let created_at = "2024-05-01T10:00:00Z";
        json!({"uuid": id, "text": text, "sender": sender, "created_at": created_at})
    };
    let messages = [message("1", "human"), message("2", "assistant")];
    json!({"uuid": format!("c{number}"), "name": "n", "chat_messages": messages}).to_string()
}

fn export(count: usize) -> String {
    format!("[{}]", (0..count).map(|number| conversation(number, "some words")).collect::<Vec<_>>().join(","))
}

#[test]
fn what_is_not_recognized_is_refused_and_says_what_to_do() {
    for (given, expected) in [
        (Given::file("a.json", "[1, 2]"), "is a JSON array, and no export that is recognized"),
        (Given::file("a.json.gz", b"\x1f\x8b\x08\0"), "is compressed with gzip"),
        (Given::folder(&[("a.txt", "hello")]), "nothing is recognized among the 1 files"),
        (Given::folder(&[]), "nothing is recognized among the 0 files"),
        (Given::zip(&[("inner.zip", "PK\x03\x04")]), "inner.zip is a zip file within it, which is not opened"),
    ] {
        let refusal = given.refused();
        assert!(refusal.what.contains(expected) && !refusal.help.is_empty(), "{refusal:?}");
    }
    // A zip file with a conversation's name within an export is passed over, and told.
    let outcome = Given::zip(&[("conversations.json", &export(1)), ("more.zip", "PK\x03\x04")]).read();
    assert_eq!((outcome.messages.len(), outcome.notes.len()), (2, 1));
}

#[test]
fn what_is_asked_for_is_read_in_a_folder_too() {
    // It was refused, because nobody whom everybody knows speaks in it, and no field has a usual name.
    let files = [("a.md", "## Ada\n\nhello"), ("b.json", r#"[{"who": "Ada", "said": "hello"}]"#)];
    let given = Given::folder(&files);
    assert!(given.refused().what.contains("nothing is recognized"));
    let mapping = ["author=who", "text=said"].map(|pair| pair.parse().expect("it is a pair"));
    let options = Options { author: Some("Ada".into()), mapping: mapping.into_iter().collect(), ..Options::default() };
    for (format, expected) in [(Format::Markdown, "markdown:a.md"), (Format::Json, "json:b.json")] {
        let outcome = given.read_with(&Options { format: Some(format), ..options.clone() });
        assert_eq!(outcome.lines(), [format!("{expected} | Ada | hello")]);
    }
}

#[test]
fn files_of_another_format_are_told_as_what_they_are() {
    // They were told to be no conversations.
    let chat = "## User\n\nhello\n\n## Assistant\n\nhi";
    let files = [("conversations.json", export(1)), ("notes/chat.md", chat.to_owned()), ("user.json", "{}".to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let expected = [
        "1 files of the format markdown, passed over; import them alone, or with --format markdown",
        "not conversations, passed over: user.json",
    ];
    assert_eq!(Given::folder(&files).read().notes, expected);
    assert_eq!(Given::folder(&files).read_as(Format::Markdown).messages.len(), 2);
}

#[test]
fn a_small_file_that_is_damaged_is_told_and_the_others_are_read() {
    // It was passed over as no conversations, because it could not be looked at to its end.
    let text = export(1);
    let given = Given::zip(&[("a.json", &text), ("b.json", &text)]);
    let whole = fs::read(given.path()).expect("it is there");
    let record = whole.windows(4).rposition(|window| window == b"PK\x01\x02").expect("there is a directory");
    // The size that the directory says, and the checksum.
    for (place, code) in [(record + 24, "cut_off"), (record + 16, "unreadable")] {
        let mut damaged = whole.clone();
        damaged[place] = damaged[place].wrapping_add(1);
        let outcome = Given::file("export.zip", &damaged).read();
        assert_eq!((outcome.messages.len(), outcome.notes.len()), (2, 0), "{outcome:?}");
        assert_eq!(outcome.rejected.len(), 1);
        assert_eq!((outcome.rejected[0].code, outcome.rejected[0].place.as_str()), (code, "b.json"), "{outcome:?}");
    }
    // The beginning of what is compressed: nothing of it can be read.
    let mut damaged = whole.clone();
    let start = whole.windows(6).position(|window| window == b"b.json").expect("it is named") + 6;
    damaged[start] = 0xff;
    let outcome = Given::file("export.zip", &damaged).read();
    assert_eq!((outcome.messages.len(), outcome.rejected.len()), (2, 1), "{outcome:?}");
}

#[test]
fn an_export_that_is_encrypted_says_so() {
    // It was said that nothing is recognized.
    let given = Given::zip(&[("conversations.json", &export(1))]);
    let mut bytes = fs::read(given.path()).expect("it is there");
    let record = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").expect("there is a directory");
    for flags in [6, record + 8] {
        bytes[flags] |= 1;
    }
    let refusal = Given::file("export.zip", &bytes).refused();
    assert!(refusal.what.contains("conversations.json: it is encrypted"), "{refusal:?}");
}

#[test]
fn json_lines_are_left_to_the_import_itself() {
    for text in ["", "oops\n", "{\"thread\":\"t\",\"author\":\"a\",\"text\":\"x\"}\n", "{\"colour\":1}\n"] {
        let opened = Given::file("chats.jsonl", text).open(&Options::default());
        assert!(matches!(opened, Ok(Opened::Lines)), "{text:?}");
    }
    let options = Options { format: Some(Format::Lines), ..Options::default() };
    assert!(matches!(Given::file("a.json", "[]").open(&options), Ok(Opened::Lines)));
}

#[test]
fn an_export_that_is_broken_from_the_start_is_refused_whole() {
    let whole = export(1);
    let refusal = Given::file("conversations.json", &whole[..whole.len() / 2]).refused();
    assert!(refusal.what.contains("cut off at byte") && refusal.what.contains("in conversation 1"), "{refusal:?}");
    // A bad conversation alone is a finding: the file itself is whole.
    let outcome = Given::file("conversations.json", r#"[{"uuid": "c", "chat_messages": 1}]"#).read();
    assert_eq!((outcome.messages.len(), outcome.rejected.len()), (0, 1));
}

#[test]
fn another_encoding_is_told_where_it_matters() {
    // Latin-1: the conversation with an umlaut is told, the others are read.
    let mut bytes =
        format!("[{},{},{}]", conversation(1, "a"), conversation(2, "sch@n"), conversation(3, "b")).into_bytes();
    bytes.iter_mut().filter(|byte| **byte == b'@').for_each(|byte| *byte = 0xf6);
    let outcome = Given::file("conversations.json", &bytes).read();
    assert_eq!((outcome.messages.len(), outcome.rejected.len()), (4, 1));
    assert!(outcome.findings()[0].starts_with("not_utf8: conversations.json, conversation 2: byte "), "{outcome:?}");
    let marked = [b"\xef\xbb\xbf", export(2).as_bytes()].concat();
    assert_eq!(Given::file("conversations.json", marked).read().messages.len(), 4);
}

#[test]
fn wherever_a_file_ends_the_messages_before_come_out_whole_and_the_end_is_told() {
    let whole = export(3);
    let expected = Given::file("conversations.json", &whole).read().messages;
    for length in 0..whole.len() {
        let opened = Given::file("conversations.json", &whole[..length]).open(&Options::default());
        let Ok(Opened::Export(export)) = opened else { continue };
        let outcome = drain(*export);
        assert_eq!(outcome.messages.len() % 2, 0, "half a conversation at {length}");
        assert_eq!(outcome.messages, expected[..outcome.messages.len()]);
        assert_eq!(outcome.rejected.len(), 1, "{length}: {:?}", outcome.findings());
        assert!(outcome.rejected[0].ends_file);
    }
}

#[test]
fn a_conversation_that_is_too_large_is_told_and_the_next_one_is_read() {
    let given = Given::file("conversations.json", "");
    let path = given.path().to_owned();
    let mut file = BufWriter::new(File::create(&path).expect("a file can be written"));
    let large = "x".repeat(1024 * 1024);
    write!(file, "[{{\"uuid\":\"big\",\"chat_messages\":[").expect("it can be written");
    for _ in 0..=PIECE_LIMIT / large.len() {
        write!(file, "{{\"text\":\"{large}\"}},").expect("it can be written");
    }
    write!(file, "{{}}]}},{}]", conversation(2, "small")).expect("it can be written");
    file.flush().expect("it can be written");
    drop(file);
    let outcome = given.read();
    assert_eq!(outcome.messages.len(), 2);
    assert!(outcome.findings()[0].contains("conversation 1: it is 69 MB long"), "{:?}", outcome.findings());
    fs::remove_file(path).expect("it is there");
}

#[test]
fn a_conversation_with_messages_without_end_is_told_and_the_next_one_is_read() {
    // Empty messages took a hundred times the memory of their bytes.
    let many = |unit: &str| vec![unit; MESSAGES_LIMIT + 1].join(",");
    let nodes = many(r#""a":{}"#);
    for (document, expected) in [
        (format!(r#"[{{"uuid":"big","chat_messages":[{}]}},{}]"#, many("{}"), conversation(2, "small")), 2),
        (format!(r#"[{{"title":"t","mapping":{{{nodes}}},"id":"big"}},{{"title":"t","mapping":{{}}}}]"#), 0),
        (format!(r#"[{{"id":"big","messages":[{}]}},{{"role":"user","content":"small"}}]"#, many("{}")), 1),
    ] {
        let outcome = Given::file("conversations.json", document).read();
        assert_eq!((outcome.messages.len(), outcome.rejected.len()), (expected, 1));
        assert_eq!((outcome.rejected[0].code, outcome.rejected[0].id.as_deref()), ("too_large", Some("big")));
        assert!(outcome.rejected[0].detail.contains("500001 messages"), "{:?}", outcome.findings());
    }
}

#[test]
fn memory_is_bounded_by_a_conversation_and_not_by_the_export() {
    let given = Given::file("conversations.json", "");
    let mut file = BufWriter::new(File::create(given.path()).expect("a file can be written"));
    let text = "some words ".repeat(1000);
    let mut length = 0;
    file.write_all(b"[").expect("it can be written");
    for number in 0..2000 {
        let conversation = conversation(number, &text);
        length += conversation.len();
        let comma = if number == 0 { "" } else { "," };
        write!(file, "{comma}{conversation}").expect("it can be written");
    }
    file.write_all(b"]").expect("it can be written");
    file.flush().expect("it can be written");
    drop(file);
    assert!(length > 40_000_000, "{length}");
    let Ok(Opened::Export(mut export)) = given.open(&Options::default()) else { panic!("it is an export") };
    let mut count = 0;
    for item in export.by_ref() {
        assert!(matches!(item, Item::Message(_)), "{item:?}");
        count += 1;
    }
    assert_eq!(count, 4000);
    assert_eq!(export.bytes_read(), export.total_bytes());
    assert!(export.documents.peak() < 200 * 1024, "{}", export.documents.peak());
}

#[test]
fn reading_an_export_again_gives_the_same_messages() {
    let files = [("conversations.json", export(5))];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(Given::zip(&files).read().messages, Given::folder(&files).read().messages);
}

/// One small document of each format, with which the property tests below begin.
fn samples() -> Vec<(&'static str, Format, String)> {
    let mut markdown = String::new();
    write!(markdown, "## User\n\nquestion\n\n## Assistant\n\nanswer\n").expect("memory takes it");
    vec![
        ("conversations.json", Format::Claude, export(2)),
        (
            "conversations.json",
            Format::ChatGpt,
            r#"[{"title":"t","id":"x","current_node":"b","mapping":{"a":{"message":null,"parent":null,"children":["b"]},
                "b":{"message":{"author":{"role":"user"},"create_time":1.5,
                "content":{"content_type":"text","parts":["hi"]}},"parent":"a","children":[]}}}]"#
                .to_owned(),
        ),
        (
            "2024-01-01.json",
            Format::Slack,
            r#"[{"type":"message","user":"U1","text":"<@U1|a>","ts":"1.000001"}]"#.to_owned(),
        ),
        (
            "general.json",
            Format::Discord,
            r#"{"guild":{"id":"1"},"channel":{"id":"2"},
                "messages":[{"id":"3","type":"Default","content":"hi"}]}"#
                .to_owned(),
        ),
        (
            "c1/messages.csv",
            Format::Discord,
            "ID,Timestamp,Contents,Attachments\n1,2024-01-01 10:00:00,\"a\",\n".to_owned(),
        ),
        ("a.md", Format::Markdown, markdown),
        ("a.json", Format::Json, r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}"#.to_owned()),
    ]
}

/// Reads bytes as a format. Whatever they are, there is an end and no panic.
fn survive(name: &str, format: Format, bytes: &[u8]) -> Option<testing::Outcome> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let options = Options { format: Some(format), ..Options::default() };
    match Given::file(name, bytes).open(&options) {
        Ok(Opened::Export(export)) => Some(drain(*export)),
        Ok(Opened::Lines) | Err(_) => None,
    }
}

#[test]
fn every_sample_is_recognized_by_what_it_holds() {
    for (name, format, text) in samples() {
        let given = if name.contains('/') { Given::folder(&[(name, &text)]) } else { Given::file(name, &text) };
        let Ok(Opened::Export(export)) = given.open(&Options::default()) else { panic!("{name} is an export") };
        assert_eq!(export.format(), format, "{name}");
        let outcome = drain(*export);
        assert!(!outcome.messages.is_empty() && outcome.rejected.is_empty(), "{name}: {outcome:?}");
    }
}

#[test]
fn every_truncation_of_every_format_is_survived() {
    for (name, format, text) in samples() {
        for length in 0..text.len() {
            survive(name, format, &text.as_bytes()[..length]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_damage_to_any_format_is_survived(places in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12)) {
        for (name, format, text) in samples() {
            let mut bytes = text.into_bytes();
            for (place, byte) in &places {
                let place = usize::from(*place) % bytes.len();
                bytes[place] = *byte;
            }
            survive(name, format, &bytes);
        }
    }

    #[test]
    fn any_bytes_are_survived_as_any_format(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            survive("a", format, &bytes);
        }
    }
}
