//! Threads: listing them, and reading one.

use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Gateway,
    extract::{Name, Parameters},
};
use crate::{
    api::{DEFAULT_SPACE, Message, Page, Thread, default_space},
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
    space: String,
    /// How many items at most.
    #[param(default = 50, minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next` of the piece before.
    cursor: Option<String>,
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
    checks::name("space", &query.space)?;
    let page = page(query.limit, query.cursor)?;
    gateway.ports.conversations.threads(query.space, page).await.map(Json)
}

/// The messages of a thread, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/threads/{id}/messages",
    tag = "messages",
    operation_id = "thread_messages",
    params(("id" = String, Path, description = "The thread's id, percent-encoded (a slash as %2F)"), SpacePageQuery),
    responses((status = 200, description = "A piece of the list", body = Page<Message>))
)]
pub(super) async fn messages(
    State(gateway): State<Gateway>,
    Name(thread): Name,
    Parameters(query): Parameters<SpacePageQuery>,
) -> Result<Json<Page<Message>>, Problem> {
    checks::name("space", &query.space)?;
    let page = page(query.limit, query.cursor)?;
    let found = gateway.ports.conversations.messages(query.space.clone(), thread.clone(), page).await?;
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
