//! Summaries and statistics of threads and spaces, and the archive.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{JsonBody, Name, Parameters},
    memory::{Taken, write},
    messages::WriteQuery,
    threads,
};
use crate::{
    api::{
        DEFAULT_SPACE, Day, DayTally, FileRequest, MemoryReceipt, NamedTally, Page, Statistics, Tally, ThreadLast,
        ThreadSummary, Timestamp, default_space,
    },
    checks,
    ports::{MemoryWrite, Written},
    problem::Problem,
};

/// About how many tokens a summary has when the client does not say.
const DEFAULT_TOKENS: u32 = 300;
/// The least and the most.
const TOKENS: (u64, u64) = (16, 20_000);

/// Of which space, and how long.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SummaryQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    pub(super) space: String,
    /// About how many tokens it may have.
    #[param(default = 300, minimum = 16, maximum = 20_000)]
    budget_tokens: Option<u32>,
}

/// What says most of a thread, in words that were said, each with its message.
///
/// It follows from the messages alone and asks no model. Without sentences where nothing is remembered of the thread.
#[utoipa::path(
    get,
    path = "/v1/threads/{id}/summary",
    tag = "memory",
    operation_id = "thread_summary",
    params(("id" = String, Path, description = "The thread's id, percent-encoded (a slash as %2F)"), SummaryQuery),
    responses((status = 200, description = "The summary", body = ThreadSummary))
)]
pub(super) async fn summary(
    State(gateway): State<Gateway>,
    Name(thread): Name,
    Parameters(query): Parameters<SummaryQuery>,
) -> Result<Json<ThreadSummary>, Problem> {
    checks::name("space", &query.space)?;
    let budget = query.budget_tokens.unwrap_or(DEFAULT_TOKENS);
    checks::range("budget_tokens", budget.into(), TOKENS.0, TOKENS.1)?;
    gateway.ports.summaries.summary(query.space, thread, budget).await.map(Json)
}

/// Of which space.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatisticsQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    pub(super) space: String,
}

/// How much was said in a thread, by whom and when.
#[utoipa::path(
    get,
    path = "/v1/threads/{id}/statistics",
    tag = "memory",
    operation_id = "thread_statistics",
    params(("id" = String, Path, description = "The thread's id, percent-encoded (a slash as %2F)"), StatisticsQuery),
    responses((status = 200, description = "The statistics", body = Statistics))
)]
pub(super) async fn of_thread(
    State(gateway): State<Gateway>,
    Name(thread): Name,
    Parameters(query): Parameters<StatisticsQuery>,
) -> Result<Json<Statistics>, Problem> {
    checks::name("space", &query.space)?;
    gateway.ports.summaries.statistics(query.space, Some(thread)).await.map(Json)
}

/// How much was said in a space, by whom and when.
#[utoipa::path(
    get,
    path = "/v1/statistics",
    tag = "memory",
    operation_id = "statistics",
    params(StatisticsQuery),
    responses((status = 200, description = "The statistics", body = Statistics))
)]
pub(super) async fn of_space(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<StatisticsQuery>,
) -> Result<Json<Statistics>, Problem> {
    checks::name("space", &query.space)?;
    gateway.ports.summaries.statistics(query.space, None).await.map(Json)
}

/// Which piece of the archive.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ArchiveQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    pub(super) space: String,
    /// Not the archive, but threads outside of it in which nothing was said since then: what could be put into it.
    #[param(value_type = Option<String>, example = "2024-05-01T00:00:00Z")]
    quiet_since: Option<Timestamp>,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

impl ArchiveQuery {
    /// Whether the threads in the archive are asked for, and not those that could go there.
    pub(super) fn is_archive(&self) -> bool {
        self.quiet_since.is_none()
    }

    /// Which piece, checked.
    pub(super) fn page(&self) -> Result<crate::ports::PageRequest, Problem> {
        checks::name("space", &self.space)?;
        threads::page(self.limit, self.cursor.clone())
    }
}

/// The threads in the archive, or those that are quiet; the quietest first.
#[utoipa::path(
    get,
    path = "/v1/archive",
    tag = "memory",
    operation_id = "archive",
    params(ArchiveQuery),
    responses((status = 200, description = "A piece of the list", body = Page<ThreadLast>))
)]
pub(super) async fn archive(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<ArchiveQuery>,
) -> Result<Json<Page<ThreadLast>>, Problem> {
    let page = query.page()?;
    gateway.ports.summaries.filed(query.space, query.quiet_since, page).await.map(Json)
}

