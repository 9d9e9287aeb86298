//! The one binary: the command line in front, the house behind it. No logic of its own.

mod cli;
mod house;

use std::process::ExitCode;

/// Threads of different priorities share the heaps of glibc, and each heap has one lock: a background thread that was put to
/// sleep with it held up the log's writer for 20 ms. This allocator gives memory back to another thread without a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
