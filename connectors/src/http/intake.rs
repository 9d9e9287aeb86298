//! Intake: a body of JSON lines, taken in while it arrives.
//!
//! Owns: the way of each line into the log or into the errors, in groups.
//! Promises: at most one line, one chunk and one group are held; while a group is being written the body is not read, so a
//! client that is faster than the log waits in its own send buffer. A bad line fails alone.

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::Request,
};
use futures_util::{FutureExt, StreamExt};
use meshlog_schemas::Checkpoints;

use super::{
    Gateway, decode,
    extract::{interrupted, refuse_stated_size, stopping, too_large},
    lines::{LINE_LIMIT, Line, Lines},
    messages::{accept, receipt},
};
use crate::{
    api::{LineError, MessagesAccepted, NewMessage},
    checks,
    ports::CheckedMessage,
    problem::{Code, Problem},
};

/// The largest body, in bytes.
pub(super) const LINES_BODY_LIMIT: usize = 64 * 1024 * 1024;
/// The most lines one body may have. Each has a receipt in the answer, so their number bounds the answer.
pub(super) const LINES_LIMIT: u64 = 100_000;
/// The most errors an answer lists; further ones are only counted.
pub(super) const ERRORS_LIMIT: usize = 1000;
/// The most messages of a group.
pub(super) const GROUP_MESSAGES: usize = 512;
/// The bytes of text at which a group is complete.
const GROUP_BYTES: usize = 1024 * 1024;

/// What has been taken in.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The answer so far.
    pub(super) accepted: MessagesAccepted,
    /// Everything before these offsets includes all that has been taken in.
    pub(super) written: Checkpoints,
}

/// Takes in a body of JSON lines.
///
/// # Errors
/// When the body is too large, breaks off, or the log fails. Then `taken` holds what has been taken in before, and `line`
/// the first line that has not.
pub(super) async fn take(gateway: &Gateway, request: Request) -> Result<Taken, Problem> {
    let body = refuse_stated_size(request, LINES_BODY_LIMIT).await?;
    let mut intake = Intake { gateway, lines: Lines::default(), group: Group::default(), taken: Taken::default() };
    let outcome = intake.read(body).await;
    intake.taken.accepted.errors.sort_by_key(|error| error.line);
    match outcome {
        Ok(()) => Ok(intake.taken),
        Err(problem) => Err(intake.broken_off(problem)),
    }
}

struct Intake<'a> {
    gateway: &'a Gateway,
    lines: Lines,
    group: Group,
    taken: Taken,
}

/// Messages that wait to be written together.
#[derive(Default)]
struct Group {
    messages: Vec<CheckedMessage>,
    /// The line of each message.
    lines: Vec<u64>,
    bytes: usize,
}

impl Intake<'_> {
    async fn read(&mut self, body: Body) -> Result<(), Problem> {
        let mut chunks = body.into_data_stream();
        let mut received = 0;
        while let Some(chunk) = self.next(&mut chunks).await? {
            let mut chunk = chunk.map_err(|_| interrupted(received))?;
            received += chunk.len();
            if received > LINES_BODY_LIMIT {
                return Err(too_large(LINES_BODY_LIMIT));
            }
            while let Some(line) = self.lines.next(&mut chunk) {
                self.take(line).await?;
            }
        }
        if let Some(line) = self.lines.last() {
            self.take(line).await?;
        }
        self.flush().await
    }

    /// The next chunk. If it is not there yet, what has been read is written first: a client that sends slowly does not
    /// keep its own lines from becoming durable.
    async fn next(&mut self, chunks: &mut BodyDataStream) -> Result<Option<Result<Bytes, axum::Error>>, Problem> {
        if let Some(chunk) = chunks.next().now_or_never() {
            return Ok(chunk);
        }
        self.flush().await?;
        tokio::select! {
            chunk = chunks.next() => Ok(chunk),
            () = self.gateway.closed() => Err(stopping()),
        }
    }

    async fn take(&mut self, line: Line) -> Result<(), Problem> {
        let Line { number, bytes } = line;
        if number > LINES_LIMIT {
            return Err(too_many_lines());
        }
        let Some(bytes) = bytes else {
            self.reject(number, &too_long(), None);
            return Ok(());
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        match decode::json::<NewMessage>(&bytes).and_then(checks::message) {
            Ok(message) => self.group.add(number, message),
            Err(problem) => self.reject(number, &problem, decode::source_id(&bytes)),
        }
        if self.group.is_complete() {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Problem> {
        if self.group.messages.is_empty() {
            return Ok(());
        }
        let source_ids: Vec<_> = self.group.messages.iter().map(|message| message.source_id.clone()).collect();
        let messages = std::mem::take(&mut self.group.messages);
        let results = accept(self.gateway, messages).await?;
        // The lines stay in the group until they are written, so that a failure can name the first that is not.
        let lines = std::mem::take(&mut self.group).lines;
        for ((line, source_id), result) in lines.into_iter().zip(source_ids).zip(results) {
            match result {
                Ok(stored) => {
                    self.taken.written.advance(stored.position.partition, stored.position.offset + 1);
                    let accepted = &mut self.taken.accepted;
                    *if stored.duplicate { &mut accepted.duplicates } else { &mut accepted.accepted } += 1;
                    accepted.receipts.push(receipt(stored, source_id));
                }
                Err(problem) => self.reject(line, &problem, source_id),
            }
        }
        Ok(())
    }

    fn reject(&mut self, line: u64, problem: &Problem, source_id: Option<String>) {
        let accepted = &mut self.taken.accepted;
        accepted.rejected += 1;
        if accepted.errors.len() == ERRORS_LIMIT {
            return;
        }
        let details = problem.details();
        let field = details.facts.get("field").and_then(|field| field.as_str()).map(str::to_owned);
        accepted.errors.push(LineError {
            line,
            code: details.code.clone(),
            detail: details.detail.clone(),
            field,
            source_id,
        });
    }

    fn broken_off(self, problem: Problem) -> Problem {
        let line = self.group.lines.first().copied().unwrap_or_else(|| self.lines.number());
        let taken = serde_json::to_value(self.taken.accepted).expect("receipts and errors are JSON");
        problem.with("line", line).with("taken", taken)
    }
}

impl Group {
    fn add(&mut self, line: u64, message: CheckedMessage) {
        self.bytes += message.text.len();
        self.lines.push(line);
        self.messages.push(message);
    }

    fn is_complete(&self) -> bool {
        self.messages.len() == GROUP_MESSAGES || self.bytes >= GROUP_BYTES
    }
}

fn too_long() -> Problem {
    let detail = format!("the line is longer than {LINE_LIMIT} bytes");
    Problem::new(Code::LineTooLong, detail, "split the message").with("limit", LINE_LIMIT)
}

fn too_many_lines() -> Problem {
    let detail = format!("the body has more than {LINES_LIMIT} lines");
    Problem::new(Code::TooManyLines, detail, "send the lines from this one on in another request").with("limit", LINES_LIMIT)
}
