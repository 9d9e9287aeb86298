//! The model extractor: a model reads messages for whom they name and what they state, beside the patterns.
//!
//! Owns: the stage, what the model is told, how its answers are read, and what of them is believed.
//! Promises: a message is read once; what was found is an event, and a replay asks nobody. What is not in the words of the message
//! is not taken from the answer: neither a name, nor the subject or the object of a fact, nor a time. No answer panics.
//! Never: reads what is forgotten, or what a tool or a system prompt says; takes what an assistant says for a fact; waits for a
//! provider longer than for one call.
//!
//! The way of a message: it is cut into `passages`, of which several of one thread share a call; the `prompt` quotes them; the
//! `answer` is read as far as it can be; `found` looks each name and fact up in the text.
//!
//! How sure a fact is: what the model says, and `MOST_SURE` at the most. A model's own word for how sure it is tells little, and
//! what is found word for word in the text can still be understood wrongly (a question, a joke, what others said). So what it
//! finds is an answer (from .6 on) and can end an older fact, but where the patterns found the same, theirs is the surer.

mod answer;
mod found;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod passages;
mod prompt;
mod stage;

pub use stage::{ModelExtractor, Reads};

/// The most that a fact or name from a model is sure.
pub(in crate::knowledge) const MOST_SURE: f32 = 0.8;
