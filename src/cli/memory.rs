//! The memory: pinning insights, correcting facts, editing and redacting messages, forgetting, for how long is remembered, and which
//! names are one.

use clap::Subcommand;
use meshlog_connectors::api::{
    DEFAULT_SPACE, FactCorrection, FileRequest, ForgetRequest, Insight, MemoryReceipt, MessageEdit, MessageRedaction,
    NameLink, NewInsight, Page, RetentionRequest, SpaceRetention, Timestamp,
};
use serde::Serialize;

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome, Output,
    client::Duty,
    output::{harmless, one_line},
    pages::{list, show_more},
};

/// How many spaces are listed at the most.
const SHOWN_SPACES: usize = 10_000;

/// The arguments of `meshlog memory`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog memory pin \"Answer in German.\" --author Ada
  meshlog memory forget --thread garden --author Ada --reason \"it was a mistake\"
  meshlog memory list

{EXIT_CODES}"))]
pub(super) struct MemoryArguments {
    #[command(subcommand)]
    command: MemoryCommand,
}

#[derive(Debug, Subcommand)]
enum MemoryCommand {
    /// Pin something to remember: it comes first in every context of its thread or space
    #[command(after_help = format!("Example:\n  meshlog memory pin \"Answer in German.\" --author Ada --thread letters\n\n{EXIT_CODES}"))]
    Pin {
        /// What is to be remembered
        text: String,
        /// Only for this thread; without it, for all of the space
        #[arg(long, value_name = "THREAD")]
        thread: Option<String>,
        /// Its own id: pinned again with it, it has the new words
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// The messages that it is from
        #[arg(long = "source", value_name = "MESSAGE-ID")]
        sources: Vec<String>,
        #[command(flatten)]
        by: By,
    },
    /// List what is pinned, the oldest first
    #[command(after_help = format!("Example:\n  meshlog memory list --thread letters\n\n{EXIT_CODES}"))]
    List {
        /// Only what is pinned for this thread and for all of the space
        #[arg(long, value_name = "THREAD")]
        thread: Option<String>,
        /// The space
        #[arg(long, default_value = "main", value_name = "SPACE")]
        space: String,
        /// How many to show at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
        limit: u32,
    },
    /// Say what is right in place of a fact; what is not named is as it was
    #[command(after_help = format!("Example:\n  meshlog memory correct FACT-ID --object Bosch --author Ada\n\n{EXIT_CODES}"))]
    Correct {
        /// The id of the fact that is wrong
        fact_id: String,
        /// Whom or what it is about
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// What is said of it
        #[arg(long, value_name = "RELATION")]
        relation: Option<String>,
        /// What the relation leads to
        #[arg(long, value_name = "NAME")]
        object: Option<String>,
        /// Since when it holds
        #[arg(long, value_name = "TIME")]
        from: Option<Timestamp>,
        /// Until when it holds
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        #[command(flatten)]
        by: By,
    },
    /// Have a message say something else; what it said before stays readable in the events
    #[command(after_help = format!("Example:\n  meshlog memory edit MESSAGE-ID \"We sail at one.\" --author Ada --reason \"a slip\"\n\n{EXIT_CODES}"))]
    Edit {
        /// The id of the message
        message_id: String,
        /// What it says from now on
        text: String,
        #[command(flatten)]
        by: By,
    },
    /// Take back what a message said: it stays in its place, and what it said is shown nowhere any more
    #[command(after_help = format!("Example:\n  meshlog memory redact MESSAGE-ID --keep \"My number is ...\" --author Ada\n\n{EXIT_CODES}"))]
    Redact {
        /// The id of the message
        message_id: String,
        /// What is left of its text; without it, nothing
        #[arg(long, value_name = "TEXT")]
        keep: Option<String>,
        #[command(flatten)]
        by: By,
    },
    /// Forget one thing: from now on it is in no answer, and after a replay neither
    #[command(
        group = clap::ArgGroup::new("what").required(true).multiple(false),
        after_help = format!("Example:\n  meshlog memory forget --said-by Bob --author Ada --reason \"he asked for it\"\n\n{EXIT_CODES}")
    )]
    Forget {
        /// A message, by its id
        #[arg(long, group = "what", value_name = "ID")]
        message: Option<String>,
        /// All that was said in a thread
        #[arg(long, group = "what", value_name = "THREAD")]
        thread: Option<String>,
        /// All that an author said
        #[arg(long, group = "what", value_name = "AUTHOR")]
        said_by: Option<String>,
        /// A fact, by its id; the message that states it stays
        #[arg(long, group = "what", value_name = "ID")]
        fact: Option<String>,
        /// An insight, by its id
        #[arg(long, group = "what", value_name = "ID")]
        insight: Option<String>,
        /// All that was said in the space
        #[arg(long, group = "what")]
        everything: bool,
        /// Of a thread, an author or everything: only what was taken in before this
        #[arg(long, value_name = "TIME")]
        before: Option<Timestamp>,
        #[command(flatten)]
        by: By,
    },
    /// For how long the messages of a space are remembered; without --days and --for-ever it is shown
    #[command(after_help = format!("Examples:\n  meshlog memory retain --space home --days 90 --author Ada\n  meshlog memory retain --space home --for-ever --author Ada\n  meshlog memory retain\n\n{EXIT_CODES}"))]
    Retain {
        /// The space; when it is set, without it main
        #[arg(long, value_name = "SPACE")]
        space: Option<String>,
        /// For so many days after a message was taken in; what is past that is forgotten, and does not come back
        #[arg(long, requires = "author", value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=36_500))]
        days: Option<u16>,
        /// For ever, from now on
        #[arg(long, requires = "author", conflicts_with = "days")]
        for_ever: bool,
        /// Who sets it
        #[arg(long, value_name = "NAME")]
        author: Option<String>,
        /// Why
        #[arg(long, default_value = "", value_name = "WORDS")]
        reason: String,
    },
    /// Put a thread into the archive: it is in no list of threads until it is restored, or something is said in it
    #[command(after_help = format!("Example:\n  meshlog memory archive garden --author Ada\n\n{EXIT_CODES}"))]
    Archive {
        /// The thread
        thread: String,
        #[command(flatten)]
        by: By,
    },
    /// Take a thread out of the archive
    #[command(after_help = format!("Example:\n  meshlog memory restore garden --author Ada\n\n{EXIT_CODES}"))]
    Restore {
        /// The thread
        thread: String,
        #[command(flatten)]
        by: By,
    },
    /// Say that two names stand for one thing
    #[command(after_help = format!("Example:\n  meshlog memory merge person Ann \"Ann Miller\" --author Ada\n\n{EXIT_CODES}"))]
    Merge {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        by: By,
    },
    /// Take back that two names stand for one thing
    #[command(after_help = format!("Example:\n  meshlog memory part person Ann \"Ann Miller\" --author Ada\n\n{EXIT_CODES}"))]
    Part {
        #[command(flatten)]
        names: Names,
        #[command(flatten)]
        by: By,
    },
}

