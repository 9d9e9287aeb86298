//! The window: which of the latest turns a context begins with.
//!
//! Owns: the choice of the first. A window that began with the oldest turn that fits would begin elsewhere with each new turn,
//! and no provider could use its cache of the beginning. So of the older half of those that fit, the one begins whose id has the
//! least hash (as content-defined chunking finds its cuts): it stays the first until it falls out, or one with a lesser hash comes
//! into that half, which is about once in as many turns as the half has, each.

use crate::api::Message;

/// The place of the first turn, of those that are given the oldest first, so that all from there on have at most `budget` tokens.
pub(super) fn start(turns: &[Message], budget: u64, tokens: impl Fn(&Message) -> u64) -> usize {
    let mut first = turns.len();
    let mut left = budget;
    while first > 0
        && let Some(rest) = left.checked_sub(tokens(&turns[first - 1]))
    {
        (first, left) = (first - 1, rest);
    }
    if first == 0 {
        return 0;
    }
    let latest = first + (turns.len() - first).div_ceil(2);
    // Of the older half, so that at least the newer one comes in.
    (first..latest).min_by_key(|place| mark(&turns[*place].message_id)).unwrap_or(first)
}

/// A number that an id has at every time and on every machine.
fn mark(id: &str) -> [u8; 32] {
    blake3::hash(id.as_bytes()).into()
}
