//! Asking: how a processor has a question answered by a model.
//!
//! Owns: the port, and what it promises; how a request is made (`request`), how what people said is quoted in it (`quoting`), and
//! how an answer is taken apart (`objects`). Who is asked, what it may use and how the call is recorded is the other side's.

pub(crate) mod objects;
pub(crate) mod quoting;
pub(crate) mod request;

use meshlog_schemas::EventId;

/// Has questions answered.
///
/// - **A question is answered once.** Its id names it: where the log has its answer, that is given again and nobody is asked.
/// - **Everything is on the log**, like a call that a client makes, under the purpose of the question.
/// - **It blocks** while a model works, but not while a budget or a limit has to be waited for.
pub trait Answerer: Send + Sync + 'static {
    /// What the model said.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    fn ask(&self, question: &Question<'_>) -> Result<String, NoAnswer>;
}

/// A question for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// The same for the same question, and for no other.
    pub id: EventId,
    /// The space that it is about.
    pub space: &'a str,
    /// The thread that it is about.
    pub thread: &'a str,
    /// The request in OpenAI's format, for an answer in one piece.
    pub body: Vec<u8>,
}

/// There is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It cannot be had now, and nothing is wrong with the question: a budget is used up, a limit is reached, the server ends.
    #[error("{0}")]
    Later(String),
    /// The provider failed, and may not the next time.
    #[error("{0}")]
    Failed(String),
    /// The provider does not take a request of this form.
    #[error("{0}")]
    Unsuitable(String),
    /// The provider will never answer this.
    #[error("{0}")]
    Refused(String),
}
