//! Up: running the server in this process.

use std::{io, net::SocketAddr, path::PathBuf};

use tracing_subscriber::EnvFilter;

use super::{EXIT_CODES, Failure, Outcome, model::ModelArguments};
use crate::house;

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

/// Runs the server until it is told to stop.
pub(super) fn run(arguments: UpArguments) -> Result<Outcome, Failure> {
    let UpArguments { data, listen, model, assistant_prior } = arguments;
    if !assistant_prior.is_finite() {
        let what = format!("the assistant prior is {assistant_prior}, which is no number to add to a score");
        return Err(Failure::local(what, "set --assistant-prior to a number such as -0.4"));
    }
    log_to_standard_error();
    let model = model.directory(&data);
    house::up(house::UpOptions { data, listen, model, assistant_prior })?;
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
