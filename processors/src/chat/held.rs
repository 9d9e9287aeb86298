//! Text that is held back: until its character is whole, and until it cannot become a stop string.

/// The text of an answer on its way out.
///
/// Promises: what is given out is always whole characters, and all of it together is the text before the first stop
/// string, however the bytes were cut. Bytes that are no UTF-8 become replacement characters.
pub(super) struct Held {
    stop: Vec<String>,
    /// Bytes of a character whose rest has not come.
    incomplete: Vec<u8>,
    /// Characters that may be the beginning of a stop string.
    text: String,
    stopped: bool,
}

impl Held {
    /// Holds back for the stop strings; empty ones stop nothing.
    pub(super) fn new(stop: &[&str]) -> Self {
        let stop = stop.iter().filter(|stop| !stop.is_empty()).map(|stop| (*stop).to_owned()).collect();
        Self { stop, incomplete: Vec::new(), text: String::new(), stopped: false }
    }

    /// Whether a stop string has come. Nothing comes out after it.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes bytes and gives what may be shown by now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.incomplete.extend_from_slice(bytes);
        let whole = whole_characters(&self.incomplete);
        let rest = self.incomplete.split_off(whole);
        let characters = std::mem::replace(&mut self.incomplete, rest);
        self.text.push_str(&String::from_utf8_lossy(&characters));
        self.release(false)
    }

    /// Gives what was held back: the answer is over.
    pub(super) fn finish(&mut self) -> String {
        let characters = std::mem::take(&mut self.incomplete);
        self.text.push_str(&String::from_utf8_lossy(&characters));
        self.release(true)
    }

    fn release(&mut self, last: bool) -> String {
        if self.stopped {
            self.text.clear();
            return String::new();
        }
        if let Some(stop) = self.stop.iter().filter_map(|stop| self.text.find(stop.as_str())).min() {
            // A longer stop string may begin before the one that is whole: "abcd" before the "c" in it.
            let earlier = if last { None } else { self.first_beginning().filter(|beginning| *beginning < stop) };
            if let Some(beginning) = earlier {
                return self.give(beginning);
            }
            self.stopped = true;
            let text = self.give(stop);
            self.text.clear();
            return text;
        }
        let end = if last { None } else { self.first_beginning() };
        self.give(end.unwrap_or(self.text.len()))
    }

    /// Where the text ends in the beginning of a stop string, the first such place.
    fn first_beginning(&self) -> Option<usize> {
        let longest = self.stop.iter().map(String::len).max()?;
        let from = self.text.ceil_char_boundary((self.text.len() + 1).saturating_sub(longest));
        let mut places = self.text[from..].char_indices().map(|(place, _)| from + place);
        places.find(|place| self.stop.iter().any(|stop| stop.starts_with(&self.text[*place..])))
    }

    fn give(&mut self, end: usize) -> String {
        let rest = self.text.split_off(end);
        std::mem::replace(&mut self.text, rest)
    }
}

/// How many bytes are not the beginning of a character that may still become whole.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut checked = 0;
    loop {
        match std::str::from_utf8(&bytes[checked..]) {
            Ok(_) => return bytes.len(),
            Err(error) => match error.error_len() {
                Some(wrong) => checked += error.valid_up_to() + wrong,
                None => return checked + error.valid_up_to(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What should come out: the text before the first place where a stop string begins.
    fn expected(text: &str, stop: &[&str]) -> String {
        let first = stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min();
        text[..first.unwrap_or(text.len())].to_owned()
    }

    fn pushed(pieces: &[&[u8]], stop: &[&str]) -> (String, bool) {
        let mut held = Held::new(stop);
        let mut text: String = pieces.iter().map(|piece| held.push(piece)).collect();
        text.push_str(&held.finish());
        (text, held.is_stopped())
    }

    #[test]
    fn text_that_cannot_stop_comes_at_once() {
        let mut held = Held::new(&["END"]);
        assert_eq!(held.push(b"so E"), "so ");
        assert_eq!(held.push(b"N"), "");
        assert_eq!(held.push(b"o E"), "ENo ");
        assert_eq!(held.push(b"ND more"), "");
        assert!(held.is_stopped());
        assert_eq!(held.finish(), "");
    }

    #[test]
    fn half_a_character_is_held_back() {
        let mut held = Held::new(&[]);
        assert_eq!(held.push(&[0xf0, 0x9f]), "");
        assert_eq!(held.push(&[0x90]), "");
        assert_eq!(held.push(&[0x9f, b'!']), "🐟!");
        assert_eq!(held.push(&[0xf0, 0x9f]), "");
        assert_eq!(held.finish(), "\u{fffd}");
    }

    #[test]
    fn an_earlier_longer_stop_string_is_waited_for() {
        let stop = ["c", "abcd"];
        assert_eq!(pushed(&[b"xabc", b"d"], &stop), ("x".to_owned(), true));
        assert_eq!(pushed(&[b"xabc", b"e"], &stop), ("xab".to_owned(), true));
        assert_eq!(pushed(&[b"xabc"], &stop), ("xab".to_owned(), true));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_text_before_the_first_stop_string(
            text in "[abc🐟é ]{0,40}",
            stop in proptest::collection::vec("[abc🐟é]{0,4}", 0..4),
            cuts in proptest::collection::vec(0_usize..200, 0..20),
        ) {
            let stop: Vec<&str> = stop.iter().map(String::as_str).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            let (given, stopped) = pushed(&pieces, &stop);
            let expected = expected(&text, &stop);
            prop_assert_eq!(stopped, expected.len() < text.len());
            prop_assert_eq!(given, expected);
        }

        #[test]
        fn any_bytes_come_out_as_their_lossy_text(bytes in proptest::collection::vec(any::<u8>(), 0..40), cut in 0_usize..40) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(pushed(&[first, second], &[]).0, String::from_utf8_lossy(&bytes));
        }
    }
}
