//! Keys of the graph store: byte strings whose order is the order of the lists.

use uuid::Uuid;

use super::id::folded;
use crate::{
    Micros,
    database::keys::{ordered, put_name},
};

/// Under how many of its words a name is found.
const INDEXED_WORDS: usize = 8;
/// How much of a name is in a key.
const INDEXED_BYTES: usize = 64;

/// Where a message or a fact stands in time: the time and the id.
pub(super) type Place = [u8; 24];

/// All keys of a space begin with this.
pub(super) fn space(space: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(space.len() + 64);
    put_name(&mut key, space);
    key
}

/// What a space has under an id.
pub(super) fn in_space(space_name: &str, id: Uuid) -> Vec<u8> {
    let mut key = space(space_name);
    key.extend_from_slice(id.as_bytes());
    key
}

/// What a space has under a name.
pub(super) fn named(space_name: &str, name: &str) -> Vec<u8> {
    let mut key = space(space_name);
    put_name(&mut key, name);
    key
}

/// What a space has under a name and an id.
pub(super) fn of_named(space: &str, name: &str, id: Uuid) -> Vec<u8> {
    let mut key = named(space, name);
    key.extend_from_slice(id.as_bytes());
    key
}

/// A time and an id: the oldest first.
pub(super) fn place(at: Micros, id: Uuid) -> Place {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&ordered(at));
    place[8..].copy_from_slice(id.as_bytes());
    place
}

/// The same, the newest first.
pub(super) fn turned(place: Place) -> Place {
    place.map(|byte| !byte)
}

/// Time and id of a place.
pub(super) fn of_place(place: Place) -> (Micros, Uuid) {
    let (mut at, mut id) = ([0; 8], [0; 16]);
    at.copy_from_slice(&place[..8]);
    id.copy_from_slice(&place[8..]);
    ((u64::from_be_bytes(at) ^ (1 << 63)).cast_signed(), Uuid::from_bytes(id))
}

/// Two entities in the order of their ids.
pub(super) fn pair(one: Uuid, other: Uuid) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(one.min(other).as_bytes());
    key[16..].copy_from_slice(one.max(other).as_bytes());
    key
}

/// Key parts one behind the other.
pub(super) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// The statements about a subject in one relation begin with this.
pub(super) fn group(subject: Uuid, relation: &str) -> Vec<u8> {
    let mut key = subject.as_bytes().to_vec();
    put_name(&mut key, relation);
    key
}

/// How a count ranks: small ones exactly, large ones by their order of magnitude, so that few additions change the rank.
pub(super) fn rank(count: i64) -> u8 {
    match count {
        ..=0 => 0,
        1..=EXACT_RANKS => count as u8,
        _ => (12 + count.ilog2()) as u8,
    }
}

/// The least and the greatest count of a rank.
pub(super) fn counts_of_rank(rank: u8) -> (i64, i64) {
    match i64::from(rank) {
        count if count <= EXACT_RANKS => (count, count),
        rank => (1 << (rank - 12).min(62), i64::MAX >> (62 - (rank - 12)).max(0)),
    }
}

/// Ranks up to this are the counts themselves.
const EXACT_RANKS: i64 = 15;

/// The place of another entity among those that one is mentioned with: the most often first.
pub(super) fn ranked(entity: Uuid, rank: u8, other: Uuid) -> Vec<u8> {
    joined(&[entity.as_bytes(), &[!rank], other.as_bytes()])
}

/// Under what a name is found: as a whole, and from each later word on.
pub(super) fn names(space: &str, key: &str, mentions: i64, id: Uuid) -> Vec<Vec<u8>> {
    let folded = folded(key);
    let later = folded.match_indices(' ').map(|(space, _)| space + 1);
    let starts = std::iter::once(0).chain(later).take(INDEXED_WORDS);
    let key = |start: usize| {
        let mut key = name(space, u8::from(start > 0), tier(mentions), &folded[start..]);
        key.push(0);
        key.extend_from_slice(id.as_bytes());
        key
    };
    starts.map(key).collect()
}

/// How often something is mentioned, by the power of two.
pub(super) fn tier(mentions: i64) -> u8 {
    mentions.max(0).checked_ilog2().map_or(0, |log| log as u8 + 1)
}

/// The names of a tier that begin so; `later` is 1 for those found by a later word.
pub(super) fn name(space_name: &str, later: u8, tier: u8, text: &str) -> Vec<u8> {
    let mut key = space(space_name);
    key.extend_from_slice(&[later, !tier]);
    key.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(INDEXED_BYTES)]);
    key
}

/// The id at the end of a key.
pub(super) fn last_id(key: &[u8]) -> Option<Uuid> {
    key.last_chunk().copied().map(Uuid::from_bytes)
}

/// The place at the end of a key.
pub(super) fn last_place(key: &[u8]) -> Option<Place> {
    key.last_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_order_by_time_then_id_and_are_read_back() {
        let places = [(-7, 9), (0, 1), (0, 2), (5, 0)].map(|(at, id)| (at, Uuid::from_u128(id)));
        let keys = places.map(|(at, id)| place(at, id));
        assert!(keys.is_sorted());
        assert!(keys.map(turned).is_sorted_by(|one, other| one > other));
        assert_eq!(keys.map(of_place), places);
    }

    #[test]
    fn a_greater_count_never_ranks_lower() {
        assert!((0..5_000).map(rank).is_sorted());
        assert!((0..=EXACT_RANKS).all(|count| i64::from(rank(count)) == count));
        assert_eq!((rank(16), rank(31), rank(32), rank(i64::MAX)), (16, 16, 17, 74));
        for count in 0..5_000 {
            let (least, greatest) = counts_of_rank(rank(count));
            assert!(least <= count && count <= greatest && rank(least) == rank(greatest));
        }
        assert!((0..5_000).map(tier).is_sorted());
        assert_eq!((tier(0), tier(1), tier(2), tier(3), tier(4)), (0, 1, 2, 2, 3));
    }

    #[test]
    fn a_name_is_found_from_each_of_its_words_on() {
        let id = Uuid::from_u128(7);
        let keys = names("s", "new york city", 3, id);
        let expected: Vec<_> =
            [(0, "new york city"), (1, "york city"), (1, "city")].map(|(later, text)| name("s", later, 2, text)).into();
        assert!(keys.iter().zip(&expected).all(|(key, expected)| key.starts_with(expected)));
        assert!(keys.iter().all(|key| last_id(key) == Some(id)));
        assert_eq!(keys.len(), 3);
        assert!(names("s", &"ž ".repeat(500), 3, id).len() == 8, "cut on character boundaries");
    }
}
