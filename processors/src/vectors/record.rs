//! Records: how a message's vector and facets are laid out in bytes.
//!
//! An item is the message id (16 bytes) followed by the vector's elements (f32 little-endian).
//! Facets are `sent_at` and `accepted_at` (i64 little-endian), then space, thread, author and role, each as its length
//! in bytes (u32 little-endian) and its UTF-8 text. The layout's version stands once in the store
//! (see [`tables`](super::tables)), not in each record.

use uuid::Uuid;

use super::cause::Cause;
use crate::Facets;

/// Bytes of a message id at the head of an item.
const ID: usize = 16;

/// A message's vector, with what filters can see of the message.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorItem {
    /// The message.
    pub message_id: Uuid,
    /// What filters can see of it.
    pub facets: Facets,
    /// Its vector: of unit length, with as many dimensions as the store; empty where it says nothing any more, and so has none.
    pub vector: Vec<f32>,
}

/// An item as it lies in the map, not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredVector<'t> {
    /// The message.
    pub message_id: Uuid,
    /// The vector's elements, f32 little-endian, at any alignment.
    pub elements: &'t [u8],
}

impl<'t> StoredVector<'t> {
    /// Takes an item apart.
    pub(super) fn decode(bytes: &'t [u8], dimensions: usize) -> Result<Self, Cause> {
        match bytes.split_first_chunk::<ID>() {
            Some((id, elements)) if elements.len() == dimensions * size_of::<f32>() => {
                Ok(Self { message_id: Uuid::from_bytes(*id), elements })
            }
            _ => Err(Cause::damaged(format!("an item has {} bytes", bytes.len()))),
        }
    }
}

/// Writes an item over `bytes`.
pub(super) fn encode_vector(message_id: Uuid, vector: &[f32], bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(message_id.as_bytes());
    bytes.extend(vector.iter().flat_map(|element| element.to_le_bytes()));
}

/// Writes facets over `bytes`.
pub(super) fn encode_facets(facets: &Facets, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(&facets.sent_at.to_le_bytes());
    bytes.extend_from_slice(&facets.accepted_at.to_le_bytes());
    for text in [&facets.space, &facets.thread, &facets.author, &facets.role] {
        let length = u32::try_from(text.len()).expect("validated before writing: no text of a facet reaches 4 GiB");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
}

/// Facets with nothing in them, to be filled by [`decode_facets_into`].
pub(super) fn blank_facets() -> Facets {
    Facets {
        space: String::new(),
        thread: String::new(),
        author: String::new(),
        role: String::new(),
        sent_at: 0,
        accepted_at: 0,
    }
}

/// Reads facets over `facets`, keeping its strings' memory, so that a scan allocates only once.
pub(super) fn decode_facets_into(bytes: &[u8], facets: &mut Facets) -> Result<(), Cause> {
    try_decode_facets(bytes, facets).ok_or_else(|| Cause::damaged(format!("facets of {} bytes", bytes.len())))
}

fn try_decode_facets(bytes: &[u8], facets: &mut Facets) -> Option<()> {
    let (sent_at, bytes) = bytes.split_first_chunk()?;
    let (accepted_at, mut bytes) = bytes.split_first_chunk()?;
    facets.sent_at = i64::from_le_bytes(*sent_at);
    facets.accepted_at = i64::from_le_bytes(*accepted_at);
    for text in [&mut facets.space, &mut facets.thread, &mut facets.author, &mut facets.role] {
        let (length, rest) = bytes.split_first_chunk()?;
        let (stored, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        text.clear();
        text.push_str(std::str::from_utf8(stored).ok()?);
        bytes = rest;
    }
    bytes.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facets() -> Facets {
        Facets {
            space: "home".into(),
            thread: "t".into(),
            author: "Zoë".into(),
            role: "user".into(),
            sent_at: -2,
            accepted_at: 3,
        }
    }

    /// The bytes of layout 1: if this test fails, existing stores can no longer be read, and the layout needs a new number.
    #[test]
    fn the_encoding_of_facets_is_the_one_of_layout_1() {
        let mut bytes = Vec::new();
        encode_facets(&facets(), &mut bytes);
        let expected: &[u8] = b"\xfe\xff\xff\xff\xff\xff\xff\xff\x03\0\0\0\0\0\0\0\
            \x04\0\0\0home\x01\0\0\0t\x04\0\0\0Zo\xc3\xab\x04\0\0\0user";
        assert_eq!(bytes, expected);
    }

    /// See the test above.
    #[test]
    fn the_encoding_of_an_item_is_the_one_of_layout_1() {
        let mut bytes = Vec::new();
        encode_vector(Uuid::from_u128(7), &[1.0, -0.5], &mut bytes);
        assert_eq!(bytes, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\x80\x3f\0\0\0\xbf");
    }

    #[test]
    fn reading_gives_back_what_was_written() {
        let mut bytes = Vec::new();
        encode_facets(&facets(), &mut bytes);
        let mut read = Facets { space: "left over".into(), ..blank_facets() };
        decode_facets_into(&bytes, &mut read).expect("just encoded");
        assert_eq!(read, facets());

        encode_vector(Uuid::from_u128(7), &[1.0, -0.5], &mut bytes);
        let stored = StoredVector::decode(&bytes, 2).expect("just encoded");
        assert_eq!((stored.message_id, stored.elements), (Uuid::from_u128(7), &b"\0\0\x80\x3f\0\0\0\xbf"[..]));
    }

    #[test]
    fn cut_or_overlong_records_are_errors() {
        let mut bytes = Vec::new();
        encode_facets(&facets(), &mut bytes);
        for length in 0..bytes.len() {
            assert!(decode_facets_into(&bytes[..length], &mut blank_facets()).is_err(), "cut to {length}");
        }
        bytes.push(0);
        assert!(decode_facets_into(&bytes, &mut blank_facets()).is_err());

        encode_vector(Uuid::from_u128(7), &[1.0, -0.5], &mut bytes);
        for dimensions in [0, 1, 3] {
            assert!(StoredVector::decode(&bytes, dimensions).is_err(), "{dimensions} dimensions");
        }
        assert!(StoredVector::decode(&bytes[..9], 2).is_err());
    }
}
