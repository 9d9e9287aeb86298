//! The note: what a stage must know of its work in progress after a crash, as the text that the log keeps beside its
//! checkpoints.
//!
//! ```text
//! running                 handlers may be at work; taken back when the stage ends in order
//! done 0 5-9 12-12        partition 0: processed above the checkpoint
//! tried 0/17 2 1          partition 0, offset 17: failed twice, and started once with no end known
//! ```
//!
//! Never: grows with the log. It lists what lies within the window.

use std::{collections::BTreeMap, fmt::Write as _};

use meshlog_schemas::{Offset, Partition, Position, Topic};

use super::Ranges;

/// How often an event was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Times that it failed.
    pub(crate) failed: u32,
    /// Starts that were written down and of which no end is known.
    pub(crate) started: u32,
}

/// What a stage must know after a crash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Whether handlers may have been at work when it was written.
    pub(crate) running: bool,
    /// What is done above the checkpoint.
    pub(crate) done: BTreeMap<Partition, Ranges>,
    /// Events that were tried and are not done.
    pub(crate) tries: BTreeMap<Position, Tries>,
}

/// The text is no note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the note of the stage cannot be read at {0:?}; it was written by another version of meshlog: use that one")]
pub(crate) struct NoteError(String);

impl Note {
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        if self.running {
            text.push_str("running\n");
        }
        for (partition, ranges) in self.done.iter().filter(|(_, ranges)| !ranges.is_empty()) {
            let _ = write!(text, "done {}", partition.id);
            for (start, end) in ranges.iter() {
                let _ = write!(text, " {start}-{}", end - 1);
            }
            text.push('\n');
        }
        for (position, tries) in &self.tries {
            let (id, offset) = (position.partition.id, position.offset);
            let _ = writeln!(text, "tried {id}/{offset} {} {}", tries.failed, tries.started);
        }
        text
    }

    /// Reads what [`Note::to_text`] wrote for a stage that reads `topic`.
    pub(crate) fn from_text(text: &str, topic: Topic) -> Result<Self, NoteError> {
        let mut note = Note::default();
        for line in text.lines() {
            note.read_line(line, topic).ok_or_else(|| NoteError(line.chars().take(80).collect()))?;
        }
        Ok(note)
    }

    fn read_line(&mut self, line: &str, topic: Topic) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "running" => self.running = true,
            "done" => {
                let ranges = self.done.entry(Partition { topic, id: words.next()?.parse().ok()? }).or_default();
                for word in words.by_ref() {
                    let (first, last) = word.split_once('-')?;
                    let (first, last): (Offset, Offset) = (first.parse().ok()?, last.parse().ok()?);
                    ranges.insert(first, last.checked_add(1).filter(|end| first < *end)?);
                }
            }
            "tried" => {
                let (id, offset) = words.next()?.split_once('/')?;
                let partition = Partition { topic, id: id.parse().ok()? };
                let position = Position { partition, offset: offset.parse().ok()? };
                let tries = Tries { failed: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? };
                self.tries.insert(position, tries);
            }
            _ => return None,
        }
        words.next().is_none().then_some(())
    }
}

/// Any text is a note or an error, and what is a note is the same after it was written (see `fuzz/Cargo.toml`).
#[cfg(any(test, feature = "fuzzing"))]
pub fn stage_note(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mut note) = Note::from_text(text, Topic::Messages) else { return };
    // A partition of which nothing is done need not be named.
    note.done.retain(|_, ranges| !ranges.is_empty());
    assert_eq!(Note::from_text(&note.to_text(), Topic::Messages), Ok(note));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn partition(id: u32) -> Partition {
        Partition { topic: Topic::Messages, id }
    }

    fn notes() -> impl Strategy<Value = Note> {
        let done = prop::collection::vec((0_u32..4, 0_u64..1_000, 1_u64..50), 0..30);
        let tries = prop::collection::vec((0_u32..4, any::<u64>(), any::<u32>(), any::<u32>()), 0..30);
        (any::<bool>(), done, tries).prop_map(|(running, done, tries)| {
            let mut note = Note { running, ..Note::default() };
            for (id, start, length) in done {
                note.done.entry(partition(id)).or_default().insert(start, start + length);
            }
            for (id, offset, failed, started) in tries {
                let position = Position { partition: partition(id), offset };
                note.tries.insert(position, Tries { failed, started });
            }
            note
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(note in notes()) {
            prop_assert_eq!(Note::from_text(&note.to_text(), Topic::Messages), Ok(note));
        }

        #[test]
        fn arbitrary_text_is_read_or_refused(text in "(running|done|tried|[0-9]{1,20}|[-/ \n]|\\PC){0,60}") {
            let _ = Note::from_text(&text, Topic::Messages);
        }
    }

    #[test]
    fn an_empty_text_is_a_stage_that_never_ran() {
        assert_eq!(Note::from_text("", Topic::Messages), Ok(Note::default()));
    }

    #[test]
    fn text_of_another_version_is_refused_by_its_line() {
        let error = Note::from_text("running\nlease 7\n", Topic::Messages).unwrap_err();
        assert!(error.to_string().contains("lease 7"), "{error}");
    }

    #[test]
    fn ranges_at_the_edge_of_numbers_are_refused() {
        for text in ["done 0 5-4", "done 0 0-18446744073709551615", "done 0 7", "tried 0/1 2", "running x"] {
            assert!(Note::from_text(text, Topic::Messages).is_err(), "{text}");
        }
    }
}
