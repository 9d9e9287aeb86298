//! Threads: listing them, and reading one.

use meshlog_connectors::api::{Message, Page, Thread};

use super::{
    Context, EXIT_CODES, Failure, Outcome, Output,
    output::{harmless, one_line},
    pages::{list, show_more},
    percent::encoded,
    table::Table,
};

/// The arguments of `meshlog threads`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog threads --space home
  meshlog threads roof --space home --limit 100

{EXIT_CODES}"))]
pub(super) struct ThreadsArguments {
    /// Show the messages of this thread, the oldest first; without it, the threads are listed, the newest first
    #[arg(value_name = "THREAD")]
    thread: Option<String>,

    /// The space
    #[arg(long, default_value = "main", value_name = "SPACE")]
    space: String,

    /// How many to show at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
    limit: u32,
}

/// Shows threads, or the messages of one.
pub(super) fn run(context: &mut Context, arguments: ThreadsArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let ThreadsArguments { thread, space, limit } = arguments;
    let (query, limit) = ([("space", space.clone())], limit as usize);
    match thread {
        Some(thread) => {
            let path = format!("/v1/threads/{}/messages", encoded(&thread));
            show_messages(&mut context.output, &list(&client, &path, &query, limit)?)?;
        }
        None => show_threads(&mut context.output, &space, &list(&client, "/v1/threads", &query, limit)?)?,
    }
    Ok(Outcome::Done)
}

fn show_threads(output: &mut Output, space: &str, page: &Page<Thread>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line(format!("the space \"{}\" has no threads", one_line(space)));
    }
    let mut table = Table::new(["thread", "messages", "last", "authors"]);
    for thread in &page.items {
        table.row([
            thread.thread_id.clone(),
            thread.messages.to_string(),
            thread.last_at.to_string(),
            thread.authors.join(", "),
        ]);
    }
    table.write(output)?;
    show_more(output, page)
}

fn show_messages(output: &mut Output, page: &Page<Message>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    for message in &page.items {
        let author = output.bold(&one_line(&message.author));
        output.line(format!("{author} ({})  {}", one_line(&message.role), message.sent_at))?;
        for line in harmless(&message.text).lines() {
            output.line(format!("    {line}").trim_end())?;
        }
        if let Some(edited) = &message.edited {
            let by = format!("    {} by {} on {}", one_line(&edited.kind), one_line(&edited.by), edited.at);
            let by = output.faint(&by);
            output.line(by)?;
        }
    }
    show_more(output, page)
}
