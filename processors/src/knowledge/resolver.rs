//! The resolver: says which names of a space stand for one thing.
//!
//! Owns: the stage from `knowledge` to `knowledge` that merges names and parts them again.
//! Promises: a merge is an event with its reason, and moves nothing; what a person has said of a name, the resolver leaves as it
//! is. When a second name comes up that a short one could stand for, the short one is parted from the first.
//! Never: merges what could be two. A short name is merged only into the one name of its space that it can stand for, and only
//! after both were used in one thread; two names that are spelled alike are two.
//!
//! "Ana" is "Ana Lopez" (`first-name`), "Lopez" too (`surname`), "UN" is "United Nations" (`acronym`), and "NYC" is "New York
//! City" (`known-alias`) wherever both are named.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use meshlog_pipeline::{Derived, Stage, StageError, StoredEvent};
use meshlog_schemas::{EntitiesMerged, EntitiesParted, Envelope, Event, Headers, KnowledgeExtracted, Topic};

use super::entities::{EntityKind, chief_name, normalised};

/// The most letters of an acronym.
const LONGEST_ACRONYM: usize = 6;
/// The kind of the events that it works on.
const EXTRACTED: &str = "meshlog.knowledge.extracted";

/// The resolving stage.
#[derive(Debug, Default)]
pub struct Resolver {
    spaces: Mutex<HashMap<String, Names>>,
}

/// A name, folded, and what it names.
type Name = (EntityKind, String);

/// What is known of the names of a space.
#[derive(Debug, Default)]
struct Names {
    /// Each name as it was first written, with the threads that use it (by a hash: a wrong one only merges a little earlier).
    known: HashMap<Name, Known>,
    /// The long names that each short one can stand for.
    standing: HashMap<Name, BTreeSet<String>>,
    /// The other known names of each name.
    aliases: HashMap<Name, BTreeSet<String>>,
    /// What each short name is merged into at the moment.
    merged: HashMap<Name, String>,
    /// Names of which a person has said what they are, or are not.
    settled: HashSet<Name>,
}

#[derive(Debug, Default)]
struct Known {
    written: String,
    threads: HashSet<u64>,
}

impl Resolver {
    /// The name of the stage. Another name starts from the beginning.
    pub const NAME: &str = "resolve";

    fn spaces(&self) -> MutexGuard<'_, HashMap<String, Names>> {
        // Each event is folded in by insertions that stand for themselves, so what there is is whole after any panic.
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage for Resolver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn input(&self) -> Topic {
        Topic::Knowledge
    }

    fn wants(&self, headers: &Headers) -> bool {
        Envelope::kind_of(headers) == Some(EXTRACTED)
    }

    fn tables(&self) -> &[Topic] {
        &[Topic::Knowledge]
    }

    fn steps_back(&self) -> bool {
        true
    }

    fn observe(&self, event: &StoredEvent) {
        let mut spaces = self.spaces();
        match &event.event {
            Event::KnowledgeExtracted(body) => names(&mut spaces, &body.space).learn(body),
            Event::EntitiesMerged(body) => {
                let Some(kind) = EntityKind::named(&body.kind) else { return };
                let names = names(&mut spaces, &body.space);
                let from = (kind, normalised(kind, &body.from));
                names.merged.insert(from.clone(), normalised(kind, &body.into));
                names.settle(from, &body.author);
            }
            Event::EntitiesParted(body) => {
                let Some(kind) = EntityKind::named(&body.kind) else { return };
                let names = names(&mut spaces, &body.space);
                let from = (kind, normalised(kind, &body.from));
                names.merged.remove(&from);
                names.settle(from, &body.author);
            }
            _ => {}
        }
    }

    fn process(&self, events: &[StoredEvent]) -> Result<Vec<Derived>, StageError> {
        let mut spaces = self.spaces();
        let mut derived = Vec::new();
        for (cause, event) in events.iter().enumerate() {
            let Event::KnowledgeExtracted(body) = &event.event else { continue };
            let names = names(&mut spaces, &body.space);
            // It may not have been shown yet.
            names.learn(body);
            let decided = names.decide(body).into_iter().map(|(index, event)| Derived { cause, index, event });
            derived.extend(decided);
        }
        Ok(derived)
    }
}

/// The names of a space. Its own name is copied only once.
fn names<'a>(spaces: &'a mut HashMap<String, Names>, space: &str) -> &'a mut Names {
    if !spaces.contains_key(space) {
        spaces.insert(space.to_owned(), Names::default());
    }
    // Invariant: it is there.
    spaces.get_mut(space).expect("it was put there")
}

impl Names {
    fn settle(&mut self, from: Name, author: &str) {
        if !author.is_empty() {
            self.settled.insert(from);
        }
    }