/// Puts a thread into the archive, or takes it out again. In the archive it is in no list of threads; its messages are found as
/// before. What is said in it later takes it out by itself.
#[utoipa::path(
    post,
    path = "/v1/archive",
    tag = "memory",
    operation_id = "file_thread",
    params(WriteQuery),
    request_body = FileRequest,
    responses((status = 202, description = "It is durable", body = MemoryReceipt))
)]
pub(super) async fn file(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<WriteQuery>,
    JsonBody(request): JsonBody<FileRequest>,
) -> Result<Taken, Problem> {
    checks::filing(&request)?;
    let FileRequest { space, thread, archived, author, reason } = request;
    let what = Written::Filing { thread, is_archived: archived };
    write(&gateway, query, MemoryWrite { space, author, reason, what }).await
}

/// The most authors that are named.
const AUTHORS: usize = 64;

/// Statistics of several shares, which have no message in common, as one. An author who is named in one share and not in
/// another counts with what that share names.
pub(super) fn merged(shares: Vec<Statistics>) -> Statistics {
    let mut sum = Statistics::default();
    let (mut roles, mut authors, mut days) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for share in shares {
        sum.total = sum.total.and(share.total);
        sum.further_authors += share.further_authors;
        sum.first_at = [sum.first_at, share.first_at].into_iter().flatten().min();
        sum.last_at = [sum.last_at, share.last_at].into_iter().flatten().max();
        for (into, from) in [(&mut roles, share.roles), (&mut authors, share.authors)] {
            for NamedTally { name, tally } in from {
                let known: &mut Tally = into.entry(name).or_default();
                *known = known.and(tally);
            }
        }
        for DayTally { day, tally } in share.days {
            let known: &mut Tally = days.entry(day.number()).or_default();
            *known = known.and(tally);
        }
    }
    let named = |tallies: BTreeMap<String, Tally>| -> Vec<NamedTally> {
        tallies.into_iter().map(|(name, tally)| NamedTally { name, tally }).collect()
    };
    sum.roles = named(roles);
    sum.authors = named(authors);
    sum.authors.sort_by_key(|author| Reverse(author.tally.messages));
    sum.further_authors += sum.authors.len().saturating_sub(AUTHORS) as u64;
    sum.authors.truncate(AUTHORS);
    sum.days = days.into_iter().map(|(day, tally)| DayTally { day: Day::from_number(day), tally }).collect();
    sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::http::fake::{Fake, ask, plain, post_json};

    #[tokio::test]
    async fn a_thread_is_summed_up_counted_and_filed() {
        let fake = Fake::new();
        fake.append("t", "we sail at noon");
        let summary = ask(fake.router(), plain("GET", "/v1/threads/t/summary?budget_tokens=50")).await.json();
        assert_eq!((&summary["sentences"][0]["text"], &summary["turns"]), (&json!("we sail at noon"), &json!(1)));
        for path in ["/v1/threads/t/statistics", "/v1/statistics?space=main"] {
            assert_eq!(ask(fake.router(), plain("GET", path)).await.json()["messages"], 1);
        }
        assert_eq!(ask(fake.router(), plain("GET", "/v1/archive")).await.json(), json!({"items": [], "next": null}));
        let body = json!({"thread": "t", "archived": true, "author": "Ada"}).to_string();
        assert_eq!(ask(fake.router(), post_json("/v1/archive", body)).await.status.as_u16(), 202);
        assert_eq!(fake.writes().len(), 1);
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        for path in ["/v1/threads/t/summary?budget_tokens=1", "/v1/threads/t/summary?space=", "/v1/statistics?space="] {
            let problem = ask(Fake::new().router(), plain("GET", path)).await.problem();
            assert!(["out_of_range", "invalid_field"].contains(&problem.code()), "{path}: {problem:?}");
        }
        let body = json!({"thread": "", "archived": true, "author": "Ada"}).to_string();
        assert_eq!(ask(Fake::new().router(), post_json("/v1/archive", body)).await.problem().code(), "invalid_field");
    }
}
