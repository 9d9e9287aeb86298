//! Hidden: what the log still has, and nobody is to be shown.
//!
//! Owns: the one meaning of it for all that reads events again: pages and tails of events, dead letters, bodies of calls, recorded
//! answers. Stores need none of it: they drop what is forgotten, and replace what is redacted.
//! Promises: of a message that was redacted no wording is shown from an event, not even what is left of it, for which wording an
//! event is derived from cannot be told from it alone; what is left is in the views.
//! Never: decides by a clock; of calls the time is named, as for what is forgotten.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::{Facets, Forgotten, Micros};

/// How far a view is taken to be behind the log when what it holds is told to a model: it may hold what was redacted a moment ago.
const MOST_LAG: Micros = 60_000_000;

/// All that is hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Messages that are forgotten.
    pub(crate) forgotten: Forgotten,
    /// By space, the messages that were redacted.
    redacted: HashMap<String, HashSet<Uuid>>,
    /// By space and thread, before when calls were requested whose bodies are hidden.
    calls: HashMap<String, HashMap<String, Micros>>,
}

impl Hidden {
    /// Whether a message is forgotten.
    pub fn has_forgotten(&self, message_id: Uuid, facets: &Facets) -> bool {
        self.forgotten.covers(message_id, facets)
    }

    /// Whether a message was redacted.
    pub fn has_redacted(&self, message_id: Uuid, space: &str) -> bool {
        self.redacted.get(space).is_some_and(|messages| messages.contains(&message_id))
    }

    /// Whether what was asked and answered in a call for a thread is hidden: the thread is forgotten, or a message is that it may have
    /// said, for a call tells what was said there before.
    pub fn has_call(&self, space: &str, thread: &str, requested_at: Micros) -> bool {
        let facets = Facets::of_call(space, thread, requested_at);
        let until = self.calls.get(space).and_then(|threads| threads.get(thread));
        until.is_some_and(|until| requested_at < *until) || self.forgotten.covers(Uuid::nil(), &facets)
    }

    /// Whether a call is hidden that quotes what memory held of its space then: since then something of it was forgotten or redacted,
    /// or so shortly before that the view that was quoted may not have known.
    pub fn has_quotes(&self, space: &str, requested_at: Micros) -> bool {
        let known_at = requested_at.saturating_sub(MOST_LAG);
        let mut redacted = self.calls.get(space).into_iter().flat_map(HashMap::values);
        self.forgotten.may_cover_quotes(space, known_at) || redacted.any(|until| known_at < *until)
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.forgotten.is_empty() && self.redacted.is_empty() && self.calls.is_empty()
    }

    /// Hides every wording of a message.
    pub(crate) fn redact(&mut self, space: &str, message_id: Uuid) {
        self.redacted.entry(space.to_owned()).or_default().insert(message_id);
    }

    /// Hides the bodies of calls for a thread that were requested before a time; of two times the later one counts.
    pub(crate) fn hide_calls(&mut self, space: &str, thread: &str, until: Micros) {
        let threads = self.calls.entry(space.to_owned()).or_default();
        let known = threads.entry(thread.to_owned()).or_insert(until);
        *known = (*known).max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Forgetting, Scope};

    #[test]
    fn calls_are_hidden_with_their_thread_and_with_what_they_may_tell() {
        let mut hidden = Hidden::default();
        assert!(hidden.is_empty());
        hidden.hide_calls("s", "t", 10);
        hidden.hide_calls("s", "t", 5);
        assert!(hidden.has_call("s", "t", 9) && !hidden.has_call("s", "t", 10));
        assert!(!hidden.has_call("s", "u", 9) && !hidden.has_call("s2", "t", 9));
        hidden.forgotten.add(&Forgetting { space: "s".into(), scope: Scope::Thread("u".into()), until: 20 });
        assert!(hidden.has_call("s", "u", 19) && !hidden.has_call("s", "u", 20) && !hidden.is_empty());
        let quotes = |space, at| hidden.has_quotes(space, MOST_LAG + at);
        assert!(hidden.has_quotes("s", 19) && quotes("s", 19) && !quotes("s", 20) && !quotes("s2", 9));
        hidden.hide_calls("s", "t", 30);
        assert!(hidden.has_quotes("s", MOST_LAG + 29) && !hidden.has_call("s", "u", 29));
    }

    #[test]
    fn a_message_is_redacted_within_its_space() {
        let mut hidden = Hidden::default();
        let id = Uuid::from_u128(7);
        hidden.redact("s", id);
        assert!(
            hidden.has_redacted(id, "s") && !hidden.has_redacted(id, "s2") && !hidden.has_redacted(Uuid::nil(), "s")
        );
    }
}
