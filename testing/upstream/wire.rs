//! The wire: one answer's way to the client, as head, HTTP chunks and TCP writes, and the books about it.
//!
//! An answer is counted just before its last bytes are written, so that whoever has read them finds it in the counts.

use std::{io, io::Write as _, time::Duration};

use tokio::{net::TcpStream, task, time};

use super::counts::{Counters, InFlight, Usage};

/// The client closed the connection.
#[derive(Debug)]
pub(super) struct Left;

/// How the connection ends behind the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    Never,
    Cleanly,
    Reset,
}

/// How HTTP tells the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    Length(usize),
    Chunks,
    UntilClose,
}

/// How long what was sent has to reach the client's application before a reset, which may overtake it.
const BEFORE_RESET: Duration = Duration::from_millis(20);

/// Where one answer is written to.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    stream: &'a TcpStream,
    counters: &'a Counters,
    /// What is not written yet.
    pending: &'a mut Vec<u8>,
    transfer: Transfer,
    /// Each byte of the body is a write of its own, this long after the one before.
    pub(super) drip: Option<Duration>,
    pub(super) close: Close,
    entry: Option<Entry<'a>>,
}

/// The open entry of the books.
#[derive(Debug)]
struct Entry<'a> {
    _in_flight: InFlight<'a>,
    model: String,
    is_fault: bool,
    /// Counted once the answer is whole.
    usage: Option<Usage>,
}

impl<'a> Wire<'a> {
    pub(super) fn new(stream: &'a TcpStream, pending: &'a mut Vec<u8>, counters: &'a Counters) -> Self {
        Self { stream, counters, pending, transfer: Transfer::Chunks, drip: None, close: Close::Never, entry: None }
    }

    /// Opens the entry of a request.
    pub(super) fn open(&mut self, idempotency_key: Option<&str>) {
        let in_flight = self.counters.asked(idempotency_key);
        self.entry = Some(Entry { _in_flight: in_flight, model: String::new(), is_fault: false, usage: None });
    }

    pub(super) fn name(&mut self, model: &str) {
        if let Some(entry) = &mut self.entry {
            model.clone_into(&mut entry.model);
        }
    }

    /// Notes that the answer is a fault.
    pub(super) fn fault(&mut self, name: &'static str) {
        if let Some(entry) = &mut self.entry {
            entry.is_fault = true;
            self.counters.fault(name);
        }
    }

    /// Notes that the next bytes of a stream report the usage.
    pub(super) fn used(&self, usage: &Usage) {
        self.counters.used(usage);
    }

    /// Notes that the answer, once it is whole, reports its usage.
    pub(super) fn reports(&mut self, usage: Option<Usage>) {
        if let Some(entry) = &mut self.entry {
            entry.usage = usage;
        }
    }

    fn settle(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if let Some(usage) = &entry.usage {
            self.counters.used(usage);
        }
        if !entry.is_fault {
            self.counters.completed();
        }
    }

    /// Closes an entry that is still open: the client left before the last bytes.
    pub(super) fn settle_as_left(mut self) {
        if let Some(entry) = self.entry.take() {
            self.counters.cancelled(&entry.model);
        }
    }

    /// Begins an answer; the head is written with what comes next.
    pub(super) fn head(&mut self, status: u16, content_type: &str, transfer: Transfer, headers: &[(&str, &str)]) {
        self.transfer = transfer;
        if transfer == Transfer::UntilClose && self.close == Close::Never {
            self.close = Close::Cleanly;
        }
        let pending = &mut *self.pending;
        push(pending, format_args!("HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\n", reason(status)));
        match transfer {
            Transfer::Length(length) => push(pending, format_args!("content-length: {length}\r\n")),
            Transfer::Chunks => pending.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Transfer::UntilClose => {}
        }
        if self.close != Close::Never {
            pending.extend_from_slice(b"connection: close\r\n");
        }
        for (name, value) in headers {
            push(pending, format_args!("{name}: {value}\r\n"));
        }
        pending.extend_from_slice(b"\r\n");
    }

    /// A part of the body that is written with what comes next.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        if self.transfer != Transfer::Chunks {
            self.pending.extend_from_slice(bytes);
            return;
        }
        push(self.pending, format_args!("{:x}\r\n", bytes.len()));
        self.pending.extend_from_slice(bytes);
        self.pending.extend_from_slice(b"\r\n");
    }

    /// A part of the body: one HTTP chunk and one write.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Left> {
        if let Some(pause) = self.drip {
            return self.send_each_byte(bytes, pause).await;
        }
        self.hold(bytes);
        self.flush().await
    }

    async fn send_each_byte(&mut self, bytes: &[u8], pause: Duration) -> Result<(), Left> {
        self.flush().await?;
        let mut due = time::Instant::now();
        for byte in bytes {
            self.hold(&[*byte]);
            self.flush().await?;
            due += pause;
            if pause.is_zero() {
                task::yield_now().await;
            } else {
                time::sleep_until(due).await;
            }
        }
        Ok(())
    }

    /// Ends the body, and the entry in the books.
    pub(super) async fn end(&mut self) -> Result<(), Left> {
        self.settle();
        if self.transfer == Transfer::Chunks {
            self.pending.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush().await
    }

    /// A whole answer.
    pub(super) async fn whole(
        &mut self,
        status: u16,
        content_type: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), Left> {
        self.head(status, content_type, Transfer::Length(body.len()), headers);
        match (self.drip, body) {
            (Some(_), [body @ .., last]) => {
                self.send(body).await?;
                self.hold(&[*last]);
            }
            _ => self.hold(body),
        }
        self.end().await
    }

    /// Has the connection reset, behind what was written so far.
    pub(super) async fn reset(&mut self) -> Result<(), Left> {
        self.flush().await?;
        time::sleep(BEFORE_RESET).await;
        self.reset_at_once();
        Ok(())
    }

    /// Has the connection reset; what was not written is lost.
    pub(super) fn reset_at_once(&mut self) {
        self.settle();
        self.close = Close::Reset;
    }

    /// Writes what was held back.
    pub(super) async fn flush(&mut self) -> Result<(), Left> {
        write_all(self.stream, self.pending).await?;
        self.pending.clear();
        Ok(())
    }
}

/// Writes bytes as they are.
pub(super) async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> Result<(), Left> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await.map_err(|_| Left)?,
            Err(_) => return Err(Left),
        }
    }
    Ok(())
}

/// Appends text to bytes.
pub(super) fn push(bytes: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Invariant: writing to a vector does not fail.
    let _ = bytes.write_fmt(text);
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "",
    }
}
