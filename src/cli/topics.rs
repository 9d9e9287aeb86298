//! Topics: what the log holds, and how far processors and projections have come.

use meshlog_connectors::api::{ProcessorsView, ProjectionsView, TopicsView};
use serde::Serialize;

use super::{Context, EXIT_CODES, Failure, Outcome, Output, table::Table};

/// The arguments of `meshlog topics`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog topics
  meshlog --json topics | jq '.processors[] | {{name, lag_events}}'

{EXIT_CODES}"))]
pub(super) struct TopicsArguments {}

/// Everything that is shown, as one document.
#[derive(Debug, Serialize)]
struct Overview {
    #[serde(flatten)]
    topics: TopicsView,
    #[serde(flatten)]
    processors: ProcessorsView,
    #[serde(flatten)]
    projections: ProjectionsView,
}

/// Shows the three tables.
pub(super) fn run(context: &mut Context, _arguments: TopicsArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let overview = Overview {
        topics: client.get("/v1/topics", &[])?,
        processors: client.get("/v1/processors", &[])?,
        projections: client.get("/v1/projections", &[])?,
    };
    if context.output.is_json() {
        context.output.document(&overview)?;
    } else {
        show(&mut context.output, &overview)?;
    }
    Ok(Outcome::Done)
}

fn show(output: &mut Output, overview: &Overview) -> Result<(), Failure> {
    let mut topics = Table::new(["topic", "partition", "start", "end"]);
    for topic in &overview.topics.topics {
        for view in &topic.partitions {
            topics.row([topic.name.clone(), view.partition.to_string(), view.start.to_string(), view.end.to_string()]);
        }
    }
    topics.write(output)?;
    output.line("")?;
    let mut processors = Table::new(["processor", "kind", "state", "lag", "processed", "last error"]);
    for view in &overview.processors.processors {
        processors.row([
            view.name.clone(),
            view.kind.clone(),
            view.state.clone(),
            lag(view.lag_events, view.lag_seconds),
            view.processed.to_string(),
            view.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    processors.write(output)?;
    output.line("")?;
    let mut projections = Table::new(["projection", "version", "state", "lag"]);
    for view in &overview.projections.projections {
        projections.row([
            view.name.clone(),
            view.version.clone(),
            view.state.clone(),
            lag(view.lag_events, view.lag_seconds),
        ]);
    }
    projections.write(output)
}

/// A lag for people: events, and the age of the oldest where there are any.
pub(super) fn lag(events: u64, seconds: f64) -> String {
    if events == 0 { "0".to_owned() } else { format!("{events} ({seconds:.1} s)") }
}
