//! Recall: asking memory, and showing what it answers.

use clap::ArgAction;
use meshlog_connectors::api::{ENTITIES, RecallRequest, RecallResponse, RecallResult, SpokenTime, Timestamp};

use super::{
    Context, EXIT_CODES, Failure, Outcome, Output,
    client::Duty,
    output::{harmless, one_line},
};

/// The mark before and after a match in a snippet.
const MARK: &str = "**";

/// The arguments of `meshlog recall`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog recall where do we keep the spare key
  meshlog recall \"what did we decide about the roof?\" --space home --explain
  meshlog recall roof --author Mara --after 2025-03-01T00:00:00Z
  meshlog --json recall \"spare key\" | jq -r '.results[].text'

Space, thread and author may be given several times; one of each kind has to hold.

{EXIT_CODES}"))]
pub(super) struct RecallArguments {
    /// What to look for, in plain words
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,

    /// How many results at most
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200), value_name = "NUMBER")]
    limit: u32,

    /// Only messages of this space
    #[arg(long = "space", value_name = "SPACE")]
    spaces: Vec<String>,

    /// Only messages of this thread
    #[arg(long = "thread", value_name = "THREAD")]
    threads: Vec<String>,

    /// Only messages of this author
    #[arg(long = "author", value_name = "AUTHOR")]
    authors: Vec<String>,

    /// Only what was said at this time or later, such as 2025-05-08T13:56:00Z
    #[arg(long, value_name = "TIME")]
    after: Option<Timestamp>,

    /// Only what was said before this time
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,

    /// Only what had been taken in by this time: what was known then
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,

    /// Whether messages that name what the question names under another name are looked at too, and count
    /// for more
    #[arg(long, default_value_t = ENTITIES, action = ArgAction::Set, value_name = "true|false")]
    entities: bool,

    /// Show the numbers that each score was made of
    #[arg(long)]
    explain: bool,
}

/// Asks, and shows the results.
pub(super) fn run(context: &mut Context, arguments: RecallArguments) -> Result<Outcome, Failure> {
    let request = RecallRequest {
        query: arguments.query.join(" "),
        limit: arguments.limit,
        spaces: arguments.spaces,
        threads: arguments.threads,
        authors: arguments.authors,
        after: arguments.after,
        before: arguments.before,
        as_of: arguments.as_of,
        entities: arguments.entities,
        explain: arguments.explain,
    };
    let response: RecallResponse = context.client()?.post("/v1/recall", &request, Duty::Ordinary)?;
    show(&mut context.output, &response)?;
    Ok(Outcome::Done)
}

fn show(output: &mut Output, response: &RecallResponse) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(response);
    }
    if response.results.is_empty() {
        return output.line("nothing was found");
    }
    for (index, result) in response.results.iter().enumerate() {
        show_result(output, index + 1, result)?;
    }
    let took = output.faint(&format!("{} results in {:.1} ms", response.results.len(), response.took_ms));
    output.line(took)
}

fn show_result(output: &mut Output, rank: usize, result: &RecallResult) -> Result<(), Failure> {
    let message = &result.message;
    let author = output.bold(&one_line(&message.author));
    let place = one_line(&format!("{}/{}", message.space, message.thread_id));
    output.line(format!("{rank:>2}. {:.3}  {author}  {}  {place}", result.score, message.sent_at))?;
    let snippet: String = pieces(result).into_iter().map(|piece| piece.shown(output)).collect();
    let snippet = snippet.split_whitespace().collect::<Vec<_>>().join(" ");
    output.line(format!("    {snippet}"))?;
    if !message.times.is_empty() {
        let times: Vec<_> = message.times.iter().map(told).collect();
        let line = output.faint(&format!("    {}", times.join("; ")));
        output.line(line)?;
    }
    let position = &message.position;
    let mut line = format!("    {}/{}/{}", position.topic, position.partition, position.offset);
    if let Some(source_id) = &message.source_id {
        line.push_str(&format!("  {}", one_line(source_id)));
    }
    let line = output.faint(&line);
    output.line(line)?;
    if let Some(signals) = &result.signals {
        let signals: Vec<_> = signals.iter().map(|(name, value)| format!("{} {value:.4}", one_line(name))).collect();
        output.line(format!("    signals: {}", signals.join(", ")))?;
    }
    output.line("")
}

/// A time that a message speaks of: its words, and the days that they mean.
fn told(time: &SpokenTime) -> String {
    let day = |time: Timestamp| time.to_string().split('T').next().unwrap_or_default().to_owned();
    let last = Timestamp::from_micros(time.end.micros().saturating_sub(1));
    let (first, last) = (day(time.start), day(last));
    let bound = if time.bound == "within" { String::new() } else { format!("{} ", one_line(&time.bound)) };
    let days = if first == last { first } else { format!("{first} to {last}") };
    format!("\"{}\" is {bound}{days}", one_line(&time.text))
}

/// A stretch of a snippet that is a match throughout, or not at all.
#[derive(Debug, PartialEq, Eq)]
struct Piece<'a> {
    text: &'a str,
    matched: bool,
}

impl Piece<'_> {
    fn shown(self, output: &Output) -> String {
        let text = harmless(self.text);
        if self.matched { output.bold(&text) } else { text }
    }
}

/// The snippet without its marks. One whose highlights do not fit it is shown as it is.
fn pieces(result: &RecallResult) -> Vec<Piece<'_>> {
    let snippet = result.snippet.as_str();
    unmarked(snippet, &result.highlights).unwrap_or_else(|| vec![Piece { text: snippet, matched: false }])
}

fn unmarked<'a>(snippet: &'a str, highlights: &[[u64; 2]]) -> Option<Vec<Piece<'a>>> {
    let mut pieces = Vec::with_capacity(2 * highlights.len() + 1);
    let mut rest = 0;
    for [start, end] in highlights {
        let (start, end) = (usize::try_from(*start).ok()?, usize::try_from(*end).ok()?);
        let before = snippet.get(rest..start)?.strip_suffix(MARK)?;
        pieces.push(Piece { text: before, matched: false });
        pieces.push(Piece { text: snippet.get(start..end)?, matched: true });
        snippet.get(end..)?.strip_prefix(MARK)?;
        rest = end + MARK.len();
    }
    pieces.push(Piece { text: snippet.get(rest..)?, matched: false });
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use meshlog_connectors::api::mark_matches;

    use super::*;

    #[test]
    fn matches_lose_their_marks_and_stars_of_the_text_stay() {
        let (snippet, highlights) = mark_matches("2**3 is eight, Öl is oil", &[8..13, 15..18]);
        let found = unmarked(&snippet, &highlights).expect("the highlights fit");
        let found: Vec<_> = found.iter().map(|piece| (piece.text, piece.matched)).collect();
        assert_eq!(found, [("2**3 is ", false), ("eight", true), (", ", false), ("Öl", true), (" is oil", false)]);
    }

    #[test]
    fn highlights_that_do_not_fit_are_left_alone() {
        for highlights in [[0, 3], [5, 99], [3, 1]] {
            assert_eq!(unmarked("no marks", &[highlights]), None, "{highlights:?}");
        }
    }
}
