//! Formats: what can be imported, by the name that `--format` takes.

use std::{fmt, str::FromStr};

/// What a file, a folder or a zip file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli::import) enum Format {
    /// Meshlog's own: JSON lines, one message a line.
    Lines,
    /// The export of ChatGPT: conversations as trees, in one file or in several.
    ChatGpt,
    /// The export of Claude, in its older and its newer shape.
    Claude,
    /// The export of a Slack workspace: a folder a channel, a file a day.
    Slack,
    /// DiscordChatExporter's JSON, or the data package that Discord sends its users.
    Discord,
    /// Transcripts with headings or bold names for who speaks.
    Markdown,
    /// Messages of other tools, by the mapping of fields.
    Json,
}

impl Format {
    /// Every format, in the order in which they are tried.
    pub(in crate::cli::import) const ALL: [Self; 7] =
        [Self::ChatGpt, Self::Claude, Self::Slack, Self::Discord, Self::Json, Self::Markdown, Self::Lines];

    /// The name that `--format` takes.
    pub(in crate::cli::import) const fn name(self) -> &'static str {
        match self {
            Self::Lines => "jsonl",
            Self::ChatGpt => "chatgpt",
            Self::Claude => "claude",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Markdown => "markdown",
            Self::Json => "json",
        }
    }

    /// What is counted while it is imported.
    pub(in crate::cli::import) const fn unit(self) -> &'static str {
        match self {
            Self::Lines => "line",
            _ => "message",
        }
    }

    /// What one piece of a document is called in what is told about it.
    pub(super) const fn piece(self) -> &'static str {
        match self {
            Self::ChatGpt | Self::Claude | Self::Json => "conversation",
            Self::Slack | Self::Discord | Self::Lines => "message",
            Self::Markdown => "transcript",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|format| format.name()).collect();
            format!("there is no format \"{name}\"; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("xml".parse::<Format>().expect_err("there is none").contains("there are chatgpt, claude"));
    }
}