/// Who writes, where and why.
#[derive(Debug, clap::Args)]
struct By {
    /// Who writes
    #[arg(long, value_name = "NAME")]
    author: String,
    /// Why
    #[arg(long, default_value = "", value_name = "WORDS")]
    reason: String,
    /// The space
    #[arg(long, default_value = "main", value_name = "SPACE")]
    space: String,
}

/// Two names.
#[derive(Debug, clap::Args)]
struct Names {
    /// What both are: person, organisation, place, product, topic, url or code-symbol
    kind: String,
    /// The name that is no longer one of its own
    from: String,
    /// The name that it is
    into: String,
}

/// Writes into the memory, or lists what is pinned.
pub(super) fn run(context: &mut Context, arguments: MemoryArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let output = &mut context.output;
    match arguments.command {
        MemoryCommand::Pin { text, thread, id, sources, by: By { author, reason, space } } => {
            let insight = NewInsight { id, space, thread, text, sources, author, reason };
            write(&client, output, "/v1/memory/insights", &insight, "pinned")?;
        }
        MemoryCommand::List { thread, space, limit } => {
            let mut query = vec![("space", space)];
            query.extend(thread.map(|thread| ("thread", thread)));
            show(output, &list(&client, "/v1/memory/insights", &query, limit as usize)?)?;
        }
        MemoryCommand::Correct { fact_id, subject, relation, object, from, until, by } => {
            let By { author, reason, space } = by;
            let (valid_from, valid_until, polarity) = (from, until, None);
            let correction = FactCorrection {
                fact_id,
                space,
                subject,
                relation,
                object,
                polarity,
                valid_from,
                valid_until,
                author,
                reason,
            };
            write(&client, output, "/v1/memory/corrections", &correction, "corrected; what is right has the id")?;
        }
        MemoryCommand::Edit { message_id, text, by: By { author, reason, space } } => {
            let edit = MessageEdit { message_id, space, text, author, reason };
            write(&client, output, "/v1/memory/edits", &edit, "edited; the edit has the id")?;
        }
        MemoryCommand::Redact { message_id, keep, by: By { author, reason, space } } => {
            let redaction = MessageRedaction { message_id, space, text: keep, author, reason };
            write(&client, output, "/v1/memory/redactions", &redaction, "redacted; the decision has the id")?;
        }
        MemoryCommand::Forget { message, thread, said_by, fact, insight, everything, before, by } => {
            let By { author, reason, space } = by;
            let request = ForgetRequest {
                space,
                message_id: message,
                thread,
                said_by,
                fact_id: fact,
                insight_id: insight,
                everything,
                before,
                author,
                reason,
            };
            write(&client, output, "/v1/memory/forgettings", &request, "forgotten; the decision has the id")?;
        }
        MemoryCommand::Retain { space, days, for_ever, author, reason } => {
            if let Some(author) = author.filter(|_| days.is_some() || for_ever) {
                let space = space.unwrap_or_else(|| DEFAULT_SPACE.to_owned());
                let request = RetentionRequest { space, keep_days: days, author, reason };
                let receipt: MemoryReceipt = client.put("/v1/memory/retention?wait=indexed", &request)?;
                done(output, &receipt, "set; the decision has the id")?;
            } else {
                let query: Vec<_> = space.map(|space| ("space", space)).into_iter().collect();
                show_retention(output, &list(&client, "/v1/memory/retention", &query, SHOWN_SPACES)?)?;
            }
        }
        MemoryCommand::Archive { thread, by } => {
            write(&client, output, "/v1/archive", &filing(thread, true, by), "archived; the decision has the id")?;
        }
        MemoryCommand::Restore { thread, by } => {
            write(&client, output, "/v1/archive", &filing(thread, false, by), "restored; the decision has the id")?;
        }
        MemoryCommand::Merge { names, by } => {
            write(&client, output, "/v1/graph/merges", &link(names, by), "merged; the decision has the id")?;
        }
        MemoryCommand::Part { names, by } => {
            write(&client, output, "/v1/graph/partings", &link(names, by), "parted; the decision has the id")?;
        }
    }
    Ok(Outcome::Done)
}

