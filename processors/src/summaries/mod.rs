//! The summaries store: of each thread the sentences that say most, how much was said by whom and when, and which threads are
//! quiet or in the archive.
//!
//! Owns: a fjall database in its directory (see `tables` for the layout), and a summary that is made of sentences which were
//! said, each with the message that it stands in (see `score`, `levels` and `choose`), and of those that a model wrote, each
//! with the messages that say so (see `written`).
//! Promises: rows, digest and answers depend on the messages of each thread in their order, on what is forgotten and on what is
//! archived; not on batches, restarts, repetitions, or when a forgetting comes. A summary is as quick to read of a hundred
//! thousand turns as of two hundred. What is forgotten leaves no word, and counts for nothing.
//! Never: knows topics or the log; the projection hands it what was said. Never asks a model or a clock.

mod changes;
mod choose;
mod cues;
mod keys;
mod levels;
mod reading;
mod refresh;
mod row;
mod score;
mod sentences;
mod statistics;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod unwritten;
mod words;
pub mod writing;
mod written;

pub use choose::Budget;
pub use statistics::{DayTally, Statistics, Tally};
pub use store::{Archived, List, News, Said, Sentence, Source, Summary, SummaryStore, ThreadLast};
pub use unwritten::{Told, ToldTurn, Unwritten};
pub use written::{Stretch, Written};
