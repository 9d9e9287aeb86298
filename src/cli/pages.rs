//! Pages: lists that the server gives a piece at a time.

use meshlog_connectors::api::Page;
use serde::de::DeserializeOwned;

use super::{Client, Failure, Output};

/// The most items one request may ask for.
const PAGE_LIMIT: usize = 500;

/// The first items of a list, from as many pages as it takes.
pub(super) fn list<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    limit: usize,
) -> Result<Page<T>, Failure> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let wanted = (limit - items.len()).min(PAGE_LIMIT);
        let mut query = query.to_vec();
        query.push(("limit", wanted.to_string()));
        query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page<T> = client.get(path, &query)?;
        items.extend(page.items);
        if page.next.is_none() || items.len() >= limit {
            return Ok(Page { items, next: page.next });
        }
        cursor = page.next;
    }
}

/// Says so if there is more than is shown.
pub(super) fn show_more<T>(output: &mut Output, page: &Page<T>) -> Result<(), Failure> {
    if page.next.is_none() {
        return Ok(());
    }
    let more = output.faint(&format!("there are more than these {}; --limit shows more", page.items.len()));
    output.line(more)
}
