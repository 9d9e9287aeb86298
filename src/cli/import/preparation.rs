//! Preparation: from a line of the file to the line that is sent.
//!
//! Owns: what is refused on this side (what is no line of JSON at all), and ids for messages without one.
//! Never: judges fields; the server does, and its words are shown.

use meshlog_connectors::{api::NewMessage, problem::Code};
use serde_json::error::Category;

use super::{
    identity::Identities,
    lines::{LINE_LIMIT, Line},
    rejection::Rejection,
};

/// What has become of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    /// It holds nothing.
    Blank,
    /// It cannot be sent.
    Rejected(Rejection),
    /// This is to be sent.
    Message(Vec<u8>),
}

/// Prepares the lines of one file, in order.
#[derive(Debug, Default)]
pub(super) struct Preparation {
    identities: Identities,
}

impl Preparation {
    /// Prepares the next line.
    pub(super) fn prepare(&mut self, line: &Line) -> Prepared {
        let Line { number, bytes, overlong } = line;
        if *overlong {
            let detail = format!("the line is longer than {LINE_LIMIT} bytes");
            return Prepared::Rejected(Rejection::new(*number, Code::LineTooLong.name(), detail, bytes));
        }
        if bytes.trim_ascii().is_empty() {
            return Prepared::Blank;
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let detail = format!("byte {} does not belong to UTF-8 text", error.valid_up_to());
                return Prepared::Rejected(Rejection::new(*number, Code::NotUtf8.name(), detail, bytes));
            }
        };
        match serde_json::from_str::<NewMessage>(text) {
            // The parser takes a list for a message too; the server, which is to judge it, does not.
            Ok(message) if text.trim_start().starts_with('{') => Prepared::Message(self.with_id(message, text)),
            Ok(_) => Prepared::Message(text.as_bytes().to_vec()),
            Err(error) if matches!(error.classify(), Category::Data | Category::Io) => {
                Prepared::Message(text.as_bytes().to_vec())
            }
            Err(error) => {
                // To the parser every line is the first, which would mislead beside the number in the file.
                let detail = error.to_string().replace(" at line 1 column ", " at column ");
                Prepared::Rejected(Rejection::new(*number, Code::BadJson.name(), detail, bytes))
            }
        }
    }

    /// The line with an id: as it is, if it has one.
    fn with_id(&mut self, mut message: NewMessage, text: &str) -> Vec<u8> {
        if message.id.is_some() {
            return text.as_bytes().to_vec();
        }
        message.id = Some(self.identities.give(&message));
        serde_json::to_vec(&message).expect("a message is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(bytes: &[u8]) -> Prepared {
        Preparation::default().prepare(&Line { number: 7, bytes: bytes.to_vec(), overlong: false })
    }

    fn check_rejected(bytes: &[u8], code: Code, detail: &str) {
        let Prepared::Rejected(rejection) = prepare(bytes) else { panic!("{bytes:?} was not rejected") };
        assert_eq!((rejection.line, rejection.code.as_str()), (7, code.name()));
        assert!(rejection.detail.contains(detail), "{}", rejection.detail);
    }

    #[test]
    fn what_is_no_line_of_json_is_refused_with_its_place() {
        check_rejected(b"{\"text\": \"a\xff\"}", Code::NotUtf8, "byte 11");
        check_rejected(b"{\"thread\":\"t\", oops}", Code::BadJson, "column 16");
        check_rejected(b"{\"thread\":\"t\"", Code::BadJson, "EOF");
    }

    #[test]
    fn a_line_of_spaces_is_blank() {
        assert_eq!(prepare(b" \t\r"), Prepared::Blank);
        assert_eq!(prepare(b""), Prepared::Blank);
    }

    #[test]
    fn a_line_with_an_id_is_sent_as_it_is() {
        let line = br#"{ "thread":"t", "author":"a", "text":"x", "id":"mine" }"#;
        assert_eq!(prepare(line), Prepared::Message(line.to_vec()));
    }

    #[test]
    fn fields_are_left_to_the_judgement_of_the_server() {
        const LIST: &[u8] = br#"[null,"main","t","a","user",null,"hi"]"#;
        for line in [&br#"{"thread":"t","colour":1}"#[..], br#"{"thread":7}"#, b"[1]", b"7", LIST] {
            assert_eq!(prepare(line), Prepared::Message(line.to_vec()));
        }
    }

    #[test]
    fn a_line_without_an_id_is_sent_with_one_and_is_otherwise_the_same() {
        let line = br#"{"thread":"t","author":"a","role":"tool","text":"x","id":null}"#;
        let Prepared::Message(sent) = prepare(line) else { panic!("it is a message") };
        let sent: NewMessage = serde_json::from_slice(&sent).expect("it is a message");
        let mut expected: NewMessage = serde_json::from_slice(line).expect("it is a message");
        assert!(sent.id.as_ref().is_some_and(|id| id.starts_with("line:")), "{sent:?}");
        expected.id.clone_from(&sent.id);
        assert_eq!(sent, expected);
    }
}
