//! Events, decoded for people and programs.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{PositionView, Timestamp};

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Where it stands.
    pub position: PositionView,
    /// Its ordering key.
    pub key: String,
    /// Its id.
    pub id: String,
    /// Its type, such as `meshlog.message.accepted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who made it.
    pub source: String,
    /// When it happened.
    pub time: Timestamp,
    /// The space it belongs to, if to one.
    #[schema(required)]
    pub space: Option<String>,
    /// The id of the event that led to it.
    #[schema(required)]
    pub causation_id: Option<String>,
    /// The id of the event that the whole chain began with.
    #[schema(required)]
    pub correlation_id: Option<String>,
    /// The W3C trace context it was made in.
    #[schema(required)]
    pub traceparent: Option<String>,
    /// How far its content can be trusted.
    #[schema(required)]
    pub trust: Option<String>,
    /// The body, decoded; `null` when it cannot be read.
    pub data: Value,
    /// Why the body cannot be read, when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// When it was appended to the log.
    pub appended_at: Timestamp,
}
