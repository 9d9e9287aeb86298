//! Summaries: what a gateway asks of them.

use super::{Answer, PageRequest};
use crate::api::{Page, Statistics, ThreadLast, ThreadSummary, Timestamp};

/// Says what says most of a thread, and how much was said.
pub trait Summaries: Send + Sync {
    /// What says most of a thread, in about so many tokens; without sentences where nothing is remembered of it.
    fn summary(&self, space: String, thread: String, budget_tokens: u32) -> Answer<'_, ThreadSummary>;

    /// How much was said in a thread, or in all of a space.
    fn statistics(&self, space: String, thread: Option<String>) -> Answer<'_, Statistics>;

    /// Threads outside the archive in which nothing was said since a time, or those in it where none is given; the quietest
    /// first.
    fn filed(&self, space: String, quiet_since: Option<Timestamp>, page: PageRequest) -> Answer<'_, Page<ThreadLast>>;

    /// The cursor from which the list of archived threads, or of quiet ones, goes on with this one: the same at every node. As texts
    /// these order as the list does.
    fn cursor_of(&self, space: &str, is_archived: bool, thread: &ThreadLast) -> String;
}
