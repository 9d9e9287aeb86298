//! Streams: a reply as server-sent events, framed in each valid way, and those that break on their way.

use std::time::Duration;

use tokio::{task, time};

use super::{
    breaks,
    reply::Reply,
    script::{Break, Framing},
    wire::{Left, Transfer, Wire, push},
};

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";
const OVERLOADED: &[u8] =
    br#"{"error":{"message":"The server is overloaded.","type":"overloaded_error","param":null,"code":null}}"#;

/// How a stream goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) framing: Framing,
    /// Content chunks a second.
    pub(super) pace: Option<f64>,
    pub(super) broken: Option<Break>,
    /// The number of the script.
    pub(super) number: Option<u64>,
}

/// Streams a reply.
pub(super) async fn send(
    wire: &mut Wire<'_>,
    headers: &[(&str, &str)],
    reply: &Reply,
    course: Course,
) -> Result<(), Left> {
    let is_unbounded = course.framing == Framing::NoDone;
    let transfer = if is_unbounded { Transfer::UntilClose } else { Transfer::Chunks };
    wire.head(200, EVENT_STREAM, transfer, headers);
    if course.broken == Some(Break::CutHead) {
        return wire.reset().await;
    }
    if course.framing == Framing::Split {
        wire.drip = Some(Duration::ZERO);
    }
    let mut events = Events { wire, framing: course.framing, text: Vec::with_capacity(512), sent: 0 };
    let mut json = Vec::with_capacity(512);
    if course.broken == Some(Break::ErrorFirst) {
        events.event(OVERLOADED).await?;
        return events.wire.end().await;
    }
    reply.role_chunk(&mut json);
    events.take(&mut json).await?;
    for piece in reply.reasoning {
        reply.reasoning_chunk(piece, &mut json);
        events.take(&mut json).await?;
    }
    let begin = time::Instant::now();
    for piece in 0..reply.content.len() {
        if let Some(pace) = course.pace {
            time::sleep_until(begin + Duration::from_secs_f64(piece as f64 / pace)).await;
        }
        reply.content_chunk(piece, &mut json);
        if let Some(broken) = course.broken
            && events.breaks_off(broken, piece, &json).await?
        {
            return Ok(());
        }
        events.take(&mut json).await?;
    }
    if course.broken == Some(Break::Gigantic) {
        events.gigantic(reply, course.number.unwrap_or(1)).await?;
    }
    for chunk in reply.call_chunks() {
        events.event(&chunk).await?;
    }
    reply.finish_chunk(&mut json);
    events.take(&mut json).await?;
    if let Some(usage) = reply.streamed_usage() {
        events.wire.used(&usage);
        reply.usage_chunk(&usage, &mut json);
        events.take(&mut json).await?;
    }
    events.end().await
}

/// Writes events.
struct Events<'w, 'a> {
    wire: &'w mut Wire<'a>,
    framing: Framing,
    text: Vec<u8>,
    sent: u64,
}

impl Events<'_, '_> {
    /// Sends an event, and empties it for the next one.
    async fn take(&mut self, json: &mut Vec<u8>) -> Result<(), Left> {
        self.event(json).await?;
        json.clear();
        Ok(())
    }

    async fn event(&mut self, data: &[u8]) -> Result<(), Left> {
        frame(self.framing, self.sent, data, &mut self.text);
        self.sent += 1;
        match self.framing {
            Framing::Glued => return Ok(()),
            Framing::MultiByte => {
                for part in cut_in_characters(&self.text) {
                    self.wire.send(part).await?;
                    task::yield_now().await;
                }
            }
            _ => self.wire.send(&self.text).await?,
        }
        self.text.clear();
        Ok(())
    }

    /// Sends `[DONE]` and the end of the body.
    async fn end(mut self) -> Result<(), Left> {
        if self.framing == Framing::NoDone {
            return self.wire.end().await;
        }
        frame(self.framing, self.sent, b"[DONE]", &mut self.text);
        // What tells a client that it has read enough is written with the end of the body: it may leave at once then.
        if self.wire.drip.is_some() {
            let last = self.text.len() - 1;
            self.wire.send(&self.text[..last]).await?;
            self.text.drain(..last);
        }
        self.wire.hold(&self.text);
        self.wire.end().await
    }

    /// Breaks the stream before the content chunk of this number, if it is there that it breaks; whether it was the end.
    async fn breaks_off(&mut self, broken: Break, piece: u64, next: &[u8]) -> Result<bool, Left> {
        match (broken, piece) {
            (Break::ErrorInStream, 2) => {
                self.event(OVERLOADED).await?;
                self.wire.end().await?;
            }
            (Break::Stall, 2) => std::future::pending().await,
            (Break::Cut, 3) => self.wire.reset().await?,
            (Break::HalfLine, 3) => {
                frame(self.framing, self.sent, next, &mut self.text);
                self.text.truncate(self.text.len() / 2);
                self.wire.hold(&self.text);
                self.wire.end().await?;
            }
            (Break::Malformed, 3) => {
                self.event(&next[..next.len() / 2]).await?;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Sends one event of so many mebibytes of content.
    async fn gigantic(&mut self, reply: &Reply, mebibytes: u64) -> Result<(), Left> {
        let (before, after) = reply.chunk_around_text();
        self.wire.send(&[b"data: ", before.as_slice()].concat()).await?;
        breaks::send_mebibytes(self.wire, mebibytes).await?;
        self.wire.send(&[after.as_slice(), b"\n\n"].concat()).await
    }
}

/// Appends an event as text.
fn frame(framing: Framing, sent: u64, data: &[u8], text: &mut Vec<u8>) {
    let (before, after): (&[u8], &[u8]) = match framing {
        Framing::NoSpace => (b"data:", b"\n\n"),
        Framing::CarriageReturns => (b"data: ", b"\r\n\r\n"),
        Framing::ByteOrderMark if sent == 0 => (b"\xef\xbb\xbfdata: ", b"\n\n"),
        Framing::ManyLines => return frame_in_lines(data, text),
        Framing::Noisy => {
            text.extend_from_slice(if sent == 0 { b": PROCESSING\n\n" } else { b":\n" });
            push(text, format_args!("event: chat.completion.chunk\nid: {sent}\n: keep-alive\n"));
            (b"data: ", b"\nx-line: what nobody knows\nno-colon\n\n")
        }
        Framing::Comments => {
            push(text, format_args!(": PROCESSING\n\nretry: 3000\n\nid: {sent}\n\n"));
            (b"data: ", b"\n\n\n: keep-alive\n\n")
        }
        _ => (b"data: ", b"\n\n"),
    };
    text.extend_from_slice(before);
    text.extend_from_slice(data);
    text.extend_from_slice(after);
}

/// A line for each member of the outermost object: a line break is white space there.
fn frame_in_lines(data: &[u8], text: &mut Vec<u8>) {
    let (mut depth, mut is_string, mut is_escaped) = (0, false, false);
    text.extend_from_slice(b"data: ");
    for byte in data {
        text.push(*byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 1 => text.extend_from_slice(b"\ndata: "),
            _ => {}
        }
    }
    text.extend_from_slice(b"\n\n");
}

/// Parts that end behind the first byte of each character of several bytes.
fn cut_in_characters(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte >= 0xC0).collect()
}
