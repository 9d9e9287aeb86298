//! Removals: the messages that a commit takes out of the index because they are forgotten.
//!
//! Owns: where they stand, and the query by which the index deletes all of them at once: one pass over two columns, where a
//! look-up of each would take minutes for a large thread.
//! Never: names a message by its id; its thread and ordinal take a bit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use roaring::RoaringBitmap;
use tantivy::{
    DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError,
    query::{ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight},
};

use super::{
    cause::Cause,
    columns::{Block, Numbers, blocks},
    layout::{Fields, THREAD_KEY, thread_key},
    record::{ORDINAL, Record},
    turns::{Space, Turns},
    view::View,
};
use crate::{Facets, Forgetting, Forgotten, Scope};

/// Where the messages stand: by space and by the thread's key, their ordinals.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    spaces: BTreeMap<String, Threads>,
}

type Threads = HashMap<u64, RoaringBitmap>;

impl Removals {
    /// Finds what these cover of a view.
    pub(crate) fn find(view: &View, fields: &Fields, forgettings: &[&Forgetting]) -> Result<Self, Cause> {
        let mut removals = Self::default();
        let mut wide: BTreeMap<&str, Vec<&Forgetting>> = BTreeMap::new();
        for forgetting in forgettings {
            match forgetting.scope {
                Scope::Message(id) => {
                    let record = view.snapshot.find(fields, id)?;
                    if let Some(record) = record.filter(|record| forgetting.covers(id, &record.facets)) {
                        removals.add(&record);
                    }
                }
                _ => wide.entry(&forgetting.space).or_default().push(forgetting),
            }
        }
        for (name, forgettings) in wide {
            if let Some(space) = view.turns.space(name) {
                let found = covered(name, space, &view.turns, &forgettings);
                if !found.is_empty() {
                    let threads = removals.spaces.entry(name.to_owned()).or_default();
                    found.into_iter().for_each(|(key, ordinals)| *threads.entry(key).or_default() |= ordinals);
                }
            }
        }
        Ok(removals)
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> u64 {
        self.spaces.values().flat_map(HashMap::values).map(RoaringBitmap::len).sum()
    }

    /// Whether a message is one of them.
    pub(crate) fn contains(&self, record: &Record) -> bool {
        let Facets { space, thread, .. } = &record.facets;
        let threads = self.spaces.get(space);
        threads
            .and_then(|threads| threads.get(&thread_key(space, thread)))
            .is_some_and(|ordinals| ordinals.contains(record.ordinal))
    }

    /// The ordinals by the threads' keys, space by space.
    pub(crate) fn spaces(&self) -> impl Iterator<Item = (&str, &Threads)> {
        self.spaces.iter().map(|(space, threads)| (space.as_str(), threads))
    }

    /// The query that matches their documents.
    pub(crate) fn query(&self) -> Box<dyn Query> {
        let threads = self.spaces.values().flatten().map(|(key, ordinals)| (*key, ordinals.clone())).collect();
        Box::new(Places(Arc::new(threads)))
    }

    fn add(&mut self, record: &Record) {
        let Facets { space, thread, .. } = &record.facets;
        let threads = self.spaces.entry(space.clone()).or_default();
        threads.entry(thread_key(space, thread)).or_default().insert(record.ordinal);
    }
}

/// What is covered of a space.
fn covered(name: &str, space: &Space, turns: &Turns, forgettings: &[&Forgetting]) -> Threads {
    let mut forgotten = Forgotten::default();
    // The threads to look at; all of them if anything but threads is forgotten.
    let mut named = Some(BTreeSet::new());
    for forgetting in forgettings {
        forgotten.add(forgetting);
        match &forgetting.scope {
            Scope::Thread(thread) => named = named.map(|named| &named | &BTreeSet::from([thread_key(name, thread)])),
            _ => named = None,
        }
    }
    let mut found = Threads::new();
    let mut facets = Facets {
        space: name.to_owned(),
        thread: String::new(),
        author: String::new(),
        role: String::new(),
        sent_at: 0,
        accepted_at: 0,
    };
    for (key, thread) in space.threads() {
        if named.as_ref().is_some_and(|named| !named.contains(&key)) {
            continue;
        }
        facets.thread.clone_from(&thread.name);
        let mut ordinals = RoaringBitmap::new();
        for (ordinal, turn) in thread.turns() {
            facets.author.clone_from(&turns.speaker(turn.speaker).author);
            facets.accepted_at = turn.accepted_at;
            if forgotten.covers(turn.message_id, &facets) {
                ordinals.insert(ordinal);
            }
        }
        if !ordinals.is_empty() {
            found.insert(key, ordinals);
        }
    }
    found
}

/// Matches the documents that stand at these places.
#[derive(Debug, Clone)]
struct Places(Arc<Threads>);

impl Query for Places {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Places {
    fn scorer(&self, segment: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let columns = Numbers::open(segment, &[THREAD_KEY, ORDINAL])
            .map_err(|Cause(cause)| TantivyError::InternalError(cause))?;
        let mut block = Block::new();
        let mut found = Vec::new();
        for documents in blocks(segment) {
            columns.read(&documents, &mut block);
            for (at, document) in documents.enumerate() {
                let [thread, ordinal] = block.get(at);
                let ordinals = self.0.get(&thread);
                if ordinals
                    .is_some_and(|ordinals| u32::try_from(ordinal).is_ok_and(|ordinal| ordinals.contains(ordinal)))
                {
                    found.push(document);
                }
            }
        }
        Ok(Box::new(ConstScorer::new(Documents { found, at: 0 }, boost)))
    }

    fn explain(&self, _: &SegmentReader, _: DocId) -> tantivy::Result<Explanation> {
        Ok(Explanation::new("it is forgotten", 1.0))
    }
}

/// Documents of one segment, in order.
struct Documents {
    found: Vec<DocId>,
    at: usize,
}

impl DocSet for Documents {
    fn advance(&mut self) -> DocId {
        self.at += 1;
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.found.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        u32::try_from(self.found.len()).unwrap_or(u32::MAX)
    }
}
