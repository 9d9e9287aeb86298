//! Lines: a body of JSON lines, cut at its newlines as its chunks arrive.
//!
//! Owns: line numbers and the bytes of the one line that is not complete yet.
//! Promises: at most [`LINE_LIMIT`] bytes are held, whatever arrives; the cut does not depend on how the chunks fall.
//! Never: reads a line's content.

use axum::body::Bytes;

/// The longest line, in bytes without its newline.
pub(super) const LINE_LIMIT: usize = 2 * 1024 * 1024;

/// Cuts chunks into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Complete lines so far.
    complete: u64,
    /// The beginning of the line that is not complete. Invariant: at most LINE_LIMIT bytes.
    beginning: Vec<u8>,
    /// Whether the line that is not complete has exceeded the limit; what is left of it is skipped.
    overlong: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the body, from 1.
    pub(super) number: u64,
    /// Its bytes without the newline; `None` when it exceeds the limit.
    pub(super) bytes: Option<Bytes>,
}

impl Lines {
    /// The next complete line of the chunk, which is cut off its front. `None` when the chunk is used up.
    pub(super) fn next(&mut self, chunk: &mut Bytes) -> Option<Line> {
        let Some(newline) = chunk.iter().position(|byte| *byte == b'\n') else {
            self.keep(std::mem::take(chunk));
            return None;
        };
        let end = chunk.split_to(newline + 1).slice(..newline);
        if self.beginning.is_empty() && !self.overlong && end.len() <= LINE_LIMIT {
            return Some(self.complete(Some(end)));
        }
        self.keep(end);
        Some(self.cut())
    }

    /// The last line, if the body does not end with a newline.
    pub(super) fn last(&mut self) -> Option<Line> {
        (self.overlong || !self.beginning.is_empty()).then(|| self.cut())
    }

    /// The number of the line that is not complete yet.
    pub(super) fn number(&self) -> u64 {
        self.complete + 1
    }

    fn keep(&mut self, bytes: Bytes) {
        if self.overlong || self.beginning.len() + bytes.len() > LINE_LIMIT {
            self.overlong = true;
            self.beginning = Vec::new();
            return;
        }
        self.beginning.extend_from_slice(&bytes);
    }

    fn cut(&mut self) -> Line {
        let bytes = Bytes::from(std::mem::take(&mut self.beginning));
        let overlong = std::mem::take(&mut self.overlong);
        self.complete((!overlong).then_some(bytes))
    }

    fn complete(&mut self, bytes: Option<Bytes>) -> Line {
        self.complete += 1;
        Line { number: self.complete, bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[Vec<u8>]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            let mut chunk = Bytes::from(chunk.clone());
            while let Some(line) = lines.next(&mut chunk) {
                found.push(line);
            }
        }
        found.extend(lines.last());
        found.into_iter().map(|line| (line.number, line.bytes.map(|bytes| bytes.to_vec()))).collect()
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_chunks_fall(chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..12), 0..12)) {
            let body = chunks.concat();
            let mut expected: Vec<_> = body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            let found: Vec<_> = cut(&chunks).into_iter().map(|(_, bytes)| bytes.expect("no line is overlong")).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_line_over_the_limit_is_named_and_skipped_to_its_newline() {
        let half = vec![b'x'; LINE_LIMIT / 2 + 1];
        let mut body = vec![b"a\n".to_vec(), half.clone(), half.clone(), half];
        body.push(b"yz\nb\n".to_vec());
        let found = cut(&body);
        assert_eq!(found, [(1, Some(b"a".to_vec())), (2, None), (3, Some(b"b".to_vec()))]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let mut body = vec![b'x'; LINE_LIMIT];
        body.push(b'\n');
        assert_eq!(cut(&[body.clone()])[0].1.as_ref().map(Vec::len), Some(LINE_LIMIT));
        let (front, back) = body.split_at(7);
        assert_eq!(cut(&[front.to_vec(), back.to_vec()])[0].1.as_ref().map(Vec::len), Some(LINE_LIMIT));
    }

    #[test]
    fn an_overlong_last_line_without_a_newline_is_named_too() {
        assert_eq!(cut(&[vec![b'x'; LINE_LIMIT + 1]]), [(1, None)]);
    }
}
