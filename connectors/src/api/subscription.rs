//! Subscriptions: who is to be told of which messages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_SPACE, default_space};

/// Asks that a recipient be told of messages. Absent conditions hold for every message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscription {
    /// Who is to be told.
    #[schema(min_length = 1, max_length = 512)]
    pub subscriber: String,
    /// Of messages in this space.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE), max_length = 512)]
    pub space: String,
    /// Only of messages in this thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Only of messages by this author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// A standing wish of a recipient to be told of messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// The subscription's id.
    pub id: String,
    /// Who is told.
    pub subscriber: String,
    /// Of messages in this space.
    pub space: String,
    /// Only of messages in this thread.
    #[schema(required)]
    pub thread: Option<String>,
    /// Only of messages by this author.
    #[schema(required)]
    pub author: Option<String>,
}
