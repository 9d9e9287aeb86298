//! Passages: what of which messages is read in one call.
//!
//! Promises: every passage is of one message, passages of a call are of one thread and in order, and a call has no more than
//! [`MOST_BYTES`]. Of a message the first [`MOST_PASSAGES`] are read.

use std::ops::Range;

/// The most text of a call, in bytes: about 1,500 tokens.
const MOST_BYTES: usize = 6_000;
/// The most messages of a call.
const MOST_MESSAGES: usize = 8;
/// The most passages of a message. Who pastes more than 48 KB quotes a document.
const MOST_PASSAGES: usize = 8;

/// A part of a message's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    /// The message's place among those that are to be read.
    pub(super) message: usize,
    /// Where it stands in the message's text.
    pub(super) range: Range<usize>,
}

/// The calls that read these messages, each given by thread and text.
pub(super) fn packed<T: PartialEq>(messages: &[(T, &str)]) -> Vec<Vec<Passage>> {
    let mut calls: Vec<Vec<Passage>> = Vec::new();
    let (mut bytes, mut thread) = (0, None);
    for (message, (of, text)) in messages.iter().enumerate() {
        for range in parts(text) {
            let fits = |call: &Vec<Passage>| call.len() < MOST_MESSAGES && bytes + range.len() <= MOST_BYTES;
            if !(thread == Some(of) && calls.last().is_some_and(fits)) {
                calls.push(Vec::new());
                bytes = 0;
            }
            bytes += range.len();
            thread = Some(of);
            if let Some(call) = calls.last_mut() {
                call.push(Passage { message, range });
            }
        }
    }
    calls
}

/// The parts that a text is read in.
fn parts(text: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while start < text.len() && parts.len() < MOST_PASSAGES {
        let end = start + first_part(&text[start..]);
        parts.push(start..end);
        start = end;
    }
    parts
}

/// Where a text is cut first: at the end of a paragraph, a line, a sentence or a word, if there is one in the second half of what
/// fits.
fn first_part(text: &str) -> usize {
    if text.len() <= MOST_BYTES {
        return text.len();
    }
    let fits = &text[..text.floor_char_boundary(MOST_BYTES)];
    let end = |mark: &&str| Some(fits.rfind(*mark)? + mark.len()).filter(|end| *end > fits.len() / 2);
    ["\n\n", "\n", ". ", " "].iter().find_map(end).unwrap_or(fits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(messages: &[(&str, &str)]) -> Vec<Vec<(usize, Range<usize>)>> {
        let passage = |Passage { message, range }: Passage| (message, range);
        packed(messages).into_iter().map(|call| call.into_iter().map(passage).collect()).collect()
    }

    #[test]
    fn messages_of_a_thread_share_a_call_and_others_do_not() {
        let calls = ranges(&[("t", "one"), ("t", "two"), ("u", "three"), ("t", "four"), ("t", "")]);
        assert_eq!(calls, [vec![(0, 0..3), (1, 0..3)], vec![(2, 0..5)], vec![(3, 0..4)]]);
        let many: Vec<_> = (0..20).map(|_| ("t", "word")).collect();
        assert_eq!(ranges(&many).iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4]);
    }

    #[test]
    fn a_long_message_is_cut_where_something_ends_and_no_longer_than_it_pays() {
        let text = "A sentence of some words. ".repeat(400);
        let calls = ranges(&[("t", &text)]);
        assert_eq!(calls.concat().len(), 2);
        let parts: Vec<&str> = calls.concat().into_iter().map(|(_, range)| &text[range]).collect();
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().all(|part| part.len() <= MOST_BYTES && part.ends_with(". ")));
        let endless = "ü".repeat(100_000);
        assert!(ranges(&[("t", &endless)]).concat().iter().all(|(_, range)| range.len() == MOST_BYTES));
        assert_eq!(ranges(&[("t", &endless)]).len(), MOST_PASSAGES);
    }
}
