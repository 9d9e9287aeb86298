//! Threads: listing them, and reading one.

use meshlog_connectors::api::{Message, Page, Thread};
use serde::de::DeserializeOwned;

use super::{
    Client, Context, EXIT_CODES, Failure, Outcome, Output,
    output::{harmless, one_line},
    percent::encoded,
    table::Table,
};

/// The most items one request may ask for.
const PAGE_LIMIT: usize = 500;

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
    match thread {
        Some(thread) => {
            let path = format!("/v1/threads/{}/messages", encoded(&thread));
            show_messages(&mut context.output, &list(&client, &path, &space, limit as usize)?)?;
        }
        None => show_threads(&mut context.output, &space, &list(&client, "/v1/threads", &space, limit as usize)?)?,
    }
    Ok(Outcome::Done)
}

/// The first items of a list, from as many pages as it takes.
fn list<T: DeserializeOwned>(client: &Client, path: &str, space: &str, limit: usize) -> Result<Page<T>, Failure> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = (limit - items.len()).min(PAGE_LIMIT);
        let mut query = vec![("space", space.to_owned()), ("limit", wanted.to_string())];
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page<T> = client.get(path, &query)?;
        items.extend(page.items);
        if page.next.is_none() || items.len() >= limit {
            return Ok(Page { items, next: page.next });
        }
        cursor = page.next;
    }
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
    }
    show_more(output, page)
}

fn show_more<T>(output: &mut Output, page: &Page<T>) -> Result<(), Failure> {
    if page.next.is_none() {
        return Ok(());
    }
    let more = output.faint(&format!("there are more than these {}; --limit shows more", page.items.len()));
    output.line(more)
}
