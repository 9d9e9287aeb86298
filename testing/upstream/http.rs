//! HTTP/1.1 connections of the scripted provider: reads requests, notices a client that leaves, keeps a connection alive.
//!
//! By hand, over a bare socket, because the faults of the script lie below what an HTTP library lets through: a reset before
//! the head, one byte a write, a body that ends where the connection does. Reads what HTTP clients send (a length or chunks,
//! `expect: 100-continue`, requests sent ahead); never speaks HTTP/2 or TLS.

use std::{io, ops::Range, sync::Arc};

use tokio::net::TcpStream;

use super::{
    State, routes,
    wire::{Close, Wire, write_all},
};

const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_BODY_BYTES: usize = 256 << 20;
/// What a client may send ahead of an answer before it is no longer read.
const MOST_AHEAD_BYTES: usize = 256 << 10;
const READ_BYTES: usize = 16 << 10;

/// A request, as it stands in the connection's buffer.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    /// Without its query.
    pub(super) path: &'a str,
    lines: &'a str,
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Names as they came, and values.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        headers(self.lines)
    }

    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.lines, name)
    }
}

/// Answers the requests of a connection until one side closes it.
pub(super) async fn serve(stream: TcpStream, state: Arc<State>) {
    // Without this a chunk waits for the acknowledgement of the one before.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let mut ahead = Vec::new();
    let mut pending = Vec::with_capacity(4 << 10);
    while let Ok(Some(frame)) = read(&stream, &mut buffer).await {
        let Some(request) = frame.request(&buffer) else { break };
        let mut wire = Wire::new(&stream, &mut pending, &state.counters);
        if request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            wire.close = Close::Cleanly;
        }
        let is_sent = tokio::select! {
            biased;
            sent = routes::answer(&state, &request, &mut wire) => sent.is_ok(),
            () = left(&stream, &mut ahead) => false,
        };
        let close = wire.close;
        wire.settle_as_left();
        match close {
            Close::Never if is_sent => {}
            // Nothing can be done about a socket that refuses the option: it closes in the usual way.
            Close::Reset => return stream.set_zero_linger().unwrap_or_default(),
            Close::Never | Close::Cleanly => return,
        }
        buffer.drain(..frame.length);
        buffer.append(&mut ahead);
        pending.clear();
    }
}

/// Where the parts of a request lie in the buffer.
struct Frame {
    /// Of head and body: where the next request begins.
    length: usize,
    /// The head without its empty line.
    head: Range<usize>,
    body: Body,
}

enum Body {
    At(Range<usize>),
    /// Out of chunks.
    Joined(Vec<u8>),
}

impl Frame {
    fn request<'a>(&'a self, buffer: &'a [u8]) -> Option<Request<'a>> {
        let head = std::str::from_utf8(&buffer[self.head.clone()]).ok()?;
        let (first, lines) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = first.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let path = target.split_once('?').map_or(target, |(path, _query)| path);
        let body = match &self.body {
            Body::At(range) => &buffer[range.clone()],
            Body::Joined(bytes) => bytes.as_slice(),
        };
        Some(Request { method, path, lines, body })
    }
}

/// Reads one request; `None` where the client closed the connection instead.
async fn read(stream: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    let mut searched = 0;
    let head = loop {
        if let Some(at) = find(&buffer[searched..], b"\r\n\r\n") {
            break searched + at;
        }
        searched = buffer.len().saturating_sub(3);
        if buffer.len() > MOST_HEAD_BYTES || more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    };
    let begin = head + 4;
    let lines = std::str::from_utf8(&buffer[..head]).map_err(io::Error::other)?;
    let length = header(lines, "content-length").map(|value| value.trim().parse::<usize>());
    let length = length.transpose().map_err(io::Error::other)?.unwrap_or(0);
    let is_chunked = header(lines, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    if header(lines, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        write_all(stream, b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| io::ErrorKind::BrokenPipe)?;
    }
    if is_chunked {
        return read_chunks(stream, buffer, head).await;
    }
    if length > MOST_BODY_BYTES {
        return Ok(None);
    }
    let end = begin + length;
    while buffer.len() < end {
        if more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(Frame { length: end, head: 0..head, body: Body::At(begin..end) }))
}

async fn read_chunks(stream: &TcpStream, buffer: &mut Vec<u8>, head: usize) -> io::Result<Option<Frame>> {
    let mut body = Vec::new();
    let mut at = head + 4;
    loop {
        let Some(line) = read_line(stream, buffer, at).await? else { return Ok(None) };
        let digits = std::str::from_utf8(&buffer[line.clone()]).map_err(io::Error::other)?;
        let digits = digits.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        at = line.end + 2;
        if size == 0 {
            break;
        }
        if body.len() + size > MOST_BODY_BYTES {
            return Ok(None);
        }
        while buffer.len() < at + size + 2 {
            if more(stream, buffer).await? == 0 {
                return Ok(None);
            }
        }
        body.extend_from_slice(&buffer[at..at + size]);
        at += size + 2;
    }
    // Trailers, up to the empty line.
    loop {
        let Some(line) = read_line(stream, buffer, at).await? else { return Ok(None) };
        at = line.end + 2;
        if line.is_empty() {
            return Ok(Some(Frame { length: at, head: 0..head, body: Body::Joined(body) }));
        }
    }
}

async fn read_line(stream: &TcpStream, buffer: &mut Vec<u8>, from: usize) -> io::Result<Option<Range<usize>>> {
    loop {
        if let Some(at) = buffer.get(from..).and_then(|rest| find(rest, b"\r\n")) {
            return Ok(Some(from..from + at));
        }
        if more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Waits for bytes of the client; none where it closed the connection.
async fn more(stream: &TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.reserve(READ_BYTES);
    loop {
        match stream.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable().await?,
            read => return read,
        }
    }
}

/// Waits until the client leaves, or closes its half of the connection, which is taken for the same; what it sends meanwhile is kept for the next request.
async fn left(stream: &TcpStream, ahead: &mut Vec<u8>) {
    while ahead.len() < MOST_AHEAD_BYTES {
        if !matches!(more(stream, ahead).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}

fn headers(lines: &str) -> impl Iterator<Item = (&str, &str)> {
    lines.split("\r\n").filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}

fn header<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    headers(lines).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
