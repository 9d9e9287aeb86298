//! What can go wrong with a chat model.

use std::path::PathBuf;

/// A chat model could not be opened, could not take a conversation, or could not answer it.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A file of the model is not there or cannot be read.
    #[error(
        "the chat model's file {} cannot be read: {cause}; run `make model-chat`, or name another GGUF file",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the file system answered.
        cause: std::io::Error,
    },
    /// A file of the model is damaged, or is none.
    #[error("the chat model's file {} is damaged: {cause}; fetch it again", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The file is sound but holds a model that this program cannot compute.
    #[error(
        "{} holds a model that is not supported: {cause}; a gemma3, llama, qwen2 or qwen3 with one expert is needed",
        path.display()
    )]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// What is not supported.
        cause: String,
    },
    /// The file's chat template cannot be read, or fails on a conversation that it should take.
    #[error("the chat template in {} fails: {cause}; use a GGUF file with a sound template", path.display())]
    Template {
        /// The file with the template.
        path: PathBuf,
        /// What the template engine answered.
        cause: String,
    },
    /// The chat template refuses the conversation, in its own words.
    #[error("the model's chat template refuses the conversation: {words}")]
    Refused {
        /// What the template says.
        words: String,
    },
    /// A message is not one that this model can read.
    #[error("message {index} cannot be given to the model: {cause}")]
    Message {
        /// The message, counted from zero.
        index: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// The conversation takes more tokens than the model can see, or leaves none for an answer.
    #[error("the prompt takes {prompt} tokens and the model's context is {context}; send a shorter conversation")]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that prompt and answer may have together.
        context: usize,
    },
    /// A text could not be split into tokens.
    #[error("a text could not be split into tokens: {cause}; the model's tokenizer is unfit, use another GGUF file")]
    Tokenizer {
        /// What the tokenizer answered.
        cause: String,
    },
    /// The forward pass failed.
    #[error("the chat model could not compute: {cause}; if it happens again, fetch the model's file again")]
    Compute {
        /// What the tensor library answered.
        cause: String,
    },
}
