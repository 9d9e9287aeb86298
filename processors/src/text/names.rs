//! Names: pairs of names as a column of the index.
//!
//! Owns: the bytes of a pair, and how they are read back: of one document, of a segment, or of all segments with the same
//! numbers.
//! Promises: any two names of any length and content come back as they were, and no other pair has their bytes.
//!
//! A segment keeps each distinct value of such a column once, in a sorted dictionary, and a number for it in every document.
//! Two names that go together are one value, so that what stands for both is found by one number.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use tantivy::{
    DocId, SegmentReader, TantivyDocument,
    columnar::{BytesColumn, Cardinality},
    schema::Field,
};

use super::{cause::Cause, columns::BLOCK};

/// Bytes of a value. The index library cuts what is longer than 65,535, so a longer pair lies in several values.
const LONGEST_PIECE: usize = 60_000;

/// Instead of a number: the document's pair lies in several values.
const SEVERAL: u64 = u64::MAX;

/// Puts a pair into a document.
pub(crate) fn add(document: &mut TantivyDocument, field: Field, one: &str, other: &str) {
    for piece in pair(one, other).chunks(LONGEST_PIECE) {
        document.add_bytes(field, piece);
    }
}

/// The bytes of a pair.
fn pair(one: &str, other: &str) -> Vec<u8> {
    let length = u32::try_from(one.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), one.as_bytes(), other.as_bytes()].concat()
}

/// Parts a pair into its names.
pub(crate) fn part(pair: &[u8]) -> Result<(&str, &str), Cause> {
    let damaged = || Cause("a pair of names is damaged".to_owned());
    let (length, names) = pair.split_first_chunk().ok_or_else(damaged)?;
    let (one, other) = names.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
    Ok((std::str::from_utf8(one)?, std::str::from_utf8(other)?))
}

/// A column of pairs in one segment.
pub(crate) struct Names(BytesColumn);

impl Names {
    pub(crate) fn open(segment: &SegmentReader, column: &str) -> Result<Self, Cause> {
        let names = segment.fast_fields().bytes(column)?;
        Ok(Self(names.ok_or_else(|| format!("a segment has no column {column}"))?))
    }

    /// The pair of one document: a look-up of some microseconds.
    pub(crate) fn pair(&self, document: DocId) -> Result<(String, String), Cause> {
        let pair = self.bytes(document)?;
        let (one, other) = part(&pair)?;
        Ok((one.to_owned(), other.to_owned()))
    }

    /// Reads the numbers of the documents' pairs, [`SEVERAL`] among them.
    fn numbers(&self, documents: &Range<DocId>, numbers: &mut [u64]) {
        let column = self.0.ords();
        if column.get_cardinality() == Cardinality::Full {
            column.values.get_range(u64::from(documents.start), numbers);
            return;
        }
        for (document, number) in documents.clone().zip(numbers) {
            let mut values = column.values_for_doc(document);
            *number = values.next().filter(|_| values.next().is_none()).unwrap_or(SEVERAL);
        }
    }

    fn bytes(&self, document: DocId) -> Result<Vec<u8>, Cause> {
        let (mut pair, mut piece) = (Vec::new(), Vec::new());
        for number in self.0.term_ords(document) {
            if !self.0.ord_to_bytes(number, &mut piece)? {
                return Err(Cause("a pair of names is missing".to_owned()));
            }
            pair.extend_from_slice(&piece);
        }
        Ok(pair)
    }
}

/// Byte strings, one after the other.
#[derive(Default)]
struct Values {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Values {
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, number: usize) -> Option<&[u8]> {
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start..*self.ends.get(number)?)
    }
}

/// The pairs of one segment, for reading those of all documents.
pub(crate) struct ReadNames {
    names: Names,
    values: Values,
}

impl ReadNames {
    pub(crate) fn read(names: Names) -> Result<Self, Cause> {
        let mut values = Values::default();
        let mut stream = names.0.dictionary().stream()?;
        while stream.advance() {
            values.push(stream.key());
        }
        drop(stream);
        Ok(Self { names, values })
    }

    /// Reads the numbers that the documents' pairs have in this segment.
    pub(crate) fn numbers(&self, documents: &Range<DocId>, numbers: &mut [u64; BLOCK]) {
        self.names.numbers(documents, &mut numbers[..documents.len()]);
    }

    /// The pair of a document, by its number from [`ReadNames::numbers`].
    pub(crate) fn pair(&self, document: DocId, number: u64) -> Result<(String, String), Cause> {
        let pair = match usize::try_from(number).ok().and_then(|number| self.values.get(number)) {
            Some(pair) => Cow::Borrowed(pair),
            None => Cow::Owned(self.names.bytes(document)?),
        };
        let (one, other) = part(&pair)?;
        Ok((one.to_owned(), other.to_owned()))
    }
}

