//! Digests: whether two stores hold the same content, whatever order they hold it in.
//!
//! Owns: the multiset hash that every projection reports.
//! Never: covers checkpoints, file layouts, or when the log took an event in: the same messages sent in the same order
//! to two logs give equal digests.

use std::fmt;

/// A hash of a multiset of entries: the sum, lane by lane, of the entries' BLAKE3 hashes.
///
/// Equal contents give equal digests in any order of insertion; a lost, doubled or changed entry changes the digest.
/// It finds faults; it is no defence against someone who may choose the entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    lanes: [u64; 4],
    entries: u64,
}

impl Digest {
    /// Adds one entry. The fields are hashed with their lengths, so ("ab","c") differs from ("a","bc").
    pub fn add(&mut self, fields: &[&[u8]]) {
        let mut hasher = blake3::Hasher::new();
        for field in fields {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        let hash = hasher.finalize();
        for (lane, bytes) in self.lanes.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *lane = lane.wrapping_add(u64::from_le_bytes(word));
        }
        self.entries += 1;
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-", self.entries)?;
        for lane in self.lanes {
            write!(formatter, "{lane:016x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_but_content_does() {
        let digest = |entries: &[&[&[u8]]]| {
            let mut digest = Digest::default();
            entries.iter().for_each(|entry| digest.add(entry));
            digest
        };
        let one: &[&[u8]] = &[b"a", b"bc"];
        let two: &[&[u8]] = &[b"ab", b"c"];
        assert_eq!(digest(&[one, two]), digest(&[two, one]));
        assert_ne!(digest(&[one]), digest(&[two]));
        assert_ne!(digest(&[one, one]), digest(&[one]));
    }
}
