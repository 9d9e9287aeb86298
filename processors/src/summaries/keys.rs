//! Keys of the summaries store: byte strings whose order is the order of the lists.

use super::{levels::Block, statistics::By, written::Stretch};
use crate::{
    Micros,
    database::keys::{ordered, put_name},
};

/// All keys of a space begin with this.
pub(super) fn space(space: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(space.len() + 64);
    put_name(&mut key, space);
    key
}

/// The key of a thread; all keys of its turns, their times and its blocks begin with it.
pub(super) fn thread(space_name: &str, thread: &str) -> Vec<u8> {
    let mut key = space(space_name);
    put_name(&mut key, thread);
    key
}

/// A turn, by its number.
pub(super) fn turn(thread: &[u8], number: u64) -> Vec<u8> {
    [thread, &number.to_be_bytes()].concat()
}

/// The thread's key and the turn's number.
pub(super) fn parts_of_turn(key: &[u8]) -> Option<(&[u8], u64)> {
    let (thread, number) = key.split_last_chunk()?;
    Some((thread, u64::from_be_bytes(*number)))
}

/// The name of a thread, from its key.
pub(super) fn name_of_thread(key: &[u8]) -> Option<&str> {
    Some(names_of_thread(key)?.1)
}

/// The names of a space and of a thread in it, from the thread's key.
pub(super) fn names_of_thread(key: &[u8]) -> Option<(&str, &str)> {
    let (space, rest) = named(key)?;
    let (thread, _) = named(rest)?;
    Some((std::str::from_utf8(space).ok()?, std::str::from_utf8(thread).ok()?))
}

/// The place of a turn by the time it was said.
pub(super) fn time(thread: &[u8], sent_at: Micros, number: u64) -> Vec<u8> {
    [thread, &ordered(sent_at), &number.to_be_bytes()].concat()
}

/// The time in a key that `time` made.
pub(super) fn time_of(key: &[u8]) -> Option<Micros> {
    let (key, _) = key.split_last_chunk::<8>()?;
    Some(number_of(*key.split_last_chunk()?.1))
}

/// A block of a thread.
pub(super) fn block(thread: &[u8], block: Block) -> Vec<u8> {
    [thread, &[block.level], &block.number.to_be_bytes()].concat()
}

/// The thread of a key that `block` made, and the block.
pub(super) fn parts_of_block(key: &[u8]) -> Option<(&[u8], Block)> {
    let (key, number) = key.split_last_chunk()?;
    let (level, thread) = key.split_last()?;
    Some((thread, Block { level: *level, number: u64::from_be_bytes(*number) }))
}

/// A summary that a model wrote of a stretch, under its block.
pub(super) fn written(block: &[u8], stretch: &Stretch) -> Vec<u8> {
    // Of no edit it is 0; no edit stands there, for its message stands before it.
    let numbers = [stretch.first, stretch.until, stretch.turns, stretch.edited.unwrap_or_default()];
    let mut key = block.to_vec();
    numbers.into_iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

/// What the summary was made of, from what its key has behind that of its block.
pub(super) fn stretch_of_written(block: Block, rest: &[u8]) -> Option<Stretch> {
    let (first, rest) = rest.split_first_chunk()?;
    let (until, rest) = rest.split_first_chunk()?;
    let (turns, edited) = rest.split_first_chunk()?;
    let edited = Some(u64::from_be_bytes(edited.try_into().ok()?)).filter(|offset| *offset > 0);
    let [first, until, turns] = [first, until, turns].map(|number: &[u8; 8]| u64::from_be_bytes(*number));
    Some(Stretch { level: block.level, from: block.turns().start, until, first, turns, edited })
}

/// The threads of a space that are in the archive, or that are not.
pub(super) fn filed(space_name: &str, is_archived: bool) -> Vec<u8> {
    let mut key = space(space_name);
    key.push(u8::from(is_archived));
    key
}

/// The place of a thread among those by when its last message was said, or, in a list of its own, its first.
pub(super) fn said(list: &[u8], at: Micros, thread: &str) -> Vec<u8> {
    [list, &ordered(at), thread.as_bytes()].concat()
}

/// The time and the thread in a key of a list that begins with so many bytes.
pub(super) fn parts_of_said(key: &[u8], list: usize) -> Option<(Micros, &str)> {
    let (at, name) = key.get(list..)?.split_first_chunk()?;
    Some((number_of(*at), std::str::from_utf8(name).ok()?))
}

/// A thread in which an author wrote, under the space and the author.
pub(super) fn writer(space: &str, author: &str, thread: &str) -> Vec<u8> {
    [&self::thread(space, author), thread.as_bytes()].concat()
}

/// The tallies of one kind, of a space or of a thread in it.
pub(super) fn tallies(space_name: &str, thread: Option<&str>, by: &By) -> Vec<u8> {
    let mut key = space(space_name);
    match thread {
        None => key.push(0),
        Some(thread) => {
            key.push(1);
            put_name(&mut key, thread);
        }
    }
    key.push(match by {
        By::All => 0,
        By::Role(_) => 1,
        By::Author(_) => 2,
        By::Day(_) => 3,
    });
    key
}

/// A tally.
pub(super) fn tally(space: &str, thread: Option<&str>, by: &By) -> Vec<u8> {
    let mut key = tallies(space, thread, by);
    match by {
        By::All => {}
        By::Role(name) | By::Author(name) => key.extend_from_slice(name.as_bytes()),
        By::Day(day) => key.extend_from_slice(&ordered(*day)),
    }
    key
}

/// The day of a tally, from what its key has behind that of its list.
pub(super) fn day_of_tally(rest: &[u8]) -> Option<i64> {
    Some(number_of(rest.try_into().ok()?))
}

/// The number of which these are the `ordered` bytes.
fn number_of(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// A name at the beginning of a key, and what is behind it.
fn named(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = key.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_give_back_what_they_are_made_of() {
        let thread = thread("a/b", "t\u{0}x");
        assert_eq!(parts_of_turn(&turn(&thread, 7)), Some((thread.as_slice(), 7)));
        assert_eq!(name_of_thread(&thread), Some("t\u{0}x"));
        assert_eq!(time_of(&time(&thread, -5, 9)), Some(-5));
        assert_eq!(names_of_thread(&thread), Some(("a/b", "t\u{0}x")));
        let block = Block { level: 1, number: 3 };
        let key = self::block(&thread, block);
        assert_eq!(parts_of_block(&key), Some((thread.as_slice(), block)));
        for edited in [None, Some(9)] {
            let stretch =
                Stretch { level: 1, from: block.turns().start, until: block.turns().end, first: 1, turns: 2, edited };
            assert_eq!(stretch_of_written(block, &written(&key, &stretch)[key.len()..]), Some(stretch));
        }
        let list = filed("s", true);
        assert_eq!(parts_of_said(&said(&list, -3, "t"), list.len()), Some((-3, "t")));
        assert_eq!(name_of_thread(&writer("s", "ada", "t")), Some("ada"));
        let by = By::Day(-9);
        let rest = tally("s", Some("t"), &by).split_off(tallies("s", Some("t"), &by).len());
        assert_eq!(day_of_tally(&rest), Some(-9));
    }

    #[test]
    fn names_do_not_run_together() {
        assert!(!thread("ab", "c").starts_with(&space("a")));
        assert!(!tally("a", None, &By::Role("x".into())).starts_with(&tallies("a", Some("x"), &By::All)));
    }
}
