//! Server-sent events, read just as far as load needs it: by looks, without parsing the JSON of each chunk.
//!
//! Takes the line breaks LF and CR LF; never joins the lines of one event, which gateways do not send.

/// What an event brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// Text that is not empty.
    Content,
    /// The chunk that has the usage.
    Usage(&'a [u8]),
    Error,
    Done,
}

/// Finds the events in what comes.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The begin of a line whose end has not come.
    begun: Vec<u8>,
}

impl Events {
    /// Gives the events that end in these bytes.
    pub(crate) fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Event<'_>)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.begun.is_empty() {
                look_at(&rest[..end], &mut each);
            } else {
                self.begun.extend_from_slice(&rest[..end]);
                look_at(&self.begun, &mut each);
                self.begun.clear();
            }
            rest = &rest[end + 1..];
        }
        self.begun.extend_from_slice(rest);
    }
}

fn look_at(line: &[u8], each: &mut impl FnMut(Event<'_>)) {
    let Some(data) = line.strip_prefix(b"data:") else { return };
    let data = data.trim_ascii();
    if data == b"[DONE]" {
        return each(Event::Done);
    }
    if value_of(data, br#""content":"#).is_some_and(|value| value.starts_with(b"\"") && !value.starts_with(b"\"\"")) {
        return each(Event::Content);
    }
    if value_of(data, br#""usage":"#).is_some_and(|value| value.starts_with(b"{")) {
        return each(Event::Usage(data));
    }
    if value_of(data, br#""error":"#).is_some_and(|value| value.starts_with(b"{")) {
        each(Event::Error);
    }
}

/// What stands behind a field's first occurrence.
fn value_of<'a>(json: &'a [u8], field: &[u8]) -> Option<&'a [u8]> {
    let at = json.windows(field.len()).position(|window| window == field)?;
    Some(json[at + field.len()..].trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = b"data: {\"delta\":{\"content\":\"\"}}\r\n\r\n: x\ndata:{\"delta\":{\"content\": \"a\"}}\n\n\
                     data: {\"choices\":[],\"usage\":{\"x\":1}}\n\ndata: {\"error\":{}}\n\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for part in text.chunks(size) {
                events.read(part, |event| {
                    found.push(match event {
                        Event::Content => "content",
                        Event::Usage(_) => "usage",
                        Event::Error => "error",
                        Event::Done => "done",
                    });
                });
            }
            assert_eq!(found, ["content", "usage", "error", "done"], "{size}");
        }
    }
}
