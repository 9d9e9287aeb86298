//! Processors: how each stage and projection fares.

use meshlog_connectors::api::{ProcessorView, ProcessorsView};

use super::{
    Context, EXIT_CODES, Failure, Outcome,
    output::{one_line, shortened},
    table::Table,
};

/// How much is shown of an error, in characters.
const ERROR_SHOWN: usize = 80;

/// The arguments of `meshlog processors`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog processors
  meshlog --json processors | jq '.processors[] | select(.parked > 0) | .name'

The lag is in events, and in seconds by the age of the oldest of them; the rate in events a second over the last ten
seconds, and what is left in seconds at that rate. Parked events are dead letters: see meshlog dead-letters. Missed
events were taken away by the topic's retention before they were read.

{EXIT_CODES}"))]
pub(super) struct ProcessorsArguments {}

/// Shows the processors.
pub(super) fn run(context: &mut Context, _arguments: ProcessorsArguments) -> Result<Outcome, Failure> {
    let view: ProcessorsView = context.client()?.get("/v1/processors", &[])?;
    if context.output.is_json() {
        context.output.document(&view)?;
        return Ok(Outcome::Done);
    }
    let heading = ["name", "kind", "state", "lag", "lag-s", "rate", "left-s", "parked", "missed", "last error"];
    let mut table = Table::new(heading);
    view.processors.iter().for_each(|processor| table.row(row(processor)));
    table.write(&mut context.output)?;
    Ok(Outcome::Done)
}

fn row(view: &ProcessorView) -> [String; 10] {
    [
        view.name.clone(),
        view.kind.clone(),
        state(view),
        view.lag_events.to_string(),
        format!("{:.1}", view.lag_seconds),
        format!("{:.1}", view.rate),
        view.eta_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}")),
        view.parked.to_string(),
        view.missed_events.to_string(),
        last_error(view),
    ]
}

/// What it is doing, and where it does not get on.
fn state(view: &ProcessorView) -> String {
    let stalled = view.partitions.iter().filter(|partition| partition.stalled);
    let stalled: Vec<_> = stalled.map(|partition| format!("{}/{}", partition.topic, partition.partition)).collect();
    if stalled.is_empty() { view.state.clone() } else { format!("{}, stalled at {}", view.state, stalled.join(" ")) }
}

fn last_error(view: &ProcessorView) -> String {
    let Some(error) = &view.last_error else { return "-".to_owned() };
    let error = shortened(&one_line(error), ERROR_SHOWN);
    view.last_error_at.map_or(error.clone(), |at| format!("{at} {error}"))
}

#[cfg(test)]
mod tests {
    use meshlog_connectors::api::{PartitionProgress, Timestamp};

    use super::*;

    #[test]
    fn a_row_says_how_far_and_how_fast_and_what_went_wrong() {
        let view = ProcessorView {
            name: "embed@m".into(),
            kind: "stage".into(),
            state: "running".into(),
            lag_events: 7,
            lag_seconds: 1.25,
            rate: 310.04,
            eta_seconds: Some(0.6),
            parked: 2,
            missed_events: 3,
            last_error: Some("the model\nfailed".into()),
            last_error_at: Some(Timestamp::from_micros(0)),
            ..ProcessorView::default()
        };
        let error = "1970-01-01T00:00:00Z the model failed";
        assert_eq!(row(&view), ["embed@m", "stage", "running", "7", "1.2", "310.0", "1", "2", "3", error]);
        let topic = "messages".to_owned();
        let stalled = PartitionProgress { topic, partition: 3, stalled: true, ..PartitionProgress::default() };
        assert_eq!(state(&ProcessorView { partitions: vec![stalled], ..view }), "running, stalled at messages/3");
    }
}
