//! Server-sent events: cutting a stream of bytes into the events that stand in it.
//!
//! Owns: line ends of every kind, the byte order mark, data over several lines, and the bound on one event. Written against the
//! WHATWG specification of server-sent events.
//! Promises: the events' bytes put together are the stream's bytes; nothing is kept but an event that is not whole yet.
//! Never: understands what the data say.

use bytes::{Bytes, BytesMut};

/// An event as it stands in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// All its bytes, with the empty line that ends it.
    pub(super) bytes: Bytes,
    /// What its `data:` lines say, put together with line feeds; empty where it has none.
    pub(super) data: Bytes,
}

/// An event that is longer than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts a stream into events.
#[derive(Debug)]
pub(super) struct Splitter {
    kept: BytesMut,
    /// How far `kept` has been searched: before this no event ends.
    searched: usize,
    limit: usize,
    is_begun: bool,
}

impl Splitter {
    /// A splitter of a new stream, for events of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { kept: BytesMut::new(), searched: 0, limit, is_begun: false }
    }

    /// Takes in more of the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// The next event that is whole.
    ///
    /// # Errors
    /// What there is of it is longer than is taken.
    pub(super) fn next(&mut self) -> Result<Option<Event>, TooLong> {
        match self.end() {
            Some(end) if end <= self.limit => {
                let bytes = self.kept.split_to(end).freeze();
                self.searched = 0;
                let mut text = &bytes[..];
                if !std::mem::replace(&mut self.is_begun, true) {
                    text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
                }
                let data = data(&bytes, text);
                Ok(Some(Event { bytes, data }))
            }
            Some(_) => Err(TooLong),
            None if self.kept.len() > self.limit => Err(TooLong),
            None => Ok(None),
        }
    }

    /// What is left when the stream is over: an event that was not ended by an empty line, which does not count.
    pub(super) fn rest(&self) -> &[u8] {
        &self.kept
    }

    /// Where the first event ends: behind the first empty line.
    fn end(&mut self) -> Option<usize> {
        let bytes = &self.kept[..];
        // From two bytes before, for a line end may be cut.
        let mut at = self.searched.saturating_sub(3);
        while let Some(found) = bytes[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let first = at + found;
            let second = first + line_end(&bytes[first..])?;
            match bytes.get(second) {
                Some(b'\n' | b'\r') => return Some(second + line_end(&bytes[second..])?),
                // The event may begin with an empty line.
                _ if first == 0 => return Some(second),
                Some(_) => at = second,
                None => break,
            }
        }
        self.searched = bytes.len();
        None
    }
}

/// How long the line end is that `bytes` begin with; `None` where that depends on what comes: `\r` may be followed by `\n`.
fn line_end(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r'] => None,
        [b'\r' | b'\n', ..] => Some(1),
        _ => None,
    }
}

/// The data of an event, shared with its bytes where it stands in one line.
fn data(bytes: &Bytes, text: &[u8]) -> Bytes {
    let mut one: Option<&[u8]> = None;
    let mut several: Option<Vec<u8>> = None;
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let Some(value) = line.strip_prefix(b"data") else { continue };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => continue,
        };
        match (&mut several, one) {
            (Some(several), _) => {
                several.push(b'\n');
                several.extend_from_slice(value);
            }
            (None, Some(first)) => several = Some([first, b"\n", value].concat()),
            (None, None) => one = Some(value),
        }
    }
    match (several, one) {
        (Some(several), _) => several.into(),
        (None, Some(one)) => bytes.slice_ref(one),
        (None, None) => Bytes::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> (Vec<Event>, Vec<u8>) {
        let mut splitter = Splitter::new(1 << 20);
        let mut events = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(event) = splitter.next().unwrap() {
                events.push(event);
            }
        }
        (events, splitter.rest().to_vec())
    }

    fn data_of(text: &str) -> Vec<String> {
        let events = all(&[text.as_bytes()]).0;
        events.iter().map(|event| String::from_utf8(event.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn events_end_with_an_empty_line_of_any_kind() {
        assert_eq!(data_of("data: a\n\ndata: b\r\n\r\ndata:c\r\rx"), ["a", "b", "c"]);
        assert_eq!(data_of("\u{feff}data: a\n\n"), ["a"]);
        assert_eq!(data_of("data: a\ndata: b\n\n"), ["a\nb"]);
        assert_eq!(data_of(": ping\n\nevent: x\nid: 7\ndata: a\n\n"), ["", "a"]);
        assert_eq!(data_of("data\n\ndatum: x\n\n"), ["", ""]);
    }

    #[test]
    fn an_event_that_is_too_long_is_refused_before_it_is_whole() {
        let mut splitter = Splitter::new(16);
        splitter.push(b"data: 0123456789abcdef");
        assert_eq!(splitter.next(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn however_the_stream_is_cut_the_events_are_the_same(
            parts in proptest::collection::vec("(data: ?[a-z]{0,4}|:x|event: y|)(\n|\r\n|\n\n|\r\n\r\n)", 0..12),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let whole = parts.concat().into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|cut| &whole[cut[0]..cut[1]]).collect();
            let (once, rest) = all(&[&whole]);
            let (cut, cut_rest) = all(&chunks);
            let mut together: Vec<u8> = once.iter().flat_map(|event| event.bytes.to_vec()).collect();
            together.extend(&rest);
            prop_assert_eq!(together, whole.clone());
            let data = |events: &[Event]| events.iter().map(|event| event.data.clone()).filter(|data| !data.is_empty()).collect::<Vec<_>>();
            prop_assert_eq!(data(&once), data(&cut));
            let mut cut_together: Vec<u8> = cut.iter().flat_map(|event| event.bytes.to_vec()).collect();
            cut_together.extend(&cut_rest);
            prop_assert_eq!(cut_together, whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let mut splitter = Splitter::new(64);
            for chunk in chunks {
                splitter.push(&chunk);
                while let Ok(Some(_)) = splitter.next() {}
            }
        }
    }
}
