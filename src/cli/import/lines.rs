//! Lines: a file cut at its newlines as it is read.
//!
//! Promises: every line has its number in the file; of a line that is too long only the beginning is held.
//! Never: reads a line's content.

use std::io::{self, BufRead};

/// The longest line that can be sent, in bytes without its newline. The server's own limit.
pub(super) const LINE_LIMIT: usize = 2 * 1024 * 1024;
/// How much is kept of a line that is too long, in bytes: enough to recognize it by.
const KEPT: usize = 8 * 1024;

/// One line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its bytes without the newline; of an overlong one only the first.
    pub(super) bytes: Vec<u8>,
    /// Whether it is longer than the limit.
    pub(super) overlong: bool,
}

/// Cuts a file into lines.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    bytes_read: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of a source that has not been read yet.
    pub(super) fn new(source: R) -> Self {
        Self { source, number: 0, bytes_read: 0 }
    }

    /// The next line; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let mut overlong = false;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let at_end = buffer.is_empty();
            if at_end && bytes.is_empty() && !overlong {
                return Ok(None);
            }
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let end = newline.unwrap_or(buffer.len());
            if bytes.len() + end > LINE_LIMIT {
                overlong = true;
            }
            let kept = if overlong { end.min(KEPT.saturating_sub(bytes.len())) } else { end };
            bytes.extend_from_slice(&buffer[..kept]);
            let used = end + usize::from(newline.is_some());
            self.source.consume(used);
            self.bytes_read += used as u64;
            if newline.is_some() || at_end {
                if overlong {
                    bytes.truncate(KEPT);
                }
                self.number += 1;
                return Ok(Some(Line { number: self.number, bytes, overlong }));
            }
        }
    }

    /// How many bytes of the file have been read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn cut(file: &[u8], buffer: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, file));
        let found = std::iter::from_fn(|| lines.next().expect("a slice can be read")).collect();
        assert_eq!(lines.bytes_read(), file.len() as u64);
        found
    }

    fn line(number: u64, bytes: &[u8]) -> Line {
        Line { number, bytes: bytes.to_vec(), overlong: false }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_file_is_read() {
        let expected = [line(1, b"one"), line(2, b""), line(3, b"three\r"), line(4, b"last")];
        for buffer in [1, 3, 1000] {
            assert_eq!(cut(b"one\n\nthree\r\nlast", buffer), expected);
        }
        assert_eq!(cut(b"one\n", 2), [line(1, b"one")]);
        assert_eq!(cut(b"", 2), []);
    }

    #[test]
    fn an_overlong_line_is_named_and_the_next_one_is_whole() {
        let mut file = vec![b'x'; LINE_LIMIT + 1];
        file.extend_from_slice(b"\nnext\n");
        let found = cut(&file, 64 * 1024);
        assert_eq!((found[0].number, found[0].overlong, found[0].bytes.len()), (1, true, KEPT));
        assert_eq!(found[1], line(2, b"next"));
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let file = vec![b'x'; LINE_LIMIT];
        let found = cut(&file, 64 * 1024);
        assert_eq!((found.len(), found[0].overlong, found[0].bytes.len()), (1, false, LINE_LIMIT));
    }
}
