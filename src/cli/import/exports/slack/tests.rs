//! Exports of Slack workspaces.

use crate::cli::import::exports::{Format, message::Role, testing::Given};

const USERS: &str = r#"[
    {"id": "U1", "name": "ada", "profile": {"real_name": "Ada Example", "display_name": "Ada"}},
    {"id": "U2", "name": "ben", "profile": {"real_name": "Ben Example", "display_name": ""}}]"#;
const CHANNELS: &str = r#"[{"id": "C1", "name": "general", "members": ["U1", "U2"]}]"#;

const DAY: &str = r#"[
    {"type": "message", "user": "U1", "text": "Hello <@U2>, see <#C1>", "ts": "1704067200.000100",
        "thread_ts": "1704067200.000100", "reply_count": 1},
    {"type": "message", "user": "U2", "text": "A &lt;reply&gt;", "ts": "1704067260.000200",
        "thread_ts": "1704067200.000100", "parent_user_id": "U1", "edited": {"user": "U2", "ts": "1704067270.000000"}},
    {"type": "message", "subtype": "bot_message", "bot_id": "B1", "username": "builds", "text": "",
        "ts": "1704067300.000300", "attachments": [{"fallback": "Passed", "title": "Build 7", "text": "passed"}]},
    {"type": "message", "subtype": "channel_join", "user": "U2", "text": "<@U2> has joined", "ts": "1704067301.000000"},
    {"type": "message", "subtype": "channel_topic", "user": "U1", "text": "<@U1> set the topic: trees",
        "ts": "1704067302.000000"},
    {"type": "message", "user": "U3", "user_profile": {"display_name": "Cleo"}, "text": "", "ts": "1704067303.000000",
        "files": [{"id": "F1", "name": "plan.pdf", "mimetype": "application/pdf", "size": 12000},
                  {"id": "F2", "mode": "tombstone"}]}]"#;

fn files() -> Vec<(&'static str, &'static str)> {
    vec![("users.json", USERS), ("channels.json", CHANNELS), ("general/2024-01-01.json", DAY)]
}

#[test]
fn a_channel_is_a_thread_and_its_replies_are_one_of_their_own() {
    for given in [Given::zip(&files()), Given::folder(&files())] {
        let outcome = given.read();
        assert_eq!(
            outcome.lines(),
            [
                "slack:C1 | Ada | Hello @Ben Example, see #general",
                "slack:C1/1704067200.000100 | Ben Example | A <reply>",
                "slack:C1 | builds | Build 7\npassed",
                "slack:C1 | Ada | @Ada set the topic: trees",
                "slack:C1 | Cleo | [attachment: plan.pdf (application/pdf, 12 kB)]\n\
                 [attachment: a file that was deleted]",
            ]
        );
        assert_eq!(outcome.ids()[0], "slack:C1:1704067200.000100");
        assert_eq!(outcome.messages[1].sent_at.as_deref(), Some("2024-01-01T00:01:00.0002Z"));
        let roles: Vec<Role> = outcome.messages.iter().map(|message| message.role).collect();
        assert_eq!(roles, [Role::User, Role::User, Role::Tool, Role::System, Role::User]);
        assert_eq!(outcome.notes, ["left out: 1 notices of who joined or left"]);
        assert!(outcome.rejected.is_empty(), "{:?}", outcome.rejected);
    }
}

#[test]
fn an_export_in_a_folder_of_the_zip_file_is_found_too() {
    let files = [
        ("Team export/users.json", USERS),
        ("Team export/dms.json", r#"[{"id": "D9", "members": ["U1", "U2"]}]"#),
        ("Team export/D9/2024-01-02.json", DAY),
        ("Team export/integration_logs.json", "[]"),
    ];
    let outcome = Given::zip(&files).read();
    assert!(outcome.lines()[0].starts_with("slack:D9 | Ada | "), "{:?}", outcome.lines());
    assert_eq!(outcome.notes[0], "not conversations, passed over: Team export/integration_logs.json");
}

#[test]
fn edits_that_are_listed_one_by_one_are_kept_beside_the_message() {
    let day = r#"[
        {"type": "message", "user": "U1", "text": "teh", "ts": "1.000001"},
        {"type": "message", "subtype": "message_changed", "ts": "2.000000",
            "message": {"user": "U1", "text": "the", "ts": "1.000001", "edited": {"ts": "2.000000"}}},
        {"type": "message", "subtype": "message_deleted", "ts": "3.000000"}]"#;
    let outcome = Given::folder(&[("general/2024-01-01.json", day)]).read();
    // Without a list of channels the name of the folder stands for the id.
    assert_eq!(outcome.ids(), ["slack:general:1.000001", "slack:general:1.000001:edited-2.000000"]);
    assert_eq!(outcome.messages[1].text, "the");
    assert_eq!(outcome.notes, ["left out: 1 messages that were deleted"]);
}

#[test]
fn bad_days_and_messages_are_told_and_the_others_are_read() {
    let mut files = files();
    files[0] = ("users.json", "[{\"id\": \"U1\"");
    files.extend([
        (
            "general/2024-01-02.json",
            r#"[{"type": "message", "user": "U1", "text": "no time"}, {"text": 7, "ts": "1.2"}]"#,
        ),
        ("general/2024-01-03.json", r#"[{"type": "message", "user": "U1", "text": "cut"#),
        ("general/2024-01-04.json", r#"[{"type": "message", "user": "U1", "text": "last", "ts": "9.000001"}]"#),
    ]);
    let outcome = Given::zip(&files).read();
    assert_eq!(outcome.messages.len(), 6);
    assert_eq!(outcome.lines()[5], "slack:C1 | U1 | last");
    let findings = outcome.findings();
    for (index, expected) in [
        "bad_json: users.json, entry 1: ids stand for the names that follow: it is cut off at byte 12",
        "missing_field: general/2024-01-02.json, message 1: the field \"ts\" is missing",
        "bad_json: general/2024-01-02.json, message 2: invalid type",
        "cut_off: general/2024-01-03.json: it is cut off at byte 47, in message 1",
    ]
    .iter()
    .enumerate()
    {
        assert!(findings[index].starts_with(expected), "{findings:#?}");
    }
}

#[test]
fn one_day_alone_is_read_as_well() {
    let outcome = Given::file("2024-01-01.json", DAY).read_as(Format::Slack);
    assert_eq!(outcome.messages.len(), 5);
    assert_eq!(outcome.messages[0].thread, "slack:channel");
}

#[test]
fn what_a_bot_laid_out_in_blocks_is_its_text() {
    // It has no text beside them, and was left out as empty.
    let blocks = r#"[{"type": "section", "text": {"type": "mrkdwn", "text": "Build 7, see <#C1>"}}]"#;
    let day = format!(
        r#"[{{"type": "message", "bot_id": "B1", "username": "builds", "text": "", "ts": "1.000001", "blocks": {blocks}}},
            {{"type": "message", "user": "U1", "text": "said", "ts": "2.000001", "blocks": {blocks}}},
            {{"type": "message", "bot_id": "B1", "username": "builds", "text": "", "ts": "3.000001",
              "attachments": [{{"fallback": "[no preview available]", "blocks": {blocks}}}]}}]"#
    );
    let files = [("users.json", USERS), ("channels.json", CHANNELS), ("general/2024-01-01.json", day.as_str())];
    let outcome = Given::folder(&files).read();
    let laid_out = "slack:C1 | builds | Build 7, see #general";
    assert_eq!(outcome.lines(), [laid_out, "slack:C1 | Ada | said", laid_out]);
}