    /// Takes in the names of a message.
    fn learn(&mut self, body: &KnowledgeExtracted) {
        let thread = hash(&body.thread);
        for (kind, written) in named(body) {
            let key = normalised(kind, written);
            if key.is_empty() {
                continue;
            }
            for short in short_names(kind, &key) {
                self.standing.entry((kind, short)).or_default().insert(key.clone());
            }
            if let Some(chief) = chief_name(&written.to_lowercase()) {
                self.aliases.entry((kind, normalised(kind, chief))).or_default().insert(key.clone());
            }
            let known = self.known.entry((kind, key)).or_default();
            if known.written.is_empty() {
                known.written = written.to_owned();
            }
            known.threads.insert(thread);
        }
    }

    /// What follows from the names of a message, each with what tells it apart.
    fn decide(&mut self, body: &KnowledgeExtracted) -> Vec<(String, Event)> {
        let mut affected = BTreeSet::new();
        for (kind, written) in named(body) {
            let key = normalised(kind, written);
            affected.extend(short_names(kind, &key).into_iter().map(|short| (kind, short)));
            let name = (kind, key);
            affected.extend(self.aliases.get(&name).into_iter().flatten().map(|alias| (kind, alias.clone())));
            affected.insert(name);
        }
        affected.into_iter().flat_map(|name| self.decide_on(body, name)).collect()
    }

    fn decide_on(&mut self, body: &KnowledgeExtracted, name: Name) -> Vec<(String, Event)> {
        let Some(known) = self.known.get(&name).filter(|_| !self.settled.contains(&name)) else { return Vec::new() };
        let wanted = self.target(&name, known);
        let merged = self.merged.get(&name);
        if merged == wanted.as_ref().map(|(key, ..)| key) {
            return Vec::new();
        }
        let (space, kind, from) = (body.space.clone(), name.0.name().to_owned(), known.written.clone());
        let mut events = Vec::new();
        if let Some(old) = merged {
            // It may stand for another now, or for two.
            let into = self.written(name.0, old);
            let index = format!("part/{kind}/{from}/{into}");
            let reason = "it can stand for another name too".to_owned();
            let (space, kind, from, author) = (space.clone(), kind.clone(), from.clone(), String::new());
            let parted = EntitiesParted { space, kind, from, into, reason, author };
            events.push((index, Event::EntitiesParted(parted)));
        }
        if let Some((key, reason, confidence)) = &wanted {
            let into = self.written(name.0, key);
            let index = format!("merge/{kind}/{from}/{into}");
            let (reason, confidence, author) = ((*reason).to_owned(), *confidence, String::new());
            let merged = EntitiesMerged { space, kind, from, into, reason, confidence, author };
            events.push((index, Event::EntitiesMerged(merged)));
        }
        // As it will be shown in a moment; until then it is not said again.
        match wanted {
            Some((key, ..)) => self.merged.insert(name, key),
            None => self.merged.remove(&name),
        };
        events
    }

    /// The name that a name stands for, why, and how sure that is in thousandths.
    fn target(&self, name: &Name, known: &Known) -> Option<(String, &'static str, i32)> {
        if let Some(chief) = chief_name(&known.written.to_lowercase()) {
            let key = normalised(name.0, chief);
            if key != name.1 && self.known.contains_key(&(name.0, key.clone())) {
                return Some((key, "known-alias", 1000));
            }
        }
        let long = self.standing.get(name)?;
        let only = long.first().filter(|_| long.len() == 1)?;
        let together = self.known.get(&(name.0, only.clone())).is_some_and(|other| {
            let (few, many) = if known.threads.len() < other.threads.len() { (known, other) } else { (other, known) };
            few.threads.iter().any(|thread| many.threads.contains(thread))
        });
        if !together {
            return None;
        }
        let (reason, confidence) = match name.0 {
            EntityKind::Person if only.starts_with(&name.1) => ("first-name", 900),
            EntityKind::Person => ("surname", 800),
            // "who" of a text in small letters is no "World Health Organization".
            _ if known.written.chars().all(|letter| letter.is_uppercase() || letter == '.') => ("acronym", 850),
            _ => return None,
        };
        Some((only.clone(), reason, confidence))
    }

    fn written(&self, kind: EntityKind, key: &str) -> String {
        self.known.get(&(kind, key.to_owned())).map_or_else(|| key.to_owned(), |known| known.written.clone())
    }
}

/// The names in a message that can be merged at all.
fn named(body: &KnowledgeExtracted) -> impl Iterator<Item = (EntityKind, &str)> {
    let of_facts = body.facts.iter().flat_map(|fact| {
        [(fact.subject_kind.as_str(), fact.subject.as_str()), (fact.object_kind.as_str(), fact.object.as_str())]
    });
    let mentioned = body.mentions.iter().map(|mention| (mention.kind.as_str(), mention.name.as_str()));
    mentioned.chain(of_facts).filter_map(|(kind, name)| {
        let kind = EntityKind::named(kind)?;
        let can_be_merged =
            matches!(kind, EntityKind::Person | EntityKind::Organisation | EntityKind::Place | EntityKind::Product);
        can_be_merged.then_some((kind, name))
    })
}

