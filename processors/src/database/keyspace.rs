//! A keyspace of a store: what lies in the database and, while the store is filled, what is gathered for it.
//!
//! Owns: that who writes sees both as one.
//! Never: shows a query what is gathered. Queries take snapshots, and nobody asks a store that is being filled.

use std::{
    collections::VecDeque,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use fjall::{Guard, Slice};

use super::{filling::Filling, gathered::Change};

/// So many gathered rows are looked at in one go.
const PAGE: usize = 64;

/// A keyspace.
#[derive(Clone)]
pub(crate) struct Keyspace {
    stored: fjall::Keyspace,
    /// Its number among those of its store.
    number: usize,
    filling: Arc<Filling>,
}

impl AsRef<fjall::Keyspace> for Keyspace {
    fn as_ref(&self) -> &fjall::Keyspace {
        &self.stored
    }
}

impl Keyspace {
    pub(super) fn new(stored: fjall::Keyspace, number: usize, filling: Arc<Filling>) -> Self {
        Self { stored, number, filling }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// A row.
    pub(crate) fn get(&self, key: impl AsRef<[u8]>) -> fjall::Result<Option<Slice>> {
        match self.gathered(key.as_ref()) {
            Some(change) => Ok(change),
            None => self.stored.get(key),
        }
    }

    /// Whether there is such a row.
    pub(crate) fn contains_key(&self, key: impl AsRef<[u8]>) -> fjall::Result<bool> {
        match self.gathered(key.as_ref()) {
            Some(change) => Ok(change.is_some()),
            None => self.stored.contains_key(key),
        }
    }

    /// The rows whose keys begin so, in order.
    pub(crate) fn prefix(&self, prefix: &[u8]) -> Entries {
        let range = fjall::util::prefix_to_range(prefix);
        let owned = |bound: Bound<&Slice>| bound.map(|key| key.to_vec());
        self.entries(owned(range.start_bound()), owned(range.end_bound()))
    }

    /// The rows whose keys begin so, the last first.
    ///
    /// While the store is filled all of them are held in memory for it.
    pub(crate) fn prefix_backwards(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = fjall::Result<(Slice, Slice)>>> {
        match self.filling.is_on() {
            true => Box::new(self.prefix(prefix).collect::<Vec<_>>().into_iter().rev()),
            false => Box::new(self.stored.prefix(prefix).rev().map(Guard::into_inner)),
        }
    }

    /// The rows of a range, in order.
    pub(crate) fn range(&self, range: impl RangeBounds<Vec<u8>>) -> Entries {
        self.entries(range.start_bound().cloned(), range.end_bound().cloned())
    }

    fn entries(&self, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Entries {
        let stored = self.stored.range((from.clone(), to.clone()));
        let page = VecDeque::new();
        let gathered = self.filling.is_on().then(|| Pages { keyspace: self.clone(), from, to, page, is_over: false });
        Entries { stored, next_stored: None, gathered }
    }

    fn gathered(&self, key: &[u8]) -> Option<Change> {
        self.filling.gathered()?.get(self.number, key)
    }
}

/// Rows in order.
pub(crate) struct Entries {
    stored: fjall::Iter,
    next_stored: Option<(Slice, Slice)>,
    gathered: Option<Pages>,
}

impl Iterator for Entries {
    type Item = fjall::Result<(Slice, Slice)>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(pages) = &mut self.gathered else { return self.stored.next().map(Guard::into_inner) };
        loop {
            if self.next_stored.is_none() {
                match self.stored.next().map(Guard::into_inner).transpose() {
                    Ok(next) => self.next_stored = next,
                    Err(error) => return Some(Err(error)),
                }
            }
            let Some((key, _)) = pages.peek() else { return self.next_stored.take().map(Ok) };
            if let Some(stored) = self.next_stored.take_if(|(stored, _)| *stored < *key) {
                return Some(Ok(stored));
            }
            let _replaced = self.next_stored.take_if(|(stored, _)| *stored == *key);
            if let (key, Some(value)) = pages.page.pop_front()? {
                return Some(Ok((key, value)));
            }
        }
    }
}

/// What is gathered of a range. It is looked at in pages, for whoever reads may well stop soon.
struct Pages {
    keyspace: Keyspace,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    page: VecDeque<(Slice, Change)>,
    is_over: bool,
}

impl Pages {
    fn peek(&mut self) -> Option<&(Slice, Change)> {
        if self.page.is_empty() && !self.is_over {
            let range = (as_bytes(&self.from), as_bytes(&self.to));
            if !is_empty(range)
                && let Some(mut gathered) = self.keyspace.filling.gathered()
            {
                self.page.extend(gathered.range(self.keyspace.number, range, PAGE));
            }
            self.is_over = self.page.len() < PAGE;
            if let Some((last, _)) = self.page.back() {
                self.from = Bound::Excluded(last.to_vec());
            }
        }
        self.page.front()
    }
}

fn as_bytes(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// Whether nothing lies in a range; an ordered map refuses to be asked for such.
fn is_empty(range: (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to))
        | (Bound::Excluded(from), Bound::Included(to)) => from >= to,
        _ => false,
    }
}
