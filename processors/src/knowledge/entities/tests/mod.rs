//! Tests of the extractor: a table of messages, what holds for every text, and what the table cannot show.

mod behaviour;
mod properties;
mod table;
