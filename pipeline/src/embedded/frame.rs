//! The frame: how a record is laid out, the same in the journal and in a segment.
//!
//! ```text
//!  0  u32  CRC-32 of the header behind it, seeded with the partition's tag
//!  4  u32  length of the payload
//!  8  u32  CRC-32 of the payload
//! 12  u32  length of the key
//! 16  u32  length of the headers
//! 20  u8   format = 1 | u8 flags (1: an identity stands first in the payload; 2: it is a copy's) | u16 zero
//! 24  u64  offset
//! 32  i64  appended_at
//! 40  payload: identity (16 bytes, if flagged) | key | headers, packed | body
//! ```
//! All numbers are little-endian.
//!
//! Owns: this layout. Two checksums, so that the payload can be checked by the producer's thread while the offset is
//! given later by the writer, and so that a damaged payload does not hide where the next frame begins. The tag stands
//! for topic and partition: a record that was moved is as damaged as one that was changed.
//! A copy is a record whose identity an earlier one has: the log itself never writes one, but a log that is moved here may hold
//! some (see `transfer`), and no record leaves its position. Its identity is kept, and counts for nothing.
//! Never: trusts a length before it has seen the checksum hold.

use bytes::Bytes;
use meshlog_schemas::{EventId, Headers, Offset, Partition, Position};
use uuid::Uuid;

use crate::record::{NewRecord, Record};

/// The length of a frame's header in bytes.
pub(super) const HEADER: usize = 40;
/// No payload is longer; a length beyond is damage, whatever its checksum says.
pub(super) const MAX_PAYLOAD: usize = 128 * 1024 * 1024;

const FORMAT: u8 = 1;
const HAS_IDENTITY: u8 = 1;
const IS_COPY: u8 = 2;
const IDENTITY: usize = 16;

/// What the header says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) offset: Offset,
    pub(super) appended_at: i64,
    payload: usize,
    payload_crc: u32,
    key: usize,
    headers: usize,
    has_identity: bool,
    is_copy: bool,
}

/// The number that stands for a partition in checksums.
pub(super) fn tag(partition: Partition) -> u32 {
    crc32fast::hash(partition.to_string().as_bytes())
}

/// Appends the frame of a record that has no position yet: all but offset, time and the header's checksum.
pub(super) fn begin(record: &NewRecord, frames: &mut Vec<u8>) {
    let start = frames.len();
    frames.extend_from_slice(&[0; HEADER]);
    if let Some(identity) = record.identity {
        frames.extend_from_slice(identity.0.as_bytes());
    }
    frames.extend_from_slice(&record.key);
    frames.extend_from_slice(record.headers.packed());
    frames.extend_from_slice(&record.body);
    let payload = start + HEADER;
    let crc = crc32fast::hash(&frames[payload..]);
    // Invariant: a batch is far below 4 GiB, so every length fits.
    let length = (frames.len() - payload) as u32;
    let head = &mut frames[start..payload];
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..12].copy_from_slice(&crc.to_le_bytes());
    head[12..16].copy_from_slice(&(record.key.len() as u32).to_le_bytes());
    head[16..20].copy_from_slice(&(record.headers.packed().len() as u32).to_le_bytes());
    head[20] = FORMAT;
    head[21] = if record.identity.is_some() { HAS_IDENTITY } else { 0 };
}

/// Says of a begun frame that an earlier record has its identity. `header` is its first [`HEADER`] bytes.
pub(super) fn mark_as_copy(header: &mut [u8]) {
    header[21] |= IS_COPY;
}

/// Gives a begun frame its position and time. `header` is its first [`HEADER`] bytes.
pub(super) fn finish(header: &mut [u8], tag: u32, offset: Offset, appended_at: i64) {
    header[24..32].copy_from_slice(&offset.to_le_bytes());
    header[32..40].copy_from_slice(&appended_at.to_le_bytes());
    let crc = checksum(tag, &header[4..HEADER]);
    header[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the header that `bytes` begin with; the error says how the damage shows.
pub(super) fn read_head(bytes: &[u8], tag: u32) -> Result<Head, String> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(format!("only {} bytes of its header are left", bytes.len()));
    };
    let stored = word(header, 0);
    let actual = checksum(tag, &header[4..]);
    if stored != actual {
        return Err(format!("the checksum of its header is {actual:08x}, {stored:08x} was written"));
    }
    if header[20] != FORMAT {
        return Err(format!("its frame has format {}, this program reads {FORMAT}", header[20]));
    }
    let head = Head {
        payload: word(header, 4) as usize,
        payload_crc: word(header, 8),
        key: word(header, 12) as usize,
        headers: word(header, 16) as usize,
        has_identity: header[21] & HAS_IDENTITY != 0,
        is_copy: header[21] & IS_COPY != 0,
        offset: long(header, 24),
        appended_at: long(header, 32) as i64,
    };
    let parts = head.key as u64 + head.headers as u64 + if head.has_identity { IDENTITY as u64 } else { 0 };
    if head.payload > MAX_PAYLOAD || parts > head.payload as u64 {
        return Err("its lengths do not add up".to_owned());
    }
    if head.offset == Offset::MAX {
        return Err("no record has the last offset that there is".to_owned());
    }
    Ok(head)
}

impl Head {
    /// The length of the whole frame in bytes.
    pub(super) fn length(&self) -> usize {
        HEADER + self.payload
    }

