//! Dead letters: showing the events that a processor could not process, and settling them.

use meshlog_connectors::api::{
    DeadLetter, DeadLetterRequest, DeadLetterSelection, DeadLetterView, DiscardRequest, FAILURE_CLASSES, Page,
    RedrivesRequested,
};

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome, Output,
    client::Duty,
    output::{harmless, one_line, shortened},
    percent::encoded,
    table::Table,
};

/// The most items one request may ask for.
const PAGE_LIMIT: usize = 500;

/// How much is shown of an error in the list, in characters.
const ERROR_SHOWN: usize = 60;

/// The arguments of `meshlog dead-letters`.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = true,
    after_help = format!("\
Examples:
  meshlog dead-letters list
  meshlog dead-letters show route~messages~0~12
  meshlog dead-letters redrive route~messages~0~12
  meshlog dead-letters discard route~messages~0~12 --reason \"sent by mistake\"

A dead letter is an event that a processor could not process, because it cannot be read, because the processor says that
it never can, or because it failed too often. The processor goes on with other keys; later events of the same key wait
behind it, so that none is processed out of order. Mend the cause and redrive it, or discard it.

{EXIT_CODES}")
)]
pub(super) struct DeadLettersArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the dead letters, the oldest first
    List(ListArguments),
    /// Show a dead letter with its event
    Show(ShowArguments),
    /// Have a processor try events again, and then those that wait behind them
    Redrive(RedriveArguments),
    /// Let a processor go on without an event, for good
    Discard(DiscardArguments),
}

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog dead-letters list
  meshlog dead-letters list --processor route --class exhausted
  meshlog --json dead-letters list | jq -r .items[].id

{EXIT_CODES}"))]
struct ListArguments {
    #[command(flatten)]
    conditions: Conditions,

    /// How many to show at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
    limit: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog dead-letters show route~messages~0~12

{EXIT_CODES}"))]
struct ShowArguments {
    /// The dead letter's id, as the list shows it
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog dead-letters redrive route~messages~0~12
  meshlog dead-letters redrive --all --processor route

The request is durable when the command ends; the processor acts on it when it reads it. What fails again stays a dead
letter. One that waits behind another cannot be redriven: redrive that one.

{EXIT_CODES}"))]
struct RedriveArguments {
    /// The dead letters' ids, as the list shows them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with_all = ["all", "processor", "topic", "key", "class"])]
    ids: Vec<String>,

    /// All of them, or all that the conditions select
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    conditions: Conditions,
}

#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog dead-letters discard route~messages~0~12 --reason \"sent by mistake\"

The event stays in the log, and so does who let it go and why.

{EXIT_CODES}"))]
struct DiscardArguments {
    /// The dead letter's id, as the list shows it
    #[arg(value_name = "ID")]
    id: String,

    /// Why, for those who ask later
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Who decides it
    #[arg(long, env = "USER", hide_env_values = true, default_value = "operator", value_name = "NAME")]
    author: String,
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
struct Conditions {
    /// Only those of this processor
    #[arg(long, value_name = "NAME")]
    processor: Option<String>,

