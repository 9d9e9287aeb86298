//! Usage: what calls of models used.
//!
//! Owns: which sums are asked for, and how the sums of several nodes become one answer.

use std::collections::{BTreeMap, btree_map::Entry};

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Gateway, extract::Parameters};
use crate::{
    api::{Day, Tokens, Usage, UsageField, UsageSums, Usd},
    checks,
    ports::UsageSelection,
    problem::{Code, Problem, quote},
};

/// The most rows of an answer.
const ROWS_LIMIT: usize = 10_000;

/// Which calls, and how they are summed up.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// What to sum up by, with commas between: any of `space`, `provider`, `model`, `key`, `day` and `kind`. Rows come in this
    /// order. Empty for one row.
    #[param(default = "model", example = "model,day")]
    by: Option<String>,
    /// Only calls of this space.
    space: Option<String>,
    /// Only calls that this provider was asked last for; empty for those that nobody was asked for.
    provider: Option<String>,
    /// Only calls of the model of this name at the provider.
    model: Option<String>,
    /// Only calls with the key of this label; empty for those without.
    key: Option<String>,
    /// Only calls requested on this day (UTC) or later.
    #[param(value_type = Option<Day>)]
    from: Option<String>,
    /// Only calls requested on this day (UTC) or earlier.
    #[param(value_type = Option<Day>)]
    to: Option<String>,
}

impl UsageQuery {
    /// What is asked for, checked.
    pub(super) fn checked(self) -> Result<UsageSelection, Problem> {
        let UsageQuery { by, space, provider, model, key, from, to } = self;
        let by = by.map_or_else(|| Ok(vec![UsageField::Model]), |by| fields(&by))?;
        let (from, to) = (day("from", from)?, day("to", to)?);
        let selection = UsageSelection { by, space, provider, model, key, from, to };
        checks::usage(&selection)?;
        Ok(selection)
    }
}

fn fields(by: &str) -> Result<Vec<UsageField>, Problem> {
    let refuse = |detail: String| {
        let names = UsageField::ALL.map(UsageField::name);
        Problem::new(
            Code::InvalidField,
            detail,
            format!("send any of {}, each once, with commas between", names.join(", ")),
        )
        .with("field", "by")
        .with("allowed", names.as_slice())
    };
    let mut fields = Vec::new();
    for name in by.split(',').map(str::trim).filter(|_| !by.trim().is_empty()) {
        let field = name.parse().map_err(|_| refuse(format!("by holds \"{}\", which is no field", quote(name))))?;
        if fields.contains(&field) {
            return Err(refuse(format!("by holds \"{name}\" twice")));
        }
        fields.push(field);
    }
    Ok(fields)
}

fn day(field: &str, text: Option<String>) -> Result<Option<Day>, Problem> {
    let wrong = |text: &str| {
        let detail = format!("{field} is \"{}\", which is no day in the years 0001 to 9999", quote(text));
        Problem::new(Code::InvalidField, detail, format!("send {field} as YYYY-MM-DD")).with("field", field)
    };
    text.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
}

/// What calls used that have ended: tokens, costs and outcomes.
///
/// A call counts once, on the day of its request, when it has ended. Sums are exact, also of costs.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "calls",
    params(UsageQuery),
    responses((status = 200, description = "The sums", body = Usage))
)]
pub(super) async fn usage(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let found = gateway.ports.call_records.usage(query.checked()?, ROWS_LIMIT).await?;
    found.map(Json).ok_or_else(too_many_rows)
}

/// The sums of all parts, each of other calls.
///
/// # Errors
/// `too_many_rows`: together they have more than one answer may.
pub(super) fn merged(by: &[UsageField], parts: Vec<Usage>) -> Result<Usage, Problem> {
    let mut rows: BTreeMap<Vec<String>, UsageSums> = BTreeMap::new();
    let mut total = UsageSums::default();
    for part in parts {
        add(&mut total, &part.total);
        for row in part.usage {
            match rows.entry(names(by, &row)) {
                Entry::Vacant(entry) => {
                    entry.insert(row);
                }
                Entry::Occupied(mut entry) => add(entry.get_mut(), &row),
            }
        }
    }
    if rows.len() > ROWS_LIMIT {
        return Err(too_many_rows());
    }
    Ok(Usage { usage: rows.into_values().collect(), total })
}

