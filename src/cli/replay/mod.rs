//! Replay: rebuilding projections from the log, and verifying them against it.

mod rebuild;
mod verify;

use clap::Subcommand;

use super::{Context, EXIT_CODES, Failure, Outcome};

/// The arguments of `meshlog replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog replay rebuild vectors && meshlog replay verify

{EXIT_CODES}"))]
pub(super) struct ReplayArguments {
    #[command(subcommand)]
    command: ReplayCommand,
}

#[derive(Debug, Subcommand)]
enum ReplayCommand {
    /// Make a projection anew from the log; the old version serves until the new one is switched in
    Rebuild(rebuild::RebuildArguments),
    /// Compare what projections hold with what the log says
    Verify(verify::VerifyArguments),
}

/// Rebuilds or verifies.
pub(super) fn run(context: &mut Context, arguments: ReplayArguments) -> Result<Outcome, Failure> {
    match arguments.command {
        ReplayCommand::Rebuild(arguments) => rebuild::run(context, arguments),
        ReplayCommand::Verify(arguments) => verify::run(context, arguments),
    }
}
