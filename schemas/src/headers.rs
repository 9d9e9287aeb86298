//! Record headers: names and bytes, packed into one piece of memory.
//!
//! Owns: the packed form, which is also how the log stores them.
//!
//! ```text
//! ( u16 length of the name | name in UTF-8 | u32 length of the value | value )*        little-endian
//! ```
//!
//! A record has about ten short headers: packed they cost one allocation instead of twenty, and none when they are read
//! from a chunk of the log.
//! Never: interprets a value; see `envelope`.

use std::fmt;

use bytes::Bytes;

/// The headers of a record, in the order they were written. Cloning shares the memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// Takes over packed bytes; `None` if they are not well formed to the last byte.
    pub fn from_packed(packed: Bytes) -> Option<Self> {
        let mut rest = &packed[..];
        while !rest.is_empty() {
            let (name, _, behind) = split(rest)?;
            // Nearly every name is ASCII, which is quickly seen.
            if !name.is_ascii() {
                std::str::from_utf8(name).ok()?;
            }
            rest = behind;
        }
        Some(Self(packed))
    }

    /// The packed bytes.
    pub fn packed(&self) -> &Bytes {
        &self.0
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // Names were checked when the headers were packed.
        self.raw().map(|(name, value)| (std::str::from_utf8(name).unwrap_or_default(), value))
    }

    /// As [`Headers::iter`], for those who only compare names: they need not be looked at as text again.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (name, value, behind) = split(rest)?;
            rest = behind;
            Some((name, value))
        })
    }

    /// The value of the first header with this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.raw().find(|(header, _)| *header == name.as_bytes()).map(|(_, value)| value)
    }

    /// The same headers and one more at the end.
    pub fn with(&self, name: &str, value: &[u8]) -> Self {
        let mut writer = HeadersWriter::with_capacity(self.0.len() + name.len() + value.len() + 6);
        writer.0.extend_from_slice(&self.0);
        writer.push(name, value);
        writer.finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        let mut writer = HeadersWriter::with_capacity(256);
        headers.into_iter().for_each(|(name, value)| writer.push(name.as_ref(), value.as_ref()));
        writer.finish()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)))).finish()
    }
}

/// Packs headers one after the other.
pub(crate) struct HeadersWriter(Vec<u8>);

impl HeadersWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a header. Names are short by construction; one that is too long for the form is cut.
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&(name.len() as u16).to_le_bytes());
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(&value[..length as usize]);
    }

    pub(crate) fn finish(self) -> Headers {
        Headers(self.0.into())
    }
}

/// The first header and what is behind it.
fn split(packed: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = packed.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let (length, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_read(headers in proptest::collection::vec((".{0,20}", proptest::collection::vec(any::<u8>(), 0..40)), 0..12)) {
            let packed: Headers = headers.iter().map(|(name, value)| (name, value)).collect();
            let read: Vec<_> = packed.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
            prop_assert_eq!(&read, &headers);
            prop_assert_eq!(Headers::from_packed(packed.packed().clone()), Some(packed));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(headers) = Headers::from_packed(bytes.into()) {
                let again: Headers = headers.iter().collect();
                prop_assert_eq!(again, headers);
            }
        }
    }

    #[test]
    fn the_first_of_equal_names_counts_and_one_can_be_added() {
        let headers = Headers::from_iter([("a", "1"), ("a", "2")]).with("b", b"3");
        assert_eq!(headers.get("a"), Some(&b"1"[..]));
        assert_eq!(headers.get("b"), Some(&b"3"[..]));
        assert_eq!(headers.get("c"), None);
    }
}
