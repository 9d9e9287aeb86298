//! Soak: calls at a steady rate for a long time, and the books of what was answered.
//!
//! An open loop: calls are sent when they are due, whatever becomes of the others, so a server that stops for a while gets no
//! rest. Each call has a prompt of its own. What breaks off is counted and ends nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    arguments::Arguments,
    client::{self, Answer, Target, Usage},
    figures::{Figures, Times},
    pace::Pace,
};

const SPACE: &str = "meshlog-space";
const PROMPT_BYTES: usize = 256;
const BETWEEN_REPORTS: Duration = Duration::from_secs(10);

/// What is asked of whom.
#[derive(Debug)]
pub(crate) struct Load {
    target: Target,
    model: String,
    rate: f64,
    lasting: Duration,
    /// Of the calls, in percent.
    share_of_streams: u64,
    spaces: u64,
    most_in_flight: u64,
}

impl Load {
    pub(crate) fn from_arguments(mut arguments: Arguments) -> Result<Self, String> {
        let load = Self {
            target: arguments.target()?,
            model: arguments.text("model", "plain"),
            rate: arguments.number("rate", 500.0)?,
            lasting: arguments.seconds(600)?,
            share_of_streams: arguments.number("share-streams", 50)?,
            spaces: arguments.number("spaces", 4)?,
            most_in_flight: arguments.number("most-in-flight", 4096)?,
        };
        arguments.end()?;
        Ok(load)
    }

    /// Whether the call of this number is streamed: the share is spread evenly.
    fn is_streamed(&self, number: u64) -> bool {
        (number + 1) * self.share_of_streams / 100 > number * self.share_of_streams / 100
    }
}

/// The books.
#[derive(Debug, Default)]
struct Tally {
    /// Answers by status; 0 is no answer at all.
    statuses: BTreeMap<u16, u64>,
    whole: u64,
    whole_streams: u64,
    /// Status 200, but not to the end.
    broken_off: u64,
    /// Streams that told an error.
    errors_in_streams: u64,
    usages: u64,
    used: Usage,
    times: Times,
    first: Times,
    not_sent: u64,
    most_in_flight: u64,
}

/// Runs the calls.
pub(crate) async fn run(load: Load) -> Result<Figures, String> {
    let client = client::client()?;
    let spaces = (0..load.spaces.max(1)).map(|space| load.target.with_header(SPACE, &format!("soak-{space}")));
    let targets = if load.spaces == 0 { vec![load.target.clone()] } else { spaces.collect::<Result<_, _>>()? };
    let tally = Arc::new(Mutex::new(Tally::default()));
    let in_flight = Arc::new(AtomicU64::new(0));
    let pace = Pace::start(load.rate, load.lasting);
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    let mut reported = begin;
    while let Some((number, due)) = pace.next().await {
        while calls.try_join_next().is_some() {}
        if reported.elapsed() > BETWEEN_REPORTS {
            reported = Instant::now();
            lock(&tally).report(begin.elapsed());
        }
        let now_in_flight = in_flight.load(Relaxed);
        lock(&tally).sent(now_in_flight < load.most_in_flight, now_in_flight);
        if now_in_flight >= load.most_in_flight {
            continue;
        }
        in_flight.fetch_add(1, Relaxed);
        let is_streamed = load.is_streamed(number);
        // Both kinds of calls come to each space: the turn changes with the call's number divided by two.
        let target = targets[usize::try_from(number / 2).unwrap_or(0) % targets.len()].clone();
        let body = client::body(&load.model, &format!("Call {number}:"), PROMPT_BYTES, is_streamed);
        let (client, tally, in_flight) = (client.clone(), tally.clone(), in_flight.clone());
        calls.spawn(async move {
            let answer = target.call(&client, body, is_streamed).await;
            let took = due.elapsed();
            in_flight.fetch_sub(1, Relaxed);
            lock(&tally).note(&answer, due, took, is_streamed);
        });
    }
    while calls.join_next().await.is_some() {}
    let tally = std::mem::take(&mut *lock(&tally));
    let figures = tally.figures(begin.elapsed());
    figures.print();
    Ok(figures)
}

impl Tally {
    fn sent(&mut self, is_sent: bool, in_flight: u64) {
        self.not_sent += u64::from(!is_sent);
        self.most_in_flight = self.most_in_flight.max(in_flight + u64::from(is_sent));
    }

    fn note(&mut self, answer: &Answer, due: Instant, took: Duration, is_streamed: bool) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.errors_in_streams += u64::from(answer.has_error);
        self.broken_off += u64::from(answer.status == 200 && !answer.is_whole && !answer.has_error);
        if let Some(usage) = &answer.usage {
            self.usages += 1;
            self.used.prompt_tokens += usage.prompt_tokens;
            self.used.completion_tokens += usage.completion_tokens;
            self.used.prompt_tokens_details.cached_tokens += usage.prompt_tokens_details.cached_tokens;
            self.used.completion_tokens_details.reasoning_tokens += usage.completion_tokens_details.reasoning_tokens;
        }
        if !answer.is_whole || answer.has_error {
            return;
        }
        self.whole += 1;
        self.whole_streams += u64::from(is_streamed);
        self.times.push(took);
        if let Some(first) = answer.first_content {
            self.first.push(first.saturating_duration_since(due));
        }
    }

    fn report(&self, elapsed: Duration) {
        let Self { statuses, whole, broken_off, not_sent, .. } = self;
        let seconds = elapsed.as_secs();
        eprintln!("{seconds} s: whole {whole}, broken off {broken_off}, not sent {not_sent}, by status {statuses:?}");
    }

    fn figures(self, took: Duration) -> Figures {
        let mut figures = Figures::default();
        let answered: u64 = self.statuses.values().sum();
        let counts = [
            ("calls.sent", answered),
            ("calls.not_sent", self.not_sent),
            ("calls.most_in_flight", self.most_in_flight),
            ("answers.whole", self.whole),
            ("answers.whole_streams", self.whole_streams),
            ("answers.broken_off", self.broken_off),
            ("answers.errors_in_streams", self.errors_in_streams),
            ("answers.none", self.statuses.get(&0).copied().unwrap_or(0)),
            ("usage.answers", self.usages),
            ("usage.prompt_tokens", self.used.prompt_tokens),
            ("usage.completion_tokens", self.used.completion_tokens),
            ("usage.cached_tokens", self.used.prompt_tokens_details.cached_tokens),
            ("usage.reasoning_tokens", self.used.completion_tokens_details.reasoning_tokens),
        ];
        for (name, count) in counts {
            figures.add(name, count as f64);
        }
        for (status, count) in self.statuses.into_iter().filter(|(status, _)| *status > 0) {
            figures.add(format!("status.{status}"), count as f64);
        }
        figures.add("calls_per_second", answered as f64 / took.as_secs_f64());
        for (name, times) in [("whole", self.times), ("first", self.first)] {
            for (percentile, value) in times.summary().named() {
                figures.add(format!("{name}.{percentile}"), value);
            }
        }
        figures
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
