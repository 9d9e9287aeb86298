//! Migrate: moving a log from one engine to another.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};

use meshlog_pipeline::KafkaOptions;
use meshlog_replay::migrate::{Comparison, MigrateProgress, MigrateStep};
use meshlog_schemas::Position;
use serde::Serialize;

use super::{
    Context, EXIT_CODES, Failure, Outcome, failure,
    keep::KeepRule,
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

    /// What the names of the topics on Kafka begin with
    #[arg(long, env = "MESHLOG_TOPIC_PREFIX", default_value = "meshlog.", value_name = "PREFIX")]
    topic_prefix: String,

    /// The replicas of each partition of topics that are made
    #[arg(long, env = "MESHLOG_REPLICATION", default_value_t = 1, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=64))]
    replication: u32,

    /// The replicas that must have a record before it is acknowledged (min.insync.replicas)
    #[arg(long, env = "MESHLOG_MIN_INSYNC", default_value_t = 1, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=64))]
    min_insync: u32,

    /// Settings of librdkafka for every client, one NAME=VALUE a line, such as security.protocol
    #[arg(long, env = "MESHLOG_KAFKA_PROPERTIES", value_name = "FILE")]
    kafka_properties: Option<PathBuf>,

    /// How long Kafka keeps the events of a topic that is moved there, as for "meshlog up". Ages count from the move
    #[arg(long, env = "MESHLOG_RETENTION", value_delimiter = ';', value_name = "TOPIC=LIMIT[,LIMIT]")]
    retention: Vec<KeepRule>,
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
    if let Some(brokers) = text.strip_prefix("kafka://").filter(|brokers| !brokers.is_empty()) {
        return Ok(Place::Kafka(brokers.trim_end_matches('/').to_owned()));
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
    let kafka = arguments.kafka()?;
    let place = |place: &Place| match place {
        Place::Embedded(data) => LogPlace::Embedded(data.clone()),
        Place::Kafka(brokers) => LogPlace::Kafka(Box::new(KafkaOptions { brokers: brokers.clone(), ..kafka.clone() })),
    };
    let (from, to) = (place(&arguments.from), place(&arguments.to));
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

impl MigrateArguments {
    /// All that is said of Kafka, but for the brokers.
    fn kafka(&self) -> Result<KafkaOptions, Failure> {
        Ok(KafkaOptions {
            prefix: self.topic_prefix.clone(),
            replication: self.replication,
            min_insync: self.min_insync,
            retention: self.retention.iter().map(|rule| (rule.topic, rule.retention)).collect(),
            client: self.kafka_properties.as_deref().map(properties).transpose()?.unwrap_or_default(),
            ..KafkaOptions::default()
        })
    }
}

/// The settings in a file of one NAME=VALUE a line.
fn properties(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let wrong =
                || Failure::local(format!("{}: line {number} is no setting", path.display()), "write NAME=VALUE");
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
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

    #[test]
    fn properties_are_read_line_by_line_and_a_wrong_one_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# ours\n\nsasl.password = a=b \nsecurity.protocol=SSL\n").unwrap();
        let read = properties(file.path()).unwrap();
        assert_eq!(read["sasl.password"], "a=b");
        assert_eq!(read["security.protocol"], "SSL");
        std::fs::write(file.path(), "a=b\nwrong\n").unwrap();
        assert!(properties(file.path()).unwrap_err().to_string().contains("line 2 is no setting"));
    }
}
