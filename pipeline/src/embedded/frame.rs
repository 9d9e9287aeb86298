//! The frame: how a record is laid out in the embedded log.
//!
//! ```text
//! key    partition u32 BE | offset u64 BE                       (one keyspace a topic)
//! value  version u8 = 1 | crc32 u32 LE | appended_at i64 LE
//!        | key length u32 LE | key
//!        | headers length u32 LE | headers, packed
//!        | body (the rest)
//! ```
//!
//! Owns: this layout. The checksum (CRC-32, IEEE) covers the topic's name, the storage key and everything after the
//! checksum, so a record that was moved is as damaged as one that was changed.
//! Never: trusts a length before it has seen the checksum hold.

use bytes::Bytes;
use meshlog_schemas::{Headers, Position};

use crate::record::{NewRecord, Record};

const VERSION: u8 = 1;
const CHECKSUM: std::ops::Range<usize> = 1..5;
const CHECKED_FROM: usize = 5;

/// The storage key of a position within its topic.
pub(super) fn storage_key(position: Position) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&position.partition.id.to_be_bytes());
    key[4..].copy_from_slice(&position.offset.to_be_bytes());
    key
}

/// Lays out a record for storage at `position`.
pub(super) fn encode(record: &NewRecord, position: Position, appended_at: i64) -> Vec<u8> {
    let mut frame = Vec::with_capacity(record.size() + 32);
    frame.push(VERSION);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&appended_at.to_le_bytes());
    put_long(&mut frame, &record.key);
    put_long(&mut frame, record.headers.packed());
    frame.extend_from_slice(&record.body);
    let checksum = checksum(position, &frame[CHECKED_FROM..]);
    frame[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    frame
}

/// Reads a stored record; the error says how the damage shows.
pub(super) fn decode(position: Position, frame: &[u8]) -> Result<Record, String> {
    if frame.len() < CHECKED_FROM {
        return Err(format!("only {} bytes are left of it", frame.len()));
    }
    if frame[0] != VERSION {
        return Err(format!("its frame version is {}, this program reads {VERSION}", frame[0]));
    }
    let mut stored = [0; 4];
    stored.copy_from_slice(&frame[CHECKSUM]);
    let actual = checksum(position, &frame[CHECKED_FROM..]);
    if u32::from_le_bytes(stored) != actual {
        return Err(format!("its checksum is {actual:08x}, {:08x} was written", u32::from_le_bytes(stored)));
    }
    parse(position, &frame[CHECKED_FROM..]).ok_or_else(|| "its lengths do not add up".to_owned())
}

fn checksum(position: Position, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(position.partition.topic.name().as_bytes());
    hasher.update(&storage_key(position));
    hasher.update(bytes);
    hasher.finalize()
}

fn parse(position: Position, mut rest: &[u8]) -> Option<Record> {
    let appended_at = i64::from_le_bytes(take_array(&mut rest)?);
    let key = take_long(&mut rest)?;
    let headers = Headers::from_packed(take_long(&mut rest)?)?;
    Some(Record { position, appended_at, key, headers, body: Bytes::copy_from_slice(rest) })
}

fn put_long(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    frame.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

fn take_long(rest: &mut &[u8]) -> Option<Bytes> {
    let length = u32::from_le_bytes(take_array(rest)?);
    Some(Bytes::copy_from_slice(take(rest, length as usize)?))
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::{Partition, Topic};
    use proptest::prelude::*;

    use super::*;

    fn position(id: u32, offset: u64) -> Position {
        Position { partition: Partition { topic: Topic::Messages, id }, offset }
    }

    fn record() -> impl Strategy<Value = NewRecord> {
        let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
        (bytes(40), proptest::collection::vec(("\\PC{0,20}", bytes(40)), 0..8), bytes(400)).prop_map(
            |(key, headers, body)| NewRecord {
                topic: Topic::Messages,
                key: key.into(),
                headers: headers.into_iter().collect(),
                body: body.into(),
                identity: None,
            },
        )
    }

    proptest! {
        #[test]
        fn records_round_trip(record in record(), id: u32, offset: u64, appended_at: i64) {
            let position = position(id, offset);
            let read = decode(position, &encode(&record, position, appended_at)).unwrap();
            let expected = Record { position, appended_at, key: record.key, headers: record.headers, body: record.body };
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn every_flipped_bit_is_found(record in record(), bit: prop::sample::Index) {
            let mut frame = encode(&record, position(1, 7), 3);
            let bit = bit.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(position(1, 7), &frame).is_err());
        }

        #[test]
        fn every_cut_is_found(record in record(), cut: prop::sample::Index) {
            let frame = encode(&record, position(1, 7), 3);
            prop_assert!(decode(position(1, 7), &frame[..cut.index(frame.len())]).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(position(0, 0), &bytes).is_none_or(|record| record.body.len() <= bytes.len()));
            let _ = decode(position(0, 0), &bytes);
        }
    }

    #[test]
    fn a_record_that_was_moved_is_damaged() {
        let record = NewRecord {
            topic: Topic::Messages,
            key: vec![1].into(),
            headers: Headers::default(),
            body: vec![2].into(),
            identity: None,
        };
        let frame = encode(&record, position(1, 7), 3);
        assert!(decode(position(1, 8), &frame).is_err());
        assert!(decode(position(2, 7), &frame).is_err());
    }
}
