//! Usage: what calls of models used and cost.

use meshlog_connectors::api::{Day, Usage, UsageField, UsageSums};

use super::{Context, EXIT_CODES, Failure, Outcome, Output, money, table::Table};

/// The columns of sums.
const SUMS: [&str; 9] =
    ["calls", "completed", "attempts", "input", "cache write", "cache read", "output", "reasoning", "cost (USD)"];
const COLUMNS: usize = UsageField::ALL.len() + SUMS.len();

/// The arguments of `meshlog usage`.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("\
Examples:
  meshlog usage
  meshlog usage --by day,model --space home --from 2026-08-01 --to 2026-08-31
  meshlog usage --by key --json | jq '.usage[] | {{key, cost_usd}}'

{EXIT_CODES}"))]
pub(super) struct UsageArguments {
    /// What to sum up by: any of space, provider, model, key, day and kind
    #[arg(long, value_delimiter = ',', default_value = "model", value_name = "FIELDS")]
    by: Vec<UsageField>,

    /// Only calls of this space; without it, of all
    #[arg(long, value_name = "SPACE")]
    space: Option<String>,

    /// Only calls requested on this day (UTC) or later
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<Day>,

    /// Only calls requested on this day (UTC) or earlier
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<Day>,
}

/// Shows the sums.
pub(super) fn run(context: &mut Context, arguments: UsageArguments) -> Result<Outcome, Failure> {
    let UsageArguments { by, space, from, to } = arguments;
    let names: Vec<_> = by.iter().map(|field| field.name()).collect();
    let mut query = vec![("by", names.join(","))];
    query.extend(space.map(|space| ("space", space)));
    query.extend(from.map(|day| ("from", day.to_string())));
    query.extend(to.map(|day| ("to", day.to_string())));
    let usage: Usage = context.client()?.get("/v1/usage", &query)?;
    if context.output.is_json() {
        context.output.document(&usage)?;
    } else {
        show(&mut context.output, &by, &usage)?;
    }
    Ok(Outcome::Done)
}

fn show(output: &mut Output, by: &[UsageField], usage: &Usage) -> Result<(), Failure> {
    if usage.total.calls == 0 {
        return output.line("no call has ended");
    }
    let mut headings = [""; COLUMNS];
    for (heading, field) in headings.iter_mut().zip(by) {
        *heading = field.name();
    }
    headings[UsageField::ALL.len()..].copy_from_slice(&SUMS);
    let mut table = Table::new(headings);
    for sums in &usage.usage {
        table.row(row(by.iter().map(|field| name(*field, sums)), sums));
    }
    if usage.usage.len() > 1 {
        table.row(row(["total".to_owned()], &usage.total));
    }
    table.write(output)?;
    show_doubts(output, &usage.total)
}

/// What the sums leave out, or have from elsewhere.
fn show_doubts(output: &mut Output, total: &UsageSums) -> Result<(), Failure> {
    let doubts = [
        (total.unpriced, "without a price, which cost nothing here"),
        (total.estimated, "with tokens that were counted here, not reported"),
        (total.without_usage, "of which nobody knows the tokens"),
    ];
    for (calls, what) in doubts.into_iter().filter(|(calls, _)| *calls > 0) {
        let doubt = output.faint(&format!("calls {what}: {calls}"));
        output.line(doubt)?;
    }
    Ok(())
}

fn row(names: impl IntoIterator<Item = String>, sums: &UsageSums) -> [String; COLUMNS] {
    let tokens = &sums.tokens;
    let numbers = [
        sums.calls,
        sums.completed,
        sums.attempts,
        tokens.input,
        tokens.cache_write,
        tokens.cache_read,
        tokens.output,
        tokens.reasoning,
    ];
    let mut cells = [const { String::new() }; COLUMNS];
    let (fields, rest) = cells.split_at_mut(UsageField::ALL.len());
    for (cell, name) in fields.iter_mut().zip(names) {
        *cell = name;
    }
    let written = numbers.map(|number| number.to_string()).into_iter().chain([money::dollars(sums.cost_usd)]);
    for (cell, text) in rest.iter_mut().zip(written) {
        *cell = text;
    }
    cells
}

/// What a row is of in one field.
fn name(field: UsageField, sums: &UsageSums) -> String {
    let name = match field {
        UsageField::Space => sums.space.clone(),
        UsageField::Provider => sums.provider.clone(),
        UsageField::Model => sums.model.clone(),
        UsageField::Key => sums.key.clone(),
        UsageField::Day => sums.day.map(|day| day.to_string()),
        UsageField::Kind => sums.kind.clone(),
    };
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "-".to_owned())
}