/// The short names that a folded name of several words may be called by.
fn short_names(kind: EntityKind, key: &str) -> Vec<String> {
    let Some((first, _)) = key.split_once(' ') else { return Vec::new() };
    match kind {
        EntityKind::Person => {
            let last = key.rsplit(' ').next().unwrap_or(first);
            // A single letter is nobody's name.
            [first, last].into_iter().filter(|short| short.chars().count() > 1).map(str::to_owned).collect()
        }
        EntityKind::Organisation => {
            let words = key.split(' ').filter(|word| !matches!(*word, "of" | "the" | "and" | "for"));
            let initials: String = words.filter_map(|word| word.chars().next()).collect();
            if (2..=LONGEST_ACRONYM).contains(&initials.chars().count()) { vec![initials] } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

fn hash(thread: &str) -> u64 {
    let hash = blake3::hash(thread.as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{EntityMentioned, EventId};

    use super::*;
    use crate::testing::stored;

    fn naming(thread: &str, names: &[(&str, &str)]) -> Event {
        let mention = |(kind, name): &(&str, &str)| EntityMentioned {
            kind: (*kind).into(),
            name: (*name).into(),
            start: 0,
            end: 1,
            confidence: 900,
        };
        Event::KnowledgeExtracted(KnowledgeExtracted {
            message_id: EventId::of_source("s", thread),
            space: "s".into(),
            thread: thread.into(),
            author: "Mia".into(),
            role: "user".into(),
            sent_at: 0,
            accepted_at: 0,
            extractor: "patterns-1".into(),
            mentions: names.iter().map(mention).collect(),
            facts: Vec::new(),
        })
    }

    /// What the resolver says after each of these, and is shown again, as the log does.
    fn said(resolver: &Resolver, events: &[Event]) -> Vec<String> {
        let mut said = Vec::new();
        for (event, offset) in events.iter().zip(0..) {
            let event = stored(offset, event.clone());
            resolver.observe(&event);
            for derived in resolver.process(&[event]).unwrap() {
                said.push(match &derived.event {
                    Event::EntitiesMerged(body) => format!("{} is {} ({})", body.from, body.into, body.reason),
                    Event::EntitiesParted(body) => format!("{} is not {}", body.from, body.into),
                    other => panic!("{other:?}"),
                });
                resolver.observe(&stored(1_000 + offset, derived.event));
            }
        }
        said
    }

    const ANA: (&str, &str) = ("person", "Ana");
    const ANA_LOPEZ: (&str, &str) = ("person", "Ana Lopez");
    const ANA_RUIZ: (&str, &str) = ("person", "Ana Ruiz");

    #[test]
    fn a_short_name_is_the_one_long_name_of_its_thread() {
        let events = [naming("t", &[ANA]), naming("t", &[ANA_LOPEZ]), naming("t", &[ANA, ANA_LOPEZ])];
        assert_eq!(said(&Resolver::default(), &events), ["Ana is Ana Lopez (first-name)"]);
        let events = [naming("t", &[("person", "Lopez"), ANA_LOPEZ])];
        assert_eq!(said(&Resolver::default(), &events), ["Lopez is Ana Lopez (surname)"]);
    }

    #[test]
    fn names_of_threads_that_share_nothing_are_left_alone() {
        let events = [naming("t", &[ANA]), naming("u", &[ANA_LOPEZ])];
        assert!(said(&Resolver::default(), &events).is_empty());
    }

    #[test]
    fn a_second_long_name_parts_the_short_one() {
        let events = [naming("t", &[ANA, ANA_LOPEZ]), naming("u", &[ANA_RUIZ]), naming("t", &[ANA])];
        assert_eq!(said(&Resolver::default(), &events), ["Ana is Ana Lopez (first-name)", "Ana is not Ana Lopez"]);
    }

    #[test]
    fn what_a_person_says_of_a_name_counts() {
        let parted = Event::EntitiesParted(EntitiesParted {
            space: "s".into(),
            kind: "person".into(),
            from: "Ana".into(),
            into: "Ana Lopez".into(),
            reason: "another one".into(),
            author: "Mia".into(),
        });
        let events = [naming("t", &[ANA, ANA_LOPEZ]), parted, naming("t", &[ANA, ANA_LOPEZ])];
        assert_eq!(said(&Resolver::default(), &events), ["Ana is Ana Lopez (first-name)"]);
    }

    #[test]
    fn known_aliases_and_acronyms_are_merged() {
        for names in [["NYC", "New York City"], ["New York City", "NYC"]] {
            let events = [naming("t", &[("place", names[0])]), naming("u", &[("place", names[1])])];
            assert_eq!(said(&Resolver::default(), &events), ["NYC is New York City (known-alias)"]);
        }
        let events = [naming("t", &[("organisation", "Blue Harbour Rowing Club"), ("organisation", "BHRC")])];
        assert_eq!(said(&Resolver::default(), &events), ["BHRC is Blue Harbour Rowing Club (acronym)"]);
    }
}
