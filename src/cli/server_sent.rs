//! Server-sent events: the frames of a `text/event-stream`, as the HTML standard cuts them.
//!
//! Never: interprets a frame.

use std::io::{self, BufRead};

/// The longest line of a stream, in bytes; a message of the largest size fits many times.
const LINE_LIMIT: usize = 64 * 1024 * 1024;

/// One event of a stream, or an id between events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// What to come back with after a lost connection.
    pub(super) id: Option<String>,
    /// Its type, `message` when none is named.
    pub(super) event: String,
    /// What it carries; `None` when only an id came, which a client remembers and shows nothing for.
    pub(super) data: Option<String>,
}

/// Reads up to the end of the next event; `None` when the stream ends before it.
///
/// # Errors
/// When the connection fails, or sends something that is no event stream.
pub(super) fn next(stream: &mut impl BufRead) -> io::Result<Option<Frame>> {
    let mut frame = Frame::default();
    while let Some(line) = line(stream)? {
        if line.is_empty() {
            if frame.data.is_none() && frame.id.is_none() {
                frame = Frame::default();
                continue;
            }
            if frame.event.is_empty() {
                frame.event = "message".to_owned();
            }
            return Ok(Some(frame));
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => frame.id = Some(value.to_owned()),
            "event" => frame.event = value.to_owned(),
            "data" => match &mut frame.data {
                Some(text) => {
                    text.push('\n');
                    text.push_str(value);
                }
                None => frame.data = Some(value.to_owned()),
            },
            // Comments, which keep the connection alive, and fields of later times.
            _ => {}
        }
    }
    Ok(None)
}

fn line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *stream, LINE_LIMIT as u64).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() {
        // What ends without a newline was cut off, and is no event.
        return if read == LINE_LIMIT { Err(io::Error::other("a line of the stream is too long")) } else { Ok(None) };
    }
    line.pop_if(|last| *last == b'\r');
    String::from_utf8(line).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(stream: &str) -> Vec<Frame> {
        let mut stream = stream.as_bytes();
        std::iter::from_fn(|| next(&mut stream).expect("it is an event stream")).collect()
    }

    fn frame(id: Option<&str>, event: &str, data: &str) -> Frame {
        Frame { id: id.map(str::to_owned), event: event.to_owned(), data: Some(data.to_owned()) }
    }

    #[test]
    fn events_are_cut_at_empty_lines_and_comments_are_passed_over() {
        let stream = ": keep-alive\n\nid: messages/0/3;0=4\nevent: a.b\ndata: {\"x\":1}\n\r\ndata:one\ndata: two\n\n";
        assert_eq!(
            frames(stream),
            [frame(Some("messages/0/3;0=4"), "a.b", "{\"x\":1}"), frame(None, "message", "one\ntwo")]
        );
    }

    #[test]
    fn an_id_without_data_is_told() {
        let id = Frame { id: Some("0=4".to_owned()), event: "message".to_owned(), data: None };
        assert_eq!(frames(": nothing shown\nid: 0=4\n\nevent: a\n\ndata: x\n\n"), [id, frame(None, "message", "x")]);
    }

    #[test]
    fn an_event_that_is_cut_off_is_none() {
        assert_eq!(frames("data: whole\n\ndata: half\n"), [frame(None, "message", "whole")]);
        assert_eq!(frames("id: 1\ndata: ha"), []);
    }
}
