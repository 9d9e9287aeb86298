//! The command line: commands in, requests to the server or work on a data directory, answers out.
//!
//! Owns: arguments, what people and scripts see, exit codes.
//! Promises: answers go to standard output and everything else to standard error; the exit code tells how it went (see
//! [`Outcome`] and [`Failure`]); a reader that closes the pipe early ends a command quietly.
//! Never: opens the log or a store. That is done by the server, or by `house` on a stopped data directory.

mod ask;
mod calls;
mod calls_config;
mod client;
mod dead_letters;
mod doctor;
mod evaluate;
mod failure;
mod graph;
mod import;
mod kafka;
mod keep;
mod memory;
mod migrate;
mod model;
mod money;
mod output;
mod pages;
mod patience;
mod percent;
mod processors;
mod progress;
mod rebuilds;
mod recall;
mod replay;
mod roles;
mod server_sent;
mod summary;
mod table;
mod tail;
mod threads;
mod topics;
mod up;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use client::Client;
use failure::Failure;
use output::Output;

/// The exit codes, as every help text ends.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the server refused, a rebuild failed, a file could not be read or written
  2  wrong usage
  3  the server cannot be reached
  4  done, but with a finding: lines were rejected, or a verification found a difference";

/// The heading in help texts above the options that every command has.
const EVERYWHERE: &str = "Options of every command";

/// An event-sourced memory and gateway for a mesh of AI clients.
#[derive(Debug, Parser)]
#[command(
    name = "meshlog",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = EXIT_CODES,
    after_long_help = format!(
        "Five minutes:\n  \
         meshlog up &\n  \
         meshlog import examples/conversations.jsonl --wait\n  \
         meshlog recall \"where do we keep the spare key?\"\n\n{EXIT_CODES}"
    )
)]
struct Arguments {
    /// Write for programs: one JSON document a command, or one JSON object a line where answers stream; errors too
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,

    /// The server to talk to, for commands that do
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "MESHLOG_URL",
        default_value = "http://127.0.0.1:7700",
        value_name = "URL"
    )]
    url: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: log, stages, projections and HTTP gateway in one process
    Up(up::UpArguments),
    /// Run the gateway alone, over a log on Kafka
    Gateway(roles::GatewayArguments),
    /// Run stages alone, over a log on Kafka; others of the same stage share its work
    Worker(roles::WorkerArguments),
    /// Run a query node alone, over a log on Kafka
    Query(roles::QueryArguments),
    /// Send a file of messages to the log; importing twice adds nothing
    Import(import::ImportArguments),
    /// Find what was said
    Recall(recall::RecallArguments),
    /// Ask a model, which is told what memory holds; shows the turns that its answer rests on
    Ask(ask::AskArguments),
    /// List the threads of a space, or the messages of a thread
    Threads(threads::ThreadsArguments),
    /// Find whom and what messages name, and what is known of it
    Graph(graph::GraphArguments),
    /// Write into the memory: pin, correct, forget, merge names
    Memory(memory::MemoryArguments),
    /// Show what says most of a thread, and how much was said by whom
    Summary(summary::SummaryArguments),
    /// List the calls of models, or show one with its attempts
    Calls(calls::CallsArguments),
    /// Sum up what calls of models used and cost
    Usage(usage::UsageArguments),
    /// Follow topics as events are appended
    Tail(tail::TailArguments),
    /// Show topics, processors and projections, and how far each has come
    Topics(topics::TopicsArguments),
    /// Show how each stage and projection fares: lag, rate, dead letters, last error
    Processors(processors::ProcessorsArguments),
    /// Show events that could not be processed, and redrive or discard them
    DeadLetters(dead_letters::DeadLettersArguments),
    /// Rebuild projections from the log, and verify them against it
    Replay(replay::ReplayArguments),
    /// Move a log from one engine to another, with every position kept, and compare both
    Migrate(migrate::MigrateArguments),
    /// Look for what is wrong, and say what to do about it
    Doctor(doctor::DoctorArguments),
    /// Measure recall on conversations with questions
    Evaluate(evaluate::EvaluateArguments),
}

/// How a command that was carried out went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// As asked: exit code 0.
    Done,
    /// Something that was watched or looked at failed, and has been told: exit code 1.
    Failed,
    /// As asked, but lines were rejected or contents differ, and that has been told: exit code 4.
    Found,
}

impl Outcome {
    const fn code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::Found => 4,
        }
    }
}

/// What every command is given.
struct Context {
    url: String,
    output: Output,
}

impl Context {
    /// A client of the server that `--url` names.
    fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.url)
    }
}

/// Runs the command that the process was started with.
pub(crate) fn run() -> ExitCode {
    let Arguments { json, url, command } = Arguments::parse();
    let mut context = Context { url, output: Output::standard(json) };
    let result = dispatch(&mut context, command).and_then(|outcome| context.output.flush().map(|()| outcome));
    match result {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(failure) => {
            // What was written before the failure is still an answer. If it cannot be written, the failure says enough.
            let _ = context.output.flush();
            failure.tell(json);
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(context: &mut Context, command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Up(arguments) => up::run(arguments),
        Command::Gateway(arguments) => roles::gateway(arguments),
        Command::Worker(arguments) => roles::worker(arguments),
        Command::Query(arguments) => roles::query(arguments),
        Command::Import(arguments) => import::run(context, arguments),
        Command::Recall(arguments) => recall::run(context, arguments),
        Command::Ask(arguments) => ask::run(context, arguments),
        Command::Threads(arguments) => threads::run(context, arguments),
        Command::Graph(arguments) => graph::run(context, arguments),
        Command::Memory(arguments) => memory::run(context, arguments),
        Command::Summary(arguments) => summary::run(context, arguments),
        Command::Calls(arguments) => calls::run(context, arguments),
        Command::Usage(arguments) => usage::run(context, arguments),
        Command::Tail(arguments) => tail::run(context, arguments),
        Command::Topics(arguments) => topics::run(context, arguments),
        Command::Processors(arguments) => processors::run(context, arguments),
        Command::DeadLetters(arguments) => dead_letters::run(context, arguments),
        Command::Replay(arguments) => replay::run(context, arguments),
        Command::Migrate(arguments) => migrate::run(context, arguments),
        Command::Doctor(arguments) => doctor::run(context, arguments),
        Command::Evaluate(arguments) => evaluate::run(context, arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_and_its_exit_codes() {
        fn check(command: &mut clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command.render_long_help().to_string();
            assert!(help.contains("meshlog "), "{path} has no example:\n{help}");
            assert!(help.contains("Exit codes"), "{path} does not document its exit codes:\n{help}");
            for child in command.get_subcommands_mut().filter(|child| child.get_name() != "help") {
                check(child, &path);
            }
        }
        check(&mut Arguments::command(), "");
    }
}
