//! Topics: what the log holds, and how far processors and projections have come.

use meshlog_connectors::api::{ProcessorsView, ProjectionsView, RetentionView, TopicsView};
use serde::Serialize;

use super::{Context, EXIT_CODES, Failure, Outcome, Output, output::one_line, table::Table};

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
    let mut topics = Table::new(["topic", "partition", "start", "end", "bytes", "kept"]);
    for topic in &overview.topics.topics {
        for (row, view) in topic.partitions.iter().enumerate() {
            // What holds for the topic stands once.
            let of_topic = |text: String| if row == 0 { text } else { String::new() };
            topics.row([
                topic.name.clone(),
                view.partition.to_string(),
                view.start.to_string(),
                view.end.to_string(),
                of_topic(bytes(topic.retention.bytes)),
                of_topic(kept(&topic.retention)),
            ]);
        }
    }
    topics.write(output)?;
    log_state(output, &overview.topics)?;
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

/// What an acknowledgement promises, and whether there are any now.
fn log_state(output: &mut Output, topics: &TopicsView) -> Result<(), Failure> {
    if let Some(log) = &topics.log {
        let reason = log.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        output.line(one_line(&format!("log: {}{reason}", log.state)))?;
    }
    match &topics.durability {
        Some(durability) => output.line(one_line(&format!("durability {}: {}", durability.mode, durability.promise))),
        None => Ok(()),
    }
}

/// How long a topic's events are kept, and for whom longer.
fn kept(retention: &RetentionView) -> String {
    let age = retention.max_age_seconds.map(duration);
    let size = retention.max_bytes.map(bytes);
    let limits: Vec<_> = age.into_iter().chain(size).collect();
    let limits = if limits.is_empty() { "all".to_owned() } else { limits.join(", ") };
    match retention.held_by.as_slice() {
        [] => limits,
        held_by => format!("{limits}; more for {}", held_by.join(", ")),
    }
}

/// Seconds in the largest unit that leaves nothing over.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// Bytes to three figures.
fn bytes(count: u64) -> String {
    let units = ["KB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (count as f64, "B");
    for next in units {
        if size < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, next);
    }
    if unit == "B" || size >= 100.0 { format!("{size:.0} {unit}") } else { format!("{size:.1} {unit}") }
}

/// A lag for people: events, and the age of the oldest where there are any.
pub(super) fn lag(events: u64, seconds: f64) -> String {
    if events == 0 { "0".to_owned() } else { format!("{events} ({seconds:.1} s)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_shown_in_units_people_use() {
        let sizes = [0, 999, 1_000, 123_456, 1_234_567, 5_000_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 KB", "123 KB", "1.2 MB", "5000 TB"]);
        assert_eq!([0, 59, 90, 120, 7_200, 604_800].map(duration), ["0 s", "59 s", "90 s", "2 min", "2 h", "7 d"]);
    }

    #[test]
    fn what_keeps_events_longer_is_named() {
        let mut retention = RetentionView::default();
        assert_eq!(kept(&retention), "all");
        (retention.max_age_seconds, retention.max_bytes) = (Some(86_400), Some(2_000_000_000));
        assert_eq!(kept(&retention), "1 d, 2.0 GB");
        retention.held_by = vec!["vectors".into(), "embed@m".into()];
        assert_eq!(kept(&retention), "1 d, 2.0 GB; more for vectors, embed@m");
    }
}
