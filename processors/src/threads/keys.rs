//! Keys of the threads store: byte strings whose order is the order of the lists.
//!
//! Names are written with their length before them, so no name can run into the next field.

use uuid::Uuid;

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

/// The message's id at the end of a turn key.
pub(super) fn message_of_turn(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key.get(key.len().checked_sub(16)?..)?).ok()
}

/// Bytes whose unsigned order is the order of the numbers.
fn ordered(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The gateway admits names of up to 512 bytes; a longer one from elsewhere is cut here and keeps its full form in
/// its row.
fn put_name(key: &mut Vec<u8>, name: &str) {
    let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
    key.extend_from_slice(&(name.len() as u16).to_be_bytes());
    key.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_order_as_numbers_do() {
        let mut times = [i64::MIN, -5, -1, 0, 1, 7, i64::MAX].map(ordered);
        assert!(times.is_sorted());
        times.reverse();
        assert!(times.map(|bytes| bytes.map(|byte| !byte)).is_sorted());
    }

    #[test]
    fn names_do_not_run_together() {
        assert!(!thread("ab", "c").starts_with(&space("a")));
        assert_ne!(thread("a", "bc"), thread("ab", "c"));
        assert_eq!(thread_of_recency(&recency("a/b", -3, "t\u{0}x")).as_deref(), Some("t\u{0}x"));
    }
}
