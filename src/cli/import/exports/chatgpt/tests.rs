//! Exports of ChatGPT: trees with branches, in each of their shapes, whole and broken.

use serde_json::{Value, json};

use crate::cli::import::exports::{message::Role, testing::Given};

/// A node with a message of text.
fn node(id: &str, parent: Option<&str>, children: &[&str], role: &str, text: &str, time: Value) -> (String, Value) {
    let message = json!({
        "id": id,
        "author": {"role": role, "name": null, "metadata": {}},
        "create_time": time,
        "update_time": null,
        "content": {"content_type": "text", "parts": [text]},
        "status": "finished_successfully",
        "end_turn": true,
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
    });
    (id.to_owned(), json!({"id": id, "message": message, "parent": parent, "children": children}))
}

fn root(children: &[&str]) -> (String, Value) {
    ("root".to_owned(), json!({"id": "root", "message": null, "parent": null, "children": children}))
}

fn conversation(id: &str, current: &str, nodes: Vec<(String, Value)>) -> Value {
    json!({
        "title": "Trees",
        "create_time": 1_704_067_200.5,
        "update_time": 1_704_067_300.0,
        "mapping": nodes.into_iter().collect::<serde_json::Map<String, Value>>(),
        "moderation_results": [],
        "current_node": current,
        "conversation_id": id,
        "id": id,
    })
}

/// A question with a second wording, the current one, whose answer was made twice.
fn branched(id: &str) -> Value {
    conversation(
        id,
        "c2",
        vec![
            root(&["a", "b"]),
            node("a", Some("root"), &["a1"], "user", "first wording", json!(1_704_067_201.0)),
            node("a1", Some("a"), &[], "assistant", "first answer", json!(1_704_067_202.0)),
            node("b", Some("root"), &["c1", "c2"], "user", "second wording", json!(1_704_067_203.0)),
            node("c1", Some("b"), &[], "assistant", "an answer", json!(null)),
            node("c2", Some("b"), &[], "assistant", "a better answer", json!(1_704_067_205.25)),
        ],
    )
}

fn export(conversations: &[Value]) -> String {
    serde_json::to_string(conversations).expect("it is JSON")
}

#[test]
fn the_current_branch_is_the_thread_and_the_others_are_marked() {
    let outcome = Given::file("conversations.json", export(&[branched("x")])).read();
    assert_eq!(
        outcome.lines(),
        [
            "chatgpt:x | user | second wording",
            "chatgpt:x | ChatGPT | a better answer",
            "chatgpt:x/branch-a | user | first wording",
            "chatgpt:x/branch-a | ChatGPT | first answer",
            "chatgpt:x/branch-c1 | ChatGPT | an answer",
        ]
    );
    assert_eq!(outcome.ids()[..2], ["chatgpt:x:b", "chatgpt:x:c2"]);
    let roles: Vec<Role> = outcome.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles[..2], [Role::User, Role::Assistant]);
    let times: Vec<_> = outcome.messages.iter().map(|message| message.sent_at.as_deref().expect("a time")).collect();
    assert_eq!(times[..2], ["2024-01-01T00:00:03Z", "2024-01-01T00:00:05.25Z"]);
    // The last one has none and takes that of the question.
    assert_eq!(times[4], "2024-01-01T00:00:03Z");
    assert!(outcome.rejected.is_empty(), "{:?}", outcome.rejected);
}