    /// Checks the payload of the whole frame `frame`.
    pub(super) fn check(&self, frame: &[u8]) -> Result<(), String> {
        let payload = frame
            .get(HEADER..self.length())
            .ok_or_else(|| format!("only {} of its {} bytes are left", frame.len(), self.length()))?;
        let actual = crc32fast::hash(payload);
        if actual != self.payload_crc {
            return Err(format!("the checksum of its payload is {actual:08x}, {:08x} was written", self.payload_crc));
        }
        Ok(())
    }

    /// The identity that the index must know, in a frame whose payload was checked.
    pub(super) fn identity(&self, frame: &[u8]) -> Option<EventId> {
        self.kept_identity(frame).filter(|_| !self.is_copy)
    }

    fn kept_identity(&self, frame: &[u8]) -> Option<EventId> {
        let bytes = frame.get(HEADER..HEADER + IDENTITY).filter(|_| self.has_identity)?;
        Some(EventId(Uuid::from_slice(bytes).ok()?))
    }

    /// The record in a frame; shares the frame's memory.
    pub(super) fn record(&self, partition: Partition, frame: &Bytes) -> Result<Record, String> {
        self.check(frame)?;
        let key = HEADER + if self.has_identity { IDENTITY } else { 0 };
        let (headers, body) = (key + self.key, key + self.key + self.headers);
        let packed = frame.slice(headers..body);
        Ok(Record {
            position: Position { partition, offset: self.offset },
            appended_at: self.appended_at,
            key: frame.slice(key..headers),
            headers: Headers::from_packed(packed).ok_or("its headers are not packed as they should be")?,
            body: frame.slice(body..self.length()),
            identity: self.kept_identity(frame),
        })
    }
}

fn checksum(tag: u32, header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(tag);
    hasher.update(header);
    hasher.finalize()
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

fn long(header: &[u8; HEADER], at: usize) -> u64 {
    u64::from(word(header, at)) | u64::from(word(header, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use meshlog_schemas::Topic;
    use proptest::prelude::*;

    use super::*;

    fn partition(id: u32) -> Partition {
        Partition { topic: Topic::Messages, id }
    }

    fn record() -> impl Strategy<Value = NewRecord> {
        let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
        (bytes(40), proptest::collection::vec(("\\PC{0,20}", bytes(40)), 0..8), bytes(400), any::<Option<u128>>())
            .prop_map(|(key, headers, body, identity)| NewRecord {
                topic: Topic::Messages,
                key: key.into(),
                headers: headers.into_iter().collect(),
                body: body.into(),
                identity: identity.map(|bits| EventId(Uuid::from_u128(bits))),
            })
    }

    fn encode(record: &NewRecord, id: u32, offset: Offset, appended_at: i64) -> Vec<u8> {
        let mut frame = Vec::new();
        begin(record, &mut frame);
        finish(&mut frame[..HEADER], tag(partition(id)), offset, appended_at);
        frame
    }

    fn decode(frame: &[u8], id: u32) -> Result<Record, String> {
        let head = read_head(frame, tag(partition(id)))?;
        if head.length() != frame.len() {
            return Err("its length is another".to_owned());
        }
        head.record(partition(id), &Bytes::copy_from_slice(frame))
    }

    proptest! {
        #[test]
        fn records_round_trip(record in record(), id in 0..9_u32, offset in 0..u64::MAX, appended_at: i64) {
            let frame = encode(&record, id, offset, appended_at);
            let head = read_head(&frame, tag(partition(id))).unwrap();
            prop_assert_eq!(head.identity(&frame), record.identity);
            let position = Position { partition: partition(id), offset };
            let NewRecord { key, headers, body, identity, .. } = record;
            let expected = Record { position, appended_at, key, headers, body, identity };
            prop_assert_eq!(decode(&frame, id), Ok(expected));
        }

        #[test]
        fn every_flipped_bit_is_found(record in record(), bit: prop::sample::Index) {
            let mut frame = encode(&record, 1, 7, 3);
            let bit = bit.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&frame, 1).is_err());
        }

        #[test]
        fn every_cut_is_found(record in record(), cut: prop::sample::Index) {
            let frame = encode(&record, 1, 7, 3);
            prop_assert!(decode(&frame[..cut.index(frame.len())], 1).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), HEADER..200)) {
            let _ = decode(&bytes, 0);
            // Also when the header's checksum holds by accident.
            bytes[20] = FORMAT;
            finish(&mut bytes[..HEADER], tag(partition(0)), 1, 2);
            if let Ok(head) = read_head(&bytes, tag(partition(0))) {
                let _ = head.record(partition(0), &Bytes::from(bytes));
            }
        }
    }

    #[test]
    fn a_copy_keeps_an_identity_that_counts_for_nothing() {
        let identity = Some(EventId(Uuid::from_u128(5)));
        let (key, headers, body) = (vec![1].into(), Headers::default(), vec![2].into());
        let mut frame = Vec::new();
        begin(&NewRecord { topic: Topic::Messages, key, headers, body, identity }, &mut frame);
        mark_as_copy(&mut frame[..HEADER]);
        finish(&mut frame[..HEADER], tag(partition(1)), 7, 3);
        assert_eq!(read_head(&frame, tag(partition(1))).unwrap().identity(&frame), None);
        assert_eq!(decode(&frame, 1).unwrap().identity, identity);
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
        assert!(decode(&encode(&record, 1, 7, 3), 2).is_err());
    }
}
