//! Exports of DiscordChatExporter, and data packages.

use serde_json::json;

use crate::cli::import::exports::{message::Role, testing::Given};

fn exported() -> String {
    let author = |name: &str, nickname: &str, is_bot: bool| {
        json!({"id": "7", "name": name, "discriminator": "0000", "nickname": nickname, "color": null, "isBot": is_bot,
            "roles": [], "avatarUrl": "https://a.example/0.png"})
    };
    let message = |id: &str, kind: &str, content: &str, author: serde_json::Value| {
        json!({"id": id, "type": kind, "timestamp": "2024-01-01T10:00:00.5+01:00", "timestampEdited": null,
            "callEndedTimestamp": null, "isPinned": false, "content": content, "author": author, "attachments": [],
            "embeds": [], "stickers": [], "reactions": [], "mentions": []})
    };
    let mut messages = vec![
        message("101", "Default", "hello", author("ada", "Ada", false)),
        message("102", "Reply", "", author("ben", "", false)),
        message("103", "GuildMemberJoin", "Joined the server.", author("cleo", "Cleo", false)),
        message("104", "ChannelPinnedMessage", "Pinned a message.", author("ada", "Ada", false)),
        message("105", "Default", "news", author("feed", "Feed", true)),
    ];
    messages[1]["attachments"] =
        json!([{"id": "9", "url": "media/plan.png", "fileName": "plan.png", "fileSizeBytes": 48_029}]);
    messages[1]["stickers"] = json!([{"id": "1", "name": "wave", "format": "Png", "sourceUrl": "x"}]);
    messages[4]["embeds"] = json!([{"title": "Trees", "url": "https://t.example", "timestamp": null,
        "description": "grow", "images": [], "fields": [{"name": "height", "value": "tall", "isInline": true}]}]);
    serde_json::to_string_pretty(&json!({
        "guild": {"id": "1", "name": "Wood", "iconUrl": "x"},
        "channel": {"id": "2", "type": "GuildTextChat", "categoryId": "3", "category": "Text", "name": "general",
            "topic": null},
        "dateRange": {"after": null, "before": null},
        "exportedAt": "2024-02-01T00:00:00+00:00",
        "messages": messages,
        "messageCount": 5,
    }))
    .expect("it is JSON")
}

#[test]
fn the_exporters_json_is_read_with_who_said_what() {
    let outcome = Given::file("Wood - general [2].json", exported()).read();
    assert_eq!(
        outcome.lines(),
        [
            "discord:2 | Ada | hello",
            "discord:2 | ben | [sticker: wave]\n[attachment: plan.png (49 kB)]",
            "discord:2 | Ada | Pinned a message.",
            "discord:2 | Feed | news\n[embed] Trees\nhttps://t.example\ngrow\nheight: tall",
        ]
    );
    assert_eq!(outcome.ids()[0], "discord:101");
    assert_eq!(outcome.messages[0].sent_at.as_deref(), Some("2024-01-01T10:00:00.5+01:00"));
    let roles: Vec<Role> = outcome.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::User, Role::System, Role::Tool]);
    assert_eq!(outcome.notes, ["left out: 1 notices of who joined or left"]);
}

#[test]
fn the_data_package_is_read_in_both_of_its_shapes() {
    let table = "ID,Timestamp,Contents,Attachments\r\n\
                 201,2019-03-04 05:06:07.000000+00:00,\"two\nlines, \"\"quoted\"\"\",\r\n\
                 202,2019-03-04 05:06:08,,https://cdn.example/attachments/1/2/tree.png?ex=1\r\n";
    let newer = r#"[{"ID": 301, "Timestamp": "2024-03-04 05:06:07", "Contents": "hi", "Attachments": ""},
        {"ID": "302", "Timestamp": "2024-03-04 05:06:08", "Contents": "", "Attachments": ""},
        {"ID": null, "Contents": "lost"}]"#;
    let outcome = Given::zip(&[
        ("README.txt", "Welcome"),
        ("Nachrichten/index.json", r#"{"11": "general in Wood"}"#),
        ("Nachrichten/c11/channel.json", r#"{"id": "11", "type": "GUILD_TEXT", "name": "general"}"#),
        ("Nachrichten/c11/messages.csv", table),
        ("Nachrichten/c12/messages.json", newer),
    ])
    .read();
    assert_eq!(
        outcome.lines(),
        [
            "discord:11 | user | two\nlines, \"quoted\"",
            "discord:11 | user | [attachment: tree.png]",
            "discord:12 | user | hi",
        ]
    );
    assert_eq!(outcome.ids(), ["discord:201", "discord:202", "discord:301"]);
    assert_eq!(outcome.messages[0].sent_at.as_deref(), Some("2019-03-04T05:06:07Z"));
    let expected = "missing_field: Nachrichten/c12/messages.json, message 3: the field \"ID\" is missing";
    assert_eq!(outcome.findings(), [expected]);
    assert!(outcome.notes.contains(&"left out: 1 messages without content".to_owned()), "{:?}", outcome.notes);
}

#[test]
fn a_file_that_is_cut_off_gives_what_is_whole() {
    let whole = exported();
    let end = whole.find("Pinned a message").expect("it is in there");
    let outcome = Given::file("general.json", &whole[..end]).read();
    assert_eq!(outcome.messages.len(), 2);
    assert!(outcome.findings()[0].contains("in message 4, which is not imported"), "{:?}", outcome.findings());
}

#[test]
fn a_channel_without_an_id_is_told() {
    let outcome = Given::file("x.json", r#"{"channel": {}, "messages": [{"id": "1", "content": "a"}]}"#).read();
    assert!(outcome.messages.is_empty());
    assert_eq!(outcome.rejected.len(), 2);
}
