//! What must hold for any bytes in the log's files, as checks for the fuzz targets (see `fuzz/Cargo.toml`).
//!
//! Random bytes never pass a checksum, so that a check of them alone would see little of a decoder. Each check here looks
//! at its bytes twice: as they are, and with the checksum put right, as if whoever wrote them had meant them so.

use std::io;

use bytes::Bytes;
use meshlog_schemas::{Headers, Offset, Partition, Topic};
use uuid::Uuid;

use super::{
    disk::File,
    frame::{self, HEADER},
    frames::{Damage, Walk, WalkError},
    journal, manifest, segment,
};
use crate::record::{NewRecord, Record};

const LOG: Uuid = Uuid::from_u128(77);
const PARTITION: Partition = Partition { topic: Topic::Messages, id: 1 };

/// A file of these bytes, which cannot be changed.
struct Bare(Vec<u8>);

impl File for Bare {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_into(&self, buffer: &mut Vec<u8>, offset: u64, most: usize) -> io::Result<()> {
        let bytes = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        buffer.extend_from_slice(&bytes[..bytes.len().min(most)]);
        Ok(())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The records of a file of frames, and where it is damaged. The walk comes to its end whatever it meets.
fn walk(file: &Bare, from: Offset) -> (Vec<Record>, Vec<Damage>) {
    let mut walk = Walk::new(file, frame::tag(PARTITION), 0, file.0.len() as u64, from);
    let (mut records, mut damages) = (Vec::new(), Vec::new());
    let mut before = None;
    loop {
        assert!(before < Some(walk.place()), "the walk goes on");
        before = Some(walk.place());
        match walk.next() {
            Ok(Some(found)) => records.extend(found.head.record(PARTITION, &found.bytes)),
            Ok(None) => break,
            Err(WalkError::Damage(damage)) => {
                damages.push(damage);
                if !walk.skip_damage().expect("memory can be read") {
                    break;
                }
            }
            Err(WalkError::Io(error)) => panic!("memory can be read: {error}"),
        }
    }
    assert!(records.is_sorted_by_key(|record| record.position.offset), "offsets follow each other");
    (records, damages)
}

/// Any bytes are walked to their end; what is read is written the same again; and of frames that were damaged none comes
/// back other than it was written.
pub fn frames(bytes: &[u8]) {
    walk(&Bare(bytes.to_vec()), 0);
    meant_so(bytes);
    damaged(bytes);
}

/// A frame whose lengths, flags and offset are the input's, and whose checksums hold.
fn meant_so(bytes: &[u8]) {
    if bytes.len() < HEADER {
        return;
    }
    let mut frame = bytes.to_vec();
    let offset = u64::from_le_bytes(bytes[24..32].try_into().expect("it is eight bytes"));
    let appended_at = i64::from_le_bytes(bytes[32..40].try_into().expect("it is eight bytes"));
    let length = u32::from_le_bytes(bytes[4..8].try_into().expect("it is four bytes")) as usize;
    let payload = crc32fast::hash(frame.get(HEADER..HEADER + length).unwrap_or(&frame[HEADER..]));
    frame[8..12].copy_from_slice(&payload.to_le_bytes());
    // The format's number.
    frame[20] = 1;
    frame::finish(&mut frame[..HEADER], frame::tag(PARTITION), offset, appended_at);
    let (records, _) = walk(&Bare(frame), offset);
    if let Some(record) = records.first().filter(|record| record.position.offset == offset) {
        let new = NewRecord {
            topic: PARTITION.topic,
            key: record.key.clone(),
            headers: record.headers.clone(),
            body: record.body.clone(),
            identity: record.identity,
        };
        assert_eq!(&walk(&Bare(written(&[new], &[(offset, record.appended_at)])), offset).0[..], &records[..1]);
    }
}

/// The frames of some records.
fn written(records: &[NewRecord], places: &[(Offset, i64)]) -> Vec<u8> {
    let mut frames = Vec::new();
    for (record, (offset, appended_at)) in records.iter().zip(places) {
        let at = frames.len();
        frame::begin(record, &mut frames);
        frame::finish(&mut frames[at..at + HEADER], frame::tag(PARTITION), *offset, *appended_at);
    }
    frames
}

/// Frames made of the input's second part, damaged as its first part says: three bytes a change (where, what).
fn damaged(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let (changes, bodies) = rest.split_at(rest.len().min(3 * usize::from(count % 8)));
    let record = |body: &[u8]| NewRecord {
        topic: PARTITION.topic,
        key: Bytes::from_static(b"main/t"),
        headers: Headers::from_iter([("h", "v")]),
        body: Bytes::copy_from_slice(body),
        identity: None,
    };
    let records: Vec<_> = bodies.chunks(23).map(record).collect();
    let places: Vec<_> = (5..).map(|offset| (offset, 9)).take(records.len()).collect();
    let mut file = written(&records, &places);
    let whole = file.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = file.get_mut(at) {
            *byte ^= change[2];
        }
    }
    let is_whole = file == whole;
    let (found, damages) = walk(&Bare(file), 5);
    for record in &found {
        let sent = &records[(record.position.offset - 5) as usize];
        assert_eq!((&record.key, &record.headers, &record.body), (&sent.key, &sent.headers, &sent.body));
        assert_eq!(record.appended_at, 9);
    }
    if is_whole {
        assert!(found.len() == records.len() && damages.is_empty());
    }
}

/// Any bytes are an index's marks or none, and what are marks are the same after they were written.
pub fn index(bytes: &[u8]) {
    let tag = frame::tag(PARTITION);
    let _ = segment::parse_index(bytes, LOG, 5, tag);
    let meant_so = segment::index_bytes(LOG, 5, tag, 0, &[]);
    let mut meant_so = [&meant_so[..segment::INDEX_HEADER], bytes].concat();
    // The count is the input's first bytes in part, so that some are right and others lie.
    let count = if bytes.first().is_some_and(|first| first % 16 == 1) { u32::MAX } else { bytes.len() as u32 / 8 };
    meant_so[44..48].copy_from_slice(&count.to_le_bytes());
    let crc = segment::index_crc(&meant_so);
    meant_so[48..52].copy_from_slice(&crc.to_le_bytes());
    if let Some(marks) = segment::parse_index(&meant_so, LOG, 5, tag) {
        assert_eq!(segment::index_bytes(LOG, 5, tag, 0, &marks), meant_so);
    }
}

/// Any bytes are a group or none, and what is a group is the same after it was written.
pub fn journal_group(bytes: &[u8]) {
    let sequence = 3;
    let _ = journal::decode_group(LOG, sequence, bytes.to_vec());
    if bytes.len() < 40 {
        return;
    }
    let mut meant_so = bytes.to_vec();
    meant_so.resize(meant_so.len().next_multiple_of(8), 0);
    let body = (meant_so.len() - 40) as u32;
    meant_so[..4].copy_from_slice(&journal::GROUP_MAGIC);
    meant_so[8..16].copy_from_slice(&sequence.to_le_bytes());
    meant_so[24..28].copy_from_slice(&body.to_le_bytes());
    let crc = journal::group_crc(LOG, &meant_so);
    meant_so[4..8].copy_from_slice(&crc.to_le_bytes());
    let Some(group) = journal::decode_group(LOG, sequence, meant_so) else { return };
    let parts: Vec<_> = group.parts().collect();
    let mut again = Vec::new();
    journal::encode_group(LOG, sequence, group.number, &parts, &group.progress, &mut again);
    let again = journal::decode_group(LOG, sequence, again).expect("what was just written is a group");
    assert_eq!((again.number, &again.sections, &again.progress), (group.number, &group.sections, &group.progress));
    assert!(again.parts().eq(parts));
}

/// Any bytes are a manifest or an error, and what is a manifest is the same after it was written.
pub fn manifest(bytes: &[u8]) {
    let parse = |bytes: &[u8]| manifest::Manifest::parse(bytes);
    let meant_so = [manifest::first_line(bytes).as_bytes(), bytes].concat();
    for bytes in [bytes, &meant_so] {
        let Ok(manifest) = parse(bytes) else { continue };
        let again = manifest.to_bytes().expect("a manifest is JSON");
        assert_eq!(parse(&again), Ok(manifest));
    }
}
