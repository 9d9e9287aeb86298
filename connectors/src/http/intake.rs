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
    let Err(problem) = intake.read(body).await else {
        return Ok(intake.taken());
    };
    // Whole lines before the fault are good; only if the log itself fails is there nothing left to do for them.
    let problem = intake.flush().await.err().unwrap_or(problem);
    Err(intake.broken_off(problem))
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
            return Err(too_many_lines(number));
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

    fn taken(mut self) -> Taken {
        self.taken.accepted.errors.sort_by_key(|error| error.line);
        self.taken
    }

    fn broken_off(self, problem: Problem) -> Problem {
        let unwritten = self.group.lines.first().copied();
        let line = unwritten.or_else(|| problem.details().facts.get("line")?.as_u64());
        let line = line.unwrap_or_else(|| self.lines.number());
        let taken = serde_json::to_value(self.taken().accepted).expect("receipts and errors are JSON");
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

fn too_many_lines(first_over: u64) -> Problem {
    let detail = format!("the body has more than {LINES_LIMIT} lines");
    Problem::new(Code::TooManyLines, detail, "send the lines from this one on in another request")
        .with("limit", LINES_LIMIT)
        .with("line", first_over)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::http::StatusCode;
    use futures_util::stream;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        api::WaitLevel,
        http::fake::{Fake, Reply, ask, post},
    };

    async fn send(fake: &Arc<Fake>, body: impl Into<Body>) -> Reply {
        ask(fake.router(), post("/v1/messages", "application/x-ndjson", body)).await
    }

    /// A body that arrives as these chunks.
    fn chunked(chunks: Vec<Vec<u8>>) -> Body {
        Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)))
    }

    /// A body that the test goes on writing.
    fn open_body() -> (mpsc::Sender<Result<String, std::io::Error>>, Body) {
        let (sender, receiver) = mpsc::channel(1);
        let chunks =
            stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) });
        (sender, Body::from_stream(chunks))
    }

    fn line(id: impl std::fmt::Display, text: &str) -> String {
        format!("{}\n", json!({"id": id.to_string(), "thread": "t", "author": "Ada", "text": text}))
    }

    async fn eventually(what: &str, holds: impl Fn() -> bool) {
        for _ in 0..500 {
            if holds() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{what} did not happen within 5 seconds");
    }

    #[tokio::test]
    async fn a_bad_line_fails_alone_and_is_named_by_its_number() {
        let fake = Fake::new();
        let body = [
            line("a", "first"),
            "not json\n".to_owned(),
            "\n".to_owned(),
            line("b", "refuse me"),
            "{\"id\":\"c\",\"thread\":\"t\",\"author\":\"Ada\"}\r\n".to_owned(),
            line("d", " "),
            line("a", "first"),
            line("e", "last").trim_end().to_owned(),
        ];
        let reply = send(&fake, body.concat()).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        let answer: MessagesAccepted = serde_json::from_slice(&reply.body).expect("the answer has a type");
        assert_eq!((answer.accepted, answer.duplicates, answer.rejected), (2, 1, 4));
        let receipts: Vec<_> =
            answer.receipts.iter().map(|receipt| (receipt.source_id.as_deref(), receipt.duplicate)).collect();
        assert_eq!(receipts, [(Some("a"), false), (Some("a"), true), (Some("e"), false)]);
        let errors: Vec<_> = answer
            .errors
            .iter()
            .map(|error| (error.line, error.code.as_str(), error.field.as_deref(), error.source_id.as_deref()))
            .collect();
        assert_eq!(
            errors,
            [
                (2, "bad_json", None, None),
                (4, "message_refused", None, Some("b")),
                (5, "missing_field", Some("text"), Some("c")),
                (6, "invalid_field", Some("text"), Some("d")),
            ]
        );
        assert_eq!(fake.texts(), ["first", "last"]);
    }

    #[tokio::test]
    async fn chunks_may_end_inside_a_character_or_anywhere_else() {
        let body = [line(1, "Žluťoučký 🦀"), "\u{1F980}oops\n".to_owned(), line(2, "日本語")].concat();
        for size in 1..=body.len() {
            let fake = Fake::new();
            let reply = send(&fake, chunked(body.as_bytes().chunks(size).map(<[u8]>::to_vec).collect())).await;
            assert_eq!(fake.texts(), ["Žluťoučký 🦀", "日本語"], "in chunks of {size}");
            assert_eq!(reply.json()["errors"][0]["line"], 2, "in chunks of {size}");
        }
    }

    #[tokio::test]
    async fn a_line_that_is_not_utf8_fails_alone() {
        let fake = Fake::new();
        let mut body = b"{\"thread\":\"\xff\"}\n".to_vec();
        body.extend_from_slice(line(1, "whole").as_bytes());
        let answer = send(&fake, body).await.json();
        assert_eq!((answer["errors"][0]["code"].as_str(), answer["accepted"].as_u64()), (Some("not_utf8"), Some(1)));
    }

    #[tokio::test]
    async fn an_overlong_line_fails_alone() {
        let fake = Fake::new();
        let overlong = line(2, &"x".repeat(LINE_LIMIT));
        let chunks = [line(1, "before"), overlong, line(3, "after")].concat();
        let answer = send(&fake, chunked(chunks.as_bytes().chunks(300_000).map(<[u8]>::to_vec).collect())).await.json();
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (answer["errors"][0]["line"].as_u64(), answer["errors"][0]["code"].as_str()),
            (Some(2), Some("line_too_long"))
        );
        assert_eq!(fake.texts(), ["before", "after"]);
    }

    #[tokio::test]
    async fn the_log_gets_groups_bounded_by_count_and_by_bytes() {
        let fake = Fake::new();
        let small: String = (0..1100).map(|id| line(id, "x")).collect();
        send(&fake, small).await;
        assert_eq!(fake.groups(), [512, 512, 76]);

        let fake = Fake::new();
        let text = "x".repeat(400_000);
        let large: String = (0..7).map(|id| line(id, &text)).collect();
        send(&fake, large).await;
        assert_eq!(fake.groups(), [3, 3, 1]);
    }

    #[tokio::test]
    async fn a_wait_covers_the_last_message() {
        let fake = Fake::new();
        fake.reach(Ok(WaitLevel::Embedded));
        let body = [line(1, "x"), line(2, "y")].concat();
        let request = post("/v1/messages?wait=indexed&timeout_ms=50", "application/jsonl", body);
        assert_eq!(ask(fake.router(), request).await.json()["reached"], "embedded");
        let (written, _) = fake.waited().expect("the gateway waited");
        assert_eq!(written.to_text(), "messages/0=2\n");
    }

    #[tokio::test]
    async fn a_body_without_messages_is_taken_as_nothing() {
        for body in ["", "\n\n", " \r\n"] {
            let reply = send(&Fake::new(), body).await;
            let expected = json!({"receipts": [], "errors": [], "accepted": 0, "duplicates": 0, "rejected": 0});
            assert_eq!((reply.status, reply.json()), (StatusCode::ACCEPTED, expected), "{body:?}");
        }
    }

    #[tokio::test]
    async fn when_the_log_fails_on_the_way_the_client_learns_what_was_taken_and_from_where_to_send_again() {
        let fake = Fake::new();
        fake.fill_after(GROUP_MESSAGES);
        let body: String = (0..GROUP_MESSAGES + 5).map(|id| line(id, "x")).collect();
        let reply = send(&fake, format!("oops\n{body}")).await;
        let problem = reply.problem();
        let facts = &problem.details().facts;
        assert_eq!((problem.code(), &facts["line"]), ("log_full", &json!(GROUP_MESSAGES + 2)));
        assert_eq!((&facts["taken"]["accepted"], &facts["taken"]["rejected"]), (&json!(GROUP_MESSAGES), &json!(1)));
        assert_eq!(reply.headers["retry-after"], "9");
    }

    #[tokio::test]
    async fn errors_are_listed_up_to_a_limit_and_counted_beyond_it() {
        let answer = send(&Fake::new(), "x\n".repeat(ERRORS_LIMIT + 7)).await.json();
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(ERRORS_LIMIT));
        assert_eq!(answer["rejected"], ERRORS_LIMIT + 7);
    }

    #[tokio::test]
    async fn more_lines_than_a_request_may_have_are_refused_from_there_on() {
        let fake = Fake::new();
        let blank = "\n".repeat(LINES_LIMIT as usize - 1);
        let problem = send(&fake, format!("{blank}{}{}", line(1, "in"), line(2, "out"))).await.problem();
        assert_eq!((problem.code(), &problem.details().facts["limit"]), ("too_many_lines", &json!(LINES_LIMIT)));
        assert_eq!((&problem.details().facts["line"], fake.texts()), (&json!(LINES_LIMIT + 1), vec!["in".to_owned()]));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_with_what_was_taken() {
        let fake = Fake::new();
        let mut chunks = vec![line(1, "in").into_bytes()];
        chunks.extend((0..LINES_BODY_LIMIT / 1_000_000 + 1).map(|_| vec![b' '; 1_000_000]));
        let problem = send(&fake, chunked(chunks)).await.problem();
        assert_eq!((problem.code(), &problem.details().facts["taken"]["accepted"]), ("body_too_large", &json!(1)));
        assert_eq!(problem.details().facts["line"], 2);
    }

    #[tokio::test]
    async fn lines_of_a_slow_client_become_durable_while_it_still_sends() {
        let fake = Fake::new();
        let (sender, body) = open_body();
        let request = tokio::spawn({
            let fake = Arc::clone(&fake);
            async move { send(&fake, body).await }
        });
        sender.send(Ok(line(1, "early"))).await.expect("the body is read");
        eventually("the first line becoming durable", || fake.texts() == ["early"]).await;
        sender.send(Ok(line(2, "late"))).await.expect("the body is read");
        drop(sender);
        assert_eq!(request.await.expect("the request ends").json()["accepted"], 2);
    }

    #[tokio::test]
    async fn what_was_handed_over_before_the_client_left_stays() {
        let fake = Fake::new();
        let (sender, body) = open_body();
        let request = tokio::spawn({
            let fake = Arc::clone(&fake);
            async move { send(&fake, body).await }
        });
        sender.send(Ok(line(1, "kept") + "{\"thread\":")).await.expect("the body is read");
        sender.send(Err(std::io::Error::other("the client left"))).await.expect("the body is read");
        let problem = request.await.expect("the request ends").problem();
        assert_eq!((problem.code(), &problem.details().facts["line"]), ("body_interrupted", &json!(2)));
        assert_eq!(fake.texts(), ["kept"]);
    }

    #[tokio::test]
    async fn a_client_that_is_faster_than_the_log_is_not_read_from() {
        let fake = Fake::new();
        fake.gate.forget_permits(usize::MAX);
        let (sender, body) = open_body();
        let request = tokio::spawn({
            let fake = Arc::clone(&fake);
            async move { send(&fake, body).await }
        });
        let mut sent = 0;
        let group: String = (0..GROUP_MESSAGES).map(|id| line(id, "x")).collect();
        let patience = std::time::Duration::from_millis(300);
        while tokio::time::timeout(patience, sender.send(Ok(group.clone()))).await.is_ok() {
            sent += 1;
            assert!(sent < 10, "the body is read although the log takes nothing");
        }
        fake.gate.add_permits(1000);
        drop(sender);
        let answer = request.await.expect("the request ends").json();
        let taken = answer["accepted"].as_u64().zip(answer["duplicates"].as_u64()).map(|(new, old)| new + old);
        assert_eq!(taken, Some(sent * GROUP_MESSAGES as u64));
    }
}
