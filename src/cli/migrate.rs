//! Migrate: moving a log from one engine to another.

use std::{path::PathBuf, time::Instant};

use meshlog_replay::migrate::{Comparison, MigrateProgress, MigrateStep};
use meshlog_schemas::Position;
use serde::Serialize;

use super::{
    Context, EXIT_CODES, Failure, Outcome, failure,
    kafka::{self, TopicArguments},
    progress::{Progress, Unit},
    table::Table,
    up,
};
use crate::house::{self, LogPlace, Migrated};

/// The arguments of `meshlog migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog migrate --from embedded:./meshlog-data --to kafka://broker-1:9092,broker-2:9092 --replication 3 --min-insync 2
  meshlog migrate --from kafka://broker-1:9092 --to embedded:./meshlog-data

Every record keeps its partition, offset, time, key, headers, body and identity, and every processor its progress; so
checkpoints, dead letters and views stay true. Then both logs are read from the start and compared.

Stop everything that appends to either log first: the server or the roles. On a data directory that is made sure; Kafka cannot
keep anybody away, and what a source gains meanwhile is carried too, and said.

It may be broken off at any moment: the same command goes on from there. A target that holds anything else than a beginning
of the source is refused.

{EXIT_CODES}"))]
pub(super) struct MigrateArguments {
    /// The log to move: embedded:DIRECTORY (a data directory) or kafka://HOST:PORT[,HOST:PORT...]
    #[arg(long, value_name = "LOG", value_parser = parse_place)]
    from: Place,

    /// Where to: as --from. What is not there is made
    #[arg(long, value_name = "LOG", value_parser = parse_place)]
    to: Place,

    /// Move nothing, only compare both
    #[arg(long)]
    verify_only: bool,

    #[command(flatten)]
    topics: TopicArguments,
}

/// A log as it is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Embedded(PathBuf),
    Kafka(String),
}

fn parse_place(text: &str) -> Result<Place, String> {
    if let Some(data) = text.strip_prefix("embedded:").filter(|data| !data.is_empty()) {
        return Ok(Place::Embedded(data.into()));
    }
    if text.starts_with(kafka::SCHEME) {
        return kafka::brokers(text).map(Place::Kafka);
    }
    Err("write embedded:DIRECTORY or kafka://HOST:PORT[,HOST:PORT...]".to_owned())
}

/// What came of it, for programs.
#[derive(Serialize)]
struct Report {
    from: String,
    to: String,
    /// Records that the target held already; absent if nothing was to be moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<u64>,
    /// Records that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<u64>,
    /// Whether the source grew meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_has_grown: Option<bool>,
    seconds: f64,
    equal: bool,
    partitions: Vec<PartitionView>,
    processors: usize,
    differing_processors: Vec<String>,
}

#[derive(Serialize)]
struct PartitionView {
    topic: &'static str,
    partition: u32,
    start: u64,
    end: u64,
    from_digest: String,
    to_digest: String,
    /// The first offset where they differ.
    first_difference: Option<u64>,
}

/// Moves a log, or compares two.
pub(super) fn run(context: &mut Context, arguments: MigrateArguments) -> Result<Outcome, Failure> {
    up::log_to_standard_error();
    let place = |place: Place| match place {
        Place::Embedded(data) => Ok(LogPlace::Embedded(data)),
        Place::Kafka(brokers) => arguments.topics.clone().options(brokers).map(|log| LogPlace::Kafka(Box::new(log))),
    };
    let (from, to) = (place(arguments.from)?, place(arguments.to)?);
    let begun = Instant::now();
    let mut bar = Bar::new(context.output.is_json());
    let mut watch = |progress: MigrateProgress| bar.show(progress);
    let migrated = if arguments.verify_only {
        house::verify_migration(&from, &to, &mut watch)?
    } else {
        house::migrate(&from, &to, &mut watch)?
    };
    drop(bar);
    let report = report(&from, &to, &migrated, begun.elapsed().as_secs_f64());
    show(context, &report)?;
    Ok(if report.equal { Outcome::Done } else { Outcome::Found })
}

/// One bar for each step.
struct Bar {
    json: bool,
    shown: Option<(MigrateStep, Progress, Instant)>,
}