fn too_many_rows() -> Problem {
    let help = "sum up by fewer fields, or ask for fewer days, one space, provider, model or key";
    Problem::new(Code::TooManyRows, format!("there are more than {ROWS_LIMIT} rows"), help).with("limit", ROWS_LIMIT)
}

/// What rows are ordered by.
fn names(by: &[UsageField], row: &UsageSums) -> Vec<String> {
    let name = |field: &UsageField| match field {
        UsageField::Space => row.space.clone(),
        UsageField::Provider => row.provider.clone(),
        UsageField::Model => row.model.clone(),
        UsageField::Key => row.key.clone(),
        // Years have four figures, so days order as texts do.
        UsageField::Day => row.day.map(|day| day.to_string()),
        UsageField::Kind => row.kind.clone(),
    };
    by.iter().map(|field| name(field).unwrap_or_default()).collect()
}

fn add(sum: &mut UsageSums, other: &UsageSums) {
    let numbers = |sums: &UsageSums| {
        let Tokens { input, cache_write, cache_read, output, reasoning, total } = sums.tokens;
        [
            sums.calls,
            sums.completed,
            sums.truncated,
            sums.failed,
            sums.cancelled,
            sums.interrupted,
            sums.attempts,
            input,
            cache_write,
            cache_read,
            output,
            reasoning,
            total,
            sums.cost_usd.nanos(),
            sums.unpriced,
            sums.estimated,
            sums.without_usage,
        ]
    };
    let (left, right) = (numbers(sum), numbers(other));
    let added: [i64; 17] = std::array::from_fn(|place| left[place].saturating_add(right[place]));
    let [calls, completed, truncated, failed, cancelled, interrupted, attempts, rest @ ..] = added;
    let [input, cache_write, cache_read, output, reasoning, total, cost, unpriced, estimated, without_usage] = rest;
    *sum = UsageSums {
        calls,
        completed,
        truncated,
        failed,
        cancelled,
        interrupted,
        attempts,
        tokens: Tokens { input, cache_write, cache_read, output, reasoning, total },
        cost_usd: Usd::from_nanos(cost),
        unpriced,
        estimated,
        without_usage,
        ..std::mem::take(sum)
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::http::fake::{Fake, NOON, ask, plain};

    const DAY: i64 = 24 * 60 * 60 * 1_000_000;

    /// Calls of the models m-t and m-none, on three days; one of them is open.
    fn fake() -> std::sync::Arc<Fake> {
        let fake = Fake::new();
        fake.call("a", "main", Some("t"), "completed", NOON);
        fake.call("b", "main", None, "failed", NOON + DAY);
        fake.call("c", "ada", Some("t"), "interrupted", NOON + 2 * DAY);
        fake.call("d", "main", Some("t"), "open", NOON);
        fake
    }

    #[tokio::test]
    async fn usage_is_summed_up_by_model_unless_asked_otherwise() {
        let reply = ask(fake().router(), plain("GET", "/v1/usage")).await;
        let usage = reply.json();
        let rows = usage["usage"].as_array().expect("rows");
        assert_eq!(rows.len(), 2, "{usage}");
        assert_eq!(
            (&rows[0]["model"], &rows[0]["calls"], &rows[0]["failed"]),
            (&json!("m-none"), &json!(1), &json!(1))
        );
        let row = json!({"model": "m-t", "calls": 2, "completed": 1, "truncated": 0, "failed": 0, "cancelled": 0,
            "interrupted": 1, "attempts": 2,
            "tokens": {"input": 6, "cache_write": 2, "cache_read": 4, "output": 10, "reasoning": 8, "total": 30},
            "cost_usd": 0.0000025, "unpriced": 0, "estimated": 0, "without_usage": 0});
        assert_eq!(rows[1], row);
        assert!(reply.text().contains("\"cost_usd\":0.000003750"), "nine decimals: {}", reply.text());
        assert_eq!(usage["total"]["calls"], 3);
        assert!(usage["total"].get("model").is_none(), "{usage}");
    }

    #[tokio::test]
    async fn rows_have_the_fields_asked_for_in_their_order() {
        let rows = async |query: &str| {
            let reply = ask(fake().router(), plain("GET", &format!("/v1/usage?{query}"))).await;
            let usage: Usage =
                serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()));
            let by: Vec<UsageField> = usage
                .usage
                .first()
                .map(|_| fields(query.trim_start_matches("by=").split('&').next().unwrap_or_default()).expect("fields"))
                .unwrap_or_default();
            usage.usage.iter().map(|row| names(&by, row).join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(rows("by=day,space").await, ["2025-05-08 main", "2025-05-09 main", "2025-05-10 ada"]);
        assert_eq!(rows("by=space,day").await, ["ada 2025-05-10", "main 2025-05-08", "main 2025-05-09"]);
        assert_eq!(rows("by=day&from=2025-05-09&to=2025-05-09").await, ["2025-05-09"]);
        assert_eq!(rows("by=provider,kind,key&space=ada").await, ["acme chat laptop"]);
        assert_eq!(rows("by=").await, [""], "one row for all");
        assert_eq!(rows("by=model&provider=").await, [""; 0], "somebody was asked for each");
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_refused_by_field() {
        for (query, field) in [
            ("by=moon", "by"),
            ("by=model,model", "by"),
            ("by=model,", "by"),
            ("from=yesterday", "from"),
            ("to=2025-02-30", "to"),
            ("space=", "space"),
            ("key=%07", "key"),
        ] {
            let problem = ask(fake().router(), plain("GET", &format!("/v1/usage?{query}"))).await.problem();
            assert_eq!(
                (problem.code(), &problem.details().facts["field"]),
                ("invalid_field", &json!(field)),
                "{query}"
            );
        }
    }

    #[test]
    fn more_rows_than_one_answer_may_have_are_refused() {
        let row = |number| UsageSums { model: Some(format!("m{number}")), calls: 1, ..UsageSums::default() };
        let part =
            |from: usize| Usage { usage: (from..from + ROWS_LIMIT).map(row).collect(), total: UsageSums::default() };
        assert_eq!(
            merged(&[UsageField::Model], vec![part(0), part(0)]).expect("they are the same").usage.len(),
            ROWS_LIMIT
        );
        let problem = merged(&[UsageField::Model], vec![part(0), part(1)]).expect_err("there is one more");
        assert_eq!(problem.code(), "too_many_rows");
    }

    proptest! {
        #[test]
        fn however_calls_are_shared_out_their_sums_are_the_same(calls in prop::collection::vec((0..3_u8, 0..3_i64, 0..=i64::MAX), 0..20), shares in 1..5_usize) {
            let by = [UsageField::Day, UsageField::Model];
            let one = |(model, day, tokens): &(u8, i64, i64)| {
                let tokens = Tokens { input: *tokens, total: *tokens, ..Tokens::default() };
                let sums = UsageSums { calls: 1, tokens, cost_usd: Usd::from_nanos(7), ..UsageSums::default() };
                let row = UsageSums { model: Some(format!("m{model}")), day: Some(Day::from_number(*day)), ..sums.clone() };
                Usage { usage: vec![row], total: sums }
            };
            let parts = (0..shares).map(|share| {
                let of_share = calls.iter().skip(share).step_by(shares).map(one).collect();
                merged(&by, of_share).expect("there are few")
            });
            let whole = merged(&by, calls.iter().map(one).collect()).expect("there are few");
            prop_assert_eq!(merged(&by, parts.collect()).expect("there are few"), whole.clone());
            prop_assert_eq!(whole.total.calls, calls.len() as i64);
            prop_assert!(whole.usage.is_sorted_by_key(|row| (row.day, row.model.clone())));
        }
    }
}