/// The values of a column in several segments, numbered from 0. Not every value is the pair of a document: it may be that of
/// a deleted one, or a piece.
///
/// Both sides are sorted, so the dictionary of a segment is merged in one pass over both. Looking its values up one by one
/// would take several times as long, for nearly every access would be one to memory that is not in the cache.
#[derive(Default)]
pub(crate) struct Union {
    /// Sorted.
    values: Values,
    /// The number of each value.
    numbers: Vec<u32>,
    /// The pairs that lie in several values.
    long: HashMap<Vec<u8>, u32>,
}

/// A segment whose names are in a [`Union`].
pub(crate) struct UnitedNames {
    names: Names,
    /// By the number of a value in the segment, its number in the union.
    numbers: Vec<u32>,
}

impl Union {
    /// Adds the names of a segment.
    pub(crate) fn add(&mut self, names: Names) -> Result<UnitedNames, Cause> {
        let mut numbers = Vec::with_capacity(names.0.num_terms());
        let old = std::mem::take(self);
        self.values.ends.reserve(old.numbers.len() + names.0.num_terms());
        self.numbers.reserve(old.numbers.len() + names.0.num_terms());
        self.long = old.long;
        let mut next = old.numbers.len() + self.long.len();
        let mut old = old
            .numbers
            .into_iter()
            .enumerate()
            .map(|(at, number)| (old.values.get(at).unwrap_or(&[]), number))
            .peekable();
        let mut stream = names.0.dictionary().stream()?;
        while stream.advance() {
            let value = stream.key();
            while let Some((before, number)) = old.next_if(|(before, _)| *before < value) {
                self.push(before, number);
            }
            let number = match old.next_if(|(same, _)| *same == value) {
                Some((_, number)) => number,
                None => {
                    next += 1;
                    u32::try_from(next - 1)?
                }
            };
            self.push(value, number);
            numbers.push(number);
        }
        old.for_each(|(value, number)| self.push(value, number));
        drop(stream);
        if names.0.ords().get_cardinality() != Cardinality::Full {
            for document in 0..names.0.num_rows() {
                if names.0.term_ords(document).nth(1).is_some() {
                    let number = u32::try_from(self.len())?;
                    self.long.entry(names.bytes(document)?).or_insert(number);
                }
            }
        }
        Ok(UnitedNames { names, numbers })
    }

    fn push(&mut self, value: &[u8], number: u32) {
        self.values.push(value);
        self.numbers.push(number);
    }

    /// Pairs, the last of which gets the number 0.
    #[cfg(test)]
    pub(crate) fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs: std::collections::BTreeSet<_> = pairs.map(|(one, other)| pair(one, other)).collect();
        let mut union = Self::default();
        (0..pairs.len() as u32).rev().zip(pairs).for_each(|(number, pair)| union.push(&pair, number));
        union
    }

    /// The number of a pair.
    #[cfg(test)]
    pub(crate) fn number(&self, one: &str, other: &str) -> u32 {
        let pair = pair(one, other);
        self.values().find(|(_, value)| *value == pair).expect("the pair is in the union").0
    }

    /// All numbers are below this.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len() + self.long.len()
    }

    /// The values with their numbers.
    pub(crate) fn values(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let long = self.long.iter().map(|(value, number)| (*number, value.as_slice()));
        self.numbers.iter().enumerate().filter_map(|(at, number)| Some((*number, self.values.get(at)?))).chain(long)
    }
}

impl UnitedNames {
    /// Reads the numbers that the documents' pairs have in the union.
    pub(crate) fn numbers(
        &self,
        union: &Union,
        documents: &Range<DocId>,
        numbers: &mut [u32; BLOCK],
    ) -> Result<(), Cause> {
        let mut in_segment = [0; BLOCK];
        self.names.numbers(documents, &mut in_segment[..documents.len()]);
        for ((document, in_segment), number) in documents.clone().zip(in_segment).zip(numbers) {
            *number = match self.numbers.get(in_segment as usize) {
                Some(number) => *number,
                None => *union.long.get(&self.names.bytes(document)?).ok_or("a pair of names is missing")?,
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_pair_or_an_error(bytes: Vec<u8>) {
            if let Ok((one, other)) = part(&bytes) {
                prop_assert_eq!(one.len() + other.len() + 4, bytes.len());
            }
        }
    }
}
