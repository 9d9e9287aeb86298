//! Plain JSON of other tools, by the mapping.

use super::*;
use crate::cli::import::exports::{Item, Options, elements::Elements, testing::Given};

fn check(document: &str, expected: &[&str]) {
    let outcome = Given::file("chat.json", document).read();
    assert_eq!(outcome.lines(), expected, "{document}");
    assert!(outcome.rejected.is_empty(), "{:?}", outcome.rejected);
    let again = Given::file("chat.json", document).read();
    assert_eq!(outcome.messages, again.messages);
}

#[test]
fn the_shapes_of_many_tools_are_read() {
    check(
        r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "text", "text": "b"}]}]"#,
        &["json:chat.json | user | a", "json:chat.json | assistant | b"],
    );
    check(
        r#"{"id": 7, "messages": [{"role": "system", "content": "s"},
            {"role": "user", "content": "a", "name": "Ada"}]}"#,
        &["json:7 | system | s", "json:7 | Ada | a"],
    );
    check(
        r#"[{"id": "c1", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            {"conversations": [{"from": "human", "value": "c"}]}]"#,
        &["json:c1 | user | a", "json:c1 | assistant | b", "json:chat.json#2 | user | c"],
    );
    check(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n\
         {\"messages\":[{\"role\":\"user\",\"content\":\"b\"}]}\n",
        &["json:chat.json#1 | user | a", "json:chat.json#2 | user | b"],
    );
    check(
        r#"[{"sender": "ai", "text": "x", "conversation_id": "k", "id": 3, "timestamp": 1704067200}]"#,
        &["json:k | assistant | x"],
    );
}

#[test]
fn equal_texts_stay_two_messages_and_own_ids_are_kept() {
    let outcome = Given::file(
        "chat.json",
        r#"[{"role": "user", "content": "yes"}, {"role": "user", "content": "yes"},
            {"role": "user", "content": "x", "id": "m"}]"#,
    )
    .read();
    let ids = outcome.ids();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[2], "json:chat.json:m");
}

#[test]
fn a_mapping_that_is_given_goes_first() {
    let mapping: Mapping = ["messages=log.entries", "text=body.plain", "role=kind", "author=who.name", "sent_at=when"]
        .map(|pair| pair.parse().expect("it is a pair"))
        .into_iter()
        .collect();
    let document = r#"[{"id": "c", "messages": [], "log": {"entries": [
        {"kind": "human", "who": {"name": "Ada"}, "body": {"plain": "hi"}, "when": "2024-01-02 03:04"}]}}]"#;
    let outcome = Given::file("log.json", document).read_with(&Options { mapping, ..Options::default() });
    assert_eq!(outcome.lines(), ["json:c | Ada | hi"]);
    assert_eq!(outcome.messages[0].sent_at.as_deref(), Some("2024-01-02T03:04:00Z"));
    assert_eq!(outcome.messages[0].role, Role::User);
}

#[test]
fn messages_that_cannot_be_mapped_are_told() {
    let document = r#"{"messages": [{"role": "owl", "content": "hoo"}, {"content": "who?"}, 7,
        {"role": "user", "content": "x"}]}"#;
    let outcome = Given::file("chat.json", document).read();
    assert_eq!(outcome.lines(), ["json:chat.json | user | x"]);
    let findings = outcome.findings().join("\n");
    for expected in
        ["the role \"owl\" is not known", "neither a role nor an author", "message 3 of the conversation is no object"]
    {
        assert!(findings.contains(expected), "{findings}");
    }
}

#[test]
fn a_list_within_a_field_is_found_by_its_path() {
    // The document came out empty, and nothing was told.
    let mapping: Mapping = ["messages=log.entries", "conversation=log.key"]
        .map(|pair| pair.parse().expect("it is a pair"))
        .into_iter()
        .collect();
    let document = r#"{"log": {"key": "k", "entries": [{"role": "user", "content": "a"}]}, "more": [1]}"#;
    let given = Given::file("log.json", document);
    let options = Options { format: Some(Format::Json), mapping, ..Options::default() };
    let outcome = given.read_with(&options);
    assert_eq!((outcome.lines(), outcome.findings()), (vec!["json:k | user | a".to_owned()], vec![]));

    let outcome = given.read_as(Format::Json);
    assert_eq!(outcome.messages, []);
    assert!(outcome.notes[0].contains("(--map messages=PATH names the place)"), "{outcome:?}");
}

#[test]
fn of_the_fields_beside_the_messages_only_what_names_them_is_held() {
    // Every text was held, and copied for every message.
    let long = "x".repeat(OUTER_LIMIT + 1);
    let document = format!(
        r#"{{"note": "{long}", "uuid": "{long}", "id": "c", "messages": [{{"role": "user", "content": "a"}}]}}"#
    );
    let mut reader = Mapped::new(Mapping::default());
    let mut items = Items::new(&Options::default());
    reader.begin("chat.json");
    let mut elements = Elements::new(Box::new(std::io::Cursor::new(document)), &Mapping::default().lists(), 1 << 20);
    let place = Place { member: "chat.json".to_owned(), unit: "conversation", number: 1 };
    while let Some(piece) = elements.next().expect("it is JSON") {
        reader.piece(&place, piece, &mut items);
    }
    assert_eq!(reader.outer, serde_json::json!({"id": "c"}));
    assert!(matches!(items.take(), Some(Item::Message(message)) if message.thread == "json:c"));
}

#[test]
fn a_long_first_conversation_does_not_hide_those_on_the_next_lines() {
    let line = |text: &str| format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    let document = [line(&"x".repeat(100_000)), line("b"), line("c")].join("\n");
    let outcome = Given::file("chats.json", &document).read();
    assert_eq!(outcome.findings(), Vec::<String>::new());
    assert_eq!(outcome.lines()[1..], ["json:chats.json#2 | user | b", "json:chats.json#3 | user | c"]);
}
