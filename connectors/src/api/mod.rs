//! What travels over the wire: one file a concept, each type both written and read.
//!
//! Owns: the names, defaults and meanings of fields; the OpenAPI document is generated from these types.
//! Never: holds behaviour. Requests are refused in [`crate::checks`].

mod call;
mod context;
mod dead_letter;
mod event;
mod graph;
mod memory;
mod message;
mod page;
mod position;
mod processor;
mod projection;
mod readiness;
mod rebuild;
mod recall;
mod share;
mod spoken_time;
mod subscription;
mod summary;
mod thread;
mod timestamp;
mod topic;
mod usage;
mod verification;
mod wait;

pub use call::{Attempt, CALL_STATES, Call};
pub use context::{
    ContextItem, ContextRequest, ContextResponse, ContextSection, PromptFamily, PromptMessage, SectionName,
};
pub use dead_letter::{
    DeadLetter, DeadLetterId, DeadLetterRequest, DeadLetterSelection, DeadLetterView, DiscardRequest, FAILURE_CLASSES,
    InvalidDeadLetterId, RedrivesRequested,
};
pub use event::EventView;
pub use graph::{
    Fact, FactSource, FoundNode, GraphEdge, GraphNode, GraphNodeName, GraphNodeView, GraphPath, GraphTie, MergedName,
    NameLink, TimelineEntry, Together,
};
pub use memory::{
    FactCorrection, ForgetRequest, Insight, MemoryReceipt, MessageEdit, MessageRedaction, NewInsight, RetentionRequest,
    SpaceRetention,
};
pub use message::{Accepted, Edited, LineError, Message, MessageAccepted, MessagesAccepted, NewMessage, Receipt, Role};
pub use page::{Order, Page};
pub use position::PositionView;
pub use processor::{CheckpointView, PartitionProgress, ProcessorView, ProcessorsView};
pub use projection::{ProjectionView, ProjectionsView, VersionView};
pub use readiness::Readiness;
pub use rebuild::{RebuildRequest, RebuildView, RebuildsView};
pub use recall::{Calibration, ENTITIES, RecallRequest, RecallResponse, RecallResult, mark_matches};
pub use share::ShareView;
pub use spoken_time::SpokenTime;
pub use subscription::{NewSubscription, Subscription};
pub use summary::{DayTally, FileRequest, NamedTally, Statistics, SummarySentence, Tally, ThreadLast, ThreadSummary};
pub use thread::Thread;
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use topic::{DurabilityView, LogView, PartitionView, RetentionView, TopicView, TopicsView};
pub use usage::{Day, InvalidDay, Tokens, Usage, UsageField, UsageSums, Usd};
pub use verification::{Verification, VerifyReport, VerifyRequest};
pub use wait::{UnknownWaitLevel, WaitLevel};

/// The space of messages and queries that name none.
pub const DEFAULT_SPACE: &str = "main";

/// [`DEFAULT_SPACE`], in the form that serde asks for.
pub(crate) fn default_space() -> String {
    DEFAULT_SPACE.to_owned()
}
