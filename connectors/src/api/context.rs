//! Context: what a model is told before it answers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DEFAULT_SPACE, PositionView, Timestamp, default_space};

/// What a context is for. A thread or a query has to be named; both may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextRequest {
    /// The space that is remembered from.
    #[serde(default = "default_space")]
    #[schema(default = json!(DEFAULT_SPACE))]
    pub space: String,
    /// The thread that goes on; its latest turns come into the context. One that is not there yet has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What is asked: turns that bear on it are recalled, and the prompt ends with it. Without it the newest turn of the thread is
    /// what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1)]
    pub query: Option<String>,
    /// How many tokens the prompt may have.
    #[serde(default = "default_budget")]
    #[schema(default = json!(default_budget()), minimum = 128, maximum = 200_000)]
    pub budget_tokens: u32,
    /// For which family of providers the prompt is written.
    #[serde(default)]
    #[schema(default = json!("openai"))]
    pub provider: PromptFamily,
    /// The model that is to be asked, whose own tokens are counted where its tokenizer is known here; else OpenAI's o200k.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// The tokens of a context when the client does not say.
fn default_budget() -> u32 {
    4096
}

/// How a prompt is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptFamily {
    /// Messages, the first of them from the system.
    #[default]
    Openai,
    /// What the system says apart, and messages that begin with the user's and take turns.
    Anthropic,
    /// One message with all of it.
    Text,
}

/// A context, packed into a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContextResponse {
    /// What it is made of, and from where.
    pub sections: Vec<ContextSection>,
    /// For a family that has it apart: what the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The prompt. What changes with each question stands at its end, so that a provider's cache of the beginning holds.
    pub messages: Vec<PromptMessage>,
    /// How many tokens the prompt has, with four for each message.
    pub tokens: u32,
    /// How many it might have.
    pub budget_tokens: u32,
    /// What was counted with: the model's name, or `o200k`.
    pub tokenizer: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// A part of a context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContextSection {
    /// Which part.
    pub name: SectionName,
    /// What it holds, the oldest first.
    pub items: Vec<ContextItem>,
}

/// The parts of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SectionName {
    /// What people pinned for the thread and for the space.
    Pinned,
    /// Facts that bear on what is asked.
    Facts,
    /// What says most of the part of the thread that is left out.
    Summary,
    /// The latest turns of the thread.
    Recent,
    /// Turns of any thread that bear on what is asked.
    Recalled,
}

/// A turn, a fact or an insight in a context, and where it is from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContextItem {
    /// The number by which the prompt cites it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub citation: Option<u32>,
    /// The message's id; of a fact, that of the message that states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The messages that a sentence of a summary is from which a model wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The fact, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact_id: Option<String>,
    /// The insight, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insight_id: Option<String>,
    /// The sender's own id, if one was given.
    #[schema(required)]
    pub source_id: Option<String>,
    /// The thread that it is of; of an insight, the one that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// Who said it; the model, if one wrote it.
    pub author: String,
    /// What the author of a turn is to the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// When it was said; of a sentence that a model wrote, the first of its messages.
    pub sent_at: Timestamp,
    /// As much of the text as the context has.
    pub text: String,
    /// Whether that is less than the whole.
    pub is_cut: bool,
    /// How well it answers, of a recalled turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Where a turn stands in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionView>,
}

/// A message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PromptMessage {
    /// Who says it: `system`, `user` or `assistant`.
    pub role: String,
    /// What.
    pub content: String,
}