    /// Only those of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Only those of this ordering key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Only those of this class
    #[arg(long, value_name = "CLASS", value_parser = FAILURE_CLASSES)]
    class: Option<String>,
}

/// Shows or settles dead letters.
pub(super) fn run(context: &mut Context, arguments: DeadLettersArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let output = &mut context.output;
    match arguments.command {
        Command::List(arguments) => list(&client, output, arguments),
        Command::Show(arguments) => show(&client, output, &arguments.id),
        Command::Redrive(RedriveArguments { all: true, conditions, .. }) => redrive_all(&client, output, conditions),
        Command::Redrive(arguments) => redrive(&client, output, &arguments.ids),
        Command::Discard(arguments) => discard(&client, output, arguments),
    }?;
    Ok(Outcome::Done)
}

fn list(client: &Client, output: &mut Output, arguments: ListArguments) -> Result<(), Failure> {
    let limit = arguments.limit as usize;
    let selection = arguments.conditions.selection();
    let mut page: Page<DeadLetter> = Page { items: Vec::new(), next: None };
    loop {
        let wanted = (limit - page.items.len()).min(PAGE_LIMIT);
        let mut query = vec![("limit", wanted.to_string())];
        query.extend(pairs(&selection));
        query.extend(page.next.take().map(|cursor| ("cursor", cursor)));
        let piece: Page<DeadLetter> = client.get("/v1/dead-letters", &query)?;
        page.items.extend(piece.items);
        page.next = piece.next;
        if page.next.is_none() || page.items.len() >= limit {
            break;
        }
    }
    if output.is_json() {
        return output.document(&page);
    }
    if page.items.is_empty() {
        return output.line("there are no dead letters");
    }
    let mut table = Table::new(["id", "class", "key", "attempts", "failed", "waiting", "error"]);
    page.items.iter().for_each(|dead_letter| table.row(row(dead_letter)));
    table.write(output)?;
    if page.next.is_none() {
        return Ok(());
    }
    let more = output.faint(&format!("there are more than these {}; --limit shows more", page.items.len()));
    output.line(more)
}

fn row(dead_letter: &DeadLetter) -> [String; 7] {
    let waiting = match dead_letter.waits_behind {
        Some(offset) => format!("behind {offset}"),
        None => dead_letter.waiting.to_string(),
    };
    [
        dead_letter.id.clone(),
        dead_letter.class.clone(),
        dead_letter.key.clone(),
        dead_letter.attempts.to_string(),
        dead_letter.failed_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
        waiting,
        shortened(&one_line(&dead_letter.error), ERROR_SHOWN),
    ]
}

fn show(client: &Client, output: &mut Output, id: &str) -> Result<(), Failure> {
    let view: DeadLetterView = client.get(&path(id, ""), &[])?;
    if output.is_json() {
        return output.document(&view);
    }
    details(&view).into_iter().try_for_each(|(name, text)| {
        let name = output.bold(&format!("{name:<10}"));
        output.line(format!("{name}  {}", harmless(&text).replace('\n', "\n            ")))
    })
}

/// What is shown of a dead letter, by name.
fn details(view: &DeadLetterView) -> Vec<(&'static str, String)> {
    let DeadLetterView { dead_letter, event } = view;
    let position = &dead_letter.position;
    let mut lines = vec![
        ("id", dead_letter.id.clone()),
        ("processor", dead_letter.processor.clone()),
        ("position", format!("{}/{}/{}", position.topic, position.partition, position.offset)),
        ("key", dead_letter.key.clone()),
        ("class", dead_letter.class.clone()),
        ("error", dead_letter.error.clone()),
        ("attempts", dead_letter.attempts.to_string()),
    ];
    lines.extend(dead_letter.failed_at.map(|at| ("failed", at.to_string())));
    match (dead_letter.waits_behind, dead_letter.waiting) {
        (Some(offset), _) => lines.push(("waits", format!("behind offset {offset} of the same partition"))),
        (None, 0) => {}
        (None, waiting) => lines.push(("waiting", format!("{waiting} later events of the key"))),
    }
    match event {
        None => lines.push(("event", "removed by retention".to_owned())),
        Some(event) => {
            lines.push(("event", format!("{} {}", event.kind, event.id)));
            let unreadable = event.unreadable.as_ref().map(|reason| format!("unreadable: {reason}"));
            lines.push(("body", unreadable.unwrap_or_else(|| format!("{:#}", event.data))));
        }
    }
    lines
}

fn redrive(client: &Client, output: &mut Output, ids: &[String]) -> Result<(), Failure> {
    for id in ids {
        let requested: DeadLetterRequest = client.post_bare(&path(id, "/redrive"))?;
        told(output, &requested, "will be tried again")?;
    }
    Ok(())
}

fn redrive_all(client: &Client, output: &mut Output, conditions: Conditions) -> Result<(), Failure> {
    let selection = conditions.selection();
    let requested: RedrivesRequested = client.post("/v1/dead-letters/redrive", &selection, Duty::Ordinary)?;
    if output.is_json() {
        return output.document(&requested);
    }
    output.line(format!("{} will be tried again, with what waits behind them", requested.requested))
}

fn discard(client: &Client, output: &mut Output, arguments: DiscardArguments) -> Result<(), Failure> {
    let DiscardArguments { id, reason, author } = arguments;
    let request = DiscardRequest { author, reason };
    let requested: DeadLetterRequest = client.post(&path(&id, "/discard"), &request, Duty::Ordinary)?;
    told(output, &requested, "is discarded")
}

fn told(output: &mut Output, requested: &DeadLetterRequest, what: &str) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(requested);
    }
    output.line(one_line(&format!("{} {what}", requested.id)))
}

fn path(id: &str, action: &str) -> String {
    format!("/v1/dead-letters/{}{action}", encoded(id))
}

impl Conditions {
    fn selection(self) -> DeadLetterSelection {
        let Conditions { processor, topic, key, class } = self;
        DeadLetterSelection { processor, topic, key, class }
    }
}

/// The conditions as parameters of a query.
fn pairs(selection: &DeadLetterSelection) -> impl Iterator<Item = (&'static str, String)> {
    let DeadLetterSelection { processor, topic, key, class } = selection.clone();
    let pairs = [("processor", processor), ("topic", topic), ("key", key), ("class", class)];
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use meshlog_connectors::api::{PositionView, Timestamp};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: DeadLettersArguments,
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("dead-letters").chain(line.split(' '));
        Line::try_parse_from(words).map(|line| line.arguments.command)
    }

