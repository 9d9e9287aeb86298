//! Chat: a language model that runs in this process, from one GGUF file.
//!
//! Owns: the reading of the file, the splitting of text into tokens, the chat template, the forward pass, the choice of
//! the next token and the text that may be shown of it.
//! Promises: one set of weights for any number of generations at once; text comes in whole characters and without the
//! stop strings; with temperature 0, or with a seed, the same prompt gives the same answer on one machine and build.
//! A file is foreign bytes: whatever it holds, opening it ends in a model or in an error that names the file.
//! Never: downloads a model, talks to a provider, knows an event, or reads a tool call out of an answer.
//!
//! What is supported: GGUF version 2 and 3, little-endian, of the families `gemma3`, `llama` (Mistral, SmolLM2 and
//! others state it too), `qwen2` and `qwen3`, with one expert.
//!
//! A generation runs in the calling thread and computes in a small pool of the model's own, so that it takes no thread
//! of the pool that embeds.

mod model;

mod error;
mod sampling;

mod decoder;
mod gguf;
mod held;
mod messages;
mod template;
mod vocabulary;

#[cfg(test)]
mod testing;

pub use error::ChatError;
pub use model::{ChatModel, Finish, Outcome, Prompt};
pub use sampling::Sampling;
