//! Plain JSON of other tools, by the mapping.

use crate::cli::import::exports::{Mapping, Options, message::Role, testing::Given};

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
