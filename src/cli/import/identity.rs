//! Identity: ids for messages that come without one.
//!
//! Promises: the same file gives the same ids every time, so importing it again adds nothing; equal lines of one file
//! stay as many messages as they are. The way ids are made never changes, or importing again would add everything twice.

use std::collections::HashMap;

use meshlog_connectors::api::NewMessage;

/// How many hexadecimal digits of the hash stand in an id.
const DIGITS: usize = 32;

/// Gives out ids. It remembers 16 bytes for each different line it gave one to.
#[derive(Debug, Default)]
pub(super) struct Identities {
    seen: HashMap<[u8; DIGITS / 2], u64>,
}

impl Identities {
    /// The id of this message: `line:` and a hash of its content, and from the second equal message on its number.
    pub(super) fn give(&mut self, message: &NewMessage) -> String {
        let hash = content_hash(message);
        let mut key = [0; DIGITS / 2];
        key.copy_from_slice(&hash.as_bytes()[..DIGITS / 2]);
        let count = self.seen.entry(key).or_default();
        *count += 1;
        let digits = &hash.to_hex()[..DIGITS];
        if *count == 1 { format!("line:{digits}") } else { format!("line:{digits}-{count}") }
    }
}

/// Hashes each field with its length before it, so that no two contents run together.
fn content_hash(message: &NewMessage) -> blake3::Hash {
    let sent_at = message.sent_at.map(|time| time.micros().to_string()).unwrap_or_default();
    let fields = [&message.space, &message.thread, &message.author, message.role.name(), &sent_at, &message.text];
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(line: &str) -> NewMessage {
        serde_json::from_str(line).expect("the line is a message")
    }

    const HELLO: &str = r#"{"thread":"t","author":"Ada","text":"hello"}"#;

    #[test]
    fn ids_never_change() {
        // The ids of files that were imported with an earlier version: a change here would import them all again.
        let id = Identities::default().give(&message(HELLO));
        assert_eq!(id, "line:31ef48a8d8846aef8485a3b4f8cdaa86");
    }

    #[test]
    fn equal_lines_are_numbered_in_the_order_of_the_file() {
        let mut identities = Identities::default();
        let ids = [HELLO, HELLO, r#"{"thread":"t","author":"Ada","text":"bye"}"#, HELLO]
            .map(|line| identities.give(&message(line)));
        assert_eq!(ids[1], format!("{}-2", ids[0]));
        assert_eq!(ids[3], format!("{}-3", ids[0]));
        assert!(!ids[2].contains('-') && ids[2] != ids[0]);
    }

    #[test]
    fn the_way_a_line_is_written_does_not_matter_but_every_field_does() {
        let id = |line: &str| Identities::default().give(&message(line));
        let plain = id(r#"{"thread":"t","author":"Ada","text":"hello","sent_at":"2025-05-08T13:56:00Z"}"#);
        for same in [
            r#"{"text":"hell\u006f", "sent_at":"2025-05-08T15:56:00+02:00", "author":"Ada", "thread":"t", "space":"main"}"#,
            r#"{"thread":"t","author":"Ada","text":"hello","sent_at":"2025-05-08T13:56:00.000Z","role":"user","id":null}"#,
        ] {
            assert_eq!(id(same), plain, "{same}");
        }
        for other in [
            HELLO,
            r#"{"thread":"t","author":"Ada","text":"hello","sent_at":"2025-05-08T13:56:01Z"}"#,
            r#"{"thread":"t","author":"Ada","text":"hello","sent_at":"2025-05-08T13:56:00Z","role":"assistant"}"#,
            r#"{"thread":"t","author":"Ada","text":"hello","sent_at":"2025-05-08T13:56:00Z","space":"s"}"#,
            r#"{"thread":"tA","author":"da","text":"hello","sent_at":"2025-05-08T13:56:00Z"}"#,
        ] {
            assert_ne!(id(other), plain, "{other}");
        }
    }
}
