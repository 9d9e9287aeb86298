//! Recall: the messages that answer a question, from all stores together.
//!
//! Owns: the union of candidates by words, by meaning and, where asked for, by what they name; the fusion of their scores, and what is said about each.
//! Method: both scores are brought to 0..1 over the space (min-max), weighted equally and added, then priors are added:
//! a plain weighted sum of calibrated scores, which on conversations ranks better than rank fusion. Every part is shown
//! as a signal.
//! Never: writes, or waits for a store. It answers from what the stores hold, and says up to where that is.

mod date;
mod engine;
mod question;
mod score;

pub(crate) use engine::only_asks;
pub use engine::{Answer, Answers, RecallEngine, RecallError, RecallQuery, Stores, Weights};
pub use score::{Calibration, Ranked, Signal, Signals};
