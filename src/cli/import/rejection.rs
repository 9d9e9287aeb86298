//! Rejections: lines, and what else of an import, that did not become messages, and why.

use serde::{Deserialize, Serialize};

use super::exports::Finding;

/// How much of a rejected line is kept, in characters.
const TEXT_LIMIT: usize = 2000;

/// One line, or one thing of an export, that did not become a message, as it stands in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rejection {
    /// The line's number in the file, from 1; of an export, which message of those that it has.
    pub(super) line: u64,
    /// Where in an export it is: the file, and the conversation or message in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<String>,
    /// The stable name of the problem.
    pub(super) code: String,
    /// What was wrong.
    pub(super) detail: String,
    /// The sender's own id of the message, if it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source_id: Option<String>,
    /// The beginning of the line, with a mark where its bytes are no text.
    pub(super) text: String,
}

impl Rejection {
    /// A line that is refused on this side.
    pub(super) fn new(line: u64, code: &str, detail: impl Into<String>, bytes: &[u8]) -> Self {
        Self { line, place: None, code: code.to_owned(), detail: detail.into(), source_id: None, text: kept(bytes) }
    }

    /// What was found in an export.
    pub(super) fn found(line: u64, finding: Finding) -> Self {
        let Finding { code, place, detail, id, text, .. } = finding;
        Self { line, place: Some(place), code: code.to_owned(), detail, source_id: id, text: kept(text.as_bytes()) }
    }

    /// The same, of a message with this id.
    pub(super) fn of(self, source_id: String) -> Self {
        Self { source_id: Some(source_id), ..self }
    }
}

/// What is kept of a line.
pub(super) fn kept(bytes: &[u8]) -> String {
    // A character has at most four bytes, so this is enough of a long line.
    let beginning = &bytes[..bytes.len().min(4 * TEXT_LIMIT)];
    String::from_utf8_lossy(beginning).chars().take(TEXT_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_line_is_kept_up_to_its_limit() {
        assert_eq!(kept(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(kept("ö".repeat(3000).as_bytes()), "ö".repeat(TEXT_LIMIT));
    }
}
