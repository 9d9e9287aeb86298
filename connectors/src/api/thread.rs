//! Threads: conversations, as lists show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PositionView, Timestamp};

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Thread {
    /// The id its senders gave it, unique within the space.
    pub thread_id: String,
    /// The set of threads that share memory.
    pub space: String,
    /// How many messages it holds.
    pub messages: u64,
    /// Who has spoken in it.
    pub authors: Vec<String>,
    /// When the earliest message was said.
    pub first_at: Timestamp,
    /// When the latest message was said.
    pub last_at: Timestamp,
    /// Where its last message stands in the log.
    pub position: PositionView,
}
