//! Summary: how an import went.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// How an import went.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Summary {
    /// The name of the format; empty until it is known.
    pub(super) format: &'static str,
    /// How many lines the file has, blank ones included; of an export, how many messages, with what could not be read.
    pub(super) lines: u64,
    /// How many messages were taken in.
    pub(super) accepted: u64,
    /// How many were in the log before.
    pub(super) duplicates: u64,
    /// How many of them did not become messages.
    pub(in crate::cli) rejected: u64,
    /// How long it took, in seconds, with the wait.
    pub(super) seconds: f64,
    /// Whether it was waited for that recall finds everything.
    pub(super) indexed: bool,
    /// Where what was rejected is kept.
    pub(super) report: Option<PathBuf>,
    /// What is worth knowing of an export and no fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, lines, accepted, duplicates, rejected, seconds, indexed, report, notes: _ } = self;
        let counted = match *format {
            "" | "jsonl" => "lines".to_owned(),
            format => format!("messages of {format}"),
        };
        let rate = (accepted + duplicates) as f64 / seconds.max(f64::EPSILON);
        let indexed = if *indexed { ", all indexed" } else { "" };
        write!(
            formatter,
            "{lines} {counted}: {accepted} accepted, {duplicates} duplicates, {rejected} rejected{indexed}; \
             {seconds:.2} s, {rate:.0} messages/s"
        )?;
        match report {
            Some(path) => write!(formatter, "\nwhat was rejected is kept in {}", path.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_told_on_one_line_and_its_report_on_a_second() {
        let mut summary =
            Summary { lines: 10, accepted: 6, duplicates: 2, rejected: 1, seconds: 2.0, ..Summary::default() };
        assert_eq!(summary.to_string(), "10 lines: 6 accepted, 2 duplicates, 1 rejected; 2.00 s, 4 messages/s");
        summary.report = Some("r.jsonl".into());
        assert!(summary.to_string().ends_with("\nwhat was rejected is kept in r.jsonl"));
        summary.format = "chatgpt";
        assert!(summary.to_string().starts_with("10 messages of chatgpt: 6 accepted"), "{summary}");
    }
}
