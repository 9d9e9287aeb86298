//! Replay: rebuilding projections from the log, going back, and verifying them against it.

mod rebuild;
mod verify;
mod versions;

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
    /// Go back to the version that served before
    Rollback(versions::RollbackArguments),
    /// Show every version of every projection
    Versions(versions::VersionsArguments),
    /// Remove versions that do not serve
    Drop(versions::DropArguments),
    /// Pause a rebuild, so that it can be gone on with
    Pause(versions::SteerArguments),
    /// Cancel a rebuild
    Cancel(versions::SteerArguments),
    /// Compare what projections hold with what the log says
    Verify(verify::VerifyArguments),
}

/// Rebuilds, goes back, steers or verifies.
pub(super) fn run(context: &mut Context, arguments: ReplayArguments) -> Result<Outcome, Failure> {
    match arguments.command {
        ReplayCommand::Rebuild(arguments) => rebuild::run(context, arguments),
        ReplayCommand::Rollback(arguments) => versions::rollback(context, arguments),
        ReplayCommand::Versions(_) => versions::list(context),
        ReplayCommand::Drop(arguments) => versions::drop(context, arguments),
        ReplayCommand::Pause(arguments) => versions::pause(context, arguments),
        ReplayCommand::Cancel(arguments) => versions::cancel(context, arguments),
        ReplayCommand::Verify(arguments) => verify::run(context, arguments),
    }
}
