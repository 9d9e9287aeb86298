//! Batches: lines that are sent in one request, with their numbers in the file.

use std::ops::Range;

/// The most lines of a batch. It lies below the number up to which the server names every bad line.
const LINES_LIMIT: usize = 500;
/// The bytes up to which a batch of several lines may grow.
const BYTES_LIMIT: usize = 1024 * 1024;

/// Lines to be sent together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    body: Vec<u8>,
    lines: Vec<BatchLine>,
}

#[derive(Debug)]
struct BatchLine {
    /// The number in the file.
    number: u64,
    /// The place in the body, without the newline.
    place: Range<usize>,
}

impl Batch {
    /// Whether this line may join. A line alone may have any size.
    pub(super) fn has_room_for(&self, line: &[u8]) -> bool {
        self.is_empty() || (self.lines.len() < LINES_LIMIT && self.body.len() + line.len() < BYTES_LIMIT)
    }

    /// Adds a line of the file.
    pub(super) fn add(&mut self, number: u64, line: Vec<u8>) {
        let start = self.body.len();
        self.body.extend_from_slice(&line);
        self.lines.push(BatchLine { number, place: start..self.body.len() });
        self.body.push(b'\n');
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.body.clear();
        self.lines.clear();
    }

    /// The JSON lines to be sent.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The number in the file of the first line; 0 without lines.
    pub(super) fn first_line(&self) -> u64 {
        self.lines.first().map_or(0, |line| line.number)
    }

    /// The number in the file, and the bytes, of a line by its place in the batch, from 0.
    pub(super) fn line(&self, index: usize) -> Option<(u64, &[u8])> {
        self.lines.get(index).map(|line| (line.number, &self.body[line.place.clone()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_in_the_file() {
        let mut batch = Batch::default();
        batch.add(3, b"three".to_vec());
        batch.add(9, b"nine".to_vec());
        assert_eq!(batch.body(), b"three\nnine\n");
        assert_eq!(
            (batch.line(0), batch.line(1), batch.line(2)),
            (Some((3, &b"three"[..])), Some((9, &b"nine"[..])), None)
        );
        assert_eq!(batch.first_line(), 3);
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_by_bytes() {
        let mut batch = Batch::default();
        let large = vec![b'x'; BYTES_LIMIT + 1];
        assert!(batch.has_room_for(&large));
        batch.add(1, large);
        assert!(!batch.has_room_for(b"x"));
        batch.clear();
        for number in 0..LINES_LIMIT as u64 {
            assert!(batch.has_room_for(b"x"));
            batch.add(number, b"x".to_vec());
        }
        assert!(!batch.has_room_for(b"x"));
    }
}