fn filing(thread: String, archived: bool, by: By) -> FileRequest {
    let By { author, reason, space } = by;
    FileRequest { space, thread, archived, author, reason }
}

fn link(names: Names, by: By) -> NameLink {
    let (Names { kind, from, into }, By { author, reason, space }) = (names, by);
    NameLink { space, kind, from, into, author, reason }
}

/// Writes, and waits until answers show it.
fn write(client: &Client, output: &mut Output, path: &str, body: &impl Serialize, what: &str) -> Result<(), Failure> {
    let receipt: MemoryReceipt = client.post(&format!("{path}?wait=indexed"), body, Duty::Ordinary)?;
    done(output, &receipt, what)
}

fn done(output: &mut Output, receipt: &MemoryReceipt, what: &str) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(receipt);
    }
    output.line(format!("{what} {}", one_line(&receipt.id)))
}

fn show_retention(output: &mut Output, page: &Page<SpaceRetention>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line("remembered for ever: nothing else is set");
    }
    for set in &page.items {
        let kept = set.keep_days.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"));
        output.line(format!("{}  {kept}", one_line(&set.space)))?;
        let reason = if set.reason.is_empty() { String::new() } else { format!(": {}", one_line(&set.reason)) };
        let by = output.faint(&format!("    {} on {}{reason}", one_line(&set.author), set.set_at));
        output.line(by)?;
    }
    show_more(output, page)
}

fn show(output: &mut Output, page: &Page<Insight>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line("nothing is pinned");
    }
    for insight in &page.items {
        output.line(harmless(insight.text.trim()))?;
        let thread = insight.thread.as_deref().map(|thread| format!(" for {}", one_line(thread))).unwrap_or_default();
        let by = format!("    {} on {}{thread}, {}", one_line(&insight.author), insight.pinned_at, insight.insight_id);
        let by = output.faint(&by);
        output.line(by)?;
    }
    show_more(output, page)
}
