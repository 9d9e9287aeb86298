//! Snippets: the part of a text that shows why it was found.
//!
//! Owns: the choice of the part and the places to highlight.
//! Never: changes a character of what it shows, except for the marks where it cuts.

use std::{collections::HashSet, ops::Range};

use super::analysis::{stems, words};

/// Stands where text was left out.
const CUT: char = '\u{2026}';

/// How many characters a cut may move to fall between two words.
const LONGEST_WORD_SPARED: usize = 24;

/// A part of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The part, with an ellipsis at each end where text was left out.
    pub text: String,
    /// The bytes of `text` that match the query, in order and apart from each other.
    pub highlights: Vec<Range<usize>>,
}

/// A word of the text that the query asks for.
struct Found {
    bytes: Range<usize>,
    /// Where it starts and ends, counted in characters.
    characters: Range<usize>,
    stem: String,
}

/// The part of `text`, of at most `max_chars` characters with its ellipses, that has most of the query's words.
///
/// A text that fits is shown whole; one without a match from its beginning.
pub fn snippet(text: &str, query: &str, max_chars: usize) -> Snippet {
    let found = find(text, query);
    if text.chars().nth(max_chars).is_none() {
        return Snippet { text: text.to_owned(), highlights: merged(found.iter().map(|found| found.bytes.clone())) };
    }
    // Room for both ellipses is kept free, so that no case needs more than was asked for.
    let room = max_chars.saturating_sub(2);
    if room == 0 {
        return Snippet::default();
    }
    let (part, core) = choose(text, &found, room);
    cut_out(text, trimmed(text, part, core), &found)
}

fn find(text: &str, query: &str) -> Vec<Found> {
    let wanted: HashSet<String> = stems(query).into_iter().collect();
    let mut characters = 0;
    let mut counted_to = 0;
    let mut found = Vec::new();
    for word in words(text).into_iter().filter(|word| wanted.contains(&word.stem)) {
        // Pairs of an unspaced script start where their first character does, so this never goes back.
        characters += text[counted_to..word.range.start].chars().count();
        counted_to = word.range.start;
        let length = text[word.range.clone()].chars().count();
        found.push(Found { bytes: word.range, characters: characters..characters + length, stem: word.stem });
    }
    found
}

/// The bytes of the best part of `room` characters (most different words, then most words, then the earliest), and
/// within it the bytes from its first match to its last.
fn choose(text: &str, found: &[Found], room: usize) -> (Range<usize>, Range<usize>) {
    let mut best: Option<((usize, usize), Range<usize>)> = None;
    let mut end = 0;
    for start in 0..found.len() {
        end = end.max(start);
        while end < found.len() && found[end].characters.end <= found[start].characters.start + room {
            end += 1;
        }
        let different: HashSet<&str> = found[start..end].iter().map(|found| found.stem.as_str()).collect();
        let value = (different.len(), end - start);
        if end > start && best.as_ref().is_none_or(|(other, _)| value > *other) {
            best = Some((value, start..end));
        }
    }
    let Some((_, chosen)) = best else {
        return (0..after(text, 0, room), 0..0);
    };
    let (first, last) = (&found[chosen.start], &found[chosen.end - 1]);
    let spare = room - (last.characters.end - first.characters.start);
    let lead = first.characters.start.min(spare / 2);
    let start = before(text, first.bytes.start, lead);
    let end = after(text, start, room);
    // At the end of the text the part reaches back instead, to use all of the room.
    let missing = room - text[start..end].chars().count();
    (before(text, start, missing)..end, first.bytes.start..last.bytes.end)
}

/// The byte `characters` after `from`, or the end.
fn after(text: &str, from: usize, characters: usize) -> usize {
    text[from..].char_indices().nth(characters).map_or(text.len(), |(byte, _)| from + byte)
}

/// The byte `characters` before `from`, or the start.
fn before(text: &str, from: usize, characters: usize) -> usize {
    let Some(back) = characters.checked_sub(1) else {
        return from;
    };
    text[..from].char_indices().rev().nth(back).map_or(0, |(byte, _)| byte)
}

