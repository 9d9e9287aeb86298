//! Keys of the threads store: byte strings whose order is the order of the lists.

use uuid::Uuid;

use crate::database::keys::{ordered, put_name};

/// All keys of a space begin with this.
pub(super) fn space(space: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(space.len() + 64);
    put_name(&mut key, space);
    key
}

/// The key of a thread; all keys of its messages begin with it.
pub(super) fn thread(space_name: &str, thread: &str) -> Vec<u8> {
    let mut key = space(space_name);
    put_name(&mut key, thread);
    key
}

/// The place of a message within its thread: by the time it was said, then by its offset, then by its id.
pub(super) fn turn(space: &str, thread_name: &str, sent_at: i64, offset: u64, id: Uuid) -> Vec<u8> {
    let mut key = thread(space, thread_name);
    key.extend_from_slice(&ordered(sent_at));
    key.extend_from_slice(&offset.to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

/// The place of a thread within its space: the one with the newest message first.
pub(super) fn recency(space_name: &str, last_at: i64, thread: &str) -> Vec<u8> {
    let mut key = space(space_name);
    key.extend(ordered(last_at).map(|byte| !byte));
    key.extend_from_slice(thread.as_bytes());
    key
}

/// The thread's name at the end of a recency key.
pub(super) fn thread_of_recency(key: &[u8]) -> Option<String> {
    let length = u16::from_be_bytes(key.get(..2)?.try_into().ok()?);
    let name = key.get(2 + usize::from(length) + 8..)?;
    String::from_utf8(name.to_vec()).ok()
}

/// The space and the thread of a turn key, and what follows.
pub(super) fn parts_of_turn(key: &[u8]) -> Option<(&str, &str, &[u8])> {
    let (space, rest) = name(key)?;
    let (thread, rest) = name(rest)?;
    Some((space, thread, rest))
}

/// The time of a turn key.
pub(super) fn time(ordered: [u8; 8]) -> i64 {
    (u64::from_be_bytes(ordered) ^ (1 << 63)).cast_signed()
}

fn name(key: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = key.split_first_chunk()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((str::from_utf8(name).ok()?, rest))
}

/// The message's id at the end of a turn key.
pub(super) fn message_of_turn(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(key.len().checked_sub(16)?..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_run_together() {
        assert!(!thread("ab", "c").starts_with(&space("a")));
        assert_ne!(thread("a", "bc"), thread("ab", "c"));
        assert_eq!(thread_of_recency(&recency("a/b", -3, "t\u{0}x")).as_deref(), Some("t\u{0}x"));
        let turn = turn("a", "bc", -3, 1, Uuid::nil());
        assert_eq!(
            parts_of_turn(&turn).map(|(space, thread, rest)| (space, thread, rest.len())),
            Some(("a", "bc", 32))
        );
        assert_eq!([i64::MIN, -3, 0, i64::MAX].map(|at| time(ordered(at))), [i64::MIN, -3, 0, i64::MAX]);
    }
}
