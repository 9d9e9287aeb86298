//! Roles: the parts of the server as processes of their own, over a log on Kafka. Any number of each may run.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use meshlog_schemas::PartitionShare;

use super::{
    EXIT_CODES, Failure, Outcome, calls_config::CallArguments, kafka::KafkaArguments, model::ModelArguments,
    rebuilds::RebuildLimits, up::log_to_standard_error,
};
use crate::house::{self, Model, Plan, StageKind};

/// The arguments of `meshlog gateway`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog gateway --log kafka://127.0.0.1:9092 --query http://127.0.0.1:7720

It takes messages in, and forwards what only projections can answer to the query nodes.

{EXIT_CODES}"))]
pub(super) struct GatewayArguments {
    #[command(flatten)]
    log: KafkaArguments,

    /// The address to listen on
    #[arg(long, env = "MESHLOG_LISTEN", default_value = "127.0.0.1:7700", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The query nodes, each as http://HOST:PORT
    #[arg(long, env = "MESHLOG_QUERY", value_delimiter = ',', value_name = "URL")]
    query: Vec<String>,

    /// The data directory
    #[arg(long, env = "MESHLOG_DATA", default_value = "./meshlog-data", value_name = "DIRECTORY")]
    data: PathBuf,

    #[command(flatten)]
    calls: CallArguments,
}

/// The arguments of `meshlog worker`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog worker --log kafka://127.0.0.1:9092 --stages embed --listen 127.0.0.1:7711

Workers with the same stage share its partitions. To scale a stage, start another.

{EXIT_CODES}"))]
pub(super) struct WorkerArguments {
    #[command(flatten)]
    log: KafkaArguments,

    /// The stages to take part in
    #[arg(
        long,
        env = "MESHLOG_STAGES",
        value_delimiter = ',',
        default_value = "route,embed,extract,extract-model,resolve,dispatch",
        value_name = "STAGE"
    )]
    stages: Vec<StageKind>,

    /// The address to listen on, for its health and metrics
    #[arg(long, env = "MESHLOG_LISTEN", default_value = "127.0.0.1:7710", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The data directory
    #[arg(long, env = "MESHLOG_DATA", default_value = "./meshlog-data", value_name = "DIRECTORY")]
    data: PathBuf,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    calls: CallArguments,
}

/// The arguments of `meshlog query`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog query --log kafka://127.0.0.1:9092 --data ~/meshlog-query --listen 127.0.0.1:7720

Two nodes that hold half of everything each, and answer for all:
  meshlog query --log kafka://127.0.0.1:9092 --share 1/2 --listen 127.0.0.1:7720 --peers http://127.0.0.1:7721
  meshlog query --log kafka://127.0.0.1:9092 --share 2/2 --listen 127.0.0.1:7721 --peers http://127.0.0.1:7720

It keeps its own projections in its data directory, which may be deleted: the next start rebuilds them.
A read with the header \"meshlog-after: TOPIC/PARTITION/OFFSET\" waits until the projections have what a receipt names.

{EXIT_CODES}"))]
pub(super) struct QueryArguments {
    #[command(flatten)]
    log: KafkaArguments,

    /// The address to listen on
    #[arg(long, env = "MESHLOG_LISTEN", default_value = "127.0.0.1:7720", value_name = "ADDRESS")]
    listen: SocketAddr,

    /// The share of the partitions that its projections hold: partition P is in share P % N + 1
    #[arg(long, env = "MESHLOG_SHARE", default_value_t = PartitionShare::ALL, value_name = "K/N")]
    share: PartitionShare,

    /// Other query nodes, of any share, each as http://HOST:PORT: what they hold and this one does not, they are asked for
    #[arg(long, env = "MESHLOG_PEERS", value_delimiter = ',', value_name = "URL")]
    peers: Vec<String>,

    /// The data directory; it is made if it does not exist
    #[arg(long, env = "MESHLOG_DATA", default_value = "./meshlog-data", value_name = "DIRECTORY")]
    data: PathBuf,

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

    #[command(flatten)]
    calls: CallArguments,

    #[command(flatten)]
    rebuilds: RebuildLimits,
}

/// Takes messages in until it is told to stop.
pub(super) fn gateway(arguments: GatewayArguments) -> Result<Outcome, Failure> {
    let GatewayArguments { log, listen, query, data, calls } = arguments;
    let calls = calls.options(&data)?;
    let nothing = Plan { role: "gateway", stages: BTreeSet::new(), ..with_nothing(log, data, Model::none())? };
    run(Plan { takes_messages: true, queries: query, calls, ..nothing }, listen)
}

/// Runs stages until it is told to stop.
pub(super) fn worker(arguments: WorkerArguments) -> Result<Outcome, Failure> {
    let WorkerArguments { log, stages, listen, data, model, calls } = arguments;
    let calls = calls.options(&data)?;
    let model = model.choice(&data);
    let stages = stages.into_iter().collect();
    run(Plan { role: "worker", stages, calls, ..with_nothing(log, data, model)? }, listen)
}

/// Keeps projections and answers from them until it is told to stop.
pub(super) fn query(arguments: QueryArguments) -> Result<Outcome, Failure> {
    let QueryArguments { log, listen, share, peers, data, model, assistant_prior, calls, rebuilds } = arguments;
    let rebuilds = rebuilds.settings();
    let calls = calls.options(&data)?;
    let model = model.choice(&data);
    let nothing = with_nothing(log, data, model)?;
    run(Plan { role: "query", has_views: true, share, peers, assistant_prior, calls, rebuilds, ..nothing }, listen)
}

/// A process that does nothing yet.
fn with_nothing(log: KafkaArguments, data: PathBuf, model: Model) -> Result<Plan, Failure> {
    let everything = Plan::everything(log.engine()?, data, model);
    Ok(Plan { stages: BTreeSet::new(), has_views: false, takes_messages: false, ..everything })
}

fn run(plan: Plan, listen: SocketAddr) -> Result<Outcome, Failure> {
    log_to_standard_error();
    house::run(plan, listen)?;
    Ok(Outcome::Done)
}
