//! Exports of Claude in the older and the newer shape, with and without branches.

use serde_json::{Value, json};

use crate::cli::import::exports::{Options, message::Role, testing::Given};

const ROOT: &str = "00000000-0000-4000-8000-000000000000";

fn message(uuid: &str, parent: Option<&str>, sender: &str, text: &str) -> Value {
    let mut message = json!({
        "uuid": uuid,
        "text": text,
        "content": [{"type": "text", "text": text, "citations": []}],
        "sender": sender,
        "created_at": "2024-05-01T10:00:00.123456Z",
        "updated_at": "2024-05-01T10:00:00.123456Z",
        "attachments": [],
        "files": [],
    });
    if let Some(parent) = parent {
        message["parent_message_uuid"] = json!(parent);
    }
    message
}

fn conversation(uuid: &str, messages: &[Value]) -> Value {
    json!({
        "uuid": uuid,
        "name": "Trees",
        "summary": "",
        "created_at": "2024-05-01T09:59:00Z",
        "updated_at": "2024-05-01T10:01:00Z",
        "account": {"uuid": "account-1"},
        "chat_messages": messages,
    })
}

fn export(conversations: &[Value]) -> String {
    serde_json::to_string(conversations).expect("it is JSON")
}

#[test]
fn the_older_shape_is_one_thread_in_the_order_of_the_file() {
    let older = |uuid: &str, sender: &str, text: &str| {
        let none: [Value; 0] = [];
        json!({"uuid": uuid, "text": text, "sender": sender, "created_at": null, "attachments": none, "files": none})
    };
    let given = conversation("c", &[older("1", "human", "How tall?"), older("2", "assistant", "Quite tall.")]);
    let options = Options { author: Some("Ada".into()), space: "home".into(), ..Options::default() };
    let outcome = Given::file("conversations.json", export(&[given])).read_with(&options);
    assert_eq!(outcome.lines(), ["claude:c | Ada | How tall?", "claude:c | Claude | Quite tall."]);
    assert_eq!(outcome.ids(), ["claude:c:1", "claude:c:2"]);
    assert!(outcome.messages.iter().all(|message| message.space == "home"));
    assert_eq!(outcome.messages[1].sent_at.as_deref(), Some("2024-05-01T09:59:00Z"));
    assert_eq!(outcome.messages[1].role, Role::Assistant);
}

#[test]
fn the_last_message_is_on_the_current_branch_unless_the_export_says_otherwise() {
    let mut given = conversation(
        "c",
        &[
            message("1", Some(ROOT), "human", "q"),
            message("2", Some("1"), "assistant", "a"),
            message("3", Some("2"), "human", "more"),
            message("4", Some("1"), "assistant", "a better one"),
            message("5", Some("gone"), "human", "thanks"),
        ],
    );
    let outcome = Given::file("conversations.json", export(&[given.clone()])).read();
    assert_eq!(
        outcome.lines(),
        [
            "claude:c | user | q",
            "claude:c | Claude | a better one",
            "claude:c | user | thanks",
            "claude:c/branch-2 | Claude | a",
            "claude:c/branch-2 | user | more",
        ]
    );
    given["current_leaf_message_uuid"] = json!("3");
    let outcome = Given::file("Trees.json", given.to_string()).read();
    assert_eq!(outcome.lines()[..3], ["claude:c | user | q", "claude:c | Claude | a", "claude:c | user | more"]);
    assert_eq!(outcome.lines()[3], "claude:c/branch-4 | Claude | a better one");
}

#[test]
fn what_a_tool_returned_is_a_message_of_the_tool() {
    let mut answer = message("2", Some("1"), "assistant", "");
    answer["content"] = json!([
        {"type": "thinking", "thinking": "hm"},
        {"type": "tool_use", "name": "search", "input": {}},
        {"type": "tool_result", "name": "search", "content": [{"type": "text", "text": "found"}]},
        {"type": "text", "text": "Here."},
    ]);
    let given = conversation("c", &[message("1", Some(ROOT), "human", "q"), answer]);
    let outcome = Given::file("conversations.json", export(&[given])).read();
    assert_eq!(
        outcome.lines()[1..],
        ["claude:c | Claude | [uses search]", "claude:c | search | found", "claude:c | Claude | Here.",]
    );
    assert_eq!(outcome.ids()[1..], ["claude:c:2", "claude:c:2.2", "claude:c:2.3"]);
    assert_eq!(outcome.messages[2].role, Role::Tool);
    assert_eq!(outcome.notes, ["left out: 1 passages of thinking"]);
}

#[test]
fn the_zip_file_is_read_and_what_is_no_conversation_is_named() {
    let conversations = export(&[conversation("c", &[message("1", Some(ROOT), "human", "q")])]);
    let outcome = Given::zip(&[
        ("conversations.json", &conversations),
        ("memories.json", r#"[{"conversations_memory": "likes trees", "account_uuid": "account-1"}]"#),
        ("projects.json", r#"[{"uuid": "p", "name": "Wood", "docs": [{"filename": "a.md", "content": "x"}]}]"#),
        ("users.json", r#"[{"uuid": "account-1", "full_name": "Ada", "email_address": "ada@example.org"}]"#),
    ])
    .read();
    assert_eq!(outcome.lines(), ["claude:c | user | q"]);
    assert_eq!(outcome.notes, ["not conversations, passed over: memories.json, projects.json, users.json"]);
}

#[test]
fn malformed_members_are_told_and_the_others_are_read() {
    let conversations = [
        json!({"uuid": "bad", "chat_messages": "none"}),
        conversation("c", &[json!(7), message("2", None, "owl", "hoo"), message("3", None, "human", "fine")]),
        conversation("empty", &[]),
    ];
    let outcome = Given::file("conversations.json", export(&conversations)).read();
    assert_eq!(outcome.lines(), ["claude:c | user | fine"]);
    let findings = outcome.findings();
    assert!(findings[0].starts_with("bad_json: conversations.json, conversation 1"), "{findings:#?}");
    assert!(findings[1].starts_with("bad_json: conversations.json, conversation 2: message 1 of"), "{findings:#?}");
    assert!(findings[2].ends_with("the sender \"owl\" is not known"), "{findings:#?}");
    assert_eq!(outcome.notes, ["left out: 1 conversations without messages"]);
}