/// Moves the ends of a part inwards to the nearest gaps between words, where there are any outside of its core.
fn trimmed(text: &str, part: Range<usize>, core: Range<usize>) -> Range<usize> {
    let inside = &text[part.clone()];
    let gap = |(byte, character): (usize, char)| character.is_whitespace().then_some(part.start + byte);
    let first_gap = inside.char_indices().take(LONGEST_WORD_SPARED).find_map(gap).filter(|gap| *gap < core.start);
    let last_gap = inside.char_indices().rev().take(LONGEST_WORD_SPARED).find_map(gap).filter(|gap| *gap >= core.end);
    let start = first_gap.filter(|_| cuts_word(text, part.start)).unwrap_or(part.start);
    let end = last_gap.filter(|_| cuts_word(text, part.end)).unwrap_or(part.end);
    let kept = text[start..end].trim_end();
    let end = start + kept.len();
    end - kept.trim_start().len()..end
}

/// Whether a cut at this byte falls inside of a word.
fn cuts_word(text: &str, at: usize) -> bool {
    let sides = (text[..at].chars().next_back(), text[at..].chars().next());
    matches!(sides, (Some(left), Some(right)) if !left.is_whitespace() && !right.is_whitespace())
}

fn cut_out(text: &str, part: Range<usize>, found: &[Found]) -> Snippet {
    let mut shown = String::new();
    if part.start > 0 {
        shown.push(CUT);
    }
    let shift = shown.len();
    shown.push_str(&text[part.clone()]);
    if part.end < text.len() {
        shown.push(CUT);
    }
    let inside = found.iter().filter(|found| part.start <= found.bytes.start && found.bytes.end <= part.end);
    let shifted = inside.map(|found| found.bytes.start - part.start + shift..found.bytes.end - part.start + shift);
    Snippet { text: shown, highlights: merged(shifted) }
}

/// Joins ranges that overlap or touch, as those of an unspaced script do. They come sorted by their starts.
fn merged(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The snippet with its highlights in brackets.
    fn marked(text: &str, query: &str, max_chars: usize) -> String {
        let snippet = snippet(text, query, max_chars);
        let mut marked = String::new();
        let mut shown = 0;
        for range in snippet.highlights {
            marked.push_str(&snippet.text[shown..range.start]);
            marked.push('[');
            marked.push_str(&snippet.text[range.clone()]);
            marked.push(']');
            shown = range.end;
        }
        marked + &snippet.text[shown..]
    }

    #[test]
    fn a_short_text_is_shown_whole() {
        assert_eq!(marked("We painted Ada's boats.", "paint ADA", 100), "We [painted] [Ada]'s boats.");
        assert_eq!(marked("nothing here", "paint", 12), "nothing here");
        assert_eq!(marked("", "paint", 0), "");
    }

    #[test]
    fn the_part_with_most_different_words_is_chosen() {
        let text =
            "boat boat boat. Some filler words stand here for a while, long enough. The boat sank in April near land.";
        assert_eq!(
            marked(text, "when did the boat sink: april sank", 40),
            "\u{2026}The [boat] [sank] in [April] near\u{2026}"
        );
    }

    #[test]
    fn without_a_match_the_beginning_is_shown() {
        assert_eq!(marked("one two three four five six", "seven", 16), "one two three\u{2026}");
    }

    #[test]
    fn a_match_behind_a_bracket_is_kept() {
        assert_eq!(marked("aaaa bbbb (cccc) dddd eeee", "cccc", 10), "\u{2026}([cccc])\u{2026}");
    }

    #[test]
    fn unspaced_scripts_are_highlighted_in_one_piece() {
        assert_eq!(marked("私は東京都に住む", "東京", 100), "私は[東京]都に住む");
    }

    #[test]
    fn too_little_room_gives_nothing() {
        assert_eq!(snippet("some text", "text", 2), Snippet::default());
    }

    proptest! {
        #[test]
        fn any_snippet_fits_and_its_highlights_lie_in_order_on_characters(
            text in "([a-c]{1,3}|東|京| |\\PC|\n){0,60}", query in "([a-c]{1,3}|東|京| ){0,6}", max_chars in 0usize..40,
        ) {
            let snippet = snippet(&text, &query, max_chars);
            prop_assert!(snippet.text.chars().count() <= max_chars);
            let mut last = 0;
            for range in &snippet.highlights {
                prop_assert!(range.start >= last && range.end > range.start && snippet.text.get(range.clone()).is_some());
                last = range.end;
            }
            let matches = stems(&text).iter().any(|stem| stems(&query).contains(stem));
            if matches && max_chars >= 8 {
                prop_assert!(!snippet.highlights.is_empty());
            }
        }
    }
}
