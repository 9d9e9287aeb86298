//! Latency: what one target adds to another's time, by percentile.
//!
//! The targets are asked in turn, in each round in another order, so that what the machine does meanwhile hits all of them. A
//! figure is the median over the rounds; what is added is taken round by round before that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::Client;
use tokio::task::JoinSet;

use crate::{
    arguments::Arguments,
    client::{self, Target},
    figures::{Figures, Summary, Times, median},
    pace::Pace,
};

/// Share of a measurement that goes before it and is not counted: connections are made, caches are filled.
const WARMING: f64 = 0.1;

/// What is asked of whom.
#[derive(Debug)]
pub(crate) struct Load {
    targets: Vec<Target>,
    model: String,
    concurrency: Vec<usize>,
    /// Calls a second; 0 is a closed loop.
    rate: f64,
    lasting: Duration,
    rounds: usize,
    prompt_bytes: usize,
    is_streamed: bool,
}

impl Load {
    pub(crate) fn from_arguments(mut arguments: Arguments) -> Result<Self, String> {
        let load = Self {
            targets: arguments.targets("targets")?,
            model: arguments.text("model", "plain"),
            concurrency: arguments.numbers("concurrency", "1,16,128")?,
            rate: arguments.number("rate", 0.0)?,
            lasting: arguments.seconds(5)?,
            rounds: arguments.number("rounds", 3)?,
            prompt_bytes: arguments.number("prompt-bytes", 1024)?,
            is_streamed: arguments.number("stream", false)?,
        };
        arguments.end()?;
        Ok(load)
    }
}

/// One measurement of one target.
#[derive(Debug)]
struct Measured {
    whole: Summary,
    first: Summary,
    per_second: f64,
    failures: u64,
}

/// Which of its times.
type Summarised = fn(&Measured) -> Summary;

/// Measures, and prints a table on the way.
pub(crate) async fn run(load: Load) -> Result<Figures, String> {
    let client = client::client()?;
    let body = client::body(&load.model, "Measured:", load.prompt_bytes, load.is_streamed);
    let base = load.targets.iter().position(|target| target.name == "direct").unwrap_or(0);
    let mut figures = Figures::default();
    print_head();
    for concurrency in &load.concurrency {
        let mut rounds: Vec<Vec<Measured>> = load.targets.iter().map(|_| Vec::new()).collect();
        for round in 0..load.rounds {
            for turn in 0..load.targets.len() {
                let index = (round + turn) % load.targets.len();
                rounds[index].push(measure(&client, &load, &load.targets[index], &body, *concurrency).await);
            }
        }
        for (target, measured) in load.targets.iter().zip(&rounds) {
            summarise(&mut figures, &load, target, *concurrency, measured, &rounds[base]);
        }
    }
    Ok(figures)
}

/// What a worker found.
#[derive(Debug, Default)]
struct Found {
    whole: Times,
    first: Times,
    failures: u64,
}

async fn measure(client: &Client, load: &Load, target: &Target, body: &Bytes, concurrency: usize) -> Measured {
    let warming = load.lasting.mul_f64(WARMING);
    let all = warming + load.lasting;
    let begin = Instant::now();
    let pace = (load.rate > 0.0).then(|| Arc::new(Pace::start(load.rate, all)));
    let mut workers = JoinSet::new();
    for _ in 0..concurrency {
        let (client, target, body, pace) = (client.clone(), target.clone(), body.clone(), pace.clone());
        let is_streamed = load.is_streamed;
        workers.spawn(async move {
            let mut found = Found::default();
            loop {
                let due = match &pace {
                    Some(pace) => pace.next().await.map(|(_number, due)| due),
                    None => Some(Instant::now()).filter(|now| *now < begin + all),
                };
                let Some(due) = due else { return found };
                let answer = target.call(&client, body.clone(), is_streamed).await;
                let end = Instant::now();
                if due < begin + warming {
                    continue;
                }
                if !answer.is_whole || (is_streamed && answer.first_content.is_none()) {
                    found.failures += 1;
                    continue;
                }
                found.whole.push(end - due);
                if let Some(first) = answer.first_content {
                    found.first.push(first.saturating_duration_since(due));
                }
            }
        });
    }
    let mut all_found = Found::default();
    while let Some(Ok(found)) = workers.join_next().await {
        all_found.whole.append(found.whole);
        all_found.first.append(found.first);
        all_found.failures += found.failures;
    }
    let seconds = (begin.elapsed() - warming).as_secs_f64();
    let per_second = all_found.whole.len() as f64 / seconds;
    let Found { whole, first, failures } = all_found;
    Measured { whole: whole.summary(), first: first.summary(), per_second, failures }
}

fn print_head() {
    println!(
        "{:<14} {:>5} {:<6} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10} {:>9} {:>8}",
        "target",
        "conns",
        "time",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "added p50",
        "added p99",
        "calls/s",
        "failures"
    );
}

fn summarise(
    figures: &mut Figures,
    load: &Load,
    target: &Target,
    concurrency: usize,
    measured: &[Measured],
    base: &[Measured],
) {
    let name = format!("{}.c{concurrency}", target.name);
    let per_second = median(measured.iter().map(|measured| measured.per_second).collect());
    let failures: u64 = measured.iter().map(|measured| measured.failures).sum();
    figures.add(format!("{name}.calls_per_second"), per_second);
    figures.add(format!("{name}.failures"), failures as f64);
    let times: [(&str, Summarised); 2] = [("whole", |measured| measured.whole), ("first", |measured| measured.first)];
    for (time, summary) in times.into_iter().take(if load.is_streamed { 2 } else { 1 }) {
        let mut row = Vec::new();
        let mut added_row = Vec::new();
        for index in 0..4 {
            let (percentile, _) = summary(&measured[0]).named()[index];
            let values = measured.iter().map(|measured| summary(measured).named()[index].1);
            let bases = base.iter().map(|measured| summary(measured).named()[index].1);
            let added = median(values.clone().zip(bases).map(|(value, base)| value - base).collect());
            let value = median(values.collect());
            figures.add(format!("{name}.{time}.{percentile}"), value);
            figures.add(format!("{name}.{time}.added_{percentile}"), added);
            row.push(value);
            added_row.push(added);
        }
        println!(
            "{:<14} {concurrency:>5} {time:<6} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>10.3} {:>10.3} {per_second:>9.0} {failures:>8}",
            target.name, row[0], row[1], row[2], row[3], added_row[0], added_row[2],
        );
    }
}
