//! Evaluate: how well and how fast recall answers questions whose evidence is known.
//!
//! Promises: every question is asked as a person would ask it, within its space and with nothing but its words; no rule
//! knows any collection. Figures are defined in `metrics`.

mod latency;
mod metrics;
mod questions;
mod report;

use std::{path::PathBuf, time::Instant};

use clap::ArgAction;
use meshlog_connectors::api::{ENTITIES, RecallRequest, RecallResponse};

use metrics::{Answer, Score};
use questions::Question;
use report::{Measured, Report};

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome,
    client::Duty,
    import,
    progress::{Progress, Unit},
};

/// How many questions are asked once before any is timed.
const WARM_UP: usize = 5;

/// The arguments of `meshlog evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Example:
  meshlog evaluate --import --questions examples/questions.json \\
                   --conversations examples/conversations.jsonl

Questions are a JSON array of
  {{\"space\": \"home\", \"question\": \"...\", \"category\": 1,
   \"evidence\": [message ids], \"sessions\": [thread ids]}}

Figures (each the mean over questions):
  session Hit@1     the first result lies in a session with evidence
  session R@k       the part of the sessions with evidence among the first k different threads
  session all@10    all of them are among the first 10
  turn Hit@1, R@k   the same with single messages
Questions without sessions or evidence are left out of the figures that need them, and counted.

{EXIT_CODES}"))]
pub(super) struct EvaluateArguments {
    /// The conversations as JSON lines; read with --import
    #[arg(long, value_name = "FILE", required_if_eq("import", "true"))]
    conversations: Option<PathBuf>,

    /// The questions, a JSON array
    #[arg(long, value_name = "FILE")]
    questions: PathBuf,

    /// How many results to ask for; fewer than the most that a figure looks at cannot be asked for
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(20..=200), value_name = "NUMBER")]
    limit: u32,

    /// Whether messages that name what a question names under another name are looked at too, and count
    /// for more
    #[arg(long, default_value_t = ENTITIES, action = ArgAction::Set, value_name = "true|false")]
    entities: bool,

    /// First import the conversations, and wait until they are indexed
    #[arg(long)]
    import: bool,

    /// The data directory, only to place the report of the import in it
    #[arg(long, env = "MESHLOG_DATA", default_value = "./meshlog-data", value_name = "DIRECTORY")]
    data: PathBuf,
}

/// Imports if asked to, asks every question, and shows the figures.
pub(super) fn run(context: &mut Context, arguments: EvaluateArguments) -> Result<Outcome, Failure> {
    let questions = questions::read(&arguments.questions)?;
    let client = context.client()?;
    let json = context.output.is_json();
    let mut outcome = Outcome::Done;
    let mut imported = None;
    if let Some(conversations) = arguments.conversations.as_deref().filter(|_| arguments.import) {
        let summary = import::import_and_wait(&client, json, conversations, &arguments.data)?;
        if summary.rejected > 0 {
            outcome = Outcome::Found;
        }
        imported = Some(summary);
    }
    for question in questions.iter().take(WARM_UP) {
        ask(&client, question, &arguments)?;
    }
    let measured = ask_all(&client, json, &questions, &arguments)?;
    let report = Report::new(arguments.limit, imported, &measured);
    report.show(&mut context.output)?;
    Ok(outcome)
}

fn ask_all(
    client: &Client,
    json: bool,
    questions: &[Question],
    arguments: &EvaluateArguments,
) -> Result<Vec<Measured>, Failure> {
    let progress = Progress::new(json, Some(questions.len() as u64), Unit::Count("questions"));
    let mut measured = Vec::with_capacity(questions.len());
    for question in questions {
        let started = Instant::now();
        let response = ask(client, question, arguments)?;
        let round_trip_ms = started.elapsed().as_secs_f64() * 1000.0;
        measured.push(Measured {
            category: question.category(),
            score: Score::of(&answers(&response), &question.sessions, &question.evidence),
            round_trip_ms,
            took_ms: response.took_ms,
        });
        progress.show(measured.len() as u64, String::new());
    }
    Ok(measured)
}

fn ask(client: &Client, question: &Question, arguments: &EvaluateArguments) -> Result<RecallResponse, Failure> {
    let request = RecallRequest {
        query: question.question.clone(),
        limit: arguments.limit,
        spaces: vec![question.space.clone()],
        threads: Vec::new(),
        authors: Vec::new(),
        after: None,
        before: None,
        as_of: None,
        entities: arguments.entities,
        explain: false,
    };
    client.post("/v1/recall", &request, Duty::Ordinary)
}

fn answers(response: &RecallResponse) -> Vec<Answer<'_>> {
    let answers = response
        .results
        .iter()
        .map(|result| Answer { thread: &result.message.thread_id, source_id: result.message.source_id.as_deref() });
    answers.collect()
}
