//! Names: pairs of names as a column of the index.
//!
//! Owns: the bytes of a pair, and how they are read back, one by one or all of a segment at once.
//! Promises: any two names of any length and content come back as they were, and no other pair has their bytes.
//!
//! A segment keeps each distinct value of such a column once, in a dictionary, and a number for it in every document. Two
//! names that go together are one value, so that what stands for both is found by one number.

use std::{borrow::Cow, ops::Range};

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
    let length = u32::try_from(one.len()).unwrap_or(u32::MAX);
    let pair = [&length.to_le_bytes(), one.as_bytes(), other.as_bytes()].concat();
    for piece in pair.chunks(LONGEST_PIECE) {
        document.add_bytes(field, piece);
    }
}

fn part(pair: &[u8]) -> Result<(&str, &str), Cause> {
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

/// What stands for the pairs of a segment: it is made once for each that some document has.
pub(crate) struct Resolved<T> {
    names: Names,
    /// Every value of the dictionary, one after the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    made: Vec<Option<T>>,
}

impl<T: Clone> Resolved<T> {
    pub(crate) fn read(names: Names) -> Result<Self, Cause> {
        let (mut values, mut ends) = (Vec::new(), Vec::with_capacity(names.0.num_terms()));
        let mut stream = names.0.dictionary().stream()?;
        while stream.advance() {
            values.extend_from_slice(stream.key());
            ends.push(values.len());
        }
        drop(stream);
        let made = vec![None; ends.len()];
        Ok(Self { names, values, ends, made })
    }

    /// Forgets the names, which are not needed any more once every document was asked for.
    pub(crate) fn forget_names(&mut self) {
        self.values = Vec::new();
    }

    /// Reads the numbers that the pairs of documents have in this segment, from a range of [`blocks`](super::columns::blocks).
    pub(crate) fn numbers(&self, documents: &Range<DocId>, numbers: &mut [u64; BLOCK]) {
        self.names.numbers(documents, &mut numbers[..documents.len()]);
    }

    /// What stands for a document's pair, by its number from [`Resolved::numbers`].
    pub(crate) fn get(&mut self, document: DocId, number: u64, make: impl FnOnce(&str, &str) -> T) -> Result<T, Cause> {
        match self.made.get(number as usize) {
            Some(Some(made)) => Ok(made.clone()),
            _ => self.make(document, number, make),
        }
    }

    #[cold]
    fn make(&mut self, document: DocId, number: u64, make: impl FnOnce(&str, &str) -> T) -> Result<T, Cause> {
        let pair = match self.value(number) {
            Some(pair) => Cow::Borrowed(pair),
            None => Cow::Owned(self.names.bytes(document)?),
        };
        let (one, other) = part(&pair)?;
        let made = make(one, other);
        if let Some(slot) = self.made.get_mut(number as usize) {
            *slot = Some(made.clone());
        }
        Ok(made)
    }

    fn value(&self, number: u64) -> Option<&[u8]> {
        let number = usize::try_from(number).ok()?;
        let start = number.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.values.get(start..*self.ends.get(number)?)
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
