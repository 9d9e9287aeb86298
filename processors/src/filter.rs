//! Filters: which messages a query may answer with, and the facets of a message that a filter looks at.
//!
//! Owns: the one meaning of every filter, so that each store applies the same.
//! Never: ranks anything.

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
pub type Micros = i64;

/// What a filter can see of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    /// The set of threads that share memory, and the unit of access.
    pub space: String,
    /// The thread's id, unique within the space.
    pub thread: String,
    /// Who said it.
    pub author: String,
    /// What the author is to the thread: `user`, `assistant`, `system` or `tool`.
    pub role: String,
    /// When it was said, as its sender states.
    pub sent_at: Micros,
    /// When Meshlog took it in.
    pub accepted_at: Micros,
}

impl Facets {
    /// Those of a call that was requested for a thread: nobody is its author.
    pub fn of_call(space: &str, thread: &str, requested_at: Micros) -> Self {
        Self {
            space: space.to_owned(),
            thread: thread.to_owned(),
            author: String::new(),
            role: String::new(),
            sent_at: requested_at,
            accepted_at: requested_at,
        }
    }
}

/// Conditions that must all hold. An empty list or `None` is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The message's space is one of these.
    pub spaces: Vec<String>,
    /// The message's thread is one of these.
    pub threads: Vec<String>,
    /// The message's author is one of these, compared without regard to ASCII case.
    pub authors: Vec<String>,
    /// Said at this time or later.
    pub after: Option<Micros>,
    /// Said before this time.
    pub before: Option<Micros>,
    /// Taken in at this time or earlier: what was known then.
    pub as_of: Option<Micros>,
}

impl Filter {
    /// Whether a message with these facets may be an answer.
    pub fn accepts(&self, facets: &Facets) -> bool {
        self.accepts_space(&facets.space)
            && (self.threads.is_empty() || self.threads.contains(&facets.thread))
            && (self.authors.is_empty()
                || self.authors.iter().any(|author| author.eq_ignore_ascii_case(&facets.author)))
            && self.after.is_none_or(|after| facets.sent_at >= after)
            && self.before.is_none_or(|before| facets.sent_at < before)
            && self.as_of.is_none_or(|as_of| facets.accepted_at <= as_of)
    }

    /// Whether messages of this space may be answers at all.
    pub fn accepts_space(&self, space: &str) -> bool {
        self.spaces.is_empty() || self.spaces.iter().any(|wanted| wanted == space)
    }

    /// Whether the space alone decides.
    pub fn is_by_space_only(&self) -> bool {
        self.threads.is_empty()
            && self.authors.is_empty()
            && self.after.is_none()
            && self.before.is_none()
            && self.as_of.is_none()
    }
}
