//! Threads: listing them, and reading one.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{Name, Parameters},
};
use crate::{
    api::{DEFAULT_SPACE, Message, Order, Page, Thread, default_space},
    checks,
    ports::PageRequest,
    problem::{Code, Problem},
};

/// How many items a page has when the client does not say.
const DEFAULT_ITEMS: u32 = 50;
/// The most items of a page.
const ITEMS_LIMIT: u32 = 500;
/// How much text a page may hold, in bytes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// The longest cursor, in bytes.
const CURSOR_LIMIT: usize = 4096;

/// Which piece of which space's list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SpacePageQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    pub(super) space: String,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
}

impl SpacePageQuery {
    /// Which piece, checked.
    pub(super) fn page(&self) -> Result<PageRequest, Problem> {
        checks::name("space", &self.space)?;
        page(self.limit, self.cursor.clone())
    }
}

/// The threads of a space, the one with the newest message first.
#[utoipa::path(
    get,
    path = "/v1/threads",
    tag = "messages",
    params(SpacePageQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Thread>))
)]
pub(super) async fn threads(
    State(gateway): State<Gateway>,
    Parameters(query): Parameters<SpacePageQuery>,
) -> Result<Json<Page<Thread>>, Problem> {
    let page = query.page()?;
    gateway.ports.conversations.threads(query.space, page).await.map(Json)
}

/// Which piece of a thread.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// The space.
    #[serde(default = "default_space")]
    #[param(default = json!(DEFAULT_SPACE))]
    pub(super) space: String,
    /// Which message comes first.
    #[serde(default)]
    #[param(inline)]
    order: Order,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before, in the same order.
    cursor: Option<String>,
}

/// The messages of a thread, the oldest first or the newest.
#[utoipa::path(
    get,
    path = "/v1/threads/{id}/messages",
    tag = "messages",
    operation_id = "thread_messages",
    params(("id" = String, Path, description = "The thread's id, percent-encoded (a slash as %2F)"), MessagesQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Message>))
)]
pub(super) async fn messages(
    State(gateway): State<Gateway>,
    Name(thread): Name,
    Parameters(query): Parameters<MessagesQuery>,
) -> Result<Json<Page<Message>>, Problem> {
    checks::name("space", &query.space)?;
    let page = page(query.limit, query.cursor)?;
    let found = gateway.ports.conversations.messages(query.space.clone(), thread.clone(), query.order, page).await?;
    found.map(Json).ok_or_else(|| {
        let detail = format!("there is no thread \"{thread}\" in the space \"{}\"", query.space);
        Problem::new(Code::UnknownThread, detail, "GET /v1/threads?space= lists the threads of a space")
            .with("thread", thread)
            .with("space", query.space)
    })
}

/// Checks which piece of a list is asked for.
pub(super) fn page(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, Problem> {
    let items = limit.unwrap_or(DEFAULT_ITEMS);
    checks::range("limit", items.into(), 1, ITEMS_LIMIT.into())?;
    if cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_LIMIT) {
        let detail = format!("the cursor is longer than {CURSOR_LIMIT} bytes");
        return Err(Problem::new(Code::BadCursor, detail, "send the next of the piece before, unchanged"));
    }
    Ok(PageRequest { items: items as usize, bytes: PAGE_BYTES, cursor })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::fake::{Fake, ask, plain};

    #[tokio::test]
    async fn a_list_is_read_page_by_page_and_its_last_page_names_no_next() {
        let fake = Fake::new();
        for thread in ["a", "b", "c"] {
            fake.append(thread, "hello");
        }
        let mut threads = Vec::new();
        let mut uri = "/v1/threads?limit=2".to_owned();
        let mut pages = 0;
        loop {
            let reply = ask(fake.router(), plain("GET", &uri)).await;
            assert!(reply.json().get("next").is_some(), "next is always there: {}", reply.text());
            let page: Page<Thread> = serde_json::from_slice(&reply.body).expect("the page has a type");
            threads.extend(page.items.into_iter().map(|thread| thread.thread_id));
            pages += 1;
            let Some(next) = page.next else { break };
            uri = format!("/v1/threads?limit=2&cursor={next}");
        }
        assert_eq!((threads, pages), (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], 2));
    }

    #[tokio::test]
    async fn a_thread_id_may_hold_slashes_and_spaces_when_percent_encoded() {
        let fake = Fake::new();
        fake.append("repo/42 ž?", "hello");
        let reply = ask(fake.router(), plain("GET", "/v1/threads/repo%2F42%20%C5%BE%3F/messages?space=main")).await;
        assert_eq!(reply.json()["items"][0]["thread_id"], "repo/42 ž?", "{}", reply.text());
        assert_eq!(reply.json()["next"], json!(null));
    }

    #[tokio::test]
    async fn an_unknown_thread_is_a_problem_that_names_the_space() {
        let fake = Fake::new();
        fake.append("here", "hello");
        let problem = ask(fake.router(), plain("GET", "/v1/threads/here/messages?space=ada")).await.problem();
        assert_eq!((problem.code(), &problem.details().facts["space"]), ("unknown_thread", &json!("ada")));
        assert!(problem.details().detail.contains("\"ada\""), "{problem}");
    }

    #[tokio::test]
    async fn a_cursor_from_elsewhere_is_a_problem() {
        for cursor in ["x".to_owned(), "9".repeat(CURSOR_LIMIT + 1)] {
            let reply = ask(Fake::new().router(), plain("GET", &format!("/v1/threads?cursor={cursor}"))).await;
            assert_eq!(reply.problem().code(), "bad_cursor");
        }
    }
}
