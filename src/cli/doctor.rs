//! Doctor: looking for what is wrong, in a running server or in a stopped data directory.

use std::path::PathBuf;

use meshlog_connectors::api::{ProcessorsView, ProjectionsView, Readiness, TopicsView};
use serde::Serialize;

use super::{Client, Context, EXIT_CODES, Failure, Outcome, Output, model::ModelArguments, topics::lag, up};
use crate::house;

/// The lag in seconds from which on it is worth a warning.
const LAG_WARNING: f64 = 60.0;

/// The arguments of `meshlog doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog doctor
  meshlog doctor --data ./meshlog-data     (while no server runs)

{EXIT_CODES}
The exit code is 1 when a finding is an error; warnings alone leave it 0."))]
pub(super) struct DoctorArguments {
    /// Look at this data directory while no server runs on it
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// `ok`, `warning` or `error`.
    level: &'static str,
    subject: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

/// Looks, and shows what was found.
pub(super) fn run(context: &mut Context, arguments: DoctorArguments) -> Result<Outcome, Failure> {
    let findings = match arguments.data {
        Some(data) => {
            up::log_to_standard_error();
            let model = arguments.model.choice(&data);
            Findings::from(house::offline::doctor(&data, &model)?)
        }
        None => examined(&context.client()?)?,
    };
    show(&mut context.output, &findings)?;
    Ok(if findings.any("error") { Outcome::Failed } else { Outcome::Done })
}

fn examined(client: &Client) -> Result<Findings, Failure> {
    let mut findings = Findings::default();
    client.status_and_text("/livez")?;
    findings.ok("server", "it answers");
    findings.readiness(&client.status_and_text("/readyz")?.1);
    // A server that is not ready may refuse these; that it does is a finding, and no reason to stop.
    findings.take(client.get("/v1/topics", &[]), "topics", Findings::topics);
    findings.take(client.get("/v1/processors", &[]), "processors", Findings::processors);
    findings.take(client.get("/v1/projections", &[]), "projections", Findings::projections);
    Ok(findings)
}

impl Findings {
    fn any(&self, level: &str) -> bool {
        self.findings.iter().any(|finding| finding.level == level)
    }

    fn ok(&mut self, subject: &str, detail: impl Into<String>) {
        self.findings.push(Finding { level: "ok", subject: subject.to_owned(), detail: detail.into(), help: None });
    }

    fn warn(&mut self, subject: &str, detail: impl Into<String>, help: &str) {
        let (subject, detail, help) = (subject.to_owned(), detail.into(), Some(help.to_owned()));
        self.findings.push(Finding { level: "warning", subject, detail, help });
    }

    fn error(&mut self, subject: &str, detail: impl Into<String>, help: &str) {
        let (subject, detail, help) = (subject.to_owned(), detail.into(), Some(help.to_owned()));
        self.findings.push(Finding { level: "error", subject, detail, help });
    }

    /// Looks at an answer, or notes that there was none.
    fn take<T>(&mut self, answer: Result<T, Failure>, subject: &str, look: fn(&mut Self, T)) {
        match answer {
            Ok(answer) => look(self, answer),
            Err(Failure::Refused(problem)) => {
                self.error(subject, format!("{} ({})", problem.detail, problem.code), &problem.help);
            }
            Err(failure) => self.error(subject, failure.to_string(), "look at the server's log"),
        }
    }

    fn readiness(&mut self, text: &str) {
        match serde_json::from_str(text) {
            Ok(Readiness { ready: true, .. }) => self.ok("readiness", "it can do its work"),
            Ok(Readiness { reasons, .. }) => {
                self.error("readiness", reasons.join("; "), "wait if it is starting; else look at the server's log");
            }
            Err(_) => self.error("readiness", "/readyz answers something else", "check that a meshlog listens there"),
        }
    }

    fn topics(&mut self, view: TopicsView) {
        let events: u64 = view
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.end.saturating_sub(partition.start))
            .sum();
        self.ok("log", format!("{} topics hold {events} events", view.topics.len()));
    }

    fn processors(&mut self, view: ProcessorsView) {
        for processor in view.processors {
            let subject = format!("processor {}", processor.name);
            let state = format!("{}, lag {}", processor.state, lag(processor.lag_events, processor.lag_seconds));
            if processor.state == "failed" {
                let reason = processor.last_error.as_deref().unwrap_or("it does not say why");
                self.error(&subject, format!("failed: {reason}"), "correct the cause and start the server again");
            } else if let Some(error) = processor.last_error {
                self.warn(&subject, format!("{state}; last error: {error}"), "watch whether its lag goes down");
            } else if processor.lag_seconds > LAG_WARNING {
                self.warn(&subject, state, "wait, and look again: the lag should go down");
            } else {
                self.ok(&subject, state);
            }
        }
    }

    fn projections(&mut self, view: ProjectionsView) {
        for projection in view.projections {
            let subject = format!("projection {}", projection.name);
            let lag_text = lag(projection.lag_events, projection.lag_seconds);
            let state = format!("{}, version {}, lag {lag_text}", projection.state, projection.version);
            if projection.state == "failed" {
                let help = format!("\"meshlog replay rebuild {}\" makes it anew from the log", projection.name);
                self.error(&subject, state, &help);
            } else if projection.lag_seconds > LAG_WARNING {
                self.warn(&subject, state, "wait, and look again: the lag should go down");
            } else {
                self.ok(&subject, state);
            }
        }
    }
}

impl From<house::offline::DoctorReport> for Findings {
    fn from(report: house::offline::DoctorReport) -> Self {
        let findings = report.findings.into_iter().map(|finding| Finding {
            level: finding.level,
            subject: finding.subject,
            detail: finding.detail,
            help: finding.help,
        });
        Self { findings: findings.collect() }
    }
}

fn show(output: &mut Output, findings: &Findings) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(findings);
    }
    for Finding { level, subject, detail, help } in &findings.findings {
        let level = if *level == "ok" { format!("{level:<7}") } else { output.bold(&format!("{level:<7}")) };
        output.line(format!("{level}  {subject}: {detail}"))?;
        if let Some(help) = help {
            output.line(format!("         help: {help}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn levels(findings: &Findings) -> Vec<&'static str> {
        findings.findings.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_failed_processor_is_an_error_and_one_that_recovers_a_warning() {
        let processor = |state: &str, error: Option<&str>, seconds: f64| {
            json!({"name": "embed", "kind": "stage", "state": state, "inputs": [], "checkpoint": [],
                "lag_events": 3, "lag_seconds": seconds, "last_error": error, "processed": 1})
        };
        let view = json!({"processors": [
            processor("running", None, 1.0),
            processor("running", Some("busy"), 1.0),
            processor("running", None, 100.0),
            processor("failed", Some("no model"), 1.0),
        ]});
        let mut findings = Findings::default();
        findings.processors(serde_json::from_value(view).expect("it is a view of processors"));
        assert_eq!(levels(&findings), ["ok", "warning", "warning", "error"]);
        assert!(findings.findings[3].detail.contains("no model"));
    }

    #[test]
    fn a_server_that_is_not_ready_says_why() {
        let mut findings = Findings::default();
        findings.readiness(r#"{"ready":false,"reasons":["the model is missing","threads lags"]}"#);
        assert_eq!(findings.findings[0].detail, "the model is missing; threads lags");
        findings.readiness("<html>");
        findings.readiness(r#"{"ready":true,"reasons":[]}"#);
        assert_eq!(levels(&findings), ["error", "error", "ok"]);
    }
}
