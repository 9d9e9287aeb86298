//! Word pieces: what the model reads instead of text.
//!
//! Owns: how a text becomes windows. One of up to `window` pieces, with the marks for begin and end, is one. A longer one becomes as few
//! windows of that many pieces as leave an eighth or more of each in common with the next, at even distances from its beginning to its
//! end; the words that a role begins with stand at the beginning of each.
//! Promises: the same windows for the same text. Of any text at most [`MOST_WINDOWS`] windows and [`MOST_BYTES`] are read, so that no
//! one text holds up all others.

use std::path::Path;

use tokenizers::{Encoding, Tokenizer};

use super::{ModelError, Role};

/// Windows of a text that are read: with 256 pieces each, about 3,600 pieces or 2,700 words.
pub(super) const MOST_WINDOWS: usize = 16;

/// Bytes of a text that are looked at: more than those of as many windows of prose.
const MOST_BYTES: usize = 32 * 1024;

/// A window is so many times as long as what it has in common with the next.
const WINDOW_TO_OVERLAP: usize = 8;

/// Splits texts into word pieces.
pub(super) struct Pieces {
    tokenizer: Tokenizer,
    begin: u32,
    end: u32,
    window: usize,
    /// The pieces that a document and a query begin with.
    prompts: [Vec<u32>; 2],
}

/// What a model reads of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// At least one; each of up to a window's pieces, with the marks around it.
    pub(super) pieces: Vec<Vec<u32>>,
    /// Pieces of the text that are in them, each counted once, and two marks.
    pub(super) count: usize,
    /// Whether the text goes on behind the last.
    pub(super) is_truncated: bool,
}

impl Pieces {
    /// Reads the content of the tokenizer file `path`. Its own limits are replaced: the file of MiniLM cuts at 128
    /// pieces and pads to as many. `prompts` are what a document and a query begin with.
    ///
    /// # Errors
    /// The content is not a tokenizer, sets no marks for begin and end, or a prompt fills most of a window.
    pub(super) fn parse(content: &[u8], path: &Path, window: usize, prompts: &[String; 2]) -> Result<Self, ModelError> {
        let corrupt = |cause: String| ModelError::Corrupt { path: path.to_owned(), cause };
        let mut tokenizer = Tokenizer::from_bytes(content).map_err(|cause| corrupt(cause.to_string()))?;
        tokenizer.with_truncation(None).map_err(|cause| corrupt(cause.to_string()))?.with_padding(None);
        let marks = encode(&tokenizer, "", true)?;
        let &[begin, end] = marks.get_ids() else {
            return Err(ModelError::Tokenizer { cause: "its file sets no marks for begin and end".to_owned() });
        };
        let [document, query] = prompts.each_ref().map(|prompt| encode(&tokenizer, prompt, false));
        let prompts = [document?, query?].map(|prompt| prompt.get_ids().to_vec());
        if prompts.iter().any(|prompt| prompt.len() > window / 2) {
            return Err(corrupt(format!(
                "a prompt of config_sentence_transformers.json is longer than half of {window} pieces"
            )));
        }
        Ok(Self { tokenizer, begin, end, window, prompts })
    }

    /// Pieces of a window, with the marks.
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// What the model reads of a text.
    ///
    /// # Errors
    /// The tokenizer lacks the mark for unknown words.
    pub(super) fn split(&self, role: Role, text: &str) -> Result<Windows, ModelError> {
        let beginning = &text[..text.floor_char_boundary(MOST_BYTES)];
        let encoding = encode(&self.tokenizer, beginning, false)?;
        let prompt = &self.prompts[role as usize];
        let room = self.window - 2 - prompt.len();
        let most = room + (MOST_WINDOWS - 1) * (room - room / WINDOW_TO_OVERLAP);
        let pieces = &encoding.get_ids()[..encoding.len().min(most)];
        let with_marks = |pieces: &[u32]| [&[self.begin], prompt.as_slice(), pieces, &[self.end]].concat();
        Ok(Windows {
            pieces: starts(pieces.len(), room)
                .map(|start| with_marks(&pieces[start..pieces.len().min(start + room)]))
                .collect(),
            count: pieces.len() + 2,
            is_truncated: beginning.len() < text.len() || pieces.len() < encoding.len(),
        })
    }
}

/// Where the windows of a text of `count` pieces begin, each with room for `room`.
fn starts(count: usize, room: usize) -> impl Iterator<Item = usize> {
    let step = room - room / WINDOW_TO_OVERLAP;
    let behind_first = count.saturating_sub(room);
    let steps = behind_first.div_ceil(step);
    (0..=steps).map(move |index| (behind_first * index).checked_div(steps).unwrap_or(0))
}

fn encode(tokenizer: &Tokenizer, text: &str, with_marks: bool) -> Result<Encoding, ModelError> {
    tokenizer.encode_fast(text, with_marks).map_err(|cause| ModelError::Tokenizer { cause: cause.to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_reach_from_the_beginning_to_the_end_and_share_an_eighth(count in 0..5_000_usize, room in 2..600_usize) {
            let starts: Vec<usize> = starts(count, room).collect();
            prop_assert_eq!(starts[0], 0);
            prop_assert!(starts[starts.len() - 1] + room >= count && starts[starts.len() - 1] <= count.saturating_sub(room));
            for pair in starts.windows(2) {
                prop_assert!(pair[0] < pair[1] && pair[1] - pair[0] <= room - room / WINDOW_TO_OVERLAP);
            }
            // With one less they could not.
            prop_assert!(starts.len() == 1 || room + (starts.len() - 2) * (room - room / WINDOW_TO_OVERLAP) < count);
        }
    }

    #[test]
    fn a_window_more_is_begun_only_for_what_does_not_fit() {
        let of = |count| starts(count, 254).collect::<Vec<_>>();
        assert_eq!((of(0), of(254), of(255), of(254 + 223)), (vec![0], vec![0], vec![0, 1], vec![0, 223]));
        assert_eq!(of(254 + 224), [0, 112, 224]);
    }
}
