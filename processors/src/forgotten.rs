//! Forgetting: which messages are to be in no answer any more.
//!
//! Owns: the one meaning of what is forgotten, so that every store leaves out the same.
//! Promises: what is forgotten does not depend on the order in which messages and forgettings come: a store drops what it has
//! when a forgetting comes, keeps the forgetting, and refuses what comes later and is covered by it.
//! Never: decides by a clock. A thread, an author or a space is forgotten as far as its messages were taken in before a time
//! that the forgetting names; what is said later is remembered.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Facets, Micros};

/// What is forgotten of a space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One message.
    Message(Uuid),
    /// What was said in a thread.
    Thread(String),
    /// What an author said, by the name as it was given.
    Author(String),
    /// All of it.
    Space,
    /// All that was said, and nothing that people wrote into the memory themselves.
    Messages,
}

/// Something is to be in no answer any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgetting {
    /// The space.
    pub space: String,
    /// What of it.
    pub scope: Scope,
    /// Messages that were taken in before this; of a single message it means nothing.
    pub until: Micros,
}

/// All that is forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    spaces: HashMap<String, HashMap<Scope, Micros>>,
    /// Up to when anything of a space is forgotten.
    last: HashMap<String, Micros>,
}

impl Forgetting {
    /// Whether a message is forgotten by this.
    pub fn covers(&self, message_id: Uuid, facets: &Facets) -> bool {
        self.space == facets.space
            && match &self.scope {
                Scope::Message(id) => *id == message_id,
                Scope::Thread(thread) => *thread == facets.thread && facets.accepted_at < self.until,
                Scope::Author(author) => *author == facets.author && facets.accepted_at < self.until,
                Scope::Space | Scope::Messages => facets.accepted_at < self.until,
            }
    }

    /// Whether what somebody wrote into the memory is forgotten by this; see [`Forgotten::covers_written`].
    pub fn covers_written(&self, id: Uuid, facets: &Facets) -> bool {
        self.scope != Scope::Messages && self.covers(id, facets)
    }
}

impl Forgotten {
    /// Takes a forgetting in; of two of the same scope the later time counts. Whether that changed anything.
    pub fn add(&mut self, forgetting: &Forgetting) -> bool {
        let last = self.last.entry(forgetting.space.clone()).or_insert(forgetting.until);
        *last = forgetting.until.max(*last);
        let scopes = self.spaces.entry(forgetting.space.clone()).or_default();
        match scopes.get_mut(&forgetting.scope) {
            Some(until) if *until >= forgetting.until => false,
            Some(until) => {
                *until = forgetting.until;
                true
            }
            None => {
                scopes.insert(forgetting.scope.clone(), forgetting.until);
                true
            }
        }
    }

    /// Whether a message is forgotten.
    pub fn covers(&self, message_id: Uuid, facets: &Facets) -> bool {
        self.has_before(&Scope::Messages, facets) || self.covers_written(message_id, facets)
    }

    /// Whether what somebody wrote into the memory is forgotten. It is seen like a message of its author that was taken in when
    /// it was written, and stays where messages alone are forgotten.
    pub fn covers_written(&self, id: Uuid, facets: &Facets) -> bool {
        let Some(scopes) = self.spaces.get(&facets.space) else { return false };
        scopes.contains_key(&Scope::Message(id))
            || self.has_before(&Scope::Space, facets)
            || self.has_before(&Scope::Thread(facets.thread.clone()), facets)
            || self.has_before(&Scope::Author(facets.author.clone()), facets)
    }

    fn has_before(&self, scope: &Scope, facets: &Facets) -> bool {
        let until = self.spaces.get(&facets.space).and_then(|scopes| scopes.get(scope));
        until.is_some_and(|until| facets.accepted_at < *until)
    }

    /// Whether something that quotes messages of a space, whichever, may quote one that was forgotten after it was made.
    pub fn may_cover_quotes(&self, space: &str, made_at: Micros) -> bool {
        self.last.get(space).is_some_and(|until| made_at < *until)
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// Everything that was taken in, in no order: what a store keeps, to take in again when it is opened.
    pub fn all(&self) -> impl Iterator<Item = Forgetting> {
        self.spaces.iter().flat_map(|(space, scopes)| {
            scopes.iter().map(|(scope, until)| Forgetting { space: space.clone(), scope: scope.clone(), until: *until })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(thread: &str, author: &str, accepted_at: Micros) -> Facets {
        Facets {
            space: "s".into(),
            thread: thread.into(),
            author: author.into(),
            role: "user".into(),
            sent_at: 0,
            accepted_at,
        }
    }

    fn forgetting(scope: Scope, until: Micros) -> Forgetting {
        Forgetting { space: "s".into(), scope, until }
    }

    #[test]
    fn each_scope_covers_what_it_names_and_only_up_to_its_time() {
        let id = Uuid::from_u128(1);
        let cases = [
            (Scope::Message(id), [true, true, true]),
            (Scope::Thread("t".into()), [true, false, false]),
            (Scope::Author("Ada".into()), [true, true, false]),
            (Scope::Space, [true, true, false]),
            (Scope::Messages, [true, true, false]),
        ];
        let messages = [said("t", "Ada", 9), said("u", "Ada", 9), said("t", "Ada", 10)];
        for (scope, expected) in cases {
            let one = forgetting(scope, 10);
            let mut all = Forgotten::default();
            assert!(all.add(&one) && !all.add(&one));
            for (facets, is_covered) in messages.iter().zip(expected) {
                assert_eq!(one.covers(id, facets), is_covered, "{one:?} {facets:?}");
                assert_eq!(all.covers(id, facets), is_covered, "{one:?} {facets:?}");
                let is_covered = is_covered && one.scope != Scope::Messages;
                assert_eq!(one.covers_written(id, facets), is_covered, "{one:?} {facets:?}");
                assert_eq!(all.covers_written(id, facets), is_covered, "{one:?} {facets:?}");
            }
            let elsewhere = Facets { space: "other".into(), ..said("t", "Ada", 9) };
            assert!(!one.covers(id, &elsewhere) && !all.covers(id, &elsewhere));
        }
    }

    #[test]
    fn what_quotes_messages_is_shown_no_more_once_any_of_them_may_be_forgotten() {
        for scope in
            [Scope::Message(Uuid::from_u128(1)), Scope::Author("Ada".into()), Scope::Thread("t".into()), Scope::Space]
        {
            let mut forgotten = Forgotten::default();
            forgotten.add(&forgetting(scope.clone(), 10));
            forgotten.add(&forgetting(scope.clone(), 5));
            let covers = |space, at| forgotten.may_cover_quotes(space, at);
            assert!(covers("s", 9) && !covers("s", 10) && !covers("other", 9), "{scope:?}");
        }
    }

    #[test]
    fn the_later_time_counts_whichever_comes_first() {
        let (early, late) = (forgetting(Scope::Space, 5), forgetting(Scope::Space, 7));
        let (mut one, mut other) = (Forgotten::default(), Forgotten::default());
        assert!(one.add(&early) && one.add(&late));
        assert!(other.add(&late) && !other.add(&early));
        assert_eq!(one, other);
        let mut again = Forgotten::default();
        one.all().for_each(|forgetting| assert!(again.add(&forgetting)));
        assert_eq!(one, again);
    }
}