impl Bar {
    fn new(json: bool) -> Self {
        Self { json, shown: None }
    }

    fn show(&mut self, progress: MigrateProgress) {
        let MigrateProgress { step, partition, records, total, bytes } = progress;
        if self.shown.as_ref().is_none_or(|(shown, ..)| *shown != step) {
            // The last one goes away first.
            self.shown = None;
            let bar = Progress::new(self.json, Some(total), Unit::Count("records"));
            self.shown = Some((step, bar, Instant::now()));
        }
        let Some((_, bar, begun)) = &self.shown else { return };
        let seconds = begun.elapsed().as_secs_f64().max(0.001);
        let (rate, megabytes) = (records as f64 / seconds, bytes as f64 / seconds / 1e6);
        bar.set_total(total);
        bar.show(records, format!("{} {partition}: {rate:.0} records/s, {megabytes:.0} MB/s", doing(step)));
    }
}

/// What is being done, for people.
fn doing(step: MigrateStep) -> &'static str {
    match step {
        MigrateStep::Check => "checking what is there of",
        MigrateStep::Carry => "moving",
        MigrateStep::Verify => "comparing",
    }
}

fn report(from: &LogPlace, to: &LogPlace, migrated: &Migrated, seconds: f64) -> Report {
    let Migrated { carried, verification } = migrated;
    let view = |compared: &Comparison| PartitionView {
        topic: compared.partition.topic.name(),
        partition: compared.partition.id,
        start: compared.offsets.start,
        end: compared.offsets.end,
        from_digest: compared.source.to_string(),
        to_digest: compared.target.to_string(),
        first_difference: compared.first_difference.map(|Position { offset, .. }| offset),
    };
    Report {
        from: from.to_string(),
        to: to.to_string(),
        found: carried.as_ref().map(|carried| carried.found),
        written: carried.as_ref().map(|carried| carried.written),
        source_has_grown: carried.as_ref().map(|carried| carried.has_grown),
        seconds,
        equal: verification.is_equal(),
        partitions: verification.partitions.iter().map(view).collect(),
        processors: verification.processors,
        differing_processors: verification.differing_processors.clone(),
    }
}

fn show(context: &mut Context, report: &Report) -> Result<(), Failure> {
    let json = context.output.is_json();
    if report.source_has_grown == Some(true) {
        let what =
            "the source grew meanwhile; that was moved too. Stop whoever appends to it, and run this again to be sure";
        failure::note(json, format!("note: {what}"));
    }
    if json {
        return context.output.document(report);
    }
    let mut table = Table::new(["partition", "offsets", "digest", ""]);
    for view in &report.partitions {
        let PartitionView { topic, partition, start, end, from_digest, to_digest, first_difference } = view;
        let (digest, verdict) = match first_difference {
            None => (from_digest.clone(), "equal".to_owned()),
            Some(offset) => (format!("{from_digest} / {to_digest}"), format!("DIFFERENT from offset {offset} on")),
        };
        table.row([format!("{topic}/{partition}"), format!("{start} to {end}"), digest, verdict]);
    }
    table.write(&mut context.output)?;
    for processor in &report.differing_processors {
        context.output.line(format!("the progress of {processor}: DIFFERENT"))?;
    }
    if let (Some(found), Some(written)) = (report.found, report.written) {
        let were_there = if found > 0 { format!(", {found} were there already") } else { String::new() };
        let (processors, seconds) = (report.processors, report.seconds);
        context.output.line(format!(
            "{written} records moved{were_there}; the progress of {processors} processors; {seconds:.1} s"
        ))?;
    }
    if report.equal {
        return context.output.line(format!("{} and {} are equal", report.from, report.to));
    }
    context
        .output
        .line("help: somebody appends to one of them, or it was changed since: stop whoever does, and run this again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_named_by_their_engine() {
        assert_eq!(parse_place("embedded:./data"), Ok(Place::Embedded("./data".into())));
        assert_eq!(parse_place("kafka://a:1,b:2/"), Ok(Place::Kafka("a:1,b:2".to_owned())));
        for wrong in ["", "embedded:", "kafka://", "./data", "http://a"] {
            assert!(parse_place(wrong).is_err(), "{wrong}");
        }
    }
}
