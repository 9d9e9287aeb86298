//! The window: which of the latest turns a context begins with.
//!
//! Owns: the choice of the first. A window that began with the oldest turn that fits would begin elsewhere with each new turn,
//! and no provider could use its cache of the beginning. So of the older half of those that fit, the one begins whose id has the
//! least hash (as content-defined chunking finds its cuts): it stays the first until it falls out, or one with a lesser hash comes
//! into that half, which is about once in as many turns as the half has, each.

use crate::api::Message;

/// The place of the first turn, of those that are given the oldest first, so that all from there on have at most `budget` tokens;
/// and how many they have. Only those that may come in are counted.
pub(super) fn start(turns: &[Message], budget: u64, tokens: impl Fn(&Message) -> u64) -> (usize, u64) {
    // Of each turn that fits, the newest first: how many it and those behind it have.
    let mut sums = Vec::new();
    let mut sum = 0;
    for turn in turns.iter().rev() {
        sum += tokens(turn);
        if sum > budget {
            break;
        }
        sums.push(sum);
    }
    let oldest = turns.len() - sums.len();
    // Of the older half, so that at least the newer one comes in; where all fit, all do.
    let latest = if oldest == 0 { 1 } else { oldest + sums.len().div_ceil(2) };
    let first = (oldest..latest).min_by_key(|place| turns.get(*place).map(|turn| mark(&turn.message_id)));
    let first = first.unwrap_or(oldest).min(turns.len());
    let kept = (turns.len() - first).checked_sub(1).map_or(0, |last| sums[last]);
    (first, kept)
}

/// A number that an id has at every time and on every machine.
fn mark(id: &str) -> [u8; 32] {
    blake3::hash(id.as_bytes()).into()
}
