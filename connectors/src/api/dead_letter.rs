//! Dead letters: events that a processor could not process, with those of the same key that wait behind them.

use std::{fmt, str::FromStr};

use meshlog_schemas::{Partition, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EventView, PositionView, Timestamp};

/// The ways in which an event becomes a dead letter; see [`DeadLetter::class`].
pub const FAILURE_CLASSES: [&str; 5] = ["unreadable", "permanent", "exhausted", "crashed", "waiting"];

/// An event that a processor set aside until somebody redrives or discards it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Its id: processor and position in one text.
    pub id: String,
    /// The processor that set it aside. Others may have processed the same event.
    pub processor: String,
    /// Where the event stands.
    pub position: PositionView,
    /// The event's ordering key. Later events of this key wait, so that the processor sees them in their order.
    pub key: String,
    /// The event's id; empty where it could not be read.
    pub event_id: String,
    /// The event's type; empty where it could not be read.
    pub event_type: String,
    /// Why: `unreadable` (the event), `permanent` (trying again cannot help), `exhausted` (tried as often as is
    /// allowed), `crashed` (the program ended while it was at work on it), or `waiting` (behind another of its key).
    pub class: String,
    /// What went wrong, in the processor's words.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When the processor gave up; `null` where that was not written down.
    #[schema(required)]
    pub failed_at: Option<Timestamp>,
    /// The offset, in the same partition, of the dead letter that this one waits behind; `null` when it failed itself.
    #[schema(required)]
    pub waits_behind: Option<u64>,
    /// How many events wait behind this one.
    pub waiting: u64,
}

/// A dead letter with the event itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterView {
    /// The dead letter.
    #[serde(flatten)]
    pub dead_letter: DeadLetter,
    /// The event as it stands in the log; `null` when it has been removed from there.
    #[schema(required)]
    pub event: Option<EventView>,
}

/// Which dead letters; absent conditions hold for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterSelection {
    /// Only those of this processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// Only those of this topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Only those of this ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only those of this class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

impl DeadLetterSelection {
    /// Whether the dead letter is among those selected.
    pub fn holds(&self, dead_letter: &DeadLetter) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.processor, &dead_letter.processor)
            && is(&self.topic, &dead_letter.position.topic)
            && is(&self.key, &dead_letter.key)
            && is(&self.class, &dead_letter.class)
    }
}

/// The decision to go on without an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardRequest {
    /// Who decided it.
    #[schema(min_length = 1, max_length = 512)]
    pub author: String,
    /// Why, for those who ask later.
    #[schema(min_length = 1, max_length = 4096)]
    pub reason: String,
}

/// A redrive or a discard that is durable in the log; the processor acts on it when it reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetterRequest {
    /// The dead letter's id.
    pub id: String,
    /// Where the request stands.
    pub position: PositionView,
}

/// Redrives that are durable in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedrivesRequested {
    /// How many.
    pub requested: u64,
}

/// Names a dead letter: the processor that set an event aside, and where the event stands.
///
/// As text: processor, topic, partition and offset with `~` between, such as `route~messages~0~12`. It needs no encoding
/// in a URL: bytes of the processor's name that would are written as `!` and two hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeadLetterId {
    /// The processor.
    pub processor: String,
    /// Where the event stands.
    pub position: Position,
}

/// A text that names no dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no id of a dead letter, such as route~messages~0~12")]
pub struct InvalidDeadLetterId(pub String);

impl fmt::Display for DeadLetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.processor.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b':' => {
                    write!(formatter, "{}", char::from(byte))?;
                }
                _ => write!(formatter, "!{byte:02X}")?,
            }
        }
        let Position { partition: Partition { topic, id }, offset } = self.position;
        write!(formatter, "~{topic}~{id}~{offset}")
    }
}

impl FromStr for DeadLetterId {
    type Err = InvalidDeadLetterId;

    /// Reads what was written; nothing else, so that one dead letter has one id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || InvalidDeadLetterId(text.to_owned());
        let id = parsed(text).ok_or_else(refuse)?;
        if id.to_string() != text {
            return Err(refuse());
        }
        Ok(id)
    }
}

fn parsed(text: &str) -> Option<DeadLetterId> {
    // From the right: a processor's name may hold the separator.
    let mut parts = text.rsplitn(4, '~');
    let offset = parts.next()?.parse().ok()?;
    let id = parts.next()?.parse().ok()?;
    let topic = parts.next()?.parse().ok()?;
    let processor = unescaped(parts.next()?)?;
    Some(DeadLetterId { processor, position: Position { partition: Partition { topic, id }, offset } })
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'!' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_read_back_and_needs_no_encoding(processor in any::<String>(), topic in prop::sample::select(&Topic::ALL[..]), id: u32, offset: u64) {
            let id = DeadLetterId { processor, position: Position { partition: Partition { topic, id }, offset } };
            let text = id.to_string();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~@:!".contains(&byte)), "{}", text);
            prop_assert_eq!(text.parse::<DeadLetterId>(), Ok(id));
        }

        #[test]
        fn whatever_is_read_as_an_id_is_written_the_same(text in "[a-z!~0-9A-F/ ]{0,8}~(messages|moon)~[0-9+]{1,3}~[0-9]{1,22}") {
            if let Ok(id) = text.parse::<DeadLetterId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_id_can_be_read_by_people() {
        let partition = Partition { topic: Topic::Messages, id: 0 };
        let id = |processor: &str| {
            DeadLetterId { processor: processor.to_owned(), position: Position { partition, offset: 12 } }.to_string()
        };
        assert_eq!(id("embed@all-MiniLM-L6-v2:1f"), "embed@all-MiniLM-L6-v2:1f~messages~0~12");
        assert_eq!(id("a/b~c!"), "a!2Fb~c!21~messages~0~12");
    }

    #[test]
    fn what_names_no_dead_letter_is_refused() {
        for text in [
            "",
            "x",
            "route~messages~0",
            "route~moon~0~1",
            "route~messages~00~1",
            "a!2fb~messages~0~1",
            "!~messages~0~1",
        ] {
            assert!(text.parse::<DeadLetterId>().is_err(), "{text}");
        }
    }
}
