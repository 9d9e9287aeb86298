//! Up: running the server in this process.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use meshlog_pipeline::{Durability, EmbeddedOptions};
use tracing_subscriber::EnvFilter;

use super::{
    EXIT_CODES, Failure, Outcome,
    calls_config::{CallArguments, ReplayArguments},
    keep::KeepRule,
    model::ModelArguments,
    rebuilds::RebuildLimits,
};
use crate::house::{self, CallOptions, EngineOptions, Plan};

/// Where the level of logging is set.
const LOG_VARIABLE: &str = "MESHLOG_LOG";
/// The level of logging when nothing is set.
const LOG_DEFAULT: &str = "warn,meshlog=info";

/// The arguments of `meshlog up`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog up --data ~/meshlog-data --listen 127.0.0.1:7700

MESHLOG_LOG sets what is logged to standard error (default \"{LOG_DEFAULT}\").
The HTTP interface describes itself at /openapi.json.

{EXIT_CODES}"))]
pub(super) struct UpArguments {
    /// The data directory; it is made if it does not exist
    #[arg(long, env = "MESHLOG_DATA", default_value = "./meshlog-data", value_name = "DIRECTORY")]
    data: PathBuf,

    /// The address to listen on
    #[arg(long, env = "MESHLOG_LISTEN", default_value = "127.0.0.1:7700", value_name = "ADDRESS")]
    listen: SocketAddr,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    calls: CallArguments,

    #[command(flatten)]
    replay: ReplayArguments,

    #[command(flatten)]
    rebuilds: RebuildLimits,

    /// When a write is acknowledged: once the disk has it (always), or once the system has it, which is asked to write it out
    /// at an interval (interval) or when it likes (none). Only the first survives a loss of power
    #[arg(long, env = "MESHLOG_FSYNC", value_enum, default_value = "always", value_name = "WHEN")]
    fsync: Fsync,

    /// The interval of --fsync interval, in milliseconds
    #[arg(long, env = "MESHLOG_FSYNC_INTERVAL_MS", default_value_t = 100, value_name = "NUMBER",
        value_parser = clap::value_parser!(u64).range(1..=60_000))]
    fsync_interval_ms: u64,

    /// How long the events of a topic are kept: by age (30m, 12h, 30d), by size (500MB, 20GB), or both. Without it, for ever
    #[arg(long, env = "MESHLOG_RETENTION", value_delimiter = ';', value_name = "TOPIC=LIMIT[,LIMIT]")]
    retention: Vec<KeepRule>,

    /// What is added to the score of an assistant's message in recall; below zero, what people said goes first
    #[arg(
        long,
        env = "MESHLOG_ASSISTANT_PRIOR",
        default_value_t = -0.4,
        allow_negative_numbers = true,
        value_name = "NUMBER"
    )]
    assistant_prior: f32,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Fsync {
    Always,
    Interval,
    None,
}

/// Runs the server until it is told to stop.
pub(super) fn run(arguments: UpArguments) -> Result<Outcome, Failure> {
    let UpArguments { data, listen, model, calls, replay, rebuilds, .. } = arguments;
    let UpArguments { fsync, fsync_interval_ms, retention, assistant_prior, .. } = arguments;
    if !assistant_prior.is_finite() {
        let what = format!("the assistant prior is {assistant_prior}, which is no number to add to a score");
        return Err(Failure::local(what, "set --assistant-prior to a number such as -0.4"));
    }
    log_to_standard_error();
    let model = model.choice(&data);
    let calls = CallOptions { replay: replay.pace(), ..calls.options(&data)? };
    let durability = match fsync {
        Fsync::Always => Durability::Always,
        Fsync::Interval => Durability::Interval(Duration::from_millis(fsync_interval_ms)),
        Fsync::None => Durability::None,
    };
    let retention = retention.into_iter().map(|rule| (rule.topic, rule.retention)).collect();
    let log = EmbeddedOptions { durability, retention, ..EmbeddedOptions::default() };
    let everything = Plan::everything(EngineOptions::Embedded(log), data, model);
    house::run(Plan { assistant_prior, calls, rebuilds: rebuilds.settings(), ..everything }, listen)?;
    Ok(Outcome::Done)
}

/// Sets up logging, for commands that do the work in this process.
pub(super) fn log_to_standard_error() {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| LOG_DEFAULT.to_owned());
    let (filter, wrong) = match EnvFilter::try_new(&wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(LOG_DEFAULT), Some(error)),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    if let Some(error) = wrong {
        tracing::warn!(%error, "{LOG_VARIABLE} is \"{wanted}\", which is no filter; \"{LOG_DEFAULT}\" is used");
    }
}
