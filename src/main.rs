//! The one binary: the command line in front, the house behind it. No logic of its own.

mod cli;
mod house;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
