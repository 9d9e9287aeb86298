//! Tests of the extractor and of the resolution: a table of messages, what holds for every text, and what the table
//! cannot show.

mod behaviour;
mod properties;
mod resolution;
mod table;
