//! The load client for the gateway: what it adds to the time of a call, how it keeps many streams going, and what it answers
//! over a long run.
//!
//!     cargo run -p meshlog-connectors --example gateway_load -- latency \
//!         --targets direct=http://127.0.0.1:4010/v1,meshlog=http://127.0.0.1:4000/v1 --concurrency 1,16,128 --seconds 5
//!
//! Prints a table, and as its last line one JSON object, `{"figures": {name: number}}`. Only differences are worth comparing:
//! client, gateway and provider share the machine, so every figure holds their work too. Never follows a proxy of the
//! environment, and speaks HTTP/1.1 alone, one request a connection at a time.

#[path = "gateway_load/arguments.rs"]
mod arguments;
#[path = "gateway_load/client.rs"]
mod client;
#[path = "gateway_load/figures.rs"]
mod figures;
#[path = "gateway_load/latency.rs"]
mod latency;
#[path = "gateway_load/pace.rs"]
mod pace;
#[path = "gateway_load/soak.rs"]
mod soak;
#[path = "gateway_load/sse.rs"]
mod sse;
#[path = "gateway_load/streams.rs"]
mod streams;

use std::process::ExitCode;

use arguments::Arguments;
use figures::Figures;

const USAGE: &str = "gateway_load latency|streams|soak [OPTION VALUE]...

A target is [NAME=]URL[+HEADER=VALUE]..., the URL with its /v1.

latency: the same request to each target in turn, round by round; added is a target's figure less the one of the target
named direct, else of the first.
  --targets T,T,...     whom to ask
  --model M             (plain)
  --concurrency C,C,... connections, one measurement for each (1,16,128)
  --rate N              calls a second, measured from the moment each was due; 0 is as fast as the connections go (0)
  --seconds S           of each measurement (5)
  --rounds R            (3)
  --prompt-bytes N      (1024)
  --stream true|false   whether answers are streamed (false)

streams: many streams at once, and how evenly their chunks come.
  --target T
  --streams N           (1000)
  --chunks-per-second R of each stream (50)
  --seconds S           (20)

soak: calls at a steady rate for a long time; breaks are counted and end nothing.
  --target T
  --model M             (plain)
  --rate N              calls a second (500)
  --seconds S           (600)
  --share-streams P     of the calls, in percent (50)
  --spaces N            named by turns in the header meshlog-space (4)
  --most-in-flight N    calls that are due beyond that are not sent, and counted (4096)

all:
  --threads N           of the client (1)";

fn main() -> ExitCode {
    match run() {
        Ok(figures) => {
            println!("{}", figures.json());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Figures, String> {
    let mut words = std::env::args().skip(1);
    let command = words.next().ok_or("what is to be measured?")?;
    let mut arguments = Arguments::read(words)?;
    // The client wants a provider of cryptography even for what is not encrypted. One that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let threads = arguments.number("threads", 1)?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build().map_err(|error| error.to_string())?;
    match command.as_str() {
        "latency" => runtime.block_on(latency::run(latency::Load::from_arguments(arguments)?)),
        "streams" => runtime.block_on(streams::run(streams::Load::from_arguments(arguments)?)),
        "soak" => runtime.block_on(soak::run(soak::Load::from_arguments(arguments)?)),
        _ => Err(format!("{command} is nothing that is measured")),
    }
}
