//! Pages: lists that come a piece at a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One piece of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this piece, in the list's order.
    pub items: Vec<T>,
    /// What to send to get the next piece; `null` at the end of the list.
    #[schema(required)]
    pub next: Option<String>,
}

/// From which end a list is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The oldest first.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
}
