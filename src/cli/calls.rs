//! Calls of models: listing them, and showing one with its attempts.

use meshlog_connectors::api::{Attempt, Call, Page, Timestamp};

use super::{
    Context, EXIT_CODES, Failure, Outcome, Output, money,
    output::one_line,
    pages::{list, show_more},
    percent::encoded,
    table::Table,
};

/// The arguments of `meshlog calls`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog calls --space home --limit 50
  meshlog calls --open
  meshlog calls 0198f7c2-6d3e-7c1a-9f51-2d1f0a4b8e77

The bodies are at GET /v1/calls/ID/request and GET /v1/calls/ID/response.

{EXIT_CODES}"))]
pub(super) struct CallsArguments {
    /// Show this call with its attempts; without it, calls are listed, the newest first
    #[arg(value_name = "ID", conflicts_with_all = ["space", "thread", "open", "limit"])]
    id: Option<String>,

    /// The space
    #[arg(long, default_value = "main", value_name = "SPACE")]
    space: String,

    /// Only calls of this thread
    #[arg(long, value_name = "THREAD")]
    thread: Option<String>,

    /// Only calls that have not ended
    #[arg(long)]
    open: bool,

    /// How many to show at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
    limit: u32,
}

/// Shows calls, or one.
pub(super) fn run(context: &mut Context, arguments: CallsArguments) -> Result<Outcome, Failure> {
    let client = context.client()?;
    let CallsArguments { id, space, thread, open, limit } = arguments;
    if let Some(id) = id {
        let call: Call = client.get(&format!("/v1/calls/{}", encoded(&id)), &[])?;
        show(&mut context.output, &call)?;
        return Ok(Outcome::Done);
    }
    let mut query = vec![("space", space.clone())];
    query.extend(thread.map(|thread| ("thread", thread)));
    query.extend(open.then(|| ("state", "open".to_owned())));
    show_list(&mut context.output, &space, &list(&client, "/v1/calls", &query, limit as usize)?)?;
    Ok(Outcome::Done)
}

fn show_list(output: &mut Output, space: &str, page: &Page<Call>) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(page);
    }
    if page.items.is_empty() {
        return output.line(format!("the space \"{}\" has no such calls", one_line(space)));
    }
    let mut table = Table::new(["call", "requested", "state", "model", "thread", "attempts", "tokens", "cost (USD)"]);
    for call in &page.items {
        table.row([
            call.call_id.clone(),
            call.requested_at.to_string(),
            call.state.clone(),
            call.asked_model.clone(),
            call.thread_id.clone().unwrap_or_else(none),
            call.attempts_made.map_or_else(|| call.attempts.len().to_string(), |made| made.to_string()),
            call.tokens.map_or_else(none, |tokens| tokens.total.to_string()),
            call.cost_usd.map_or_else(none, money::dollars),
        ]);
    }
    table.write(output)?;
    show_more(output, page)
}

fn show(output: &mut Output, call: &Call) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(call);
    }
    let id = output.bold(&one_line(&call.call_id));
    output.line(format!("{id}  {}  {}", one_line(&call.state), call.requested_at))?;
    for (name, value) in facts(call).into_iter().filter_map(|(name, value)| Some((name, value?))) {
        if !value.is_empty() {
            output.line(format!("{name:<15}{}", one_line(&value)))?;
        }
    }
    if call.attempts.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let mut table = Table::new(["attempt", "provider", "model", "started", "failed", "class", "status", "message"]);
    call.attempts.iter().for_each(|attempt| table.row(row(attempt)));
    table.write(output)
}

/// What is known of a call, line by line.
fn facts(call: &Call) -> [(&'static str, Option<String>); 18] {
    let millis = |millis: Option<f64>| millis.map(|millis| format!("{millis:.1} ms"));
    let tokens = call.tokens.map(|tokens| {
        format!(
            "{} input, {} written to and {} read from the cache, {} output, {} reasoning ({})",
            tokens.input,
            tokens.cache_write,
            tokens.cache_read,
            tokens.output,
            tokens.reasoning,
            call.usage_source.as_deref().unwrap_or("none")
        )
    });
    let prices = call.price_table.as_deref().unwrap_or("-");
    let cost = call.cost_usd.map(|cost| format!("{} USD ({prices})", money::dollars(cost)));
    let unpriced = || call.settled_at.map(|_| "the model has no price".to_owned());
    let error = call.error_class.as_ref();
    [
        ("space", Some(call.space.clone())),
        ("thread", call.thread_id.clone()),
        ("key", Some(call.key_label.clone())),
        ("kind", Some(call.kind.clone())),
        ("asked for", Some(call.asked_model.clone())),
        ("mode", call.mode.clone()),
        ("owner", call.owner.clone()),
        ("provider", call.provider.clone()),
        ("model there", call.model.clone()),
        ("answered by", call.answered_model.clone()),
        ("provider's id", call.request_id.clone()),
        ("status", call.status.map(|status| status.to_string())),
        ("finished", call.finish_reason.clone()),
        ("error", error.map(|class| format!("{class}: {}", call.error_message.as_deref().unwrap_or("-")))),
        ("first output", millis(call.first_output_ms)),
        ("total", millis(call.total_ms)),
        ("tokens", tokens),
        ("cost", cost.or_else(unpriced)),
    ]
}

fn row(attempt: &Attempt) -> [String; 8] {
    let time = |time: Option<Timestamp>| time.map_or_else(none, |time| time.to_string());
    [
        attempt.number.to_string(),
        attempt.provider.clone(),
        attempt.model.clone(),
        time(attempt.started_at),
        time(attempt.failed_at),
        attempt.class.clone().unwrap_or_else(none),
        attempt.status.map_or_else(none, |status| status.to_string()),
        attempt.message.clone().unwrap_or_default(),
    ]
}

fn none() -> String {
    "-".to_owned()
}