    fn dead_letter() -> DeadLetter {
        DeadLetter {
            id: "route~messages~0~12".into(),
            processor: "route".into(),
            position: PositionView { topic: "messages".into(), partition: 0, offset: 12 },
            key: "home/roof".into(),
            event_id: "e".into(),
            event_type: "meshlog.message.accepted".into(),
            class: "exhausted".into(),
            error: "no\nroute".into(),
            attempts: 5,
            failed_at: Some(Timestamp::from_micros(0)),
            waits_behind: None,
            waiting: 2,
        }
    }

    #[test]
    fn ids_or_all_are_redriven_and_never_both() {
        assert!(matches!(parse("redrive a b"), Ok(Command::Redrive(arguments)) if arguments.ids == ["a", "b"]));
        let all = parse("redrive --all --processor route --key k");
        assert!(matches!(all, Ok(Command::Redrive(arguments)) if arguments.all));
        for line in ["redrive", "redrive a --all", "redrive a --processor route", "list --class sad", "discard a"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_row_says_what_waits() {
        let mut letter = dead_letter();
        let failed = "1970-01-01T00:00:00Z";
        assert_eq!(row(&letter), ["route~messages~0~12", "exhausted", "home/roof", "5", failed, "2", "no route"]);
        (letter.waits_behind, letter.waiting, letter.failed_at) = (Some(3), 0, None);
        let [.., failed, waiting, _] = row(&letter);
        assert_eq!((failed.as_str(), waiting.as_str()), ("-", "behind 3"));
    }

    #[test]
    fn an_event_that_is_gone_is_said_to_be() {
        let lines = details(&DeadLetterView { dead_letter: dead_letter(), event: None });
        assert!(lines.contains(&("event", "removed by retention".to_owned())), "{lines:?}");
        assert!(lines.contains(&("waiting", "2 later events of the key".to_owned())), "{lines:?}");
    }

    #[test]
    fn only_conditions_that_are_given_are_sent() {
        let selection = DeadLetterSelection { key: Some("home/roof".into()), ..DeadLetterSelection::default() };
        assert_eq!(pairs(&selection).collect::<Vec<_>>(), [("key", "home/roof".to_owned())]);
    }
}
