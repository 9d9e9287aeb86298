//! The graph store: whom and what messages name, what they state, and what people wrote into the memory themselves.
//!
//! Owns: a fjall database in its directory; see `tables` for the layout.
//! Promises: what is stored does not depend on the order in which changes come, as long as those of one message by one
//! extractor, of one merged name and of one insight keep theirs. Each row is kept for as long as something that was taken in
//! speaks for it, and counted once: a message that is read again takes back what was found before.
//! Never: knows topics or the log; the projection hands it changes. It asks no clock and moves no rows for a merge: names are
//! followed to the node that they stand for when a question is asked.
//!
//! What things are:
//! - A node is an entity, a concept (an entity of the kind topic), a fact or an insight. A quantity is no node, and neither is a
//!   plain phrase ("vegetarian"), though it may be the object of a fact.
//! - Two names are mentioned with one another where one message has both. Of a message, its first 12 names count.
//! - A merged name answers as the node that it was merged into. Numbers are sums over the names of a node: a message that uses
//!   two of its names counts for both.
//! - A forgotten message leaves nothing but its id. What people wrote themselves, insights and corrections, is forgotten with a
//!   thread, an author or a space like a message that was taken in when it was written; not where messages alone are.

mod change;
mod contribution;
mod cursor;
mod edge;
mod ends;
mod export;
mod facts;
mod forgetting;
mod id;
mod insights;
mod judging;
mod keys;
mod kind;
mod links;
mod mentions;
mod merge;
mod neighbours;
mod nodes;
mod path;
mod pending;
mod row;
mod search;
mod snapshot;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod timeline;
mod validity;
mod write;

pub use change::{
    Change, Correction, End, Fact, FactForgotten, Insight, InsightForgotten, Mention, Merged, Parted, Reading,
};
pub use ends::{Tie, Tied};
pub use export::Exported;
pub use facts::{FactAnswer, FactEnd, FactFilter, Include, Source, Standing};
pub use id::{entity_id, phrase_id};
pub use insights::InsightAnswer;
pub use mentions::Named;
pub use neighbours::{MENTIONED_WITH, Neighbour, NeighbourFilter};
pub use nodes::{Entity, MergedName, Node};
pub use path::{Path, Step};
pub use row::Counts;
pub use search::{Hit, Match, SearchQuery};
pub use store::GraphStore;
pub use timeline::{Moment, MomentFact, TimelineQuery};
