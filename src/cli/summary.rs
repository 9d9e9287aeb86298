//! Summaries: what says most of a thread, and how much was said.

use meshlog_connectors::api::{Statistics, ThreadSummary};
use serde::Serialize;

use super::{
    Context, EXIT_CODES, Failure, Outcome, Output,
    output::{harmless, one_line},
    percent::encoded,
    table::Table,
};

/// The arguments of `meshlog summary`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog summary garden
  meshlog summary garden --space home --tokens 600
  meshlog summary --space home

{EXIT_CODES}"))]
pub(super) struct SummaryArguments {
    /// The thread; without it, only how much was said in the space
    thread: Option<String>,

    /// The space
    #[arg(long, default_value = "main", value_name = "SPACE")]
    space: String,

    /// About how many tokens the summary may have
    #[arg(long, default_value_t = 300, value_name = "NUMBER")]
    tokens: u32,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<ThreadSummary>,
    statistics: Statistics,
}

/// Shows what says most of a thread, and how much was said.
pub(super) fn run(context: &mut Context, arguments: SummaryArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let SummaryArguments { thread, space, tokens } = arguments;
    let of_space = ("space", space);
    let shown = match thread {
        Some(thread) => {
            let path = format!("/v1/threads/{}", encoded(&thread));
            let query = [of_space.clone(), ("budget_tokens", tokens.to_string())];
            Shown {
                summary: Some(client.get(&format!("{path}/summary"), &query)?),
                statistics: client.get(&format!("{path}/statistics"), &[of_space])?,
            }
        }
        None => Shown { summary: None, statistics: client.get("/v1/statistics", &[of_space])? },
    };
    show(&mut context.output, &shown)?;
    Ok(Outcome::Done)
}

fn show(output: &mut Output, shown: &Shown) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(shown);
    }
    let Shown { summary, statistics } = shown;
    if statistics.total.messages == 0 {
        return output.line("nothing is remembered");
    }
    for sentence in summary.iter().flat_map(|summary| &summary.sentences) {
        let who = sentence.model.as_ref().unwrap_or(&sentence.author);
        let turns = match sentence.sources.len() {
            _ if sentence.model.is_none() => String::new(),
            1 => " (1 turn)".to_owned(),
            turns => format!(" ({turns} turns)"),
        };
        let (who, text) = (output.bold(&one_line(who)), harmless(sentence.text.trim()));
        output.line(format!("{who}  {}  {text}{turns}", sentence.sent_at))?;
    }
    if summary.as_ref().is_some_and(|summary| summary.archived) {
        output.line("the thread is in the archive")?;
    }
    let mut table = Table::new(["author", "messages", "words"]);
    for author in &statistics.authors {
        table.row([author.name.clone(), author.tally.messages.to_string(), author.tally.words.to_string()]);
    }
    let total = &statistics.total;
    table.row(["all".to_owned(), total.messages.to_string(), total.words.to_string()]);
    table.write(output)
}
