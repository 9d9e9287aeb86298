//! Failures: why a command could not be carried out, and how that is told.
//!
//! Owns: the exit codes 1 and 3, and the form of errors on standard error.
//! Promises: what happened comes first, what to do about it second; with `--json` both stand in one object on one line.

use std::{
    fmt::{self, Display},
    io,
    path::Path,
};

use meshlog_connectors::problem::ProblemDetails;
use serde_json::json;

use super::output::harmless;
use crate::house::HouseError;

/// Why a command could not be carried out.
#[derive(Debug)]
pub(super) enum Failure {
    /// No server answers at the address, or none any more.
    Unreachable {
        /// The address.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// A long exchange was given up because the server stayed away.
    GivenUp {
        /// What happened, and how far it came.
        what: String,
        /// What to do.
        help: String,
    },
    /// The server said no.
    Refused(Box<ProblemDetails>),
    /// Something on this side went wrong, or an answer could not be understood.
    Local {
        /// What happened.
        what: String,
        /// What to do, when that can be said.
        help: Option<String>,
    },
    /// Whoever read the answer stopped reading; nothing is wrong.
    OutputClosed,
}

impl Failure {
    /// Something went wrong on this side, and this is what to do.
    pub(super) fn local(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Local { what: what.into(), help: Some(help.into()) }
    }

    /// A file could not be opened, read or written.
    pub(super) fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::local(
            format!("cannot {action} {}: {error}", path.display()),
            "check the path and the permissions of the file",
        )
    }

    /// The exit code of the process.
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::Unreachable { .. } | Failure::GivenUp { .. } => 3,
            Failure::Refused(_) | Failure::Local { .. } => 1,
            Failure::OutputClosed => 0,
        }
    }

    /// Tells it on standard error.
    pub(super) fn tell(&self, json: bool) {
        let Some(text) = self.text(json) else { return };
        eprintln!("{text}");
    }

    /// What is told; nothing when nothing is wrong.
    fn text(&self, json: bool) -> Option<String> {
        let (name, help) = match self {
            Failure::OutputClosed => return None,
            Failure::Unreachable { .. } => {
                ("unreachable", Some("start one with \"meshlog up\" or name another with --url"))
            }
            Failure::GivenUp { help, .. } => ("unreachable", Some(help.as_str())),
            Failure::Refused(problem) => (problem.code.as_str(), Some(problem.help.as_str())),
            Failure::Local { help, .. } => ("failed", help.as_deref()),
        };
        if json {
            let what = self.to_string();
            return Some(json!({"error": what, "help": help, "code": name, "exit": self.code()}).to_string());
        }
        let help = help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
        Some(harmless(&format!("error: {self}{help}")))
    }
}

impl fmt::Display for Failure {
    /// What happened, without what to do about it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreachable { url, reason } => write!(formatter, "no meshlog answers at {url} ({reason})"),
            Failure::Refused(problem) => write!(formatter, "{} ({})", problem.detail, problem.code),
            Failure::GivenUp { what, .. } | Failure::Local { what, .. } => formatter.write_str(what),
            Failure::OutputClosed => formatter.write_str("the reader of the answer stopped reading"),
        }
    }
}

impl From<HouseError> for Failure {
    fn from(error: HouseError) -> Self {
        Self::Local { what: error.to_string(), help: error.help() }
    }
}

/// Says something on standard error that is no failure.
pub(super) fn note(json: bool, text: impl Display) {
    if json {
        eprintln!("{}", json!({"note": text.to_string()}));
    } else {
        eprintln!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use meshlog_connectors::problem::{Code, Problem};

    use super::*;

    #[test]
    fn a_refusal_shows_what_was_wrong_its_code_and_what_to_do() {
        let problem = Problem::new(Code::UnknownTopic, "there is no topic \"x\"", "read one of messages");
        let failure = Failure::Refused(Box::new(problem.details().clone()));
        let told = failure.text(false);
        assert_eq!(
            told.as_deref(),
            Some("error: there is no topic \"x\" (unknown_topic)\n  help: read one of messages")
        );
        let told = failure.text(true).expect("a refusal is told");
        let told: serde_json::Value = serde_json::from_str(&told).expect("it is one JSON object");
        assert_eq!(told["code"], "unknown_topic");
        assert_eq!(told["error"], "there is no topic \"x\" (unknown_topic)");
        assert_eq!(told["help"], "read one of messages");
        assert_eq!(told["exit"], 1);
    }

    #[test]
    fn an_absent_server_has_its_own_exit_code_and_names_the_way_out() {
        let failure = Failure::Unreachable { url: "http://127.0.0.1:1".into(), reason: "refused".into() };
        assert_eq!(failure.code(), 3);
        let told = failure.text(false).expect("it is told");
        assert!(told.contains("no meshlog answers at http://127.0.0.1:1"), "{told}");
        assert!(told.contains("start one with \"meshlog up\" or name another with --url"), "{told}");
    }

    #[test]
    fn a_reader_that_stops_reading_is_no_error() {
        assert_eq!((Failure::OutputClosed.code(), Failure::OutputClosed.text(false)), (0, None));
    }
}
