//! Speakers: the names that begin a turn.

use crate::cli::import::exports::message::Role;

/// The names, in lower case, of who asks.
const USERS: [&str; 6] = ["user", "you", "human", "me", "prompt", "you said"];
/// The names of who answers; of a name that is followed by a version, such as `GPT-4o`, only its first word counts.
const ASSISTANTS: [&str; 16] = [
    "assistant",
    "chatgpt",
    "gpt",
    "claude",
    "gemini",
    "copilot",
    "deepseek",
    "grok",
    "mistral",
    "llama",
    "qwen",
    "perplexity",
    "ai",
    "bot",
    "model",
    "response",
];
/// Names that say only what somebody is, so they are nobody's name.
const PLAIN: [&str; 11] =
    ["user", "you", "human", "me", "prompt", "assistant", "ai", "bot", "model", "response", "system"];

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Speaker {
    pub(super) role: Role,
    /// Their name, where it is one.
    pub(super) name: Option<String>,
}

/// The speaker that a label names, if it is one: `User`, `🤖 ChatGPT said:`, `Assistant (GPT-4o)`.
pub(super) fn speaker(label: &str, author: Option<&str>) -> Option<Speaker> {
    let label = label.trim().trim_matches(|character: char| !character.is_alphanumeric() && character != ')');
    let label = label.split(" (").next().unwrap_or(label).trim();
    let label = label.strip_suffix(" said").unwrap_or(label).trim();
    if label.len() > 60 {
        return None;
    }
    let lower = label.to_lowercase();
    let first = lower.split([' ', '-', '.', ':']).next().unwrap_or_default();
    let is_version =
        |rest: &str| rest.is_empty() || (rest.len() < 24 && rest.contains(|one: char| one.is_ascii_digit()));
    let role = if USERS.contains(&lower.as_str()) || author.is_some_and(|author| author.to_lowercase() == lower) {
        Role::User
    } else if ASSISTANTS.contains(&first) && is_version(&lower[first.len()..]) {
        Role::Assistant
    } else if lower == "system" {
        Role::System
    } else if lower == "tool" {
        Role::Tool
    } else {
        return None;
    };
    let name = match role {
        _ if !PLAIN.contains(&lower.as_str()) && lower != "you said" => Some(label.to_owned()),
        Role::User => None,
        Role::Assistant => Some("assistant".to_owned()),
        Role::System => Some("system".to_owned()),
        Role::Tool => Some("tool".to_owned()),
    };
    Some(Speaker { role, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_dressed() {
        for (label, role, name) in [
            ("User", Role::User, None),
            ("You said:", Role::User, None),
            ("🧑 Human", Role::User, None),
            ("Ada", Role::User, Some("Ada")),
            ("**Assistant**", Role::Assistant, Some("assistant")),
            ("🤖 ChatGPT said:", Role::Assistant, Some("ChatGPT")),
            ("Assistant (GPT-4o)", Role::Assistant, Some("assistant")),
            ("Claude 3.5 Sonnet", Role::Assistant, Some("Claude 3.5 Sonnet")),
            ("GPT-4o:", Role::Assistant, Some("GPT-4o")),
            ("System", Role::System, Some("system")),
        ] {
            let expected = Speaker { role, name: name.map(str::to_owned) };
            assert_eq!(speaker(label, Some("ada")), Some(expected), "{label}");
        }
    }

    #[test]
    fn other_headings_are_nobody() {
        for label in ["User guide", "Model of the world", "AI and the law", "Results", "", "Ada", "Bot or not"] {
            assert_eq!(speaker(label, None), None, "{label}");
        }
    }
}