#[test]
fn every_shape_of_the_export_gives_the_same_messages() {
    let (one, two) = (branched("x"), branched("y"));
    let both = export(&[one.clone(), two.clone()]);
    let expected = Given::file("conversations.json", &both).read().messages;
    assert_eq!(expected.len(), 10);
    let (first, second) = (export(&[one]), export(std::slice::from_ref(&two)));
    let sharded = [
        ("chat.html", "<html>"),
        ("conversations-000.json", first.as_str()),
        ("conversations-001.json", second.as_str()),
        ("shared_conversations.json", r#"[{"id":"s","conversation_id":"x","title":"Trees"}]"#),
        ("user.json", r#"{"id":"user-1","email":"ada@example.org"}"#),
        ("file-1-tree.png", "a picture"),
    ];
    for given in [Given::zip(&sharded), Given::folder(&sharded)] {
        let outcome = given.read();
        assert_eq!(outcome.messages, expected);
        let notes = outcome.notes.join("\n");
        assert!(notes.contains("passed over: chat.html, shared_conversations.json, user.json"), "{notes}");
        assert!(notes.contains("1 attached files are not imported"), "{notes}");
    }
    assert_eq!(Given::file("x.json", format!("{{\"conversations\":{both}}}")).read().messages, expected);
    let alone = Given::file("Trees.json", two.to_string()).read().messages;
    assert_eq!(alone, expected[5..]);
    let utf16: Vec<u8> = both.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(Given::file("conversations.json", utf16).read().messages, expected);
}

#[test]
fn a_malformed_conversation_or_message_is_told_and_the_others_are_read() {
    let mut broken = branched("x");
    broken["mapping"]["a1"]["message"]["author"] = json!("nobody");
    broken["mapping"]["c1"] = json!(7);
    broken["mapping"]["b"]["message"]["author"]["role"] = json!("owl");
    let conversations = [json!({"id": "bad", "title": "a", "mapping": 7}), broken, branched("y"), json!(null)];
    let outcome = Given::file("conversations.json", export(&conversations)).read();
    let findings = outcome.findings();
    for (index, expected) in [
        "bad_json: conversations.json, conversation 1: invalid type: integer `7`",
        "bad_json: conversations.json, conversation 2: node c1 of the conversation",
        "missing_field: conversations.json, conversation 2: the author's role \"owl\" is not known",
        "bad_json: conversations.json, conversation 2: message a1 of the conversation",
        "bad_json: conversations.json, conversation 4",
    ]
    .iter()
    .enumerate()
    {
        assert!(findings[index].starts_with(expected), "{findings:#?}");
    }
    assert_eq!(outcome.rejected[0].id.as_deref(), Some("bad"));
    assert_eq!(outcome.messages.len(), 2 + 5);
}

#[test]
fn an_id_that_comes_twice_is_told() {
    // JSON allows a name twice, so this is written by hand.
    let node = |text: &str| {
        let content = format!(r#"{{"content_type": "text", "parts": ["{text}"]}}"#);
        format!(r#""n": {{"message": {{"author": {{"role": "user"}}, "content": {content}}}}}"#)
    };
    let document = format!(r#"[{{"title": "t", "id": "x", "mapping": {{{}, {}}}}}]"#, node("one"), node("two"));
    let outcome = Given::file("conversations.json", document).read();
    assert_eq!(outcome.lines(), ["chatgpt:x | user | one"]);
    assert!(outcome.findings()[0].contains("has node n twice"), "{:?}", outcome.findings());
    // The same conversation again, with another text.
    let mut other = branched("x");
    other["mapping"]["b"]["message"]["content"]["parts"] = json!(["third wording"]);
    let outcome = Given::file("conversations.json", export(&[branched("x"), other])).read();
    assert_eq!(outcome.rejected.len(), 1);
    assert_eq!((outcome.rejected[0].code, outcome.rejected[0].id.as_deref()), ("id_conflict", Some("chatgpt:x:b")));
}

#[test]
fn what_is_hidden_is_counted_and_tools_keep_their_names() {
    let mut hidden = branched("x");
    hidden["mapping"]["b"]["message"]["metadata"] = json!({"is_visually_hidden_from_conversation": true});
    hidden["mapping"]["c2"]["message"]["author"] = json!({"role": "tool", "name": "python"});
    hidden["mapping"]["c1"]["message"]["recipient"] = json!("python");
    hidden["mapping"]["a1"]["message"]["content"] = json!({"content_type": "thoughts", "thoughts": []});
    let outcome = Given::file("conversations.json", export(&[hidden])).read();
    assert_eq!(
        outcome.lines(),
        [
            "chatgpt:x | python | a better answer",
            "chatgpt:x/branch-a | user | first wording",
            "chatgpt:x/branch-c1 | ChatGPT | [to python]\nan answer",
        ]
    );
    let notes = outcome.notes.join("; ");
    assert!(notes.contains("1 messages that the product hides") && notes.contains("1 passages of thinking"), "{notes}");
}

#[test]
fn pointers_that_lead_nowhere_lose_nothing() {
    let odd = conversation(
        "x",
        "gone",
        vec![
            node("a", Some("b"), &["b"], "user", "one", json!("soon")),
            node("b", Some("a"), &["a", "missing"], "assistant", "two", json!(-1)),
            node("c", Some("missing"), &[], "user", "three", json!(null)),
        ],
    );
    let outcome = Given::file("conversations.json", export(&[odd])).read();
    let mut texts: Vec<&str> = outcome.messages.iter().map(|message| message.text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["one", "three", "two"]);
    assert_eq!(outcome.messages[0].sent_at.as_deref(), Some("2024-01-01T00:00:00.5Z"));
    let empty = Given::file("c.json", export(&[conversation("e", "x", vec![]), branched("x")])).read();
    assert_eq!((empty.messages.len(), empty.rejected.len()), (5, 0));
}

#[test]
fn a_conversation_alone_that_is_cut_off_is_not_imported_in_part() {
    // Behind the nodes stood which branch is the current one, and the id: without them the messages came out in
    // another thread, with other ids.
    let nodes = r#"{"a":{"message":null,"parent":null,"children":["b","c"]},
        "b":{"message":{"author":{"role":"user"},"content":{"parts":["old"]}},"parent":"a","children":[]},
        "c":{"message":{"author":{"role":"user"},"content":{"parts":["new"]}},"parent":"a","children":[]}}"#;
    let whole = format!(r#"{{"title":"t","mapping":{nodes},"current_node":"b","id":"x"}}"#);
    let outcome = Given::file("conversation.json", &whole).read();
    assert_eq!(outcome.lines(), ["chatgpt:x | user | old", "chatgpt:x/branch-c | user | new"]);
    for length in whole.len() - 30..whole.len() {
        let refusal = Given::file("conversation.json", &whole[..length]).refused();
        assert!(refusal.what.contains("cut off at byte"), "{refusal:?}");
    }
}
